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

const IMF_FIXDATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;
const RFC_850_DATE = /^[A-Z][a-z]{5,8}, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT$/;
const ASCTIME_DATE = /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/;

/**
 * The milliseconds that a Retry-After header asks for, from `date` on: it holds seconds or an HTTP date
 * (RFC 9110, 10.2.3 and 5.6.7). A date that has passed asks for 0. Undefined for anything else.
 */
export function retryAfterMs(header: string | undefined, date: Date): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d+$/.test(header)) return Number(header) * 1000;
  const time = httpDate(header);
  return time === undefined ? undefined : Math.max(0, time - date.getTime());
}

function httpDate(text: string): number | undefined {
  if (IMF_FIXDATE.test(text) || RFC_850_DATE.test(text)) return valid(Date.parse(text));
  // Without a zone Date.parse takes local time; asctime's form means GMT.
  if (ASCTIME_DATE.test(text)) return valid(Date.parse(`${text} GMT`));
  return undefined;
}

function valid(time: number): number | undefined {
  return Number.isNaN(time) ? undefined : time;
}
