import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { gather, gatherStream, type Items } from '../../../src/gather.ts';

/** How a mapper's call ends: at once, or when the scheduler comes to it. */
type Ending = 'value' | 'error' | 'plain value' | 'throws';

interface Setup {
  readonly endings: readonly Ending[];
  readonly concurrency: number;
  readonly asyncItems: boolean;
}

const limits = fc.oneof(fc.integer({ min: 1, max: 5 }), fc.constant(Infinity));
const setups: fc.Arbitrary<Setup> = fc.record({
  endings: fc.array(fc.constantFrom<Ending[]>('value', 'value', 'error', 'plain value', 'throws'), {
    maxLength: 9,
  }),
  concurrency: limits,
  asyncItems: fc.boolean(),
});
const successes = setups.map((setup) => ({
  ...setup,
  endings: setup.endings.map((ending) =>
    ending === 'error' ? 'value' : ending === 'throws' ? 'plain value' : ending,
  ),
}));

const isRejection = (ending: Ending): boolean => ending === 'error' || ending === 'throws';
const modelOf = ({ endings }: Setup): PromiseSettledResult<number>[] =>
  endings.map((ending, index) =>
    isRejection(ending)
      ? { status: 'rejected', reason: `${index} failed` }
      : { status: 'fulfilled', value: index },
  );

/** A mapper whose calls end when the scheduler says so, and a record of what happened. */
function scheduled(scheduler: fc.Scheduler, { endings, asyncItems }: Setup, onStart = () => {}) {
  const record = {
    started: 0,
    inFlight: 0,
    mostInFlight: 0,
    order: [] as number[],
    aborted: [] as unknown[],
  };
  const rejections: string[] = [];
  const mapper = (ending: Ending, index: number, signal: AbortSignal): number | Promise<number> => {
    record.started += 1;
    record.order.push(index);
    onStart();
    const reject = (): never => {
      rejections.push(`${index} failed`);
      throw `${index} failed`;
    };
    if (ending === 'throws') reject();
    if (ending === 'plain value') return index;
    record.inFlight += 1;
    record.mostInFlight = Math.max(record.mostInFlight, record.inFlight);
    const onAbort = (): void => void record.aborted.push(signal.reason);
    signal.addEventListener('abort', onAbort);
    return (async () => {
      await scheduler.schedule(Promise.resolve(), `${index} ends with ${ending}`);
      signal.removeEventListener('abort', onAbort);
      record.inFlight -= 1;
      return ending === 'error' ? reject() : index;
    })();
  };
  const items: Items<Ending> = asyncItems
    ? (async function* () {
        for (const [index, ending] of endings.entries()) {
          await scheduler.schedule(Promise.resolve(), `item ${index}`);
          yield ending;
        }
      })()
    : endings;
  return { items, mapper, record, rejections };
}

const settle = async <T>(promise: Promise<T>): Promise<PromiseSettledResult<T>> => {
  const [outcome] = await Promise.allSettled([promise]);
  return outcome;
};

describe('for any items, outcomes, order of completion and concurrency', () => {
  test('with returnExceptions, the outcomes are those of the mapper in the order of the items', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), setups, async (scheduler, setup) => {
        const { items, mapper, record } = scheduled(scheduler, setup);
        const { concurrency } = setup;
        const gathering = gather(items, mapper, { concurrency, returnExceptions: true });
        expect(await scheduler.waitFor(gathering)).toStrictEqual(modelOf(setup));
        expect(record.order).toStrictEqual(setup.endings.map((_, index) => index));
        expect(record.mostInFlight).toBeLessThanOrEqual(concurrency);
        expect([record.inFlight, record.aborted]).toStrictEqual([0, []]);
      }),
      { numRuns: 500 },
    );
  });

  test('in default mode, gather gives all values, or rejects with the first rejection in time', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), setups, async (scheduler, setup) => {
        const { items, mapper, record, rejections } = scheduled(scheduler, setup);
        const { concurrency } = setup;
        const outcome = await scheduler.waitFor(settle(gather(items, mapper, { concurrency })));
        expect(outcome).toStrictEqual(
          setup.endings.some(isRejection)
            ? { status: 'rejected', reason: rejections[0] }
            : { status: 'fulfilled', value: setup.endings.map((_, index) => index) },
        );
        // Those in flight had been waited for, and those that were aborted know why.
        expect(record.inFlight).toBe(0);
        expect(record.mostInFlight).toBeLessThanOrEqual(concurrency);
        expect(new Set(record.aborted).difference(new Set([rejections[0]]))).toStrictEqual(new Set());
        const { started } = record;
        await scheduler.waitIdle();
        expect(record.started).toBe(started);
      }),
      { numRuns: 500 },
    );
  });

  test('an outer abort at any point rejects with its reason, unless a rejection came first', async () => {
    let aborts = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        setups,
        fc.boolean(),
        fc.integer({ min: 0, max: 9 }),
        async (scheduler, setup, returnExceptions, steps) => {
          const stopping = new AbortController();
          const { items, mapper, record, rejections } = scheduled(scheduler, setup);
          const { concurrency } = setup;
          const gathering = settle<unknown>(
            gather(items, mapper, { concurrency, returnExceptions, signal: stopping.signal }),
          );
          let settled = false;
          void gathering.then(() => {
            settled = true;
          });
          for (let step = 0; step < steps && scheduler.count() > 0; step++) await scheduler.waitNext(1);
          await scheduler.waitNext(0);
          await new Promise(setImmediate);
          const rejectedBefore = !returnExceptions && rejections.length > 0;
          const expectAbort = !settled && !rejectedBefore;
          stopping.abort('stopped');
          const startedBefore = record.started;
          const outcome = await scheduler.waitFor(gathering);
          if (expectAbort) {
            aborts += 1;
            expect(outcome).toStrictEqual({ status: 'rejected', reason: 'stopped' });
            expect(record.started).toBe(startedBefore);
          } else if (rejectedBefore)
            expect(outcome).toStrictEqual({ status: 'rejected', reason: rejections[0] });
          else expect(outcome.status).toBe('fulfilled');
          expect(record.inFlight).toBe(0);
          await scheduler.waitIdle();
        },
      ),
      { numRuns: 500 },
    );
    expect(aborts).toBeGreaterThan(0);
  });
});

describe('for any window and pace of the consumer', () => {
  test('no mapper starts beyond the window, and the outcomes come whole and in order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), setups, limits, async (scheduler, setup, window) => {
        let asked = 0;
        const { concurrency } = setup;
        const { items, mapper, record } = scheduled(scheduler, setup, () => {
          // An outcome is taken when it is yielded, so never before it was asked for.
          expect(record.started).toBeLessThanOrEqual(asked + window);
        });
        const stream = gatherStream(items, mapper, { concurrency, window, returnExceptions: true });
        const consume = async () => {
          const outcomes: PromiseSettledResult<number>[] = [];
          for (;;) {
            asked += 1;
            const { done, value } = await stream.next();
            if (done) return outcomes;
            outcomes.push(value);
            await scheduler.schedule(Promise.resolve(), `consumed ${outcomes.length}`);
          }
        };
        expect(await scheduler.waitFor(consume())).toStrictEqual(modelOf(setup));
        expect(record.mostInFlight).toBeLessThanOrEqual(Math.min(concurrency, window));
      }),
      { numRuns: 500 },
    );
  });

  test('no mapper starts while the bytes of the window are full', async () => {
    const sync = setups.map((setup) => ({ ...setup, asyncItems: false }));
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), sync, limits, async (scheduler, setup, windowBytes) => {
        let asked = 0;
        let settled = 0;
        const { concurrency } = setup;
        const { items, mapper } = scheduled(scheduler, setup, () => {
          expect(settled - asked).toBeLessThan(windowBytes);
        });
        const byteLength = (): number => {
          settled += 1;
          return 1;
        };
        const options = { concurrency, windowBytes, byteLength, returnExceptions: true };
        const stream = gatherStream(items, mapper, options);
        const consume = async () => {
          const outcomes: PromiseSettledResult<number>[] = [];
          for (;;) {
            asked += 1;
            const { done, value } = await stream.next();
            if (done) return outcomes;
            outcomes.push(value);
            await scheduler.schedule(Promise.resolve(), `consumed ${outcomes.length}`);
          }
        };
        expect(await scheduler.waitFor(consume())).toStrictEqual(modelOf(setup));
      }),
      { numRuns: 500 },
    );
  });

  test('a consumer that stops after any outcome leaves nothing in flight, and starts nothing more', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        successes,
        limits,
        fc.nat({ max: 9 }),
        async (scheduler, setup, window, stopAfter) => {
          const { items, mapper, record } = scheduled(scheduler, setup);
          const consume = async () => {
            const outcomes: PromiseSettledResult<number>[] = [];
            for await (const outcome of gatherStream(items, mapper, {
              concurrency: setup.concurrency,
              window,
            })) {
              outcomes.push(outcome);
              if (outcomes.length > stopAfter) break;
            }
            return outcomes;
          };
          const outcomes = await scheduler.waitFor(consume());
          expect(outcomes).toStrictEqual(modelOf(setup).slice(0, stopAfter + 1));
          expect(record.inFlight).toBe(0);
          const { started } = record;
          await scheduler.waitIdle();
          expect(record.started).toBe(started);
        },
      ),
      { numRuns: 500 },
    );
  });
});
