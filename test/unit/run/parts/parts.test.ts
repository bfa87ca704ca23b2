import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BadInputError } from '../../../../src/base/errors.ts';
import { countIds, eachId, type IdList } from '../../../../src/batch/ids.ts';
import {
  cutIntoParts,
  MAX_PLANNED_RUN_ID_CHARS,
  parsePartRunId,
  partLine,
  readPart,
} from '../../../../src/run/parts/parts.ts';

const cut = (ids: IdList, partSize: number) => [...cutIntoParts('run', ids, partSize)];

test('ids are cut in their order into parts of a size, each a run of its own', () => {
  expect(cut([{ from: 1, to: 7 }, 'a-slug', 9, { from: 20, to: 21 }], 4)).toStrictEqual([
    { part: 0, runId: 'run.part-000000', firstIndex: 0, ids: [{ from: 1, to: 4 }] },
    { part: 1, runId: 'run.part-000001', firstIndex: 4, ids: [{ from: 5, to: 7 }, 'a-slug'] },
    { part: 2, runId: 'run.part-000002', firstIndex: 8, ids: [9, { from: 20, to: 21 }] },
  ]);
});

test('what is left of a range, where that is one id, stands as the id', () => {
  expect(cut([{ from: 1, to: 3 }], 2).map(({ ids }) => ids)).toStrictEqual([[{ from: 1, to: 2 }], [3]]);
});

test('no ids are one part without any', () => {
  expect(cut([], 5)).toStrictEqual([{ part: 0, runId: 'run.part-000000', firstIndex: 0, ids: [] }]);
});

test('long ids make parts of fewer, so that an event and its reply pass through Step Functions', () => {
  const ids = Array.from({ length: 5_000 }, (_, i) => String(i).padStart(128, 'x'));
  const parts = cut(ids, 5_000);
  expect(parts.map((part) => part.ids.length)).toStrictEqual([1_526, 1_526, 1_526, 422]);
  expect(Math.max(...parts.map((part) => partLine(part).length))).toBeLessThan(200_200);
});

test('a range is cut by what its ids take one by one, as a reply lists them', () => {
  const from = Number.MAX_SAFE_INTEGER - 99_999;
  const parts = cut([{ from, to: Number.MAX_SAFE_INTEGER }], 100_000);
  const replies = parts.map(({ ids }) => JSON.stringify([...eachId(ids)]).length);
  expect(Math.max(...replies)).toBeLessThan(200_002);
  expect(parts.map(({ ids }) => countIds(ids)).slice(0, 2)).toStrictEqual([11_764, 11_764]);
});

test('ten million ids in a range are 2,000 lines of less than 120 bytes', () => {
  const lines = cut([{ from: 1, to: 10_000_000 }], 5_000).map(partLine);
  expect([lines.length, lines.at(-1)]).toStrictEqual([
    2_000,
    '{"part":1999,"runId":"run.part-001999","firstIndex":9995000,"ids":[{"from":9995001,"to":10000000}]}\n',
  ]);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(120);
});

test('whatever the ids, none is lost or moved, no part is too large, and a line is its part', () => {
  const id = fc.oneof(
    fc.nat(),
    fc.stringMatching(/^[a-z]{1,9}$/),
    fc.tuple(fc.nat(1e9), fc.nat(300)).map(([from, more]) => ({ from, to: from + more })),
  );
  fc.assert(
    fc.property(fc.array(id), fc.integer({ min: 1, max: 200 }), (ids, partSize) => {
      const parts = cut(ids, partSize);
      const all = parts.flatMap((part) => [...eachId(part.ids)]);
      expect(all).toStrictEqual([...eachId(ids)]);
      let firstIndex = 0;
      for (const [number, part] of parts.entries()) {
        expect(part.firstIndex).toBe(firstIndex);
        firstIndex += countIds(part.ids);
        // Each is full but for the last.
        expect(countIds(part.ids)).toBe(Math.min(partSize, all.length - part.firstIndex));
        expect(readPart(partLine(part), 'run', number)).toStrictEqual(part);
      }
    }),
    { numRuns: 50 },
  );
});

test('the run id of a part goes with its number', () => {
  expect(parsePartRunId('run.part-000017', 'runId', 17)).toBe('run.part-000017');
  expect(parsePartRunId('run.part-1000017', 'runId', 1_000_017)).toBe('run.part-1000017');
  for (const [value, got] of [
    ['run.part-000016', '"run.part-000016"'],
    ['run.part-17', '"run.part-17"'],
    ['run.part-000017.redrive-1', '"run.part-000017.redrive-1"'],
    ['run', '"run"'],
    [undefined, 'nothing'],
  ])
    expect(() => parsePartRunId(value, 'runId', 17)).toThrow(
      new BadInputError(
        `Expected \`runId\` to be the id of a run and .part-000017, as \`part\` says, got ${got}`,
      ),
    );
  expect(() => parsePartRunId('a/b.part-000017', 'runId', 17)).toThrow('to be 1 to 128 characters');
});

test('the longest run id of a run of parts leaves room for a redrive of the last part', () => {
  const runId = 'x'.repeat(MAX_PLANNED_RUN_ID_CHARS);
  expect(`${runId}.part-1000017.redrive-999`).toHaveLength(128);
});
