import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Id } from '../../../src/batch/ids.ts';
import { countRepeats } from '../../../src/batch/repeats.ts';
import { Tally } from '../../../src/document/tally.ts';
import { type FetchRecord, PostError, type Reason } from '../../../src/fetch/outcome.ts';

const DATE = new Date('2026-11-23T06:00:04.250Z');
const record = (durationMs: number | null, attempts = 1): FetchRecord => ({
  httpStatus: 200,
  attempts,
  startedMs: 0,
  durationMs,
  waitedMs: 0,
});
const failure = (id: Id, code: Reason['code'], retryable: boolean, fetched = record(5)): PostError =>
  new PostError(id, { code, message: `${code} of ${id}`, retryable }, fetched);

describe('Tally', () => {
  test('of nothing is zeros and nulls, and complete', () => {
    const tally = new Tally(countRepeats([]));
    expect(tally.errors()).toStrictEqual({ total: 0, byCode: {}, first: [], retryableIds: [] });
    expect(tally.summary(DATE, 4_250.4)).toStrictEqual({
      finishedAt: '2026-11-23T06:00:04.250Z',
      durationMs: 4_250,
      requested: 0,
      fulfilled: 0,
      rejected: 0,
      attempts: 0,
      complete: true,
      latencyMs: { p50: null, p90: null, p99: null, max: null },
    });
  });

  test('counts outcomes, errors by code, attempts and latencies', () => {
    const tally = new Tally(countRepeats([1, 99999, 3, 'four']));
    tally.addFulfilled(1, record(41));
    tally.addRejected(1, failure(99999, 'NOT_FOUND', false, record(38)), 99999);
    tally.addFulfilled(3, record(0));
    tally.addRejected(3, failure('four', 'TIMEOUT', true, record(20_350, 4)), 'four');
    expect(tally.errors()).toStrictEqual({
      total: 2,
      byCode: { NOT_FOUND: 1, TIMEOUT: 1 },
      first: [
        { index: 1, id: 99999, code: 'NOT_FOUND', message: 'NOT_FOUND of 99999' },
        { index: 3, id: 'four', code: 'TIMEOUT', message: 'TIMEOUT of four' },
      ],
      retryableIds: ['four'],
    });
    expect(tally.summary(DATE, 20_399.5)).toStrictEqual({
      finishedAt: '2026-11-23T06:00:04.250Z',
      durationMs: 20_400,
      requested: 4,
      fulfilled: 2,
      rejected: 2,
      attempts: 7,
      complete: true,
      latencyMs: { p50: 38, p90: 20_350, p99: 20_350, max: 20_350 },
    });
  });

  test('a DEADLINE makes it incomplete; a post that was never attempted has no latency', () => {
    const tally = new Tally(countRepeats([1, 2]));
    const unfetched = { httpStatus: null, attempts: 0, startedMs: null, durationMs: null, waitedMs: null };
    tally.addFulfilled(1, record(7));
    tally.addRejected(1, failure(2, 'DEADLINE', true, unfetched), 2);
    expect(tally.summary(DATE, 10)).toStrictEqual({
      finishedAt: DATE.toISOString(),
      durationMs: 10,
      requested: 2,
      fulfilled: 1,
      rejected: 1,
      attempts: 1,
      complete: false,
      latencyMs: { p50: 7, p90: 7, p99: 7, max: 7 },
    });
  });

  test('shows the first ten errors, in the order of the ids', () => {
    const tally = new Tally(() => 1);
    for (let i = 0; i < 25; i++) tally.addRejected(2 * i, failure(i, 'NETWORK', true), i);
    const { first, total } = tally.errors();
    expect(total).toBe(25);
    expect(first.map(({ index }) => index)).toStrictEqual([0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
  });

  test('names each id to redrive once, in order, as it was given first', () => {
    const ids = [3, 'b', '3', 1, 'b', 2];
    const tally = new Tally(countRepeats(ids));
    for (const [index, id] of ids.entries()) tally.addRejected(index, failure(id, 'NETWORK', id !== 1), id);
    expect(tally.errors()).toStrictEqual({
      total: 6,
      byCode: { NETWORK: 6 },
      first: ids.map((id, index) => ({ index, id, code: 'NETWORK', message: `NETWORK of ${id}` })),
      retryableIds: [3, 'b', 2],
    });
  });

  test('counts a repeated post once in attempts and latencies, but at each position in outcomes', () => {
    const tally = new Tally(countRepeats([1, 1, 1, 2]));
    for (const id of [1, '1', 1]) tally.addFulfilled(id, record(100, 3));
    tally.addFulfilled(2, record(1));
    expect(tally.summary(DATE, 0)).toMatchObject({
      requested: 4,
      fulfilled: 4,
      attempts: 4,
      latencyMs: { p50: 1, p90: 100, p99: 100, max: 100 },
    });
  });

  test('quantiles are those of the nearest rank within 0.1 %, whatever the latencies', () => {
    const latency = fc.oneof(fc.nat(10), fc.nat(5_000), fc.nat(900_000), fc.nat(2_000_000_000));
    fc.assert(
      fc.property(fc.array(latency, { minLength: 1, maxLength: 300 }), (latencies) => {
        const tally = new Tally(() => 1);
        for (const [id, durationMs] of latencies.entries()) tally.addFulfilled(id, record(durationMs));
        const { p50, p90, p99, max } = tally.summary(DATE, 0).latencyMs;
        const sorted = latencies.toSorted((a, b) => a - b);
        const exact = [50, 90, 99].map((p) => sorted[Math.ceil((p * sorted.length) / 100) - 1] as number);
        [p50, p90, p99].forEach((got, i) => {
          const expected = exact[i] as number;
          expect(got, `of ${latencies.length}`).toBeGreaterThanOrEqual(expected);
          expect(got).toBeLessThanOrEqual(Math.ceil(expected * 1.001) + 1);
        });
        expect(max).toBe(sorted.at(-1));
      }),
      { numRuns: 1_000 },
    );
  });

  test('up to a second, latencies come out to the millisecond', () => {
    for (let ms = 0; ms < 1_000; ms += 37) {
      const tally = new Tally(() => 1);
      tally.addFulfilled(1, record(ms));
      tally.addFulfilled(2, record(2_000));
      expect(tally.summary(DATE, 0).latencyMs).toStrictEqual({ p50: ms, p90: 2_000, p99: 2_000, max: 2_000 });
    }
  });
});
