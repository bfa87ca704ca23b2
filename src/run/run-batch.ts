import { IdempotencyKeyReusedError, RunConflictError } from '../base/errors.ts';
import { endInTime } from '../base/time-limit.ts';
import type { Batch } from '../batch/base-form.ts';
import type { RunHead, Trigger } from '../document/run-head.ts';
import type { RunStore } from '../store/run-store.ts';
import {
  type FetchedPosts,
  fetchAndStore,
  type OriginShare,
  type RunPorts,
  type RunSettings,
  type RunTime,
} from './fetch-and-store.ts';
import { observeRun } from './observer.ts';
import { type Run, replayOf } from './replay.ts';
import { runUnderClaim } from './run-under-claim.ts';

/** One run that is asked for: the batch, and the name under which its document is kept. */
export interface RunRequest extends RunName {
  readonly batch: Batch;
  /** Of a part of another run. @default the run has the origin to itself, and nothing is known of that */
  readonly share?: OriginShare | undefined;
}

export interface RunName {
  readonly trigger: Trigger;
  readonly runId: string;
  /** Whether the run id is the request's Idempotency-Key. */
  readonly isIdempotencyKey: boolean;
  /** Lambda's id of the invocation. */
  readonly requestId: string;
}

/**
 * Runs a batch: fetches its posts, and writes their outcomes, in the order of the ids, as one document.
 * A run whose document exists already is replayed: nothing is fetched or written. One that another invocation does, as
 * its claim says, is left to that (RunInProgressError), also where it is taken over from this one.
 *
 * When the function's time less `writeReserveMs` is over, the posts that are left are DEADLINE outcomes, and the
 * document is still written. Without `returnExceptions`, rejects with the PostError of the first failure, and
 * writes no document. Rejects with RunConflictError or IdempotencyKeyReusedError where the document, or the claim, that
 * exists is another batch's, and with StoreError where S3 fails. Whichever it is, nothing of the run goes on after.
 */
export async function runBatch(
  request: RunRequest,
  settings: RunSettings,
  ports: RunPorts,
  time: RunTime,
): Promise<Run> {
  const { runId, batch, share } = request;
  const { store, clock } = ports;
  const startMs = clock.now();
  const run = headOf(request, settings, clock.date());
  return endInTime(`${store.location(runId)} could not be written`, time, ports, (outOfTime) =>
    observeRun(run, ports.observer, async () => {
      const { ids } = batch;
      const findStored = () => findEarlier(request, store, outOfTime);
      const requireSame = (earlier: EarlierRun) => requireSameBatch(request, earlier);
      return runUnderClaim(run, { findStored, requireSame }, ports, outOfTime, (signal, progress) => {
        const work = { run, startMs, outOfTime: signal, progress, ids, toFetch: ids, place: asFetched };
        return fetchAndStore({ ...work, findStored, share }, settings, ports, time);
      });
    }),
  );
}

function asFetched(fetched: FetchedPosts): FetchedPosts {
  return fetched;
}

function headOf(
  { trigger, batch, runId, requestId }: RunRequest,
  { postUrl }: RunSettings,
  date: Date,
): RunHead {
  return {
    id: runId,
    trigger,
    requestId,
    startedAt: date.toISOString(),
    urlTemplate: postUrl.text,
    returnExceptions: batch.returnExceptions,
    requested: batch.requested,
    idsSha256: batch.idsSha256,
  };
}

/** The run that is stored under this run id. Rejects where it is not a run of the same batch. */
async function findEarlier(
  request: RunRequest,
  store: RunStore,
  signal: AbortSignal,
): Promise<Run | undefined> {
  const { runId } = request;
  const stored = await store.find(runId, signal);
  if (!stored) return undefined;
  requireSameBatch(request, stored.run);
  return replayOf(runId, stored, store);
}

/** What tells of which batch a run is. */
type EarlierRun = Pick<RunHead, 'idsSha256' | 'returnExceptions'>;

/** Throws where a run of this id, stored or claimed, is not one of the same batch. */
function requireSameBatch(
  { runId, batch, isIdempotencyKey }: RunRequest,
  { idsSha256, returnExceptions }: EarlierRun,
): void {
  if (idsSha256 === batch.idsSha256 && returnExceptions === batch.returnExceptions) return;
  const what = idsSha256 === batch.idsSha256 ? 'in another mode' : 'of other ids';
  if (isIdempotencyKey)
    throw new IdempotencyKeyReusedError(`The Idempotency-Key ${runId} was used before for a batch ${what}`);
  throw new RunConflictError(`The runId ${runId} names an earlier run ${what}`);
}
