import { Readable } from 'node:stream';
import { follow } from '../base/abort.ts';
import type { Clock } from '../base/clock.ts';
import { IdempotencyKeyReusedError, RunConflictError, StoreError } from '../base/errors.ts';
import { endInTime } from '../base/time-limit.ts';
import type { Batch } from '../batch/base-form.ts';
import { countIds, eachId, type Id, type IdList } from '../batch/ids.ts';
import { countRepeats } from '../batch/repeats.ts';
import { documentWithout, writeDocument, writeOutcomes } from '../document/document.ts';
import type { OutcomeLine } from '../document/outcome-lines.ts';
import type { OutcomesObject, Output, RunHead, RunReport, Trigger } from '../document/run-head.ts';
import { Tally } from '../document/tally.ts';
import { fetchOnceWith } from '../fetch/fetch-once.ts';
import type { FetchPost } from '../fetch/fetch-post.ts';
import { startFetching } from '../fetch/fetching.ts';
import type { RunOrigin } from '../fetch/origin/attempt.ts';
import type { UrlTemplate } from '../fetch/origin/url-template.ts';
import { type Post, PostError } from '../fetch/outcome.ts';
import { ValueSpool } from '../fetch/value-spool.ts';
import { type GatherStreamOptions, gatherStream } from '../gather.ts';
import type { RunStore, StoredRun } from '../store/run-store.ts';
import type { RunObserver } from './observer.ts';

/** One run that is asked for: the batch, and the name under which its document is kept. */
export interface RunRequest extends RunName {
  readonly batch: Batch;
}

export interface RunName {
  readonly trigger: Trigger;
  readonly runId: string;
  /** Whether the run id is the request's Idempotency-Key. */
  readonly isIdempotencyKey: boolean;
  /** Lambda's id of the invocation. */
  readonly requestId: string;
}

/** What a run needs of the world. */
export interface RunPorts {
  readonly store: RunStore;
  readonly origin: RunOrigin;
  readonly clock: Clock;
  /** 0 to 1, for the jitter. */
  readonly random: () => number;
  readonly observer: RunObserver;
}

export interface RunSettings {
  readonly postUrl: UrlTemplate;
  readonly concurrency: number;
  readonly adaptive: boolean;
  readonly ratePerSecond: number;
  readonly retryBudgetPercent: number;
  readonly hedge: boolean;
  readonly maxAttempts: number;
  readonly attemptTimeoutMs: number;
  readonly maxBodyBytes: number;
  /** Kept back from the function's time for writing the document. */
  readonly writeReserveMs: number;
  readonly output: Output;
}

/** What a run came to, for the reply. */
export interface Run extends RunReport {
  readonly runId: string;
  readonly location: string;
  /** Whether an earlier delivery had done it, so that nothing was fetched or written. */
  readonly replayed: boolean;
  /** The text of the document, where it was asked for and is small enough. */
  readonly document: string | undefined;
}

export interface RunTime {
  /** What is left of the function's time when the run starts. */
  readonly remainingMs: number;
  /** The largest document that is given back with the run; 0 for none. */
  readonly maxReplyBytes: number;
}

/** See docs/adr/0002-reorder-window.md for how these were chosen. */
const WINDOW_POSTS = 4_096;
const WINDOW_BYTES = 8 * 1024 * 1024;
/** About what a post holds in memory besides its value, or the message of its failure. */
const POST_OVERHEAD_BYTES = 600;
/** A constant: a signal that is given no reason makes an error of its own, with a stack. */
const STOPPED_EARLY = 'The outcomes are not taken any more';
const REPEATS_IN_MEMORY_BYTES = 8 * 1024 * 1024;

/**
 * Runs a batch: fetches its posts, and writes their outcomes, in the order of the ids, as one document.
 * A run whose document exists already is replayed: nothing is fetched or written.
 *
 * When the function's time less `writeReserveMs` is over, the posts that are left are DEADLINE outcomes, and the
 * document is still written. Without `returnExceptions`, rejects with the PostError of the first failure, and
 * writes nothing. Rejects with RunConflictError or IdempotencyKeyReusedError where the document that exists is
 * another batch's, and with StoreError where S3 fails. Whichever it is, nothing of the run goes on after.
 */
export async function runBatch(
  request: RunRequest,
  settings: RunSettings,
  ports: RunPorts,
  time: RunTime,
): Promise<Run> {
  const { runId, batch } = request;
  const { store, clock } = ports;
  const startMs = clock.now();
  const run = headOf(request, settings, clock.date());
  return endInTime(`${store.location(runId)} could not be written`, time, ports, (outOfTime) =>
    observed(run, ports.observer, async () => {
      const findStored = () => findEarlier(request, store, time.maxReplyBytes, outOfTime);
      const work: RunWork = {
        run,
        startMs,
        outOfTime,
        ids: batch.ids,
        toFetch: batch.ids,
        place: (fetched) => fetched,
        findStored,
      };
      return (await findStored()) ?? (await fetchAndStore(work, settings, ports, time));
    }),
  );
}

/** Settles as `work` does, and lets `observer` hear of its start and its end. */
export async function observed(head: RunHead, observer: RunObserver, work: () => Promise<Run>): Promise<Run> {
  observer.runStarted(head);
  try {
    const run = await work();
    if (run.replayed) observer.runReplayed(run);
    else observer.runEnded(run);
    return run;
  } catch (error) {
    observer.runFailed(head, error);
    throw error;
  }
}

/** A run that is to be done. */
export interface RunWork {
  readonly run: RunHead;
  /** When it started, by the clock. */
  readonly startMs: number;
  /** Aborts when the run has to give up. */
  readonly outOfTime: AbortSignal;
  /** Those of the document. */
  readonly ids: IdList;
  /** Those of them that are fetched, in their order. */
  readonly toFetch: IdList;
  /**
   * Makes the outcomes of `ids` of those of `toFetch`, which start to be fetched when they are first asked for. Aborts
   * `stopping` where it fails, so that nothing is fetched any more.
   */
  readonly place: (
    fetched: FetchedPosts,
    stopping: AbortController,
  ) => AsyncIterable<PromiseSettledResult<Post> | OutcomeLine>;
  /** The run that is stored under the id of this one; rejects where it is another. */
  readonly findStored: () => Promise<Run | undefined>;
}

/**
 * Fetches posts, and writes their outcomes as one document, unless there is one by then, which is replayed. Ends as
 * `runBatch` does.
 */
export async function fetchAndStore(
  { run, startMs, outOfTime, ids, toFetch, place, findStored }: RunWork,
  settings: RunSettings,
  ports: RunPorts,
  { remainingMs, maxReplyBytes }: RunTime,
): Promise<Run> {
  outOfTime.throwIfAborted();
  const { store, clock, observer } = ports;
  const countOccurrences = countRepeats(ids);
  const tally = new Tally(countOccurrences, (index, id, code) => observer.postRejected(index, id, code));
  const spool = new ValueSpool({ memoryBytes: REPEATS_IN_MEMORY_BYTES });
  const stopping = follow(outOfTime);
  const deadlineMs = startMs + remainingMs - settings.writeReserveMs;
  const fetching = startFetching(settings, ports, { startMs, deadlineMs, requested: countIds(toFetch) });
  const fetchPost = fetchOnceWith(fetching.fetchPost, countOccurrences, spool);
  const fetched = gatherPosts(eachId(toFetch), fetchPost, {
    concurrency: settings.concurrency,
    returnExceptions: run.returnExceptions,
    signal: stopping.signal,
    window: WINDOW_POSTS,
    windowBytes: WINDOW_BYTES,
    byteLength: heldBytes,
  });
  const { promise: report, resolve } = Promise.withResolvers<RunReport>();
  const conclude = (outcomes?: OutcomesObject): RunReport => {
    const durationMs = clock.now() - startMs;
    const finishedAt = new Date(Date.parse(run.startedAt) + durationMs);
    const summary = { ...tally.summary(finishedAt, durationMs), ...fetching.summary() };
    const concluded = { run, ...(outcomes && { outcomes }), errors: tally.errors(), summary };
    resolve(concluded);
    return concluded;
  };
  const writing = { run, ids, outcomes: place(fetched, stopping), tally, conclude, stopping, outOfTime };
  const location = store.location(run.id);
  try {
    const write = settings.output === 'json' ? writeWhole : writeApart;
    const written = await write(writing, store, maxReplyBytes);
    if (written)
      return {
        ...(await report),
        runId: run.id,
        location,
        replayed: false,
        document: written.document,
      };
  } finally {
    stopping[Symbol.dispose]();
    await fetched.return();
    await spool.close();
  }
  const stored = await findStored();
  if (!stored) throw new StoreError(`${location} could not be written: another write ran into it`);
  // It may be our own document, which S3 had stored before its answer was lost and the SDK sent it again.
  const isOwn = stored.run.requestId === run.requestId && stored.run.startedAt === run.startedAt;
  return { ...stored, replayed: !isOwn };
}

/** Outcomes as they are fetched. To stop early ends the posts in flight, and waits for them. */
export type FetchedPosts = Required<
  Pick<
    AsyncIterableIterator<PromiseSettledResult<Post>, void>,
    'next' | 'return' | typeof Symbol.asyncIterator
  >
>;

/**
 * `gatherStream` of posts that have one signal, whatever ends them, and not each the one that gather gives it: who
 * listens to a signal of its own costs a post as much as all of gather.
 */
function gatherPosts(
  ids: Iterable<Id>,
  fetchPost: FetchPost,
  options: GatherStreamOptions<Post> & { readonly signal: AbortSignal },
): FetchedPosts {
  const ending = follow(options.signal);
  const { signal } = ending;
  const failFast = async (id: Id): Promise<Post> => {
    try {
      return await fetchPost(id, signal);
    } catch (error) {
      ending.abort(error);
      throw error;
    }
  };
  const fetched = gatherStream(
    ids,
    options.returnExceptions ? (id) => fetchPost(id, signal) : failFast,
    options,
  );
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next: () => fetched.next(),
    return() {
      ending.abort(STOPPED_EARLY);
      return fetched.return();
    },
  };
}

/** A run that is being fetched, and what is to be written of it. */
interface Writing {
  readonly run: RunHead;
  readonly ids: IdList;
  readonly outcomes: AsyncIterable<PromiseSettledResult<Post> | OutcomeLine>;
  readonly tally: Tally;
  readonly conclude: (outcomes?: OutcomesObject) => RunReport;
  readonly stopping: AbortController;
  readonly outOfTime: AbortSignal;
}

/** What `document` holds is for the reply. Undefined where there is a document by then. */
type Written = Pick<Run, 'document'> | undefined;

/** Writes one document, as its results come. */
async function writeWhole(
  { run, ids, outcomes, tally, conclude, stopping }: Writing,
  store: RunStore,
  maxReplyBytes: number,
): Promise<Written> {
  const document = copied(writeDocument(run, eachId(ids), outcomes, tally, conclude), maxReplyBytes);
  const isWritten = await store.write(run.id, document.chunks, stopping.signal);
  return isWritten ? { document: document.text() } : undefined;
}

/** Writes the results, as they come, and then the document that names them, which is the mark that they are whole. */
async function writeApart(
  { run, ids, outcomes, tally, conclude, stopping, outOfTime }: Writing,
  store: RunStore,
  maxReplyBytes: number,
): Promise<Written> {
  const unfinished = await store.findOutcomes(run.id, outOfTime);
  const object = await store.writeOutcomes(
    run.id,
    unfinished,
    `${run.requestId} ${run.startedAt}`,
    writeOutcomes(eachId(ids), outcomes, tally),
    stopping.signal,
  );
  if (!object) return undefined;
  const document = copied(
    Readable.from([Buffer.from(documentWithout(conclude(object), object))]),
    maxReplyBytes,
  );
  const isWritten = await store.write(run.id, document.chunks, outOfTime);
  return isWritten ? { document: document.text() } : undefined;
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
  maxReplyBytes: number,
  signal: AbortSignal,
): Promise<Run | undefined> {
  const { runId, batch, isIdempotencyKey } = request;
  const stored = await store.find(runId, signal);
  if (!stored) return undefined;
  const { idsSha256, returnExceptions } = stored.run;
  if (idsSha256 !== batch.idsSha256 || returnExceptions !== batch.returnExceptions) {
    const what = idsSha256 === batch.idsSha256 ? 'in another mode' : 'of other ids';
    if (isIdempotencyKey)
      throw new IdempotencyKeyReusedError(`The Idempotency-Key ${runId} was used before for a batch ${what}`);
    throw new RunConflictError(`The runId ${runId} names an earlier run ${what}`);
  }
  return replayOf(runId, stored, store, maxReplyBytes, signal);
}

/** What a run that is stored came to, with its document where that is small enough. */
export async function replayOf(
  runId: string,
  { documentBytes, etag: _, ...report }: StoredRun,
  store: RunStore,
  maxReplyBytes: number,
  signal: AbortSignal,
): Promise<Run> {
  const document = documentBytes <= maxReplyBytes ? await store.read(runId, signal) : undefined;
  return { ...report, runId, location: store.location(runId), replayed: true, document };
}

function heldBytes(outcome: PromiseSettledResult<Post>): number {
  if (outcome.status === 'fulfilled') return POST_OVERHEAD_BYTES + outcome.value.value.length;
  const error: unknown = outcome.reason;
  return POST_OVERHEAD_BYTES + (error instanceof PostError ? error.reason.message.length : 0);
}

/** Passes chunks through, and keeps their text as long as it has at most `maxBytes`. */
function copied(chunks: AsyncIterable<Buffer>, maxBytes: number) {
  const kept: Buffer[] = [];
  let bytes = 0;
  const passing = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes <= maxBytes) kept.push(chunk);
      else kept.length = 0;
      yield chunk;
    }
  };
  return { chunks: passing(), text: () => (bytes <= maxBytes ? Buffer.concat(kept).toString() : undefined) };
}
