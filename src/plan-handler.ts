import type { Context } from 'aws-lambda';
import { loadIds } from './batch.ts';
import { readConfig } from './config.ts';
import { badInput } from './errors.ts';
import { createManifestStore } from './manifest-store.ts';
import { readPartsInFlight } from './parts-in-flight.ts';
import { createPartsStore } from './parts-store.ts';
import { type Plan, parsePlanRequest, plan } from './plan.ts';
import { createS3Client } from './s3.ts';

/** Kept back from the function's time for the error that tells of it. */
const GIVE_UP_MS = 500;

/** Cuts a run of any length into parts: the first task of the state machine, which gives `{"input", "execution"}`. */
export async function handler(
  event: unknown,
  context: Pick<Context, 'getRemainingTimeInMillis'>,
): Promise<Plan> {
  const env = process.env;
  const config = readConfig(env);
  const partsInFlight = readPartsInFlight(env, config.concurrency);
  if (typeof event !== 'object' || event === null || !('input' in event) || !('execution' in event))
    throw badInput('event', 'an object with "input" and "execution"', event);
  const request = parsePlanRequest(event.input, event.execution, config.maxIds);
  const client = createS3Client();
  const manifests = createManifestStore(client);
  const signal = AbortSignal.timeout(context.getRemainingTimeInMillis() - GIVE_UP_MS);
  return plan(
    request,
    {
      store: createPartsStore({ client, bucket: config.resultsBucket, prefix: config.resultsPrefix }),
      readIds: (location) => loadIds(location, manifests, config.maxIds, signal),
      partsInFlight,
    },
    signal,
  );
}
