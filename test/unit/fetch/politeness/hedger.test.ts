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

  /** A way to send requests, each of which takes the next of these courses, or the last. */
  const sending = (...courses: [Course, ...Course[]]) => {
    const sent: Sent[] = [];
    const send: Send = async (slot, signal, onOtherConnection) => {
      const { lastsMs, result } = courses[Math.min(sent.length, courses.length - 1)] ?? courses[0];
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
    for (let i = 0; i < count; i++) await clock.runUntil(start(sending({ lastsMs, result: GOOD }).send));
  };

  /** Makes an attempt, and tells what came of it, and which requests were sent, by the time since it began. */
  const attempt = async (...courses: [Course, ...Course[]]) => {
    const startMs = clock.now();
    const { sent, send } = sending(...courses);
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

  /** Starts so many attempts at once that never end, and tells when each of their requests was sent since then. */
  const stuck = async (count: number, signal = NEVER) => {
    const startMs = clock.now();
    const attempts = Array.from({ length: count }, () => sending({ lastsMs: 1e6, result: GOOD }));
    const races = attempts.map(({ send }) => start(send, signal));
    await quiet();
    return {
      ended: Promise.allSettled(races),
      sentMs: () => attempts.map(({ sent }) => sent.map(({ atMs }) => atMs - startMs)),
    };
  };

  /** Moves on in steps that let what happens in each come to rest. */
  const move = async (ms: number): Promise<void> => {
    await quiet();
    const endMs = clock.now() + ms;
    do {
      clock.advance(Math.min(5, endMs - clock.now()));
      await quiet();
    } while (clock.now() < endMs);
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
  return Object.assign(world, { sending, start, sample, attempt, stuck, move, free });
}

describe('an attempt', () => {
  test('that is not late is one request', async () => {
    const world = worldWith();
    await world.sample(40);
    expect(await world.attempt({ lastsMs: 149, result: GOOD })).toStrictEqual({
      result: GOOD,
      hedged: false,
      tookMs: 149,
      requests: [{ fromMs: 0, toMs: 149, onOtherConnection: false, aborted: false }],
    });
    expect(world.hedger.summary()).toStrictEqual({ hedges: 0, hedgesWon: 0 });
  });

  test('that is late gets a second request; the first good answer wins', async () => {
    const world = worldWith();
    await world.sample(40);
    expect(
      await world.attempt({ lastsMs: 5_000, result: GOOD }, { lastsMs: 51, result: response(404) }),
    ).toStrictEqual({
      result: response(404),
      hedged: true,
      tookMs: 201,
      requests: [
        { fromMs: 0, toMs: 201, onOtherConnection: false, aborted: true },
        { fromMs: 150, toMs: 201, onOtherConnection: true, aborted: false },
      ],
    });
    expect([world.hedger.summary(), world.clock.pending, world.free()]).toStrictEqual([
      { hedges: 1, hedgesWon: 1 },
      0,
      100,
    ]);
  });

  test('whose second request is late as well gets a third', async () => {
    const world = worldWith();
    await world.sample(40);
    expect(
      await world.attempt(
        { lastsMs: 5_000, result: GOOD },
        { lastsMs: 5_000, result: GOOD },
        { lastsMs: 51, result: response(404) },
      ),
    ).toStrictEqual({
      result: response(404),
      hedged: true,
      tookMs: 351,
      requests: [
        { fromMs: 0, toMs: 351, onOtherConnection: false, aborted: true },
        { fromMs: 150, toMs: 351, onOtherConnection: true, aborted: true },
        { fromMs: 300, toMs: 351, onOtherConnection: true, aborted: false },
      ],
    });
    expect([world.hedger.summary(), world.clock.pending, world.free()]).toStrictEqual([
      { hedges: 2, hedgesWon: 1 },
      0,
      100,
    ]);
  });

  test('has three requests at most', async () => {
    const world = worldWith();
    await world.sample(40);
    const made = await world.attempt({ lastsMs: 5_000, result: GOOD });
    expect([made.requests.map(({ fromMs }) => fromMs), made.tookMs]).toStrictEqual([[0, 150, 300], 5_000]);
    expect(world.hedger.summary()).toStrictEqual({ hedges: 2, hedgesWon: 0 });
  });

  test('whose first request wins after all has the others aborted', async () => {
    const world = worldWith();
    await world.sample(40);
    expect(
      await world.attempt({ lastsMs: 320, result: GOOD }, { lastsMs: 500, result: response(404) }),
    ).toStrictEqual({
      result: GOOD,
      hedged: true,
      tookMs: 320,
      requests: [
        { fromMs: 0, toMs: 320, onOtherConnection: false, aborted: false },
        { fromMs: 150, toMs: 320, onOtherConnection: true, aborted: true },
        { fromMs: 300, toMs: 320, onOtherConnection: true, aborted: true },
      ],
    });
    expect([world.hedger.summary(), world.clock.pending, world.free()]).toStrictEqual([
      { hedges: 2, hedgesWon: 0 },
      0,
      100,
    ]);
  });

  test('whose second request wins when there is a third has that aborted', async () => {
    const world = worldWith();
    await world.sample(40);
    const made = await world.attempt(
      { lastsMs: 5_000, result: GOOD },
      { lastsMs: 170, result: response(404) },
    );
    expect([made.result, made.requests.map(({ toMs, aborted }) => [toMs, aborted])]).toStrictEqual([
      response(404),
      [
        [320, true],
        [320, false],
        [320, true],
      ],
    ]);
    expect([world.hedger.summary(), world.free()]).toStrictEqual([{ hedges: 2, hedgesWon: 1 }, 100]);
  });

  test.each<[name: string, result: AttemptResult]>([
    ['HTTP 429', response(429)],
    ['HTTP 500', response(500)],
    ['HTTP 403 with Retry-After', { ...response(403), retryAfter: '0' } as AttemptResult],
    ['a failure of the network', { kind: 'failed', code: 'ECONNRESET' }],
    ['a timeout', { kind: 'timed-out' }],
  ])('waits for the other request where one brings what another try may change: %s', async (_name, bad) => {
    const worlds = [worldWith(), worldWith()] as const;
    for (const world of worlds) await world.sample(40);
    const secondFails = await worlds[0].attempt({ lastsMs: 290, result: GOOD }, { lastsMs: 20, result: bad });
    expect(secondFails).toStrictEqual({
      result: GOOD,
      hedged: true,
      tookMs: 290,
      requests: [
        { fromMs: 0, toMs: 290, onOtherConnection: false, aborted: false },
        { fromMs: 150, toMs: 170, onOtherConnection: true, aborted: false },
      ],
    });
    const firstFails = await worlds[1].attempt({ lastsMs: 160, result: bad }, { lastsMs: 100, result: GOOD });
    expect([firstFails.result, firstFails.hedged, firstFails.tookMs]).toStrictEqual([GOOD, true, 250]);
    expect(worlds.map((world) => [world.hedger.summary(), world.free()])).toStrictEqual([
      [{ hedges: 1, hedgesWon: 0 }, 100],
      [{ hedges: 1, hedgesWon: 1 }, 100],
    ]);
  });

  test('whose requests all fail has failed as the first to end', async () => {
    const world = worldWith();
    await world.sample(40);
    const made = await world.attempt(
      { lastsMs: 400, result: response(500) },
      { lastsMs: 20, result: response(502) },
      { lastsMs: 20, result: response(504) },
    );
    expect([made.result, made.hedged, made.tookMs]).toStrictEqual([response(502), true, 400]);
    expect([world.hedger.summary(), world.free()]).toStrictEqual([{ hedges: 2, hedgesWon: 0 }, 100]);
  });

  test('takes a body that is too large for an answer like any other', async () => {
    const world = worldWith();
    await world.sample(40);
    const tooLarge: AttemptResult = { kind: 'too-large', status: 200 };
    const made = await world.attempt({ lastsMs: 300, result: GOOD }, { lastsMs: 20, result: tooLarge });
    expect([made.result, made.tookMs]).toStrictEqual([tooLarge, 170]);
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
  test('is not known before an attempt was good', async () => {
    const world = worldWith();
    for (let i = 0; i < 100; i++) await world.attempt({ lastsMs: 10, result: response(500) });
    const early = await world.attempt({ lastsMs: 5_000, result: GOOD });
    expect([early.requests.length, early.tookMs]).toStrictEqual([1, 5_000]);
    const late = await world.attempt({ lastsMs: 60_000, result: GOOD }, { lastsMs: 1, result: GOOD });
    expect(late.requests.length).toBe(2);
  });

  test.each([
    [1, 1_125],
    [2, 625],
    [10, 225],
    [20, 175],
    [40, 150],
    [100, 135],
    [1_000, 126],
  ])(
    'is the later, the fewer attempts were good: of 100 ms each, after %i of them, %i ms',
    async (count, ms) => {
      const world = worldWith();
      await world.sample(count);
      const made = await world.attempt({ lastsMs: 60_000, result: GOOD }, { lastsMs: 1, result: GOOD });
      expect(made.requests.map(({ fromMs }) => fromMs)).toStrictEqual([0, ms]);
    },
  );

  test.each([
    [2, 150],
    [3, 600],
  ])(
    'goes by the 95th percentile of the whole run so far: with %i slow ones of 40, %i ms',
    async (slow, ms) => {
      const world = worldWith();
      await world.sample(slow, 400);
      await world.sample(40 - slow, 100);
      const stuck = await world.stuck(1);
      await world.move(ms);
      expect(stuck.sentMs()).toStrictEqual([[0, ms]]);
    },
  );

  test('is what it was where hedges win: the first requests would have taken longer', async () => {
    const world = worldWith();
    await world.sample(38);
    for (let i = 0; i < 2; i++) {
      const made = await world.attempt({ lastsMs: 5_000, result: GOOD }, { lastsMs: 1, result: GOOD });
      expect(made.hedged).toBe(true);
    }
    const stuck = await world.stuck(1);
    await world.move(150);
    expect(stuck.sentMs()).toStrictEqual([[0, 150]]);
  });

  test('counts from the start of its request for one that takes no time, too', async () => {
    const world = worldWith();
    for (let i = 0; i < 40; i++) await world.attempt({ lastsMs: 0, result: GOOD });
    const made = await world.attempt({ lastsMs: 5_000, result: GOOD }, { lastsMs: 0, result: GOOD });
    expect(made.requests.map(({ fromMs }) => fromMs)).toStrictEqual([0, 2]);
  });
});

describe('the budget', () => {
  test('while no post waits is one hedge for twenty attempts, and ten: for those that have waited longest', async () => {
    const world = worldWith();
    await world.sample(40);
    const early = await world.stuck(10);
    await world.move(10);
    const late = await world.stuck(5);
    await world.move(1_000);
    // 5 % of 55, and 10.
    expect([early.sentMs(), late.sentMs()]).toStrictEqual([
      Array(10).fill([0, 150]),
      [[0, 150], [0, 150], [0], [0], [0]],
    ]);
    expect(world.hedger.summary().hedges).toBe(12);
  });

  test('that is used up is looked at again as attempts are made', async () => {
    const world = worldWith();
    await world.sample(40);
    const stuck = await world.stuck(14);
    await world.move(1_000);
    expect(stuck.sentMs().map(({ length }) => length)).toStrictEqual([...Array(12).fill(2), 1, 1]);
    await world.sample(6);
    // 5 % of 60, and 10.
    expect(stuck.sentMs().map(({ length }) => length)).toStrictEqual([...Array(13).fill(2), 1]);
    await world.sample(20);
    expect(stuck.sentMs().map(({ length }) => length)).toStrictEqual(Array(14).fill(2));
  });

  test('while posts wait is one hedge for 25 attempts, which goes before them', async () => {
    const world = worldWith({ concurrency: 6 });
    await world.sample(45);
    const stuck = await world.stuck(5);
    const other = world.limiter.start(NEVER);
    const waiting = [world.limiter.start(NEVER), world.limiter.start(NEVER)];
    await world.move(1_000);
    world.limiter.release(Number(other), 'answered');
    await quiet();
    // 4 % of 50: one that has its slot, and one that waits for it.
    expect(stuck.sentMs().map(({ length }) => length)).toStrictEqual([2, 1, 1, 1, 1]);
    expect(world.hedger.summary().hedges).toBe(2);
    expect(await Promise.race([...waiting, quiet()])).toBe(undefined);
  });

  test('does not take the time between the end of a post and the start of the next for one when none waits', async () => {
    const world = worldWith({ concurrency: 2 });
    await world.sample(10);
    const stuck = await world.stuck(1);
    const posts = async (): Promise<void> => {
      for (let i = 0; i < 10; i++) await world.start(world.sending({ lastsMs: 100, result: GOOD }).send);
    };
    const all = posts();
    await world.clock.runUntil(all);
    expect([world.clock.now(), stuck.sentMs()]).toStrictEqual([2_000, [[0]]]);
    await world.move(0);
    expect(stuck.sentMs()).toStrictEqual([[0, 1_000]]);
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
    await world.move(4_000);
    expect(sent.length).toBe(1);
    await world.clock.runUntil(race);
    expect([world.hedger.summary().hedges, world.clock.pending, world.free()]).toStrictEqual([0, 0, 0]);
  });

  test('until the pause is over, whether or not other attempts are made then', async () => {
    const world = worldWith();
    await world.sample(40);
    const stuck = await world.stuck(1);
    world.limiter.pause(1_000);
    await world.move(10_000);
    expect(stuck.sentMs()).toStrictEqual([[0, 1_050, 1_200]]);
  });

  test('while the limit shrinks', async () => {
    const world = worldWith({ adaptive: true });
    await world.sample(40);
    const { sent, send } = world.sending({ lastsMs: 5_000, result: GOOD });
    const race = world.start(send);
    const other = world.limiter.start(NEVER);
    await quiet();
    world.limiter.release(Number(other), 'overloaded');
    await world.move(4_000);
    expect(sent.length).toBe(1);
    await world.clock.runUntil(race);
    expect([world.hedger.summary().hedges, world.clock.pending]).toStrictEqual([0, 0]);
  });

  test('once the run has ended', async () => {
    const world = worldWith({ deadlineMs: 4_100 });
    await world.sample(40);
    const made = await world.clock.runUntil(
      world.start(world.sending({ lastsMs: 4_000, result: GOOD }).send),
    );
    expect([made.hedged, world.hedger.summary().hedges, world.clock.pending]).toStrictEqual([false, 0, 0]);
  });

  test.each<[name: string, refusal: AttemptResult]>([
    ['HTTP 429', response(429)],
    ['HTTP 503', response(503)],
    ['HTTP 403 with Retry-After', { ...response(403), retryAfter: '0' } as AttemptResult],
  ])('after a hedge was refused, until a round of attempts was answered: %s', async (_name, refusal) => {
    const world = worldWith();
    await world.sample(40);
    const refused = world.sending({ lastsMs: 1e6, result: GOOD }, { lastsMs: 20, result: refusal });
    void world.start(refused.send);
    await world.move(100);
    const stuck = await world.stuck(2);
    await world.move(1_000);
    const lengths = () => [refused.sent, ...stuck.sentMs()].map(({ length }) => length);
    expect(lengths()).toStrictEqual([2, 1, 1]);
    await world.sample(2);
    expect(lengths()).toStrictEqual([2, 1, 1]);
    await world.sample(1);
    await world.move(0);
    expect(lengths()).toStrictEqual([3, 2, 2]);
  });

  test('longer than another time, where a hedge has failed in another way', async () => {
    const world = worldWith();
    await world.sample(40);
    const failed = world.sending({ lastsMs: 1e6, result: GOOD }, { lastsMs: 20, result: response(500) });
    void world.start(failed.send);
    await world.move(100);
    const stuck = await world.stuck(1);
    await world.move(1_000);
    expect([failed.sent, ...stuck.sentMs()].map(({ length }) => length)).toStrictEqual([3, 3]);
  });
});

describe('a hedge', () => {
  test('waits for a slot, before posts that wait for one', async () => {
    const world = worldWith({ concurrency: 2 });
    await world.sample(40);
    const slow = world.sending({ lastsMs: 10_000, result: GOOD }, { lastsMs: 10, result: GOOD });
    const other = world.sending({ lastsMs: 175, result: GOOD });
    const waiting = world.sending({ lastsMs: 1, result: GOOD });
    const startMs = world.clock.now();
    const race = world.start(slow.send);
    await world.move(20);
    const races = [race, world.start(other.send), world.start(waiting.send)];
    await world.clock.runUntil(Promise.all(races));
    expect([slow, other, waiting].map(({ sent }) => sent.map(({ atMs }) => atMs - startMs))).toStrictEqual([
      [0, 195],
      [20],
      [205],
    ]);
    expect([world.hedger.summary(), world.clock.pending, world.free()]).toStrictEqual([
      { hedges: 1, hedgesWon: 1 },
      0,
      2,
    ]);
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
    const first = world.sending({ lastsMs: 200, result: GOOD });
    const race = world.start(first.send);
    const other = world.limiter.start(NEVER);
    await quiet();
    await world.move(199);
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

  test('whose turn comes when posts wait, which did not before, gives its slot back and waits again', async () => {
    const world = worldWith({ ratePerSecond: 1, deadlineMs: 1e9 });
    await world.sample(20);
    const stuck = await world.stuck(1);
    await world.move(1_200);
    const posts = [world.limiter.start(NEVER), world.limiter.start(NEVER)];
    await world.move(700);
    // The first post has the slot that was to be the hedge's.
    expect([stuck.sentMs(), await posts[0], world.hedger.summary().hedges]).toStrictEqual([[[900]], 0, 0]);
    await world.move(2_000);
    expect([stuck.sentMs(), await posts[1]]).toStrictEqual([[[900, 3_900]], 0]);
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

  test('rejects with its reason, ends all requests, and leaves nothing behind', async () => {
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
    expect(sent.map(({ aborted }) => aborted)).toStrictEqual([reason, reason, reason]);
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
      courses: fc.tuple(courses, courses, courses),
      abortedMs: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 4_000 })),
    }),
    { minLength: 30, maxLength: 120 },
  );

  test('hedges are at most 5 % of attempts, and 10 while no post waits; and all that was taken is given back', async () => {
    let hedges = 0;
    let beyond = 0;
    const limits = fc.record({
      concurrency: fc.integer({ min: 1, max: 60 }),
      ratePerSecond: fc.constantFrom(Infinity, Infinity, 50, 500),
    });
    await fc.assert(
      fc.asyncProperty(posts, limits, async (posts, { concurrency, ratePerSecond }) => {
        const world = worldWith({ concurrency, ratePerSecond });
        const { clock, hedger, limiter } = world;
        const signals: AbortSignal[] = [];
        const waiting = new Set<AbortSignal>();
        const tooMany: string[] = [];
        let attempted = 0;
        let hedged = 0;
        const note = async (): Promise<void> => {
          const [sent, share] = [hedged, 0.05 * attempted];
          if (sent > share + 10) tooMany.push(`${sent} of ${attempted}`);
          if (sent <= share) return;
          beyond += 1;
          const waited = [...waiting];
          // Posts that have their slot, but do not know yet, wait no more.
          for (let i = 0; i < 10; i++) await undefined;
          if (waited.some((signal) => waiting.has(signal))) tooMany.push(`${sent} of ${attempted}, busy`);
        };
        const one = async ({ askedMs, courses, abortedMs }: (typeof posts)[number]) => {
          await new Promise<void>((resolve) => clock.after(askedMs, resolve));
          const stopping = new AbortController();
          const { signal } = stopping;
          signals.push(signal);
          const cancel = abortedMs > 0 ? clock.after(abortedMs, () => stopping.abort()) : undefined;
          const { sent, send } = world.sending(...courses);
          const counted: Send = (slot, signal, onOtherConnection) => {
            if (onOtherConnection) {
              hedged += 1;
              void note();
            } else attempted += 1;
            return send(slot, signal, onOtherConnection);
          };
          try {
            waiting.add(signal);
            const slot = await limiter.start(signal);
            waiting.delete(signal);
            const made = await hedger.attempt(Number(slot), counted, signal);
            expect(made.hedged).toBe(sent.length > 1);
            expect(sent.length).toBeLessThanOrEqual(3);
          } catch (error) {
            expect(error).toBe(signal.reason);
          } finally {
            waiting.delete(signal);
            cancel?.();
          }
        };
        const unhandled = await unhandledRejectionsIn(async () => {
          await clock.runUntil(Promise.all(posts.map(one)));
        });
        expect([unhandled, tooMany]).toStrictEqual([[], []]);
        const { hedges: counted, hedgesWon } = hedger.summary();
        expect(counted).toBe(hedged);
        expect(hedgesWon).toBeLessThanOrEqual(hedged);
        await world.move(1_000);
        expect([clock.pending, world.inFlight]).toStrictEqual([0, 0]);
        if (ratePerSecond === Infinity) expect(world.free()).toBe(concurrency);
        expect(signals.flatMap((signal) => getEventListeners(signal, 'abort'))).toStrictEqual([]);
        hedges += hedged;
      }),
      { numRuns: 60 },
    );
    // Or nothing of this was seen.
    expect(Math.min(hedges, beyond)).toBeGreaterThan(0);
  });
});
