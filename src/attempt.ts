import type { Id } from './ids.ts';

/** What came of one request. */
export type Attempt =
  | {
      readonly kind: 'response';
      readonly status: number;
      /** Empty unless the status is 2xx. */
      readonly body: Buffer;
      readonly retryAfter?: string | undefined;
      /** Left out where the response has none of them. */
      readonly rateLimit?: RateLimitFields;
      /** Why a redirect was not followed. */
      readonly redirect?: string | undefined;
    }
  | { readonly kind: 'too-large'; readonly status: number }
  | { readonly kind: 'timed-out' }
  | { readonly kind: 'failed'; readonly code: string; readonly error: Error };

/** The header fields that tell of an origin's quota, as they came (draft-ietf-httpapi-ratelimit-headers). */
export interface RateLimitFields {
  /** `RateLimit`, which its drafts have given more than one form. */
  readonly limit: string | undefined;
  /** `RateLimit-Remaining`, of the drafts before 08, as is the next. */
  readonly remaining: string | undefined;
  /** `RateLimit-Reset` */
  readonly reset: string | undefined;
}

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
) => Promise<Attempt>;

/** Whether another try may get another answer than this. */
export function isRetryable(status: number): boolean {
  return status === 429 || status === 408 || status === 425 || status >= 500;
}

/** Whether an answer of this status says that there are too many requests. */
export function isThrottled(status: number): boolean {
  return status === 429 || status === 503;
}
