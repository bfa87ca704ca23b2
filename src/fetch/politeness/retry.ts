import { httpDateMs } from './http-date.ts';

const BACKOFF_BASE_MS = 100;
const BACKOFF_CAP_MS = 5_000;

/**
 * How long to wait after the `failures`th failed attempt: anything from 0 to 100 ms × 2^(failures − 1), at most
 * 5 s, evenly drawn by `random` (0 to 1). This is "full jitter" of the AWS Architecture Blog's "Exponential Backoff
 * And Jitter": posts that failed together do not come back together.
 */
export function backoffMs(failures: number, random: () => number): number {
  return random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** (failures - 1));
}

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

/** A comma, but for the one behind the weekday of a date. */
const SEPARATOR = /(?<!\b(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}),/i;

/** The values of a field that came once or more often, without quotes, and with one blank for any white space. */
export function valuesOf(field: string): readonly string[] {
  return field
    .replace(/["']/g, ' ')
    .split(SEPARATOR)
    .map((value) => value.replace(/\s+/g, ' ').trim());
}

/** A number of at least 0, in digits alone. */
export function secondsOf(value: string): number | undefined {
  return /^(?:\d+\.?\d*|\.\d+)$/.test(value) ? Number(value) : undefined;
}

/** From there on a number is no delay, but a time since 1970: in seconds, and from there on in milliseconds. */
const MIN_EPOCH_SECONDS = 1e9;
const MIN_EPOCH_MS = 1e11;

/** The milliseconds of a delay in seconds, or those from `date` until a time since 1970; 0 where that has passed. */
export function untilMs(seconds: number, date: Date): number {
  if (seconds < MIN_EPOCH_SECONDS) return seconds * 1_000;
  return Math.max(0, (seconds < MIN_EPOCH_MS ? seconds * 1_000 : seconds) - date.getTime());
}

/** The milliseconds from `date` until an HTTP date; 0 where that has passed. */
export function untilHttpDateMs(value: string, date: Date): number | undefined {
  const time = httpDateMs(value);
  return time === undefined ? undefined : Math.max(0, time - date.getTime());
}

/** The longest of the waits that there are. */
export function longest(waits: readonly (number | undefined)[]): number | undefined {
  const known = waits.filter((wait) => wait !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}
