import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { FetchPost } from '../../../src/fetch/fetch-post.ts';
import { PostError } from '../../../src/fetch/outcome.ts';
import { Progress } from '../../../src/run/progress.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const never = new AbortController().signal;
const unknown = { done: null, fulfilled: null, rejected: null, perSecond: null, etaSeconds: null };
const record = { httpStatus: 200, attempts: 1, startedMs: 0, durationMs: 1, waitedMs: 0 };

/** A run whose posts end when the test says so. */
function runOf(
  requested: number,
  standing: { fulfilled?: number; rejected?: number } = {},
  deadlineMs = Infinity,
) {
  const clock = new FakeClock();
  const progress = new Progress(clock, requested);
  progress.begin(deadlineMs, standing);
  const end = async (count: number, isFulfilled = true): Promise<void> => {
    const error = new PostError(1, { code: 'NOT_FOUND', message: 'No data', retryable: false }, record);
    const fetchPost: FetchPost = progress.counting(async () => {
      if (!isFulfilled) throw error;
      return { ...record, value: Buffer.from('1') };
    });
    await Promise.allSettled(Array.from({ length: count }, () => fetchPost(1, never)));
  };
  return { clock, progress, end };
}

describe('the progress of a run', () => {
  test('is not known before fetching has begun', () => {
    expect(new Progress(new FakeClock(), 10).figures()).toStrictEqual(unknown);
  });

  test('has no rate at first, and neither a time left', () => {
    const { progress } = runOf(10);
    expect(progress.figures()).toStrictEqual({ ...unknown, done: 0, fulfilled: 0, rejected: 0 });
  });

  test('counts outcomes as they come, and hands them on', async () => {
    const { clock, progress, end } = runOf(10);
    clock.advance(2_000);
    await end(3);
    await end(1, false);
    expect(progress.figures()).toStrictEqual({
      done: 4,
      fulfilled: 3,
      rejected: 1,
      perSecond: 2,
      etaSeconds: 3,
    });
    const post = { ...record, value: Buffer.from('2') };
    const fetchPost = progress.counting(() => Promise.resolve(post));
    await expect(fetchPost(1, never)).resolves.toBe(post);
  });

  test('has the outcomes that stand without fetching, which are no part of its rate', async () => {
    const { clock, progress, end } = runOf(100, { fulfilled: 80, rejected: 10 });
    clock.advance(1_000);
    await end(2);
    expect(progress.figures()).toStrictEqual({
      done: 92,
      fulfilled: 82,
      rejected: 10,
      perSecond: 2,
      etaSeconds: 4,
    });
  });

  test('of a run that is done leaves no time, however long ago that was', async () => {
    const { clock, progress, end } = runOf(2);
    clock.advance(1_000);
    await end(2);
    clock.advance(60_000);
    expect(progress.figures()).toMatchObject({ done: 2, etaSeconds: 0 });
  });

  test('leaves no more time than there is until the deadline, and never less than none', async () => {
    const { clock, progress, end } = runOf(1_000, {}, 9_000);
    clock.advance(1_000);
    await end(10);
    expect(progress.figures()).toMatchObject({ perSecond: 10, etaSeconds: 8 });
    clock.advance(8_500);
    await end(10);
    expect(progress.figures()).toMatchObject({ etaSeconds: 0 });
  });

  test('knows no time for a run that stands still', async () => {
    const { clock, progress, end } = runOf(1_000);
    for (let second = 0; second < 60; second++) {
      clock.advance(1_000);
      await end(10);
    }
    clock.advance(5_000);
    expect(progress.figures()).toMatchObject({ done: 600, perSecond: 10, etaSeconds: 40 });
    clock.advance(10_000);
    expect(progress.figures()).toMatchObject({ perSecond: 5, etaSeconds: 80 });
    clock.advance(15_000);
    expect(progress.figures()).toMatchObject({ done: 600, perSecond: 0, etaSeconds: null });
  });

  test('has three figures of its rate', async () => {
    const { clock, progress, end } = runOf(10_000);
    clock.advance(3_000);
    await end(1_000);
    expect(progress.figures().perSecond).toBe(333);
  });
});

describe('the rate of a run', () => {
  /** One second after the other, with so many outcomes each. */
  async function pass(world: ReturnType<typeof runOf>, seconds: number, each: number): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      world.clock.advance(1_000);
      await world.end(each);
    }
  }

  test('is not that of its start', async () => {
    const world = runOf(100_000);
    await pass(world, 7, 1);
    await pass(world, 8, 50);
    expect(world.progress.figures().perSecond).toBe(50);
  });

  test('is that of the last half minute, where it has changed', async () => {
    const world = runOf(100_000);
    await pass(world, 100, 100);
    await pass(world, 30, 20);
    expect(world.progress.figures().perSecond).toBe(20);
    await pass(world, 15, 40);
    expect(world.progress.figures().perSecond).toBe(30);
  });

  test('is that of slow posts, which are as far apart as the rate says', async () => {
    const { clock, progress, end } = runOf(5);
    for (const done of [1, 2, 3, 4]) {
      clock.advance(done === 1 ? 40_000 : 1_000);
      await end(1);
      for (let second = 0; second < 39; second++) {
        expect(progress.figures()).toMatchObject({ done, perSecond: 0.025, etaSeconds: 40 * (5 - done) });
        clock.advance(1_000);
      }
    }
  });

  test('holds nothing of what is longer ago', async () => {
    const world = runOf(1_000_000);
    await pass(world, 500, 1);
    expect(world.progress.figures()).toMatchObject({ done: 500, perSecond: 1 });
  });
});

test('at a quarter of a run, the time that is left is right to a tenth where latency is even', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 20, max: 4_000 }),
      fc.integer({ min: 1, max: 100 }),
      fc.integer({ min: 0, max: 999 }),
      async (latencyMs, concurrency, startMs) => {
        const totalMs = Math.max(60_000, 80 * latencyMs);
        const rounds = Math.ceil(totalMs / latencyMs);
        const world = runOf(rounds * concurrency);
        const { clock, progress } = world;
        const shifted = startMs % latencyMs;
        // A quarter of the run is over when it is asked, whatever the posts are at.
        const askedMs = (rounds * latencyMs) / 4 + shifted;
        const asked: { etaSeconds: number | null }[] = [];
        clock.after(askedMs, () => asked.push(progress.figures()));
        while (clock.now() + latencyMs <= askedMs) {
          clock.advance(latencyMs);
          await world.end(concurrency);
        }
        clock.advance(latencyMs);
        const leftSeconds = (rounds * latencyMs - askedMs) / 1_000;
        const { etaSeconds } = asked[0] ?? { etaSeconds: null };
        expect(Math.abs(Number(etaSeconds) / leftSeconds - 1)).toBeLessThan(0.1);
      },
    ),
    { numRuns: 40 },
  );
});
