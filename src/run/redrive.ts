import { follow } from '../base/abort.ts';
import { BadInputError, RunConflictError, TooLargeError } from '../base/errors.ts';
import { endInTime } from '../base/time-limit.ts';
import { CompactIds } from '../batch/compact-ids.ts';
import { countIds, hashIds, type IdList } from '../batch/ids.ts';
import { parseName } from '../batch/parse-ids.ts';
import type { Claim } from '../document/claim.ts';
import type { Outcome } from '../document/document.ts';
import type { OutcomeLine } from '../document/outcome-line.ts';
import type { RunHead } from '../document/run-head.ts';
import { parseUrlTemplate } from '../fetch/origin/url-template.ts';
import { type Post, PostError } from '../fetch/outcome.ts';
import { readLearned } from '../fetch/politeness/origin-memory.ts';
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
  type RunWork,
} from './fetch-and-store.ts';
import type { ClaimPorts } from './held-claim.ts';
import { observeRun } from './observer.ts';
import {
  followRedrives,
  type NamedRun,
  nextRedriveId,
  noRedrive,
  outcomesLocation,
  outcomesOf,
} from './redrive-chain.ts';
import { type Run, replayOf } from './replay.ts';
import type { RunName } from './run-batch.ts';
import { runUnderClaim } from './run-under-claim.ts';

/** A run that is to be redriven. */
export interface RedriveRequest extends Pick<RunName, 'trigger' | 'requestId'> {
  /** The run, or any redrive of it. */
  readonly sourceRunId: string;
  /** Of a part of another run. @default the run has the origin to itself */
  readonly share?: OriginShare | undefined;
  /** The run id as which the redrive was accepted, to be done by this run. @default it is accepted by nobody yet */
  readonly acceptedAs?: string | undefined;
}

/** `maxIds`: the most outcomes of a run that is taken up again. */
type RedriveSettings = RunSettings & { readonly maxIds: number };

/** Copying a document takes at most so many times as long as reading it. */
const COPY_FACTOR = 3;
/** A constant: a signal that is given no reason makes an error of its own, with a stack. */
const NOT_CLAIMED = 'The redrive is not this one';

/**
 * Fetches the retryable outcomes of a stored run again, and writes them, in their places among its other outcomes,
 * as a whole document of its own: that of `<run>.redrive-1`, or of the next number. Its source is the latest of
 * the run and its redrives; a source with nothing to fetch again is replayed as it is.
 *
 * What it takes over is the same to the byte; a post that is not asked for again, as the time ran out first or the
 * origin cannot be reached, keeps its outcome too, which says more. `errors` and `summary` are of the document as it
 * stands (each distinct post once, with the attempts and the latency of its outcome there), but for the summary's
 * times and what it says of traffic, which are this run's. Posts come from where the settings say now: where that is
 * the same origin, the run starts from what its source has learned of that.
 *
 * A delivery that comes twice, told by its request id, replays what the first wrote (where not more than one other
 * redrive was written since), and so does of two at once the second.
 *
 * Rejects with BadInputError where there is no such run, with TooLargeError where it is too long, with
 * RunConflictError where something else stands in its place or that of a redrive, and as `runBatch` does. The observer
 * hears of it once it is known which run it is.
 */
export async function redriveBatch(
  request: RedriveRequest,
  settings: RedriveSettings,
  ports: RunPorts,
  time: RunTime,
): Promise<Run> {
  const { store, clock, observer } = ports;
  const startMs = clock.now();
  const startedAt = clock.date();
  return endInTime(
    `The redrive of ${request.sourceRunId} could not be written`,
    time,
    ports,
    async (outOfTime) => {
      const latest = await findLatest(request, store, outOfTime);
      if (!hasNext(request, latest)) {
        const run = replayOf(latest.runId, latest.stored, store);
        observer.runReplayed(run);
        return run;
      }
      requireAtMost(settings.maxIds, latest);
      const run = headOf(request, latest, settings, startedAt);
      return observeRun(run, observer, () =>
        redriveLatest({ run, startMs, latest, request }, settings, ports, time, outOfTime),
      );
    },
  );
}

/**
 * Accepts a redrive that another invocation is to do, as `acceptBatch` does a batch. `handOver` is given the run id that
 * it is accepted as; the one that it resolves with is that of the latest run, where that has nothing left to be fetched
 * again. Rejects as `redriveBatch` does before anything is fetched.
 */
export async function acceptRedrive(
  request: RedriveRequest,
  handOver: (runId: string, signal: AbortSignal) => Promise<void>,
  settings: Pick<RedriveSettings, 'postUrl' | 'maxIds'>,
  ports: ClaimPorts & Pick<RunPorts, 'store'>,
  time: RunTime,
): Promise<{ readonly runId: string; readonly isHandedOver: boolean }> {
  const { store, clock } = ports;
  const failure = `The redrive of ${request.sourceRunId} could not be accepted`;
  return endInTime(failure, time, ports, async (outOfTime) => {
    const latest = await findLatest(request, store, outOfTime);
    if (!hasNext(request, latest)) return { runId: latest.runId, isHandedOver: false };
    requireAtMost(settings.maxIds, latest);
    const run = headOf(request, latest, settings, clock.date());
    const earlier = earlierRedrivesOf(run, latest, store, outOfTime);
    const tell = (): Promise<void> => handOver(run.id, outOfTime);
    return { runId: run.id, isHandedOver: await acceptRun(run, earlier, tell, ports, outOfTime) };
  });
}

/** A redrive that is to be done. */
interface Redrive {
  readonly run: RunHead;
  readonly startMs: number;
  /** What is redriven. */
  readonly latest: NamedRun;
  readonly request: RedriveRequest;
}

async function redriveLatest(
  { run, startMs, latest, request }: Redrive,
  settings: RedriveSettings,
  ports: RunPorts,
  time: RunTime,
  outOfTime: AbortSignal,
): Promise<Run> {
  const { store, clock } = ports;
  const readingMs = clock.now();
  using reading = follow(outOfTime);
  // Side by side with the claim, without which nothing is fetched.
  const lists = readIds(latest, store, reading.signal).then((read) => ({
    ...read,
    copyMs: COPY_FACTOR * (clock.now() - readingMs),
  }));
  const settled = Promise.allSettled([lists]);
  const earlier = earlierRedrivesOf(run, latest, store, outOfTime);
  const { findStored } = earlier;
  const isHandedOver = request.acceptedAs !== undefined;
  try {
    return await runUnderClaim(
      run,
      { ...earlier, isHandedOver },
      ports,
      outOfTime,
      async (signal, progress) => {
        const { ids, retryable, copyMs } = await lists;
        const { fulfilled, rejected } = latest.stored.summary;
        const work = {
          run,
          startMs,
          outOfTime: signal,
          progress,
          standing: { fulfilled, rejected: rejected - countIds(retryable) },
          ids,
          toFetch: retryable,
          place: (fetched: FetchedPosts, signal: AbortSignal) =>
            placeAmong(outcomesOf(latest, store, signal), fetched),
          findStored,
          ...knownOf(latest, request.share, settings),
        };
        // What is left when the time for fetching is over has yet to be copied.
        const writeReserveMs = settings.writeReserveMs + copyMs;
        return fetchAndStore(work, { ...settings, writeReserveMs }, ports, time);
      },
    );
  } finally {
    reading.abort(NOT_CLAIMED);
    await settled;
  }
}

/** The latest of a run and its redrives, or the one that this very request wrote. */
async function findLatest(request: RedriveRequest, store: RunStore, signal: AbortSignal): Promise<NamedRun> {
  const { sourceRunId } = request;
  const stored = await store.find(sourceRunId, signal);
  if (!stored)
    throw new BadInputError(
      `Expected \`redrive\` to name a run, got "${sourceRunId}", of which there is no ${store.location(sourceRunId)}`,
    );
  const run = { runId: sourceRunId, stored };
  const { latest, conflict } = await followRedrives(run, store, signal, (it) => isOf(request, it));
  if (conflict) throw conflict;
  return latest;
}

/** Whether there is a redrive to be done after this run: by this request, and as what was accepted of it. */
function hasNext(request: RedriveRequest, latest: NamedRun): boolean {
  const { acceptedAs = nextRedriveId(latest.runId) } = request;
  return (
    !isOf(request, latest) &&
    latest.stored.errors.retryableIds.length > 0 &&
    nextRedriveId(latest.runId) === acceptedAs
  );
}

/** How a run under the id of a redrive is found, of whose document there was none just now. */
function earlierRedrivesOf(
  run: RunHead,
  latest: NamedRun,
  store: RunStore,
  signal: AbortSignal,
): Pick<Claiming, 'findStored' | 'hasLooked' | 'requireSame'> {
  return {
    findStored: () => findRedrive(run.id, latest.runId, store, signal),
    hasLooked: true,
    requireSame({ idsSha256 }: Claim) {
      if (idsSha256 !== run.idsSha256) throw noRedrive(run.id, latest.runId);
    },
  };
}

/** Whether an earlier delivery of the request wrote this run. */
function isOf({ requestId }: RedriveRequest, { stored: { run } }: NamedRun): boolean {
  return run.redriveOf !== undefined && run.requestId === requestId;
}

function requireAtMost(maxIds: number, { runId, stored }: NamedRun): void {
  const { requested } = stored.run;
  if (requested > maxIds)
    throw new TooLargeError(
      `Expected \`redrive\` to name a run of at most ${maxIds} ids (MAX_IDS), got ${runId}, of ${requested}`,
    );
}

/** What is said of the next redrive after this run. */
function headOf(
  { trigger, requestId }: RedriveRequest,
  { runId, stored }: NamedRun,
  { postUrl }: Pick<RunSettings, 'postUrl'>,
  startedAt: Date,
): RunHead {
  const { returnExceptions, requested, idsSha256 } = stored.run;
  return {
    id: parseName(nextRedriveId(runId), 'run.id'),
    trigger,
    requestId,
    startedAt: startedAt.toISOString(),
    urlTemplate: postUrl.text,
    returnExceptions,
    requested,
    idsSha256,
    redriveOf: runId,
  };
}

/** What is known of the origin by a run that is redriven, and by the plan that it is a part of: nothing of another one. */
function knownOf(
  { stored: { run, summary } }: NamedRun,
  share: OriginShare | undefined,
  { postUrl }: RunSettings,
): Pick<RunWork, 'share' | 'found'> {
  if (parseUrlTemplate(run.urlTemplate)?.origin !== postUrl.origin)
    return { share: share && { ...share, learned: undefined } };
  return { share, found: { ...readLearned(summary), at: summary.finishedAt } };
}

/**
 * The ids of a stored run, and those of its retryable outcomes, repeats included. All of its outcomes are read for
 * that, so that nothing is fetched for a document that is not whole, and that repeats are known before they come.
 */
async function readIds(
  latest: NamedRun,
  store: RunStore,
  signal: AbortSignal,
): Promise<{ readonly ids: IdList; readonly retryable: IdList }> {
  const ids = new CompactIds();
  const retryable = new CompactIds();
  for await (const { id, reason } of outcomesOf(latest, store, signal)) {
    ids.push(id);
    if (reason?.retryable) retryable.push(id);
  }
  const list = ids.end();
  if (hashIds(list) !== latest.stored.run.idsSha256)
    throw new RunConflictError(
      `${outcomesLocation(latest, store)} is not as it was written: its outcomes are not of its ids`,
    );
  return { ids: list, retryable: retryable.end() };
}

/**
 * The outcomes of an earlier run with what was fetched in the places of those that are retryable. Lines are read no
 * faster than they are taken; posts are fetched ahead of them, however far apart they stand.
 */
async function* placeAmong(
  lines: AsyncIterable<OutcomeLine>,
  fetched: FetchedPosts,
): AsyncGenerator<Outcome, void, undefined> {
  const ask = (): ReturnType<FetchedPosts['next']> => {
    const next = fetched.next();
    // A rejection may come before anybody waits for it.
    next.catch(() => {});
    return next;
  };
  // The first outcome is asked for before it is needed: that is what starts the fetching.
  let next = ask();
  for await (const line of lines) {
    if (!line.reason?.retryable) {
      yield line;
      continue;
    }
    // There are as many as the document, which is written once, has retryable outcomes.
    const outcome = (await next).value as PromiseSettledResult<Post>;
    next = ask();
    yield isUnfetched(outcome) ? line : outcome;
  }
}

function isUnfetched(outcome: PromiseSettledResult<Post>): boolean {
  return (
    outcome.status === 'rejected' &&
    outcome.reason instanceof PostError &&
    outcome.reason.record.attempts === 0
  );
}

/** What the run that came first to this run id did. Rejects where it was no redrive of the same run. */
async function findRedrive(
  id: string,
  source: string,
  store: RunStore,
  signal: AbortSignal,
): Promise<Run | undefined> {
  const stored = await store.find(id, signal);
  if (!stored) return undefined;
  if (stored.run.redriveOf !== source) throw noRedrive(id, source);
  return replayOf(id, stored, store);
}
