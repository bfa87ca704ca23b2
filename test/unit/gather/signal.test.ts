import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { gather } from '../../../src/gather.ts';
import { manualMapper, modes, quiet } from '../../support/manual-mapper.ts';

const thousand = Array.from({ length: 1_000 }, (_, index) => index);

describe.each(modes)('the signal that mappers are handed, in mode %o', (mode) => {
  test('is one for all calls, another for each gather, and none that the caller gave', async () => {
    const { signal: outer } = new AbortController();
    const signals = new Set([outer]);
    const mapper = (_item: number, _index: number, signal: AbortSignal) => {
      signals.add(signal);
    };
    const options = { ...mode, signal: outer };
    await Promise.all([gather([1, 2, 3], mapper, options), gather([4, 5, 6], mapper, options)]);
    expect(signals.size).toBe(3);
  });

  test('never aborts once gather has resolved', async () => {
    const { mapper, call } = manualMapper<number>();
    const stopping = new AbortController();
    const gathering = gather<number, number>([1], mapper, { ...mode, signal: stopping.signal });
    await quiet();
    call(0).resolve(1);
    await gathering;
    stopping.abort('too late');
    expect(call(0).signal.aborted).toBe(false);
  });

  test('aborts for mappers that have settled too: each listener is called once, in the order of the calls', async () => {
    const { mapper, call } = manualMapper<number>();
    const stopping = new AbortController();
    const heard: [number, unknown][] = [];
    const gathering = gather<number, number>(
      [1, 2, 3],
      (item, index, signal) => {
        signal.addEventListener('abort', () => heard.push([index, signal.reason]));
        return mapper(item, index, signal);
      },
      { ...mode, signal: stopping.signal },
    );
    await quiet();
    call(1).resolve(2);
    await quiet();
    stopping.abort('stopped');
    call(0).reject('failed');
    call(2).resolve(3);
    await expect(gathering).rejects.toBe('stopped');
    expect(heard).toStrictEqual([
      [0, 'stopped'],
      [1, 'stopped'],
      [2, 'stopped'],
    ]);
  });

  test('may have a thousand mappers listening at once, without a warning', async () => {
    const { mapper, calls } = manualMapper<number>();
    const warnings = await warningsIn(async () => {
      const gathering = gather<number, number>(
        thousand,
        (item, index, signal) => {
          signal.addEventListener('abort', () => {}, { once: true });
          return mapper(item, index, signal);
        },
        mode,
      );
      await quiet();
      for (const { item, resolve } of calls) resolve(item);
      await gathering;
    });
    expect([calls.length, warnings]).toStrictEqual([1_000, []]);
  });

  test('has no listener of gather, however many mappers are in flight', async () => {
    const counts = new Set<number>();
    await gather(
      thousand,
      async (_item, _index, signal) => {
        await quiet();
        counts.add(getEventListeners(signal, 'abort').length);
      },
      { ...mode, concurrency: 100 },
    );
    expect(counts).toStrictEqual(new Set([0]));
  });
});

/** Runs `body`, and resolves with the warnings of the process meanwhile. */
async function warningsIn(body: () => Promise<void>): Promise<Error[]> {
  const warnings: Error[] = [];
  const listener = (warning: Error): void => {
    warnings.push(warning);
  };
  process.on('warning', listener);
  try {
    await body();
    // Node emits them in a later turn.
    await quiet();
  } finally {
    process.off('warning', listener);
  }
  return warnings;
}
