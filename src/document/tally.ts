import { createHistogram } from 'node:perf_hooks';
import { type Id, idKey } from '../batch/ids.ts';
import type { CountOccurrences } from '../batch/repeats.ts';
import type { TrafficSummary } from '../fetch/fetching.ts';
import type { FetchRecord, Reason, ReasonCode } from '../fetch/outcome.ts';

/** The errors of a run, as they stand in the document and in replies. */
export interface ErrorSummary {
  readonly total: number;
  readonly byCode: Partial<Record<ReasonCode, number>>;
  /** The first 10, in the order of the ids. */
  readonly first: readonly FirstError[];
  /** Each distinct id whose outcome is retryable, in order: `{"ids": <that>}` is the event that redrives them. */
  readonly retryableIds: readonly Id[];
}

export interface FirstError {
  readonly index: number;
  readonly id: Id;
  readonly code: ReasonCode;
  readonly message: string;
}

/** Milliseconds from a post's first attempt to its outcome, over the posts that were attempted; null where none was. */
interface Latency {
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

/** What the outcomes of a run add up to. */
export interface OutcomeSummary {
  /** ISO 8601. */
  readonly finishedAt: string;
  readonly durationMs: number;
  readonly requested: number;
  readonly fulfilled: number;
  readonly rejected: number;
  /** Attempts made for posts, each repeated post counted once; hedges are counted apart. */
  readonly attempts: number;
  /** false where the deadline, or a wait past it, left posts unfetched. */
  readonly complete: boolean;
  readonly latencyMs: Latency;
}

/** What a run came to, and what it did for that. */
export type RunSummary = OutcomeSummary & TrafficSummary;

/** What is counted of a post that failed. */
interface Failure {
  readonly reason: Reason;
  readonly record: FetchRecord;
}

type OnRejected = (index: number, id: Id, code: ReasonCode) => void;

const FIRST_ERRORS = 10;
/** Above any that a function lives to see. */
const MAX_LATENCY_MS = 2 ** 31;

/**
 * Counts outcomes as they pass, and calls `onRejected` for each that is rejected. What it holds does not grow with them,
 * but for the ids to redrive.
 */
export class Tally {
  readonly #countOccurrences: CountOccurrences;
  readonly #onRejected: OnRejected | undefined;
  readonly #repeatsSeen = new Set<string>();
  readonly #byCode: Partial<Record<ReasonCode, number>> = {};
  readonly #first: FirstError[] = [];
  readonly #retryableIds: Id[] = [];
  // An HDR histogram: its quantiles are within 0.1 %, whatever their number.
  readonly #latency = createHistogram({ lowest: 1, highest: MAX_LATENCY_MS, figures: 3 });
  #fulfilled = 0;
  #rejected = 0;
  #attempts = 0;
  #maxMs = 0;
  #isComplete = true;

  constructor(countOccurrences: CountOccurrences, onRejected?: OnRejected) {
    this.#countOccurrences = countOccurrences;
    this.#onRejected = onRejected;
  }

  addFulfilled(id: Id, record: FetchRecord): void {
    this.#fulfilled += 1;
    this.#addFetch(id, record);
  }

  addRejected(index: number, { reason, record }: Failure, id: Id): void {
    const { code, message, retryable } = reason;
    this.#rejected += 1;
    this.#onRejected?.(index, id, code);
    if (code === 'DEADLINE' || (code === 'RATE_LIMITED' && record.attempts === 0)) this.#isComplete = false;
    this.#byCode[code] = (this.#byCode[code] ?? 0) + 1;
    if (this.#first.length < FIRST_ERRORS) this.#first.push({ index, id, code, message });
    if (this.#addFetch(id, record) && retryable) this.#retryableIds.push(id);
  }

  errors(): ErrorSummary {
    return {
      total: this.#rejected,
      byCode: this.#byCode,
      first: this.#first,
      retryableIds: this.#retryableIds,
    };
  }

  summary(finishedAt: Date, durationMs: number): OutcomeSummary {
    return {
      finishedAt: finishedAt.toISOString(),
      durationMs: Math.round(durationMs),
      requested: this.#fulfilled + this.#rejected,
      fulfilled: this.#fulfilled,
      rejected: this.#rejected,
      attempts: this.#attempts,
      complete: this.#isComplete,
      latencyMs: {
        p50: this.#quantile(50),
        p90: this.#quantile(90),
        p99: this.#quantile(99),
        max: this.#latency.count === 0 ? null : this.#maxMs,
      },
    };
  }

  /** Counts what was done for a post, at the first of its positions. Says whether this is the first. */
  #addFetch(id: Id, { attempts, durationMs }: FetchRecord): boolean {
    if (this.#countOccurrences(id) > 1) {
      const key = idKey(id);
      if (this.#repeatsSeen.has(key)) return false;
      this.#repeatsSeen.add(key);
    }
    this.#attempts += attempts;
    if (durationMs !== null) {
      // The histogram takes no 0.
      this.#latency.record(durationMs + 1);
      this.#maxMs = Math.max(this.#maxMs, durationMs);
    }
    return true;
  }

  #quantile(percent: number): number | null {
    const { count } = this.#latency;
    if (count === 0) return null;
    // The nearest rank is rounded up; the histogram rounds to the nearest, and so gets an exact rank.
    const rank = Math.ceil((count * percent) / 100);
    return Math.min(this.#latency.percentile((100 * rank) / count) - 1, this.#maxMs);
  }
}
