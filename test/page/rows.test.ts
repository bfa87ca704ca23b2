import { describe, expect, it } from 'vitest';
import { toPartRows } from '../../page/rows/parts.ts';
import { toPosts } from '../../page/rows/posts.ts';
import { buildPyramid } from '../../page/rows/pyramid.ts';
import { rebin } from '../../page/rows/rebin.ts';
import { partsFixture, runFixture } from '../support/page-fixtures.ts';

const columns = {
  codes: ['NOT_FOUND', 'DEADLINE'],
  id: [7, 'a', 9],
  code: [0, 1, 2],
  httpStatus: [200, 404, 0],
  attempts: [2, 1, 0],
  startedMs: [0, 10, -1],
  durationMs: [50, 20, -1],
  waitedMs: [30, -1, -1],
  hedged: [0],
  messages: ['No data for post a', 'Late'],
  retryable: [0, 1] as const,
  bins: { startMs: 0 as const, widthMs: 10, started: [1], ended: [3], rejected: [2], inFlight: [1] },
  latency: [],
};

describe('the rows of posts', () => {
  it('have times of their own; what was never attempted waited for all of the run', () => {
    const posts = toPosts(columns, 80);
    expect({
      outcomes: posts.outcomes,
      startMs: [...posts.startMs],
      endMs: [...posts.endMs],
      waitedMs: [...posts.waitedMs],
      marked: [...posts.marked],
      rejected: [...posts.rejected],
      rejection: [...posts.rejection],
      lastMs: posts.lastMs,
    }).toStrictEqual({
      outcomes: ['fulfilled', 'NOT_FOUND', 'DEADLINE'],
      startMs: [0, 10, 0],
      endMs: [50, 30, 80],
      waitedMs: [30, 0, 80],
      marked: [1, 0, 0],
      rejected: [1, 2],
      rejection: [-1, 0, 1],
      lastMs: 80,
    });
  });

  it('have no times where the outcome is that of an earlier run, and are counted all the same', () => {
    const posts = toPosts({ ...columns, startedMs: [-1, 10, -1] }, 80);
    expect([[...posts.startMs], [...posts.endMs]]).toStrictEqual([
      [Number.NaN, 10, 0],
      [Number.NaN, 30, 80],
    ]);
    const [level] = buildPyramid(posts);
    expect([
      [...(level?.outcomes ?? [])],
      [...(level?.firstMs ?? [])],
      [...(level?.attempted ?? [])],
    ]).toStrictEqual([
      [1, 1, 0, 0, 0, 1],
      [10, 0],
      [1, 0],
    ]);
  });

  it('last as long as their last post, where that is longer than the run says', () => {
    expect(toPosts(columns, 0).lastMs).toBe(50);
    expect(toPosts({ ...columns, id: [], code: [] }, 0).lastMs).toBe(1);
  });
});

describe('the rows of parts', () => {
  it('tell parts with failures from those without, and from those without a document', () => {
    const { parts } = partsFixture(37);
    const rows = toPartRows(parts);
    const expected = parts.map(({ status, rejected }) => (status === 'failed' ? 2 : Number(rejected > 0)));
    expect([...rows.outcome]).toStrictEqual(expected);
    expect([rows.startMs[36], rows.endMs[36], rows.attempts[36]]).toStrictEqual([0, rows.lastMs, 0]);
  });
});

describe('the pyramid of rows', () => {
  const posts = toPosts(runFixture({ posts: 1_000, shares: { NOT_FOUND: 0.1, DEADLINE: 0.05 } }).columns, 0);

  it('has levels of 2, 4, 8 … rows up to a single group', () => {
    const levels = buildPyramid(posts);
    expect(levels.map(({ each, count }) => [each, count])).toStrictEqual(
      [2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024].map((each) => [each, Math.ceil(1_000 / each)]),
    );
    expect([buildPyramid({ ...posts, count: 0 }), buildPyramid({ ...posts, count: 1 })]).toStrictEqual([
      [],
      [],
    ]);
  });

  it.each([undefined, new Set([1]), new Set([0, 2])])(
    'sums up the rows of each group whose outcome is chosen: %o',
    (chosen) => {
      for (const level of buildPyramid(posts, chosen)) {
        for (let group = 0; group < level.count; group += 1) {
          const rows = Array.from({ length: level.each }, (_, at) => group * level.each + at).filter(
            (row) => row < posts.count && (chosen?.has(posts.outcome[row] ?? 0) ?? true),
          );
          const attempted = rows.filter((row) => posts.attempts[row] !== 0);
          const sum = (values: Float64Array) =>
            attempted.reduce((total, row) => total + (values[row] ?? 0), 0);
          const counts = posts.outcomes.map(
            (_, outcome) => rows.filter((row) => posts.outcome[row] === outcome).length,
          );
          expect([
            level.firstMs[group],
            level.lastMs[group],
            level.attempted[group],
            level.startMs[group],
            level.endMs[group],
            level.waitedMs[group],
            [...level.outcomes.slice(group * counts.length, (group + 1) * counts.length)],
            level.top[group],
          ]).toStrictEqual([
            Math.min(...rows.map((row) => posts.startMs[row] ?? 0)),
            Math.max(...rows.map((row) => posts.endMs[row] ?? 0)),
            attempted.length,
            sum(posts.startMs),
            sum(posts.endMs),
            sum(posts.waitedMs),
            counts,
            rows.length === 0 ? 255 : counts.indexOf(Math.max(...counts)),
          ]);
        }
      }
    },
  );
});

describe('bins', () => {
  const bins = (count: number) => ({
    startMs: 0 as const,
    widthMs: 5,
    started: new Array<number>(count).fill(1),
    ended: new Array<number>(count).fill(2),
    rejected: new Array<number>(count).fill(3),
    inFlight: new Array<number>(count).fill(4),
  });

  it('stay as they are where they can be read', () => {
    expect(rebin(bins(200), 100_000)).toStrictEqual(bins(200));
  });

  it('are merged where there are too many, or too few posts for them', () => {
    const merged = rebin(bins(49), 20);
    expect([
      merged.widthMs,
      merged.started.length,
      merged.ended.at(-1),
      merged.inFlight.at(-1),
    ]).toStrictEqual([15, 17, 2, 4]);
    expect(rebin(bins(500), 100_000).ended).toStrictEqual([...new Array<number>(166).fill(6), 4]);
  });
});
