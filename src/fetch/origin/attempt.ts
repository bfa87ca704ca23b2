import type { Id } from '../../batch/ids.ts';

/** The status of an answer, and the header fields that ask to wait. */
export interface AnswerHead {
  readonly status: number;
  /** `Retry-After`, as it came; several lines are one list. */
  readonly retryAfter?: string | undefined;
  /** Left out where the response has none of them, or comes from a cache. */
  readonly rateLimit?: RateLimitFields;
  /** `Date`, the origin's time, where the response has one of these and does not come from a cache. */
  readonly date?: string;
}

/** What an attempt is held to. */
export interface AttemptSettings {
  /** Milliseconds for one attempt, connecting and body included: an integer from 1 to 900,000. @default 5_000 */
  readonly attemptTimeoutMs: number;
  /** Most bytes of a body after decompression: an integer from 1 to 104,857,600. @default 1_048_576 */
  readonly maxBodyBytes: number;
}

/** What came of an attempt. */
export type AttemptResult =
  | ({
      readonly kind: 'response';
      /** Empty unless the status is 2xx. */
      readonly body: Buffer;
      /** Why a redirect was not followed. */
      readonly redirect?: string | undefined;
      /** Whether the origin said, in the way of HTTP/2, that it is asked too much. */
      readonly isThrottled?: true;
    } & AnswerHead)
  | ({ readonly kind: 'too-large' } & AnswerHead)
  /** `coding` is what its Content-Encoding says that we do not know. */
  | ({ readonly kind: 'unknown-coding'; readonly coding: string } & AnswerHead)
  | { readonly kind: 'timed-out' }
  | {
      readonly kind: 'failed';
      /** What went wrong, in one word: the system's code, or the parser's. */
      readonly code: string;
      /**
       * true where a status had come; false for a new connection that could not be made, or failed before the first byte
       * of an answer, told once a connection; undefined where it says nothing of whether the origin can be reached.
       */
      readonly isReachable?: boolean | undefined;
      /** Whether the server said, in the way of HTTP/2, that it is asked too much. */
      readonly isThrottled?: true;
    };

export type Response = Extract<AttemptResult, { kind: 'response' }>;

/** Whether a status says that the body is the post. */
export function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/** The header fields that tell of an origin's quotas, as they came, by their names in lower case. */
export type RateLimitFields = Readonly<Record<string, string>>;

/**
 * Asks the origin for a post once. Its clock, `timeoutMs`, starts when the attempt does.
 * With `onOtherConnection` it does not share a connection with any request that is in flight.
 * Resolves with whatever came of it; rejects only with the signal's reason, once it has aborted.
 */
export type RequestPost = (
  id: Id,
  timeoutMs: number,
  signal: AbortSignal,
  onOtherConnection?: boolean,
) => Promise<AttemptResult>;

/** The origin, as runs see it. */
export interface RunOrigin {
  /**
   * To be called when a run starts. From the first answer on that nobody asked for, no connection takes a second request
   * for the rest of the run, and for five minutes: what comes could be taken for that request's answer.
   */
  startRun(): OriginRun;
}

interface OriginRun {
  readonly requestPost: RequestPost;
  /** How many answers that nobody asked for have come since the run started. */
  unsolicited(): number;
}
