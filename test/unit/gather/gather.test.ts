import { getEventListeners } from 'node:events';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, expectTypeOf, test, vi } from 'vitest';
import { gather, type Items } from '../../../src/gather.ts';
import {
  countedItems,
  manualMapper,
  quiet,
  unhandledRejectionsIn,
  watch,
} from '../../support/manual-mapper.ts';

const modes = [{ returnExceptions: false }, { returnExceptions: true }] as const;

const fulfilled = <T>(value: T): PromiseSettledResult<T> => ({ status: 'fulfilled', value });
const rejected = (reason: unknown): PromiseRejectedResult => ({ status: 'rejected', reason });
const abortListenersOf = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;

function* generate<I>(items: readonly I[]): Generator<I> {
  yield* items;
}

async function* generateAsync<I>(items: readonly I[]): AsyncGenerator<I> {
  for (const item of items) {
    await quiet();
    yield item;
  }
}

const kindsOfItems: Record<string, (items: readonly string[]) => Items<string>> = {
  'an array': (items) => items,
  'a Set': (items) => new Set(items),
  'a string': (items) => items.join(''),
  'a generator': (items) => generate(items),
  'an iterator helper': (items) => items.values().map((item) => item),
  'an async generator': (items) => generateAsync(items),
  'a Readable': (items) => Readable.from(items),
  'an async iterable that is not a generator': (items) => countedItems(items, 'async').source,
};

describe('what gather resolves with', () => {
  test('the values stand in the order of the items, whatever finished first', async () => {
    const { mapper, call } = manualMapper<string, number>();
    const gathering = gather(['a', 'b', 'c'], mapper);
    await quiet();
    call(2).resolve(3);
    await quiet();
    call(0).resolve(1);
    await quiet();
    call(1).resolve(2);
    expect(await gathering).toStrictEqual([1, 2, 3]);
  });

  test('with returnExceptions, rejections stand as outcomes in the place of their items', async () => {
    const { mapper, call } = manualMapper<string, number>();
    const gathering = gather(['a', 'b', 'c'], mapper, { returnExceptions: true });
    await quiet();
    const reason = new Error('b failed');
    call(1).reject(reason);
    await quiet();
    call(2).resolve(3);
    await quiet();
    call(0).resolve(1);
    const outcomes = await gathering;
    expect(outcomes).toStrictEqual([fulfilled(1), rejected(reason), fulfilled(3)]);
    expect(outcomes[1]).toHaveProperty('reason', reason);
  });

  test('with returnExceptions, a rejection aborts nothing', async () => {
    const { mapper, call, calls } = manualMapper<string>();
    const gathering = gather(['a', 'b'], mapper, { returnExceptions: true });
    await quiet();
    call(0).reject(new Error('a failed'));
    await quiet();
    expect(calls.map(({ signal }) => signal.aborted)).toStrictEqual([false, false]);
    call(1).resolve('b');
    await gathering;
  });

  describe.each(modes)('in mode %o', (mode) => {
    test.each<[string, Items<string>]>([
      ['array', []],
      ['Set', new Set<string>()],
      ['string', ''],
      ['generator', generate<string>([])],
      ['async generator', generateAsync<string>([])],
    ])('an empty %s gives an empty array, and the mapper is not called', async (_, items) => {
      const mapper = vi.fn();
      expect(await gather(items, mapper, mode)).toStrictEqual([]);
      expect(mapper).not.toHaveBeenCalled();
    });

    test('an Error that is returned is a value, not a rejection', async () => {
      const error = new Error('only a value');
      const results: unknown[] = await gather(
        [1, 2],
        (item) => (item === 1 ? error : Promise.resolve(error)),
        mode,
      );
      expect(results).toStrictEqual(
        mode.returnExceptions ? [fulfilled(error), fulfilled(error)] : [error, error],
      );
    });

    test('mappers may return plain values, thenables, and nothing', async () => {
      const values = [1, Promise.resolve(2), undefined, null];
      const results: unknown[] = await gather(values, (value) => value, mode);
      const expected = [1, 2, undefined, null];
      expect(results).toStrictEqual(mode.returnExceptions ? expected.map(fulfilled) : expected);
    });
  });

  test('equal and identical items are mapped each for itself', async () => {
    const item = { id: 1 };
    expect(await gather([item, item], (_, index) => index)).toStrictEqual([0, 1]);
  });
});

describe('the types of what gather resolves with', () => {
  const items = [1, 2];
  const double = async (item: number) => String(item * 2);

  test('are values without returnExceptions, and with a literal false', async () => {
    expectTypeOf(await gather(items, double)).toEqualTypeOf<string[]>();
    expectTypeOf(await gather(items, double, {})).toEqualTypeOf<string[]>();
    expectTypeOf(await gather(items, double, { concurrency: 2 })).toEqualTypeOf<string[]>();
    expectTypeOf(await gather(items, double, { returnExceptions: false })).toEqualTypeOf<string[]>();
  });

  test('are settled results with a literal true', async () => {
    const outcomes = await gather(items, double, { returnExceptions: true });
    expectTypeOf(outcomes).toEqualTypeOf<PromiseSettledResult<string>[]>();
  });

  test('are either with a boolean that is not known', async () => {
    const mode: { returnExceptions: boolean } = { returnExceptions: true };
    expectTypeOf(await gather(items, double, mode)).toEqualTypeOf<
      PromiseSettledResult<string>[] | string[]
    >();
  });

  test('follow from the mapper, whether it is async or not', async () => {
    expectTypeOf(await gather(items, (item) => item > 1)).toEqualTypeOf<boolean[]>();
    expectTypeOf(await gather(generateAsync(['a']), (item) => item.length)).toEqualTypeOf<number[]>();
    await gather(new Map([['a', 1]]), (item, index, signal) => {
      expectTypeOf(item).toEqualTypeOf<[string, number]>();
      expectTypeOf(index).toEqualTypeOf<number>();
      expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
    });
  });
});

describe('when gather calls the mapper', () => {
  const letters = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];

  describe.each(Object.entries(kindsOfItems))('with %s', (_, from) => {
    test.each([1, 2, 3, 7])(
      'has %i in flight, never more, in the order of the items',
      async (concurrency) => {
        let inFlight = 0;
        let most = 0;
        const called: [string, number][] = [];
        const values = await gather(
          from(letters),
          async (item, index) => {
            called.push([item, index]);
            inFlight += 1;
            most = Math.max(most, inFlight);
            // So long that even a slow source catches up.
            for (let turn = 0; turn < 10; turn++) await quiet();
            inFlight -= 1;
            return item.toUpperCase();
          },
          { concurrency },
        );
        expect(values).toStrictEqual(['A', 'B', 'C', 'D', 'E', 'F', 'G']);
        expect(called).toStrictEqual(letters.map((letter, index) => [letter, index]));
        expect(most).toBe(concurrency);
      },
    );
  });

  test('starts all of them where no concurrency is given', async () => {
    const { mapper, items, calls } = manualMapper<string>();
    const gathering = gather(letters, mapper);
    await quiet();
    expect(items()).toStrictEqual(letters);
    for (const { item, resolve } of calls) resolve(item);
    expect(await gathering).toStrictEqual(letters);
  });

  test('starts the next one as soon as any in flight has settled, however it settled', async () => {
    const { mapper, call, items } = manualMapper<string>();
    const gathering = gather(letters.slice(0, 4), mapper, { concurrency: 2, returnExceptions: true });
    await quiet();
    expect(items()).toStrictEqual(['a', 'b']);
    call(1).reject('b failed');
    await quiet();
    expect(items()).toStrictEqual(['a', 'b', 'c']);
    call(2).resolve('C');
    await quiet();
    expect(items()).toStrictEqual(['a', 'b', 'c', 'd']);
    call(0).resolve('A');
    call(3).resolve('D');
    expect(await gathering).toStrictEqual([
      fulfilled('A'),
      rejected('b failed'),
      fulfilled('C'),
      fulfilled('D'),
    ]);
  });

  test.each(['sync', 'async'] as const)(
    'takes an item of a %s source only when it may start it',
    async (kind) => {
      const { source, counts } = countedItems(letters, kind);
      const { mapper, call } = manualMapper<string>();
      const stopping = new AbortController();
      const gathering = gather(source, mapper, { concurrency: 2, signal: stopping.signal });
      await quiet();
      expect(counts.next).toBe(2);
      call(0).resolve('a');
      await quiet();
      expect(counts.next).toBe(3);
      stopping.abort('enough');
      call(1).resolve('b');
      call(2).resolve('c');
      await expect(gathering).rejects.toBe('enough');
      expect(counts.next).toBe(3);
    },
  );

  test('asks an async source for one item at a time, and for none after its end', async () => {
    let pending = 0;
    let mostPending = 0;
    let nextAfterEnd = 0;
    let index = 0;
    let ended = false;
    const source: AsyncIterable<string> = {
      [Symbol.asyncIterator]: () => ({
        next: async () => {
          if (ended) nextAfterEnd += 1;
          pending += 1;
          mostPending = Math.max(mostPending, pending);
          await null;
          pending -= 1;
          const value = letters[index++];
          if (value !== undefined) return { done: false, value };
          ended = true;
          return { done: true, value };
        },
      }),
    };
    // Mappers that end after different numbers of turns meet the source at every point of its own.
    const values = await gather(source, async (item, turns) => {
      for (let turn = 0; turn < turns; turn++) await null;
      return item;
    });
    expect(values).toStrictEqual(letters);
    expect([mostPending, nextAfterEnd]).toStrictEqual([1, 0]);
  });

  test('gives each call a signal of its own, which is not aborted', async () => {
    const signals = await gather(letters, (_item, _index, signal) => signal, { concurrency: 2 });
    expect(new Set(signals).size).toBe(letters.length);
    expect(signals.map(({ aborted }) => aborted)).toStrictEqual(letters.map(() => false));
  });

  test('passes items that are promises on as they are', async () => {
    const item = Promise.resolve(1);
    const seen: unknown[] = [];
    await gather([item], (given) => {
      seen.push(given);
    });
    expect(seen[0]).toBe(item);
  });

  test('maps 100,000 items at once without overflowing the stack, sync or async', async () => {
    const many = Array.from({ length: 100_000 }, (_, index) => index);
    expect(await gather(many, (item) => item)).toStrictEqual(many);
    expect(await gather(many, async (item) => item)).toStrictEqual(many);
    expect(await gather(countedItems(many, 'async').source, (item) => item)).toStrictEqual(many);
  });
});

describe('a mapper that throws before it returns a promise', () => {
  const throwOn = (bad: string, error: unknown) => (item: string) => {
    if (item === bad) throw error;
    return Promise.resolve(item);
  };

  test('rejects gather with that identical error', async () => {
    const error = new Error('at once');
    await expect(gather(['a', 'b'], throwOn('b', error))).rejects.toBe(error);
  });

  test('is an outcome like any other with returnExceptions', async () => {
    const error = new Error('at once');
    const outcomes = await gather(['a', 'b', 'c'], throwOn('b', error), { returnExceptions: true });
    expect(outcomes).toStrictEqual([fulfilled('a'), rejected(error), fulfilled('c')]);
  });

  test('keeps later mappers from being called in default mode', async () => {
    const mapper = vi.fn(throwOn('a', new Error('at once')));
    await expect(gather(['a', 'b'], mapper)).rejects.toThrow('at once');
    expect(mapper).toHaveBeenCalledOnce();
  });
});

describe('thenables that a mapper returns', () => {
  const never = (): never => {
    throw new Error('Expected no call');
  };

  test.each<[string, PromiseLike<string>]>([
    // biome-ignore-start lint/suspicious/noThenProperty: sloppy thenables are what these tests are about
    ['resolves synchronously', { then: (resolve) => resolve?.('ok') as never }],
    [
      'settles more than once',
      {
        then: (resolve, reject) => {
          resolve?.('ok');
          resolve?.('again');
          reject?.(new Error('too late'));
          return never();
        },
      },
    ],
    [
      'resolves with another thenable',
      { then: (resolve) => resolve?.(Promise.resolve('ok') as never) as never },
    ],
    [
      'is callable',
      Object.assign(() => 'not called', {
        then: ((resolve) => resolve?.('ok')) as PromiseLike<string>['then'],
      }),
    ],
    // biome-ignore-end lint/suspicious/noThenProperty: as above
  ])('one that %s counts once', async (_, thenable) => {
    expect(await gather([1], () => thenable, { returnExceptions: true })).toStrictEqual([fulfilled('ok')]);
  });

  test('one whose `then` throws, or cannot be read, is a rejection', async () => {
    const unusable: PromiseLike<string> = {
      // biome-ignore lint/suspicious/noThenProperty: as above
      get then(): never {
        throw new Error('no then');
      },
    };
    // biome-ignore lint/suspicious/noThenProperty: as above
    const throwing: PromiseLike<string> = { then: () => never() };
    expect(await gather([unusable, throwing], (item) => item, { returnExceptions: true })).toStrictEqual([
      rejected(new Error('no then')),
      rejected(new Error('Expected no call')),
    ]);
  });

  test('an object whose `then` is not a function is a value', async () => {
    // biome-ignore lint/suspicious/noThenProperty: as above
    const value = { then: 'later' };
    expect(await gather([1], () => value)).toStrictEqual([value]);
  });
});

describe('the first rejection in default mode', () => {
  test('is the first in time, not in the order of the items, and rejects with the identical reason', async () => {
    const { mapper, call } = manualMapper<string>();
    const gathering = gather(['a', 'b', 'c'], mapper);
    await quiet();
    const first = new Error('c failed');
    call(2).reject(first);
    await quiet();
    call(0).reject(new Error('a failed'));
    call(1).resolve('b');
    await expect(gathering).rejects.toBe(first);
  });

  test.each([undefined, null, '', 0, 'text', Symbol('reason')])(
    'may have any reason, such as %s',
    async (reason) => {
      const gathering = gather([1, 2], () => Promise.reject(reason));
      await expect(gathering).rejects.toBe(reason);
    },
  );

  test('aborts the others through their signal, and is waited with until they have settled', async () => {
    const { mapper, call, calls } = manualMapper<string>();
    const gathering = gather(['a', 'b', 'c', 'd'], mapper);
    const state = watch(gathering);
    await quiet();
    call(3).resolve('d');
    await quiet();
    const error = new Error('b failed');
    call(1).reject(error);
    await quiet();
    // Those that had settled are not told: their signals may be anybody's by now.
    expect(calls.map(({ signal }) => signal.aborted)).toStrictEqual([true, false, true, false]);
    expect([call(0).signal.reason, call(2).signal.reason]).toStrictEqual([error, error]);
    expect(call(0).signal.reason).toBe(error);
    call(0).resolve('a');
    await quiet();
    expect(state.settled).toBe(false);
    call(2).reject(new Error('stopped'));
    await expect(gathering).rejects.toBe(error);
  });

  test('keeps the items that are still queued from being started', async () => {
    const { mapper, call, items } = manualMapper<string>();
    const gathering = gather(['a', 'b', 'c'], mapper, { concurrency: 2 });
    await quiet();
    call(0).reject('a failed');
    call(1).resolve('b');
    await expect(gathering).rejects.toBe('a failed');
    await quiet();
    expect(items()).toStrictEqual(['a', 'b']);
  });

  test('lets later ones be dropped without an unhandledRejection', async () => {
    const unhandled = await unhandledRejectionsIn(async () => {
      const { mapper, call } = manualMapper<string>();
      const gathering = gather(['a', 'b', 'c'], mapper);
      await quiet();
      call(1).reject(new Error('first'));
      call(0).reject(new Error('second'));
      await quiet();
      call(2).reject(new Error('third'));
      await expect(gathering).rejects.toThrow('first');
    });
    expect(unhandled).toStrictEqual([]);
  });

  test('is reported as an unhandledRejection once where nobody waits for gather itself', async () => {
    const error = new Error('nobody listens');
    const unhandled = await unhandledRejectionsIn(async () => {
      void gather([1, 2, 3], () => Promise.reject(error));
    });
    expect(unhandled).toStrictEqual([error]);
  });
});

describe.each(modes)('an outer signal, in mode %o', (mode) => {
  test.each<[string, unknown]>([
    ['an Error', new Error('stopped')],
    ['a string', 'stopped'],
    ['null', null],
    ['false', false],
  ])(
    'that had aborted with %s: the mapper is never called, and gather rejects with it',
    async (_, reason) => {
      const mapper = vi.fn();
      const { source, counts } = countedItems([1, 2], 'sync');
      const gathering = gather<number, unknown>(source, mapper, {
        ...mode,
        signal: AbortSignal.abort(reason),
      });
      await expect(gathering).rejects.toBe(reason);
      expect(mapper).not.toHaveBeenCalled();
      expect(counts).toStrictEqual({ next: 0, return: 1 });
    },
  );

  test('that had aborted without a reason rejects with its AbortError', async () => {
    const signal = AbortSignal.abort(undefined);
    const error: unknown = await gather([1], (item) => item, { ...mode, signal }).catch((reason) => reason);
    expect(error).toBe(signal.reason);
    expect(error).toMatchObject({ name: 'AbortError' });
  });

  test.each<[string, unknown]>([
    ['an Error', new Error('stopped')],
    ['a string', 'stopped'],
    ['null', null],
  ])('that aborts midway with %s: children get it, and gather waits before it rejects', async (_, reason) => {
    const { mapper, call, calls, items } = manualMapper<string>();
    const stopping = new AbortController();
    const gathering = gather<string, string>(['a', 'b', 'c', 'd'], mapper, {
      ...mode,
      concurrency: 3,
      signal: stopping.signal,
    });
    const state = watch(gathering);
    await quiet();
    call(0).resolve('a');
    await quiet();
    stopping.abort(reason);
    await quiet();
    expect(calls.map(({ signal }) => [signal.aborted, signal.reason])).toStrictEqual([
      [false, undefined],
      [true, reason],
      [true, reason],
      [true, reason],
    ]);
    call(1).resolve('b');
    call(2).reject(new Error('c failed'));
    await quiet();
    expect(state.settled).toBe(false);
    call(3).reject(reason);
    await expect(gathering).rejects.toBe(reason);
    expect(items()).toStrictEqual(['a', 'b', 'c', 'd']);
  });

  test('that aborts while a mapper is being called starts no other, and aborts that one', async () => {
    const stopping = new AbortController();
    const signals: AbortSignal[] = [];
    const gathering = gather<number, string>(
      [1, 2, 3],
      (_item, _index, signal) => {
        stopping.abort('stopped');
        signals.push(signal);
        return Promise.resolve('done');
      },
      { ...mode, signal: stopping.signal },
    );
    await expect(gathering).rejects.toBe('stopped');
    expect(signals.map(({ aborted }) => aborted)).toStrictEqual([true]);
  });

  test('that aborts while an item is being taken drops that item', async () => {
    const stopping = new AbortController();
    const mapper = vi.fn();
    const items = function* () {
      stopping.abort('stopped');
      yield 1;
    };
    await expect(gather(items(), mapper, { ...mode, signal: stopping.signal })).rejects.toBe('stopped');
    expect(mapper).not.toHaveBeenCalled();
  });

  test('that aborts after the end changes nothing', async () => {
    const stopping = new AbortController();
    const results = await gather([1], (item) => item, { ...mode, signal: stopping.signal });
    stopping.abort();
    await quiet();
    expect(results).toHaveLength(1);
  });

  test('is not aborted by gather', async () => {
    const { signal } = new AbortController();
    await gather([1], () => Promise.reject(new Error('failed')), { ...mode, signal }).catch(() => {});
    expect(signal.aborted).toBe(false);
  });
});

test('a rejection before the outer abort stays the reason in default mode, and the abort changes nothing', async () => {
  const { mapper, call } = manualMapper<string>();
  const stopping = new AbortController();
  const gathering = gather(['a', 'b'], mapper, { signal: stopping.signal });
  await quiet();
  call(0).reject('a failed');
  await quiet();
  stopping.abort('stopped');
  expect(call(1).signal.reason).toBe('a failed');
  call(1).resolve('b');
  await expect(gathering).rejects.toBe('a failed');
});

test('a child that is cancelled on its own is an outcome, and cancels nothing else', async () => {
  const { mapper, call, calls } = manualMapper<string>();
  const stopping = new AbortController();
  const gathering = gather(['a', 'b', 'c'], mapper, { returnExceptions: true, signal: stopping.signal });
  await quiet();
  const cancelled = new DOMException('cancelled', 'AbortError');
  call(1).reject(cancelled);
  await quiet();
  expect(calls.map(({ signal }) => signal.aborted)).toStrictEqual([false, false, false]);
  expect(stopping.signal.aborted).toBe(false);
  call(0).resolve('A');
  call(2).resolve('C');
  expect(await gathering).toStrictEqual([fulfilled('A'), rejected(cancelled), fulfilled('C')]);
});

test('a child that is cancelled on its own rejects gather in default mode, like any rejection', async () => {
  const cancelled = new DOMException('cancelled', 'AbortError');
  await expect(gather([1, 2], () => Promise.reject(cancelled))).rejects.toBe(cancelled);
});

describe.each(modes)('items that fail, in mode %o', (mode) => {
  test('synchronously in the middle: those in flight are aborted and waited for, and gather rejects with it', async () => {
    const error = new Error('no third item');
    const items = function* () {
      yield 'a';
      yield 'b';
      throw error;
    };
    const { mapper, call, calls } = manualMapper<string>();
    const gathering = gather<string, string>(items(), mapper, mode);
    const state = watch(gathering);
    await quiet();
    expect(calls.map(({ signal }) => signal.reason)).toStrictEqual([error, error]);
    call(0).resolve('a');
    await quiet();
    expect(state.settled).toBe(false);
    call(1).reject(new Error('stopped'));
    await expect(gathering).rejects.toBe(error);
  });

  test('asynchronously in the middle: the same', async () => {
    const error = new Error('no third item');
    const items = async function* () {
      yield 'a';
      yield 'b';
      throw error;
    };
    const { mapper, call, calls } = manualMapper<string>();
    const gathering = gather<string, string>(items(), mapper, mode);
    const state = watch(gathering);
    await quiet();
    expect(calls.map(({ signal }) => signal.reason)).toStrictEqual([error, error]);
    call(0).resolve('a');
    await quiet();
    expect(state.settled).toBe(false);
    call(1).reject(new Error('stopped'));
    await expect(gathering).rejects.toBe(error);
  });

  test('because `next` of an async iterator throws, or gives no result object', async () => {
    const error = new Error('next threw');
    const throwing: AsyncIterable<number> = {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          throw error;
        },
      }),
    };
    const empty: AsyncIterable<number> = {
      // What a careless iterator of an untyped caller does.
      [Symbol.asyncIterator]: () => ({ next: async () => undefined as never }),
    };
    await expect(gather(throwing, (item) => item, mode)).rejects.toBe(error);
    await expect(gather(empty, (item) => item, mode)).rejects.toThrow(TypeError);
  });

  test('are not asked to clean up, since they have ended', async () => {
    const close = vi.fn();
    const failing: AsyncIterable<number> = {
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error('broken')), return: close }),
    };
    await expect(gather(failing, (item) => item, mode)).rejects.toThrow('broken');
    expect(close).not.toHaveBeenCalled();
  });
});

describe.each(['sync', 'async'] as const)('the iterator of a %s source', (kind) => {
  test('is not closed when it has come to its end', async () => {
    const { source, counts } = countedItems([1, 2, 3], kind);
    await gather(source, (item) => item, { concurrency: 2 });
    expect(counts).toStrictEqual({ next: 4, return: 0 });
  });

  test('is closed once after a rejection, when those in flight have settled', async () => {
    const { source, counts } = countedItems(['a', 'b', 'c'], kind);
    const { mapper, call } = manualMapper<string>();
    const gathering = gather(source, mapper, { concurrency: 2 });
    await quiet();
    call(0).reject('a failed');
    await quiet();
    expect(counts.return).toBe(0);
    call(1).resolve('b');
    await expect(gathering).rejects.toBe('a failed');
    await quiet();
    expect(counts).toStrictEqual({ next: 2, return: 1 });
  });

  test('is closed once after an outer abort', async () => {
    const { source, counts } = countedItems(['a', 'b', 'c'], kind);
    const { mapper, call } = manualMapper<string>();
    const stopping = new AbortController();
    const gathering = gather(source, mapper, { concurrency: 1, signal: stopping.signal });
    await quiet();
    stopping.abort('stopped');
    call(0).resolve('a');
    await expect(gathering).rejects.toBe('stopped');
    expect(counts).toStrictEqual({ next: 1, return: 1 });
  });
});

describe('closing the items', () => {
  test('waits for the cleaning up of a generator that is not busy', async () => {
    const cleaningUp = Promise.withResolvers<void>();
    const items = async function* () {
      try {
        yield 1;
        yield 2;
      } finally {
        await cleaningUp.promise;
      }
    };
    const gathering = gather(items(), () => Promise.reject('failed'), { concurrency: 1 });
    const state = watch(gathering);
    await quiet();
    expect(state.settled).toBe(false);
    cleaningUp.resolve();
    await expect(gathering).rejects.toBe('failed');
  });

  test.each<[string, () => IteratorResult<number>]>([
    [
      'throws',
      () => {
        throw new Error('cannot close');
      },
    ],
    // An async iterator's `return` may reject; a sync iterable's type does not know.
    ['rejects', () => Promise.reject(new Error('cannot close')) as never],
  ])('keeps the first reason when `return` %s', async (_, close) => {
    const source: Iterable<number> = {
      [Symbol.iterator]: () => ({ next: () => ({ done: false, value: 1 }), return: close }),
    };
    const unhandled = await unhandledRejectionsIn(async () => {
      await expect(gather(source, () => Promise.reject('failed'), { concurrency: 1 })).rejects.toBe('failed');
    });
    expect(unhandled).toStrictEqual([]);
  });

  test('does without `return` where the iterator has none', async () => {
    const source: Iterable<number> = {
      [Symbol.iterator]: () => ({ next: () => ({ done: false, value: 1 }) }),
    };
    await expect(gather(source, () => Promise.reject('failed'), { concurrency: 1 })).rejects.toBe('failed');
  });
});

describe('an async source that is pending for ever', () => {
  const pendingAfter = (items: readonly string[]) => {
    const pending = Promise.withResolvers<IteratorResult<string>>();
    const close = vi.fn(async (): Promise<IteratorResult<string>> => ({ done: true, value: undefined }));
    let index = 0;
    const source: AsyncIterable<string> = {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          const value = items[index++];
          return value === undefined ? pending.promise : Promise.resolve({ done: false, value });
        },
        return: close,
      }),
    };
    return { source, pending, close };
  };

  test('does not hang gather after an outer abort, and is told to close', async () => {
    const { source, close } = pendingAfter([]);
    const stopping = new AbortController();
    const gathering = gather(source, (item) => item, { signal: stopping.signal, returnExceptions: true });
    await quiet();
    stopping.abort('stopped');
    await expect(gathering).rejects.toBe('stopped');
    expect(close).toHaveBeenCalledOnce();
  });

  test('does not hang gather after a rejection', async () => {
    const { source, close } = pendingAfter(['a']);
    await expect(gather(source, () => Promise.reject('failed'))).rejects.toBe('failed');
    expect(close).toHaveBeenCalledOnce();
  });

  test('does not hang gather where it is an async generator, which cannot close before its `next`', async () => {
    const items = async function* () {
      yield 1;
      await new Promise(() => {});
    };
    const { mapper, call } = manualMapper<number>();
    const gathering = gather(items(), mapper);
    await quiet();
    call(0).reject('failed');
    await expect(gathering).rejects.toBe('failed');
  });

  test('may still give an item or a rejection later: both are dropped', async () => {
    const unhandled = await unhandledRejectionsIn(async () => {
      const first = pendingAfter([]);
      const second = pendingAfter([]);
      const mapper = vi.fn();
      const stopping = new AbortController();
      const { signal } = stopping;
      const gatherings = [
        gather(first.source, mapper, { signal }),
        gather(second.source, mapper, { signal }),
      ];
      await quiet();
      stopping.abort('stopped');
      expect(await Promise.allSettled(gatherings)).toStrictEqual([rejected('stopped'), rejected('stopped')]);
      first.pending.resolve({ done: false, value: 'late' });
      second.pending.reject(new Error('late'));
      await quiet();
      expect(mapper).not.toHaveBeenCalled();
    });
    expect(unhandled).toStrictEqual([]);
  });
});

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

describe('bad arguments', () => {
  test.each<[unknown, string]>([
    [0, '0'],
    [-1, '-1'],
    [1.5, '1.5'],
    [Number.NaN, 'NaN'],
    [-Infinity, '-Infinity'],
    ['5', '5'],
    [null, 'null'],
  ])('a concurrency of %o is a clear RangeError before any mapper is called', async (concurrency, got) => {
    const mapper = vi.fn();
    // What an untyped caller may pass.
    const gathering = gather([1], mapper, { concurrency: concurrency as number });
    await expect(gathering).rejects.toThrow(
      new RangeError(`Expected concurrency to be an integer >= 1 or Infinity, got ${got}`),
    );
    expect(mapper).not.toHaveBeenCalled();
  });

  test.each([1, 2, Number.MAX_SAFE_INTEGER, Infinity])('a concurrency of %d is fine', async (concurrency) => {
    expect(await gather([1, 2, 3], (item) => item, { concurrency })).toStrictEqual([1, 2, 3]);
  });

  test.each<[unknown, string]>([
    [undefined, 'undefined'],
    [null, 'null'],
    [5, '5'],
    [{}, '[object Object]'],
    [Promise.resolve([1]), '[object Promise]'],
  ])('items of %o are a clear TypeError', async (items, got) => {
    // What an untyped caller may pass.
    await expect(gather(items as Items<number>, (item) => item)).rejects.toThrow(
      new TypeError(`Expected items to be iterable or async iterable, got ${got}`),
    );
  });

  test.each<[unknown, string]>([
    [undefined, 'undefined'],
    [null, 'object'],
    ['mapper', 'string'],
  ])('a mapper of %o is a clear TypeError', async (mapper, got) => {
    // What an untyped caller may pass.
    await expect(gather([], mapper as () => void)).rejects.toThrow(
      new TypeError(`Expected mapper to be a function, got ${got}`),
    );
  });
});
