import type { Context } from 'aws-lambda';
import { systemClock } from '../base/clock.ts';
import { badInput } from '../base/errors.ts';
import { endInTime } from '../base/time-limit.ts';
import { loadIds } from '../run/load-ids.ts';
import { type Plan, type PlanPorts, plan } from '../run/parts/plan.ts';
import { createManifestStore } from '../store/id-source.ts';
import { createPartsStore } from '../store/plan-store.ts';
import { createS3Client } from '../store/s3.ts';
import { readConfig } from './config.ts';
import { parsePlanInput } from './events/plan-input.ts';

/** Cuts a run of any length into parts: the first task of the state machine, which gives `{"input", "execution"}`. */
export async function handler(
  event: unknown,
  context: Pick<Context, 'getRemainingTimeInMillis'>,
): Promise<Plan> {
  const config = readConfig(process.env);
  if (typeof event !== 'object' || event === null || !('input' in event) || !('execution' in event))
    throw badInput('event', 'an object with "input" and "execution"', event);
  const request = parsePlanInput(event.input, event.execution, config.maxIds);
  const client = createS3Client();
  const manifests = createManifestStore(client);
  const store = createPartsStore({ client, bucket: config.resultsBucket, prefix: config.resultsPrefix });
  const readIds: PlanPorts['readIds'] = (location, signal) =>
    loadIds(location, manifests, config.maxIds, signal);
  const time = { remainingMs: context.getRemainingTimeInMillis() };
  return endInTime(
    `The parts of ${request.runId} could not be written`,
    time,
    { clock: systemClock },
    (outOfTime) => plan(request, config, { store, readIds }, outOfTime),
  );
}
