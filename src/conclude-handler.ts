import type { Context } from 'aws-lambda';
import { type Conclusion, conclude } from './conclude.ts';
import { readConfig } from './config.ts';
import { badInput } from './errors.ts';
import { parseName } from './ids.ts';
import { createPartsStore } from './parts-store.ts';
import { createRunStore } from './run-store.ts';
import { createS3Client } from './s3.ts';

/** Kept back from the function's time for the error that tells of it. */
const GIVE_UP_MS = 500;

/** Writes the manifest of a run of many parts: the last task of the state machine, which gives `{"runId"}`. */
export async function handler(
  event: unknown,
  context: Pick<Context, 'getRemainingTimeInMillis'>,
): Promise<Conclusion> {
  const { resultsBucket: bucket, resultsPrefix: prefix } = readConfig(process.env);
  if (typeof event !== 'object' || event === null || !('runId' in event))
    throw badInput('event', 'an object with "runId"', event);
  const client = createS3Client();
  return conclude(
    parseName(event.runId, 'runId'),
    {
      runs: createRunStore({ client, bucket, prefix }),
      parts: createPartsStore({ client, bucket, prefix }),
    },
    AbortSignal.timeout(context.getRemainingTimeInMillis() - GIVE_UP_MS),
  );
}
