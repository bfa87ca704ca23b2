import { drawLatencies, type LatencyMs, listSchedule, logNormal, uniform } from '../support/latency.ts';
import { atRandom, fixedWindow, hangsBeyond, type MakeGate, mostInFlight, tokenBucket } from './origin.ts';
import { CONCURRENCY, type Contender, type Simulated, type Simulation, simulate } from './run.ts';

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
function latencies({ distribution, seed }: Omit<Batch, 'posts'>, stalls: boolean): LatencyMs {
  return drawLatencies(seed, DISTRIBUTIONS[distribution], stalls ? STALLS : undefined);
}

export function fetchBatch(batch: Batch, stalls: boolean, contender: Contender): Promise<Simulated> {
  return simulate(contender, { posts: batch.posts, latencyMs: latencies(batch, stalls), seed: batch.seed });
}

/** How long a batch takes in the list schedule: what no code of ours can cost less than. */
export function idealMs({ posts, ...batch }: Batch, stalls: boolean): number {
  return Math.max(...schedule(posts, latencies(batch, stalls), CONCURRENCY));
}

function schedule(posts: number, latencyMs: LatencyMs, inFlight: number): number[] {
  return listSchedule(
    Array.from({ length: posts }, (_, post) => latencyMs(post, 0)),
    inFlight,
  );
}

/** Requests beyond those that the posts and their retries need, as a share of these. */
export function extraRequests({ requests, report }: Simulated): number {
  return report.hedges / (requests.length - report.hedges);
}

/** An origin that pushes back, and what it takes at most. */
interface Pushback {
  readonly gate: MakeGate;
  /** @default Infinity */
  readonly perSecond?: number;
  /** @default 50, as many as may be in flight */
  readonly inFlight?: number;
}

const ORIGINS = {
  'token bucket': { gate: tokenBucket(100, 10), perSecond: 100 },
  'token bucket, Retry-After: 1': { gate: tokenBucket(100, 10, '1'), perSecond: 100 },
  'token bucket, else 503': { gate: tokenBucket(100, 10, undefined, 503), perSecond: 100 },
  '100 in each second': { gate: fixedWindow(100), perSecond: 100 },
  '100 in each second, Retry-After: 1': { gate: fixedWindow(100, '1'), perSecond: 100 },
  '1 % answered 429 at random': { gate: atRandom(0.01, 5) },
  'at most 20 in flight, else 429': { gate: mostInFlight(20, 429), inFlight: 20 },
  'at most 20 in flight, else 503': { gate: mostInFlight(20, 503), inFlight: 20 },
  // Against 50 in flight: 60 % is the most.
  'hangs beyond 30 in flight': { gate: hangsBeyond(30) },
  'token bucket of 5 a second': { gate: tokenBucket(5, 5), perSecond: 5 },
  '5 in each second': { gate: fixedWindow(5), perSecond: 5 },
  '100 in each 10 s': { gate: fixedWindow(100, undefined, 10_000), perSecond: 10 },
  '60 in each minute': { gate: fixedWindow(60, undefined, 60_000), perSecond: 1 },
} as const satisfies Readonly<Record<string, Pushback>>;

export type Origin = keyof typeof ORIGINS;

export interface RateBatch extends Pick<Simulation, 'learned'> {
  readonly posts: number;
  readonly medianMs: number;
  readonly seed: number;
}

export function fetchFrom(
  origin: Origin,
  { posts, medianMs, seed, learned }: RateBatch,
  contender: Contender,
): Promise<Simulated> {
  const latencyMs = latenciesAround(medianMs, seed);
  return simulate(contender, {
    posts,
    latencyMs,
    gate: ORIGINS[origin].gate,
    seed,
    ...(learned && { learned }),
  });
}

function latenciesAround(medianMs: number, seed: number): LatencyMs {
  return drawLatencies(seed, logNormal(medianMs, 0.3));
}

/** The posts that came in a time, as a share of those that any client could have had of the origin. */
export function shareOfPossible(
  origin: Origin,
  { posts, medianMs, seed }: RateBatch,
  run: Simulated,
): number {
  const { perSecond = Infinity, inFlight = CONCURRENCY }: Pushback = ORIGINS[origin];
  const bestMs = Math.max(
    ...schedule(posts, latenciesAround(medianMs, seed), inFlight),
    (posts * 1_000) / perSecond,
  );
  return ((run.fulfilled / posts) * bestMs) / run.makespanMs;
}

export function turnedAway({ throttled, requests }: Simulated): number {
  return throttled / requests.length;
}
