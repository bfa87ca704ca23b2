import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Entry, LinkedList } from '../../../src/base/linked-list.ts';

const valuesOf = <T>(list: LinkedList<T>) => list.entries().map(({ value }) => value);

describe('a linked list', () => {
  test('gives its values in the order in which they came', () => {
    const list = new LinkedList<number>();
    for (const value of [1, 2, 3]) list.push(value);
    expect([list.first, list.shift(), list.shift(), list.shift(), list.shift(), list.first]).toStrictEqual([
      1,
      1,
      2,
      3,
      undefined,
      undefined,
    ]);
  });

  test('says whether an entry was still there, and takes it out once', () => {
    const list = new LinkedList<string>();
    const entry = list.push('a');
    list.push('b');
    expect([list.delete(entry), list.delete(entry), valuesOf(list), list.size]).toStrictEqual([
      true,
      false,
      ['b'],
      1,
    ]);
  });

  test('an entry that is out leads to no other', () => {
    const list = new LinkedList<number>();
    const entries = [1, 2, 3].map((value) => list.push(value));
    list.delete(entries[1] as Entry<number>);
    expect({ ...entries[1] }).toStrictEqual({
      value: 2,
      previous: undefined,
      next: undefined,
      isListed: false,
    });
  });

  test('is as an array is, whatever is put in and taken out', () => {
    const step = fc.oneof(fc.constant('push'), fc.constant('shift'), fc.nat(20));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const list = new LinkedList<number>();
        const entries: Entry<number>[] = [];
        const array: number[] = [];
        for (const [value, action] of steps.entries()) {
          if (action === 'push') {
            entries.push(list.push(value));
            array.push(value);
          } else if (action === 'shift') expect(list.shift()).toBe(array.shift());
          else {
            const entry = entries[Number(action) % Math.max(1, entries.length)];
            const at = entry ? array.indexOf(entry.value) : -1;
            if (entry) expect(list.delete(entry)).toBe(at >= 0);
            if (at >= 0) array.splice(at, 1);
          }
          expect([valuesOf(list), list.size, list.first]).toStrictEqual([array, array.length, array[0]]);
        }
      }),
    );
  });
});
