import { describe, expect, test } from 'vitest';
import {
  type FetchedRun,
  type FetchPorts,
  type FetchSettings,
  startFetching,
} from '../../../src/fetch/fetching.ts';
import type { AttemptResult, RequestPost } from '../../../src/fetch/origin/attempt.ts';
import type { Learned } from '../../../src/fetch/politeness/learned.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { nothingLearned } from '../../support/plain-traffic.ts';
import { originOf } from '../../support/scripted-origin.ts';

const NEVER = new AbortController().signal;
const GOOD: AttemptResult = { kind: 'response', status: 200, body: Buffer.from('[1]') };
const THROTTLED: AttemptResult = { kind: 'response', status: 429, body: Buffer.alloc(0), retryAfter: '1' };
const BUSY: AttemptResult = { kind: 'response', status: 500, body: Buffer.alloc(0) };

/** The fetching from an origin that answers each request after 100 ms, but each 40th, which is not a hedge, after 3 s. */
function fetchingWith(given: Partial<FetchSettings & FetchPorts & FetchedRun> = {}) {
  const clock = new FakeClock();
  let requests = 0;
  const requestPost: RequestPost = (id, _timeoutMs, signal, onOtherConnection) => {
    requests += 1;
    const lastsMs = Number(id) % 40 === 39 && !onOtherConnection ? 3_000 : 100;
    return new Promise((resolve, reject) => {
      const cancel = clock.after(lastsMs, () => resolve(GOOD));
      signal.addEventListener('abort', () => {
        cancel();
        reject(signal.reason);
      });
    });
  };
  const all = {
    origin: originOf(requestPost),
    clock,
    random: () => 0.5,
    concurrency: 20,
    adaptive: true,
    ratePerSecond: Infinity,
    retryBudgetPercent: 20,
    hedge: false,
    maxAttempts: 4,
    attemptTimeoutMs: 5_000,
    maxBodyBytes: 1_000,
    startMs: 0,
    deadlineMs: 60_000,
    requested: 80,
    ...given,
  };
  const fetching = startFetching(all, all, all);
  const fetchAll = async (count: number): Promise<void> => {
    for (let id = 0; id < count; id++)
      await clock.runUntil(fetching.fetchPost(id, new AbortController().signal));
  };
  return { clock, ...fetching, fetchAll, requests: () => requests };
}

describe('the fetching of a run', () => {
  test('sums up nothing before there is any traffic', () => {
    expect(fetchingWith().summary()).toStrictEqual({
      throttledMs: 0,
      pauses: [],
      peakInFlight: 0,
      concurrency: { min: 10, max: 10, final: 10 },
      learned: nothingLearned,
      retries: 0,
      retryBudgetLeft: 26,
      hedges: 0,
      hedgesWon: 0,
    });
  });

  test('has hedges where they are asked for', async () => {
    const { clock, summary, fetchAll, requests } = fetchingWith({ hedge: true });
    await fetchAll(80);
    expect([requests(), clock.pending, clock.now()]).toStrictEqual([82, 0, 8_289]);
    expect(summary()).toStrictEqual({
      throttledMs: 0,
      pauses: [],
      peakInFlight: 2,
      concurrency: { min: 10, max: 10, final: 10 },
      learned: nothingLearned,
      retries: 0,
      retryBudgetLeft: 26,
      hedges: 2,
      hedgesWon: 2,
    });
  });

  test('has none where they are not', async () => {
    const { summary, fetchAll, requests } = fetchingWith();
    await fetchAll(80);
    const { hedges, hedgesWon, peakInFlight } = summary();
    expect([requests(), hedges, hedgesWon, peakInFlight]).toStrictEqual([80, 0, 0, 1]);
  });

  test('keeps to its rate, its fixed concurrency and its deadline', async () => {
    const settings = { adaptive: false, ratePerSecond: 5, concurrency: 3, deadlineMs: 1_000 };
    const { clock, fetchPost, summary } = fetchingWith(settings);
    const posts = Array.from({ length: 10 }, (_, id) => fetchPost(id, NEVER));
    const outcomes = await clock.runUntil(Promise.allSettled(posts));
    const starts = outcomes.map((outcome) =>
      outcome.status === 'fulfilled' ? outcome.value.startedMs : outcome.reason.code,
    );
    expect(starts).toStrictEqual([0, 200, 400, 600, 800, ...Array(5).fill('DEADLINE')]);
    expect(summary().concurrency).toStrictEqual({ min: 3, max: 3, final: 3 });
  });

  test('starts from what was learned of its origin, if anything was', () => {
    const startOf = (learned: Learned | undefined) => fetchingWith({ learned }).summary().concurrency.min;
    expect(startOf({ perSecond: null, inFlight: 12, told: null })).toBe(6);
    expect(startOf(nothingLearned)).toBe(10);
    expect(startOf(undefined)).toBe(10);
  });

  test('tells what it has learned of an origin that turns requests away', async () => {
    let requests = 0;
    const requestPost: RequestPost = async () => {
      requests += 1;
      return requests === 40 || requests === 60 ? THROTTLED : GOOD;
    };
    const { summary, fetchAll } = fetchingWith({ origin: originOf(requestPost) });
    await fetchAll(80);
    const { perSecond, ...others } = summary().learned;
    expect(perSecond).toBeGreaterThan(0);
    expect(others).toStrictEqual({ inFlight: null, told: null });
  });

  test('has one retry budget, of which the summary tells', async () => {
    const asked = new Map<unknown, number>();
    const requestPost: RequestPost = async (id) => {
      const times = (asked.get(id) ?? 0) + 1;
      asked.set(id, times);
      return times < 3 ? BUSY : GOOD;
    };
    const { summary, fetchAll } = fetchingWith({
      origin: originOf(requestPost),
      requested: 5,
      retryBudgetPercent: 40,
    });
    await fetchAll(5);
    const { retries, retryBudgetLeft } = summary();
    expect([retries, retryBudgetLeft]).toStrictEqual([10, 2]);
  });
});

test('answers that nobody asked for are told of, where there were any, behind all else', () => {
  const origin = (unsolicited: number) => ({
    startRun: () => ({ requestPost: () => expect.unreachable(), unsolicited: () => unsolicited }),
  });
  const none = fetchingWith({ origin: origin(0) }).summary();
  expect('unsolicited' in none).toBe(false);
  const some = fetchingWith({ origin: origin(3) }).summary();
  expect(JSON.stringify(some)).toBe(JSON.stringify({ ...none, unsolicited: 3 }));
});
