import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Feedback } from '../../../../src/fetch/politeness/concurrency-limit.ts';
import type { Slot } from '../../../../src/fetch/politeness/limiter.ts';
import { type LimiterGiven, limiterWith } from '../../../support/limiter-world.ts';

/** A request of the properties below: when it is asked for, how it ends, and what it asks for then. */
interface Plan {
  readonly askedMs: number;
  readonly isUrgent: boolean;
  readonly lastsMs: number;
  readonly feedback: Feedback;
  readonly pauseMs: number;
  readonly abortedMs: number;
}

const feedbacks = fc.constantFrom<Feedback[]>(
  'answered',
  'answered',
  'throttled',
  'overloaded',
  'timed-out',
  'unknown',
);
const plans = (pauses: fc.Arbitrary<number>): fc.Arbitrary<Plan[]> =>
  fc.array(
    fc.record({
      askedMs: fc.integer({ min: 0, max: 3_000 }),
      isUrgent: fc.boolean(),
      lastsMs: fc.integer({ min: 0, max: 1_500 }),
      feedback: feedbacks,
      pauseMs: pauses,
      abortedMs: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 3_000 })),
    }),
    { maxLength: 40 },
  );
const options = fc.record({
  concurrency: fc.integer({ min: 1, max: 15 }),
  adaptive: fc.boolean(),
  ratePerSecond: fc.oneof(
    fc.constantFrom(Infinity, 0.5, 1, 1_000),
    fc.double({ min: 0.001, max: 100, noNaN: true }),
  ),
  deadlineMs: fc.double({ min: 0, max: 20_000, noNaN: true }),
  learned: fc.record({
    perSecond: fc.option(fc.double({ min: 0.001, max: 100, noNaN: true })),
    inFlight: fc.constant(null),
    told: fc.constant(null),
  }),
});

/** Carries out the plans, and resolves when each has ended, with what was seen. */
async function carryOut(given: LimiterGiven, plans: readonly Plan[], random: () => number) {
  const { clock, limiter } = limiterWith({ ...given, random });
  const seen = {
    startsMs: [] as number[],
    startsInPause: 0,
    inFlight: 0,
    mostInFlight: 0,
    outcomes: { started: 0, refused: 0, aborted: 0 },
    lastMs: 0,
    limits: [] as number[],
  };
  const signals: AbortSignal[] = [];
  const paused: { readonly fromMs: number; readonly untilMs: number }[] = [];
  const after = (ms: number) => new Promise<void>((resolve) => clock.after(ms, resolve));
  const request = async (plan: Plan): Promise<void> => {
    await after(plan.askedMs);
    const stopping = new AbortController();
    signals.push(stopping.signal);
    const cancel = plan.abortedMs > 0 ? clock.after(plan.abortedMs, () => stopping.abort()) : undefined;
    let slot: Slot | undefined;
    try {
      slot = await limiter.start(stopping.signal, plan.isUrgent);
    } catch {
      seen.outcomes.aborted += 1;
      return;
    } finally {
      cancel?.();
      seen.lastMs = clock.now();
    }
    if (slot === undefined) {
      seen.outcomes.refused += 1;
      return;
    }
    seen.outcomes.started += 1;
    seen.startsMs.push(clock.now());
    // What started in the same millisecond may have done so before.
    if (paused.some(({ fromMs, untilMs }) => fromMs < clock.now() && clock.now() < untilMs))
      seen.startsInPause += 1;
    seen.inFlight += 1;
    seen.mostInFlight = Math.max(seen.mostInFlight, seen.inFlight);
    await after(plan.lastsMs);
    if (plan.pauseMs > 0) {
      limiter.pause(plan.pauseMs);
      paused.push({ fromMs: clock.now(), untilMs: clock.now() + plan.pauseMs });
    }
    seen.inFlight -= 1;
    limiter.release(slot, plan.feedback);
    seen.limits.push(limiter.summary().concurrency.final);
  };
  await clock.runUntil(Promise.all(plans.map(request)));
  return { clock, limiter, signals, seen };
}

describe('for any requests, answers, pauses and aborts', () => {
  const pauses = fc.oneof(
    { weight: 4, arbitrary: fc.constant(0) },
    fc.integer({ min: 1, max: 4_000 }),
    fc.constant(Infinity),
  );
  const randoms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

  test('every start is given, refused or aborted, and nothing is left behind', async () => {
    await fc.assert(
      fc.asyncProperty(options, plans(pauses), randoms, async (given, plans, random) => {
        const { clock, limiter, signals, seen } = await carryOut(given, plans, () => random);
        const { started, refused, aborted } = seen.outcomes;
        expect(started + refused + aborted).toBe(plans.length);
        expect(seen.inFlight).toBe(0);
        expect(clock.pending).toBe(0);
        expect(signals.flatMap((signal) => getEventListeners(signal, 'abort'))).toStrictEqual([]);
        if (refused > 0) expect(limiter.end).toMatch(/^(deadline|rate-limited)$/);
        // What the next run starts from.
        const learned = Object.values(limiter.summary().learned);
        const unfit = learned.filter((figure) => figure !== null && !(figure > 0 && figure < Infinity));
        expect(unfit).toStrictEqual([]);
        // Nobody starts, or goes on waiting, past the deadline.
        const lastAskedMs = Math.max(0, ...plans.map(({ askedMs }) => askedMs));
        expect(seen.lastMs).toBeLessThanOrEqual(Math.max(given.deadlineMs, lastAskedMs));
        expect(Math.max(-1, ...seen.startsMs)).toBeLessThanOrEqual(given.deadlineMs - 1);
      }),
      { numRuns: 200 },
    );
  });

  test('never are more than the concurrency in flight, and no request starts in a pause', async () => {
    await fc.assert(
      fc.asyncProperty(options, plans(pauses), randoms, async (given, plans, random) => {
        const { concurrency, adaptive } = given;
        const { limiter, seen } = await carryOut({ ...given, deadlineMs: 1e6 }, plans, () => random);
        expect(seen.startsInPause).toBe(0);
        expect(seen.mostInFlight).toBeLessThanOrEqual(concurrency);
        const report = limiter.summary();
        // A slot that is given is noticed here a little later, when others may have been given back.
        expect(report.peakInFlight).toBeGreaterThanOrEqual(seen.mostInFlight);
        expect(report.peakInFlight).toBeLessThanOrEqual(concurrency);
        const first = adaptive ? Math.min(10, concurrency) : concurrency;
        const limits = [first, ...seen.limits];
        const { min, max, final } = report.concurrency;
        // A limit that adapts moves with the time as well, between two looks.
        expect(min).toBeLessThanOrEqual(Math.min(...limits));
        expect(max).toBeGreaterThanOrEqual(Math.max(...limits));
        expect(final).toBe(limiter.summary().concurrency.final);
        expect(final).toBeGreaterThanOrEqual(limits.at(-1) ?? first);
        expect(min).toBeGreaterThanOrEqual(adaptive ? 1 : concurrency);
        expect(max).toBeLessThanOrEqual(concurrency);
        expect(report.throttledMs).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 200 },
    );
  });

  test('in no span of time do more start than the rate gives, one token, and 10 ms’ worth', async () => {
    await fc.assert(
      fc.asyncProperty(options, plans(pauses), async (given, plans) => {
        const { seen } = await carryOut({ ...given, deadlineMs: 1e6 }, plans, () => 0);
        const { ratePerSecond } = given;
        const excess = seen.startsMs.flatMap((fromMs, first) =>
          seen.startsMs.slice(first).map((toMs, others) => {
            const allowed = 1 + (ratePerSecond * (toMs - fromMs + 10)) / 1_000;
            return others + 1 - allowed;
          }),
        );
        expect(Math.max(0, ...excess)).toBeLessThan(1e-6);
      }),
      { numRuns: 200 },
    );
  });
});
