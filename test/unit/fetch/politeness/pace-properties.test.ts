import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LearnedPace, type Sent } from '../../../../src/fetch/politeness/pace.ts';

const calls = fc.array(
  fc.record({
    what: fc.constantFrom('sent', 'sent', 'sent', 'answered', 'turned away', 'slow down', 'pause'),
    afterMs: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 5_000, noNaN: true }), fc.constant(1e9)),
    /** Which of the requests that were sent, and how many of them when it is sent. */
    which: fc.nat(),
    burst: fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 1, max: 50 }) }, fc.constant(20_000)),
    toldMs: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 10_000 }), fc.constant(1e9)),
  }),
  { maxLength: 60 },
);
const rates = fc.double({ min: 1e-3, max: 1e5, noNaN: true });

test('for any order of calls, the pace is above 0, and what was learned as well', () => {
  const before = fc.option(rates, { nil: undefined });
  fc.assert(
    fc.property(before, fc.constantFrom(0, 1_764_000_000_000), calls, (before, startMs, calls) => {
      const pace = new LearnedPace(startMs, before);
      const sent: Sent[] = [];
      let nowMs = startMs;
      for (const { what, afterMs, which, burst, toldMs } of calls) {
        nowMs += afterMs;
        const request = sent[which % Math.max(1, sent.length)];
        if (what === 'sent') for (let i = 0; i < burst; i++) sent.push(pace.sent(nowMs));
        else if (what === 'pause' && toldMs > 0) pace.pause(nowMs, nowMs + toldMs);
        else if (request && what === 'answered') pace.answered(request, nowMs);
        else if (request && what === 'turned away') pace.turnedAway(request);
        else if (request && what === 'slow down') pace.slowDown(nowMs, toldMs, request);
        const seen = [pace.perSecond(nowMs), pace.learned(nowMs) ?? 1];
        if (!seen.every((figure) => figure > 0)) throw new Error(`Expected > 0, got ${seen.join()}`);
        expect(pace.learned(nowMs)).not.toBe(Infinity);
      }
    }),
    { numRuns: 300 },
  );
});

test('for any requests, time alone never lowers the pace', () => {
  const times = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 2 });
  fc.assert(
    fc.property(rates, fc.integer({ min: 0, max: 5_000 }), times, (before, toldMs, times) => {
      const pace = new LearnedPace(0, before);
      for (const atMs of [0, 400, 800, 1_200, 1_600]) pace.answered(pace.sent(atMs), atMs);
      const sent = pace.sent(1_900);
      if (toldMs > 0) pace.pause(1_950, 1_950 + toldMs);
      pace.turnedAway(sent);
      pace.slowDown(1_950, toldMs, sent);
      const paces = times.sort((a, b) => a - b).map((ms) => pace.perSecond(1_950 + ms));
      expect(paces).toStrictEqual([...paces].sort((a, b) => a - b));
    }),
  );
});

/** An origin that takes `perSecond` requests on average and `burst` at once, and a client that always has more. */
interface World {
  readonly perSecond: number;
  readonly burst: number;
  /** Where the burst is given anew, at once, in each window of that length; or else it comes bit by bit. */
  readonly windowMs?: number;
  /** How long an answer takes. */
  readonly latencyMs: number;
  /** For how long a refusal asks to be left alone. */
  readonly toldMs: number;
  /** How many times as many the client can send, as long as it knows no rate. */
  readonly pressure: number;
}

interface Flight {
  readonly sent: Sent;
  readonly endMs: number;
  readonly isTaken: boolean;
}

/**
 * Sends requests at the pace, one by one, and learns from each answer. A refusal that does not tell to wait is learned
 * from where it is the third of late, as the limiter does. Gives what the origin takes in a second of the second half of
 * the time, as a share of what it could.
 */
function shareTaken(world: World, forMs: number): number {
  const { perSecond, burst, windowMs = 0, latencyMs, toldMs, pressure } = world;
  const pace = new LearnedPace(0);
  const flights: Flight[] = [];
  let tokens = burst;
  let filledMs = 0;
  let nextMs = 0;
  let pausedUntilMs = 0;
  let refusals = 0;
  let taken = 0;

  const send = (nowMs: number): void => {
    const isNewWindow = windowMs > 0 && nowMs - (nowMs % windowMs) > filledMs;
    const filled = windowMs > 0 ? 0 : ((nowMs - filledMs) * perSecond) / 1_000;
    tokens = isNewWindow ? burst : Math.min(burst, tokens + filled);
    filledMs = nowMs;
    const isTaken = tokens >= 1;
    if (isTaken) tokens -= 1;
    if (isTaken && nowMs >= forMs / 2) taken += 1;
    flights.push({ sent: pace.sent(nowMs), endMs: nowMs + latencyMs, isTaken });
    nextMs = nowMs + 1_000 / Math.min(pace.perSecond(nowMs), pressure * perSecond);
  };
  const end = ({ sent, endMs: nowMs, isTaken }: Flight): void => {
    if (isTaken) {
      refusals = Math.max(0, refusals - 0.02);
      pace.answered(sent, nowMs);
      return;
    }
    if (toldMs > 0) {
      pausedUntilMs = nowMs + toldMs;
      pace.pause(nowMs, pausedUntilMs);
    }
    pace.turnedAway(sent);
    refusals += 1;
    if (toldMs === 0 && refusals < 2.5) return;
    refusals = 0;
    pace.slowDown(nowMs, toldMs, sent);
  };

  for (;;) {
    const sendMs = Math.max(nextMs, pausedUntilMs);
    const [oldest] = flights;
    if (oldest && oldest.endMs <= sendMs) {
      flights.shift();
      end(oldest);
    } else if (sendMs < forMs) send(sendMs);
    else return (taken * 2_000) / forMs / perSecond;
  }
}

describe('of an origin that limits the rate', () => {
  const worlds = (perSecond: readonly [number, number], burst: readonly [number, number]) =>
    fc.record<World>({
      perSecond: fc
        .double({ min: Math.log(perSecond[0]), max: Math.log(perSecond[1]), noNaN: true })
        .map(Math.exp),
      burst: fc.integer({ min: burst[0], max: burst[1] }),
      latencyMs: fc.integer({ min: 1, max: 300 }),
      toldMs: fc.constantFrom(0, 1_000),
      pressure: fc.double({ min: 2, max: 10, noNaN: true }),
    });
  const assertShare = (worlds: fc.Arbitrary<World>, least: number, most: number, leastMs: number) =>
    fc.assert(
      fc.property(worlds, (world) => {
        // Long enough for a burst that was saved up before to count for a twentieth at most.
        const share = shareTaken(world, Math.max(leastMs, 4_000_000 / world.perSecond));
        expect(share).toBeGreaterThan(least);
        expect(share).toBeLessThan(most);
      }),
    );

  test('from 3 requests a second on, the pace comes to within 10 % of that', () => {
    assertShare(worlds([3, 1_000], [2, 100]), 0.9, 1.1, 120_000);
  });

  test('of 1 to 3 a second, which spans of whole seconds measure less well, to within 25 %', () => {
    assertShare(worlds([1, 3], [2, 100]), 0.75, 1.25, 600_000);
  });

  test('of which none is saved up, where each that comes too early costs the wait for it, to two thirds and more', () => {
    assertShare(worlds([3, 1_000], [1, 1]), 0.66, 1.01, 120_000);
  });

  test('of windows from 5 s to a minute, each of which is used up by a burst, to within 20 %', () => {
    const windows = fc
      .record({
        burst: fc.integer({ min: 10, max: 300 }),
        windowMs: fc.integer({ min: 5_000, max: 60_000 }),
        latencyMs: fc.integer({ min: 1, max: 300 }),
        toldMs: fc.constant(0),
      })
      .map((window) => ({ ...window, perSecond: (window.burst * 1_000) / window.windowMs, pressure: 100 }));
    assertShare(windows, 0.8, 1.1, 1_200_000);
  });
});
