import type { RateLimitFields } from '../origin/attempt.ts';
import { longest, secondsOf, untilHttpDateMs, untilMs, valuesOf } from './field-times.ts';
import type { Quota } from './quotas.ts';

/**
 * The milliseconds that a Retry-After header asks for, from `date` on: it holds seconds, of which fractions are
 * rounded up, or an HTTP date (RFC 9110, 10.2.3); a number that can only be a time since 1970 is one. A time that has
 * passed asks for 0. Of several values the longest wait counts, so that none is broken; quotes and white space around
 * them say nothing. Undefined where none of them can be read.
 */
export function retryAfterMs(header: string | undefined, date: Date): number | undefined {
  if (header === undefined) return undefined;
  return longest(
    valuesOf(header).map((value) => {
      const seconds = secondsOf(value);
      return seconds === undefined ? untilHttpDateMs(value, date) : untilMs(Math.ceil(seconds), date);
    }),
  );
}

/** Whether nothing is left of a quota: less than a request. A limit below 0 is how some say that there is none. */
export function isUsedUp({ limit = 0, remaining }: Quota): boolean {
  return remaining !== undefined && remaining < 1 && limit >= 0;
}

/** A number below 1 begins so, with a minus sign, a dot or a zero and no other digit. */
const BELOW_1 = /(?<![\d.])(?:-|0*\.|0+(?!\d))/;
/** The same of what is left, in a structured field: many a reset is 0. */
const LEFT_BELOW_1 = /\br(?:emaining)?\s*=\s*[%"]*(?:-|0*\.|0+(?!\d))/i;

/** Whether a quota may be used up. Quick, and never false where one is: most responses have nothing of the kind. */
export function mayBeUsedUp(fields: RateLimitFields): boolean {
  for (const name in fields) {
    const below1 = name.includes('remaining') ? BELOW_1 : name.endsWith('limit') ? LEFT_BELOW_1 : undefined;
    if (below1?.test(String(fields[name]))) return true;
  }
  return false;
}

function isForLong({ limit, windowMs = Infinity }: Quota, isPaced: boolean): boolean {
  return limit !== 0 && !(isPaced && windowMs <= DUE_MS);
}

/** Resets count whole seconds, rounded either way: one that is due has come when this is over. */
export const DUE_MS = 1_000;

/**
 * For how many milliseconds a response with these quotas asks to be left alone: until all that are used up are given
 * again. Where it `refuses` the request, one counts as used up if it is said of none how much is left; one that is due
 * by now is still to come; and one of which it is not said when, comes within its window. One that is
 * used up though the request was taken, is none if its limit is 0; nor, where its pace is kept to, if its window is a
 * second or less: a bucket that is empty for a moment says so as well. Undefined where they ask for nothing.
 */
export function untilGivenMs(
  quotas: readonly Quota[],
  refuses: boolean,
  isPaced = false,
): number | undefined {
  const usedUp = quotas.filter((quota) => isUsedUp(quota) && (refuses || isForLong(quota, isPaced)));
  const unsaid = quotas.filter(({ remaining }) => remaining === undefined);
  if (usedUp.length === 0 && !(refuses && unsaid.length === quotas.length)) return undefined;
  // The reset may stand in a field of another kind than what is left.
  const resetMs =
    longest(usedUp.map((quota) => quota.resetMs)) ?? longest(unsaid.map((quota) => quota.resetMs));
  if (resetMs === undefined) return longest(usedUp.map((quota) => quota.windowMs));
  return refuses ? resetMs || DUE_MS : resetMs;
}
