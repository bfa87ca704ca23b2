import { AsyncNotConfiguredError } from '../base/errors.ts';
import { batchOf } from '../batch/base-form.ts';
import { compact } from '../batch/compact-ids.ts';
import { countIds, type IdList } from '../batch/ids.ts';
import type { RunPorts, RunTime } from '../run/fetch-and-store.ts';
import { acceptParts, type PartsRequest } from '../run/parts/accept-parts.ts';
import { MAX_WRITTEN_BYTES } from '../run/parts/parts.ts';
import { acceptRedrive } from '../run/redrive.ts';
import { acceptBatch } from '../run/run-batch.ts';
import type { HandedOverIds, StoredIds } from '../store/handed-over-ids.ts';
import type { PlanStore } from '../store/plan-store.ts';
import type { Config } from './config.ts';
import type { EventRequest } from './events/event.ts';
import { handOverEvent } from './events/handed-over.ts';
import type { Handover } from './handover.ts';

/** What accepting a run needs of the world. */
export interface AcceptingPorts extends Pick<RunPorts, 'store' | 'claims' | 'clock'> {
  readonly handedOverIds: HandedOverIds;
  readonly plans: PlanStore;
  readonly handover: Handover;
}

/** A run that another invocation does, or has done. */
export interface AcceptedRun {
  readonly runId: string;
  /** Whether it was told so just now: not where the run was accepted before. */
  readonly isHandedOver: boolean;
}

/** As many ids as a body has room for, and more. */
export const MAX_ASYNC_IDS = 10_000_000_000;

/**
 * Accepts a run of the API that goes on when this invocation has answered: in the function, or, where it has a manifest
 * or more than ASYNC_MAX_IDS ids, in the state machine.
 *
 * Rejects with AsyncNotConfiguredError where there is neither, with HandoverError where AWS does not take the run, with a
 * conflict where the run id is another run's, with StoreError where S3 fails, and with BadInputError.
 */
export async function acceptRunOf(
  request: EventRequest,
  caller: string | undefined,
  config: Config,
  ports: AcceptingPorts,
  time: RunTime,
): Promise<AcceptedRun> {
  const { form, runId } = request;
  const { asyncMaxIds } = config;
  if (form.kind === 'redrive') {
    const invoke = invokeWith(config, ports);
    const { earlierRunId: redrive } = form;
    return acceptRedrive(
      { ...request, sourceRunId: redrive },
      (acceptedAs, signal) => invoke(handOverEvent({ runId: acceptedAs, caller, redrive }), signal),
      { ...config, maxIds: asyncMaxIds },
      ports,
      time,
    );
  }
  if (form.kind === 'manifest')
    return { runId, isHandedOver: await acceptInParts({ ...request, form }, config, ports, time) };
  const ids = compact(form.ids);
  if (countIds(ids) > asyncMaxIds) {
    const inParts = { ...request, form: { ...form, ids } };
    return { runId, isHandedOver: await acceptInParts(inParts, config, ports, time) };
  }
  const invoke = invokeWith(config, ports);
  const { returnExceptions } = form;
  const isHandedOver = await acceptBatch(
    { ...request, batch: batchOf(ids, returnExceptions) },
    async (signal) => {
      const given = await handIds(runId, ids, ports, signal);
      await invoke(handOverEvent({ runId, caller, ids: given, returnExceptions }), signal);
    },
    config,
    ports,
    time,
  );
  return { runId, isHandedOver };
}

async function acceptInParts(
  request: PartsRequest,
  { stateMachineArn, ...config }: Config,
  ports: AcceptingPorts,
  time: RunTime,
): Promise<boolean> {
  const arn = requireNamed(stateMachineArn, 'STATE_MACHINE_ARN');
  const { runId, form } = request;
  return acceptParts(
    request,
    async (name, signal) => {
      const target =
        form.kind === 'ids'
          ? { ids: await handIds(runId, form.ids, ports, signal) }
          : { manifest: `s3://${form.location.bucket}/${form.location.key}` };
      return ports.handover.execute(arn, name, JSON.stringify({ runId, ...target }), signal);
    },
    config,
    ports,
    time,
  );
}

function invokeWith({ asyncFunction }: Config, { handover }: AcceptingPorts) {
  const arn = requireNamed(asyncFunction, 'ASYNC_FUNCTION');
  return (event: string, signal: AbortSignal): Promise<void> => handover.invoke(arn, event, signal);
}

function requireNamed(arn: string, variable: string): string {
  if (arn === '')
    throw new AsyncNotConfiguredError(`No run goes on elsewhere here, as ${variable} is not set`);
  return arn;
}

/** The ids as they are handed over: by themselves, or, where they are long, in an object. */
async function handIds(
  runId: string,
  ids: IdList,
  { handedOverIds }: AcceptingPorts,
  signal: AbortSignal,
): Promise<IdList | StoredIds> {
  const isShort = Buffer.byteLength(JSON.stringify(ids)) <= MAX_WRITTEN_BYTES;
  return isShort ? ids : handedOverIds.write(runId, ids, signal);
}
