import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { gather, type Items } from '../../../src/gather.ts';
import {
  countedItems,
  fulfilled,
  generate,
  generateAsync,
  manualMapper,
  quiet,
  rejected,
} from '../../support/manual-mapper.ts';

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
