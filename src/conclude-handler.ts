import type { Context } from 'aws-lambda';
import { systemClock } from './clock.ts';
import { type Conclusion, conclude } from './conclude.ts';
import { readConfig } from './config.ts';
import { endInTime } from './end-in-time.ts';
import { badInput } from './errors.ts';
import { parseName } from './ids.ts';
import { createPartsStore } from './parts-store.ts';
import { createRunStore } from './run-store.ts';
import { createS3Client } from './s3.ts';

/** Writes the manifest of a run of many parts: the last task of the state machine, which gives `{"runId"}`. */
export async function handler(
  event: unknown,
  context: Pick<Context, 'getRemainingTimeInMillis'>,
): Promise<Conclusion> {
  const { resultsBucket: bucket, resultsPrefix: prefix } = readConfig(process.env);
  if (typeof event !== 'object' || event === null || !('runId' in event))
    throw badInput('event', 'an object with "runId"', event);
  const client = createS3Client();
  const runId = parseName(event.runId, 'runId');
  const ports = {
    runs: createRunStore({ client, bucket, prefix }),
    parts: createPartsStore({ client, bucket, prefix }),
  };
  const time = { remainingMs: context.getRemainingTimeInMillis() };
  return endInTime(
    `The manifest of ${runId} could not be written`,
    time,
    { clock: systemClock },
    (outOfTime) => conclude(runId, ports, outOfTime),
  );
}
