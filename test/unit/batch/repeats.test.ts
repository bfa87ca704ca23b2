import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { eachId, type Id, type IdList, idKey } from '../../../src/batch/ids.ts';
import { countRepeats } from '../../../src/batch/repeats.ts';

describe('countRepeats', () => {
  test('counts 1 for every id of a list without repeats', () => {
    const count = countRepeats([3, 1, { from: 5, to: 9 }, 'a', '07']);
    expect([3, 1, 5, 7, 9, 'a', '07'].map(count)).toStrictEqual([1, 1, 1, 1, 1, 1, 1]);
  });

  test('an empty list has no repeats', () => {
    expect(countRepeats([])(1)).toBe(1);
  });

  test('a number and its text name the same post, but not with a zero before it', () => {
    const count = countRepeats([7, '7', '07', '7.0', '7e0']);
    expect([7, '7', '07', '7.0', '7e0'].map(count)).toStrictEqual([2, 2, 1, 1, 1]);
  });

  test('names count by themselves', () => {
    const count = countRepeats(['a', 'b', 'a', '-1', 'a', '-1']);
    expect(['a', 'b', '-1'].map(count)).toStrictEqual([3, 1, 2]);
  });

  test('ranges overlap at their ends, but not next to each other', () => {
    const count = countRepeats([{ from: 1, to: 5 }, { from: 5, to: 8 }, { from: 9, to: 12 }, 12]);
    expect([4, 5, 6, 8, 9, 11, 12, 13].map(count)).toStrictEqual([1, 2, 1, 1, 1, 1, 2, 1]);
  });

  test('an id that is in no overlap counts 1, wherever it lies', () => {
    const count = countRepeats([1, 10, 10, 20, 30, 30, 40]);
    expect([1, 10, 20, 30, 40].map(count)).toStrictEqual([1, 2, 1, 2, 1]);
  });

  test('a range of everything costs no more than an id', () => {
    const everything = { from: 0, to: Number.MAX_SAFE_INTEGER };
    const count = countRepeats([everything, everything, Number.MAX_SAFE_INTEGER]);
    expect([0, 123_456_789, Number.MAX_SAFE_INTEGER].map(count)).toStrictEqual([2, 2, 3]);
  });

  test('text of an integer that is not safe is a name', () => {
    const count = countRepeats(['9007199254740993', Number.MAX_SAFE_INTEGER, '9007199254740993']);
    expect(['9007199254740993', Number.MAX_SAFE_INTEGER].map(count)).toStrictEqual([2, 1]);
  });

  test('counts as one who writes every range out, for any list', () => {
    const small = fc.nat(30);
    const range = fc.tuple(small, small).map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) }));
    const text = fc.oneof(
      small.map(String),
      small.map((n) => `0${n}`),
      fc.constantFrom('a', 'b', '1.0', '-1', '~'),
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(small, range, text), { maxLength: 20 }), (ids) => {
        const count = countRepeats(ids);
        const naive = naiveCounts(ids);
        for (const id of eachId(ids)) expect([id, count(id)]).toStrictEqual([id, naive.get(idKey(id))]);
      }),
      { numRuns: 1_000 },
    );
  });
});

function naiveCounts(ids: IdList): Map<string, number> {
  const counts = new Map<string, number>();
  const add = (id: Id) => counts.set(idKey(id), (counts.get(idKey(id)) ?? 0) + 1);
  for (const id of eachId(ids)) add(id);
  return counts;
}
