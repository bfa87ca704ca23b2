import { backoffMs } from '../base/backoff.ts';
import { type Clock, sleep } from '../base/clock.ts';
import { keptText } from '../base/kept-text.ts';
import type { Id } from '../batch/ids.ts';
import { type AttemptResult, type AttemptSettings, isSuccess, type Response } from './origin/attempt.ts';
import { type FetchRecord, type Post, PostError, type Reason, type ReasonCode } from './outcome.ts';
import type { Gate, Refusal } from './politeness/gate.ts';
import type { LimiterPorts } from './politeness/limiter.ts';
import { verdictOf } from './politeness/verdict.ts';
import { isNoData, MAX_NESTING, NestingError, postJson } from './post-json.ts';
import type { FailedBy, RetryBudget, RetrySettings } from './retries.ts';

export interface FetchPostPorts extends LimiterPorts {
  readonly gate: Gate;
  readonly retryBudget: RetryBudget;
}

/** By the clock. */
export interface RunTimes {
  readonly startMs: number;
  /** When posts must have an outcome. */
  readonly deadlineMs: number;
}

/**
 * Fetches one post. Resolves with it, or rejects with a PostError, or with the signal's reason when that aborts.
 * Throws the PostError, as a mapper of `gather` may, where no attempt can be made any more.
 */
export type FetchPost = (id: Id, signal: AbortSignal) => Promise<Post>;

/**
 * `ownMessage`: the message without what the origin sent, where that is another. `failedBy`: how it counts for the
 * retry budget, where it is a refusal.
 */
type Failure = Reason & { readonly ownMessage?: string; readonly failedBy?: FailedBy };

/**
 * Makes a `fetchPost` that tries again what may pass, as the table of reason codes in docs/document.md says: after
 * a backoff with full jitter, when its turn comes, and while the run's retry budget lasts, which a post that was turned
 * away and told for how long does not use. What cannot be tried again before the deadline ends at once, so that no time
 * is spent on waiting for nothing.
 */
export function fetchPostWith(
  settings: AttemptSettings & RetrySettings,
  { gate, retryBudget, clock, random }: FetchPostPorts,
  { startMs, deadlineMs }: RunTimes,
): FetchPost {
  const fetchPost: FetchPost = async (id, signal) => {
    let firstMs = 0;
    let waitedMs = 0;
    /** When the last attempt ended. */
    let endedMs = 0;
    let httpStatus: number | null = null;
    let isHedged = false;
    let failed: Failure | undefined;

    for (let attempts = 1; ; attempts++) {
      const record = (): FetchRecord => {
        const durationMs = Math.round(clock.now() - firstMs);
        return {
          httpStatus,
          attempts,
          startedMs: Math.round(firstMs - startMs),
          durationMs,
          // Sums of fractions may be off by their last bit.
          waitedMs: Math.min(Math.round(waitedMs), durationMs),
          ...(isHedged && { hedged: true }),
        };
      };
      const rejection = ({ ownMessage, failedBy: _, ...reason }: Failure, of = record()): PostError =>
        new PostError(id, reason, of, ownMessage);

      // A post that was refused does not go first: all others would wait, and it be refused again and again.
      const isUrgent = failed !== undefined && failed.failedBy === undefined;
      const attempted = await gate.attempt(id, attempts > 1, isUrgent, signal);
      if (typeof attempted === 'string') {
        if (!failed) throw rejection(refused(id, attempted), NEVER_ATTEMPTED);
        retryBudget.putBack(failed.failedBy);
        attempts -= 1;
        waitedMs += clock.now() - endedMs;
        throw rejection(refused(id, attempted, failed));
      }
      const { result, startedMs, hedged, cutShort } = attempted;
      if (attempts === 1) firstMs = startedMs;
      else waitedMs += startedMs - endedMs;
      isHedged ||= hedged;
      httpStatus = 'status' in result ? result.status : null;
      if (result.kind === 'timed-out' && cutShort) throw rejection(deadlineReason(id));

      const judged = judge(id, result, settings, clock);
      if (Buffer.isBuffer(judged)) return { value: judged, ...record() };
      failed = judged;
      if (!failed.retryable || attempts >= settings.maxAttempts) throw rejection(failed);
      const refusal = gate.refusal();
      if (refusal) throw rejection(refused(id, refusal, failed));
      const waitMs = backoffMs(attempts, random);
      endedMs = clock.now();
      if (endedMs + waitMs >= deadlineMs) throw rejection(deadlineReason(id));
      if (!retryBudget.take(failed.failedBy)) throw rejection(failed);
      await sleep(clock, waitMs, signal);
    }
  };

  return (id, signal) => {
    // Without a promise each: a run that ends early may have most of its posts left.
    const refusal = gate.refusal();
    if (refusal) throw new PostError(id, refused(id, refusal), NEVER_ATTEMPTED);
    return fetchPost(id, signal);
  };
}

const NEVER_ATTEMPTED: FetchRecord = {
  httpStatus: null,
  attempts: 0,
  startedMs: null,
  durationMs: null,
  waitedMs: null,
};

/** Why a post failed for which no attempt is made, or no other after it has `failed`. */
function refused(id: Id, refusal: Refusal, failed?: Failure): Failure {
  if (refusal === 'deadline') return deadlineReason(id);
  if (failed) return failed;
  const notAsked = `Post ${id} was not asked for: the origin`;
  return refusal === 'rate-limited'
    ? failure('RATE_LIMITED', `${notAsked} wants a longer wait than there is time`, true)
    : { ...failure('NETWORK', `${notAsked} cannot be reached`, true), cause: 'CIRCUIT_OPEN' };
}

/** The value of a post that came, or why it counts as failed. */
function judge(id: Id, result: AttemptResult, settings: AttemptSettings, clock: Clock): Buffer | Failure {
  switch (result.kind) {
    case 'response':
      return isSuccess(result.status) ? judgeBody(id, result.body) : judgeStatus(id, result, clock.date());
    case 'too-large':
      return failure('TOO_LARGE', `Post ${id} is larger than ${settings.maxBodyBytes} bytes`, false);
    case 'unknown-coding':
      return failure(
        'BAD_JSON',
        `Post ${id} is in a content coding that is not known`,
        false,
        `: ${result.coding}`,
      );
    case 'timed-out':
      return failure('TIMEOUT', `Post ${id} did not come within ${settings.attemptTimeoutMs} ms`, true);
    case 'failed':
      return {
        ...failure('NETWORK', `Post ${id} could not be fetched: ${result.code}`, true),
        cause: result.code,
      };
  }
}

function judgeBody(id: Id, body: Buffer): Buffer | Failure {
  let value: Buffer;
  try {
    value = postJson(body);
  } catch (error) {
    if (error instanceof NestingError)
      return failure('TOO_LARGE', `Post ${id} is nested more than ${MAX_NESTING} deep`, false);
    return failure('BAD_JSON', `Post ${id} is not JSON in UTF-8`, false);
  }
  return isNoData(value) ? noData('NO_DATA', id) : value;
}

function judgeStatus(id: Id, response: Response, date: Date): Failure {
  const { status, redirect } = response;
  if (status === 404 || status === 410) return noData('NOT_FOUND', id);
  const { isRateLimited, isRetryable, pauseMs } = verdictOf(response, date);
  if (isRateLimited) {
    const limited = failure('RATE_LIMITED', `Post ${id} was rate limited: HTTP ${status}`, true);
    return { ...limited, failedBy: pauseMs > 0 ? 'told refusal' : 'refusal' };
  }
  const received = redirect === undefined ? '' : `, ${redirect}`;
  const failed = failure('HTTP_ERROR', `Post ${id} answered HTTP ${status}`, isRetryable, received);
  // As many rate limits say it, nginx's above all.
  return status === 503 ? { ...failed, failedBy: 'refusal' } : failed;
}

function noData(code: 'NOT_FOUND' | 'NO_DATA', id: Id): Failure {
  return failure(code, `No data for post ${id}`, false);
}

function deadlineReason(id: Id): Failure {
  return failure('DEADLINE', `The function's time ran out before post ${id} was fetched`, true);
}

/** Every reason is made here. `received` is what the origin sent, which the message ends in. */
function failure(code: ReasonCode, ownMessage: string, retryable: boolean, received = ''): Failure {
  const reason = { code, message: keptText(ownMessage + received), retryable };
  return received === '' ? reason : { ...reason, ownMessage };
}
