import { describe, expect, test } from 'vitest';
import { ConcurrencyLimit, type Flight } from '../../../../src/fetch/politeness/concurrency-limit.ts';

/** A request that was sent as the last of so many, and took 100 ms. */
const flight = (inFlight: number, tookMs = 100): Flight => ({ inFlight, tookMs });

/** So many requests are answered, each of which was one of so many in flight: of as many as may be, if not said. */
function answer(limit: ConcurrencyLimit, count: number, nowMs = 0, inFlight?: number): void {
  for (let i = 0; i < count; i++) {
    const all = inFlight ?? limit.at(nowMs);
    limit.answered(flight(all), all, nowMs);
  }
}

/** A limit that has grown to so much, and stands at the beginning of a round. */
function limitOf(most: number): ConcurrencyLimit {
  return new ConcurrencyLimit(most, 2 * most);
}

const timesOut = (limit: ConcurrencyLimit, sent: Flight, nowMs = 0) => ({
  isLowered: limit.timedOut(sent, nowMs),
  at: limit.at(nowMs),
});

describe('a limit starts', () => {
  test.each([
    [1, 1],
    [10, 10],
    [11, 10],
    [500, 10],
  ])('at 10, of a most of %i at %i', (most, expected) => {
    expect(new ConcurrencyLimit(most).summary(0)).toStrictEqual({
      min: expected,
      max: expected,
      final: expected,
    });
  });

  test.each([
    [50, 30, 15],
    [50, 31, 15],
    [50, 3, 1],
    [50, 1, 1],
    [20, 40, 20],
    [20, 41, 20],
    [20, 500, 20],
  ])('of a most of %i at half of the %i that were learned before: %i', (most, learned, expected) => {
    const limit = new ConcurrencyLimit(most, learned);
    expect(limit.summary(0)).toStrictEqual({ min: expected, max: expected, final: expected });
  });
});

describe('answers', () => {
  test('let the limit grow by one each, which doubles it in a round, up to the most', () => {
    const limit = new ConcurrencyLimit(50);
    const rounds = Array.from({ length: 4 }, () => {
      answer(limit, limit.at(0));
      return limit.at(0);
    });
    expect(rounds).toStrictEqual([20, 40, 50, 50]);
    expect(limit.summary(0)).toStrictEqual({ min: 10, max: 50, final: 50 });
  });

  test('say nothing of more while less than half of the limit is in use', () => {
    const limit = new ConcurrencyLimit(50);
    answer(limit, 100, 0, 4);
    expect(limit.at(0)).toBe(10);
    answer(limit, 1, 0, 5);
    expect(limit.at(0)).toBe(11);
    answer(limit, 1, 0, 5);
    expect(limit.summary(0)).toStrictEqual({ min: 10, max: 11, final: 11 });
  });
});

describe('a refusal', () => {
  test('says that as many as were in flight were too many: the limit falls below, and comes back, and past it', () => {
    const limit = limitOf(50);
    limit.refused(flight(21), 1_000);
    const times = [0, 500, 1_000, 1_999, 2_000, 3_000, 4_000, 5_000, 6_000, 9_000, 99_000];
    expect(times.map((afterMs) => [afterMs, limit.at(1_000 + afterMs)])).toStrictEqual([
      [0, 18],
      [500, 19],
      [1_000, 19],
      [1_999, 19],
      [2_000, 20],
      [3_000, 20],
      [4_000, 22],
      [5_000, 26],
      [6_000, 36],
      [9_000, 50],
      [99_000, 50],
    ]);
    expect(limit.summary(99_000)).toStrictEqual({ min: 18, max: 50, final: 50 });
  });

  test('that took long makes the way back as long: 20 times as much', () => {
    const limit = limitOf(50);
    limit.refused(flight(21, 500), 0);
    const times = [0, 2_000, 9_999, 10_000, 20_000];
    expect(times.map((atMs) => limit.at(atMs))).toStrictEqual([18, 18, 19, 20, 22]);
  });

  test('of the same flight lowers the limit further, where fewer were in flight; any other does not', () => {
    const limit = limitOf(50);
    limit.refused(flight(31), 0);
    const steps = [flight(40), flight(31), flight(30), flight(21), flight(22)].map((sent) => {
      limit.refusedAsWell(sent, 0);
      return [sent.inFlight, limit.learned, limit.at(0)];
    });
    expect(steps).toStrictEqual([
      [40, 30, 27],
      [31, 30, 27],
      [30, 29, 26],
      [21, 20, 18],
      [22, 20, 18],
    ]);
  });

  test.each([1, 2])('never leaves less than one: %i in flight', (inFlight) => {
    const limit = limitOf(50);
    limit.refused(flight(inFlight), 0);
    expect([0, 6_000, 7_000].map((atMs) => limit.at(atMs))).toStrictEqual([1, 1, 2]);
    expect(limit.learned).toBe(1);
  });

  test('is counted among the extremes when nobody has looked before the limit had come back', () => {
    const limit = limitOf(50);
    limit.refused(flight(21), 0);
    expect(limit.summary(60_000)).toStrictEqual({ min: 18, max: 50, final: 50 });
  });
});

describe('below what was refused', () => {
  test('answers do not let the limit grow: the time does', () => {
    const limit = limitOf(50);
    limit.refused(flight(21), 0);
    answer(limit, 100);
    expect([limit.at(0), limit.at(2_000)]).toStrictEqual([18, 20]);
  });

  test('the limit shrinks until a round of requests was answered', () => {
    const limit = limitOf(50);
    answer(limit, 5);
    expect(limit.isShrinking).toBe(false);
    limit.refused(flight(6), 0);
    const states = Array.from({ length: 5 }, () => {
      const { isShrinking } = limit;
      answer(limit, 1);
      return isShrinking;
    });
    expect([limit.at(0), states]).toStrictEqual([4, [true, true, true, true, false]]);
  });

  test('the limit grows by each answer again once a round above was answered', () => {
    const limit = limitOf(50);
    limit.refused(flight(11), 0);
    // Not above.
    answer(limit, 100, 6_000, 10);
    answer(limit, 9, 6_000, 11);
    // By the time alone.
    expect([limit.at(0), limit.at(6_000)]).toStrictEqual([9, 18]);
    answer(limit, 1, 6_000, 11);
    expect([limit.at(0), limit.at(6_000)]).toStrictEqual([18, 18]);
    answer(limit, 2, 6_000);
    expect(limit.at(6_000)).toBe(20);
    // A refusal that comes behind is of a flight that is over.
    limit.refusedAsWell(flight(3), 6_000);
    expect(limit.at(6_000)).toBe(20);
  });

  test('what was answered above counts from the last refusal on', () => {
    const limit = limitOf(50);
    limit.refused(flight(11), 0);
    answer(limit, 9, 6_000, 11);
    limit.refused(flight(11), 6_000);
    answer(limit, 9, 12_000, 11);
    expect([limit.learned, limit.at(6_000), limit.at(12_000)]).toStrictEqual([10, 9, 18]);
  });
});

describe('a timeout', () => {
  test('holds its place until a round was answered, and is no refusal', () => {
    const limit = limitOf(20);
    expect([timesOut(limit, flight(20)), timesOut(limit, flight(3))]).toStrictEqual([
      { isLowered: false, at: 19 },
      { isLowered: false, at: 18 },
    ]);
    answer(limit, 17);
    expect([limit.at(0), limit.isShrinking]).toStrictEqual([18, false]);
    answer(limit, 1);
    expect(limit.summary(0)).toStrictEqual({ min: 18, max: 20, final: 20 });
  });

  test('in ten is none, nor are two, round after round', () => {
    const limit = limitOf(10);
    for (let i = 0; i < 20; i++) {
      expect([timesOut(limit, flight(10)), timesOut(limit, flight(10))]).toStrictEqual([
        { isLowered: false, at: 9 },
        { isLowered: false, at: 8 },
      ]);
      answer(limit, 8);
    }
    expect(limit.at(0)).toBe(10);
  });

  test('the third of ten is a wave: the least that were in flight with one of them were too many', () => {
    const limit = limitOf(10);
    timesOut(limit, flight(10));
    timesOut(limit, flight(8, 5_000));
    expect(timesOut(limit, flight(9, 5_000))).toStrictEqual({ isLowered: true, at: 6 });
    expect([limit.learned, limit.isShrinking]).toStrictEqual([7, true]);
    // 20 times what it took.
    expect([50_000, 100_000].map((atMs) => limit.at(atMs))).toStrictEqual([6, 7]);
    // What timed out before the wave is forgotten.
    expect(timesOut(limit, flight(10), 100_000)).toStrictEqual({ isLowered: false, at: 6 });
  });

  test.each([
    [1, 3],
    [5, 3],
    [11, 4],
    [50, 15],
  ])('takes three in ten of a round, of the last ten at least, to be a wave: of %i the %i.', (most, wave) => {
    const limit = limitOf(most);
    const lowered = Array.from({ length: wave }, () => limit.timedOut(flight(most), 0));
    expect(lowered).toStrictEqual([...Array(wave - 1).fill(false), true]);
    expect([limit.isShrinking, limit.learned]).toStrictEqual([true, Math.max(1, most - 1)]);
  });

  test('counts for no wave once a round was answered behind it', () => {
    const limit = limitOf(10);
    timesOut(limit, flight(2));
    timesOut(limit, flight(2));
    answer(limit, 8);
    const lowered = [9, 9, 9].map((inFlight) => limit.timedOut(flight(inFlight), 0));
    expect([lowered, limit.learned]).toStrictEqual([[false, false, true], 8]);
  });

  test('leaves a place, whatever held them', () => {
    const limit = limitOf(50);
    limit.refused(flight(3), 0);
    expect([timesOut(limit, flight(1)), timesOut(limit, flight(1))]).toStrictEqual([
      { isLowered: false, at: 1 },
      { isLowered: false, at: 1 },
    ]);
  });
});

describe('what is learned', () => {
  test('is nothing where less than 20 were allowed', () => {
    const limit = new ConcurrencyLimit(50);
    expect(limit.learned).toBe(undefined);
    answer(limit, 9);
    expect([limit.at(0), limit.learned]).toStrictEqual([19, undefined]);
    answer(limit, 1);
    expect([limit.at(0), limit.learned]).toStrictEqual([20, 20]);
  });

  test('is nothing where no more were allowed than an earlier run had learned to start with', () => {
    const limit = new ConcurrencyLimit(50, 60);
    answer(limit, 100, 0, 1);
    expect(limit.learned).toBe(undefined);
    answer(limit, 1);
    expect(limit.learned).toBe(31);
    expect(new ConcurrencyLimit(50, 500).learned).toBe(undefined);
  });

  test('is what was found to be taken, however little, and no more than that as the limit goes past', () => {
    const limit = limitOf(50);
    limit.refused(flight(6), 0);
    limit.at(60_000);
    expect(limit.learned).toBe(5);
  });
});
