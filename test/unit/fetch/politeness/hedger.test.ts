import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AttemptResult } from '../../../../src/fetch/origin/attempt.ts';
import type { Feedback } from '../../../../src/fetch/politeness/concurrency-limit.ts';
import { type Hedged, Hedger, type Send } from '../../../../src/fetch/politeness/hedger.ts';
import type { Slot } from '../../../../src/fetch/politeness/limiter.ts';
import { type LimiterGiven, limiterWith } from '../../../support/limiter-world.ts';
import { quiet, unhandledRejectionsIn } from '../../../support/manual-mapper.ts';

const NEVER = new AbortController().signal;

const response = (status: number, text = ''): AttemptResult => ({
  kind: 'response',
  status,
  body: Buffer.from(text),
});
const GOOD = response(200, '{}');

/** How a request goes. */
interface Course {
  readonly lastsMs: number;
  readonly result: AttemptResult;
}

interface Sent {
  readonly atMs: number;
  readonly onOtherConnection: boolean;
  endedMs?: number;
  aborted?: unknown;
}

function worldWith(given: LimiterGiven = {}) {
  const { clock, limiter } = limiterWith({ random: () => 0, concurrency: 100, deadlineMs: 1e9, ...given });
  const hedger = new Hedger(clock, limiter);
  const world = { clock, limiter, hedger, inFlight: 0 };

  /** A way to send requests, the first of which takes the first course, the second one the second. */
  const sending = (first: Course, second: Course = first) => {
    const sent: Sent[] = [];
    const send: Send = async (slot, signal, onOtherConnection) => {
      const { lastsMs, result } = sent.length === 0 ? first : second;
      const request: Sent = { atMs: clock.now(), onOtherConnection };
      sent.push(request);
      world.inFlight += 1;
      let feedback: Feedback = 'unknown';
      try {
        await new Promise<void>((resolve, reject) => {
          const onAbort = (): void => {
            cancel();
            request.aborted = signal.reason;
            reject(signal.reason);
          };
          const cancel = clock.after(lastsMs, () => {
            signal.removeEventListener('abort', onAbort);
            resolve();
          });
          signal.addEventListener('abort', onAbort, { once: true });
        });
        if (result === GOOD) feedback = 'answered';
        return result;
      } finally {
        request.endedMs = clock.now();
        world.inFlight -= 1;
        limiter.release(slot, feedback);
      }
    };
    return { sent, send };
  };

  const start = async (send: Send, signal = NEVER): Promise<Hedged> => {
    const slot = await limiter.start(signal);
    if (slot === undefined) throw new Error('Expected a slot');
    return hedger.attempt(slot, send, signal);
  };

  /** So many good attempts, one after the other. */
  const sample = async (count: number, lastsMs = 100): Promise<void> => {
    for (let i = 0; i < count; i++)
      await clock.runUntil(start(sending({ lastsMs: lastsMs - 1, result: GOOD }).send));
  };

  /** Makes an attempt, and tells what came of it, and which requests were sent, by the time since it began. */
  const attempt = async (first: Course, second?: Course) => {
    const startMs = clock.now();
    const { sent, send } = sending(first, second);
    const hedged = await clock.runUntil(start(send));
    const tookMs = clock.now() - startMs;
    await quiet();
    const requests = sent.map(({ atMs, endedMs = Infinity, onOtherConnection, aborted }) => ({
      fromMs: atMs - startMs,
      toMs: endedMs - startMs,
      onOtherConnection,
      aborted: aborted !== undefined,
    }));
    return { ...hedged, tookMs, requests };
  };

  /** How many more requests could be in flight now. */
  const free = (): number => {
    const slots: Slot[] = [];
    const stopping = new AbortController();
    for (;;) {
      const slot = limiter.start(stopping.signal);
      if (typeof slot !== 'number') {
        Promise.resolve(slot).catch(() => {});
        break;
      }
      slots.push(slot);
    }
    stopping.abort();
    for (const slot of slots) limiter.release(slot, 'unknown');
    return slots.length;
  };
  return Object.assign(world, { sending, start, sample, attempt, free });
}

const FIRST_ABORTED = { fromMs: 0, toMs: 150, onOtherConnection: false, aborted: true };

describe('an attempt', () => {
  test('that is not late is one request', async () => {
    const world = worldWith();
    await world.sample(40);
    expect(await world.attempt({ lastsMs: 90, result: GOOD })).toStrictEqual({
      result: GOOD,
      hedged: false,
      tookMs: 90,
      requests: [{ fromMs: 0, toMs: 90, onOtherConnection: false, aborted: false }],
    });
    expect([world.hedger.summary().hedges, world.hedger.summary().hedgesWon]).toStrictEqual([0, 0]);
  });

  test('that outlasts 95 % of those before gets a second request; the first good answer wins', async () => {
    const world = worldWith();
    await world.sample(40);
    expect(
      await world.attempt({ lastsMs: 5_000, result: GOOD }, { lastsMs: 51, result: response(404) }),
    ).toStrictEqual({
      result: response(404),
      hedged: true,
      tookMs: 150,
      requests: [FIRST_ABORTED, { fromMs: 99, toMs: 150, onOtherConnection: true, aborted: false }],
    });
    expect([
      world.hedger.summary().hedges,
      world.hedger.summary().hedgesWon,
      world.clock.pending,
      world.free(),
    ]).toStrictEqual([1, 1, 0, 100]);
  });

  test('whose first request wins after all has the second one aborted', async () => {
    const world = worldWith();
    await world.sample(40);
    expect(
      await world.attempt({ lastsMs: 120, result: GOOD }, { lastsMs: 50, result: response(404) }),
    ).toStrictEqual({
      result: GOOD,
      hedged: true,
      tookMs: 120,
      requests: [
        { fromMs: 0, toMs: 120, onOtherConnection: false, aborted: false },
        { fromMs: 99, toMs: 120, onOtherConnection: true, aborted: true },
      ],
    });
    expect([
      world.hedger.summary().hedges,
      world.hedger.summary().hedgesWon,
      world.clock.pending,
      world.free(),
    ]).toStrictEqual([1, 0, 0, 100]);
  });

  test.each<[name: string, result: AttemptResult]>([
    ['HTTP 429', response(429)],
    ['HTTP 500', response(500)],
    ['HTTP 403 with Retry-After', { ...response(403), retryAfter: '0' } as AttemptResult],
    ['a failure of the network', { kind: 'failed', code: 'ECONNRESET' }],
    ['a timeout', { kind: 'timed-out' }],
  ])('waits for the other request where one brings what another try may change: %s', async (_name, bad) => {
    const world = worldWith();
    await world.sample(80);
    const secondFails = await world.attempt({ lastsMs: 300, result: GOOD }, { lastsMs: 20, result: bad });
    expect(secondFails).toStrictEqual({
      result: GOOD,
      hedged: true,
      tookMs: 300,
      requests: [
        { fromMs: 0, toMs: 300, onOtherConnection: false, aborted: false },
        { fromMs: 99, toMs: 119, onOtherConnection: true, aborted: false },
      ],
    });
    const firstFails = await world.attempt({ lastsMs: 120, result: bad }, { lastsMs: 100, result: GOOD });
    expect([firstFails.result, firstFails.hedged, firstFails.tookMs]).toStrictEqual([GOOD, true, 199]);
    expect([world.hedger.summary().hedges, world.hedger.summary().hedgesWon, world.free()]).toStrictEqual([
      2, 1, 100,
    ]);
  });

  test('whose requests both fail has failed as the first to end', async () => {
    const world = worldWith();
    await world.sample(40);
    const made = await world.attempt(
      { lastsMs: 300, result: response(500) },
      { lastsMs: 20, result: response(502) },
    );
    expect([made.result, made.hedged, made.tookMs]).toStrictEqual([response(502), true, 300]);
    expect([world.hedger.summary().hedges, world.hedger.summary().hedgesWon, world.free()]).toStrictEqual([
      1, 0, 100,
    ]);
  });

  test('takes a body that is too large for an answer like any other', async () => {
    const world = worldWith();
    await world.sample(40);
    const tooLarge: AttemptResult = { kind: 'too-large', status: 200 };
    const made = await world.attempt({ lastsMs: 300, result: GOOD }, { lastsMs: 20, result: tooLarge });
    expect([made.result, made.tookMs]).toStrictEqual([tooLarge, 119]);
  });

  test('that has failed is not hedged any more', async () => {
    const world = worldWith();
    await world.sample(40);
    const made = await world.attempt({ lastsMs: 50, result: response(500) });
    world.clock.advance(1_000);
    expect([made.hedged, made.requests.length, world.hedger.summary().hedges]).toStrictEqual([false, 1, 0]);
  });
});

describe('what is late', () => {
  test('is not known before twenty attempts were good', async () => {
    const world = worldWith();
    for (let i = 0; i < 100; i++) await world.attempt({ lastsMs: 10, result: response(500) });
    await world.sample(19);
    const early = await world.attempt({ lastsMs: 5_000, result: GOOD });
    expect([early.requests.length, early.tookMs]).toStrictEqual([1, 5_000]);
    const late = await world.attempt({ lastsMs: 20_000, result: GOOD }, { lastsMs: 1, result: GOOD });
    expect(late.requests.length).toBe(2);
  });

  test('goes by the good attempts of the whole run so far', async () => {
    const world = worldWith();
    await world.sample(2, 400);
    await world.sample(18, 100);
    const made = await world.attempt({ lastsMs: 5_000, result: GOOD }, { lastsMs: 1, result: GOOD });
    expect(made.requests.map(({ fromMs }) => fromMs)).toStrictEqual([0, 399]);
  });

  test('counts from the start of its request for one that takes no time, too', async () => {
    const world = worldWith();
    for (let i = 0; i < 40; i++) await world.attempt({ lastsMs: 0, result: GOOD });
    const made = await world.attempt({ lastsMs: 5_000, result: GOOD });
    expect(made.requests.map(({ fromMs }) => fromMs)).toStrictEqual([0, 1]);
  });
});

describe('the budget', () => {
  test('is one hedge for twenty attempts, which those get that have waited longest', async () => {
    const world = worldWith();
    await world.sample(35);
    const late = Array.from({ length: 5 }, () => world.sending({ lastsMs: 10_000, result: GOOD }));
    const races: Promise<Hedged>[] = [];
    for (const { send } of late) {
      races.push(world.start(send));
      await quiet();
      world.clock.advance(10);
      await quiet();
    }
    world.clock.advance(1_000);
    await quiet();
    expect(late.map(({ sent }) => sent.length)).toStrictEqual([2, 2, 1, 1, 1]);
    await world.clock.runUntil(Promise.all(races));
    expect([world.hedger.summary().hedges, world.free()]).toStrictEqual([2, 100]);
  });

  test('that is used up is looked at again as attempts are made', async () => {
    const world = worldWith();
    await world.sample(38);
    const late = Array.from({ length: 2 }, () => world.sending({ lastsMs: 10_000, result: GOOD }));
    const races = late.map(({ send }) => world.start(send));
    await quiet();
    world.clock.advance(1_000);
    await quiet();
    expect(late.map(({ sent }) => sent.length)).toStrictEqual([2, 2]);
    const third = world.sending({ lastsMs: 4_000, result: GOOD }, { lastsMs: 10, result: GOOD });
    const thirdRace = world.start(third.send);
    await quiet();
    world.clock.advance(1_000);
    await quiet();
    expect(third.sent.length).toBe(1);
    for (let i = 0; i < 19; i++) {
      const { send } = world.sending({ lastsMs: 1, result: GOOD });
      const race = world.start(send);
      await quiet();
      world.clock.advance(1);
      await race;
    }
    expect(third.sent.length).toBe(2);
    await world.clock.runUntil(Promise.all([...races, thirdRace]));
    expect([world.hedger.summary().hedges, world.hedger.summary().hedgesWon, world.free()]).toStrictEqual([
      3, 1, 100,
    ]);
  });
});

describe('nothing is hedged', () => {
  test('while the origin is paused', async () => {
    const world = worldWith();
    await world.sample(40);
    const { sent, send } = world.sending({ lastsMs: 5_000, result: GOOD });
    const race = world.start(send);
    await quiet();
    world.limiter.pause(60_000);
    world.clock.advance(4_000);
    await quiet();
    expect(sent.length).toBe(1);
    await world.clock.runUntil(race);
    expect([world.hedger.summary().hedges, world.clock.pending, world.free()]).toStrictEqual([0, 0, 0]);
  });

  test('while the limit shrinks', async () => {
    const world = worldWith({ adaptive: true });
    await world.sample(40);
    const { sent, send } = world.sending({ lastsMs: 5_000, result: GOOD });
    const race = world.start(send);
    const other = world.limiter.start(NEVER);
    await quiet();
    world.limiter.release(Number(other), 'overloaded');
    world.clock.advance(4_000);
    await quiet();
    expect(sent.length).toBe(1);
    await world.clock.runUntil(race);
    expect([world.hedger.summary().hedges, world.clock.pending]).toStrictEqual([0, 0]);
  });

  test('once the run has ended', async () => {
    const world = worldWith({ deadlineMs: 10_000 });
    await world.sample(40);
    const { sent, send } = world.sending({ lastsMs: 8_000, result: GOOD });
    const race = world.start(send);
    await quiet();
    world.clock.advance(7_000);
    await quiet();
    // Nobody may be hedged who was not before, but this one was.
    expect(sent.length).toBe(2);
    await world.clock.runUntil(race);
    const late = worldWith({ deadlineMs: 4_050 });
    await late.sample(40);
    const made = await late.clock.runUntil(late.start(late.sending({ lastsMs: 4_000, result: GOOD }).send));
    expect([made.hedged, late.hedger.summary().hedges, late.clock.pending]).toStrictEqual([false, 0, 0]);
  });
});

describe('a hedge', () => {
  test('waits for a slot, before posts that wait for one', async () => {
    const world = worldWith({ concurrency: 2 });
    await world.sample(40);
    const slow = world.sending({ lastsMs: 10_000, result: GOOD }, { lastsMs: 10, result: GOOD });
    const other = world.sending({ lastsMs: 95, result: GOOD });
    const waiting = world.sending({ lastsMs: 1, result: GOOD });
    const race = world.start(slow.send);
    await quiet();
    world.clock.advance(20);
    const races = [race, world.start(other.send), world.start(waiting.send)];
    const startMs = world.clock.now() - 20;
    await world.clock.runUntil(Promise.all(races));
    expect([slow, other, waiting].map(({ sent }) => sent.map(({ atMs }) => atMs - startMs))).toStrictEqual([
      [0, 115],
      [20],
      [125],
    ]);
    expect([
      world.hedger.summary().hedges,
      world.hedger.summary().hedgesWon,
      world.clock.pending,
      world.free(),
    ]).toStrictEqual([1, 1, 0, 2]);
  });

  test('that is still waiting for its slot when the first request ends is not sent, nor counted', async () => {
    const world = worldWith({ concurrency: 1 });
    await world.sample(40);
    const made = await world.attempt({ lastsMs: 500, result: GOOD });
    expect([made.hedged, made.requests.length, made.tookMs]).toStrictEqual([false, 1, 500]);
    expect([world.hedger.summary().hedges, world.clock.pending, world.free()]).toStrictEqual([0, 0, 1]);
  });

  test('that gets its slot just as the first request ends gives it back', async () => {
    const world = worldWith({ concurrency: 2 });
    await world.sample(40);
    const first = world.sending({ lastsMs: 150, result: GOOD });
    const race = world.start(first.send);
    const other = world.limiter.start(NEVER);
    await quiet();
    world.clock.advance(149);
    await quiet();
    // The answer is here, and a slot comes free, before anything else can happen.
    world.clock.advance(1);
    world.limiter.release(Number(other), 'answered');
    const { hedged } = await race;
    await quiet();
    expect([
      hedged,
      first.sent.length,
      world.hedger.summary().hedges,
      world.inFlight,
      world.free(),
    ]).toStrictEqual([false, 1, 0, 0, 2]);
  });
});

describe('an abort', () => {
  test('that came before rejects at once', async () => {
    const { clock, limiter } = limiterWith({ concurrency: 1 });
    const reason = new Error('stopped before');
    const attempt = new Hedger(clock, limiter).attempt(
      0,
      async (_slot, signal) => {
        signal.throwIfAborted();
        return expect.unreachable('The request was sent');
      },
      AbortSignal.abort(reason),
    );
    await expect(Promise.race([attempt, quiet()])).rejects.toBe(reason);
  });

  test('rejects with its reason, ends both requests, and leaves nothing behind', async () => {
    const world = worldWith();
    await world.sample(40);
    const stopping = new AbortController();
    const { sent, send } = world.sending({ lastsMs: 5_000, result: GOOD });
    const race = world.start(send, stopping.signal);
    await quiet();
    world.clock.advance(1_000);
    await quiet();
    const reason = new Error('stopped');
    const unhandled = await unhandledRejectionsIn(async () => {
      stopping.abort(reason);
      await expect(race).rejects.toBe(reason);
    });
    expect(sent.map(({ aborted }) => aborted)).toStrictEqual([reason, reason]);
    expect([unhandled, world.clock.pending, world.inFlight, world.free()]).toStrictEqual([[], 0, 0, 100]);
    expect(getEventListeners(stopping.signal, 'abort')).toStrictEqual([]);
  });

  test('while the hedge waits for its slot rejects in the same way', async () => {
    const world = worldWith({ concurrency: 1 });
    await world.sample(40);
    const stopping = new AbortController();
    const { sent, send } = world.sending({ lastsMs: 5_000, result: GOOD });
    const race = world.start(send, stopping.signal);
    await quiet();
    world.clock.advance(1_000);
    await quiet();
    const reason = new Error('stopped');
    stopping.abort(reason);
    await expect(race).rejects.toBe(reason);
    await quiet();
    expect([sent.length, world.hedger.summary().hedges, world.clock.pending, world.free()]).toStrictEqual([
      1, 0, 0, 1,
    ]);
  });
});

describe('for any latencies, answers, concurrency and aborts', () => {
  const results = fc.constantFrom<AttemptResult[]>(GOOD, GOOD, GOOD, response(404), response(500), {
    kind: 'timed-out',
  });
  const courses = fc.record({
    // Few are late, as a rule.
    lastsMs: fc.oneof(
      { weight: 9, arbitrary: fc.integer({ min: 0, max: 100 }) },
      fc.integer({ min: 0, max: 3_000 }),
    ),
    result: results,
  });
  const posts = fc.array(
    fc.record({
      askedMs: fc.integer({ min: 0, max: 4_000 }),
      first: courses,
      second: courses,
      abortedMs: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 4_000 })),
    }),
    { minLength: 30, maxLength: 120 },
  );

  test('hedges are at most 5 % of attempts, and every slot, timer and listener is given back', async () => {
    let hedges = 0;
    await fc.assert(
      fc.asyncProperty(posts, fc.integer({ min: 1, max: 60 }), async (posts, concurrency) => {
        const world = worldWith({ concurrency });
        const { clock, hedger } = world;
        const signals: AbortSignal[] = [];
        let attempted = 0;
        let sentTwice = 0;
        let tooMany = 0;
        const one = async ({ askedMs, first, second, abortedMs }: (typeof posts)[number]) => {
          await new Promise<void>((resolve) => clock.after(askedMs, resolve));
          const stopping = new AbortController();
          signals.push(stopping.signal);
          const cancel = abortedMs > 0 ? clock.after(abortedMs, () => stopping.abort()) : undefined;
          const { sent, send } = world.sending(first, second);
          const counted: Send = (slot, signal, onOtherConnection) => {
            if (onOtherConnection) sentTwice += 1;
            else attempted += 1;
            if (sentTwice > 0.05 * attempted) tooMany += 1;
            return send(slot, signal, onOtherConnection);
          };
          try {
            const { hedged } = await world.start(counted, stopping.signal);
            expect(hedged).toBe(sent.length === 2);
          } catch (error) {
            expect(error).toBe(stopping.signal.reason);
          } finally {
            cancel?.();
          }
        };
        const unhandled = await unhandledRejectionsIn(async () => {
          await clock.runUntil(Promise.all(posts.map(one)));
        });
        expect(unhandled).toStrictEqual([]);
        expect(tooMany).toBe(0);
        expect(hedger.summary().hedges).toBe(sentTwice);
        expect(hedger.summary().hedgesWon).toBeLessThanOrEqual(sentTwice);
        expect([clock.pending, world.inFlight, world.free()]).toStrictEqual([0, 0, concurrency]);
        expect(signals.flatMap((signal) => getEventListeners(signal, 'abort'))).toStrictEqual([]);
        hedges += sentTwice;
      }),
      { numRuns: 60 },
    );
    expect(hedges).toBeGreaterThan(0);
  });
});
