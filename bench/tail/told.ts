import type { RateLimitFields } from '../../src/fetch/origin/attempt.ts';
import { drawLatencies, logNormal } from '../support/latency.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { type Judge, ofSeeds, percent, type Row } from './judge.ts';
import type { MakeGate } from './origin.ts';
import { MEDIANS_MS } from './pushback.ts';
import { CONCURRENCY, type Simulated, simulate } from './run.ts';

/*
 * Origins that tell of their quota with each answer, in each dialect: does the run keep to what is told from the first
 * answer on, and is nothing turned away?
 */

/** What an origin knows of its quota when it has counted a request; times are by the clock. */
interface Count {
  readonly isTaken: boolean;
  readonly left: number;
  /** When the quota is given again. */
  readonly resetAtMs: number;
}

interface Policy {
  readonly limit: number;
  readonly windowMs: number;
}

/** Counts a request. Holds the state of one run. */
type Counter = (nowMs: number) => Count;

/** Windows of the origin's clock, the first of which is under way by `startedMs` when the run starts. */
function fixedWindow({ limit, windowMs }: Policy, startedMs = 0.3 * windowMs): Counter {
  let window = 0;
  let taken = 0;
  return (nowMs) => {
    const current = Math.floor((nowMs + startedMs) / windowMs);
    if (current !== window) taken = 0;
    window = current;
    const isTaken = taken < limit;
    if (isTaken) taken += 1;
    return { isTaken, left: limit - taken, resetAtMs: (window + 1) * windowMs - startedMs };
  };
}

/** So many in any window; its reset is when the oldest is forgotten. */
function slidingWindow({ limit, windowMs }: Policy): Counter {
  const takenMs: number[] = [];
  return (nowMs) => {
    while ((takenMs[0] ?? Infinity) <= nowMs - windowMs) takenMs.shift();
    const isTaken = takenMs.length < limit;
    if (isTaken) takenMs.push(nowMs);
    return { isTaken, left: limit - takenMs.length, resetAtMs: (takenMs[0] ?? nowMs) + windowMs };
  };
}

/** The limit over the window on average, and `burst` at once; its reset is when the bucket is full. */
function tokenBucket({ limit, windowMs }: Policy, burst: number): Counter {
  let tokens = burst;
  let filledMs = 0;
  return (nowMs) => {
    tokens = Math.min(burst, tokens + ((nowMs - filledMs) * limit) / windowMs);
    filledMs = nowMs;
    const isTaken = tokens >= 1;
    if (isTaken) tokens -= 1;
    return {
      isTaken,
      left: Math.floor(tokens),
      resetAtMs: nowMs + ((burst - tokens) * windowMs) / limit,
    };
  };
}

/** What an origin says of a count at a time of its clock, in milliseconds since 1970. */
type Dialect = (count: { left: number; resetMs: number; nowMs: number } & Policy) => {
  readonly rateLimit: RateLimitFields;
  readonly date?: string;
};

const up = (ms: number): number => Math.ceil(ms / 1_000);
const dateOf = (ms: number): string => new Date(ms).toUTCString();

/** With `hasPolicy`, both the quota and its window are told. */
const DIALECTS: Readonly<Record<string, { readonly hasPolicy: boolean; readonly says: Dialect }>> = {
  'RateLimit since draft 08': {
    hasPolicy: true,
    says: ({ limit, windowMs, left, resetMs }) => ({
      rateLimit: {
        ratelimit: `"default";r=${left};t=${up(resetMs)}`,
        'ratelimit-policy': `"default";q=${limit};w=${windowMs / 1_000}`,
      },
    }),
  },
  'rounded down': {
    hasPolicy: true,
    says: ({ limit, windowMs, left, resetMs }) => ({
      rateLimit: {
        ratelimit: `"default";r=${left};t=${Math.floor(resetMs / 1_000)}`,
        'ratelimit-policy': `"default";q=${limit};w=${windowMs / 1_000}`,
      },
    }),
  },
  'RateLimit, draft 07': {
    hasPolicy: true,
    says: ({ limit, windowMs, left, resetMs }) => ({
      rateLimit: {
        ratelimit: `limit=${limit}, remaining=${left}, reset=${up(resetMs)}`,
        'ratelimit-policy': `${limit};w=${windowMs / 1_000}`,
      },
    }),
  },
  'RateLimit-*, with the policy': {
    hasPolicy: true,
    says: ({ limit, windowMs, left, resetMs }) => ({
      rateLimit: {
        'ratelimit-limit': `${limit}, ${limit};w=${windowMs / 1_000}`,
        'ratelimit-remaining': `${left}`,
        'ratelimit-reset': `${up(resetMs)}`,
      },
    }),
  },
  'X-RateLimit-*-second': {
    hasPolicy: true,
    says: ({ limit, left }) => ({
      rateLimit: {
        'x-ratelimit-limit-second': `${limit}`,
        'x-ratelimit-remaining-second': `${left}`,
      },
    }),
  },
  'X-RateLimit-*, seconds': {
    hasPolicy: false,
    says: ({ limit, left, resetMs }) => ({
      rateLimit: {
        'x-ratelimit-limit': `${limit}`,
        'x-ratelimit-remaining': `${left}`,
        'x-ratelimit-reset': `${up(resetMs)}`,
      },
    }),
  },
  'X-RateLimit-*, seconds rounded down': {
    hasPolicy: false,
    says: ({ limit, left, resetMs }) => ({
      rateLimit: {
        'x-ratelimit-limit': `${limit}`,
        'x-ratelimit-remaining': `${left}`,
        'x-ratelimit-reset': `${Math.floor(resetMs / 1_000)}`,
      },
    }),
  },
  'X-RateLimit-*, since 1970': {
    hasPolicy: false,
    says: ({ limit, left, resetMs, nowMs }) => ({
      rateLimit: {
        'x-ratelimit-limit': `${limit}`,
        'x-ratelimit-remaining': `${left}`,
        'x-ratelimit-reset': `${up(nowMs + resetMs)}`,
      },
    }),
  },
  'the same with a Date': {
    hasPolicy: false,
    says: ({ limit, left, resetMs, nowMs }) => ({
      rateLimit: {
        'x-ratelimit-limit': `${limit}`,
        'x-ratelimit-remaining': `${left}`,
        'x-ratelimit-reset': `${up(nowMs + resetMs)}`,
      },
      date: dateOf(nowMs),
    }),
  },
  'X-Rate-Limit-*, milliseconds since 1970': {
    hasPolicy: false,
    says: ({ limit, left, resetMs, nowMs }) => ({
      rateLimit: {
        'x-rate-limit-limit': `${limit}`,
        'x-rate-limit-remaining': `${left}`,
        'x-rate-limit-reset': `${Math.round(nowMs + resetMs)}`,
      },
    }),
  },
  'X-RateLimit-Reset-After': {
    hasPolicy: false,
    says: ({ limit, left, resetMs }) => ({
      rateLimit: {
        'x-ratelimit-limit': `${limit}`,
        'x-ratelimit-remaining': `${left}`,
        'x-ratelimit-reset-after': (resetMs / 1_000).toFixed(3),
      },
    }),
  },
};

const A_SECOND: Policy = { limit: 100, windowMs: 1_000 };
const THREE_SECONDS: Policy = { limit: 150, windowMs: 3_000 };
const TEN_SECONDS: Policy = { limit: 1_000, windowMs: 10_000 };

/** `needsPolicy`: what it takes in a second cannot be told from its counts alone. */
const ORIGINS: Readonly<
  Record<
    string,
    { readonly policy: Policy; readonly needsPolicy?: true; readonly count: (policy: Policy) => Counter }
  >
> = {
  '100 in each second': { policy: A_SECOND, count: (policy) => fixedWindow(policy) },
  '100 in any second': { policy: A_SECOND, count: slidingWindow },
  'token bucket of 10, 100/s': {
    policy: A_SECOND,
    needsPolicy: true,
    count: (policy) => tokenBucket(policy, 10),
  },
  '150 in each 3 s': { policy: THREE_SECONDS, count: (policy) => fixedWindow(policy) },
  '1,000 in each 10 s': { policy: TEN_SECONDS, count: (policy) => fixedWindow(policy) },
};

function telling(counterOf: (policy: Policy) => Counter, policy: Policy, says: Dialect): MakeGate {
  return () => {
    const counter = counterOf(policy);
    return (atMs) => {
      const { isTaken, left, resetAtMs } = counter(atMs);
      const nowMs = VirtualClock.startDate.getTime() + atMs;
      const fields = says({ ...policy, left, resetMs: resetAtMs - atMs, nowMs });
      return { status: isTaken ? 200 : 429, ...fields };
    };
  };
}

/**
 * The time that the same posts take at the told rate, as a share of what they took: those sent before the first answer
 * are as they were, and count; the others start evenly, each where one of the slots is free.
 */
function shareOfPossible({ requests, makespanMs }: Simulated, { limit, windowMs }: Policy): number {
  const firstMs = Math.min(...requests.map(({ startMs, tookMs }) => startMs + tookMs));
  const before = requests.filter(({ startMs }) => startMs < firstMs);
  const everyMs = windowMs / limit;
  const freeAtMs = before.map(({ startMs, tookMs }) => startMs + tookMs);
  while (freeAtMs.length < CONCURRENCY) freeAtMs.push(firstMs);
  let endMs = Math.max(...freeAtMs);
  let nextMs = Math.max(firstMs, before.length * everyMs);
  for (const { startMs, tookMs, throttled } of requests) {
    if (startMs < firstMs || throttled) continue;
    const slot = freeAtMs.indexOf(Math.min(...freeAtMs));
    const idealMs = Math.max(nextMs, freeAtMs[slot] as number);
    nextMs = Math.max(nextMs, idealMs) + everyMs;
    freeAtMs[slot] = idealMs + tookMs;
    endMs = Math.max(endMs, freeAtMs[slot] as number);
  }
  return endMs / makespanMs;
}

const POSTS = [2_000, 5_000];
const SEEDS = 5;
const LEAST_SHARE = 0.97;
/** A window of some seconds that is not told has to be found out, which takes the first two. */
const LEAST_SHARE_FOUND_OUT = 0.965;

const rounded = (share: number): number => Math.round(share * 1_000) / 1_000;

/** Judges what is told in each dialect, over the worst of the seeds, and gives a table of it. */
export async function judgeTold(judge: Judge): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [origin, { policy, needsPolicy, count }] of Object.entries(ORIGINS))
    for (const [dialect, { hasPolicy, says }] of Object.entries(DIALECTS)) {
      if (needsPolicy && !hasPolicy) continue;
      if (dialect === 'X-RateLimit-*-second' && policy.windowMs !== 1_000) continue;
      const leastShare = hasPolicy || policy.windowMs === 1_000 ? LEAST_SHARE : LEAST_SHARE_FOUND_OUT;
      for (const posts of POSTS) {
        const row: Record<string, string> = { origin, dialect, posts: String(posts) };
        for (const medianMs of MEDIANS_MS) {
          const gate = telling(count, policy, says);
          const runs = await ofSeeds(SEEDS, (seed) => {
            const latencyMs = drawLatencies(seed, logNormal(medianMs, 0.3));
            return simulate({ adaptive: true }, { posts, latencyMs, gate, seed });
          });
          const shares = runs.map((run) => shareOfPossible(run, policy));
          const turnedAway = runs.map(({ throttled }) => throttled);
          const name = `${origin}, told as ${dialect}, ${posts} posts of ${medianMs} ms`;
          // A timer more or less is no matter.
          judge(`${name}: share of what is possible`, shares.map(rounded), leastShare, false);
          judge(`${name}: turned away`, turnedAway, 0, true);
          const lost = Math.max(...runs.map(({ rejected }) => rejected));
          row[`${medianMs} ms`] =
            `${percent(Math.min(...shares))}, ${Math.max(...turnedAway)}${lost > 0 ? `, ${lost} lost` : ''}`;
        }
        rows.push(row);
      }
    }
  return rows;
}
