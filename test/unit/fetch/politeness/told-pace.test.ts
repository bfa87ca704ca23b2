import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Quota } from '../../../../src/fetch/politeness/quotas.ts';
import { ToldPace } from '../../../../src/fetch/politeness/told-pace.ts';
import { bucket, mostIn, quotaOf, sendTo, windows } from '../../../support/telling-origin.ts';

const DEADLINE_MS = 600_000;

/** A pace that was told something by the answer to the first of so many requests, 10 ms after they were sent. */
function toldBy(quotas: readonly Quota[], { posts = 10_000, sent = 1, deadlineMs = DEADLINE_MS } = {}) {
  const pace = new ToldPace(posts, deadlineMs);
  for (let i = 0; i < sent; i++) pace.start(0);
  pace.tell(quotas, { seq: 1, sentMs: 0 }, 10);
  return pace;
}

/** The times of the next starts, each as soon as it may be, while requests are in flight. */
function nextStarts(pace: ToldPace, count: number, fromMs = 10): number[] {
  let nowMs = fromMs;
  return Array.from({ length: count }, () => {
    for (let waitMs = pace.waitMs(nowMs, 1); waitMs > 0; waitMs = pace.waitMs(nowMs, 1)) nowMs += waitMs;
    pace.start(nowMs);
    return Math.round(nowMs);
  });
}

const HUNDRED_A_SECOND = quotaOf({ limit: 100, remaining: 99, resetMs: 1_000, windowMs: 1_000 });

describe('no pace', () => {
  test('is told by nothing', () => {
    const pace = new ToldPace(1_000, DEADLINE_MS);
    expect([pace.waitMs(0, 0), pace.perSecond, pace.isPaced, pace.sent]).toStrictEqual([
      0,
      undefined,
      false,
      0,
    ]);
    pace.tell([], { seq: 1, sentMs: 0 }, 10);
    expect([pace.waitMs(10, 0), pace.perSecond, pace.isPaced]).toStrictEqual([0, undefined, false]);
  });

  test.each<[name: string, quota: Partial<Quota>]>([
    ['a limit of 0', { limit: 0, remaining: 0, resetMs: 60_000, windowMs: 60_000 }],
    ['a limit below 0', { limit: -1, remaining: -1, resetMs: 60_000 }],
    ['a limit beyond all numbers', { limit: Infinity, remaining: 5, resetMs: 60_000, windowMs: 60_000 }],
    ['what is left beyond all numbers', { remaining: Infinity, resetMs: 60_000 }],
    ['a window of no time', { limit: 100, windowMs: 0 }],
    ['a window of all time', { limit: 100, windowMs: Infinity }],
    ['a limit alone', { limit: 100 }],
    ['a window alone', { windowMs: 1_000 }],
    ['what is left alone', { limit: 100, remaining: 5 }],
    ['a reset alone', { limit: 100, resetMs: 60_000 }],
  ])('is told by %s', (_name, quota) => {
    const pace = toldBy([quotaOf(quota)], { sent: 10 });
    expect([pace.waitMs(10, 1), pace.perSecond, pace.isPaced]).toStrictEqual([0, undefined, false]);
  });

  test('is told where what is left is enough for all that is still to be asked for, and for some again', () => {
    const quota = quotaOf({ limit: 5_000, remaining: 4_999, resetMs: 300_000 });
    const pace = toldBy([quota], { posts: 1_000 });
    expect([pace.waitMs(10, 1), pace.isPaced]).toStrictEqual([0, false]);
    expect(pace.perSecond).toBeCloseTo(5_000 / 300);
    expect(toldBy([{ ...quota, remaining: 1_208 }], { posts: 1_000 }).isPaced).toBe(true);
    expect(toldBy([{ ...quota, remaining: 1_209 }], { posts: 1_000 }).isPaced).toBe(false);
  });

  test('is told by more than anybody could use', () => {
    const pace = toldBy([quotaOf({ limit: 1e12, remaining: 1e12, resetMs: 1_000, windowMs: 1_000 })]);
    expect([pace.waitMs(10, 1), pace.isPaced]).toStrictEqual([0, false]);
  });
});

describe('the pace', () => {
  test('is 97 % of the quota over its window, evenly', () => {
    const pace = toldBy([HUNDRED_A_SECOND]);
    expect([pace.perSecond, pace.isPaced]).toStrictEqual([100, true]);
    expect(nextStarts(pace, 5)).toStrictEqual([10, 20, 31, 41, 51]);
  });

  test('makes up for what was sent before it was told', () => {
    // Ten of 100 a second were sent at once, and the answer to the first came after 10 ms: nine are too many.
    const pace = toldBy([HUNDRED_A_SECOND], { sent: 10 });
    const [first, second] = nextStarts(pace, 2);
    expect([first, second]).toStrictEqual([103, 113]);
  });

  test('makes up for a second at most, and for no more than was used', () => {
    const busy = new ToldPace(10_000, DEADLINE_MS);
    for (let i = 0; i < 5_000; i++) busy.start(i);
    busy.tell([quotaOf({ limit: 100, remaining: 0, windowMs: 1_000 })], { seq: 5_000, sentMs: 4_999 }, 5_010);
    expect(nextStarts(busy, 1, 5_010)[0]).toBeGreaterThan(5_900);
    expect(nextStarts(busy, 1, 5_010)[0]).toBeLessThanOrEqual(6_060);
    const renewed = new ToldPace(10_000, DEADLINE_MS);
    for (let i = 0; i < 5_000; i++) renewed.start(i);
    renewed.tell([{ ...HUNDRED_A_SECOND, remaining: 99 }], { seq: 5_000, sentMs: 4_999 }, 5_010);
    expect(nextStarts(renewed, 1, 5_010)).toStrictEqual([5_010]);
  });

  test('has so much more at once as timers may be late', () => {
    const pace = toldBy([HUNDRED_A_SECOND]);
    expect(nextStarts(pace, 3, 5_000)).toStrictEqual([5_000, 5_000 + 10 - 10, 5_011]);
  });

  test('is that of the tightest of several quotas', () => {
    const minute = quotaOf({ limit: 600, remaining: 599, resetMs: 60_000, windowMs: 60_000 });
    const pace = toldBy([HUNDRED_A_SECOND, minute]);
    expect(pace.perSecond).toBe(10);
    // The first request is one more than ten a second are in 10 ms.
    expect(nextStarts(pace, 3)).toStrictEqual([103, 206, 309]);
  });

  test('of a policy alone is that of the policy', () => {
    const pace = toldBy([quotaOf({ limit: 10, windowMs: 1_000 })]);
    expect(nextStarts(pace, 3)).toStrictEqual([10, 113, 216]);
  });

  test('is that of what is left, spread over the time to the reset, where others use the quota', () => {
    // Half of the minute, less the second that the reset may be rounded by: 29 s.
    const pace = toldBy([quotaOf({ limit: 600, remaining: 59, resetMs: 30_000, windowMs: 60_000 })]);
    const [first = 0, second = 0, third = 0] = nextStarts(pace, 3);
    expect([second - first, third - second].map((ms) => Math.round(ms / 10))).toStrictEqual([49, 48]);
  });

  test('of a quota that a window is not told of is its limit over the longest reset that was seen', () => {
    const pace = toldBy([quotaOf({ limit: 60, remaining: 59, resetMs: 30_000 })]);
    expect(pace.perSecond).toBe(2);
    pace.tell([quotaOf({ limit: 60, remaining: 59, resetMs: 60_000 })], { seq: 2, sentMs: 30_000 }, 30_010);
    expect(pace.perSecond).toBe(1);
  });

  test('of a quota of which a limit is not told takes the most that was left for it', () => {
    const pace = toldBy([quotaOf({ remaining: 50, resetMs: 10_000 })]);
    expect(pace.perSecond).toBe(5);
    pace.tell([quotaOf({ remaining: 100, resetMs: 10_000 })], { seq: 2, sentMs: 10_000 }, 10_010);
    expect(pace.perSecond).toBe(10);
  });

  test('is none as long as nothing was ever left of a quota of no known size, but until its reset', () => {
    const pace = toldBy([quotaOf({ remaining: 0, resetMs: 4_000 })]);
    expect([pace.perSecond, pace.waitMs(10, 0), pace.waitMs(5_010, 0)]).toStrictEqual([undefined, 100, 0]);
  });

  test('is told anew by later requests alone, every 10 ms at most', () => {
    const pace = toldBy([HUNDRED_A_SECOND], { sent: 3 });
    expect([
      pace.listensTo({ seq: 1, sentMs: 0 }, 100),
      pace.listensTo({ seq: 2, sentMs: 0 }, 19),
      pace.listensTo({ seq: 2, sentMs: 0 }, 20),
    ]).toStrictEqual([false, false, true]);
  });

  test('forgets a quota that 20 answers say nothing of, and all but the last eight', () => {
    const pace = toldBy([quotaOf({ limit: 1, windowMs: 1_000 })]);
    const tell = (seq: number, limit: number) =>
      pace.tell([quotaOf({ limit, windowMs: 1_000 })], { seq, sentMs: seq }, seq);
    for (let seq = 2; seq <= 21; seq++) tell(seq, 100);
    expect(pace.perSecond).toBe(1);
    tell(22, 100);
    expect(pace.perSecond).toBe(100);
    for (let seq = 23; seq <= 30; seq++) tell(seq, 1_000 + seq);
    expect(pace.perSecond).toBe(1_023);
  });
});

describe('a quota that is used up as far as it is known', () => {
  const usedUp = quotaOf({ limit: 100, remaining: 4, resetMs: 5_000, windowMs: 5_000 });

  test('lets nothing start until the soonest that its reset may be, and is looked at again now and then', () => {
    const pace = toldBy([usedUp], { sent: 5 });
    expect([pace.waitMs(10, 3), pace.waitMs(3_999, 3)]).toStrictEqual([100, 100]);
    expect(pace.listensTo({ seq: 2, sentMs: 0 }, 11)).toBe(true);
    expect(nextStarts(pace, 1, 4_000)).toStrictEqual([4_000]);
  });

  test('is asked again when nothing is in flight and what was sent last had no answer', () => {
    const pace = toldBy([usedUp], { sent: 5 });
    expect(pace.waitMs(10, 0)).toBe(0);
    pace.tell([{ ...usedUp, remaining: 0 }], { seq: 5, sentMs: 0 }, 20);
    expect(pace.waitMs(30, 0)).toBe(100);
  });

  test('is not spread where it is given again only after the deadline, and is used as far as it goes', () => {
    const daily = quotaOf({ limit: 1_000, remaining: 50, resetMs: 40_000_000, windowMs: 86_400_000 });
    const pace = toldBy([daily]);
    expect(nextStarts(pace, 50)).toStrictEqual(Array(50).fill(10));
    expect(pace.waitMs(10, 1)).toBe(100);
  });

  test('is spread within its own window, whatever its reset, where that is after the deadline', () => {
    const pace = toldBy([quotaOf({ limit: 100, remaining: 50, resetMs: 40_000_000, windowMs: 1_000 })]);
    expect(nextStarts(pace, 3)).toStrictEqual([10, 20, 31]);
  });
});

const up = (ms: number): number => Math.ceil(ms / 1_000) * 1_000;
const down = (ms: number): number => Math.floor(ms / 1_000) * 1_000;

describe('an origin that takes so many in each window has none to turn away', () => {
  test.each([20, 200, 500])('told as a policy, at %i ms', (latencyMs) => {
    const { startsMs, refusedMs } = sendTo({
      count: windows(100, 1_000, 300),
      says: ({ left, resetMs }) => [
        quotaOf({ limit: 100, remaining: left, resetMs: up(resetMs), windowMs: 1_000 }),
      ],
      posts: 1_000,
      latencyMs,
      concurrency: 50,
    });
    expect(refusedMs).toStrictEqual([]);
    // In the end, what is left is enough for all.
    expect(mostIn(1_000, startsMs.slice(0, -80))).toBeLessThanOrEqual(100);
    expect(startsMs.at(-1)).toBeLessThan(10_300);
  });

  test.each<[string, (ms: number) => number]>([
    ['up', up],
    ['down', down],
    ['not at all', (ms) => ms],
  ])('told without its window, its reset in seconds rounded %s', (_name, rounded) => {
    for (const [limit, windowMs, startedMs] of [
      [100, 1_000, 300],
      [150, 3_000, 0],
      [150, 3_000, 900],
      [150, 3_000, 2_500],
      [500, 10_000, 4_200],
    ] as const)
      for (const latencyMs of [20, 200, 500]) {
        const { startsMs, refusedMs, pace } = sendTo({
          count: windows(limit, windowMs, startedMs),
          says: ({ left, resetMs }) => [quotaOf({ limit, remaining: left, resetMs: rounded(resetMs) })],
          posts: 1_500,
          latencyMs,
          concurrency: 50,
        });
        expect(refusedMs).toStrictEqual([]);
        expect(startsMs.at(-1)).toBeLessThan((1_500 * windowMs) / limit / 0.94);
        expect(pace.perSecond).toBe((limit * 1_000) / windowMs);
      }
  });

  test('that others have used before', () => {
    const { refusedMs } = sendTo({
      count: windows(300, 3_000, 2_000, 280),
      says: ({ left, resetMs }) => [quotaOf({ limit: 300, remaining: left, resetMs: up(resetMs) })],
      posts: 1_000,
    });
    expect(refusedMs).toStrictEqual([]);
  });

  test('that is a bucket', () => {
    const { startsMs, refusedMs } = sendTo({
      count: bucket(100, 10),
      says: ({ left, resetMs }) => [
        quotaOf({ limit: 100, remaining: left, resetMs: up(resetMs), windowMs: 1_000 }),
      ],
      posts: 1_000,
    });
    expect(refusedMs).toStrictEqual([]);
    expect(startsMs.at(-1)).toBeLessThan(10_400);
  });

  test('that sees nothing of a window in between', () => {
    const pace = toldBy([quotaOf({ limit: 100, remaining: 99, resetMs: 2_000 })]);
    const tell = (seq: number, remaining: number, resetMs: number, atMs: number) => {
      while (pace.sent < seq) pace.start(atMs);
      pace.tell([quotaOf({ limit: 100, remaining, resetMs })], { seq, sentMs: atMs }, atMs + 10);
    };
    tell(60, 40, 1_000, 1_500);
    // Four windows later.
    tell(61, 99, 2_000, 10_000);
    tell(62, 98, 1_000, 11_200);
    expect(pace.perSecond).toBe(50);
  });
});

test('what is said to be left of a lie stops nothing', () => {
  const { startsMs, refusedMs } = sendTo({
    count: windows(Infinity, 1_000),
    says: () => [quotaOf({ limit: 60, remaining: 5, resetMs: 60_000 })],
    posts: 100,
    concurrency: 1,
  });
  expect(refusedMs).toStrictEqual([]);
  expect(startsMs).toHaveLength(100);
  expect(startsMs.at(-1)).toBeLessThan(130_000);
});

test('whatever is told, the wait is a number, and where nothing is in flight a run goes on by and by', () => {
  const amount = fc.option(
    fc.oneof(fc.integer({ min: -2, max: 200 }), fc.constantFrom(0, 0.5, 1e12, Infinity)),
    { nil: undefined },
  );
  const ms = fc.option(
    fc.oneof(fc.integer({ min: 0, max: 5_000 }), fc.constantFrom(0, 1e-6, 1_000, 60_000, 1e12, Infinity)),
    { nil: undefined },
  );
  const quotas = fc.array(fc.record({ limit: amount, remaining: amount, resetMs: ms, windowMs: ms }), {
    maxLength: 3,
  });
  fc.assert(
    fc.property(fc.array(fc.tuple(quotas, fc.nat(300)), { maxLength: 30 }), (answers) => {
      const pace = new ToldPace(1_000, 60_000);
      let nowMs = 0;
      for (const [told, afterMs] of answers) {
        pace.start(nowMs);
        const by = { seq: pace.sent, sentMs: nowMs };
        nowMs += afterMs;
        if (pace.listensTo(by, nowMs)) pace.tell(told, by, nowMs);
        const waitMs = pace.waitMs(nowMs, 0);
        expect(waitMs).toBeLessThan(Infinity);
        nowMs += Math.max(0, Math.min(waitMs, 1_000));
      }
    }),
    { numRuns: 2_000 },
  );
});
