import type { Context } from 'aws-lambda';
import { systemClock } from '../base/clock.ts';
import { badInput } from '../base/errors.ts';
import { endInTime } from '../base/time-limit.ts';
import { parseName } from '../batch/parse-ids.ts';
import { type Conclusion, conclude } from '../run/parts/conclude.ts';
import { createPartsStore } from '../store/plan-store.ts';
import { createRunStore } from '../store/run-store.ts';
import { createS3Client } from '../store/s3.ts';
import { readConfig } from './config.ts';

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
