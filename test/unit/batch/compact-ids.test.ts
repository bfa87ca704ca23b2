import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CompactIds } from '../../../src/batch/compact-ids.ts';
import { countIds, eachId, type IdList } from '../../../src/batch/ids.ts';

function compact(ids: IdList): IdList {
  const list = new CompactIds();
  for (const id of ids) list.push(id);
  return list.end();
}

test('a list of ids stands for the ids that were added to it, in their order', () => {
  const run = fc
    .record({ from: fc.nat(50), length: fc.integer({ min: 1, max: 30 }) })
    .chain(({ from, length }) =>
      fc.constantFrom<IdList>(
        Array.from({ length }, (_, i) => from + i),
        [{ from, to: from + length - 1 }],
        [`n${from}`],
      ),
    );
  fc.assert(
    fc.property(fc.array(run), (runs) => {
      const ids = runs.flat();
      const list = new CompactIds();
      for (const id of ids) list.push(id);
      expect(list.count).toBe(countIds(ids));
      expect([...eachId(list.end())]).toStrictEqual([...eachId(ids)]);
    }),
  );
});

test('integers one after the other are a range once that is smaller', () => {
  expect(compact([1, 2, 3, 9, 8])).toStrictEqual([1, 2, 3, 9, 8]);
  expect(compact([1, 2, 3, 4, 5, 6, 7, 8, { from: 9, to: 10 }, 'a', 11])).toStrictEqual([
    { from: 1, to: 10 },
    'a',
    11,
  ]);
  expect(compact([])).toStrictEqual([]);
});
