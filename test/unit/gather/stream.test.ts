import { getEventListeners } from 'node:events';
import { describe, expect, expectTypeOf, test, vi } from 'vitest';
import { gatherStream } from '../../../src/gather.ts';
import {
  collect,
  countedItems,
  fulfilled,
  manualMapper,
  quiet,
  rejected,
  unhandledRejectionsIn,
  watch,
} from '../../support/manual-mapper.ts';

const yields = <T>(value: T) => ({ done: false, value: fulfilled(value) });
const end = { done: true, value: undefined };

describe('what gatherStream yields', () => {
  test('is each outcome as soon as all before it have been yielded', async () => {
    const { mapper, call } = manualMapper<string, number>();
    const stream = gatherStream(['a', 'b', 'c'], mapper);
    const first = stream.next();
    const state = watch(first);
    await quiet();
    call(1).resolve(2);
    await quiet();
    expect(state.settled).toBe(false);
    call(0).resolve(1);
    expect(await first).toStrictEqual(yields(1));
    expect(await stream.next()).toStrictEqual(yields(2));
    const last = watch(stream.next());
    await quiet();
    expect(last.settled).toBe(false);
    call(2).resolve(3);
    await quiet();
    expect(last.settled).toBe(true);
    expect(await stream.next()).toStrictEqual(end);
  });

  test('are rejections too with returnExceptions', async () => {
    const reason = new Error('odd');
    const outcomes = await collect(
      gatherStream(
        [1, 2, 3],
        (item) => {
          if (item % 2 === 1) throw reason;
          return item;
        },
        { returnExceptions: true },
      ),
    );
    expect(outcomes).toStrictEqual([rejected(reason), fulfilled(2), rejected(reason)]);
  });

  test('has the type of a settled result of what the mapper makes', () => {
    expectTypeOf(gatherStream<number, string>).returns.toEqualTypeOf<
      AsyncGenerator<PromiseSettledResult<string>, void, undefined>
    >();
  });

  test('answers several `next` that are asked at once in their order', async () => {
    const stream = gatherStream([1, 2], async (item) => item);
    expect(await Promise.all([stream.next(), stream.next(), stream.next()])).toStrictEqual([
      yields(1),
      yields(2),
      end,
    ]);
  });

  test('with a concurrency of 1 runs one mapper to its end before the next', async () => {
    const log: string[] = [];
    const stream = gatherStream(
      [3, 1, 2],
      async (turns) => {
        log.push(`start ${turns}`);
        for (let turn = 0; turn < turns; turn++) await quiet();
        log.push(`end ${turns}`);
        return turns;
      },
      { concurrency: 1, window: 2 },
    );
    for await (const outcome of stream) if (outcome.status === 'fulfilled') log.push(`take ${outcome.value}`);
    expect(log.filter((line) => !line.startsWith('take'))).toStrictEqual([
      'start 3',
      'end 3',
      'start 1',
      'end 1',
      'start 2',
      'end 2',
    ]);
    expect(log.filter((line) => line.startsWith('take'))).toStrictEqual(['take 3', 'take 1', 'take 2']);
  });

  test('maps nothing before it is asked for the first outcome', async () => {
    const mapper = vi.fn();
    const stream = gatherStream([1], mapper);
    await quiet();
    expect(mapper).not.toHaveBeenCalled();
    await stream.return();
    expect(mapper).not.toHaveBeenCalled();
  });
});

describe('a rejection in default mode', () => {
  test('comes after the outcomes that were taken before it, and ends the stream', async () => {
    const { mapper, call } = manualMapper<string>();
    const stream = gatherStream(['a', 'b', 'c'], mapper);
    const first = stream.next();
    await quiet();
    call(0).resolve('A');
    expect(await first).toStrictEqual(yields('A'));
    const second = stream.next();
    await quiet();
    call(2).reject('c failed');
    call(1).resolve('B');
    await expect(second).rejects.toBe('c failed');
    expect(await stream.next()).toStrictEqual(end);
  });

  test('aborts those in flight at once, though the consumer is busy elsewhere', async () => {
    const { mapper, call } = manualMapper<string>();
    const stream = gatherStream(['a', 'b', 'c'], mapper);
    const first = stream.next();
    await quiet();
    call(0).resolve('A');
    await first;
    call(1).reject('b failed');
    await quiet();
    expect(call(2).signal.reason).toBe('b failed');
    call(2).resolve('C');
    await expect(stream.next()).rejects.toBe('b failed');
  });

  test('is dropped where the consumer stops before it has seen it', async () => {
    const unhandled = await unhandledRejectionsIn(async () => {
      const { mapper, call } = manualMapper<string>();
      const stream = gatherStream(['a', 'b'], mapper);
      const first = stream.next();
      await quiet();
      call(0).resolve('A');
      await first;
      call(1).reject('b failed');
      await quiet();
      expect(await stream.return()).toStrictEqual(end);
    });
    expect(unhandled).toStrictEqual([]);
  });
});

describe('an outer abort', () => {
  test('reaches those in flight at once, though the consumer is busy elsewhere', async () => {
    const { mapper, call, calls } = manualMapper<string>();
    const stopping = new AbortController();
    const stream = gatherStream(['a', 'b', 'c'], mapper, {
      concurrency: 2,
      returnExceptions: true,
      signal: stopping.signal,
    });
    const first = stream.next();
    await quiet();
    call(0).resolve('A');
    await first;
    stopping.abort('stopped');
    await quiet();
    const inFlight = calls.slice(1);
    expect(inFlight.map((each) => each.signal.reason)).toStrictEqual(inFlight.map(() => 'stopped'));
    for (const { reject } of inFlight) reject('stopped');
    await expect(stream.next()).rejects.toBe('stopped');
    expect(calls).toHaveLength(1 + inFlight.length);
  });
});

describe('a consumer that stops early', () => {
  const started = async () => {
    const { source, counts } = countedItems(['a', 'b', 'c', 'd', 'e', 'f'], 'sync');
    const manual = manualMapper<string>();
    const { signal } = new AbortController();
    const stream = gatherStream(source, manual.mapper, { concurrency: 3, signal });
    const first = stream.next();
    await quiet();
    manual.call(0).resolve('a');
    await first;
    return { ...manual, counts, stream, listeners: () => getEventListeners(signal, 'abort').length };
  };

  test.each<[string, (stream: AsyncGenerator<unknown, void, undefined>) => Promise<unknown>, unknown]>([
    ['return()', (stream) => stream.return(), end],
    ['throw()', (stream) => stream.throw('gave up').catch((error) => error), 'gave up'],
    [
      'break',
      async (stream) => {
        for await (const _ of stream) break;
      },
      undefined,
    ],
    [
      'a throw in its loop',
      async (stream) => {
        try {
          for await (const _ of stream) throw 'gave up';
        } catch (error) {
          return error;
        }
        return 'no error';
      },
      'gave up',
    ],
  ])(
    'with %s aborts those in flight, waits for them, and closes the items once',
    async (_, stop, expected) => {
      const { stream, counts, call, calls, listeners } = await started();
      const stopped = stop(stream);
      const state = watch(stopped);
      // The loops take one more before they stop.
      call(1).resolve('b');
      await quiet();
      const inFlight = calls.slice(2);
      expect(inFlight.length).toBeGreaterThanOrEqual(1);
      for (const { signal } of inFlight) {
        expect(signal.reason).toBeInstanceOf(DOMException);
        expect(signal.reason).toMatchObject({ name: 'AbortError', message: 'The consumer stopped early' });
      }
      expect([state.settled, counts.return]).toStrictEqual([false, 0]);
      for (const { signal, reject } of inFlight) reject(signal.reason);
      expect(await stopped).toStrictEqual(expected);
      expect([counts.return, listeners()]).toStrictEqual([1, 0]);
      expect(await stream.next()).toStrictEqual(end);
      expect(calls).toHaveLength(2 + inFlight.length);
    },
  );

  test('is done at once where nothing is in flight and the items have ended, and aborts nothing', async () => {
    const { source, counts } = countedItems([1, 2], 'sync');
    const signals: AbortSignal[] = [];
    for await (const _ of gatherStream(source, (_item, _index, signal) => signals.push(signal))) break;
    expect(counts).toStrictEqual({ next: 3, return: 0 });
    expect(signals.map(({ aborted }) => aborted)).toStrictEqual([false, false]);
  });

  test('before the first outcome is asked for maps nothing', async () => {
    const mapper = vi.fn();
    const stream = gatherStream([1], mapper);
    expect(await stream.return()).toStrictEqual(end);
    expect(await stream.next()).toStrictEqual(end);
    expect(mapper).not.toHaveBeenCalled();
  });

  test('after the end aborts nothing', async () => {
    const { mapper, call } = manualMapper<number>();
    const stream = gatherStream([1], mapper);
    const outcomes = collect(stream);
    await quiet();
    call(0).resolve(1);
    expect(await outcomes).toStrictEqual([fulfilled(1)]);
    expect(await stream.return()).toStrictEqual(end);
    expect(call(0).signal.aborted).toBe(false);
  });

  test('waits for those in flight also where the items have ended', async () => {
    const { mapper, call } = manualMapper<number>();
    const stream = gatherStream([1, 2], mapper);
    const first = stream.next();
    await quiet();
    call(0).resolve(1);
    await first;
    const stopped = stream.return();
    const state = watch(stopped);
    await quiet();
    expect([call(1).signal.aborted, state.settled]).toStrictEqual([true, false]);
    call(1).resolve(2);
    expect(await stopped).toStrictEqual(end);
  });

  test('is not held up by an async source that is pending for ever', async () => {
    const close = vi.fn(async () => ({ done: true as const, value: undefined }));
    let asked = 0;
    const source: AsyncIterable<number> = {
      [Symbol.asyncIterator]: () => ({
        next: async () => (asked++ === 0 ? { done: false, value: 1 } : new Promise(() => {})),
        return: close,
      }),
    };
    for await (const _ of gatherStream(source, (item) => item)) break;
    expect(close).toHaveBeenCalledOnce();
  });

  test('with return() while a `next` is pending aborts those in flight at once, and both are done when they settle', async () => {
    const { source, counts } = countedItems([1, 2, 3], 'sync');
    const { mapper, call, calls } = manualMapper<number>();
    const stream = gatherStream(source, mapper, { concurrency: 2 });
    const asked = Promise.all([stream.next(), stream.next(), stream.return(), stream.next()]);
    const state = watch(asked);
    expect(calls.map(({ signal }) => signal.reason.message)).toStrictEqual(
      calls.map(() => 'The consumer stopped early'),
    );
    call(0).resolve(1);
    await quiet();
    expect([state.settled, counts.return]).toStrictEqual([false, 0]);
    call(1).reject(call(1).signal.reason);
    expect(await asked).toStrictEqual([end, end, end, end]);
    expect([calls.length, counts]).toStrictEqual([2, { next: 2, return: 1 }]);
  });

  test.each<[string, (stopping: AbortController, reject: (reason: unknown) => void) => void]>([
    ['a rejection', (_, reject) => reject('failed')],
    ['an outer abort', (stopping) => stopping.abort('failed')],
  ])(
    'with return() behind %s changes nothing: the `next` that is pending rejects with that',
    async (_, fail) => {
      const { mapper, call } = manualMapper<number>();
      const stopping = new AbortController();
      const stream = gatherStream([1, 2], mapper, { signal: stopping.signal });
      const first = stream.next();
      fail(stopping, call(1).reject);
      await quiet();
      const returned = stream.return();
      expect(call(0).signal.reason).toBe('failed');
      call(0).resolve(1);
      call(1).resolve(2);
      await expect(first).rejects.toBe('failed');
      expect(await returned).toStrictEqual(end);
    },
  );

  test('with throw() while a `next` is pending is heard after it', async () => {
    const { mapper, call } = manualMapper<number>();
    const stream = gatherStream([1, 2], mapper);
    const first = stream.next();
    const thrown = stream.throw('gave up').catch((error) => error);
    await quiet();
    expect(call(0).signal.aborted).toBe(false);
    call(0).resolve(1);
    expect(await first).toStrictEqual(yields(1));
    await quiet();
    expect(call(1).signal.aborted).toBe(true);
    call(1).resolve(2);
    expect(await thrown).toBe('gave up');
  });

  test('may use `await using`', async () => {
    const { mapper, call } = manualMapper<number>();
    const scope = async () => {
      await using stream = gatherStream([1, 2], mapper);
      const first = stream.next();
      await quiet();
      call(0).resolve(1);
      await first;
    };
    const left = scope();
    const state = watch(left);
    await quiet();
    expect([call(1).signal.aborted, state.settled]).toStrictEqual([true, false]);
    call(1).resolve(2);
    await left;
  });
});
