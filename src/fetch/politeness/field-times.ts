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
  return untilTimeMs(seconds < MIN_EPOCH_MS ? seconds * 1_000 : seconds, date);
}

/** The milliseconds from `date` until an HTTP date; 0 where that has passed. */
export function untilHttpDateMs(value: string, date: Date): number | undefined {
  const time = httpDateMs(value);
  return time === undefined ? undefined : untilTimeMs(time, date);
}

/** From there on a number is no time in milliseconds that anybody lives to see. */
const MIN_NO_TIME = 1e14;
const ISO_DATE = /^\d{4}-\d\d-\d\d[t ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?( ?(?:z|utc|[+-]\d\d:?\d\d))?$/i;

/** The milliseconds from `date` until the reset of a quota: a delay or a time, in any form that is in use. */
export function untilResetMs(value: string, date: Date): number | undefined {
  const seconds = secondsOf(value);
  if (seconds !== undefined) return seconds < MIN_NO_TIME ? untilMs(seconds, date) : undefined;
  const [iso, zone] = ISO_DATE.exec(value) ?? [];
  if (iso === undefined) return untilHttpDateMs(value, date) ?? durationMs(value);
  const time = validMs(Date.parse(zone === undefined ? `${iso}Z` : iso));
  return time === undefined ? undefined : untilTimeMs(time, date);
}

const UNIT_MS = new Map([
  ['ns', 1e-6],
  ['us', 1e-3],
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/** A duration as Go writes it: `6m0s`, `1h2m3.5s`, `250ms`. */
function durationMs(value: string): number | undefined {
  if (!/^(?:\d+(?:\.\d+)?(?:[num]?s|[mhd]))+$/.test(value)) return undefined;
  return [...value.matchAll(/([\d.]+)([a-z]+)/g)].reduce(
    (ms, [, amount, unit]) => ms + Number(amount) * Number(UNIT_MS.get(String(unit))),
    0,
  );
}

/** IMF-fixdate and RFC 850's form, and what is as plain: a day of one digit, hyphens before a whole year, no weekday. */
const HTTP_DATE =
  /^(?:[a-z]{3,9},? )?\d{1,2}[ -][a-z]{3}[ -]\d{2}(?:\d{2})? \d{2}:\d{2}:\d{2} (?:gmt|utc?|z|[+-]\d{4})$/i;
/** asctime's form has no zone, and means GMT; some say so all the same. */
const ASCTIME_DATE = /^([a-z]{3} [a-z]{3} \d{1,2} \d{2}:\d{2}:\d{2})(?: gmt| utc)?( \d{4})(?: gmt| utc)?$/i;

/**
 * The milliseconds since 1970 of an HTTP date in any of its three forms (RFC 9110, 5.6.7), in either case, with one
 * blank between its parts, and with `UTC` or an offset in place of `GMT` as well. Undefined for anything else.
 */
export function httpDateMs(text: string): number | undefined {
  if (HTTP_DATE.test(text)) return validMs(Date.parse(text));
  // Without a zone Date.parse takes local time.
  if (ASCTIME_DATE.test(text)) return validMs(Date.parse(text.replace(ASCTIME_DATE, '$1$2 GMT')));
  return undefined;
}

function validMs(time: number): number | undefined {
  return Number.isNaN(time) ? undefined : time;
}

function untilTimeMs(time: number, date: Date): number {
  return Math.max(0, time - date.getTime());
}

/** The longest of the waits that there are. */
export function longest(waits: readonly (number | undefined)[]): number | undefined {
  const known = waits.filter((wait) => wait !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}
