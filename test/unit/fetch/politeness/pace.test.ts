import { describe, expect, test } from 'vitest';
import { LearnedPace } from '../../../../src/fetch/politeness/pace.ts';
import {
  HIGH,
  keepingTo,
  LOW,
  pacesAt,
  refuse,
  rounded,
  take,
  times,
  turnAway,
} from '../../../support/pace-world.ts';

describe('before a request is turned away', () => {
  test('the pace is unlimited, whatever is sent and however it pauses', () => {
    const pace = new LearnedPace(0);
    take(pace, times(0, 10_000, 10));
    pace.pause(10_000, 12_000);
    take(pace, [12_000]);
    expect(pacesAt(pace, 0, 12_000, 1e9)).toStrictEqual([Infinity, Infinity, Infinity]);
    expect(pace.learned(12_000)).toBeUndefined();
  });

  test('nothing is learned of requests that have not ended', () => {
    const pace = new LearnedPace(0);
    for (const atMs of times(0, 1_000, 10)) pace.sent(atMs);
    expect([pace.perSecond(1_000), pace.learned(1_000)]).toStrictEqual([Infinity, undefined]);
  });
});

describe('the rate from one refusal to another', () => {
  test('is kept to at 97 %, from 3 % below, in 10 s, and then gone past, slowly at first', () => {
    const pace = keepingTo(100);
    expect(pacesAt(pace, 2_000, 7_000, 12_000, 17_000, 22_000, 32_000)).toStrictEqual([
      LOW,
      96.63625,
      HIGH,
      97.36375,
      99.91,
      120.28,
    ]);
    expect([pace.learned(2_000), pace.learned(32_000)]).toStrictEqual([100, 100]);
  });

  test('takes longer to come back to where going past costs a pause: 20 times as long', () => {
    const pace = keepingTo(100, 1_000);
    // 10 s and 20 s, from the end of the pause on.
    expect(pacesAt(pace, 2_000, 3_000, 18_000, 33_000, 63_000)).toStrictEqual([
      LOW,
      LOW,
      96.63625,
      HIGH,
      99.91,
    ]);
  });

  test.each([
    { perSecond: 50, recoveryMs: 10_000 },
    { perSecond: 200, recoveryMs: 5_000 },
    { perSecond: 500, recoveryMs: 2_000 },
    { perSecond: 1_000, recoveryMs: 1_000 },
    { perSecond: 2_000, recoveryMs: 1_000 },
  ])('of $perSecond a second is come back to in $recoveryMs ms', ({ perSecond, recoveryMs }) => {
    const pace = keepingTo(perSecond);
    expect(pace.learned(2_000)).toBe(perSecond);
    expect(pacesAt(pace, 2_000, 2_000 + recoveryMs, 2_000 + 2 * recoveryMs)).toStrictEqual([
      rounded(perSecond * 0.97 * 0.97),
      rounded(perSecond * 0.97),
      rounded(perSecond * 0.97 * 1.03),
    ]);
  });

  test('is the most of the last second, or two, or three', () => {
    const pace = new LearnedPace(0, 100);
    turnAway(pace, 0);
    // 40 a second for 3 s, then 20, 50 and 20 in a second, at a pace of which these are the less part.
    take(pace, times(1_000, 3_000, 25));
    take(pace, times(3_000, 4_000, 50));
    take(pace, times(4_000, 5_000, 20));
    for (const atMs of times(5_000, 6_000, 10)) {
      if (atMs % 50 === 0) take(pace, [atMs]);
      else turnAway(pace, atMs);
    }
    refuse(pace, 6_000);
    // In one second 20, in two 70 = 35 a second, in three 90 = 30 a second.
    expect(pace.learned(6_000)).toBe(35);
  });

  test('is never above the pace that held requests back', () => {
    const pace = new LearnedPace(0, 100);
    turnAway(pace, 0);
    take(pace, times(5, 1_000, 5));
    refuse(pace, 1_000);
    // 199 were taken, at a pace of 97 - 2 · (29/30)³.
    expect(rounded(pace.learned(1_000))).toBe(rounded(97 - 2 * (29 / 30) ** 3));
  });

  test('of less than one in three seconds is measured over all the time', () => {
    const pace = new LearnedPace(0, 1);
    take(pace, [0, 5_000]);
    refuse(pace, 10_000);
    expect(pace.learned(10_000)).toBe(0.2);
  });

  test('may be that of a window which is used up in half of a second', () => {
    const pace = new LearnedPace(0, 200);
    take(pace, times(0, 500, 5));
    for (const atMs of times(500, 1_000, 5)) turnAway(pace, atMs);
    take(pace, times(1_000, 1_500, 5));
    refuse(pace, 1_500);
    expect([pace.learned(1_500), rounded(pace.perSecond(1_500))]).toStrictEqual([100, LOW]);
  });
});

describe('from a start to the first refusal', () => {
  test('the rate is searched for from the geometric mean of what was taken, and that spread over a second more', () => {
    const pace = new LearnedPace(0);
    take(pace, times(0, 125, 5));
    refuse(pace, 125);
    // 25 in 125 ms are 200 a second, in 1,125 ms a ninth of that, and the mean is a third.
    expect(pacesAt(pace, 125, 1_125, 2_125, 4_125)).toStrictEqual([
      rounded(200 / 3),
      rounded(200 * (1 - 1 / 12)),
      200,
      rounded(200 * (5 / 3)),
    ]);
  });

  test('a moment counts as a tenth of a second', () => {
    const pace = new LearnedPace(7_000);
    take(
      pace,
      Array.from({ length: 11 }, () => 7_000),
    );
    refuse(pace, 7_000);
    // 11 in 100 ms, and 11 in 1,100 ms.
    expect(pacesAt(pace, 7_000, 9_000)).toStrictEqual([rounded(Math.sqrt(110 * 10)), 110]);
  });

  test('what has not ended counts as taken', () => {
    const pace = new LearnedPace(0);
    for (const atMs of times(0, 125, 5)) pace.sent(atMs);
    refuse(pace, 125);
    expect(pacesAt(pace, 125, 2_125)).toStrictEqual([rounded(200 / 3), 200]);
  });

  test('the fastest half of a second is the most', () => {
    const pace = new LearnedPace(0);
    take(pace, times(0, 300, 60));
    take(pace, times(300, 800, 10));
    refuse(pace, 800);
    // 50 in 500 ms; and 55 in 1,800 ms.
    expect(pacesAt(pace, 800, 2_800)).toStrictEqual([rounded(Math.sqrt(100 * (55 / 1.8))), 100]);
  });

  test('where a pause is to come, the search takes longer: 3 times that', () => {
    const pace = new LearnedPace(0);
    take(pace, times(0, 125, 5));
    refuse(pace, 125, 2_000);
    expect(pacesAt(pace, 125, 2_125, 10_125)).toStrictEqual([rounded(200 / 3), rounded(200 / 3), 200]);
  });

  test('what is taken after the first refusal shows the rate without the burst, once it is six requests', () => {
    const search = (taken: number) => {
      const pace = new LearnedPace(0);
      take(pace, times(0, 300, 10));
      turnAway(pace, 300);
      take(pace, times(310, 310 + taken * 10, 10));
      refuse(pace, 380);
      return pacesAt(pace, 380, 2_380);
    };
    // 6 in 80 ms, from 5 % below; or else 30 and 5 in 380 ms.
    const atOnce = 35 / 0.38;
    expect([search(6), search(5)]).toStrictEqual([
      [71.25, 75],
      [rounded(atOnce * Math.sqrt(0.38 / 1.38)), rounded(atOnce)],
    ]);
  });

  test('after a second, a burst counts for little', () => {
    const pace = new LearnedPace(0);
    take(pace, times(0, 1_000, 10));
    refuse(pace, 1_000);
    expect(pacesAt(pace, 1_000, 3_000)).toStrictEqual([95, 100]);
  });

  test('where a pause is to come, after a second and a half', () => {
    const refusedAfter = (ms: number) => {
      const pace = new LearnedPace(0);
      take(pace, times(0, ms, 10));
      refuse(pace, ms, 1_000);
      return pacesAt(pace, ms + 1_000, ms + 6_000);
    };
    expect([refusedAfter(1_250), refusedAfter(1_500)]).toStrictEqual([
      [rounded(Math.sqrt(100 * (125 / 2.25))), 100],
      [95, 100],
    ]);
  });
});

describe('after a pause', () => {
  /** What is sent in the 800 ms after the pause: so many evenly in the first 300, and so many in the rest. */
  const afterPause = (first: number, second: number) => {
    const pace = keepingTo(100, 1_000);
    take(pace, times(3_000, 3_300, 300 / first));
    take(pace, times(3_300, 3_800, 500 / second));
    refuse(pace, 3_800, 1_000);
    return pacesAt(pace, 4_800, 9_800);
  };

  test('a rate is searched for below what the pace has let through, a burst included', () => {
    // 70 in 800 ms, in which the pace would let 75 pass; and in 1,800 ms: the mean is two thirds of that.
    expect(afterPause(20, 50)).toStrictEqual([rounded(87.5 / 1.5), 87.5]);
  });

  test('the fastest half of a second is the most, where the pace has not held requests back', () => {
    // 40 in 500 ms; and 45 in 1,800 ms.
    expect(afterPause(5, 40)).toStrictEqual([rounded(Math.sqrt(80 * 25)), 80]);
  });

  test('the rate is not above the pace, and at least 5 % below that at first', () => {
    const pace = 97 - 2.91 * (1 - 0.8 / 30) ** 3;
    expect(afterPause(60, 100)).toStrictEqual([rounded(0.95 * pace), rounded(pace)]);
  });

  test('refusals before the pause are no measure of what comes after', () => {
    const pace = new LearnedPace(0);
    turnAway(pace, 0);
    take(pace, times(5, 100, 5));
    pace.pause(100, 1_100);
    take(pace, times(1_100, 1_225, 5));
    refuse(pace, 1_225);
    expect(pacesAt(pace, 1_225, 3_225)).toStrictEqual([rounded(200 / 3), 200]);
  });

  test('a late refusal of what was sent before the pause is measured by what was sent then', () => {
    const pace = new LearnedPace(0);
    take(pace, times(0, 125, 5));
    const late = pace.sent(125);
    pace.pause(125, 1_125);
    turnAway(pace, 1_200);
    pace.turnedAway(late);
    pace.slowDown(1_250, 0, late);
    expect(pacesAt(pace, 1_250, 3_250)).toStrictEqual([rounded(200 / 3), 200]);
  });
});

describe('the time of a pause', () => {
  test('is no time in which the origin might take anything', () => {
    const pace = new LearnedPace(0);
    take(pace, times(0, 1_000, 10));
    refuse(pace, 1_000);
    take(pace, times(1_500, 2_000, 10));
    pace.pause(2_000, 32_000);
    take(pace, times(32_000, 32_500, 10));
    // The pace of the search, 1.5 s after it began.
    expect(rounded(pace.learned(32_500))).toBe(99.921875);
  });

  test('holds up the recovery', () => {
    const pace = keepingTo(100);
    pace.pause(7_000, 57_000);
    expect(pacesAt(pace, 7_000, 30_000, 57_000, 62_000)).toStrictEqual([96.63625, 96.63625, 96.63625, HIGH]);
  });

  test('counts once where a pause is made longer', () => {
    const pace = keepingTo(100);
    pace.pause(2_000, 4_000);
    pace.pause(3_000, 8_000);
    pace.pause(8_000, 9_000);
    expect(pacesAt(pace, 9_000, 14_000, 19_000)).toStrictEqual([LOW, 96.63625, HIGH]);
  });

  test('is given back where a pause is replaced by a shorter one', () => {
    const pace = keepingTo(100);
    pace.pause(2_000, 9_000);
    pace.pause(3_000, 4_000);
    expect(pacesAt(pace, 3_000, 4_000, 9_000, 14_000)).toStrictEqual([LOW, LOW, 96.63625, HIGH]);
  });
});

describe('where fewer are sent than the pace allows', () => {
  test('the rate is searched for from 5 % below the most that was taken', () => {
    const pace = new LearnedPace(0, 1_000);
    turnAway(pace, 0);
    take(pace, times(10, 1_000, 10));
    refuse(pace, 1_000);
    // 50 in half of a second.
    expect(pacesAt(pace, 1_000, 2_000, 3_000, 5_000)).toStrictEqual([95, 99.375, 100, 105]);
  });

  test('and from lower where half of a second was faster: up to that', () => {
    const pace = new LearnedPace(0, 1_000);
    turnAway(pace, 0);
    take(pace, times(20, 520, 20));
    take(pace, times(520, 1_020, 10));
    refuse(pace, 1_020);
    // 75 of the last second are kept to at 97 %, and 100 a second were taken in half of that.
    expect(pacesAt(pace, 1_020, 3_020)).toStrictEqual([72.75, 100]);
  });
});

describe('a refusal of what was sent before the pace changed last', () => {
  test('changes nothing', () => {
    const pace = new LearnedPace(0);
    take(pace, times(0, 125, 5));
    const others = [pace.sent(125), pace.sent(125)];
    refuse(pace, 125);
    const paces = pacesAt(pace, 125, 2_125);
    for (const sent of others) {
      pace.turnedAway(sent);
      pace.slowDown(130, 1_000, sent);
    }
    expect(pacesAt(pace, 125, 2_125)).toStrictEqual(paces);
  });

  test('is so when the pace was held back, too', () => {
    const pace = keepingTo(100);
    const other = pace.sent(2_000);
    refuse(pace, 2_000);
    pace.turnedAway(other);
    pace.slowDown(2_100, 0, other);
    expect(pacesAt(pace, 2_000)).toStrictEqual([LOW / 2]);
  });
});

describe('a refusal of what was sent so long ago that no more is known of that time', () => {
  const many = Array.from({ length: 16_384 }, (_, i) => i / 10);

  test('shows no rate', () => {
    const pace = new LearnedPace(0);
    const old = pace.sent(0);
    take(pace, many);
    pace.turnedAway(old);
    pace.slowDown(1_700, 1_000, old);
    expect([pace.perSecond(1_700), pace.learned(1_700)]).toStrictEqual([Infinity, undefined]);
  });

  test('holds a pace back that is known', () => {
    const pace = new LearnedPace(0, 100);
    const old = pace.sent(0);
    take(pace, many);
    pace.turnedAway(old);
    const before = pace.perSecond(1_700);
    pace.slowDown(1_700, 0, old);
    expect(pace.perSecond(1_700)).toBe(before / 2);
  });
});

describe('what was learned', () => {
  test('is, while the rate is searched for, the most that was taken of late, and no more than the pace', () => {
    const pace = new LearnedPace(0);
    take(pace, times(0, 1_000, 10));
    refuse(pace, 1_000);
    take(pace, times(1_000, 1_500, 10));
    // 102 a second were taken, and 97.9 is the pace by now.
    expect(rounded(pace.learned(1_500))).toBe(97.890625);
  });

  test('is not above the pace at which it is searched for', () => {
    const pace = new LearnedPace(0);
    take(pace, times(0, 1_000, 10));
    refuse(pace, 1_000);
    expect(pace.learned(1_000)).toBe(95);
  });

  test('is what the search began at where requests were few of late: the last of a run are no rate', () => {
    const pace = new LearnedPace(0);
    take(pace, times(0, 1_000, 10));
    refuse(pace, 1_000);
    turnAway(pace, 20_000);
    expect(pace.learned(20_000)).toBe(97);
  });
});

test('nothing is learned where all that is known of was turned away', () => {
  const pace = new LearnedPace(0);
  take(pace, times(0, 100, 50));
  refuse(pace, 100);
  for (const atMs of times(101, 9_000, 0.5)) turnAway(pace, atMs);
  expect(pace.learned(9_000)).toBeUndefined();
});

describe('what an earlier run learned', () => {
  test('is kept to at 95 %, and comes to 97 % in the time that a second’s pause would ask for', () => {
    const pace = new LearnedPace(5_000, 100);
    // 10 s and 20 s.
    expect(pacesAt(pace, 5_000, 20_000, 35_000, 65_000)).toStrictEqual([95, 96.75, 97, 99]);
  });

  test('is not what this run has learned, as long as no refusal has borne it out', () => {
    const pace = new LearnedPace(0, 100);
    take(pace, times(0, 5_000, 10));
    expect(pace.learned(5_000)).toBeUndefined();
  });

  test('is forgotten where requests are turned away at once', () => {
    const pace = new LearnedPace(0, 100);
    take(pace, times(0, 125, 12.5));
    refuse(pace, 125);
    // 10 in 125 ms, as if nothing had been learned.
    expect(pacesAt(pace, 125, 2_125)).toStrictEqual([rounded(80 / 3), 80]);
    expect(rounded(pace.learned(125))).toBe(rounded(80 / 3));
  });

  test.each([
    { afterMs: 990, toldMs: 0, isKept: false },
    { afterMs: 1_000, toldMs: 0, isKept: true },
    { afterMs: 1_490, toldMs: 1_000, isKept: false },
    { afterMs: 1_500, toldMs: 1_000, isKept: true },
  ])('is kept to ($isKept) after $afterMs ms where $toldMs ms are told', ({ afterMs, toldMs, isKept }) => {
    const pace = new LearnedPace(0, 100);
    const before = pace.perSecond(afterMs);
    take(pace, times(0, afterMs, 10));
    refuse(pace, afterMs, toldMs);
    const searched = 100 * Math.sqrt(afterMs / (afterMs + 1_000));
    expect(rounded(pace.perSecond(afterMs))).toBe(rounded(isKept ? 0.97 * 0.97 * before : searched));
    expect(rounded(pace.learned(afterMs))).toBe(rounded(isKept ? before : searched));
  });

  test('is not forgotten where nothing is taken at all: that is a window which others have used up', () => {
    const pace = new LearnedPace(0, 100);
    refuse(pace, 0, 1_000);
    take(pace, [1_000]);
    expect([rounded(pace.perSecond(1_000)), pace.learned(1_000)]).toStrictEqual([95, undefined]);
  });
});
