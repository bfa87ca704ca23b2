import { describe, expect, test, vi } from 'vitest';
import { gather } from '../../../src/gather.ts';
import {
  countedItems,
  manualMapper,
  modes,
  quiet,
  rejected,
  unhandledRejectionsIn,
  watch,
} from '../../support/manual-mapper.ts';

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
