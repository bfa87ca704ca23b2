import { describe, expect, test, vi } from 'vitest';
import { gatherStream, type Items } from '../../../src/gather.ts';
import {
  collect,
  countedItems,
  fulfilled,
  manualMapper,
  quiet,
  rejected,
  watch,
} from '../../support/manual-mapper.ts';

const yields = <T>(value: T) => ({ done: false, value: fulfilled(value) });
const end = { done: true, value: undefined };

function* naturals(): Generator<number> {
  for (let number = 0; ; number++) yield number;
}

async function* naturalsAsync(): AsyncGenerator<number> {
  yield* naturals();
}

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
