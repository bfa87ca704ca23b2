import { describe, expect, test } from 'vitest';
import { limiterWith, slotOf, slotsOf, startTimes } from '../../../support/limiter-world.ts';
import { quotaOf } from '../../../support/telling-origin.ts';

const TEN_A_SECOND = quotaOf({ limit: 10, remaining: 9, resetMs: 1_000, windowMs: 1_000 });

describe('a limiter that is told a quota', () => {
  test('keeps to it, and counts what was sent before', async () => {
    const world = limiterWith({ adaptive: true });
    const { limiter } = world;
    const slots = slotsOf(limiter, 3);
    expect([limiter.keepsToQuotas, limiter.summary().learned.told]).toStrictEqual([true, null]);
    const by = { seq: 1, sentMs: 0 };
    expect(limiter.listensTo(by)).toBe(true);
    limiter.tell([TEN_A_SECOND], by);
    expect([limiter.listensTo(by), limiter.summary().learned.told]).toStrictEqual([false, 10]);
    for (const slot of slots) limiter.release(slot, 'answered');
    expect(await startTimes(world, 3)).toStrictEqual([308, 411, 514]);
  });

  test('need not find out how many may be in flight', () => {
    const { limiter } = limiterWith({ adaptive: true, concurrency: 50 });
    const slot = slotOf(limiter);
    limiter.tell([TEN_A_SECOND], { seq: 1, sentMs: 0 });
    limiter.release(slot, 'answered');
    expect(limiter.summary().concurrency).toStrictEqual({ min: 10, max: 50, final: 50 });
  });

  test('leaves a limit that was lowered as it is', () => {
    const { limiter } = limiterWith({ adaptive: true, concurrency: 50 });
    for (const slot of slotsOf(limiter, 10).slice(5, 8)) limiter.release(slot, 'overloaded');
    const { concurrency } = limiter.summary();
    limiter.tell([TEN_A_SECOND], { seq: 1, sentMs: 0 });
    expect(concurrency.final).toBeLessThan(10);
    expect(limiter.summary().concurrency).toStrictEqual(concurrency);
  });

  test('finds it out where the quota is enough for the whole run', () => {
    const { limiter } = limiterWith({ adaptive: true, concurrency: 50, requested: 100 });
    limiter.tell([quotaOf({ remaining: 5_000, resetMs: 1_000 })], { seq: 1, sentMs: 0 });
    expect(limiter.summary().concurrency).toStrictEqual({ min: 10, max: 10, final: 10 });
  });

  test('never goes past its rate because of it', async () => {
    const world = limiterWith({ adaptive: true, ratePerSecond: 2 });
    world.limiter.tell([TEN_A_SECOND], { seq: 1, sentMs: 0 });
    expect(await startTimes(world, 3)).toStrictEqual([0, 500, 1_000]);
  });
});

test('a limiter that does not adapt keeps to no quota', async () => {
  const world = limiterWith();
  const { limiter } = world;
  const by = { seq: 1, sentMs: 0 };
  limiter.tell([TEN_A_SECOND], by);
  expect([limiter.keepsToQuotas, limiter.summary().learned.told, limiter.listensTo(by)]).toStrictEqual([
    false,
    null,
    false,
  ]);
  expect(await startTimes(world, 3)).toStrictEqual([0, 0, 0]);
});
