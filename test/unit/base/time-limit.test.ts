import { expect, test } from 'vitest';
import { StoreError } from '../../../src/base/errors.ts';
import { endInTime, LEAST_RESERVE_MS, sharesOf } from '../../../src/base/time-limit.ts';
import { FakeClock } from '../../support/fake-clock.ts';

test('work is stopped when there is just time left to report it, and leaves no timer', async () => {
  const clock = new FakeClock();
  const working = endInTime(
    'It could not be done',
    { remainingMs: 10_000 },
    { clock },
    (outOfTime) =>
      new Promise((_, reject) => outOfTime.addEventListener('abort', () => reject(outOfTime.reason))),
  );
  const settled = Promise.allSettled([working]);
  clock.advance(9_749);
  expect(clock.pending).toBe(1);
  clock.advance(1);
  expect(await settled).toStrictEqual([
    { status: 'rejected', reason: new StoreError("It could not be done before the function's time ran out") },
  ]);
  expect(clock.pending).toBe(0);
});

test('requests of S3 end before that, so that there is time to clean up after them', () => {
  expect(sharesOf(12_000)).toStrictEqual({ requestsMs: 11_400, cleaningUpMs: 11_800 });
  expect(LEAST_RESERVE_MS).toBe(1_000);
});
