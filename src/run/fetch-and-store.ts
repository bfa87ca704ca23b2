import { Readable } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import { follow } from '../base/abort.ts';
import { StoreError } from '../base/errors.ts';
import { LEAST_RESERVE_MS } from '../base/time-limit.ts';
import { countIds, eachId, type IdList } from '../batch/ids.ts';
import { countRepeats } from '../batch/repeats.ts';
import { documentWithout, type Outcome, writeDocument, writeOutcomes } from '../document/document.ts';
import type { OutcomesFormat, Output, RunHead, RunReport } from '../document/run-head.ts';
import { type OutcomeSummary, Tally } from '../document/tally.ts';
import { fetchOnceWith } from '../fetch/fetch-once.ts';
import {
  type FetchPorts,
  type FetchSettings,
  startFetching,
  type TrafficSummary,
} from '../fetch/fetching.ts';
import type { UrlTemplate } from '../fetch/origin/url-template.ts';
import { type Post, PostError } from '../fetch/outcome.ts';
import type { Finding, OriginMemory } from '../fetch/politeness/origin-memory.ts';
import { ValueSpool } from '../fetch/value-spool.ts';
import { gatherStream } from '../gather.ts';
import type { ClaimStore } from '../store/claim-store.ts';
import type { RunStore } from '../store/run-store.ts';
import type { RunObserver } from './observer.ts';
import type { Progress } from './progress.ts';
import type { Run } from './replay.ts';

/** What a run needs of the world. */
export interface RunPorts extends FetchPorts {
  readonly store: RunStore;
  readonly claims: ClaimStore;
  readonly observer: RunObserver;
  /** A name for the run's writes that no other delivery has, not even one of the same request in the same millisecond. */
  readonly newWriter: () => string;
  /** What runs found out of the origin. @default nothing is kept, and nothing that a run is given is used */
  readonly memory?: OriginMemory | undefined;
}

/** How a run is done: how its posts are fetched, and how its document is written. */
export interface RunSettings extends FetchSettings {
  /** Where the posts are. */
  readonly postUrl: UrlTemplate;
  /** Milliseconds of the function's time that are kept back for writing the document, 1000 at least. @default 3000 */
  readonly writeReserveMs: number;
  /** @default 'json' */
  readonly output: Output;
}

/** What is left of the function's time when the run starts. */
export interface RunTime {
  readonly remainingMs: number;
}

/** What a run that is a part of another has of the origin. */
export interface OriginShare {
  /** Most parts that are fetched at once, this one included: an integer ≥ 1. */
  readonly partsInFlight: number;
  /** What the origin was found to take in all, if it was. */
  readonly learned: Finding | undefined;
}

/** Outcomes as they are fetched: from when the first is asked for, ahead of whoever takes them. */
export type FetchedPosts = AsyncGenerator<PromiseSettledResult<Post>, void, undefined>;

/** A run that is to be done. */
export interface RunWork {
  readonly run: RunHead;
  /** When the run started, by the clock. */
  readonly startMs: number;
  /** Aborts when the run has to give up. */
  readonly outOfTime: AbortSignal;
  /** Told of each outcome that is fetched. */
  readonly progress: Progress;
  /** The outcomes that need not be fetched. @default none */
  readonly standing?: Pick<OutcomeSummary, 'fulfilled' | 'rejected'>;
  /** The ids of the document. */
  readonly ids: IdList;
  /** The ids among them that are fetched, in the same order. */
  readonly toFetch: IdList;
  /** Makes the outcomes of `ids` of the outcomes of `toFetch`. The stream ends when `signal` aborts. */
  readonly place: (fetched: FetchedPosts, signal: AbortSignal) => AsyncGenerator<Outcome, void, undefined>;
  /** The run that is stored under the id of this one; rejects where it is another. */
  readonly findStored: () => Promise<Run | undefined>;
  /** @default the run has the origin to itself, and nothing is known of that */
  readonly share: OriginShare | undefined;
  /** What the run that this one takes up has found out of the same origin, with the same share. */
  readonly found?: Finding | undefined;
}

/** docs/adr/0002-reorder-window.md says how both bounds were chosen. */
const WINDOW_POSTS = 4_096;
const WINDOW_BYTES = 8 * 1024 * 1024;
/** A post holds about so much in memory besides its value, or the message of its failure. */
const POST_OVERHEAD_BYTES = 600;
const REPEATS_IN_MEMORY_BYTES = 8 * 1024 * 1024;
/** A constant: a signal that is given no reason makes an error of its own, with a stack. */
const STOPPED_EARLY = 'The outcomes are not taken any more';

/**
 * Fetches posts, and writes their outcomes as one document, unless there is one by then, which is replayed. Ends as
 * `runBatch` does.
 */
export async function fetchAndStore(
  { run, startMs, outOfTime, progress, standing, ids, toFetch, place, findStored, share, found }: RunWork,
  settings: RunSettings,
  ports: RunPorts,
  { remainingMs }: RunTime,
): Promise<Run> {
  outOfTime.throwIfAborted();
  const { store, clock, observer, memory } = ports;
  const countOccurrences = countRepeats(ids);
  const tally = new Tally(countOccurrences, (index, id, code) => observer.postRejected(index, id, code));
  const spool = new ValueSpool({ memoryBytes: REPEATS_IN_MEMORY_BYTES });
  using stopping = follow(outOfTime);
  const { signal } = stopping;
  const writeReserveMs = Math.max(settings.writeReserveMs, LEAST_RESERVE_MS);
  const deadlineMs = startMs + remainingMs - writeReserveMs;
  const sharers = share?.partsInFlight ?? 1;
  const fetching = startFetching(settings, ports, {
    startMs,
    deadlineMs,
    requested: countIds(toFetch),
    learned: memory?.recall(sharers, { own: found, whole: share?.learned }),
  });
  const fetchPost = progress.counting(fetchOnceWith(fetching.fetchPost, countOccurrences, spool));
  progress.begin(deadlineMs, standing);
  const fetched = gatherStream(eachId(toFetch), (id, _, signal) => fetchPost(id, signal), {
    concurrency: settings.concurrency,
    returnExceptions: run.returnExceptions,
    signal,
    window: WINDOW_POSTS,
    windowBytes: WINDOW_BYTES,
    byteLength: heldBytes,
  });
  const outcomes = place(fetched, signal);
  const ended: { report?: RunReport } = {};
  const report = (): RunReport => {
    // In this order: no pause ends behind the run.
    ended.report ??= endOf(run, tally, fetching.summary(), clock.now() - startMs);
    return ended.report;
  };
  const location = store.location(run.id);
  try {
    const { output } = settings;
    const writing = { run, ids, outcomes, tally, report, signal, outOfTime };
    const written = await (output === 'json'
      ? writeWhole(writing, ports)
      : writeApart(writing, output, ports));
    if (written) return { ...written, runId: run.id, location, replayed: false };
  } finally {
    // Whatever has ended the writing, nothing of the run goes on after it.
    stopping.abort(STOPPED_EARLY);
    await outcomes.return();
    await fetched.return();
    await spool.close();
    // A run that failed has met the origin as well.
    memory?.note({ ...fetching.summary().learned, at: clock.date().toISOString() }, sharers);
  }
  const stored = await findStored();
  if (!stored) throw new StoreError(`${location} could not be written: another write ran into it`);
  // The document may be our own: S3 had stored it before its answer was lost and the SDK sent it again.
  return { ...stored, replayed: !saysTheSame(stored, ended.report) };
}

/** Whether a stored document says of its run what this one has ended with, to the millisecond of each figure. */
function saysTheSame({ run, errors, summary }: RunReport, ours: RunReport | undefined): boolean {
  return ours !== undefined && isDeepStrictEqual({ run, errors, summary }, JSON.parse(JSON.stringify(ours)));
}

function endOf(run: RunHead, tally: Tally, traffic: TrafficSummary, durationMs: number): RunReport {
  const finishedAt = new Date(Date.parse(run.startedAt) + durationMs);
  const summary = { ...tally.summary(finishedAt, durationMs), ...traffic };
  return { run, errors: tally.errors(), summary };
}

/** A run that is being fetched, and what is to be written of it. */
interface Writing {
  readonly run: RunHead;
  readonly ids: IdList;
  readonly outcomes: AsyncIterable<Outcome>;
  readonly tally: Tally;
  /** Ends the run at the first call, when the last outcome is written. */
  readonly report: () => RunReport;
  readonly signal: AbortSignal;
  readonly outOfTime: AbortSignal;
}

/** Writes one document, as its results come. Undefined where there is a document by then. */
async function writeWhole(
  { run, ids, outcomes, tally, report, signal }: Writing,
  { store }: RunPorts,
): Promise<RunReport | undefined> {
  const document = writeDocument(run, eachId(ids), outcomes, tally, report);
  return (await store.write(run.id, document, signal)) ? report() : undefined;
}

/**
 * Writes the results, as they come, and then the document that names them, which is the mark that they are whole.
 * Undefined where there is a document by then, or another delivery writes one.
 */
async function writeApart(
  { run, ids, outcomes, tally, report, signal, outOfTime }: Writing,
  format: OutcomesFormat,
  { store, newWriter }: RunPorts,
): Promise<RunReport | undefined> {
  const unfinished = await store.findOutcomes(run.id, format, outOfTime);
  const lines = writeOutcomes(run.id, eachId(ids), outcomes, tally);
  const object = await store.writeOutcomes(run.id, format, unfinished, newWriter(), lines, signal);
  if (!object) return undefined;
  const whole = { ...report(), outcomes: object };
  const document = Readable.from([Buffer.from(documentWithout(whole))]);
  return (await store.write(run.id, document, outOfTime)) ? whole : undefined;
}

function heldBytes(outcome: PromiseSettledResult<Post>): number {
  if (outcome.status === 'fulfilled') return POST_OVERHEAD_BYTES + outcome.value.value.length;
  const error: unknown = outcome.reason;
  return POST_OVERHEAD_BYTES + (error instanceof PostError ? error.reason.message.length : 0);
}
