import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Id } from '../../../src/batch/ids.ts';
import type { RequestPost } from '../../../src/fetch/origin/attempt.ts';
import { type FetchRecord, PostError } from '../../../src/fetch/outcome.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { answer, fetchingFrom, type Options, plain, reset, run, START_MS, type Step } from './world.ts';

const ALMOST_ONE = 1 - Number.EPSILON / 2;

describe('the wait before the next attempt', () => {
  const waitsOf = async (step: Step, options: Partial<Options> = {}) => {
    const { requests } = await run([{ ...step, tookMs: 0 }], { deadlineMs: Infinity, ...options });
    return requests.slice(1).map(({ atMs }, i) => atMs - (requests[i]?.atMs ?? 0));
  };

  test('is a backoff with full jitter', async () => {
    expect(await waitsOf(reset, { random: () => 0 })).toStrictEqual([0, 0, 0]);
    expect(await waitsOf(reset, { random: () => 0.5 })).toStrictEqual([50, 100, 200]);
    const longest = await waitsOf(reset, { random: () => ALMOST_ONE, maxAttempts: 9 });
    const bounds = [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000];
    for (const [i, bound] of bounds.entries()) expect(longest[i]).toBeCloseTo(bound, 6);
    expect(longest).toHaveLength(bounds.length);
  });

  test('is never shorter than Retry-After asks for, in seconds', async () => {
    expect(await waitsOf(answer(429, '', { retryAfter: '2' }), { random: () => 0 })).toStrictEqual([
      2_000, 2_000, 2_000,
    ]);
  });

  test('is never shorter than Retry-After asks for, until a date', async () => {
    const { requests } = await run([
      answer(429, '', { retryAfter: 'Mon, 23 Nov 2026 06:00:10 GMT' }),
      answer(200, '1'),
    ]);
    // The clock's day starts 1,000 ms before the run: 10 s on it are 9 s of the run; then half of the second that resuming takes.
    expect(requests.map(({ atMs }) => atMs)).toStrictEqual([3, 9_500]);
  });

  test('of a date that has passed is the backoff alone', async () => {
    const past = answer(503, '', { retryAfter: 'Mon, 23 Nov 2020 06:00:00 GMT' });
    expect(await waitsOf(past)).toStrictEqual([50, 100, 200]);
  });

  test('of a whole origin ends at another time for each function', async () => {
    const told = answer(429, '', { retryAfter: '1' });
    expect(await waitsOf(told, { random: () => 0.5 })).toStrictEqual([1_500, 1_500, 1_500]);
    expect(await waitsOf(told, { random: () => 0.25 })).toStrictEqual([1_250, 1_250, 1_250]);
  });

  test('honours Retry-After on any status that is tried again', async () => {
    expect(await waitsOf(answer(500, '', { retryAfter: '3' }), { random: () => 0 })).toStrictEqual([
      3_000, 3_000, 3_000,
    ]);
  });

  test('honours a quota that is used up', async () => {
    const rateLimit = { ratelimit: '"default";r=0;t=4' };
    expect(await waitsOf(answer(429, '', { rateLimit }), { random: () => 0 })).toStrictEqual([
      4_000, 4_000, 4_000,
    ]);
  });

  test('is not cut: an hour is an hour, where there is time', async () => {
    expect(await waitsOf(answer(429, '', { retryAfter: '3600' }), { random: () => 0 })).toStrictEqual([
      3_600_000, 3_600_000, 3_600_000,
    ]);
  });
});

describe('the deadline', () => {
  const deadlineReason = {
    code: 'DEADLINE',
    message: "The function's time ran out before post 7 was fetched",
    retryable: true,
  };

  test.each([START_MS - 5_000, START_MS + 3, START_MS + 3.9])(
    'leaves a post whose turn comes too late unfetched (%d)',
    async (deadlineMs) => {
      const { outcome, requests } = await run([answer(200, '1')], { deadlineMs });
      expect(outcome).toStrictEqual({
        id: 7,
        reason: deadlineReason,
        httpStatus: null,
        attempts: 0,
        startedMs: null,
        durationMs: null,
        waitedMs: null,
      });
      expect(requests).toStrictEqual([]);
    },
  );

  test('that has passed throws at once, without a promise', () => {
    const { fetchPost } = fetchingFrom({
      requestPost: () => expect.unreachable('an attempt was made'),
      clock: new FakeClock(),
      startMs: -1_000,
      deadlineMs: 0,
    });
    expect(() => fetchPost(7, new AbortController().signal)).toThrow(PostError);
  });

  test('in the middle of an attempt is a DEADLINE, not a TIMEOUT', async () => {
    const { outcome, requests } = await run([{ kind: 'timed-out' }], { deadlineMs: START_MS + 2_003 });
    expect(outcome).toStrictEqual({
      id: 7,
      reason: deadlineReason,
      httpStatus: null,
      attempts: 1,
      startedMs: 3,
      durationMs: 2_000,
      waitedMs: 0,
    });
    expect(requests).toStrictEqual([{ atMs: 3, timeoutMs: 2_000 }]);
  });

  test('at the very end of an attempt is a DEADLINE', async () => {
    const { outcome } = await run([{ kind: 'timed-out' }], { deadlineMs: START_MS + 5_003 });
    expect(outcome).toMatchObject({ reason: deadlineReason, attempts: 1 });
  });

  test('shortens the attempts that reach it, and no other', async () => {
    const { outcome, requests } = await run([{ kind: 'timed-out' }], { deadlineMs: START_MS + 7_053 });
    expect(requests).toStrictEqual([
      { atMs: 3, timeoutMs: 5_000 },
      { atMs: 5_053, timeoutMs: 2_000 },
    ]);
    expect(outcome).toMatchObject({ reason: deadlineReason, attempts: 2, durationMs: 7_050 });
  });

  test('a retry that cannot come before it is not waited for', async () => {
    const { outcome, requests } = await run([answer(500)], { deadlineMs: START_MS + 63 });
    expect(outcome).toStrictEqual({
      id: 7,
      reason: deadlineReason,
      httpStatus: 500,
      attempts: 1,
      startedMs: 3,
      durationMs: 10,
      waitedMs: 0,
    });
    expect(requests).toHaveLength(1);
  });

  test('a retry that ends up less than a timer before it is not made', async () => {
    const { outcome } = await run([answer(500)], { deadlineMs: START_MS + 63.5 });
    expect(outcome).toMatchObject({ reason: deadlineReason, attempts: 1, durationMs: 60 });
  });

  test.each(['60', '99999999999', '9'.repeat(400), 'Tue, 24 Nov 2026 06:00:00 GMT'])(
    'a post that is told to wait past it is RATE_LIMITED, at once (%#)',
    async (retryAfter) => {
      const { outcome } = await run([answer(429, '', { retryAfter })]);
      expect(outcome).toStrictEqual({
        id: 7,
        reason: { code: 'RATE_LIMITED', message: 'Post 7 was rate limited: HTTP 429', retryable: true },
        httpStatus: 429,
        attempts: 1,
        startedMs: 3,
        durationMs: 10,
        waitedMs: 0,
      });
    },
  );

  test('an error that is told to wait past it stays that error', async () => {
    const { outcome } = await run([answer(500, '', { retryAfter: '60' })]);
    expect(outcome).toMatchObject({ reason: { code: 'HTTP_ERROR', retryable: true }, attempts: 1 });
  });
});

test('a post whose turn does not come in time was never attempted', async () => {
  const clock = new FakeClock();
  const { signal } = new AbortController();
  const { fetchPost } = fetchingFrom({
    clock,
    // Nobody answers.
    requestPost: (_id, timeoutMs) =>
      new Promise((resolve) => clock.after(timeoutMs, () => resolve({ kind: 'timed-out' }))),
    attemptTimeoutMs: 60_000,
  });
  const settled = await clock.runUntil(Promise.allSettled([fetchPost(1, signal), fetchPost(2, signal)]));
  const deadline = (id: Id) => ({
    code: 'DEADLINE',
    message: `The function's time ran out before post ${id} was fetched`,
    retryable: true,
  });
  expect(settled.map(plain)).toStrictEqual([
    {
      id: 1,
      reason: deadline(1),
      httpStatus: null,
      attempts: 1,
      startedMs: 0,
      durationMs: 60_000,
      waitedMs: 0,
    },
    {
      id: 2,
      reason: deadline(2),
      httpStatus: null,
      attempts: 0,
      startedMs: null,
      durationMs: null,
      waitedMs: null,
    },
  ]);
});

test.each<[name: string, step: Step, order: readonly Id[]]>([
  ['goes before posts that wait where it has failed', answer(500), [1, 2, 1, 3, 1]],
  ['waits its turn behind them where it was refused for the rate', answer(429), [1, 2, 3, 1, 1]],
  ['waits so where it was told when to come back', answer(503, '', { retryAfter: '1' }), [1, 2, 3, 1, 1]],
])('a retry %s', async (_name, step, order) => {
  const clock = new FakeClock();
  const { signal } = new AbortController();
  const asked: Id[] = [];
  const { fetchPost } = fetchingFrom({
    clock,
    random: () => 0,
    requestPost: (id) => {
      asked.push(id);
      const again = id === 1 && asked.filter((each) => each === 1).length < 3;
      return new Promise((resolve) => clock.after(10, () => resolve(again ? step : answer(200, '[1]'))));
    },
  });
  await clock.runUntil(Promise.all([1, 2, 3].map((id) => fetchPost(id, signal))));
  expect(asked).toStrictEqual(order);
});

test('a retry is not hedged, though it goes behind others', async () => {
  const clock = new FakeClock();
  const { signal } = new AbortController();
  const asked: Id[] = [];
  const { fetchPost, summary } = fetchingFrom({
    clock,
    hedge: true,
    concurrency: 2,
    requestPost: (id) => {
      const isAgain = asked.includes(id);
      asked.push(id);
      const result = id === 40 && !isAgain ? answer(429) : answer(200, '[1]');
      return new Promise((resolve) => clock.after(isAgain ? 4_000 : 100, () => resolve(result)));
    },
  });
  for (let id = 0; id <= 40; id++) await clock.runUntil(fetchPost(id, signal));
  expect([asked.slice(40), summary().hedges]).toStrictEqual([[40, 40], 0]);
});

describe('what a post waited', () => {
  const { signal } = new AbortController();
  /** When a post started, how long it took, and how long it waited of that. */
  const times = (settled: PromiseSettledResult<FetchRecord>): readonly (number | null)[] => {
    const record: FetchRecord = settled.status === 'fulfilled' ? settled.value : settled.reason.record;
    return [record.startedMs, record.durationMs, record.waitedMs];
  };

  test.each<[name: string, steps: readonly Step[], durationMs: number, waitedMs: number]>([
    ['nothing, where its first attempt brought it', [answer(200, '1')], 10, 0],
    ['nothing, where its first attempt was its last', [answer(404)], 10, 0],
    ['its backoff', [reset, answer(200, '1')], 70, 50],
    ['each backoff, up to a failure that is final', [reset, answer(500), answer(404)], 180, 150],
    [
      'its backoff, and not the time of an attempt that outran it',
      [{ kind: 'timed-out' }, answer(404)],
      5_060,
      50,
    ],
    // Behind the pause, requests start again over a second: this one in the middle of it.
    ['the pause of the origin', [answer(429, '', { retryAfter: '2' }), answer(200, '1')], 2_520, 2_500],
  ])('is %s', async (_name, steps, durationMs, waitedMs) => {
    const { settled } = await run(steps);
    expect(times(settled)).toStrictEqual([3, durationMs, waitedMs]);
  });

  test('is the time behind others, too, where it is queued anew, and not that before its first attempt', async () => {
    const clock = new FakeClock();
    let requests = 0;
    const requestPost: RequestPost = async (id) => {
      requests += 1;
      const step = requests === 1 ? answer(429) : answer(200, '1');
      return new Promise((resolve) => clock.after(id === 1 ? 10 : 700, () => resolve(step)));
    };
    const { fetchPost } = fetchingFrom({ requestPost, clock });
    const fetched = await clock.runUntil(Promise.allSettled([1, 2, 3].map((id) => fetchPost(id, signal))));
    // Post 1 backs off for 50 ms, and is behind posts 2 and 3 then.
    expect(fetched.map(times)).toStrictEqual([
      [0, 1_420, 1_400],
      [10, 700, 0],
      [710, 700, 0],
    ]);
  });

  test('is known where the deadline comes first, or another post is told a time past it', async () => {
    const late = await run([answer(500)], { deadlineMs: START_MS + 63.5 });
    expect(times(late.settled)).toStrictEqual([3, 60, 50]);

    const clock = new FakeClock();
    const requestPost: RequestPost = (id) => {
      const [tookMs, retryAfter] = id === 8 ? [30, '60'] : [10, '1'];
      return new Promise((resolve) => clock.after(tookMs, () => resolve(answer(429, '', { retryAfter }))));
    };
    const { fetchPost } = fetchingFrom({ requestPost, clock, concurrency: 2, random: () => 0 });
    const fetched = await clock.runUntil(Promise.allSettled([7, 8].map((id) => fetchPost(id, signal))));
    expect(fetched.map(times)).toStrictEqual([
      [0, 30, 20],
      [0, 30, 0],
    ]);
  });

  test('is nothing of an attempt that is hedged, until the first good answer', async () => {
    const clock = new FakeClock();
    let isLate = false;
    const requestPost: RequestPost = (_id, _timeoutMs, signal, onOtherConnection) =>
      new Promise((resolve, reject) => {
        const cancel = clock.after(isLate && !onOtherConnection ? 4_000 : 100, () =>
          resolve(answer(200, '1')),
        );
        signal.addEventListener('abort', () => {
          cancel();
          reject(signal.reason);
        });
      });
    const { fetchPost } = fetchingFrom({ requestPost, clock, hedge: true, concurrency: 2 });
    for (let id = 0; id < 40; id++) await clock.runUntil(fetchPost(id, signal));
    isLate = true;
    const post = await clock.runUntil(fetchPost(40, signal));
    expect(post).toMatchObject({ hedged: true, attempts: 1, durationMs: 250, waitedMs: 0 });
  });

  const tookMs = fc.double({ min: 0, max: 3_000, noNaN: true });
  const step = fc.oneof(
    tookMs.map((tookMs): Step => ({ ...reset, tookMs })),
    tookMs.map((tookMs): Step => ({ ...answer(404), tookMs })),
    fc
      .tuple(tookMs, fc.nat(30))
      .map(([tookMs, s]): Step => ({ ...answer(429, '', { retryAfter: `${s}` }), tookMs })),
    fc.constant<Step>({ kind: 'timed-out' }),
  );

  test('is its duration less its attempts, to the millisecond: never more, and nothing in one attempt', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 6 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.integer({ min: 4, max: 60_000 }),
        async (steps, random, leftMs) => {
          const deadlineMs = START_MS + leftMs;
          const { settled, requests } = await run(steps, {
            deadlineMs,
            maxAttempts: 6,
            random: () => random,
          });
          const record: FetchRecord = settled.status === 'fulfilled' ? settled.value : settled.reason.record;
          const { attempts, durationMs, waitedMs } = record;
          const took = requests.map(({ timeoutMs }, i) => {
            const { kind, tookMs = 10 } = steps[Math.min(i, steps.length - 1)] as Step;
            return kind === 'timed-out' ? timeoutMs : tookMs;
          });
          const attemptsMs = took.reduce((sum, ms) => sum + ms, 0);
          expect(requests).toHaveLength(attempts);
          expect(Math.abs(Number(durationMs) - attemptsMs - Number(waitedMs))).toBeLessThan(1.001);
          expect(waitedMs).toBeGreaterThanOrEqual(0);
          expect(waitedMs).toBeLessThanOrEqual(Number(durationMs));
          const isFinal = settled.status === 'rejected' && settled.reason.code === 'NOT_FOUND';
          if (attempts === 1 && isFinal) expect(waitedMs).toBe(0);
        },
      ),
    );
  });
});
