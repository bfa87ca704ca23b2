import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Feedback } from '../../../../src/fetch/politeness/concurrency-limit.ts';
import type { Limiter, Slot } from '../../../../src/fetch/politeness/limiter.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { DEADLINE_MS, type LimiterGiven, limiterWith } from '../../../support/limiter-world.ts';
import { quiet } from '../../../support/manual-mapper.ts';

const NEVER = new AbortController().signal;

/** The slot of a request that need not wait for it. */
function slotOf(limiter: Limiter): Slot {
  const slot = limiter.start(NEVER);
  if (typeof slot !== 'number') throw new Error('Expected a slot at once');
  return slot;
}

const slotsOf = (limiter: Limiter, count: number): Slot[] =>
  Array.from({ length: count }, () => slotOf(limiter));

/** Asks for a start, and notes by its name when it came, or `null` where it was refused. */
function ask(
  { clock, limiter }: { clock: FakeClock; limiter: Limiter },
  starts: [name: string, atMs: number | null][],
  name: string,
  isUrgent = false,
): void {
  void Promise.resolve(limiter.start(NEVER, isUrgent)).then((slot) =>
    starts.push([name, slot === undefined ? null : clock.now()]),
  );
}

/** When each of so many requests starts that are all asked for now, and last so long; `null` where it does not. */
async function startTimes(
  { clock, limiter }: { clock: FakeClock; limiter: Limiter },
  count: number,
  lastsMs = 0,
): Promise<(number | null)[]> {
  const request = async (): Promise<number | null> => {
    const slot = await limiter.start(NEVER);
    if (slot === undefined) return null;
    const atMs = clock.now();
    if (lastsMs > 0) await new Promise<void>((resolve) => clock.after(lastsMs, resolve));
    limiter.release(slot, 'answered');
    return atMs;
  };
  const times = await clock.runUntil(Promise.all(Array.from({ length: count }, request)));
  return times.map((atMs) => (atMs === null ? null : Math.round(atMs)));
}

/** Moves on to a time, and lets everything happen that is due by then. */
async function moveTo(clock: FakeClock, atMs: number): Promise<void> {
  clock.advance(atMs - clock.now());
  await quiet();
}

/** So many requests end, one after the other, while as many as may be are in flight throughout. */
function endBusily(limiter: Limiter, inFlight: Slot[], feedbacks: readonly Feedback[]): void {
  for (const feedback of feedbacks) {
    limiter.release(inFlight.shift() ?? slotOf(limiter), feedback);
    while (inFlight.length < limiter.summary().concurrency.final) inFlight.push(slotOf(limiter));
  }
}

const answers = (count: number): Feedback[] => Array.from({ length: count }, () => 'answered');

describe('requests in flight', () => {
  test('are at most as many as the concurrency, and who waits gets the place of who ends', async () => {
    const world = limiterWith({ concurrency: 2 });
    const [first = 0] = slotsOf(world.limiter, 2);
    const starts: [string, number | null][] = [];
    ask(world, starts, 'third');
    ask(world, starts, 'fourth');
    await moveTo(world.clock, 1_000);
    expect(starts).toStrictEqual([]);
    world.limiter.release(first, 'answered');
    await quiet();
    expect(starts).toStrictEqual([['third', 1_000]]);
    expect(world.limiter.summary()).toStrictEqual({
      throttledMs: 0,
      peakInFlight: 2,
      concurrency: { min: 2, max: 2, final: 2 },
    });
  });

  test('start in the order in which they were asked for, the urgent ones before the others', async () => {
    const world = limiterWith({ concurrency: 1 });
    let slot = slotOf(world.limiter);
    const starts: [string, number | null][] = [];
    ask(world, starts, 'a');
    ask(world, starts, 'b');
    ask(world, starts, 'urgent a', true);
    ask(world, starts, 'urgent b', true);
    for (const atMs of [100, 200, 300, 400]) {
      await moveTo(world.clock, atMs);
      world.limiter.release(slot, 'answered');
      slot = 0;
      await quiet();
    }
    expect(starts).toStrictEqual([
      ['urgent a', 100],
      ['urgent b', 200],
      ['a', 300],
      ['b', 400],
    ]);
  });

  test('start in that order even when timers are late: who asks does not get ahead of who waits', async () => {
    const clock = new FakeClock();
    const late = {
      now: () => clock.now(),
      date: () => clock.date(),
      after: (ms: number, callback: () => void) => clock.after(ms + 500, callback),
    };
    const { limiter } = limiterWith({ clock: late, ratePerSecond: 1 });
    const world = { clock, limiter };
    slotOf(limiter);
    const starts: [string, number | null][] = [];
    ask(world, starts, 'first');
    await moveTo(clock, 1_200);
    ask(world, starts, 'second');
    await moveTo(clock, 1_300);
    ask(world, starts, 'urgent', true);
    await moveTo(clock, 5_000);
    expect(starts.map(([name]) => name)).toStrictEqual(['first', 'urgent', 'second']);
  });

  test('nothing waits that may start', () => {
    const { clock, limiter } = limiterWith();
    expect([limiter.start(NEVER), limiter.start(NEVER, true)]).toStrictEqual([0, 0]);
    expect(clock.pending).toBe(0);
  });

  test('without adapting, the limit is the concurrency, whatever comes back', () => {
    const { clock, limiter } = limiterWith({ concurrency: 40 });
    const slots = slotsOf(limiter, 40);
    for (const slot of slots) limiter.release(slot, 'throttled');
    clock.advance(10);
    for (const slot of slotsOf(limiter, 40)) limiter.release(slot, 'timed-out');
    expect([limiter.isCalm, limiter.summary()]).toStrictEqual([
      true,
      { throttledMs: 0, peakInFlight: 40, concurrency: { min: 40, max: 40, final: 40 } },
    ]);
  });
});

describe('a limit that adapts', () => {
  test.each([
    [1, 1],
    [10, 10],
    [11, 10],
    [500, 10],
  ])('of a concurrency of %i starts at %i', (concurrency, expected) => {
    const { limiter } = limiterWith({ adaptive: true, concurrency });
    expect(limiter.summary().concurrency).toStrictEqual({ min: expected, max: expected, final: expected });
    slotsOf(limiter, expected);
    expect(limiter.start(NEVER)).toBeInstanceOf(Promise);
  });

  test('grows by one with each round of answers, up to the concurrency', () => {
    const { limiter } = limiterWith({ adaptive: true, concurrency: 12 });
    const inFlight = slotsOf(limiter, 10);
    const limits = [9, 1, 10, 1, 12, 12].map((count) => {
      endBusily(limiter, inFlight, answers(count));
      return limiter.summary().concurrency;
    });
    expect(limits.map(({ final }) => final)).toStrictEqual([10, 11, 11, 12, 12, 12]);
    expect(limits.at(-1)).toStrictEqual({ min: 10, max: 12, final: 12 });
  });

  test('does not grow while less than half of it is made use of', () => {
    const { limiter } = limiterWith({ adaptive: true, concurrency: 50 });
    for (let i = 0; i < 100; i++) limiter.release(slotOf(limiter), 'answered');
    expect(limiter.summary().concurrency).toStrictEqual({ min: 10, max: 10, final: 10 });
  });

  test.each<Feedback>(['throttled', 'overloaded'])(
    'is halved once a round, however many of its requests were %s',
    (feedback) => {
      const { limiter } = limiterWith({ adaptive: true });
      for (const slot of slotsOf(limiter, 10)) limiter.release(slot, feedback);
      expect(limiter.summary().concurrency).toStrictEqual({ min: 5, max: 10, final: 5 });
    },
  );

  test('never falls below one', () => {
    const { clock, limiter } = limiterWith({ adaptive: true });
    const limits = Array.from({ length: 6 }, () => {
      limiter.release(slotOf(limiter), 'overloaded');
      clock.advance(9_000);
      return limiter.summary().concurrency.final;
    });
    expect(limits).toStrictEqual([5, 2, 1, 1, 1, 1]);
  });

  test('is halved when a wave of requests times out: three in ten', () => {
    const { limiter } = limiterWith({ adaptive: true });
    const slots = slotsOf(limiter, 10);
    const limits = slots.map((slot) => {
      limiter.release(slot, 'timed-out');
      return limiter.summary().concurrency.final;
    });
    expect(limits).toStrictEqual([10, 10, 5, 5, 5, 5, 5, 5, 5, 5]);
  });

  test('of one takes a wave of three, too', () => {
    const { limiter } = limiterWith({ adaptive: true, concurrency: 1 });
    for (const _ of [1, 2]) limiter.release(slotOf(limiter), 'timed-out');
    expect(limiter.isCalm).toBe(true);
    limiter.release(slotOf(limiter), 'timed-out');
    expect([limiter.isCalm, limiter.summary().concurrency.final]).toStrictEqual([false, 1]);
  });

  test('is not halved by two stalls a round, which are no wave', () => {
    const { limiter } = limiterWith({ adaptive: true, concurrency: 10 });
    const inFlight = slotsOf(limiter, 10);
    const round: Feedback[] = [...answers(8), 'timed-out', 'timed-out'];
    for (let i = 0; i < 20; i++) endBusily(limiter, inFlight, round);
    expect(limiter.summary().concurrency).toStrictEqual({ min: 10, max: 10, final: 10 });
  });

  test('learns nothing from what says nothing of the origin', () => {
    const { limiter } = limiterWith({ adaptive: true, concurrency: 50 });
    endBusily(
      limiter,
      slotsOf(limiter, 10),
      Array.from({ length: 100 }, () => 'unknown'),
    );
    expect(limiter.summary().concurrency).toStrictEqual({ min: 10, max: 10, final: 10 });
  });

  test('learns nothing from requests that started before it was halved', () => {
    const { limiter } = limiterWith({ adaptive: true });
    const [first = 0, ...others] = slotsOf(limiter, 10);
    limiter.release(first, 'throttled');
    for (const slot of others) limiter.release(slot, 'answered');
    expect(limiter.summary().concurrency).toStrictEqual({ min: 5, max: 10, final: 5 });
  });

  test('counts a round anew once it was halved', () => {
    const { limiter } = limiterWith({ adaptive: true });
    const inFlight = slotsOf(limiter, 10);
    endBusily(limiter, inFlight, [...answers(7), 'timed-out', 'timed-out']);
    limiter.release(inFlight.pop() ?? 0, 'overloaded');
    for (const slot of inFlight.splice(0)) limiter.release(slot, 'answered');
    inFlight.push(...slotsOf(limiter, 5));
    const limits = [...answers(4), 'timed-out' as const, 'answered' as const].map((feedback) => {
      endBusily(limiter, inFlight, [feedback]);
      return limiter.summary().concurrency.final;
    });
    expect(limits).toStrictEqual([5, 5, 5, 5, 5, 6]);
  });

  test('after it was halved, no request starts until fewer than the new limit are in flight', async () => {
    const world = limiterWith({ adaptive: true });
    const slots = slotsOf(world.limiter, 10);
    const starts: [string, number | null][] = [];
    ask(world, starts, 'waiting');
    await moveTo(world.clock, 10_000);
    for (const [i, slot] of slots.slice(0, 5).entries()) {
      world.limiter.release(slot, i === 0 ? 'throttled' : 'answered');
      await moveTo(world.clock, world.clock.now() + 1_000);
    }
    expect(starts).toStrictEqual([]);
    const [, , , , , last = 0] = slots;
    world.limiter.release(last, 'answered');
    await moveTo(world.clock, world.clock.now() + 2_000);
    expect(starts.map(([name]) => name)).toStrictEqual(['waiting']);
  });

  test('keeps the requests that follow below the rate at which the origin had answered', async () => {
    const world = limiterWith({ adaptive: true });
    // 10 a second for two seconds.
    for (let i = 0; i < 20; i++) {
      world.clock.advance(100);
      world.limiter.release(slotOf(world.limiter), 'answered');
    }
    for (const slot of slotsOf(world.limiter, 10)) world.limiter.release(slot, 'throttled');
    const times = (await startTimes(world, 20)).map((atMs) => (atMs ?? 0) - 2_000);
    expect(times[19]).toBeGreaterThan(1_900);
    expect(times[19]).toBeLessThan(2_400);
    expect(new Set(times).size).toBe(20);
  });

  test('is not halved again, nor the pace slowed down, by requests that were on their way', async () => {
    const { limiter } = limiterWith({ adaptive: true });
    const slots = slotsOf(limiter, 10);
    limiter.release(slots.pop() ?? 0, 'answered');
    for (const slot of slots) limiter.release(slot, 'throttled');
    expect(limiter.summary().concurrency.final).toBe(5);
  });

  test('of one leaves an origin alone that turns it away still, for ever longer, until it answers', async () => {
    const world = limiterWith({ adaptive: true, concurrency: 1, random: () => 0, deadlineMs: 1e6 });
    const waits: number[] = [];
    for (let i = 0; i < 9; i++) {
      world.limiter.release(slotOf(world.limiter), i % 2 ? 'overloaded' : 'throttled');
      const fromMs = world.clock.now();
      const slot = await world.clock.runUntil(Promise.resolve(world.limiter.start(NEVER)));
      waits.push(Math.round(world.clock.now() - fromMs));
      if (i === 7) world.limiter.release(slot ?? 0, 'answered');
      else world.limiter.release(slot ?? 0, 'unknown');
      world.clock.advance(5_000);
    }
    expect(waits).toStrictEqual([50, 100, 200, 400, 800, 1_600, 2_500, 2_500, 50]);
  });

  test('leaves the rate alone when the origin was overloaded, not asked too often', async () => {
    const world = limiterWith({ adaptive: true, concurrency: 20 });
    for (const slot of slotsOf(world.limiter, 10)) world.limiter.release(slot, 'overloaded');
    expect(await startTimes(world, 10)).toStrictEqual(Array(10).fill(0));
  });
});

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
      peakInFlight: 1,
      concurrency: { min: 1, max: 1, final: 1 },
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
    expect([limiter.isCalm, limiter.start(NEVER)]).toStrictEqual([true, 0]);
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

  test('is no calm, and neither is a limit that was halved and has seen no round of answers since', async () => {
    const { clock, limiter } = limiterWith({ adaptive: true, concurrency: 2 });
    limiter.pause(1_000);
    expect(limiter.isCalm).toBe(false);
    clock.advance(3_000);
    expect(limiter.isCalm).toBe(true);
    limiter.release(slotOf(limiter), 'throttled');
    expect(limiter.isCalm).toBe(false);
    clock.advance(10_000);
    expect(limiter.isCalm).toBe(false);
    limiter.release(slotOf(limiter), 'answered');
    expect([limiter.isCalm, limiter.summary().concurrency]).toStrictEqual([
      true,
      { min: 1, max: 2, final: 2 },
    ]);
  });
});

describe('the deadline', () => {
  test('refuses those who wait for a place', async () => {
    const world = limiterWith({ concurrency: 1 });
    expect(await startTimes(world, 2, DEADLINE_MS + 1_000)).toStrictEqual([0, null]);
    expect([world.limiter.end, world.clock.pending]).toStrictEqual(['deadline', 0]);
  });

  test('has come when less than a millisecond is left, which timers do not count', () => {
    const { clock, limiter } = limiterWith();
    clock.advance(DEADLINE_MS - 1);
    expect([limiter.end, limiter.start(NEVER)]).toStrictEqual([undefined, 0]);
    clock.advance(0.5);
    expect([limiter.end, limiter.start(NEVER)]).toStrictEqual(['deadline', undefined]);
  });
});

test('nothing is throttled once the run has ended', async () => {
  const { clock, limiter } = limiterWith({ ratePerSecond: 1, deadlineMs: 1_500 });
  const slot = slotOf(limiter);
  const waiting = [limiter.start(NEVER), limiter.start(NEVER)];
  clock.advance(1_000);
  await Promise.all(waiting);
  clock.advance(20_000);
  limiter.release(slot, 'answered');
  expect([limiter.end, limiter.summary().throttledMs]).toStrictEqual(['deadline', 1_000]);
});

test('a slot whose request was not sent takes nothing from the rate', () => {
  const { limiter } = limiterWith({ ratePerSecond: 0.5 });
  limiter.cancel(slotOf(limiter));
  expect(slotOf(limiter)).toBe(0);
  expect(limiter.start(NEVER)).toBeInstanceOf(Promise);
});

test('who is dismissed is refused, and who comes after waits as before', async () => {
  const world = limiterWith({ concurrency: 1 });
  const slot = slotOf(world.limiter);
  const starts: [string, number | null][] = [];
  ask(world, starts, 'waiting');
  ask(world, starts, 'urgent', true);
  world.limiter.dismiss();
  expect(world.clock.pending).toBe(0);
  ask(world, starts, 'later');
  world.limiter.release(slot, 'unknown');
  await quiet();
  expect(starts).toStrictEqual([
    ['urgent', null],
    ['waiting', null],
    ['later', 0],
  ]);
});

describe('an abort', () => {
  test('rejects the wait with its reason at once, and leaves nothing behind', async () => {
    const { clock, limiter } = limiterWith({ concurrency: 1 });
    const slot = slotOf(limiter);
    const stopping = new AbortController();
    const waiting = limiter.start(stopping.signal);
    expect([clock.pending, getEventListeners(stopping.signal, 'abort').length]).toStrictEqual([1, 1]);
    const reason = new Error('stopped');
    stopping.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    expect([clock.pending, getEventListeners(stopping.signal, 'abort').length]).toStrictEqual([0, 0]);
    limiter.release(slot, 'answered');
    expect(limiter.start(NEVER)).toBe(0);
  });

  test('before the wait rejects in the same way', async () => {
    const { clock, limiter } = limiterWith({ concurrency: 1 });
    slotOf(limiter);
    const reason = new Error('stopped before');
    const signal = AbortSignal.abort(reason);
    await expect(limiter.start(signal)).rejects.toBe(reason);
    expect([clock.pending, getEventListeners(signal, 'abort').length]).toStrictEqual([0, 0]);
  });

  test('of one that waits leaves the turn to the next', async () => {
    const world = limiterWith({ ratePerSecond: 1 });
    slotOf(world.limiter);
    const stopping = new AbortController();
    const stopped = Promise.resolve(world.limiter.start(stopping.signal, true)).catch(() => 'stopped');
    const starts: [string, number | null][] = [];
    ask(world, starts, 'next');
    await moveTo(world.clock, 500);
    stopping.abort();
    await moveTo(world.clock, 1_000);
    expect([await stopped, starts]).toStrictEqual(['stopped', [['next', 1_000]]]);
  });
});

/** A request of the properties below: when it is asked for, how it ends, and what it asks for then. */
interface Plan {
  readonly askedMs: number;
  readonly isUrgent: boolean;
  readonly lastsMs: number;
  readonly feedback: Feedback;
  readonly pauseMs: number;
  readonly abortedMs: number;
}

const feedbacks = fc.constantFrom<Feedback[]>(
  'answered',
  'answered',
  'throttled',
  'overloaded',
  'timed-out',
  'unknown',
);
const plans = (pauses: fc.Arbitrary<number>): fc.Arbitrary<Plan[]> =>
  fc.array(
    fc.record({
      askedMs: fc.integer({ min: 0, max: 3_000 }),
      isUrgent: fc.boolean(),
      lastsMs: fc.integer({ min: 0, max: 1_500 }),
      feedback: feedbacks,
      pauseMs: pauses,
      abortedMs: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 3_000 })),
    }),
    { maxLength: 40 },
  );
const options = fc.record({
  concurrency: fc.integer({ min: 1, max: 15 }),
  adaptive: fc.boolean(),
  ratePerSecond: fc.oneof(
    fc.constantFrom(Infinity, 0.5, 1, 1_000),
    fc.double({ min: 0.001, max: 100, noNaN: true }),
  ),
  deadlineMs: fc.double({ min: 0, max: 20_000, noNaN: true }),
});

/** Carries out the plans, and resolves when each has ended, with what was seen. */
async function carryOut(given: LimiterGiven, plans: readonly Plan[], random: () => number) {
  const { clock, limiter } = limiterWith({ ...given, random });
  const seen = {
    startsMs: [] as number[],
    startsInPause: 0,
    inFlight: 0,
    mostInFlight: 0,
    outcomes: { started: 0, refused: 0, aborted: 0 },
    lastMs: 0,
    limits: [] as number[],
  };
  const signals: AbortSignal[] = [];
  const paused: { readonly fromMs: number; readonly untilMs: number }[] = [];
  const after = (ms: number) => new Promise<void>((resolve) => clock.after(ms, resolve));
  const request = async (plan: Plan): Promise<void> => {
    await after(plan.askedMs);
    const stopping = new AbortController();
    signals.push(stopping.signal);
    const cancel = plan.abortedMs > 0 ? clock.after(plan.abortedMs, () => stopping.abort()) : undefined;
    let slot: Slot | undefined;
    try {
      slot = await limiter.start(stopping.signal, plan.isUrgent);
    } catch {
      seen.outcomes.aborted += 1;
      return;
    } finally {
      cancel?.();
      seen.lastMs = clock.now();
    }
    if (slot === undefined) {
      seen.outcomes.refused += 1;
      return;
    }
    seen.outcomes.started += 1;
    seen.startsMs.push(clock.now());
    // What started in the same millisecond may have done so before.
    if (paused.some(({ fromMs, untilMs }) => fromMs < clock.now() && clock.now() < untilMs))
      seen.startsInPause += 1;
    seen.inFlight += 1;
    seen.mostInFlight = Math.max(seen.mostInFlight, seen.inFlight);
    await after(plan.lastsMs);
    if (plan.pauseMs > 0) {
      limiter.pause(plan.pauseMs);
      paused.push({ fromMs: clock.now(), untilMs: clock.now() + plan.pauseMs });
    }
    seen.inFlight -= 1;
    limiter.release(slot, plan.feedback);
    seen.limits.push(limiter.summary().concurrency.final);
  };
  await clock.runUntil(Promise.all(plans.map(request)));
  return { clock, limiter, signals, seen };
}

describe('for any requests, answers, pauses and aborts', () => {
  const pauses = fc.oneof(
    { weight: 4, arbitrary: fc.constant(0) },
    fc.integer({ min: 1, max: 4_000 }),
    fc.constant(Infinity),
  );
  const randoms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

  test('every start is given, refused or aborted, and nothing is left behind', async () => {
    await fc.assert(
      fc.asyncProperty(options, plans(pauses), randoms, async (given, plans, random) => {
        const { clock, limiter, signals, seen } = await carryOut(given, plans, () => random);
        const { started, refused, aborted } = seen.outcomes;
        expect(started + refused + aborted).toBe(plans.length);
        expect(seen.inFlight).toBe(0);
        expect(clock.pending).toBe(0);
        expect(signals.flatMap((signal) => getEventListeners(signal, 'abort'))).toStrictEqual([]);
        if (refused > 0) expect(limiter.end).toMatch(/^(deadline|rate-limited)$/);
        // Nobody starts, or goes on waiting, past the deadline.
        const lastAskedMs = Math.max(0, ...plans.map(({ askedMs }) => askedMs));
        expect(seen.lastMs).toBeLessThanOrEqual(Math.max(given.deadlineMs, lastAskedMs));
        expect(Math.max(-1, ...seen.startsMs)).toBeLessThanOrEqual(given.deadlineMs - 1);
      }),
      { numRuns: 200 },
    );
  });

  test('never are more than the concurrency in flight, and no request starts in a pause', async () => {
    await fc.assert(
      fc.asyncProperty(options, plans(pauses), randoms, async (given, plans, random) => {
        const { concurrency, adaptive } = given;
        const { limiter, seen } = await carryOut({ ...given, deadlineMs: 1e6 }, plans, () => random);
        expect(seen.startsInPause).toBe(0);
        expect(seen.mostInFlight).toBeLessThanOrEqual(concurrency);
        const report = limiter.summary();
        // A slot that is given is noticed here a little later, when others may have been given back.
        expect(report.peakInFlight).toBeGreaterThanOrEqual(seen.mostInFlight);
        expect(report.peakInFlight).toBeLessThanOrEqual(concurrency);
        const first = adaptive ? Math.min(10, concurrency) : concurrency;
        const limits = [first, ...seen.limits];
        expect(report.concurrency).toStrictEqual({
          min: Math.min(...limits),
          max: Math.max(...limits),
          final: limits.at(-1),
        });
        expect(report.concurrency.min).toBeGreaterThanOrEqual(adaptive ? 1 : concurrency);
        expect(report.concurrency.max).toBeLessThanOrEqual(concurrency);
        expect(report.throttledMs).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 200 },
    );
  });

  test('in no span of time do more start than the rate gives, one token, and 10 ms’ worth', async () => {
    await fc.assert(
      fc.asyncProperty(options, plans(pauses), async (given, plans) => {
        const { seen } = await carryOut({ ...given, deadlineMs: 1e6 }, plans, () => 0);
        const { ratePerSecond } = given;
        const excess = seen.startsMs.flatMap((fromMs, first) =>
          seen.startsMs.slice(first).map((toMs, others) => {
            const allowed = 1 + (ratePerSecond * (toMs - fromMs + 10)) / 1_000;
            return others + 1 - allowed;
          }),
        );
        expect(Math.max(0, ...excess)).toBeLessThan(1e-6);
      }),
      { numRuns: 200 },
    );
  });
});
