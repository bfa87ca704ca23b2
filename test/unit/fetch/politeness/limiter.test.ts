import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../../support/fake-clock.ts';
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

describe('requests in flight', () => {
  test('are at most as many as the concurrency, and who waits gets the place of who ends', async () => {
    const world = limiterWith({ concurrency: 2 });
    const [first = ANY_SLOT] = slotsOf(world.limiter, 2);
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
      pauses: [],
      peakInFlight: 2,
      concurrency: { min: 2, max: 2, final: 2 },
      learned: nothingLearned,
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
      slot = ANY_SLOT;
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
    expect([limiter.start(NEVER), limiter.start(NEVER, true)]).toStrictEqual([ANY_SLOT, ANY_SLOT]);
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
      {
        throttledMs: 0,
        pauses: [],
        peakInFlight: 40,
        concurrency: { min: 40, max: 40, final: 40 },
        learned: nothingLearned,
      },
    ]);
  });
});

describe('a limiter that adapts', () => {
  test('learns nothing from what says nothing of the origin', () => {
    const { limiter } = limiterWith({ adaptive: true, concurrency: 50 });
    for (let i = 0; i < 10; i++) for (const slot of slotsOf(limiter, 10)) limiter.release(slot, 'unknown');
    expect(limiter.summary()).toStrictEqual({
      throttledMs: 0,
      pauses: [],
      peakInFlight: 10,
      concurrency: { min: 10, max: 10, final: 10 },
      learned: nothingLearned,
    });
  });

  test('lets one more request start with each answer', async () => {
    const world = limiterWith({ adaptive: true, concurrency: 50 });
    const slots = slotsOf(world.limiter, 10);
    const starts: [string, number | null][] = [];
    for (let i = 0; i < 5; i++) ask(world, starts, String(i));
    for (const slot of slots.slice(0, 2)) world.limiter.release(slot, 'answered');
    await quiet();
    expect(starts.map(([name]) => name)).toStrictEqual(['0', '1', '2', '3']);
  });

  test('lets no request start until fewer are in flight than may be since some were refused', async () => {
    const world = limiterWith({ adaptive: true });
    const slots = slotsOf(world.limiter, 10);
    const starts: [string, number | null][] = [];
    ask(world, starts, 'waiting');
    const started = slots.reverse().map((slot, i) => {
      world.limiter.release(slot, i < 3 ? 'overloaded' : 'answered');
      return world.limiter.summary().peakInFlight - world.limiter.summary().concurrency.final;
    });
    await quiet();
    // With the third, 7 in flight were found to be taken.
    expect(started).toStrictEqual([0, 0, 4, 4, 4, 4, 4, 4, 4, 4]);
    expect(starts).toStrictEqual([['waiting', 0]]);
  });

  test('lets requests start no faster than they were taken, once they were refused for the rate', async () => {
    const world = limiterWith({ adaptive: true });
    // 10 a second for two seconds.
    for (let i = 0; i < 20; i++) {
      world.clock.advance(100);
      world.limiter.release(slotOf(world.limiter), 'answered');
    }
    const slot = slotOf(world.limiter);
    world.limiter.pause(1_000);
    world.limiter.release(slot, 'throttled');
    const times = await startTimes(world, 20);
    const spans = times.slice(1).map((atMs, i) => (atMs ?? 0) - (times[i] ?? 0));
    expect(times[0]).toBeGreaterThanOrEqual(3_000);
    // A rate that is only known to be near to 10 is looked for.
    expect(Math.min(...spans)).toBeGreaterThan(80);
    expect(Math.max(...spans)).toBeLessThan(115);
    const { perSecond, ...others } = world.limiter.summary().learned;
    expect(others).toStrictEqual({ inFlight: null, told: null });
    expect(perSecond).toBeGreaterThan(9);
    expect(perSecond).toBeLessThan(12);
  });

  test('asks an origin again that turned away all there was to ask, when that was told', async () => {
    const world = limiterWith({ adaptive: true });
    const waits: (number | null)[] = [];
    for (let i = 0; i < 5; i++) {
      const slot = await world.clock.runUntil(Promise.resolve(world.limiter.start(NEVER)));
      waits.push(slot ? world.clock.now() : null);
      world.limiter.pause(1_000);
      world.limiter.release(slot ?? ANY_SLOT, 'throttled');
    }
    expect(waits).toStrictEqual([0, 1_050, 2_100, 3_150, 4_200]);
    expect(world.limiter.summary().learned).toStrictEqual(nothingLearned);
  });

  test('has learned a rate in a run that is told to wait for ever', () => {
    const { clock, limiter } = limiterWith({ adaptive: true });
    for (let i = 0; i < 20; i++) {
      clock.advance(100);
      limiter.release(slotOf(limiter), 'answered');
    }
    const slot = slotOf(limiter);
    limiter.pause(Infinity);
    limiter.release(slot, 'throttled');
    expect(limiter.end).toBe('rate-limited');
    // 97 % of the most that were taken in a second.
    const { perSecond, ...others } = limiter.summary().learned;
    expect([perSecond?.toFixed(1), others]).toStrictEqual(['10.7', { inFlight: null, told: null }]);
  });

  test('leaves the rate alone when the origin was overloaded, not asked too often', async () => {
    const world = limiterWith({ adaptive: true, concurrency: 20 });
    for (const slot of slotsOf(world.limiter, 10).reverse()) world.limiter.release(slot, 'overloaded');
    expect(await startTimes(world, 10)).toStrictEqual(Array(10).fill(0));
  });

  test.each([
    { requested: 600, paced: true },
    { requested: 601, paced: false },
  ])('starts from a learned rate that gets $requested posts done in time: $paced', ({ requested, paced }) => {
    const learned = { perSecond: 10, inFlight: null, told: null };
    const { limiter } = limiterWith({ adaptive: true, requested, learned, deadlineMs: 60_000 });
    slotOf(limiter);
    expect(limiter.start(NEVER) instanceof Promise).toBe(paced);
  });

  test('leaves an origin alone that turns away a single request still, for ever longer', async () => {
    const world = limiterWith({ adaptive: true, concurrency: 1, random: () => 0, deadlineMs: 1e6 });
    const waits: number[] = [];
    for (let i = 0; i < 8; i++) {
      // The odd refusal says nothing.
      for (let n = 0; n < 3; n++)
        world.limiter.release(slotOf(world.limiter), i % 2 ? 'throttled' : 'overloaded');
      const fromMs = world.clock.now();
      const slot = await world.clock.runUntil(Promise.resolve(world.limiter.start(NEVER)));
      waits.push(Math.round(world.clock.now() - fromMs));
      world.limiter.release(slot ?? ANY_SLOT, 'unknown');
      world.clock.advance(5_000);
    }
    expect(waits).toStrictEqual([50, 100, 200, 400, 800, 1_600, 2_500, 2_500]);
  });

  test('does so where the origin has answered before, and takes nothing any more', async () => {
    const world = limiterWith({ adaptive: true, concurrency: 1, random: () => 0, deadlineMs: 1e6 });
    world.limiter.release(slotOf(world.limiter), 'answered');
    world.clock.advance(60_000);
    const waits: number[] = [];
    for (let i = 0; i < 4; i++) {
      for (let n = 0; n < 3; n++) {
        const slot = slotOf(world.limiter);
        world.clock.advance(400);
        world.limiter.release(slot, 'throttled');
      }
      const fromMs = world.clock.now();
      const slot = await world.clock.runUntil(Promise.resolve(world.limiter.start(NEVER)));
      waits.push(Math.round(world.clock.now() - fromMs));
      world.limiter.release(slot ?? ANY_SLOT, 'unknown');
      world.clock.advance(400);
    }
    expect(waits).toStrictEqual([50, 100, 200, 400]);
  });

  test('starts from what was learned before', async () => {
    const learned = { perSecond: 20 / 0.95, inFlight: 6, told: null };
    const world = limiterWith({ adaptive: true, learned });
    expect(world.limiter.summary()).toStrictEqual({
      throttledMs: 0,
      pauses: [],
      peakInFlight: 0,
      concurrency: { min: 3, max: 3, final: 3 },
      learned: nothingLearned,
    });
    // Which grows a little.
    const times = await startTimes(world, 4, 60);
    expect(times.map((atMs) => Math.round((atMs ?? 0) / 5) * 5)).toStrictEqual([0, 50, 100, 150]);
    expect(world.limiter.summary().peakInFlight).toBe(2);
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
    expect([limiter.end, limiter.start(NEVER)]).toStrictEqual([undefined, ANY_SLOT]);
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
  expect(slotOf(limiter)).toStrictEqual(ANY_SLOT);
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
    expect(limiter.start(NEVER)).toStrictEqual(ANY_SLOT);
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
