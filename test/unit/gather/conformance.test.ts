import { describe, expect, test, vi } from 'vitest';
import { gather, gatherStream, type Items } from '../../../src/gather.ts';
import {
  collect,
  countedItems,
  fulfilled,
  manualMapper,
  modes,
  quiet,
  rejected,
  watch,
} from '../../support/manual-mapper.ts';

/*
 * What CPython's tests of gather, test262's of Promise.allSettled and p-map's state, where no other test of ours
 * shows what we make of it. docs/gather.md has the tables.
 */

describe('beside asyncio.gather', () => {
  test.each(modes)('in mode %o it is done when its last child is, and not before', async (mode) => {
    const { mapper, call } = manualMapper<string, number>();
    const gathering = gather(['a', 'b', 'c'], mapper, mode);
    const state = watch(gathering);
    await quiet();
    call(1).resolve(1);
    call(0).resolve(2);
    await quiet();
    expect(state.settled).toBe(false);
    call(2).resolve(3);
    await quiet();
    expect(state.settled).toBe(true);
    const expected: unknown[] = mode.returnExceptions ? [2, 1, 3].map(fulfilled) : [2, 1, 3];
    expect(await gathering).toStrictEqual(expected);
  });

  test('with returnExceptions it is not done by a rejection, while another child is in flight', async () => {
    const { mapper, call } = manualMapper<string>();
    const gathering = gather(['a', 'b'], mapper, { returnExceptions: true });
    const state = watch(gathering);
    await quiet();
    call(0).reject('a failed');
    await quiet();
    expect(state.settled).toBe(false);
    call(1).reject('b failed');
    expect(await gathering).toStrictEqual([rejected('a failed'), rejected('b failed')]);
  });

  test('the mappers start at the call, before anybody awaits it', async () => {
    const { mapper, items, calls } = manualMapper<string>();
    const gathering = gather(['a', 'b'], mapper);
    expect(items()).toStrictEqual(['a', 'b']);
    for (const { item, resolve } of calls) resolve(item);
    await gathering;
  });

  test('two gathers of the same promises are done each for itself, with the same values', async () => {
    const promises = [Promise.withResolvers<number>(), Promise.withResolvers<number>()];
    const given = promises.map(({ promise }) => promise);
    const stopping = new AbortController();
    const first = gather(given, (promise) => promise, { signal: stopping.signal });
    const second = gather(given, (promise) => promise);
    const state = watch(second);
    stopping.abort('first stopped');
    await quiet();
    expect(state.settled).toBe(false);
    promises.forEach(({ resolve }, index) => {
      resolve(index);
    });
    await expect(first).rejects.toBe('first stopped');
    expect(await second).toStrictEqual([0, 1]);
  });

  test('one promise at several positions stands at each of them', async () => {
    const promise = Promise.resolve('abc');
    const other = Promise.resolve('def');
    const given = [promise, promise, other, promise];
    expect(await gather(given, (each) => each)).toStrictEqual(['abc', 'abc', 'def', 'abc']);
  });

  test('several children that are cancelled on their own stand as outcomes among values and errors', async () => {
    const { mapper, call } = manualMapper<string, number>();
    const gathering = gather('abcdef', mapper, { returnExceptions: true });
    const state = watch(gathering);
    await quiet();
    const [first, second] = [new DOMException('c', 'AbortError'), new DOMException('e', 'AbortError')];
    const [zeroDivision, runtime] = [new Error('b failed'), new Error('f failed')];
    call(0).resolve(1);
    call(1).reject(zeroDivision);
    call(2).reject(first);
    await quiet();
    expect(state.settled).toBe(false);
    call(3).resolve(3);
    call(4).reject(second);
    call(5).reject(runtime);
    const outcomes = await gathering;
    expect(outcomes).toStrictEqual([
      fulfilled(1),
      rejected(zeroDivision),
      rejected(first),
      fulfilled(3),
      rejected(second),
      rejected(runtime),
    ]);
    expect(outcomes[4]).toHaveProperty('reason', second);
  });

  test('a mapper that rejects at the abort ends gather, while its work goes on as if shielded', async () => {
    const works = [Promise.withResolvers<number>(), Promise.withResolvers<number>()];
    const stopping = new AbortController();
    const gathering = gather(
      works,
      ({ promise }, _index, signal) =>
        Promise.race([
          promise,
          new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
        ]),
      { signal: stopping.signal },
    );
    stopping.abort('stopped');
    await expect(gathering).rejects.toBe('stopped');
    works.forEach(({ resolve }, index) => {
      resolve(index);
    });
    expect(await Promise.all(works.map(({ promise }) => promise))).toStrictEqual([0, 1]);
  });

  test('whoever stops waiting for it leaves it running, where it was given no signal', async () => {
    const { mapper, call, calls } = manualMapper<string, number>();
    const parent = gather(['a', 'b'], mapper);
    const outer = AbortSignal.abort('outer stopped');
    await expect(Promise.race([parent, Promise.reject(outer.reason)])).rejects.toBe('outer stopped');
    expect(calls.map(({ signal }) => signal.aborted)).toStrictEqual([false, false]);
    call(0).resolve(1);
    call(1).resolve(2);
    expect(await parent).toStrictEqual([1, 2]);
  });

  test.each(modes)(
    'in mode %o an abort still ends it when all children are done and it is not',
    async (mode) => {
      const { promise, resolve } = Promise.withResolvers<number>();
      const stopping = new AbortController();
      const gathering = gather([1], () => promise, { ...mode, signal: stopping.signal });
      const state = watch(gathering);
      // Comes right after gather's own, which counts the child as done.
      const aborting = promise.then(() => {
        expect(state.settled).toBe(false);
        stopping.abort('stopped');
      });
      resolve(42);
      await expect(gathering).rejects.toBe('stopped');
      await aborting;
    },
  );
});

/** What stands in for an iterator, or for the method that makes one, where an untyped caller errs. */
const notObjects: [string, unknown][] = [undefined, null, false, true, 1, '', Symbol('none')].map((value) => [
  String(value),
  value,
]);

describe('beside Promise.allSettled', () => {
  test('it gives a promise of the language, also where it could fail at once', async () => {
    const promises = [
      gather([], (item) => item),
      // What an untyped caller may pass.
      gather(null as never, (item) => item),
    ];
    expect(promises.map((promise) => Object.getPrototypeOf(promise) === Promise.prototype)).toStrictEqual([
      true,
      true,
    ]);
    await expect(promises[1]).rejects.toThrow(TypeError);
  });

  test('its outcomes are plain objects with a status and a value, or a reason, and nothing else', async () => {
    const items = [1, 2, 3];
    const mapper = (item: number) => (item === 2 ? Promise.reject(item) : item);
    expect(await gather(items, mapper, { returnExceptions: true })).toStrictEqual(
      await Promise.allSettled(items.map(mapper)),
    );
  });

  test('the `then` of a thenable is called once, on itself, with two functions', async () => {
    const seen: unknown[] = [];
    const thenable = {
      // biome-ignore lint/suspicious/noThenProperty: sloppy thenables are what this test is about
      then(...given: ((value: number) => void)[]) {
        seen.push(this, ...given.map((each) => typeof each));
        given[0]?.(1);
      },
    };
    const mapper = () => thenable as unknown as PromiseLike<number>;
    expect(await gather([1], mapper, { returnExceptions: true })).toStrictEqual([fulfilled(1)]);
    expect(seen).toStrictEqual([thenable, 'function', 'function']);
  });

  test('thenables that settle one another keep each the first value it got', async () => {
    let settleFirst: ((value: string) => void) | undefined;
    // biome-ignore-start lint/suspicious/noThenProperty: sloppy thenables are what this test is about
    const thenables = [
      {
        then: (resolve: (value: string) => void) => {
          settleFirst = resolve;
        },
      },
      {
        then: (resolve: (value: string) => void) => {
          settleFirst?.('first');
          resolve('second');
          settleFirst?.('too late');
        },
      },
      {
        then: (_: unknown, reject: (reason: unknown) => void) =>
          Promise.resolve().then(() => reject('third')),
      },
    ];
    // biome-ignore-end lint/suspicious/noThenProperty: as above
    const outcomes = await gather(thenables, (thenable) => thenable as unknown as PromiseLike<string>, {
      returnExceptions: true,
    });
    expect(outcomes).toStrictEqual([fulfilled('first'), fulfilled('second'), rejected('third')]);
  });

  test.each<[string, PropertyDescriptor]>([
    [
      'throws',
      {
        value: () => {
          throw new Error('no then');
        },
      },
    ],
    [
      'cannot be read',
      {
        get: () => {
          throw new Error('no then');
        },
      },
    ],
  ])('a promise whose own `then` %s is an outcome in its place, and the rest go on', async (_, then) => {
    const promise = Object.defineProperty(Promise.resolve(1), 'then', then);
    const { source, counts } = countedItems([1, 2, 3], 'sync');
    const mapper = (item: number) => (item === 1 ? promise : item);
    expect(await gather(source, mapper, { returnExceptions: true })).toStrictEqual([
      rejected(new Error('no then')),
      fulfilled(2),
      fulfilled(3),
    ]);
    expect(counts).toStrictEqual({ next: 4, return: 0 });
  });

  test.each(notObjects.filter(([, value]) => value !== ''))(
    'items that are %s themselves are a TypeError',
    async (_, value) => {
      // What an untyped caller may pass.
      await expect(gather(value as never, (item) => item)).rejects.toThrow(TypeError);
    },
  );

  describe.each([Symbol.iterator, Symbol.asyncIterator])('items whose %s', (method) => {
    test.each(notObjects)('is %s, and that have no other, are a TypeError', async (_, value) => {
      const mapper = vi.fn();
      // What an untyped caller may pass.
      const items = { [method]: value } as unknown as Items<number>;
      await expect(gather(items, mapper)).rejects.toThrow(TypeError);
      expect(mapper).not.toHaveBeenCalled();
    });

    test.each(notObjects)('gives %s are a TypeError', async (_, value) => {
      const mapper = vi.fn();
      const items = { [method]: () => value } as unknown as Items<number>;
      await expect(gather(items, mapper, { returnExceptions: true })).rejects.toThrow(TypeError);
      expect(mapper).not.toHaveBeenCalled();
    });

    test('cannot be read reject gather with that error', async () => {
      const error = new Error('poisoned');
      const items = Object.defineProperty({} as Items<number>, method, {
        get: () => {
          throw error;
        },
      });
      await expect(gather(items, (item) => item)).rejects.toBe(error);
    });
  });

  test.each(['done', 'value'] as const)(
    'an iterator whose result has no readable `%s` has ended: gather rejects with that error, and does not close it',
    async (property) => {
      const error = new Error('poisoned');
      const close = vi.fn();
      const result = Object.defineProperty({ done: false, value: 1 }, property, {
        get: () => {
          throw error;
        },
      });
      const items: Iterable<number> = { [Symbol.iterator]: () => ({ next: () => result, return: close }) };
      await expect(gather(items, (item) => item, { returnExceptions: true })).rejects.toBe(error);
      expect(close).not.toHaveBeenCalled();
    },
  );

  test.each([null, undefined, 1, '', {}])(
    'an iterator whose `return` is %o cannot be closed, and the reason for closing it stands',
    async (close) => {
      const items = {
        [Symbol.iterator]: () => ({ next: () => ({ done: false, value: 1 }), return: close }),
      };
      // What an untyped caller may pass.
      const gathering = gather(items as unknown as Iterable<number>, () => Promise.reject('failed'), {
        concurrency: 1,
      });
      await expect(gathering).rejects.toBe('failed');
    },
  );

  test.each(notObjects)(
    'an iterator that gives %s for a result is a TypeError, not items without end',
    async (got, result) => {
      let asked = 0;
      const items: Iterable<number> = {
        [Symbol.iterator]: () => ({
          next: () => {
            if (asked++ > 0) throw new Error('asked again');
            // What a careless iterator of an untyped caller does.
            return result as never;
          },
        }),
      };
      await expect(gather(items, (item) => item, { returnExceptions: true })).rejects.toThrow(
        new TypeError(`Expected \`next\` of the items to give an object, got ${got}`),
      );
    },
  );
});

describe('beside p-map', () => {
  const sync = () => {
    throw new Error('sync iteration is not supported');
  };

  test('items that are both iterable and async iterable are taken as `for await` takes them', async () => {
    const items = {
      [Symbol.iterator]: sync,
      async *[Symbol.asyncIterator]() {
        yield 1;
        yield 2;
      },
    };
    expect(await gather(items, (item) => item * 10)).toStrictEqual([10, 20]);
    expect(await collect(gatherStream(items, (item) => item * 10))).toStrictEqual([10, 20].map(fulfilled));
  });

  test.each([null, undefined])(
    'items whose Symbol.asyncIterator is %s are taken as iterable',
    async (none) => {
      // Whether it may be null is nothing that `AsyncIterable` says; `for await` allows it.
      const items = { [Symbol.asyncIterator]: none, [Symbol.iterator]: () => [1, 2].values() };
      expect(await gather(items as Iterable<number>, (item) => item)).toStrictEqual([1, 2]);
    },
  );

  test.each(modes)('in mode %o items that fail with undefined reject it with undefined', async (mode) => {
    const items: AsyncIterable<number> = {
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(undefined) }),
    };
    const [outcome] = await Promise.allSettled([gather(items, (item) => item, mode)]);
    expect(outcome).toStrictEqual(rejected(undefined));
    const stream = gatherStream(items, (item) => item, mode);
    expect(await Promise.allSettled([stream.next()])).toStrictEqual([rejected(undefined)]);
  });

  test('the first rejection in time ends a stream, though outcomes before it are still to come', async () => {
    const { mapper, call } = manualMapper<string>();
    const stream = gatherStream(['a', 'b'], mapper);
    const first = stream.next();
    const state = watch(first);
    await quiet();
    call(1).reject('b failed');
    await quiet();
    expect(call(0).signal.reason).toBe('b failed');
    expect(state.settled).toBe(false);
    call(0).resolve('A');
    await expect(first).rejects.toBe('b failed');
  });

  test('every item has its place in the outcomes, whatever its value', async () => {
    const values = [1, undefined, 2, null, Symbol.for('skip')];
    expect(await gather(values, (value) => value)).toStrictEqual(values);
    expect(await collect(gatherStream(values, (value) => value))).toStrictEqual(values.map(fulfilled));
  });

  test('an item that comes after the consumer has stopped is not mapped', async () => {
    const late = Promise.withResolvers<void>();
    const mapper = vi.fn((item: number) => item);
    const items = async function* () {
      yield 0;
      await late.promise;
      yield 1;
    };
    for await (const outcome of gatherStream(items(), mapper)) {
      expect(outcome).toStrictEqual(fulfilled(0));
      break;
    }
    late.resolve();
    await quiet();
    expect(mapper.mock.calls.map(([item]) => item)).toStrictEqual([0]);
  });
});
