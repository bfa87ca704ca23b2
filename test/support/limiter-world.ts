import { Limiter, type LimiterPorts, type LimiterSettings } from '../../src/fetch/politeness/limiter.ts';
import { FakeClock } from './fake-clock.ts';

export type LimiterGiven = Partial<LimiterSettings & LimiterPorts & { readonly deadlineMs: number }>;

/** When requests through the limiter must have ended, unless a test says otherwise. */
export const DEADLINE_MS = 60_000;

/** A limiter that does not adapt, has no rate, and lets 10 requests be in flight, but for what is given. */
export function limiterWith(given: LimiterGiven = {}) {
  const clock = new FakeClock();
  const all = {
    clock,
    random: () => 0.5,
    concurrency: 10,
    adaptive: false,
    ratePerSecond: Infinity,
    deadlineMs: DEADLINE_MS,
    ...given,
  };
  return { clock, limiter: new Limiter(all, all, all.deadlineMs) };
}
