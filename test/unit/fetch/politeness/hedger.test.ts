import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import type { AttemptResult } from '../../../../src/fetch/origin/attempt.ts';
import { Hedger } from '../../../../src/fetch/politeness/hedger.ts';
import { GOOD, hedgerWith, response } from '../../../support/hedger-world.ts';
import { limiterWith, slotOf } from '../../../support/limiter-world.ts';
import { quiet, unhandledRejectionsIn } from '../../../support/manual-mapper.ts';

describe('an attempt', () => {
  test('that is not late is one request', async () => {
    const world = hedgerWith();
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
    const world = hedgerWith();
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
    const world = hedgerWith();
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
    const world = hedgerWith();
    await world.sample(40);
    const made = await world.attempt({ lastsMs: 5_000, result: GOOD });
    expect([made.requests.map(({ fromMs }) => fromMs), made.tookMs]).toStrictEqual([[0, 150, 300], 5_000]);
    expect(world.hedger.summary()).toStrictEqual({ hedges: 2, hedgesWon: 0 });
  });

  test('whose first request wins after all has the others aborted', async () => {
    const world = hedgerWith();
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
    const world = hedgerWith();
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
    const worlds = [hedgerWith(), hedgerWith()] as const;
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
    const world = hedgerWith();
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
    const world = hedgerWith();
    await world.sample(40);
    const tooLarge: AttemptResult = { kind: 'too-large', status: 200 };
    const made = await world.attempt({ lastsMs: 300, result: GOOD }, { lastsMs: 20, result: tooLarge });
    expect([made.result, made.tookMs]).toStrictEqual([tooLarge, 170]);
  });

  test('that has failed is not hedged any more', async () => {
    const world = hedgerWith();
    await world.sample(40);
    const made = await world.attempt({ lastsMs: 50, result: response(500) });
    world.clock.advance(1_000);
    expect([made.hedged, made.requests.length, world.hedger.summary().hedges]).toStrictEqual([false, 1, 0]);
  });
});

describe('what is late', () => {
  test('is not known before an attempt was good', async () => {
    const world = hedgerWith();
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
      const world = hedgerWith();
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
      const world = hedgerWith();
      await world.sample(slow, 400);
      await world.sample(40 - slow, 100);
      const stuck = await world.stuck(1);
      await world.move(ms);
      expect(stuck.sentMs()).toStrictEqual([[0, ms]]);
    },
  );

  test('is what it was where hedges win: the first requests would have taken longer', async () => {
    const world = hedgerWith();
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
    const world = hedgerWith();
    for (let i = 0; i < 40; i++) await world.attempt({ lastsMs: 0, result: GOOD });
    const made = await world.attempt({ lastsMs: 5_000, result: GOOD }, { lastsMs: 0, result: GOOD });
    expect(made.requests.map(({ fromMs }) => fromMs)).toStrictEqual([0, 2]);
  });
});

describe('an abort', () => {
  test('that came before rejects at once', async () => {
    const { clock, limiter } = limiterWith({ concurrency: 1 });
    const reason = new Error('stopped before');
    const attempt = new Hedger(clock, limiter).attempt(
      slotOf(limiter),
      async (_slot, signal) => {
        signal.throwIfAborted();
        return expect.unreachable('The request was sent');
      },
      AbortSignal.abort(reason),
    );
    await expect(Promise.race([attempt, quiet()])).rejects.toBe(reason);
  });

  test('rejects with its reason, ends all requests, and leaves nothing behind', async () => {
    const world = hedgerWith();
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
    const world = hedgerWith({ concurrency: 1 });
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
