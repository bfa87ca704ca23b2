/**
 * Makes a value of one item. While in flight it should stop, and reject, when `signal` aborts.
 *
 * `signal` is the same object for all calls of a gather. It aborts when the gather fails or is stopped, and never once
 * the gather has resolved or the stream has ended. So it may abort after a mapper has settled: what that resolved with
 * ends with the gather where it still hangs on `signal`, as the body of a `fetch` does that is yet to be read.
 *
 * Any number of mappers may listen to `signal` at once; Node has no warning for that. Each removes its listener when it
 * settles: with `once` alone it stays, and all that it holds, until the gather is over.
 */
export type Mapper<I, T> = (item: I, index: number, signal: AbortSignal) => T | PromiseLike<T>;

/** What `gather` takes: anything that `for await` takes. */
export type Items<I> = Iterable<I> | AsyncIterable<I>;

export interface GatherOptions {
  /** Most mappers in flight: an integer ≥ 1, or Infinity. @default Infinity */
  readonly concurrency?: number;
  /** Whether a rejection stands as an outcome in its place instead of ending the gather. @default false */
  readonly returnExceptions?: boolean;
  /** Ends the gather when it aborts, in both modes: the mappers in flight get the abort. */
  readonly signal?: AbortSignal;
}

export interface GatherStreamOptions<T> extends GatherOptions {
  /**
   * The reorder window: most items that have been started and not yet been taken by the consumer,
   * an integer ≥ 1, or Infinity. A full window holds back new mappers, never those in flight.
   * @default Infinity
   */
  readonly window?: number;
  /** The same bound in bytes of settled, not yet taken values, as `byteLength` counts them. @default Infinity */
  readonly windowBytes?: number;
  /**
   * The bytes that a settled outcome holds in the window, asked once an outcome: a finite number ≥ 0. What it throws,
   * or a RangeError for anything else, ends the stream in both modes. @default () => 0
   */
  readonly byteLength?: (outcome: PromiseSettledResult<T>) => number;
}

/**
 * Runs `mapper` over `items` concurrently and resolves with the outcomes in the order of the items,
 * whatever finished first, as Python's `asyncio.gather(*map(mapper, items))` does.
 *
 * `mapper` is called lazily and in order, with at most `concurrency` calls in flight. One that throws
 * synchronously rejects like any other; an Error that is *returned* is a value. Empty items give `[]`.
 *
 * - `returnExceptions: true` resolves with a `PromiseSettledResult` an item. A mapper that is cancelled on its
 *   own is an outcome like any other.
 * - Otherwise it resolves with the values. The first rejection in time aborts the other mappers through the
 *   `signal` they share, waits until those in flight have settled, and rejects with that identical reason; later
 *   rejections are dropped. (CPython's gather lets the siblings run on; this is what its TaskGroup does.)
 * - When `options.signal` aborts, the mappers in flight get the abort, and once they have settled, gather
 *   rejects with the signal's reason, also with `returnExceptions: true` (bpo-32684).
 * - When `items` throws, the mappers in flight are aborted and gather rejects with what it threw.
 *
 * Rejects with RangeError or TypeError, before any mapper is called, when an option is out of range.
 */
export function gather<I, T>(
  items: Items<I>,
  mapper: Mapper<I, T>,
  options: GatherOptions & { readonly returnExceptions: true },
): Promise<PromiseSettledResult<T>[]>;
export function gather<I, T>(
  items: Items<I>,
  mapper: Mapper<I, T>,
  options?: GatherOptions & { readonly returnExceptions?: false },
): Promise<T[]>;
export function gather<I, T>(
  items: Items<I>,
  mapper: Mapper<I, T>,
  options?: GatherOptions,
): Promise<PromiseSettledResult<T>[] | T[]>;
export async function gather<I, T>(
  items: Items<I>,
  mapper: Mapper<I, T>,
  options: GatherOptions = {},
): Promise<PromiseSettledResult<T>[] | T[]> {
  const outcomes: PromiseSettledResult<T>[] = [];
  const values: T[] = [];
  for await (const outcome of gatherStream(items, mapper, options)) {
    if (options.returnExceptions) outcomes.push(outcome);
    // The stream throws what is rejected in this mode.
    else values.push((outcome as PromiseFulfilledResult<T>).value);
  }
  return options.returnExceptions ? outcomes : values;
}

/**
 * `gather` as a stream: yields each outcome as soon as all before it have been yielded. Between the items that
 * are started and those that are taken lies a window, bounded in items and in bytes, so that memory does not
 * grow with the number of items, and a consumer that is slow holds the mappers back.
 *
 * Ends, fails and cancels as `gather` does (without `returnExceptions` every outcome is `fulfilled`). A consumer
 * that stops early (`break`, `return()`) aborts the mappers in flight and waits until they have settled. A `return()`
 * does so at once: a `next()` that is pending gives `done` then. A `throw()` waits for that `next()`, as in any async
 * generator. Items that never end need a window, or they are mapped ahead for ever.
 *
 * Throws RangeError or TypeError at once when an option is out of range.
 */
export function gatherStream<I, T>(
  items: Items<I>,
  mapper: Mapper<I, T>,
  options: GatherStreamOptions<T> = {},
): AsyncGenerator<PromiseSettledResult<T>, void, undefined> {
  const { concurrency = Infinity, window = Infinity, windowBytes = Infinity } = options;
  requireCount('concurrency', concurrency);
  requireCount('window', window);
  requireCount('windowBytes', windowBytes);
  if (typeof mapper !== 'function')
    throw new TypeError(`Expected mapper to be a function, got ${typeof mapper}`);
  return stream(iterate(items), mapper, { ...options, concurrency, window, windowBytes });
}

/** To take outcomes out of `settled` one by one would move all the others each time. */
const SETTLED_PER_SHIFT = 1_024;

type Limits = Required<Pick<GatherStreamOptions<unknown>, 'concurrency' | 'window' | 'windowBytes'>>;

function stream<I, T>(
  source: Iterator<I> | AsyncIterator<I>,
  mapper: Mapper<I, T>,
  options: GatherStreamOptions<T> & Limits,
): AsyncGenerator<PromiseSettledResult<T>, void, undefined> {
  const {
    concurrency,
    window,
    windowBytes,
    returnExceptions = false,
    signal,
    byteLength = () => 0,
  } = options;
  const stopping = new AbortController();
  /**
   * What has settled and is not taken, from index `settledFrom` on; undefined where it has not settled. A Map would
   * keep garbage alive: it moves to a new table every so often, and in V8 the old table leads to the new one, so that
   * an old table in the old generation makes all that was ever in a later one survive.
   */
  const settled: ({ readonly outcome: PromiseSettledResult<T>; readonly bytes: number } | undefined)[] = [];
  let settledFrom = 0;
  let settledBytes = 0;
  let started = 0;
  let inFlight = 0;
  let taken = 0;
  let pulling = false;
  let exhausted = false;
  let ending: { readonly reason: unknown; readonly isFailure: boolean } | undefined;
  let wake = (): void => {};

  const stop = (reason: unknown, isFailure = true): void => {
    if (ending) return;
    ending = { reason, isFailure };
    stopping.abort(reason);
    wake();
  };

  const stopEarly = (): void => {
    if (!exhausted || inFlight > 0) stop(new DOMException('The consumer stopped early', 'AbortError'), false);
  };

  const settle = (index: number, outcome: PromiseSettledResult<T>): void => {
    inFlight -= 1;
    if (!ending) {
      if (outcome.status === 'rejected' && !returnExceptions) stop(outcome.reason);
      else hold(index, outcome);
    }
    if (index === taken || ending) wake();
  };

  const hold = (index: number, outcome: PromiseSettledResult<T>): void => {
    try {
      const bytes = byteLength(outcome);
      // One NaN in the sum would hold back every later mapper for ever.
      if (!(Number.isFinite(bytes) && bytes >= 0))
        throw new RangeError(`Expected byteLength to return a finite number >= 0, got ${String(bytes)}`);
      settled[index - settledFrom] = { outcome, bytes };
      settledBytes += bytes;
    } catch (error) {
      stop(error);
    }
  };

  const start = (item: I): void => {
    const index = started++;
    inFlight += 1;
    settled.push(undefined);
    const fulfill = (value: T): void => {
      settle(index, { status: 'fulfilled', value });
      fill();
    };
    const reject = (reason: unknown): void => {
      settle(index, { status: 'rejected', reason });
      fill();
    };
    try {
      const result = mapper(item, index, stopping.signal);
      if (isThenable(result)) Promise.resolve(result).then(fulfill, reject);
      else settle(index, { status: 'fulfilled', value: result });
    } catch (reason) {
      settle(index, { status: 'rejected', reason });
    }
  };

  const receive = (result: IteratorResult<I>): void => {
    // Not a tick earlier: until the item is started, the limits don't count it yet.
    pulling = false;
    // What is not an object is never done.
    if (Object(result) !== result)
      throw new TypeError(`Expected \`next\` of the items to give an object, got ${String(result)}`);
    if (result.done) {
      exhausted = true;
      wake();
    } else if (!ending) start(result.value);
  };

  const fail = (error: unknown): void => {
    exhausted = true;
    stop(error);
  };

  const fill = (): void => {
    try {
      while (
        !(pulling || exhausted || ending) &&
        inFlight < concurrency &&
        started - taken < window &&
        settledBytes < windowBytes
      ) {
        const next = source.next();
        if (!isThenable(next)) receive(next);
        else {
          pulling = true;
          Promise.resolve(next).then(receive).then(fill, fail);
        }
      }
    } catch (error) {
      fail(error);
    }
  };

  const onAbort = (): void => stop(signal?.reason);

  async function* yieldInOrder(): AsyncGenerator<PromiseSettledResult<T>, void, undefined> {
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) onAbort();
    try {
      while (!ending) {
        fill();
        const head = settled[taken - settledFrom];
        if (ending) break;
        if (head) {
          settled[taken - settledFrom] = undefined;
          settledBytes -= head.bytes;
          taken += 1;
          if (taken - settledFrom === SETTLED_PER_SHIFT) {
            settled.splice(0, SETTLED_PER_SHIFT);
            settledFrom = taken;
          }
          yield head.outcome;
        } else if (exhausted && taken === started) return;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    } finally {
      // Reached with mappers in flight after a failure, an abort, or a consumer that stopped early.
      signal?.removeEventListener('abort', onAbort);
      stopEarly();
      while (inFlight > 0)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      if (!exhausted) await close(source, pulling);
    }
    if (ending.isFailure) throw ending.reason;
  }

  const outcomes = yieldInOrder();
  // By itself, a generator hears of a `return` after the `next` that is pending.
  const finish = outcomes.return.bind(outcomes);
  outcomes.return = (value) => {
    stopEarly();
    return finish(value);
  };
  return outcomes;
}

/** Lets the items clean up, as `for await` does; what that throws gives way to the reason for stopping. */
async function close(source: Iterator<unknown> | AsyncIterator<unknown>, pulling: boolean): Promise<void> {
  const closed = (async () => source.return?.())().catch(() => {});
  // An async generator answers `return` after the `next` that is pending, which may be never.
  if (!pulling) await closed;
}

function iterate<I>(items: Items<I>): Iterator<I> | AsyncIterator<I> {
  // An untyped caller may pass anything. As for `for await`, a method that is null is none.
  const either = items as Partial<AsyncIterable<I> & Iterable<I>> | null | undefined;
  const iterator = either?.[Symbol.asyncIterator]?.() ?? either?.[Symbol.iterator]?.();
  if (iterator) return iterator;
  throw new TypeError(`Expected items to be iterable or async iterable, got ${String(items)}`);
}

function requireCount(name: string, value: number): void {
  if (value !== Infinity && !(Number.isInteger(value) && value >= 1))
    throw new RangeError(`Expected ${name} to be an integer >= 1 or Infinity, got ${String(value)}`);
}

function isThenable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as PromiseLike<T> | null | undefined)?.then === 'function';
}
