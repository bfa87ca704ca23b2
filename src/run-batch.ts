import type { RequestPost } from './attempt.ts';
import type { Clock } from './clock.ts';
import { type RunHead, type RunReport, writeDocument } from './document.ts';
import { IdempotencyKeyReusedError, RunConflictError, StoreError } from './errors.ts';
import type { RunRequest } from './event.ts';
import { fetchOnceWith } from './fetch-once.ts';
import { fetchPostWith } from './fetch-post.ts';
import { gatherStream } from './gather.ts';
import { eachId } from './ids.ts';
import type { Post } from './outcome.ts';
import { countRepeats } from './repeats.ts';
import type { RunObserver } from './run-observer.ts';
import type { RunStore } from './run-store.ts';
import { Tally } from './tally.ts';
import { startTraffic } from './traffic.ts';
import type { UrlTemplate } from './url-template.ts';
import { ValueSpool } from './value-spool.ts';

/** What a run needs of the world. */
export interface RunPorts {
  readonly store: RunStore;
  readonly requestPost: RequestPost;
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
/** About what a post holds in memory besides its value. */
const POST_OVERHEAD_BYTES = 600;
const REPEATS_IN_MEMORY_BYTES = 8 * 1024 * 1024;
/** When writing has to give up, so that its parts are cleaned up and the error is reported. */
const GIVE_UP_MS = 250;

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
  const { store, clock, observer } = ports;
  const outOfTime = new AbortController();
  const cancelGiveUp = clock.after(time.remainingMs - GIVE_UP_MS, () =>
    outOfTime.abort(
      new StoreError(
        `${store.location(request.runId)} could not be written before the function's time ran out`,
      ),
    ),
  );
  const start: RunStart = {
    startMs: clock.now(),
    run: headOf(request, settings, clock.date()),
    outOfTime: outOfTime.signal,
  };
  observer.runStarted(start.run);
  try {
    const earlier = await findEarlier(request, store, time.maxReplyBytes, start.outOfTime);
    const run = earlier ?? (await fetchAndStore(request, settings, ports, time, start));
    if (run.replayed) observer.runReplayed(run);
    else observer.runEnded(run);
    return run;
  } catch (error) {
    observer.runFailed(start.run, error);
    throw error;
  } finally {
    cancelGiveUp();
  }
}

interface RunStart {
  /** By the clock. */
  readonly startMs: number;
  readonly run: RunHead;
  /** Aborts when the run has to give up. */
  readonly outOfTime: AbortSignal;
}

async function fetchAndStore(
  request: RunRequest,
  settings: RunSettings,
  ports: RunPorts,
  { remainingMs, maxReplyBytes }: RunTime,
  { startMs, run, outOfTime }: RunStart,
): Promise<Run> {
  outOfTime.throwIfAborted();
  const { runId } = request;
  const { store, clock, observer } = ports;
  const { ids, requested, returnExceptions } = request.batch;
  const countOccurrences = countRepeats(ids);
  const tally = new Tally(countOccurrences, observer);
  const spool = new ValueSpool({ memoryBytes: REPEATS_IN_MEMORY_BYTES });
  const stopping = new AbortController();
  outOfTime.addEventListener('abort', () => stopping.abort(outOfTime.reason), { once: true });
  const deadlineMs = startMs + remainingMs - settings.writeReserveMs;
  const traffic = startTraffic({ ...settings, ...ports, deadlineMs, requested });
  const fetchPost = fetchOnceWith(
    fetchPostWith({ ...settings, ...ports, ...traffic, startMs, deadlineMs }),
    countOccurrences,
    spool,
  );
  const outcomes = gatherStream(eachId(ids), (id, _index, signal) => fetchPost(id, signal), {
    concurrency: settings.concurrency,
    returnExceptions,
    signal: stopping.signal,
    window: WINDOW_POSTS,
    windowBytes: WINDOW_BYTES,
    byteLength: heldBytes,
  });
  const { promise: report, resolve } = Promise.withResolvers<RunReport>();
  const conclude = (): RunReport => {
    const durationMs = clock.now() - startMs;
    const finishedAt = new Date(Date.parse(run.startedAt) + durationMs);
    const summary = { ...tally.summary(finishedAt, durationMs), ...traffic.report() };
    const concluded = { run, errors: tally.errors(), summary };
    resolve(concluded);
    return concluded;
  };
  const document = copied(writeDocument(run, eachId(ids), outcomes, tally, conclude), maxReplyBytes);
  try {
    if (await store.write(runId, document.chunks, stopping))
      return {
        ...(await report),
        runId,
        location: store.location(runId),
        replayed: false,
        document: document.text(),
      };
  } finally {
    await spool.close();
  }
  const stored = await findEarlier(request, store, maxReplyBytes, outOfTime);
  if (!stored)
    throw new StoreError(`${store.location(runId)} could not be written: another write ran into it`);
  // It may be our own document, which S3 had stored before its answer was lost and the SDK sent it again.
  const isOwn = stored.run.requestId === run.requestId && stored.run.startedAt === run.startedAt;
  return { ...stored, replayed: !isOwn };
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
  const { documentBytes, ...report } = stored;
  const { idsSha256, returnExceptions } = report.run;
  if (idsSha256 !== batch.idsSha256 || returnExceptions !== batch.returnExceptions) {
    const what = idsSha256 === batch.idsSha256 ? 'in another mode' : 'of other ids';
    if (isIdempotencyKey)
      throw new IdempotencyKeyReusedError(`The Idempotency-Key ${runId} was used before for a batch ${what}`);
    throw new RunConflictError(`The runId ${runId} names an earlier run ${what}`);
  }
  const document = documentBytes <= maxReplyBytes ? await store.read(runId, signal) : undefined;
  return { ...report, runId, location: store.location(runId), replayed: true, document };
}

function heldBytes(outcome: PromiseSettledResult<Post>): number {
  return POST_OVERHEAD_BYTES + (outcome.status === 'fulfilled' ? outcome.value.value.length : 0);
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
