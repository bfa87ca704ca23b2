import { describe, expect, test, vi } from 'vitest';
import { gather } from '../../../src/gather.ts';
import {
  countedItems,
  fulfilled,
  manualMapper,
  modes,
  quiet,
  rejected,
  unhandledRejectionsIn,
  watch,
} from '../../support/manual-mapper.ts';

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

  test('aborts the others through the signal they share, and is waited with until they have settled', async () => {
    const { mapper, call, calls } = manualMapper<string>();
    const gathering = gather(['a', 'b', 'c', 'd'], mapper);
    const state = watch(gathering);
    await quiet();
    call(3).resolve('d');
    await quiet();
    const error = new Error('b failed');
    call(1).reject(error);
    await quiet();
    expect(calls.map(({ signal }) => signal.aborted)).toStrictEqual([true, true, true, true]);
    for (const { signal } of calls) expect(signal.reason).toBe(error);
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
    expect(calls.map(({ signal }) => [signal.aborted, signal.reason])).toStrictEqual(
      Array.from({ length: 4 }, () => [true, reason]),
    );
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
