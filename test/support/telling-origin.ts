import type { Quota } from '../../src/fetch/politeness/quotas.ts';
import { ToldPace } from '../../src/fetch/politeness/told-pace.ts';

/** What is not told is undefined. */
export const quotaOf = (given: Partial<Quota> = {}): Quota => ({
  limit: undefined,
  remaining: undefined,
  resetMs: undefined,
  windowMs: undefined,
  ...given,
});

/** An origin's count of a request: whether it is taken, what is left, and the time to the reset. */
interface Counted {
  readonly isTaken: boolean;
  readonly left: number;
  readonly resetMs: number;
}
export type Count = (nowMs: number) => Counted;

/** So many in each window; the first is under way by `startedMs`, with so many used by others. */
export function windows(limit: number, windowMs: number, startedMs = 0, used = 0): Count {
  let window = 0;
  let taken = used;
  return (nowMs) => {
    const current = Math.floor((nowMs + startedMs) / windowMs);
    if (current !== window) taken = 0;
    window = current;
    const isTaken = taken < limit;
    if (isTaken) taken += 1;
    return { isTaken, left: limit - taken, resetMs: (window + 1) * windowMs - startedMs - nowMs };
  };
}

/** So many a second on average, and `burst` at once; its reset is when the bucket is full. */
export function bucket(perSecond: number, burst: number): Count {
  let tokens = burst;
  let filledMs = 0;
  return (nowMs) => {
    tokens = Math.min(burst, tokens + ((nowMs - filledMs) * perSecond) / 1_000);
    filledMs = nowMs;
    const isTaken = tokens >= 1;
    if (isTaken) tokens -= 1;
    return { isTaken, left: Math.floor(tokens), resetMs: ((burst - tokens) * 1_000) / perSecond };
  };
}

interface Told {
  readonly count: Count;
  readonly says: (counted: Counted, seq: number) => readonly Quota[];
  readonly posts: number;
  /** Of each answer. @default 20 */
  readonly latencyMs?: number;
  /** Most in flight. @default 10 */
  readonly concurrency?: number;
  /** @default 600_000 */
  readonly deadlineMs?: number;
}

/** Sends as many posts as a ToldPace lets through to an origin that tells, millisecond by millisecond. */
export function sendTo({ count, says, posts, latencyMs = 20, concurrency = 10, deadlineMs = 600_000 }: Told) {
  const pace = new ToldPace(posts, deadlineMs);
  const startsMs: number[] = [];
  const refusedMs: number[] = [];
  const answers: { readonly atMs: number; readonly seq: number; readonly quotas: readonly Quota[] }[] = [];
  for (let nowMs = 0; nowMs < deadlineMs && (startsMs.length < posts || answers.length > 0); nowMs++) {
    for (let next = answers[0]; next && next.atMs <= nowMs; next = answers[0]) {
      answers.shift();
      const by = { seq: next.seq, sentMs: next.atMs - latencyMs };
      if (pace.listensTo(by, nowMs)) pace.tell(next.quotas, by, nowMs);
    }
    while (
      startsMs.length < posts &&
      answers.length < concurrency &&
      pace.waitMs(nowMs, answers.length) <= 0
    ) {
      pace.start(nowMs);
      startsMs.push(nowMs);
      const counted = count(nowMs);
      if (!counted.isTaken) refusedMs.push(nowMs);
      answers.push({ atMs: nowMs + latencyMs, seq: pace.sent, quotas: says(counted, pace.sent) });
    }
  }
  return { pace, startsMs, refusedMs };
}

/** The most that start in any so many milliseconds. */
export function mostIn(windowMs: number, startsMs: readonly number[]): number {
  let from = 0;
  return startsMs.reduce((most, startMs, index) => {
    while ((startsMs[from] as number) <= startMs - windowMs) from += 1;
    return Math.max(most, index - from + 1);
  }, 0);
}
