import { describe, expect, test } from 'vitest';
import type { RunReport } from '../../../../src/document/run-head.ts';
import type { Learned } from '../../../../src/fetch/politeness/learned.ts';
import { SharedOrigin } from '../../../../src/run/parts/shared-origin.ts';
import { nothingLearned, plainReport } from '../../../support/plain-traffic.ts';

/** A part, by the seconds of the day at which it started and ended. */
type Part = readonly [fromS: number, toS: number, learned: Partial<Learned>];

function learnedBy(parts: readonly Part[]): Learned {
  const origin = new SharedOrigin();
  for (const part of parts) origin.add(reportOf(part));
  return origin.learned();
}

function reportOf([fromS, toS, learned]: Part): RunReport {
  const at = (seconds: number): string => new Date(Date.UTC(2026, 10, 23) + seconds * 1_000).toISOString();
  return {
    run: {
      id: 'run.part-000000',
      trigger: 'direct',
      requestId: 'request',
      startedAt: at(fromS),
      urlTemplate: 'https://example.com/posts/{id}',
      returnExceptions: true,
      requested: 1,
      idsSha256: '',
    },
    errors: { total: 0, byCode: {}, first: [], retryableIds: [] },
    summary: {
      finishedAt: at(toS),
      durationMs: 1_000 * (toS - fromS),
      requested: 1,
      fulfilled: 1,
      rejected: 0,
      attempts: 1,
      complete: true,
      latencyMs: { p50: 1, p90: 1, p99: 1, max: 1 },
      ...plainReport(1, 10, 10),
      learned: { ...nothingLearned, ...learned },
    },
  };
}

describe('what an origin takes in all is', () => {
  test('nothing that is known where no part found anything', () => {
    expect(learnedBy([])).toStrictEqual(nothingLearned);
    expect(learnedBy([[0, 10, {}]])).toStrictEqual(nothingLearned);
  });

  test('what one part found that was alone', () => {
    const learned = { perSecond: 97.5, inFlight: 40, told: 100 };
    expect(learnedBy([[0, 10, learned]])).toStrictEqual(learned);
  });

  test('what parts side by side found together, of a rate and of requests in flight', () => {
    const parts = [0, 1, 2, 3].map((from): Part => [from, 10, { perSecond: 25, inFlight: 5 }]);
    expect(learnedBy(parts)).toStrictEqual({ perSecond: 100, inFlight: 20, told: null });
  });

  test('no more of parts one after the other than each of them found', () => {
    const parts = Array.from({ length: 20 }, (_, i): Part => [10 * i, 10 * i + 9, { perSecond: 50 }]);
    expect(learnedBy(parts).perSecond).toBe(50);
  });

  test('counted with the parts that found nothing themselves', () => {
    expect(
      learnedBy([
        [0, 10, { perSecond: 30 }],
        [0, 11, {}],
        [0, 12, {}],
      ]).perSecond,
    ).toBe(90);
  });

  test('the same when the last parts have the origin to themselves, and find more', () => {
    // Four at a time, each as fast as the origin lets those be that are there.
    const steady = Array.from(
      { length: 12 },
      (_, i): Part => [10 * (i >> 2), 10 * (i >> 2) + 9, { perSecond: 25 }],
    );
    const last: Part[] = [
      [30, 40, { perSecond: 50 }],
      [30, 45, { perSecond: 100 }],
    ];
    expect(learnedBy([...steady, ...last]).perSecond).toBe(100);
  });

  test('the same when one part was fetched again by itself', () => {
    const beside = Array.from({ length: 9 }, (): Part => [0, 10, {}]);
    expect(learnedBy([...beside, [600, 610, { perSecond: 100 }]]).perSecond).toBe(100);
  });

  test('the median, which a part that was held up does not move', () => {
    expect(
      learnedBy([
        [0, 10, { inFlight: 20 }],
        [20, 30, { inFlight: 1 }],
        [40, 50, { inFlight: 22 }],
      ]).inFlight,
    ).toBe(20);
  });

  test('what quota fields tell, whoever hears it', () => {
    expect(learnedBy([0, 1, 2].map((i): Part => [0, 10, { told: 100 + i }])).told).toBe(101);
  });

  test('what was found within the last hour of the run', () => {
    const parts: Part[] = [
      [0, 10, { perSecond: 10 }],
      [0, 20, { perSecond: 10 }],
      [3_000, 3_621, { perSecond: 80 }],
    ];
    expect(learnedBy(parts).perSecond).toBe(80);
  });

  test('said in four digits', () => {
    expect(learnedBy([[0, 10, { perSecond: 97.123_456, told: 0.012_345_6 }]])).toStrictEqual({
      perSecond: 97.12,
      inFlight: null,
      told: 0.01235,
    });
  });

  test('one at least, whatever the times of a document are', () => {
    expect(learnedBy([[10, 0, { perSecond: 5 }]]).perSecond).toBe(5);
  });
});
