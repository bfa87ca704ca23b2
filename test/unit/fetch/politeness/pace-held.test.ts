import { describe, expect, test } from 'vitest';
import { LearnedPace } from '../../../../src/fetch/politeness/pace.ts';
import {
  keepingTo,
  LOW,
  pacesAt,
  refuse,
  rounded,
  take,
  times,
  turnAway,
} from '../../../support/pace-world.ts';

describe('where nothing at all is taken', () => {
  test.each([{ toldMs: 0 }, { toldMs: 1 }])(
    'the pace is halved each time, down to one request in five seconds ($toldMs ms)',
    ({ toldMs }) => {
      const pace = new LearnedPace(0, 8);
      const seen = Array.from({ length: 8 }, () => {
        refuse(pace, 0, toldMs);
        return pace.perSecond(0);
      });
      expect(seen.map(rounded)).toStrictEqual([3.8, 1.9, 0.95, 0.475, 0.2375, 0.2, 0.2, 0.2]);
      expect(pace.learned(0)).toBeUndefined();
    },
  );

  test('a pace that is slower still stays as it is', () => {
    const pace = new LearnedPace(0, 0.1);
    refuse(pace, 0);
    expect(pacesAt(pace, 0, 10_000)).toStrictEqual([0.095, 0.095]);
  });

  test('the pace stays what it is held to, as time goes on', () => {
    const pace = keepingTo(100);
    refuse(pace, 2_000);
    expect(pacesAt(pace, 2_000, 12_000, 1_000_000)).toStrictEqual([LOW / 2, LOW / 2, LOW / 2].map(rounded));
    // What it would have come to without is not what is halved.
    refuse(pace, 1_000_000);
    expect(pacesAt(pace, 1_000_000)).toStrictEqual([rounded(LOW / 4)]);
  });

  test('the first answer to what was sent since sets the pace free, and no other', () => {
    const pace = keepingTo(100);
    const before = pace.sent(2_000);
    refuse(pace, 2_000);
    refuse(pace, 2_000);
    const after = pace.sent(2_000);
    pace.answered(before, 2_100);
    const held = pace.perSecond(2_100);
    pace.answered(after, 2_100);
    expect([held, pace.perSecond(2_000)].map(rounded)).toStrictEqual([LOW / 4, LOW].map(rounded));
  });

  test('but for what has not ended, a rate that this shows is kept to as well', () => {
    const pace = new LearnedPace(0);
    refuse(pace, 0, 1_000);
    for (const atMs of times(1_000, 1_125, 5)) pace.sent(atMs);
    refuse(pace, 1_125);
    expect(pacesAt(pace, 1_125, 3_125)).toStrictEqual([rounded(200 / 3), 200]);
  });

  test('and no rate is known, there is nothing to keep to', () => {
    const pace = new LearnedPace(0);
    refuse(pace, 0);
    refuse(pace, 100, 1_000);
    expect([pace.perSecond(1_100), pace.learned(1_100)]).toStrictEqual([Infinity, undefined]);
    take(pace, times(1_100, 1_225, 5));
    refuse(pace, 1_225);
    expect(pacesAt(pace, 1_225, 3_225)).toStrictEqual([rounded(200 / 3), 200]);
  });

  test('though something was between other refusals, the pace is held back as well', () => {
    const pace = new LearnedPace(0);
    take(pace, times(0, 100, 10));
    turnAway(pace, 100);
    turnAway(pace, 400);
    refuse(pace, 700);
    expect([pace.perSecond(700), pace.learned(700)]).toStrictEqual([Infinity, undefined]);
  });

  test('what is sent by a pace that is held back does not tell whether the whole one would hold requests back', () => {
    const pace = keepingTo(100);
    refuse(pace, 2_000);
    for (const atMs of times(2_025, 3_000, 25)) pace.sent(atMs);
    // The first answer sets the pace free, and for 300 ms as many are sent as that lets pass.
    take(pace, times(3_000, 3_300, 10));
    refuse(pace, 3_300);
    // 99, 39 and 30 since the first refusal, at 1,005 ms.
    const rate = 168 / 2.295;
    expect([pace.learned(3_300), pace.perSecond(3_300)].map(rounded)).toStrictEqual(
      [rate, 0.97 * 0.97 * rate].map(rounded),
    );
  });
});

describe('where nothing is taken for more than two seconds', () => {
  /** A pace of 100 a second, of which nothing was taken from 2,000 ms on until then. */
  const emptyUntil = (atMs: number): LearnedPace => {
    const pace = keepingTo(100);
    refuse(pace, 2_000);
    refuse(pace, (2_000 + atMs) / 2);
    take(pace, [atMs]);
    return pace;
  };

  test('the pace is kept to what was taken over that time, or twice or three times that', () => {
    const pace = emptyUntil(7_000);
    // Of 301 none but the last in 5 s, and all in 10 s and in 15 s.
    expect(pace.learned(7_000)).toBe(30.1);
    expect(pacesAt(pace, 7_000, 17_000)).toStrictEqual([0.97 * 0.97 * 30.1, 0.97 * 30.1].map(rounded));
  });

  test('and not where it was two seconds', () => {
    const pace = emptyUntil(4_000);
    expect([pace.learned(4_000), pacesAt(pace, 4_000)]).toStrictEqual([100, pacesAt(keepingTo(100), 4_000)]);
    // 301 in 4,002 ms.
    expect(rounded(emptyUntil(4_001).learned(4_001))).toBe(rounded(301 / 4.002));
  });

  test('pauses are no part of that time', () => {
    const learnedAt = (atMs: number) => {
      const pace = keepingTo(100);
      refuse(pace, 2_000);
      pace.pause(3_000, 13_000);
      take(pace, [atMs]);
      return rounded(pace.learned(atMs));
    };
    expect([learnedAt(14_000), learnedAt(14_001)]).toStrictEqual([100, rounded(301 / 4.002)]);
  });

  test('the rate is measured over as long as that, from then on', () => {
    const pace = emptyUntil(7_000);
    take(pace, times(7_010, 7_500, 10));
    take(pace, times(8_000, 12_000, 50));
    refuse(pace, 12_000);
    // 1, 49 and 80 in 5 s; and 20 in the last second, 50 in the first.
    expect(pace.learned(12_000)).toBe(26);
    expect(pacesAt(pace, 12_000)).toStrictEqual([rounded(0.97 * 0.97 * 26)]);
  });

  test('the longest such time is the one that counts', () => {
    const pace = emptyUntil(7_000);
    refuse(pace, 7_100);
    refuse(pace, 7_200);
    take(pace, [10_200]);
    // 262 in 10 s, twice the 5 s; though this time it was 3 s, with 82 in three times that.
    expect(pace.learned(10_200)).toBe(26.2);
  });

  test.each([
    { before: 5, isMeasure: false },
    { before: 6, isMeasure: true },
  ])(
    'what others have left of a window is no measure: $before requests ($isMeasure)',
    ({ before, isMeasure }) => {
      const pace = new LearnedPace(0, 100);
      take(pace, times(0, before, 1));
      turnAway(pace, 100);
      refuse(pace, 600);
      take(pace, [10_600]);
      expect([rounded(pace.perSecond(10_600)), pace.learned(10_600)]).toStrictEqual(
        isMeasure ? [rounded(0.97 * 0.97 * 0.35), 0.35] : [rounded(97 - 2 * (1 - 10.6 / 30) ** 3), undefined],
      );
    },
  );

  test('an answer to what was sent so long ago that no more is known of that time shows no rate', () => {
    const pace = keepingTo(100);
    refuse(pace, 2_000);
    const old = pace.sent(7_000);
    for (let i = 0; i < 16_384; i++) pace.sent(7_000);
    pace.answered(old, 7_100);
    expect([pace.learned(7_100), pacesAt(pace, 7_000)]).toStrictEqual([100, pacesAt(keepingTo(100), 7_000)]);
  });
});

test('a pace that is held back is not above one that is learned meanwhile', () => {
  const pace = keepingTo(100);
  refuse(pace, 2_000);
  const held = rounded(pace.perSecond(2_000));
  for (const atMs of times(3_000, 8_000, 500)) pace.sent(atMs);
  refuse(pace, 8_000, 1_000);
  // What has not ended counts as taken: two in a second, and a search for more from 5 % below.
  expect([held, ...pacesAt(pace, 8_000)]).toStrictEqual([LOW / 2, 1.9].map(rounded));
});
