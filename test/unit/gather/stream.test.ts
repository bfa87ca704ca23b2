import { getEventListeners } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, expectTypeOf, test, vi } from 'vitest';
import { type GatherStreamOptions, gatherStream, type Items } from '../../../src/gather.ts';
import {
  collect,
  countedItems,
  manualMapper,
  quiet,
  unhandledRejectionsIn,
  watch,
} from '../../support/manual-mapper.ts';

const fulfilled = <T>(value: T): PromiseSettledResult<T> => ({ status: 'fulfilled', value });
const rejected = (reason: unknown): PromiseRejectedResult => ({ status: 'rejected', reason });
const yields = <T>(value: T) => ({ done: false, value: fulfilled(value) });
const end = { done: true, value: undefined };

function* naturals(): Generator<number> {
  for (let number = 0; ; number++) yield number;
}

async function* naturalsAsync(): AsyncGenerator<number> {
  yield* naturals();
}

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

describe('the reorder window, in items', () => {
  test.each(['sync', 'async'] as const)(
    'holds back new mappers of a %s source, not those in flight',
    async (kind) => {
      const { source, counts } = countedItems(['a', 'b', 'c', 'd', 'e', 'f', 'g'], kind);
      const { mapper, call, calls, items } = manualMapper<string>();
      const stream = gatherStream(source, mapper, { window: 3 });
      const first = stream.next();
      await quiet();
      // The head stalls: two others go on, and then nothing does.
      expect(items()).toStrictEqual(['a', 'b', 'c']);
      call(1).resolve('B');
      call(2).resolve('C');
      await quiet();
      expect(items()).toStrictEqual(['a', 'b', 'c']);
      expect(counts.next).toBe(3);
      call(0).resolve('A');
      expect([await first, await stream.next(), await stream.next()]).toStrictEqual(
        ['A', 'B', 'C'].map(yields),
      );
      const fourth = stream.next();
      await quiet();
      expect(items()).toStrictEqual(['a', 'b', 'c', 'd', 'e', 'f']);
      call(3).resolve('D');
      expect(await fourth).toStrictEqual(yields('D'));
      const fifth = stream.next();
      await quiet();
      for (const { item, resolve } of calls) resolve(item);
      expect(items()).toStrictEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g']);
      expect([await fifth, ...(await collect(stream))]).toStrictEqual([
        yields('e'),
        fulfilled('f'),
        fulfilled('g'),
      ]);
    },
  );

  test('smaller than the concurrency bounds what is in flight', async () => {
    let inFlight = 0;
    let most = 0;
    const stream = gatherStream(
      Array.from({ length: 20 }, (_, index) => index),
      async (item) => {
        inFlight += 1;
        most = Math.max(most, inFlight);
        await quiet();
        inFlight -= 1;
        return item;
      },
      { concurrency: 10, window: 4 },
    );
    const outcomes = await collect(stream);
    expect(outcomes).toStrictEqual(Array.from({ length: 20 }, (_, index) => fulfilled(index)));
    expect(most).toBe(4);
  });

  test('lets a consumer that is slow hold the mappers back', async () => {
    const { calls, mapper } = manualMapper<number>();
    const stream = gatherStream(naturals(), mapper, { concurrency: 2, window: 4 });
    const settleAll = async () => {
      for (let before = -1; before !== calls.length; ) {
        before = calls.length;
        for (const { item, resolve } of calls) resolve(item);
        await quiet();
      }
    };
    for (let taken = 1; taken <= 5; taken++) {
      const next = stream.next();
      await settleAll();
      expect(await next).toStrictEqual(yields(taken - 1));
      await settleAll();
      // Room that was made by the last one may be filled now or at the next `next`.
      expect([taken + 3, taken + 4]).toContain(calls.length);
    }
    await stream.return();
  });

  test.each<[string, () => Items<number>]>([
    ['sync', naturals],
    ['async', naturalsAsync],
  ])('lets items of a %s source never end, also with a mapper that gives plain values', async (_, from) => {
    const mapped: number[] = [];
    const taken: unknown[] = [];
    const mapper = (item: number) => {
      mapped.push(item);
      return item;
    };
    for await (const outcome of gatherStream(from(), mapper, { window: 2 })) {
      taken.push(outcome);
      if (taken.length === 3) break;
    }
    expect(taken).toStrictEqual([0, 1, 2].map(fulfilled));
    expect(mapped.length).toBeLessThanOrEqual(5);
  });
});

describe('the reorder window, in bytes', () => {
  const byteLength = (outcome: PromiseSettledResult<string>): number =>
    outcome.status === 'fulfilled' ? outcome.value.length : 1;

  test('holds back new mappers, not those in flight, until enough has been taken', async () => {
    const { mapper, call, items } = manualMapper<string>();
    const stream = gatherStream(['a', 'b', 'c', 'd', 'e'], mapper, {
      concurrency: 2,
      windowBytes: 10,
      byteLength,
    });
    const first = stream.next();
    await quiet();
    expect(items()).toStrictEqual(['a', 'b']);
    call(1).resolve('9 bytes..');
    await quiet();
    expect(items()).toStrictEqual(['a', 'b', 'c']);
    call(2).resolve('!');
    await quiet();
    expect(items()).toStrictEqual(['a', 'b', 'c']);
    call(0).resolve('head');
    expect(await first).toStrictEqual(yields('head'));
    await quiet();
    expect(items()).toStrictEqual(['a', 'b', 'c']);
    expect(await stream.next()).toStrictEqual(yields('9 bytes..'));
    expect(await stream.next()).toStrictEqual(yields('!'));
    const fourth = stream.next();
    await quiet();
    expect(items()).toStrictEqual(['a', 'b', 'c', 'd', 'e']);
    call(3).resolve('d');
    call(4).resolve('e');
    expect([await fourth, await stream.next(), await stream.next()]).toStrictEqual([
      yields('d'),
      yields('e'),
      end,
    ]);
  });

  test('lets an outcome that is larger than the window through', async () => {
    const stream = gatherStream(['long', 'longer'], async (item) => item, { windowBytes: 1, byteLength });
    expect(await collect(stream)).toStrictEqual([fulfilled('long'), fulfilled('longer')]);
  });

  test('asks for the bytes of each outcome once, rejections included', async () => {
    const asked: PromiseSettledResult<number>[] = [];
    const stream = gatherStream(
      [1, 2],
      async (item) => {
        if (item === 2) throw 'two';
        return item;
      },
      { returnExceptions: true, windowBytes: 1, byteLength: (outcome) => asked.push(outcome) },
    );
    const outcomes = await collect(stream);
    expect(outcomes).toStrictEqual([fulfilled(1), rejected('two')]);
    expect(asked).toStrictEqual(outcomes);
  });

  describe.each([{ returnExceptions: false }, { returnExceptions: true }])('in mode %o', (mode) => {
    const error = new Error('cannot count');
    const failing = () => {
      throw error;
    };

    test.each<[string, (item: number) => number | Promise<number>]>([
      ['plain values', (item) => item],
      ['promises', async (item) => item],
    ])('a byteLength that throws ends the stream with its error, for mappers of %s', async (_, mapper) => {
      const { source, counts } = countedItems([1, 2, 3], 'sync');
      const stream = gatherStream(source, mapper, { ...mode, concurrency: 1, byteLength: failing });
      await expect(collect(stream)).rejects.toBe(error);
      expect(counts).toStrictEqual({ next: 1, return: 1 });
    });

    test('one that throws for fulfilled outcomes only makes no rejection of them', async () => {
      const stream = gatherStream([1], (item) => item, {
        ...mode,
        byteLength: ({ status }) => (status === 'fulfilled' ? failing() : 0),
      });
      await expect(collect(stream)).rejects.toBe(error);
    });

    test.each<[unknown, string]>([
      [Number.NaN, 'NaN'],
      [-1, '-1'],
      [Infinity, 'Infinity'],
      ['5', '5'],
      [undefined, 'undefined'],
    ])('a byteLength of %o is a clear RangeError, not a stream that hangs', async (bytes, got) => {
      // What an untyped caller may return.
      const stream = gatherStream([1, 2, 3], (item) => item, { ...mode, byteLength: () => bytes as number });
      await expect(collect(stream)).rejects.toThrow(
        new RangeError(`Expected byteLength to return a finite number >= 0, got ${got}`),
      );
    });
  });

  test('a byteLength that throws for a rejection does not hide that rejection in default mode', async () => {
    const stream = gatherStream([1], () => Promise.reject('failed'), {
      byteLength: () => {
        throw new Error('cannot count');
      },
    });
    await expect(stream.next()).rejects.toBe('failed');
  });

  test('a byteLength that throws aborts those in flight and waits for them', async () => {
    const { mapper, call } = manualMapper<string>();
    const error = new Error('cannot count');
    const byteLength = vi.fn(() => {
      throw error;
    });
    const stream = gatherStream(['a', 'b'], mapper, { byteLength });
    const first = stream.next();
    const state = watch(first);
    await quiet();
    call(1).resolve('b');
    await quiet();
    expect([call(0).signal.reason, state.settled]).toStrictEqual([error, false]);
    call(0).resolve('a');
    await expect(first).rejects.toBe(error);
    expect(byteLength).toHaveBeenCalledOnce();
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

  test('is done at once where nothing is in flight and the items have ended', async () => {
    const { source, counts } = countedItems([1, 2], 'sync');
    for await (const _ of gatherStream(source, (item) => item)) break;
    expect(counts).toStrictEqual({ next: 3, return: 0 });
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

  test('with a `next` still pending is heard after it, or at once through the outer signal', async () => {
    const { mapper, call } = manualMapper<number>();
    const stopping = new AbortController();
    const stream = gatherStream([1, 2], mapper, { signal: stopping.signal });
    const first = stream.next();
    const returned = stream.return();
    await quiet();
    expect(call(0).signal.aborted).toBe(false);
    stopping.abort('stopped');
    expect(call(0).signal.reason).toBe('stopped');
    call(0).resolve(1);
    call(1).resolve(2);
    await expect(first).rejects.toBe('stopped');
    expect(await returned).toStrictEqual(end);
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

describe('memory', () => {
  // vitest's workers run without --expose-gc.
  setFlagsFromString('--expose-gc');
  const collectGarbage: () => void = runInNewContext('gc');

  test('does not grow with the number of items finished: values, signals and items are let go', async () => {
    const { signal } = new AbortController();
    const total = 200_000;
    const window = 64;
    const items = function* () {
      for (let index = 0; index < total; index++) yield { index };
    };
    const seen: WeakRef<object>[] = [];
    const mapper = async (item: { index: number }, index: number, own: AbortSignal) => {
      const value = { index };
      if (index % 1_000 === 0) seen.push(new WeakRef(item), new WeakRef(own), new WeakRef(value));
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
    // Of 600 at the end, no more than those of one sampled item in the window or just taken.
    for (const count of alive) expect(count).toBeLessThanOrEqual(6);
    const [first = 0] = heapBytes;
    const last = heapBytes.at(-1) ?? Infinity;
    expect(last - first).toBeLessThan(4 * 1024 * 1024);
  });
});

describe('bad options', () => {
  const names = ['concurrency', 'window', 'windowBytes'] as const;
  const bad: [unknown, string][] = [
    [0, '0'],
    [-1, '-1'],
    [1.5, '1.5'],
    [Number.NaN, 'NaN'],
    ['5', '5'],
    [null, 'null'],
  ];

  test.each(names.flatMap((name) => bad.map(([value, got]) => [name, value, got] as const)))(
    'a %s of %o is a clear RangeError at once',
    (name, value, got) => {
      // What an untyped caller may pass.
      const options = { [name]: value } as GatherStreamOptions<number>;
      expect(() => gatherStream([1], (item) => item, options)).toThrow(
        new RangeError(`Expected ${name} to be an integer >= 1 or Infinity, got ${got}`),
      );
    },
  );

  test.each(names)('a %s of 1, and of Infinity, is fine', async (name) => {
    for (const value of [1, Infinity]) {
      const stream = gatherStream([1, 2], async (item) => item, { [name]: value });
      expect(await collect(stream)).toStrictEqual([fulfilled(1), fulfilled(2)]);
    }
  });

  test('items or a mapper of the wrong type are a TypeError at once', () => {
    // What untyped callers may pass.
    expect(() => gatherStream(5 as unknown as number[], (item) => item)).toThrow(
      new TypeError('Expected items to be iterable or async iterable, got 5'),
    );
    expect(() => gatherStream([1], 5 as unknown as () => void)).toThrow(
      new TypeError('Expected mapper to be a function, got number'),
    );
  });
});
