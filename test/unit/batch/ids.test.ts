import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { countIds, eachId, hashIds, type IdList, idKey } from '../../../src/batch/ids.ts';

test('1 and "1" name the same post, and 7 and "007" do not', () => {
  expect([idKey(1), idKey('1'), idKey(7), idKey('007')]).toStrictEqual(['1', '1', '7', '007']);
});

describe('a list with ranges', () => {
  const lists = fc.array(
    fc.oneof(
      fc.maxSafeNat(),
      fc.stringMatching(/^[A-Za-z0-9._~-]{1,20}$/),
      fc.tuple(fc.nat(), fc.nat(200)).map(([from, length]) => ({ from, to: from + length })),
    ),
  );
  const writtenOut = (ids: IdList): (number | string)[] =>
    ids.flatMap((id) =>
      typeof id === 'object' ? Array.from({ length: id.to - id.from + 1 }, (_, i) => id.from + i) : [id],
    );

  test('stands for the ids that it has when its ranges are written out', () => {
    fc.assert(
      fc.property(lists, (ids) => {
        const expected = writtenOut(ids);
        expect([...eachId(ids)]).toStrictEqual(expected);
        expect(countIds(ids)).toBe(expected.length);
        expect(hashIds(ids)).toBe(createHash('sha256').update(JSON.stringify(expected)).digest('hex'));
      }),
    );
  });

  test('has the hash of its JSON also where that is long', () => {
    const ids = [{ from: 0, to: 100_000 }, 'a', '1', 1];
    expect(hashIds(ids)).toBe(
      createHash('sha256')
        .update(JSON.stringify(writtenOut(ids)))
        .digest('hex'),
    );
  });

  test('has another hash for the text of a number', () => {
    expect(hashIds([1])).not.toBe(hashIds(['1']));
  });

  test('ends at the largest safe integer', () => {
    const { MAX_SAFE_INTEGER: max } = Number;
    expect([...eachId([{ from: max - 1, to: max }])]).toStrictEqual([max - 1, max]);
  });

  test('takes no room for what it stands for', () => {
    const ids = eachId([{ from: 0, to: Number.MAX_SAFE_INTEGER }]);
    expect(ids.next()).toStrictEqual({ done: false, value: 0 });
    expect(countIds([{ from: 0, to: 999_999_999_999 }])).toBe(1_000_000_000_000);
  });
});
