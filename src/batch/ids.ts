import { createHash } from 'node:crypto';
import { badInput, TooLargeError } from '../base/errors.ts';

/** A post's id: an integer ≥ 0 (a safe one), or 1–128 characters out of `A-Z a-z 0-9 . _ ~ -`, not `.` or `..`. */
export type Id = number | string;

/** Consecutive integers, both ends included. */
interface IdRange {
  readonly from: number;
  readonly to: number;
}

/** Ids as they were given. Ranges stay ranges: a billion ids take no more room than one. */
export type IdList = readonly (Id | IdRange)[];

/** Joining them is faster than adding them up. */
const HASHED_AT_ONCE = 2_048;
const NAME = /^(?!\.{1,2}$)[A-Za-z0-9._~-]{1,128}$/;
const NAME_EXPECTED = '1 to 128 characters out of A-Z a-z 0-9 . _ ~ - (not "." or "..")';
const INTEGER_EXPECTED = `an integer from 0 to ${Number.MAX_SAFE_INTEGER}`;
const ID_EXPECTED = `${INTEGER_EXPECTED}, a range {"from", "to"}, or ${NAME_EXPECTED}`;

/** Whether two ids name the same post: `1` and `"1"` do. */
export function idKey(id: Id): string {
  return String(id);
}

/** Checks a run id, or a post id that is text. Throws BadInputError. */
export function parseName(value: unknown, path: string): string {
  if (typeof value !== 'string' || !NAME.test(value)) throw badInput(path, NAME_EXPECTED, value);
  return value;
}

/** Checks the `ids` of a JSON event. Throws BadInputError, or TooLargeError for more than `maxIds`. */
export function parseIds(value: unknown, path: string, maxIds: number): IdList {
  if (!Array.isArray(value)) throw badInput(path, 'an array of ids', value);
  requireAtMost(maxIds, value.length, path);
  const ids = value.map((id, i) => parseId(id, `${path}[${i}]`));
  requireAtMost(maxIds, countIds(ids), path);
  return ids;
}

/**
 * Reads ids from text: `1,2,7-9,a-slug`. All digits is a number, digits-digits a range, anything else a name.
 * Throws as `parseIds` does.
 */
export function parseIdsText(text: string, path: string, maxIds: number): IdList {
  if (text.trim() === '') throw badInput(path, 'comma-separated ids and ranges', text);
  const parts = text.split(',', maxIds + 1);
  requireAtMost(maxIds, parts.length, path);
  const ids = parts.map((part, i) => parseIdText(part.trim(), `${path}[${i}]`));
  requireAtMost(maxIds, countIds(ids), path);
  return ids;
}

/** Checks an id or a range that was JSON. Throws BadInputError. */
export function parseId(value: unknown, path: string): Id | IdRange {
  if (typeof value === 'number') return parseInteger(value, path, ID_EXPECTED);
  if (typeof value === 'string') return parseName(value, path);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw badInput(path, ID_EXPECTED, value);
  for (const key of Object.keys(value))
    if (key !== 'from' && key !== 'to') throw badInput(path, 'a range with "from" and "to" alone', value);
  const { from, to } = value as Partial<Record<'from' | 'to', unknown>>;
  return range(parseInteger(from, `${path}.from`), parseInteger(to, `${path}.to`), path, value);
}

/** Reads one id from text: all digits is a number, anything else a name. Throws BadInputError. */
export function parsePlainId(text: string, path: string): Id {
  return /^\d+$/.test(text) ? parseDigits(text, path, text) : parseName(text, path);
}

/** How many ids the list stands for. */
export function countIds(ids: IdList): number {
  return ids.reduce<number>((sum, id) => sum + (typeof id === 'object' ? id.to - id.from + 1 : 1), 0);
}

/** Each id, in order, one at a time. */
export function* eachId(ids: IdList): Generator<Id, void, undefined> {
  for (const id of ids) {
    if (typeof id === 'object') for (let n = id.from; n <= id.to; n++) yield n;
    else yield id;
  }
}

/**
 * The SHA-256, in hex, of the ids as one JSON array without white space, ranges written out:
 * `printf '[1,99999,3]' | sha256sum`.
 */
export function hashIds(ids: IdList): string {
  const hash = createHash('sha256').update('[');
  let separator = '';
  let items: Id[] = [];
  const flush = (): void => {
    hash.update(separator + items.join());
    separator = ',';
    items = [];
  };
  const add = (item: Id): void => {
    items.push(item);
    if (items.length === HASHED_AT_ONCE) flush();
  };
  for (const id of ids) {
    if (typeof id === 'object') for (let n = id.from; n <= id.to; n++) add(n);
    // No character of a name needs an escape.
    else add(typeof id === 'number' ? id : `"${id}"`);
  }
  if (items.length > 0) flush();
  return hash.update(']').digest('hex');
}

function parseIdText(text: string, path: string): Id | IdRange {
  const ends = /^(\d+)-(\d+)$/.exec(text);
  if (!ends) return parsePlainId(text, path);
  return range(parseDigits(ends[1], path, text), parseDigits(ends[2], path, text), path, text);
}

function range(from: number, to: number, path: string, got: unknown): IdRange {
  if (from > to) throw badInput(path, 'a range whose "from" is not above its "to"', got);
  return { from, to };
}

function parseDigits(digits: unknown, path: string, got: string): number {
  // The error shows the text: the number may have lost digits.
  return parseInteger(Number(digits), path, INTEGER_EXPECTED, got);
}

function parseInteger(value: unknown, path: string, expected = INTEGER_EXPECTED, got = value): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw badInput(path, expected, got);
  // JSON has a -0, which names post 0.
  return value === 0 ? 0 : value;
}

function requireAtMost(maxIds: number, count: number, path: string): void {
  if (count > maxIds)
    throw new TooLargeError(`Expected \`${path}\` to hold at most ${maxIds} ids (MAX_IDS), got ${count}`);
}
