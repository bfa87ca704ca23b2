import { startFetching, type TrafficSummary } from '../../src/fetch/fetching.ts';
import type { Learned } from '../../src/fetch/politeness/learned.ts';
import { gatherStream } from '../../src/gather.ts';
import { type LatencyMs, seeded } from '../support/latency.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { type MakeGate, open, type Request, simulateOrigin } from './origin.ts';

export interface Contender {
  readonly adaptive?: boolean;
  readonly hedge?: boolean;
  /** @default Infinity */
  readonly ratePerSecond?: number;
}

export interface Simulation {
  readonly posts: number;
  readonly latencyMs: LatencyMs;
  /** @default open */
  readonly gate?: MakeGate;
  /** For the jitter. @default 1 */
  readonly seed?: number;
  /** What an earlier run learned of the origin. */
  readonly learned?: Learned;
}

/** How many requests the limiter allowed in flight at a time. */
interface Allowed {
  readonly atMs: number;
  readonly inFlight: number;
}

export interface Simulated {
  readonly makespanMs: number;
  readonly fulfilled: number;
  readonly rejected: number;
  readonly requests: readonly Request[];
  /** Those answered 429 or 503. */
  readonly throttled: number;
  /** When posts were fulfilled, in time. */
  readonly completedMs: readonly number[];
  readonly allowed: readonly Allowed[];
  readonly report: TrafficSummary;
}

export const CONCURRENCY = 50;
const ATTEMPT_TIMEOUT_MS = 5_000;
/** As run-batch.ts has it. */
const WINDOW_POSTS = 4_096;
/** Far from any run's end. */
const DEADLINE_MS = 3_600_000;
const SAMPLE_EVERY_MS = 100;

/** Fetches a batch of posts with the code of src/, as run-batch.ts puts it together, in virtual time. */
export async function simulate(contender: Contender, simulation: Simulation): Promise<Simulated> {
  const { adaptive = false, hedge = false, ratePerSecond = Infinity } = contender;
  const { posts, latencyMs, gate = open, seed = 1, learned } = simulation;
  const clock = new VirtualClock();
  const { requestPost, requests } = simulateOrigin(clock, latencyMs, gate());
  const settings = {
    concurrency: CONCURRENCY,
    adaptive,
    ratePerSecond,
    retryBudgetPercent: 20,
    hedge,
    maxAttempts: 4,
    attemptTimeoutMs: ATTEMPT_TIMEOUT_MS,
    maxBodyBytes: 1_048_576,
  };
  const origin = { startRun: () => ({ requestPost, unsolicited: () => 0 }) };
  const ports = { origin, clock, random: seeded(seed) };
  const run = { startMs: 0, deadlineMs: DEADLINE_MS, requested: posts, learned };
  const { fetchPost, summary } = startFetching(settings, ports, run);
  const completedMs: number[] = [];
  const outcomes = gatherStream(
    Array.from({ length: posts }, (_, id) => id),
    async (id, _index, signal) => {
      const post = await fetchPost(id, signal);
      completedMs.push(clock.now());
      return post;
    },
    { concurrency: CONCURRENCY, returnExceptions: true, window: WINDOW_POSTS },
  );
  const allowed: Allowed[] = [];
  const sample = (): void => {
    allowed.push({ atMs: clock.now(), inFlight: summary().concurrency.final });
    clock.afterExactly(SAMPLE_EVERY_MS, sample);
  };
  sample();
  const rejected = await clock.runUntil(countRejected(outcomes));
  return {
    makespanMs: clock.now(),
    fulfilled: posts - rejected,
    rejected,
    requests,
    throttled: requests.filter(({ throttled }) => throttled).length,
    completedMs,
    allowed,
    report: summary(),
  };
}

async function countRejected(outcomes: AsyncIterable<PromiseSettledResult<unknown>>): Promise<number> {
  let rejected = 0;
  for await (const { status } of outcomes) if (status === 'rejected') rejected += 1;
  return rejected;
}
