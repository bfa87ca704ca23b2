import type { Id } from './ids.ts';

/** What came of one request. */
export type Attempt =
  | {
      readonly kind: 'response';
      readonly status: number;
      /** Empty unless the status is 2xx. */
      readonly body: Buffer;
      /** `Retry-After`, as it came; several lines are one list. */
      readonly retryAfter?: string | undefined;
      /** Left out where the response has none of them, or comes from a cache. */
      readonly rateLimit?: RateLimitFields;
      /** `Date`, the origin's time, where the response has one of these and does not come from a cache. */
      readonly date?: string;
      /** Why a redirect was not followed. */
      readonly redirect?: string | undefined;
    }
  | { readonly kind: 'too-large'; readonly status: number }
  | { readonly kind: 'timed-out' }
  | { readonly kind: 'failed'; readonly code: string; readonly error: Error };

export type Response = Extract<Attempt, { kind: 'response' }>;

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
) => Promise<Attempt>;
