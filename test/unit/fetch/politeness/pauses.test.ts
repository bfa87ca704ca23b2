import { describe, expect, test } from 'vitest';
import {
  ANY_SLOT,
  ask,
  DEADLINE_MS,
  limiterWith,
  moveTo,
  NEVER,
  slotOf,
  slotsOf,
  startTimes,
} from '../../../support/limiter-world.ts';
import { quiet } from '../../../support/manual-mapper.ts';
import { nothingLearned } from '../../../support/plain-traffic.ts';

describe('a rate', () => {
  test.each<[rate: number, times: number[]]>([
    [0.5, [0, 2_000, 4_000, 6_000]],
    [1, [0, 1_000, 2_000, 3_000]],
    [3, [0, 333, 667, 1_000]],
    [100, [0, 10, 20, 30]],
  ])('of %f a second lets requests start evenly', async (ratePerSecond, times) => {
    expect(await startTimes(limiterWith({ ratePerSecond }), 4)).toStrictEqual(times);
  });

  test('that was not used for long is made up for by 10 ms’ worth at most', async () => {
    const slow = limiterWith({ ratePerSecond: 2 });
    await moveTo(slow.clock, 20_000);
    expect(await startTimes(slow, 3)).toStrictEqual([20_000, 20_490, 20_990]);
    const fast = limiterWith({ ratePerSecond: 1_000, concurrency: 100 });
    await moveTo(fast.clock, 20_000);
    expect(await startTimes(fast, 13)).toStrictEqual([...Array(11).fill(20_000), 20_001, 20_002]);
  });

  test('holds for urgent requests as well', async () => {
    const world = limiterWith({ ratePerSecond: 1 });
    const starts: [string, number | null][] = [];
    ask(world, starts, 'first');
    ask(world, starts, 'urgent', true);
    await moveTo(world.clock, 0);
    expect(starts).toStrictEqual([['first', 0]]);
    await moveTo(world.clock, 999);
    expect(starts).toStrictEqual([['first', 0]]);
    await moveTo(world.clock, 1_000);
    expect(starts).toStrictEqual([
      ['first', 0],
      ['urgent', 1_000],
    ]);
  });

  test('counts as throttled the time in which it holds back requests that the limit would let start', async () => {
    const world = limiterWith({ ratePerSecond: 1, concurrency: 1 });
    // Of each second, 0.4 s go by with a request in flight, which takes up the limit.
    expect(await startTimes(world, 4, 400)).toStrictEqual([0, 1_000, 2_000, 3_000]);
    expect(world.limiter.summary()).toStrictEqual({
      throttledMs: 1_800,
      pauses: [],
      peakInFlight: 1,
      concurrency: { min: 1, max: 1, final: 1 },
      learned: nothingLearned,
    });
  });

  test('that gives no start before the deadline refuses those who wait at once', async () => {
    const world = limiterWith({ ratePerSecond: 0.5, deadlineMs: 3_000 });
    expect(await startTimes(world, 4)).toStrictEqual([0, 2_000, null, null]);
    expect([world.clock.now(), world.clock.pending, world.limiter.end]).toStrictEqual([2_000, 0, 'deadline']);
  });
});

describe('a pause', () => {
  test('holds for every request, and lets those in flight finish', async () => {
    const world = limiterWith();
    const slots = slotsOf(world.limiter, 5);
    world.limiter.pause(1_000);
    const starts: [string, number | null][] = [];
    ask(world, starts, 'waiting');
    ask(world, starts, 'urgent', true);
    for (const slot of slots) {
      world.limiter.release(slot, 'answered');
      await moveTo(world.clock, world.clock.now() + 150);
    }
    await moveTo(world.clock, 999);
    expect(starts).toStrictEqual([]);
    await moveTo(world.clock, 2_000);
    expect(starts.map(([name]) => name)).toStrictEqual(['urgent', 'waiting']);
  });

  test('ends with the requests spread out over a second, the first not at its very end', async () => {
    const world = limiterWith({ concurrency: 4 });
    world.limiter.pause(1_000);
    expect(await startTimes(world, 4)).toStrictEqual([1_125, 1_375, 1_625, 1_875]);
    expect(world.limiter.summary().throttledMs).toBe(1_875);
  });

  test.each([
    [0, 1_000],
    [0.25, 1_025],
    [0.5, 1_050],
    [0.75, 1_075],
  ])('ends for functions that were told the same at different times: %f', async (random, expected) => {
    const world = limiterWith({ random: () => random });
    world.limiter.pause(1_000);
    expect(await startTimes(world, 1)).toStrictEqual([expected]);
  });

  test('is made longer by a longer one, and never shorter', async () => {
    const world = limiterWith({ random: () => 0 });
    world.limiter.pause(1_000);
    world.limiter.pause(500);
    world.limiter.pause(-500);
    await moveTo(world.clock, 600);
    world.limiter.pause(300);
    expect(await startTimes(world, 1)).toStrictEqual([1_000]);
    world.limiter.pause(1_000);
    await moveTo(world.clock, 1_500);
    world.limiter.pause(1_000);
    expect(await startTimes(world, 1)).toStrictEqual([2_500]);
  });

  test('is followed by ever more requests, and not by all of them when its second is over', async () => {
    const world = limiterWith({ concurrency: 2, random: () => 0 });
    world.limiter.pause(1_000);
    expect(await startTimes(world, 9)).toStrictEqual([
      1_000, 1_500, 2_000, 2_146, 2_250, 2_330, 2_396, 2_452, 2_500,
    ]);
  });

  test.each<[random: number, times: number[]]>([
    [0, [2_000, 3_000, 4_000, 5_000]],
    [0.75, [1_250, 2_250, 3_250, 4_250]],
  ])(
    'ends with the requests at the rate that is known, if one is, which starts at random: %f',
    async (random, times) => {
      const world = limiterWith({
        adaptive: true,
        random: () => random,
        learned: { perSecond: 1 / 0.95, inFlight: null, told: null },
      });
      world.limiter.pause(500);
      world.limiter.pause(1_000);
      const starts = await startTimes(world, 4);
      // The rate grows a little.
      expect(starts.map((atMs) => Math.round((atMs ?? 0) / 50) * 50)).toStrictEqual(times);
    },
  );

  test('gives no request that the rate does not', async () => {
    const world = limiterWith({ ratePerSecond: 0.5, random: () => 0 });
    slotOf(world.limiter);
    world.limiter.pause(100);
    expect(await startTimes(world, 1)).toStrictEqual([2_000]);
  });

  test.each([9_999.5, 9_900])(
    'after which no request can start in time ends the run at once: %f ms',
    (ms) => {
      const { limiter } = limiterWith({ deadlineMs: 10_000, concurrency: 1, random: () => 0.9 });
      limiter.pause(ms);
      expect([limiter.end, limiter.start(NEVER)]).toStrictEqual(['rate-limited', undefined]);
    },
  );

  test.each([0, -1])('of %i ms is none', (ms) => {
    const { limiter } = limiterWith();
    limiter.pause(ms);
    expect([limiter.isCalm, limiter.start(NEVER)]).toStrictEqual([true, ANY_SLOT]);
  });

  test.each([DEADLINE_MS, DEADLINE_MS * 100, Infinity])(
    'of %f ms, which outlasts the deadline, ends the run for those who wait and those who come',
    async (ms) => {
      const world = limiterWith({ concurrency: 1, adaptive: true });
      const slot = slotOf(world.limiter);
      const starts: [string, number | null][] = [];
      ask(world, starts, 'waiting');
      ask(world, starts, 'urgent', true);
      world.limiter.pause(ms);
      world.limiter.release(slot, 'throttled');
      ask(world, starts, 'later');
      await quiet();
      expect(starts).toStrictEqual([
        ['urgent', null],
        ['waiting', null],
        ['later', null],
      ]);
      expect([world.limiter.end, world.clock.now(), world.clock.pending]).toStrictEqual([
        'rate-limited',
        0,
        0,
      ]);
      world.clock.advance(DEADLINE_MS);
      expect(world.limiter.end).toBe('rate-limited');
    },
  );

  test('is no calm, and neither is a limit that was lowered and has seen no round of answers since', () => {
    const { clock, limiter } = limiterWith({ adaptive: true, concurrency: 3 });
    limiter.pause(1_000);
    expect(limiter.isCalm).toBe(false);
    clock.advance(3_000);
    expect(limiter.isCalm).toBe(true);
    for (const slot of slotsOf(limiter, 3)) limiter.release(slot, 'overloaded');
    expect(limiter.isCalm).toBe(false);
    clock.advance(10_000);
    const calm = slotsOf(limiter, 3).map((slot) => {
      limiter.release(slot, 'answered');
      return limiter.isCalm;
    });
    expect([calm, limiter.summary().concurrency]).toStrictEqual([
      [false, false, true],
      { min: 1, max: 3, final: 3 },
    ]);
  });
});
