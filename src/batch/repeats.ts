import { type Id, type IdList, idKey } from './ids.ts';

/** How often an id occurs in the batch that was counted: 1, or more for an id that is repeated. */
export type CountOccurrences = (id: Id) => number;

/**
 * Finds out which ids of a list are repeated, without writing ranges out: by sweeping over the ends of its
 * integers and ranges, sorted. Time and space go with the length of the list, not with the ids it stands for;
 * what is kept goes with the repeats alone.
 */
export function countRepeats(ids: IdList): CountOccurrences {
  const names = new Map<string, number>();
  const from: number[] = [];
  const to: number[] = [];
  for (const id of ids) {
    const n = typeof id === 'object' ? undefined : asInteger(id);
    if (typeof id === 'object') {
      from.push(id.from);
      to.push(id.to);
    } else if (n !== undefined) {
      from.push(n);
      to.push(n);
    } else names.set(idKey(id), (names.get(idKey(id)) ?? 0) + 1);
  }
  const repeated = overlaps(Float64Array.from(from).sort(), Float64Array.from(to).sort());
  for (const [name, count] of names) if (count === 1) names.delete(name);
  if (repeated.length === 0 && names.size === 0) return () => 1;
  return (id) => {
    const n = asInteger(id);
    return n === undefined ? (names.get(idKey(id)) ?? 1) : coverAt(repeated, n);
  };
}

/** A stretch of integers that occur `count` times each, `count` being 2 or more. */
interface Overlap {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

function overlaps(from: Float64Array, to: Float64Array): Overlap[] {
  const found: Overlap[] = [];
  let count = 0;
  let start = 0;
  for (let i = 0, j = 0; j < to.length; ) {
    const opens = from[i] ?? Infinity;
    const closes = to[j] as number;
    // A range that ends at n still covers n: it closes at n + 1.
    const at = opens <= closes ? opens : closes + 1;
    if (count > 1 && at > start) found.push({ from: start, to: at - 1, count });
    start = at;
    if (opens <= closes) {
      count += 1;
      i += 1;
    } else {
      count -= 1;
      j += 1;
    }
  }
  return found;
}

function coverAt(found: readonly Overlap[], n: number): number {
  let low = 0;
  let high = found.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((found[middle] as Overlap).to < n) low = middle + 1;
    else high = middle;
  }
  const overlap = found[low];
  return overlap && overlap.from <= n ? overlap.count : 1;
}

/** The number of an id that is one, or is written as one: `7` and `"7"`, but not `"07"`, name post 7. */
function asInteger(id: Id): number | undefined {
  if (typeof id === 'number') return id;
  const n = Number(id);
  return Number.isSafeInteger(n) && idKey(n) === id ? n : undefined;
}
