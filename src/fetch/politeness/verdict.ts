import { type AnswerHead, type AttemptResult, isSuccess, type RateLimitFields } from '../origin/attempt.ts';
import { isUsedUp, mayBeUsedUp, retryAfterMs, untilGivenMs } from './asked-pause.ts';
import type { Feedback } from './concurrency-limit.ts';
import { httpDateMs, valuesOf } from './field-times.ts';
import { type Quota, quotasOf } from './quotas.ts';

/** What a result means for its post, beside what its body is; for the requests in flight; and for all others. */
export interface Verdict {
  /** Whether there were too many requests, as the answer says. */
  readonly isRateLimited: boolean;
  /** Whether another try may get another answer. */
  readonly isRetryable: boolean;
  readonly feedback: Feedback;
  /** Milliseconds for which the answer asks that the origin be left alone; 0 where the answer does not ask. */
  readonly pauseMs: number;
  /** Whether the origin can be reached, or cannot; undefined where that is not shown. */
  readonly isReachable: boolean | undefined;
}

/** Statuses that are final but for a Retry-After: GitHub's secondary limits, Twitter's, Shopify's. */
const LIMITED_WHERE_TOLD = new Set([403, 420, 430]);

/** What a result means that came at `date`. `isPaced`: whether the pace that quotas tell is kept to. */
export function verdictOf(result: AttemptResult, date: Date, isPaced = false): Verdict {
  if ('status' in result) {
    const verdict = answerVerdict(result, date, isPaced);
    return 'isThrottled' in result ? { ...verdict, feedback: 'throttled' } : verdict;
  }
  const noAnswer = { isRateLimited: false, isRetryable: true, pauseMs: 0 };
  if (result.kind === 'timed-out') return { ...noAnswer, feedback: 'timed-out', isReachable: undefined };
  const { isThrottled, isReachable } = result;
  return { ...noAnswer, feedback: isThrottled ? 'throttled' : 'unknown', isReachable };
}

/**
 * The quotas that the fields of an answer tell of that came at `date`. A time that they are given again at is taken for
 * as soon as the parts of a second allow that the origin's Date leaves out.
 */
export function quotasToldBy(
  fields: RateLimitFields,
  answer: Pick<AnswerHead, 'date'>,
  date: Date,
): readonly Quota[] {
  const now = originDate(answer, date);
  return quotasOf(fields, now === date ? now : new Date(now.getTime() + 1_000));
}

/** Whether another try may get another answer than this. */
export function isRetryable(result: AttemptResult): boolean {
  if ('status' in result && isSuccess(result.status)) return false;
  return verdictOf(result, ANY_DATE).isRetryable;
}

/** The date decides how long a wait is, and not whether another try may help. */
const ANY_DATE = new Date(0);

/**
 * An answer asks for a pause by its Retry-After, where its status says that another try may succeed (408, 425, 429,
 * 5xx) or has none but for that (403, 420, 430); else by quotas that are used up, whatever its status. Retry-After goes
 * first, as it is about this very request.
 */
function answerVerdict(answer: AnswerHead, date: Date, isPaced: boolean): Verdict {
  const { status, retryAfter, rateLimit } = answer;
  // What is no status of HTTP is taken for a 5xx (RFC 9110, 15).
  const mayPass = status === 408 || status === 425 || status >= 500 || status < 100;
  const isLimit = status === 429 || status === 503;
  const quotasMatter = rateLimit !== undefined && (isLimit || mayBeUsedUp(rateLimit));
  if (retryAfter === undefined && !quotasMatter) return statusVerdict(status, status === 429, mayPass);

  const now = originDate(answer, date);
  const isTold = mayPass || isLimit || LIMITED_WHERE_TOLD.has(status);
  const toldMs = isTold ? retryAfterMs(retryAfter, now) : undefined;
  const quotas = quotasMatter ? quotasOf(rateLimit, now) : [];
  const hasNoneLeft = (isLimit || status === 403) && quotas.some(isUsedUp);
  const isRateLimited =
    status === 429 || hasNoneLeft || (toldMs !== undefined && (isLimit || LIMITED_WHERE_TOLD.has(status)));
  return {
    ...statusVerdict(status, isRateLimited, mayPass),
    // A quota that is used up says that there were too many requests, whatever the status.
    ...(hasNoneLeft && { feedback: 'throttled' }),
    pauseMs: toldMs ?? untilGivenMs(quotas, status === 429 || hasNoneLeft, isPaced) ?? 0,
  };
}

function statusVerdict(status: number, isRateLimited: boolean, mayPass: boolean): Verdict {
  const isRetryable = isRateLimited || mayPass;
  return {
    isRateLimited,
    isRetryable,
    feedback: feedbackOf(status, isRateLimited),
    pauseMs: 0,
    isReachable: true,
  };
}

function feedbackOf(status: number, isRateLimited: boolean): Feedback {
  if (status === 503) return 'overloaded';
  if (isRateLimited) return 'throttled';
  return status >= 100 && status < 500 ? 'answered' : 'unknown';
}

/** A clock that is off by more is none to go by. */
const MOST_SKEW_MS = 86_400_000;

/**
 * What time it was for the origin, whose times are by its own clock. Its Date leaves out the parts of a second, so that
 * a wait may be as much longer, and is never shorter.
 */
function originDate({ date: field = '' }: Pick<AnswerHead, 'date'>, date: Date): Date {
  const time = httpDateMs(String(valuesOf(field)[0]));
  if (time === undefined || Math.abs(date.getTime() - time) > MOST_SKEW_MS) return date;
  return new Date(time);
}
