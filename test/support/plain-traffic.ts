import { expect } from 'vitest';
import type { TrafficSummary } from '../../src/fetch/fetching.ts';
import type { Learned } from '../../src/fetch/politeness/learned.ts';

/** Settings for tests of something else: the origin takes all that `concurrency` lets through, retries never end, and what comes of it is one document. */
export const plainTraffic = {
  adaptive: false,
  ratePerSecond: Infinity,
  retryBudgetPercent: 1_900,
  hedge: false,
  output: 'json',
} as const;

/** What a run learns of an origin that turns nothing away. */
export const nothingLearned: Learned = { perSecond: null, inFlight: null, told: null };

/** What a run reports of traffic that met no obstacle: most at once, of so many allowed, and the retries that it may make. */
export function plainReport(peakInFlight: number, concurrency: number, retryBudget: number): TrafficSummary {
  return {
    throttledMs: 0,
    pauses: [],
    peakInFlight,
    concurrency: { min: concurrency, max: concurrency, final: concurrency },
    learned: nothingLearned,
    retries: 0,
    retryBudgetLeft: retryBudget,
    hedges: 0,
    hedgesWon: 0,
  };
}

const anyNumber = expect.any(Number);
const anyNumberOrNull = expect.toBeOneOf([anyNumber, null]);
/** What a run reports of traffic that is not a test's matter: as many retries as attempts after the first. */
export const anyTraffic = (retries = 0) => ({
  throttledMs: anyNumber,
  pauses: expect.any(Array),
  peakInFlight: anyNumber,
  concurrency: { min: anyNumber, max: anyNumber, final: anyNumber },
  learned: { perSecond: anyNumberOrNull, inFlight: anyNumberOrNull, told: anyNumberOrNull },
  retries,
  retryBudgetLeft: anyNumber,
  hedges: 0,
  hedgesWon: 0,
});
