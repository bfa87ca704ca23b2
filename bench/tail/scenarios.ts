import { drawLatencies, listSchedule, logNormal, uniform } from '../support/latency.ts';
import { atRandom, fixedWindow, hangsBeyond, mostInFlight, open, tokenBucket } from './origin.ts';
import { CONCURRENCY, type Contender, type Simulated, simulate } from './run.ts';

/** What CHANGELOG and README promise of the tail: makespans as multiples, shares from 0 to 1. */
export const TARGETS = {
  /** Of the list schedule, at fixed concurrency, where nothing stalls. */
  overIdeal: 1.05,
  /** Of the same batch without stalls, with stalls and hedging. */
  overNoStalls: 1.3,
  extraRequests: 0.05,
  /** Of the rate above which an origin throttles. */
  rate: 0.9,
  throttled: 0.02,
} as const;

const MEDIAN_MS = 50;
const STALLS = { share: 0.02, stallMs: 40 * MEDIAN_MS };

export const DISTRIBUTIONS = {
  uniform: uniform(MEDIAN_MS / 2, MEDIAN_MS * 1.5),
  'log-normal': logNormal(MEDIAN_MS, 0.5),
} as const;

export interface Batch {
  readonly posts: number;
  readonly distribution: keyof typeof DISTRIBUTIONS;
  readonly seed: number;
}

/** The latencies of a batch with 2 % stalls of 40 times the median, or of the same without. */
function latencies({ distribution, seed }: Batch, stalls: boolean) {
  return drawLatencies(seed, DISTRIBUTIONS[distribution], stalls ? STALLS : undefined);
}

export function fetchBatch(batch: Batch, stalls: boolean, contender: Contender): Promise<Simulated> {
  return simulate(contender, { posts: batch.posts, latencyMs: latencies(batch, stalls), seed: batch.seed });
}

/** When the posts of a batch end in the list schedule, in time: what no code of ours can cost less than. */
export function idealCompletedMs(batch: Batch, stalls: boolean): number[] {
  const latencyMs = latencies(batch, stalls);
  const latenciesMs = Array.from({ length: batch.posts }, (_, post) => latencyMs(post, 0));
  return listSchedule(latenciesMs, CONCURRENCY).sort((a, b) => a - b);
}

export function idealMs(batch: Batch, stalls: boolean): number {
  return idealCompletedMs(batch, stalls).at(-1) as number;
}

/** Requests beyond those that the posts and their retries need, as a share of these. */
export function extraRequests({ requests, report }: Simulated): number {
  return report.hedges / (requests.length - report.hedges);
}

export const RATE_PER_SECOND = 100;

export const THROTTLING = {
  'token bucket': tokenBucket(RATE_PER_SECOND, 10),
  'token bucket, Retry-After: 1': tokenBucket(RATE_PER_SECOND, 10, '1'),
  'fixed window': fixedWindow(RATE_PER_SECOND),
  'fixed window, Retry-After: 1': fixedWindow(RATE_PER_SECOND, '1'),
} as const;

/** Origins that limit something else than a rate, or nothing. */
export const OTHERS = {
  'takes all': open,
  'at most 20 in flight, else 429': mostInFlight(20, 429),
  'at most 20 in flight, else 503': mostInFlight(20, 503),
  '1 % answered 429 at random': atRandom(0.01, 5),
  'hangs beyond 30 in flight': hangsBeyond(30),
} as const;

export interface RateBatch {
  readonly posts: number;
  readonly medianMs: number;
  readonly seed: number;
}

export function fetchFrom(
  origin: keyof typeof THROTTLING | keyof typeof OTHERS,
  { posts, medianMs, seed }: RateBatch,
  contender: Contender,
): Promise<Simulated> {
  const gate = { ...THROTTLING, ...OTHERS }[origin];
  return simulate(contender, { posts, latencyMs: drawLatencies(seed, logNormal(medianMs, 0.3)), gate, seed });
}

/** Posts that came, in a second. */
export function perSecond({ fulfilled, makespanMs }: Simulated): number {
  return (fulfilled * 1_000) / makespanMs;
}

export function throttledShare({ throttled, requests }: Simulated): number {
  return throttled / requests.length;
}
