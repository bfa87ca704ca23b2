import type { Id } from '../batch/ids.ts';

/**
 * Why a post failed: the codes that `reason.code` can have. A new one is decided on in fetch-post.ts, by its status in
 * politeness/verdict.ts, and stands in README's table and in the document's schema.
 */
export const REASON_CODES = [
  'NOT_FOUND',
  'NO_DATA',
  'HTTP_ERROR',
  'RATE_LIMITED',
  'TIMEOUT',
  'NETWORK',
  'BAD_JSON',
  'TOO_LARGE',
  'DEADLINE',
] as const;
export type ReasonCode = (typeof REASON_CODES)[number];

/** How a post was fetched, whatever came of it. */
export interface FetchRecord {
  /** The status that the last attempt was answered with; null where it got no answer. */
  readonly httpStatus: number | null;
  /** Attempts made; redirects and hedges are none of their own. */
  readonly attempts: number;
  /** Milliseconds from the start of the run to the first attempt; null where there was none. */
  readonly startedMs: number | null;
  /** Milliseconds from the first attempt to the outcome, waits included; null where there was none. */
  readonly durationMs: number | null;
  /** Of `durationMs`, the milliseconds without an attempt under way; null where there was no attempt, or nobody says. */
  readonly waitedMs?: number | null;
  /** Whether another request, or two, was sent for an attempt that was late; they are no attempts of their own. */
  readonly hedged?: true;
}

/** A post that was fetched. */
export interface Post extends FetchRecord {
  /** The JSON that the server sent, token for token, without white space between the tokens. */
  readonly value: Buffer;
}

/** Why a post failed, as it stands in the document. */
export interface Reason {
  readonly code: ReasonCode;
  /** At most 300 characters, some of which the origin may have sent. */
  readonly message: string;
  /** Whether another run may succeed. */
  readonly retryable: boolean;
  /**
   * For NETWORK: the system's code, `ECONNRESET` say, or that of a parser or decoder; `CIRCUIT_OPEN` where the post was
   * not asked for.
   */
  readonly cause?: string;
}

/**
 * A post that failed: what `fetchPost` rejects with, and what a fail-fast run throws. Whoever throws it may have it
 * printed, property by property, into a log: what an origin sent is in none of them.
 */
export class PostError extends Error {
  override readonly name = 'PostError';
  readonly id: Id;
  readonly code: ReasonCode;
  readonly record: FetchRecord;
  readonly #reason: Reason;

  /** `message` is that of the reason without what the origin sent. */
  constructor(id: Id, reason: Reason, record: FetchRecord, message = reason.message) {
    // Without a stack: it says nothing about a post, and costs more than all else of an outcome.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message);
    Error.stackTraceLimit = stackTraceLimit;
    this.id = id;
    this.code = reason.code;
    this.record = record;
    this.#reason = reason;
  }

  /** As it stands in the document. */
  get reason(): Reason {
    return this.#reason;
  }
}
