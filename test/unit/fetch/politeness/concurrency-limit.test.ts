import { describe, expect, test } from 'vitest';
import type { Feedback } from '../../../../src/fetch/politeness/concurrency-limit.ts';
import type { Limiter, Slot } from '../../../../src/fetch/politeness/limiter.ts';
import {
  answers,
  ask,
  limiterWith,
  moveTo,
  NEVER,
  slotOf,
  slotsOf,
  startTimes,
} from '../../../support/limiter-world.ts';

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

/** So many requests end, one after the other, while as many as may be are in flight throughout. */
function endBusily(limiter: Limiter, inFlight: Slot[], feedbacks: readonly Feedback[]): void {
  for (const feedback of feedbacks) {
    limiter.release(inFlight.shift() ?? slotOf(limiter), feedback);
    while (inFlight.length < limiter.summary().concurrency.final) inFlight.push(slotOf(limiter));
  }
}
