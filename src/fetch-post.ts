import type { Attempt, RequestPost } from './attempt.ts';
import { type Clock, sleep } from './clock.ts';
import type { Id } from './ids.ts';
import { type FetchRecord, type Post, PostError, type Reason } from './outcome.ts';
import { isNoData, postJson } from './post-json.ts';
import { backoffMs, retryAfterMs } from './retry.ts';

export interface FetchPostOptions {
  readonly requestPost: RequestPost;
  readonly clock: Clock;
  /** 0 to 1, for the jitter. */
  readonly random: () => number;
  readonly maxAttempts: number;
  readonly attemptTimeoutMs: number;
  readonly maxBodyBytes: number;
  /** When the run started, by the clock. */
  readonly startMs: number;
  /** When posts must have an outcome, by the clock. */
  readonly deadlineMs: number;
}

/**
 * Fetches one post. Resolves with it, or rejects with a PostError, or with the signal's reason when that aborts.
 * Throws the PostError, as a mapper of `gather` may, when the deadline has passed already.
 */
export type FetchPost = (id: Id, signal: AbortSignal) => Promise<Post>;

type Failure = Reason & { readonly error?: Error; readonly retryAfterMs?: number | undefined };

/**
 * Makes a `fetchPost` that tries again what may pass, as the table of reason codes in the README says: after a
 * backoff with full jitter, and never sooner than Retry-After allows. What cannot be tried again before the
 * deadline ends at once, so that no time is spent on waiting for nothing.
 */
export function fetchPostWith(options: FetchPostOptions): FetchPost {
  const { requestPost, clock, random, maxAttempts, attemptTimeoutMs, startMs, deadlineMs } = options;
  // Timers count whole milliseconds: less is no time.
  const isOver = (): boolean => deadlineMs - clock.now() < 1;

  const fetchPost: FetchPost = async (id, signal) => {
    const firstMs = clock.now();
    let httpStatus: number | null = null;

    for (let attempts = 1; ; attempts++) {
      const record = (): FetchRecord => ({
        httpStatus,
        attempts,
        startedMs: Math.round(firstMs - startMs),
        durationMs: Math.round(clock.now() - firstMs),
      });
      const rejection = ({ error, retryAfterMs: _, ...reason }: Failure): PostError =>
        new PostError(id, reason, record(), error && { cause: error });

      const timeLeftMs = deadlineMs - clock.now();
      const attempt = await requestPost(id, Math.min(attemptTimeoutMs, timeLeftMs), signal);
      httpStatus = 'status' in attempt ? attempt.status : null;
      if (attempt.kind === 'timed-out' && timeLeftMs <= attemptTimeoutMs) throw rejection(deadlineReason(id));

      const result = judge(id, attempt, options);
      if (Buffer.isBuffer(result)) return { value: result, ...record() };
      if (!result.retryable || attempts >= maxAttempts) throw rejection(result);
      const waitMs = (result.retryAfterMs ?? 0) + backoffMs(attempts, random);
      if (clock.now() + waitMs >= deadlineMs)
        throw rejection(result.retryAfterMs === undefined ? deadlineReason(id) : result);
      await sleep(clock, waitMs, signal);
      if (isOver()) throw rejection(deadlineReason(id));
    }
  };

  return (id, signal) => {
    // Without a promise, which would be most of the cost of ninety thousand of them.
    if (isOver()) throw new PostError(id, deadlineReason(id), NEVER_ATTEMPTED);
    return fetchPost(id, signal);
  };
}

const NEVER_ATTEMPTED: FetchRecord = { httpStatus: null, attempts: 0, startedMs: null, durationMs: null };

/** The value of a post that came, or why it counts as failed. */
function judge(id: Id, attempt: Attempt, options: FetchPostOptions): Buffer | Failure {
  switch (attempt.kind) {
    case 'response':
      return attempt.status < 300
        ? judgeBody(id, attempt.body)
        : judgeStatus(id, attempt, options.clock.date());
    case 'too-large':
      return failure('TOO_LARGE', `Post ${id} is larger than ${options.maxBodyBytes} bytes`, false);
    case 'timed-out':
      return failure('TIMEOUT', `Post ${id} did not come within ${options.attemptTimeoutMs} ms`, true);
    case 'failed':
      return {
        ...failure('NETWORK', `Post ${id} could not be fetched: ${attempt.code}`, true),
        cause: attempt.code,
        error: attempt.error,
      };
  }
}

function judgeBody(id: Id, body: Buffer): Buffer | Failure {
  let value: Buffer;
  try {
    value = postJson(body);
  } catch {
    // The parser's message quotes the body, which has no place in logs or replies.
    return failure('BAD_JSON', `Post ${id} is not JSON in UTF-8`, false);
  }
  return isNoData(value) ? noData('NO_DATA', id) : value;
}

function judgeStatus(id: Id, response: Extract<Attempt, { kind: 'response' }>, date: Date): Failure {
  const { status, redirect } = response;
  if (status === 404 || status === 410) return noData('NOT_FOUND', id);
  const afterMs = retryAfterMs(response.retryAfter, date);
  if (status === 429 || (status === 503 && afterMs !== undefined))
    return {
      ...failure('RATE_LIMITED', `Post ${id} was rate limited: HTTP ${status}`, true),
      retryAfterMs: afterMs,
    };
  const retryable = status === 408 || status === 425 || status >= 500;
  const message = `Post ${id} answered HTTP ${status}${redirect === undefined ? '' : `, ${redirect}`}`;
  return { ...failure('HTTP_ERROR', message, retryable), retryAfterMs: retryable ? afterMs : undefined };
}

function noData(code: 'NOT_FOUND' | 'NO_DATA', id: Id): Failure {
  return failure(code, `No data for post ${id}`, false);
}

function deadlineReason(id: Id): Failure {
  return failure('DEADLINE', `The function's time ran out before post ${id} was fetched`, true);
}

function failure(code: Reason['code'], message: string, retryable: boolean): Failure {
  return { code, message, retryable };
}
