import { setImmediate } from 'node:timers/promises';

export interface Call<I, T> {
  readonly item: I;
  readonly index: number;
  readonly signal: AbortSignal;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

/** A mapper whose calls settle only when a test says so. */
export function manualMapper<I, T = I>() {
  const calls: Call<I, T>[] = [];
  const mapper = (item: I, index: number, signal: AbortSignal): Promise<T> => {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    calls.push({ item, index, signal, resolve, reject });
    return promise;
  };
  const call = (index: number): Call<I, T> => {
    const found = calls[index];
    if (!found) throw new Error(`Expected ${index + 1} calls, got ${calls.length}`);
    return found;
  };
  return { calls, mapper, call, items: () => calls.map(({ item }) => item) };
}

/** Resolves once every promise that can move on without the test has done so. */
export async function quiet(): Promise<void> {
  await setImmediate();
}

/** Whether a promise has settled, kept up to date. */
export function watch(promise: Promise<unknown>): { readonly settled: boolean } {
  const state = { settled: false };
  const settle = (): void => {
    state.settled = true;
  };
  promise.then(settle, settle);
  return state;
}

/** Runs `body`, and resolves with the reasons of the rejections that nobody had handled. */
export async function unhandledRejectionsIn(body: () => Promise<void>): Promise<unknown[]> {
  const reasons: unknown[] = [];
  const listener = (reason: unknown): void => {
    reasons.push(reason);
  };
  process.on('unhandledRejection', listener);
  try {
    await body();
    // Node reports them when the microtasks are done.
    await quiet();
  } finally {
    process.off('unhandledRejection', listener);
  }
  return reasons;
}

/** An iterable, sync or async, that counts what is asked of its iterator. */
export function countedItems<I>(items: readonly I[], kind: 'sync' | 'async') {
  const counts = { next: 0, return: 0 };
  let index = 0;
  const next = (): IteratorResult<I, undefined> => {
    counts.next += 1;
    // Always in range where it is read: the check stands before it.
    return index < items.length
      ? { done: false, value: items[index++] as I }
      : { done: true, value: undefined };
  };
  const close = (): IteratorResult<I, undefined> => {
    counts.return += 1;
    return { done: true, value: undefined };
  };
  const source: Iterable<I> | AsyncIterable<I> =
    kind === 'sync'
      ? { [Symbol.iterator]: () => ({ next, return: close }) }
      : { [Symbol.asyncIterator]: () => ({ next: async () => next(), return: async () => close() }) };
  return { source, counts };
}

/** All that a stream yields. */
export async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of stream) all.push(each);
  return all;
}

/** Items that a generator makes. */
export function* generate<I>(items: readonly I[]): Generator<I> {
  yield* items;
}

/** Items that an async generator makes, each in a turn of its own. */
export async function* generateAsync<I>(items: readonly I[]): AsyncGenerator<I> {
  for (const item of items) {
    await quiet();
    yield item;
  }
}

/** Both modes of gather. */
export const modes = [{ returnExceptions: false }, { returnExceptions: true }] as const;

export const fulfilled = <T>(value: T): PromiseSettledResult<T> => ({ status: 'fulfilled', value });
export const rejected = (reason: unknown): PromiseRejectedResult => ({ status: 'rejected', reason });
