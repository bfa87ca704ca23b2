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
        peakInFlight: 40,
        concurrency: { min: 40, max: 40, final: 40 },
        learned: nothingLearned,
      },
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
