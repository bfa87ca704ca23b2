import { getEventListeners } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { gather, gatherStream } from '../../../src/gather.ts';
import { quiet } from '../../support/manual-mapper.ts';

const abortListenersOf = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;

describe('what gather leaves behind', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const failingItems = function* () {
    yield 1;
    throw new Error('no second item');
  };
  const waysOfEnding: Record<string, (signal: AbortSignal, stop: () => void) => Promise<unknown>> = {
    'its values': (signal) => gather([1, 2, 3], async (item) => item, { signal, concurrency: 2 }),
    'its outcomes': (signal) =>
      gather([1, 2, 3], () => Promise.reject('failed'), { signal, returnExceptions: true }),
    nothing: (signal) => gather([], (item) => item, { signal }),
    'a rejection': (signal) => gather([1, 2, 3], () => Promise.reject('failed'), { signal }),
    'a mapper that throws': (signal) =>
      gather(
        [1],
        () => {
          throw new Error('at once');
        },
        { signal },
      ),
    'items that throw': (signal) => gather(failingItems(), async (item) => item, { signal }),
    'an outer abort': (signal, stop) =>
      gather(
        [1, 2, 3],
        async () => {
          stop();
        },
        { signal, returnExceptions: true },
      ),
    'an outer abort before it began': (signal, stop) => {
      stop();
      return gather([1], (item) => item, { signal });
    },
    'a RangeError': (signal) => gather([1], (item) => item, { signal, concurrency: 0 }),
  };

  test.each(Object.entries(waysOfEnding))(
    'after %s: no listener on the outer signal, and no timer',
    async (_, end) => {
      const stopping = new AbortController();
      await end(stopping.signal, () => stopping.abort()).catch(() => {});
      expect([abortListenersOf(stopping.signal), vi.getTimerCount()]).toStrictEqual([0, 0]);
    },
  );

  test('while it runs: one listener on the outer signal, however many items', async () => {
    const { signal } = new AbortController();
    const counts = await gather(
      Array.from({ length: 1_000 }, () => 0),
      async () => abortListenersOf(signal),
      { signal, concurrency: 100 },
    );
    expect(new Set(counts)).toStrictEqual(new Set([1]));
  });
});

describe('memory', () => {
  // vitest's workers run without --expose-gc.
  setFlagsFromString('--expose-gc');
  const collectGarbage: () => void = runInNewContext('gc');

  test('does not grow with the number of items finished: values and items are let go', async () => {
    const { signal } = new AbortController();
    const total = 200_000;
    const window = 64;
    const items = function* () {
      for (let index = 0; index < total; index++) yield { index };
    };
    const seen: WeakRef<object>[] = [];
    const mapper = async (item: { index: number }, index: number) => {
      const value = { index };
      if (index % 1_000 === 0) seen.push(new WeakRef(item), new WeakRef(value));
      // Settles out of order, so that the window has something to reorder.
      if (index % 7 === 0) await null;
      return value;
    };
    const alive: number[] = [];
    const listeners = new Set<number>();
    const heapBytes: number[] = [];
    let taken = 0;
    for await (const outcome of gatherStream(items(), mapper, { concurrency: 16, window, signal })) {
      expect(outcome.status).toBe('fulfilled');
      taken += 1;
      if (taken % 40_000 !== 0) continue;
      // A WeakRef holds on to its target for the rest of the turn.
      await quiet();
      collectGarbage();
      alive.push(seen.filter((ref) => ref.deref() !== undefined).length);
      listeners.add(getEventListeners(signal, 'abort').length);
      heapBytes.push(process.memoryUsage().heapUsed);
    }
    expect(taken).toBe(total);
    expect([...listeners]).toStrictEqual([1]);
    // Of 400 at the end, no more than those of one sampled item in the window or just taken.
    for (const count of alive) expect(count).toBeLessThanOrEqual(4);
    const [first = 0] = heapBytes;
    const last = heapBytes.at(-1) ?? Infinity;
    expect(last - first).toBeLessThan(4 * 1024 * 1024);
  });
});
