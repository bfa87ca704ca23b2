import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { BrokenAnswer } from '../../../src/store/s3-error.ts';
import { type Try, tryUntil } from '../../../src/store/tries.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const slowDown = Object.assign(new Error('SlowDown'), {
  Code: 'SlowDown',
  $metadata: { httpStatusCode: 503 },
});
const denied = Object.assign(new Error('AccessDenied'), {
  Code: 'AccessDenied',
  $metadata: { httpStatusCode: 403 },
});
const nowhere = Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' });

/** A request that has no answer. */
const hang: Try<never> = (signal) =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('AbortError'))));
const fail =
  (error: Error): Try<never> =>
  async () => {
    throw error;
  };

/** What came of a request, and when each try began. Time goes by when there is nothing else to do. */
async function run(
  request: Try<unknown>,
  {
    clock = new FakeClock(),
    untilMs = 60_000,
    random = (): number => 1,
    signal = new AbortController().signal,
  } = {},
) {
  const begunMs: number[] = [];
  const counted: Try<unknown> = (...args) => {
    begunMs.push(Math.round(clock.now()));
    return request(...args);
  };
  const [settled] = await clock.runUntil(
    Promise.allSettled([tryUntil(counted, signal, { clock, random, untilMs })]),
  );
  expect([clock.pending, getEventListeners(signal, 'abort')]).toStrictEqual([0, []]);
  return { begunMs, settled, endedMs: clock.now() };
}

describe('a request', () => {
  test('that fails is made again with longer and longer pauses, of 5 s at most, to the end of its time', async () => {
    const { begunMs, settled } = await run(fail(slowDown), { untilMs: 20_000 });
    expect(settled).toStrictEqual({ status: 'rejected', reason: slowDown });
    expect(begunMs).toStrictEqual([0, 100, 300, 700, 1_500, 3_100, 6_300, 11_300, 16_300, 19_750]);
  });

  test('does not come back together with others: its pauses are drawn', async () => {
    const { begunMs } = await run(fail(slowDown), { untilMs: 3_000, random: () => 0.5 });
    expect(begunMs).toStrictEqual([0, 50, 150, 350, 750, 1_550, 2_750]);
  });

  test('that fails for as long as a second resolves with what it then comes to', async () => {
    const clock = new FakeClock();
    const request: Try<string> = async () => {
      if (clock.now() < 1_000) throw slowDown;
      return 'stored';
    };
    expect(await run(request, { clock })).toStrictEqual({
      begunMs: [0, 100, 300, 700, 1_500],
      settled: { status: 'fulfilled', value: 'stored' },
      endedMs: 1_500,
    });
  });

  test('that is refused is not made again', async () => {
    const { begunMs, settled } = await run(fail(denied));
    expect([begunMs, settled]).toStrictEqual([[0], { status: 'rejected', reason: denied }]);
  });

  test('of a host without an address is made again for 5 s', async () => {
    const { begunMs, settled } = await run(fail(nowhere));
    expect([begunMs, settled]).toStrictEqual([
      [0, 100, 300, 700, 1_500, 3_100, 4_750],
      { status: 'rejected', reason: nowhere },
    ]);
  });
});

describe('a request that hangs', () => {
  const silent = { status: 'rejected', reason: new BrokenAnswer('S3 did not answer in time') };

  test('is made again after 20 s, or a third of the time that is left', async () => {
    const { begunMs, settled } = await run(hang, { untilMs: 90_000, random: () => 0 });
    expect(settled).toStrictEqual(silent);
    expect(begunMs.slice(0, 6)).toStrictEqual([0, 20_000, 40_000, 56_667, 67_778, 75_185]);
  });

  test.each([1_000, 2_400, 14_400])('leaves time for two more, with %d ms left', async (untilMs) => {
    const { begunMs, settled, endedMs } = await run(hang, { untilMs });
    expect(settled).toStrictEqual(silent);
    expect(begunMs.length).toBeGreaterThanOrEqual(3);
    expect(endedMs).toBeLessThanOrEqual(untilMs);
  });

  test('once is no loss', async () => {
    const tries: Try<unknown>[] = [hang, async () => 'stored'];
    const request: Try<unknown> = (...args) => (tries.shift() ?? hang)(...args);
    const { settled, endedMs } = await run(request, { untilMs: 2_400, random: () => 0 });
    expect([settled, endedMs]).toStrictEqual([{ status: 'fulfilled', value: 'stored' }, 800]);
  });

  test('has a quarter of a second where no time is left', async () => {
    const { begunMs, endedMs } = await run(hang, { untilMs: -1_000 });
    expect([begunMs, endedMs]).toStrictEqual([[0], 250]);
  });

  test('may go on as long as something comes, up to the end of its time', async () => {
    const clock = new FakeClock();
    const trickle: Try<never> = (signal, goesOn) => {
      let cancel = (): void => {};
      const drop = (): void => {
        goesOn();
        cancel = clock.after(200, drop);
      };
      drop();
      signal.addEventListener('abort', () => cancel());
      return hang(signal, goesOn);
    };
    const { begunMs, settled } = await run(trickle, { clock, untilMs: 10_100 });
    expect(settled).toStrictEqual({
      status: 'rejected',
      reason: new BrokenAnswer('S3 did not send all of it in time'),
    });
    expect(begunMs).toStrictEqual([0]);
  });
});

describe('the reason of its signal ends a request', () => {
  test.each<[string, Try<never>]>([
    ['that hangs', hang],
    ['that waits to be made again', fail(slowDown)],
  ])('%s', async (_, request) => {
    const clock = new FakeClock();
    const stopping = new AbortController();
    const reason = new Error('enough');
    clock.after(50, () => stopping.abort(reason));
    const { settled, endedMs } = await run(request, { clock, signal: stopping.signal });
    expect([settled, endedMs]).toStrictEqual([{ status: 'rejected', reason }, 50]);
  });
});
