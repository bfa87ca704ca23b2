import { describe, expect, test, vi } from 'vitest';
import { type GatherStreamOptions, gather, gatherStream, type Items } from '../../../src/gather.ts';
import { collect, fulfilled } from '../../support/manual-mapper.ts';

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
