import { describe, expect, expectTypeOf, test, vi } from 'vitest';
import { gather, type Items } from '../../../src/gather.ts';
import {
  fulfilled,
  generate,
  generateAsync,
  manualMapper,
  modes,
  quiet,
  rejected,
} from '../../support/manual-mapper.ts';

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
