import { isRecord } from './is-record.ts';

const EXCERPT_CHARS = 80;
/** Enough of either end of a place to know it by. */
const END_CHARS = 50;

/**
 * What came, as a message may show it: a text or a number as JSON, of an array its length, of an object the first of
 * its fields. Takes no longer for what is large or deep than for what is small, and has at most some 500 bytes.
 */
export function excerpt(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return `an array of ${value.length}`;
  return isRecord(value) ? fieldsOf(value) : scalar(value);
}

/** The start of a text that is too long to be shown, 80 characters, and `…`. */
export function shorten(text: string): string {
  return text.length > EXCERPT_CHARS ? `${text.slice(0, EXCERPT_CHARS)}…` : text;
}

/**
 * The same for a text that is told from others by its end as well, a key in S3 say: both ends, of 50 characters unless told, and `…`
 * between.
 */
export function shortenInside(text: string, endChars = END_CHARS): string {
  return text.length > 2 * endChars ? `${text.slice(0, endChars)}…${text.slice(-endChars)}` : text;
}

function fieldsOf(record: Readonly<Record<string, unknown>>): string {
  let text = '';
  for (const key of Object.keys(record)) {
    if (text.length > EXCERPT_CHARS) break;
    text += `${text && ','}${scalar(key)}:${innerValue(record[key])}`;
  }
  return shorten(`{${text}}`);
}

function innerValue(value: unknown): string {
  if (Array.isArray(value)) return '[…]';
  return isRecord(value) ? '{…}' : scalar(value);
}

function scalar(value: unknown): string {
  // Shortened before it is quoted: what came may be megabytes.
  return typeof value === 'string' ? JSON.stringify(shorten(value)) : shorten(String(value));
}
