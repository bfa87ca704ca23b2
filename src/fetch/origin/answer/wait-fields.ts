import type { Response } from '../attempt.ts';

export type Headers = Readonly<Record<string, string | string[] | undefined>>;

const NONE = { retryAfter: undefined };
/** RateLimit, RateLimit-*, X-RateLimit-*, X-Rate-Limit-*. */
const RATE_LIMIT = /^(?:x-)?rate-?limit(?:-|$)/;
const [R, X] = [0x72, 0x78];
/** What is longer would only cost time. */
const MOST_CHARS = 1_024;
const MOST_NAME_CHARS = 64;

/**
 * The fields of a response, whose names are in lower case, that ask to be waited, and its Date beside them. What a
 * cache kept (`Age` is over 0) tells nothing of a quota now, nor of the time.
 */
export function waitFieldsOf(headers: Headers): Pick<Response, 'retryAfter' | 'rateLimit' | 'date'> {
  const retryAfter = textOf(headers['retry-after']);
  const rateLimit = rateLimitIn(headers);
  if (retryAfter === undefined && rateLimit === undefined) return NONE;
  if (isOver0(textOf(headers.age))) return { retryAfter };
  const date = textOf(headers.date);
  return { retryAfter, ...(rateLimit && { rateLimit }), ...(date !== undefined && { date }) };
}

function rateLimitIn(headers: Headers): Record<string, string> | undefined {
  let found: Record<string, string> | undefined;
  for (const name in headers) {
    // Each answer passes here, and few of its fields begin so.
    const first = name.charCodeAt(0);
    if ((first !== R && first !== X) || name.length > MOST_NAME_CHARS || !RATE_LIMIT.test(name)) continue;
    const text = textOf(headers[name]);
    if (text === undefined) continue;
    found ??= {};
    found[name] = text;
  }
  return found;
}

/** A field that came in several lines is one list (RFC 9110, 5.3). One that is longer than any of use says nothing. */
function textOf(value: string | string[] | undefined): string | undefined {
  const text = Array.isArray(value) ? value.join(', ') : value;
  return text !== undefined && text.length > MOST_CHARS ? undefined : text;
}

function isOver0(age = ''): boolean {
  return age.split(/[\s,"]+/).some((each) => Number.parseFloat(each) > 0);
}
