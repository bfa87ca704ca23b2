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

/** What Date.parse gave, unless it is none. */
export function validMs(time: number): number | undefined {
  return Number.isNaN(time) ? undefined : time;
}
