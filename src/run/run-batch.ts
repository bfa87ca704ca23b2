import { IdempotencyKeyReusedError, RunConflictError } from '../base/errors.ts';
import { endInTime } from '../base/time-limit.ts';
import type { Batch } from '../batch/base-form.ts';
import type { RunHead, Trigger } from '../document/run-head.ts';
import type { RunStore } from '../store/run-store.ts';
import { acceptRun } from './accept-run.ts';
import type { Claiming } from './acquire-claim.ts';
import {
  type FetchedPosts,
  fetchAndStore,
  type OriginShare,
  type RunPorts,
  type RunSettings,
  type RunTime,
} from './fetch-and-store.ts';
import type { ClaimPorts } from './held-claim.ts';
import { observeRun } from './observer.ts';
import { type Run, replayOf } from './replay.ts';
import { runUnderClaim } from './run-under-claim.ts';

/** One run that is asked for: the batch, and the name under which its document is kept. */
export interface RunRequest extends RunName {
  readonly batch: Batch;
  /** Of a part of another run. @default the run has the origin to itself, and nothing is known of that */
  readonly share?: OriginShare | undefined;
  /** Whether this is the run for which the id was accepted. @default false */
  readonly isHandedOver?: boolean;
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
  const { runId, batch, share, isHandedOver } = request;
  const { store, clock } = ports;
  const startMs = clock.now();
  const run = headOf(request, settings, clock.date());
  return endInTime(`${store.location(runId)} could not be written`, time, ports, (outOfTime) =>
    observeRun(run, ports.observer, async () => {
      const { ids } = batch;
      const earlier = earlierRunsOf(request, store, outOfTime);
      const { findStored } = earlier;
      return runUnderClaim(run, { ...earlier, isHandedOver }, ports, outOfTime, (signal, progress) => {
        const work = { run, startMs, outOfTime: signal, progress, ids, toFetch: ids, place: asFetched };
        return fetchAndStore({ ...work, findStored, share }, settings, ports, time);
      });
    }),
  );
}

/**
 * Accepts a batch that another invocation is to run: claims its id, and has `handOver` tell that invocation so. Resolves
 * with whether it did; where the run is accepted, running or stored by now, there is nothing to hand over.
 *
 * Rejects with RunConflictError or IdempotencyKeyReusedError as `runBatch` does, with StoreError where S3 fails, and with
 * what `handOver` rejects with.
 */
export async function acceptBatch(
  request: RunRequest,
  handOver: (signal: AbortSignal) => Promise<void>,
  settings: Pick<RunSettings, 'postUrl'>,
  ports: ClaimPorts & Pick<RunPorts, 'store'>,
  time: RunTime,
): Promise<boolean> {
  const { store, clock } = ports;
  const run = headOf(request, settings, clock.date());
  return endInTime(`${request.runId} could not be accepted`, time, ports, (outOfTime) => {
    const earlier = earlierRunsOf(request, store, outOfTime);
    return acceptRun(run, earlier, () => handOver(outOfTime), ports, outOfTime);
  });
}

function asFetched(fetched: FetchedPosts): FetchedPosts {
  return fetched;
}

function headOf(
  { trigger, batch, runId, requestId }: RunRequest,
  { postUrl }: Pick<RunSettings, 'postUrl'>,
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

/** How an earlier run under this run id is found, and told from one of another batch. */
function earlierRunsOf(
  request: RunRequest,
  store: RunStore,
  signal: AbortSignal,
): Pick<Claiming, 'findStored' | 'requireSame'> {
  return {
    findStored: () => findEarlier(request, store, signal),
    requireSame: (claim) => requireSameBatch(request, claim),
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
