import { createHash } from 'node:crypto';

/** A post's id: an integer ≥ 0 (a safe one), or 1–128 characters out of `A-Z a-z 0-9 . _ ~ -`, not `.` or `..`. */
export type Id = number | string;

/** Consecutive integers, both ends included. */
export interface IdRange {
  readonly from: number;
  readonly to: number;
}

/** Ids as they were given. Ranges stay ranges: a billion ids take no more room than one. */
export type IdList = readonly (Id | IdRange)[];

/** Ids that are joined before they are hashed: joining is faster than adding them up. */
const HASHED_AT_ONCE = 2_048;

/** What is equal for two ids that name the same post, as `1` and `"1"` do. */
export function idKey(id: Id): string {
  return String(id);
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
