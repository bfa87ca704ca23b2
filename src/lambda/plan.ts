import type { Context } from 'aws-lambda';
import { systemClock } from '../base/clock.ts';
import { badInput } from '../base/errors.ts';
import { endInTime } from '../base/time-limit.ts';
import { loadIds } from '../run/load-ids.ts';
import { readPartsInFlight } from '../run/parts/parts-in-flight.ts';
import { type Plan, type PlanPorts, parsePlanRequest, plan } from '../run/parts/plan.ts';
import { createIdSource } from '../store/id-source.ts';
import { createPlanStore } from '../store/plan-store.ts';
import { createS3Client } from '../store/s3.ts';
import { readConfig } from './config.ts';

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
  const manifests = createIdSource(client);
  const store = createPlanStore({ client, bucket: config.resultsBucket, prefix: config.resultsPrefix });
  const readIds: PlanPorts['readIds'] = (location, signal) =>
    loadIds(location, manifests, config.maxIds, signal);
  const time = { remainingMs: context.getRemainingTimeInMillis() };
  return endInTime(
    `The parts of ${request.runId} could not be written`,
    time,
    { clock: systemClock },
    (outOfTime) => plan(request, { store, readIds, partsInFlight }, outOfTime),
  );
}
