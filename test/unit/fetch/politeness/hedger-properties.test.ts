import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AttemptResult } from '../../../../src/fetch/origin/attempt.ts';
import type { Send } from '../../../../src/fetch/politeness/hedger.ts';
import { GOOD, hedgerWith, response } from '../../../support/hedger-world.ts';
import { unhandledRejectionsIn } from '../../../support/manual-mapper.ts';

describe('for any latencies, answers, concurrency and aborts', () => {
  const results = fc.constantFrom<AttemptResult[]>(GOOD, GOOD, GOOD, response(404), response(500), {
    kind: 'timed-out',
  });
  const courses = fc.record({
    // Few are late, as a rule.
    lastsMs: fc.oneof(
      { weight: 9, arbitrary: fc.integer({ min: 0, max: 100 }) },
      fc.integer({ min: 0, max: 3_000 }),
    ),
    result: results,
  });
  const posts = fc.array(
    fc.record({
      askedMs: fc.integer({ min: 0, max: 4_000 }),
      courses: fc.tuple(courses, courses, courses),
      abortedMs: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 4_000 })),
    }),
    { minLength: 30, maxLength: 120 },
  );

  test('hedges are at most 5 % of attempts, and 10 while no post waits; and all that was taken is given back', async () => {
    let hedges = 0;
    let beyond = 0;
    const limits = fc.record({
      concurrency: fc.integer({ min: 1, max: 60 }),
      ratePerSecond: fc.constantFrom(Infinity, Infinity, 50, 500),
    });
    await fc.assert(
      fc.asyncProperty(posts, limits, async (posts, { concurrency, ratePerSecond }) => {
        const world = hedgerWith({ concurrency, ratePerSecond });
        const { clock, hedger, limiter } = world;
        const signals: AbortSignal[] = [];
        const waiting = new Set<AbortSignal>();
        const tooMany: string[] = [];
        let attempted = 0;
        let hedged = 0;
        const note = async (): Promise<void> => {
          const [sent, share] = [hedged, 0.05 * attempted];
          if (sent > share + 10) tooMany.push(`${sent} of ${attempted}`);
          if (sent <= share) return;
          beyond += 1;
          const waited = [...waiting];
          // Posts that have their slot, but do not know yet, wait no more.
          for (let i = 0; i < 10; i++) await undefined;
          if (waited.some((signal) => waiting.has(signal))) tooMany.push(`${sent} of ${attempted}, busy`);
        };
        const one = async ({ askedMs, courses, abortedMs }: (typeof posts)[number]) => {
          await new Promise<void>((resolve) => clock.after(askedMs, resolve));
          const stopping = new AbortController();
          const { signal } = stopping;
          signals.push(signal);
          const cancel = abortedMs > 0 ? clock.after(abortedMs, () => stopping.abort()) : undefined;
          const { sent, send } = world.sending(...courses);
          const counted: Send = (slot, signal, onOtherConnection) => {
            if (onOtherConnection) {
              hedged += 1;
              void note();
            } else attempted += 1;
            return send(slot, signal, onOtherConnection);
          };
          try {
            waiting.add(signal);
            const slot = await limiter.start(signal);
            waiting.delete(signal);
            if (slot === undefined) throw new Error('Expected a slot');
            const made = await hedger.attempt(slot, counted, signal);
            expect(made.hedged).toBe(sent.length > 1);
            expect(sent.length).toBeLessThanOrEqual(3);
          } catch (error) {
            expect(error).toBe(signal.reason);
          } finally {
            waiting.delete(signal);
            cancel?.();
          }
        };
        const unhandled = await unhandledRejectionsIn(async () => {
          await clock.runUntil(Promise.all(posts.map(one)));
        });
        expect([unhandled, tooMany]).toStrictEqual([[], []]);
        const { hedges: counted, hedgesWon } = hedger.summary();
        expect(counted).toBe(hedged);
        expect(hedgesWon).toBeLessThanOrEqual(hedged);
        await world.move(1_000);
        expect([clock.pending, world.inFlight]).toStrictEqual([0, 0]);
        if (ratePerSecond === Infinity) expect(world.free()).toBe(concurrency);
        expect(signals.flatMap((signal) => getEventListeners(signal, 'abort'))).toStrictEqual([]);
        hedges += hedged;
      }),
      { numRuns: 60 },
    );
    // Or nothing of this was seen.
    expect(Math.min(hedges, beyond)).toBeGreaterThan(0);
  });
});
