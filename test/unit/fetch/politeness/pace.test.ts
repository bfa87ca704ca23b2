import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LearnedPace } from '../../../../src/fetch/politeness/pace.ts';

/** Answers at even distances, from one time to before another. */
function answer(pace: LearnedPace, fromMs: number, toMs: number, everyMs: number): void {
  for (let atMs = fromMs; atMs < toMs; atMs += everyMs) pace.answered(atMs);
}

/** So many requests are turned away, and told to wait for so long. Says whether the pace was learned. */
function turnAway(pace: LearnedPace, atMs: number, requests = 2, toldMs = 0): boolean {
  let hasLearned = false;
  for (let i = 0; i < requests; i++) hasLearned = pace.throttled(atMs, toldMs) || hasLearned;
  return hasLearned;
}

/** The pace at a time, to a millionth. */
const paceAt = (pace: LearnedPace, atMs: number): number => Math.round(pace.perSecond(atMs) * 1e6) / 1e6;

describe('before requests are turned away', () => {
  test('the pace is unlimited', () => {
    const pace = new LearnedPace(0);
    answer(pace, 0, 10_000, 10);
    pace.pause(10_000, 12_000);
    expect([0, 10_000, 1e9].map((atMs) => pace.perSecond(atMs))).toStrictEqual([
      Infinity,
      Infinity,
      Infinity,
    ]);
  });
});

describe('once requests are turned away', () => {
  test('the pace is 95 % of the rate of answers, from below, then slowly and ever faster above', () => {
    const pace = new LearnedPace(5_000);
    answer(pace, 5_000, 7_000, 10);
    expect(turnAway(pace, 7_000)).toBe(true);
    const afterSeconds = [0, 5, 10, 15, 20, 30, 60];
    expect(afterSeconds.map((s) => paceAt(pace, 7_000 + s * 1_000))).toStrictEqual([
      90.25, 94.40625, 95, 95.59375, 99.75, 133, 688.75,
    ]);
  });

  test('one that was told to wait is enough, and the longer, the longer the curve', () => {
    const pace = new LearnedPace(0);
    answer(pace, 0, 2_000, 10);
    expect(turnAway(pace, 2_000, 1, 1_000)).toBe(true);
    // 10 s and ten times the second.
    expect([2_000, 22_000, 42_000].map((atMs) => paceAt(pace, atMs))).toStrictEqual([90.25, 95, 99.75]);
  });

  test('what was measured over less than a second is soon gone past', () => {
    const pace = new LearnedPace(0);
    answer(pace, 0, 500, 10);
    expect(turnAway(pace, 500, 1, 1_000)).toBe(true);
    expect([500, 1_500, 2_500, 6_500].map((atMs) => paceAt(pace, atMs))).toStrictEqual([
      90.25, 95, 99.75, 688.75,
    ]);
  });

  test('what counts is the last second or two, however the run began', () => {
    const pace = new LearnedPace(0);
    answer(pace, 0, 500, 50);
    answer(pace, 500, 1_500, 100);
    answer(pace, 1_500, 2_600, 100);
    turnAway(pace, 2_500);
    expect(pace.perSecond(12_500)).toBeGreaterThan(9.5);
    expect(pace.perSecond(12_500)).toBeLessThan(10.5);
  });

  test('fewer than ten answers are measured over as long as they take', () => {
    const pace = new LearnedPace(0);
    answer(pace, 0, 4_000, 500);
    turnAway(pace, 4_000);
    expect(paceAt(pace, 14_000)).toBe(1.9);
  });

  test('in the very first millisecond, it is a finite number still', () => {
    const pace = new LearnedPace(0);
    pace.answered(0);
    turnAway(pace, 0);
    expect(paceAt(pace, 1_000)).toBe(950);
  });

  test('where nothing was answered there is nothing to keep to', () => {
    const pace = new LearnedPace(0);
    expect(turnAway(pace, 5_000, 100, 1_000)).toBe(false);
    expect(pace.perSecond(5_000)).toBe(Infinity);
  });

  test('one that was not told to wait tells nothing, and neither do some that are far between', () => {
    const one = new LearnedPace(0);
    answer(one, 0, 2_000, 100);
    expect([turnAway(one, 2_000, 1), one.perSecond(2_000)]).toStrictEqual([false, Infinity]);
    expect([turnAway(one, 2_000, 1), paceAt(one, 12_000)]).toStrictEqual([true, 9.5]);
    const rare = new LearnedPace(0);
    for (let fromMs = 0; fromMs < 100_000; fromMs += 1_000) {
      answer(rare, fromMs, fromMs + 1_000, 20);
      expect(turnAway(rare, fromMs + 1_000, 1)).toBe(false);
    }
    // Each answer takes a fiftieth of one away: 25 leave half of the last one.
    answer(rare, 100_000, 100_500, 20);
    expect([turnAway(rare, 100_500, 1), turnAway(rare, 100_500, 1)]).toStrictEqual([false, true]);
  });

  test('they have their effect once', () => {
    const pace = new LearnedPace(0);
    answer(pace, 0, 2_000, 10);
    turnAway(pace, 2_000);
    const learned = pace.perSecond(2_000);
    expect([turnAway(pace, 2_000, 1), pace.perSecond(2_000)]).toStrictEqual([false, learned]);
  });

  test('the pace never rises by what was answered when it was slower', () => {
    const pace = new LearnedPace(0);
    answer(pace, 0, 2_000, 10);
    turnAway(pace, 2_000);
    answer(pace, 2_000, 4_000, 10);
    turnAway(pace, 4_000);
    expect(pace.perSecond(4_000)).toBeLessThan(90);
  });

  test('an answer that comes in between lets one count for less', () => {
    const pace = new LearnedPace(0);
    turnAway(pace, 0, 1);
    answer(pace, 0, 3_100, 50);
    turnAway(pace, 3_100, 1);
    expect(pace.perSecond(3_100)).toBe(Infinity);
  });

  test('the pace is not less than half of the best second before, which is forgotten by and by', () => {
    const pace = new LearnedPace(0);
    answer(pace, 0, 1_010, 10);
    turnAway(pace, 100_000);
    expect(paceAt(pace, 110_000)).toBe(50);
    const later = new LearnedPace(0);
    answer(later, 0, 1_010, 10);
    answer(later, 1_010, 3_010, 100);
    turnAway(later, 100_000);
    expect(paceAt(later, 110_000)).toBe(45);
  });
});

describe('a pause', () => {
  test('is no time in which the origin might have answered, and what it answers then does not count', () => {
    const pace = new LearnedPace(0);
    answer(pace, 0, 1_000, 50);
    pace.pause(1_000, 31_000);
    answer(pace, 1_000, 31_000, 10);
    answer(pace, 31_000, 32_000, 50);
    turnAway(pace, 32_000);
    expect(paceAt(pace, 42_000)).toBe(19);
  });

  test('holds the recovery up', () => {
    const pace = new LearnedPace(0);
    answer(pace, 0, 1_000, 50);
    pace.pause(1_000, 6_000);
    turnAway(pace, 1_000);
    expect([1_000, 3_000, 6_000, 16_000].map((atMs) => paceAt(pace, atMs))).toStrictEqual([
      18.05, 18.05, 18.05, 19,
    ]);
  });

  test('that is made longer counts once', () => {
    const pace = new LearnedPace(0);
    answer(pace, 0, 1_000, 50);
    turnAway(pace, 1_000);
    pace.pause(1_000, 2_000);
    pace.pause(1_500, 4_000);
    expect(paceAt(pace, 4_000)).toBe(18.05);
    pace.pause(5_000, 6_000);
    // One second of the ten has gone by, then ten.
    expect([6_000, 15_000].map((atMs) => paceAt(pace, atMs))).toStrictEqual([18.30745, 19]);
  });
});

test('for any answers, refusals and pauses, the pace is above zero, and time alone never lowers it', () => {
  const events = fc.array(
    fc.record({
      what: fc.constantFrom('answered', 'answered', 'answered', 'turned away', 'pause'),
      afterMs: fc.integer({ min: 0, max: 3_000 }),
      pauseMs: fc.integer({ min: 1, max: 5_000 }),
    }),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(events, (events) => {
      const pace = new LearnedPace(0);
      let nowMs = 0;
      let pausedUntilMs = 0;
      for (const { what, afterMs, pauseMs } of events) {
        const before = pace.perSecond(nowMs);
        nowMs += afterMs;
        if (!(pace.perSecond(nowMs) >= before)) throw new Error('Expected time not to lower the pace');
        if (what === 'answered') pace.answered(nowMs);
        else if (what === 'turned away') turnAway(pace, nowMs, 2, Math.max(0, pausedUntilMs - nowMs));
        else if (nowMs + pauseMs > pausedUntilMs) {
          pausedUntilMs = nowMs + pauseMs;
          pace.pause(nowMs, pausedUntilMs);
        }
        if (!(pace.perSecond(nowMs) > 0)) throw new Error('Expected the pace to be above zero');
      }
    }),
  );
});
