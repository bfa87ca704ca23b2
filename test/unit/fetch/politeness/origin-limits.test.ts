import { describe, expect, test } from 'vitest';
import type { Feedback } from '../../../../src/fetch/politeness/concurrency-limit.ts';
import { OriginLimits, type SentRequest } from '../../../../src/fetch/politeness/origin-limits.ts';

type Known = Exclude<Feedback, 'unknown'>;

/** So many requests that are sent one after the other, so that ever more are in flight. */
const flight = (limits: OriginLimits, count: number, atMs = 0): SentRequest[] =>
  Array.from({ length: count }, (_, i) => limits.sent(atMs, i + 1));

/** These requests end as it is said. Says of each whether even a single one in flight was too many. */
function end(
  limits: OriginLimits,
  requests: readonly SentRequest[],
  feedback: Known,
  { nowMs = 100, toldMs = 0 } = {},
): boolean[] {
  return requests.map((request) =>
    limits.learn(request, feedback, { nowMs, toldMs, inFlight: requests.length }),
  );
}

/** How many may be in flight, and whether a rate is known. */
const standOf = (limits: OriginLimits, nowMs = 100): [inFlight: number, isPaced: boolean] => [
  limits.inFlight(nowMs),
  limits.perSecond(nowMs) < Infinity,
];

/** Limits of an origin that was found to take 20 in flight at least. */
function limitsOf20(): OriginLimits {
  const limits = new OriginLimits(50, 0);
  end(limits, flight(limits, 20), 'answered');
  return limits;
}

describe('a request is known', () => {
  test('by its number, its time with and without pauses, and how many were in flight with it', () => {
    const limits = new OriginLimits(50, 5);
    const first = limits.sent(10, 1);
    limits.pause(20, 1_020);
    expect([first, limits.sent(1_030, 2)]).toStrictEqual([
      { seq: 0, activeMs: 10, resumedMs: 5, sentMs: 10, inFlight: 1 },
      { seq: 1, activeMs: 30, resumedMs: 20, sentMs: 1_030, inFlight: 2 },
    ]);
  });
});

describe('the odd refusal', () => {
  test.each<Known>(['throttled', 'overloaded'])('of two says nothing, and the third does: %s', (feedback) => {
    const limits = new OriginLimits(50, 0);
    const [first, second, third] = flight(limits, 10)
      .slice(5)
      .map((request) => {
        expect(end(limits, [request], feedback)).toStrictEqual([false]);
        return standOf(limits);
      });
    expect([first, second, third]).toStrictEqual([
      [10, false],
      [10, false],
      [6, false],
    ]);
  });

  test('is forgiven for each 50 answers, for ever', () => {
    const limits = limitsOf20();
    for (let i = 0; i < 200; i++) {
      end(limits, flight(limits, 50), 'answered');
      end(limits, [limits.sent(0, 20)], i % 2 ? 'throttled' : 'overloaded');
    }
    expect(standOf(limits)).toStrictEqual([50, false]);
  });

  test('is not where they are 3 in 100', () => {
    const limits = limitsOf20();
    for (let i = 0; i < 10; i++) {
      end(limits, flight(limits, 32, i * 1_000), 'answered', { nowMs: i * 1_000 });
      end(limits, [limits.sent(i * 1_000, 20)], 'throttled', { nowMs: i * 1_000 });
    }
    expect(standOf(limits)).toStrictEqual([50, true]);
  });

  test('is not forgiven beforehand, however many answers there were', () => {
    const limits = limitsOf20();
    for (let i = 0; i < 100; i++) end(limits, flight(limits, 50), 'answered');
    end(limits, flight(limits, 53).slice(50), 'overloaded');
    expect(limits.inFlight(100)).toBe(46);
  });

  test('is none that counts again when the limit was lowered for it', () => {
    const limits = limitsOf20();
    end(
      limits,
      [30, 30, 30].map((inFlight) => limits.sent(0, inFlight)),
      'overloaded',
    );
    expect(limits.inFlight(100)).toBe(26);
    end(
      limits,
      [21, 21].map((inFlight) => limits.sent(0, inFlight)),
      'overloaded',
    );
    expect(limits.inFlight(100)).toBe(26);
    end(limits, [limits.sent(0, 21)], 'overloaded');
    expect(limits.inFlight(100)).toBe(18);
  });
});

describe('a refusal is for the rate', () => {
  test('where it tells when to come back: at once, and however many were in flight', () => {
    const limits = limitsOf20();
    expect(end(limits, [limits.sent(100, 30)], 'throttled', { nowMs: 200, toldMs: 1_000 })).toStrictEqual([
      false,
    ]);
    expect(standOf(limits, 200)).toStrictEqual([30, true]);
  });

  test('where no more were in flight than with an answer', () => {
    const limits = limitsOf20();
    end(
      limits,
      [20, 20, 20].map((inFlight) => limits.sent(100, inFlight)),
      'throttled',
      { nowMs: 200 },
    );
    expect(standOf(limits, 200)).toStrictEqual([30, true]);
  });

  test('and counts once for all that were sent before', () => {
    const limits = limitsOf20();
    const [first, ...others] = flight(limits, 10, 100) as [SentRequest, ...SentRequest[]];
    const told = { nowMs: 200, toldMs: 1_000 };
    end(limits, [first], 'throttled', told);
    const perSecond = limits.perSecond(200);
    end(limits, others, 'throttled', told);
    expect(limits.perSecond(200)).toBe(perSecond);
  });
});

describe('a refusal is for the requests in flight', () => {
  test('where more of them were than with any answer: the least of a flight counts', () => {
    const limits = limitsOf20();
    const over = flight(limits, 30).slice(20);
    end(limits, over.slice(7), 'throttled');
    expect(standOf(limits)).toStrictEqual([26, false]);
    end(limits, over.slice(0, 7), 'throttled');
    expect(standOf(limits)).toStrictEqual([18, false]);
  });

  test('where the origin had too much to do, whenever it wants to be asked again', () => {
    const limits = limitsOf20();
    end(limits, [limits.sent(0, 25)], 'overloaded', { toldMs: 5_000 });
    expect(standOf(limits)).toStrictEqual([21, false]);
  });

  test('and then no end counts for the limit of a request that was sent before', () => {
    const limits = limitsOf20();
    const before = flight(limits, 40);
    end(limits, before.slice(37), 'overloaded');
    expect([limits.inFlight(100), limits.isShrinking]).toStrictEqual([35, true]);
    end(limits, before.slice(0, 20), 'timed-out');
    end(limits, before.slice(0, 37), 'answered');
    expect([limits.inFlight(100), limits.isShrinking]).toStrictEqual([35, true]);
    end(limits, flight(limits, 35, 100), 'answered');
    expect([limits.inFlight(100), limits.isShrinking]).toStrictEqual([35, false]);
  });
});

describe('a single request in flight that is refused', () => {
  test.each<Known>(['throttled', 'overloaded'])('was one too many: %s', (feedback) => {
    const limits = new OriginLimits(50, 0);
    const refused = Array.from({ length: 6 }, () => end(limits, [limits.sent(0, 1)], feedback)[0]);
    expect([refused, ...standOf(limits)]).toStrictEqual([
      [false, false, true, false, false, true],
      10,
      false,
    ]);
  });

  test.each<Known>(['throttled', 'overloaded'])('waits as long as it was told to: %s', (feedback) => {
    const limits = new OriginLimits(50, 0);
    end(limits, [limits.sent(0, 1)], 'answered');
    expect(end(limits, [limits.sent(100, 1)], feedback, { nowMs: 200, toldMs: 1_000 })).toStrictEqual([
      false,
    ]);
    expect(limits.inFlight(200)).toBe(10);
  });

  test('was one too many for the rate where one was answered before', () => {
    const limits = new OriginLimits(50, 0);
    end(limits, [limits.sent(0, 1)], 'answered');
    const refused = [100, 101, 102].map(
      (atMs) => end(limits, [limits.sent(atMs, 1)], 'throttled', { nowMs: atMs })[0],
    );
    expect([refused, standOf(limits, 102)]).toStrictEqual([
      [false, false, false],
      [10, true],
    ]);
  });
});

describe('timeouts', () => {
  test('that are a wave lower the limit: once for all that were sent before', () => {
    const limits = limitsOf20();
    const waiting = flight(limits, 30).slice(10);
    expect(end(limits, waiting.slice(0, 9), 'timed-out', { nowMs: 5_000 })).toStrictEqual(
      Array(9).fill(false),
    );
    expect([limits.inFlight(5_000), limits.isShrinking]).toStrictEqual([9, true]);
    end(limits, waiting.slice(9), 'timed-out', { nowMs: 5_000 });
    expect(standOf(limits, 5_000)).toStrictEqual([9, false]);
  });

  test('that are none hold their places', () => {
    const limits = limitsOf20();
    end(limits, flight(limits, 30).slice(0, 8), 'timed-out', { nowMs: 5_000 });
    expect([standOf(limits, 5_000), limits.isShrinking]).toStrictEqual([[22, false], false]);
  });
});

describe('what is learned', () => {
  test('is nothing of an origin that turns nothing away, before 20 were in flight', () => {
    const limits = new OriginLimits(50, 0);
    end(limits, flight(limits, 5), 'answered');
    expect(limits.learned(100)).toStrictEqual({ perSecond: null, inFlight: null });
  });

  test('is how many were found to be taken, and no rate', () => {
    expect(limitsOf20().learned(100)).toStrictEqual({ perSecond: null, inFlight: 30 });
    const limits = new OriginLimits(50, 0);
    // The third of them counts.
    end(limits, flight(limits, 10).slice(7), 'overloaded');
    expect(limits.learned(100)).toStrictEqual({ perSecond: null, inFlight: 9 });
    expect(limits.summary(100)).toStrictEqual({ min: 8, max: 10, final: 8 });
  });

  test('is a rate that was found to be taken, and no more in flight than were allowed anyway', () => {
    const limits = new OriginLimits(5, 0);
    // 20 a second, for 4 seconds.
    for (let atMs = 0; atMs < 4_000; atMs += 50)
      end(limits, [limits.sent(atMs, 1)], 'answered', { nowMs: atMs });
    for (const atMs of [4_000, 4_001, 4_002])
      end(limits, [limits.sent(atMs, 1)], 'throttled', { nowMs: atMs });
    const { perSecond, inFlight } = limits.learned(4_002);
    // 97 % of it.
    expect([Math.round(perSecond ?? 0), inFlight]).toStrictEqual([19, null]);
  });

  test('is where the next run starts: half as many in flight, and 95 % of the rate', () => {
    const limits = new OriginLimits(50, 0, { perSecond: 100, inFlight: 30, told: null });
    expect([limits.inFlight(0), Math.round(limits.perSecond(0))]).toStrictEqual([15, 95]);
    const unknown = new OriginLimits(50, 0, { perSecond: null, inFlight: null, told: null });
    expect(standOf(unknown, 0)).toStrictEqual([10, false]);
  });

  test('does not fade in a pause', () => {
    const limits = new OriginLimits(50, 0, { perSecond: 100, inFlight: null, told: null });
    limits.pause(0, 60_000);
    expect(limits.perSecond(60_000)).toBe(limits.perSecond(0));
    expect(limits.perSecond(70_000)).toBeGreaterThan(limits.perSecond(60_000));
  });
});
