import { endInTime } from '../base/time-limit.ts';
import { batchOf } from '../batch/base-form.ts';
import type { IdList } from '../batch/ids.ts';
import { parseIds } from '../batch/parse-ids.ts';
import { endAcceptedClaim } from '../run/end-claim.ts';
import type { RunPorts, RunTime } from '../run/fetch-and-store.ts';
import { redriveBatch } from '../run/redrive.ts';
import type { Run } from '../run/replay.ts';
import { runBatch } from '../run/run-batch.ts';
import type { HandedOverIds } from '../store/handed-over-ids.ts';
import type { Config } from './config.ts';
import type { HandedOver, HandedOverBatch } from './events/handed-over.ts';

interface CarryOnPorts extends RunPorts {
  readonly handedOverIds: HandedOverIds;
}

/** Does a run that the API has accepted, under the name that it has there. Ends as `runBatch` and `redriveBatch` do. */
export async function carryOn(
  run: HandedOver,
  requestId: string,
  config: Config,
  ports: CarryOnPorts,
  time: RunTime,
): Promise<Run> {
  const { runId } = run;
  const name = { trigger: 'api', runId, isIdempotencyKey: false, requestId } as const;
  if ('redrive' in run) {
    const request = { ...name, sourceRunId: run.redrive, acceptedAs: runId };
    // How long it may be was checked when it was accepted.
    return redriveBatch(request, { ...config, maxIds: Infinity }, ports, time);
  }
  const batch = batchOf(await idsOf(run, ports, time), run.returnExceptions);
  return runBatch({ ...name, batch, isHandedOver: true }, config, ports, time);
}

async function idsOf({ runId, ids }: HandedOverBatch, ports: CarryOnPorts, time: RunTime): Promise<IdList> {
  if (!('sha256' in ids)) return ids;
  try {
    const stored = await endInTime(`The ids of ${runId} could not be read`, time, ports, (outOfTime) =>
      ports.handedOverIds.read(runId, ids, outOfTime),
    );
    return parseIds(stored, 'ids', Infinity);
  } catch (error) {
    await endAcceptedClaim(runId, error, ports);
    throw error;
  }
}
