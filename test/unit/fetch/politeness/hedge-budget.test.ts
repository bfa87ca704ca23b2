import { describe, expect, test } from 'vitest';
import type { AttemptResult } from '../../../../src/fetch/origin/attempt.ts';
import { GOOD, hedgerWith, response } from '../../../support/hedger-world.ts';
import { ANY_SLOT, NEVER, slotOf, slotsOf } from '../../../support/limiter-world.ts';
import { quiet } from '../../../support/manual-mapper.ts';

describe('the budget', () => {
  test('while no post waits is one hedge for twenty attempts, and ten: for those that have waited longest', async () => {
    const world = hedgerWith();
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
    const world = hedgerWith();
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
    const world = hedgerWith({ concurrency: 6 });
    await world.sample(45);
    const stuck = await world.stuck(5);
    const other = slotOf(world.limiter);
    const waiting = [world.limiter.start(NEVER), world.limiter.start(NEVER)];
    await world.move(1_000);
    world.limiter.release(other, 'answered');
    await quiet();
    // 4 % of 50: one that has its slot, and one that waits for it.
    expect(stuck.sentMs().map(({ length }) => length)).toStrictEqual([2, 1, 1, 1, 1]);
    expect(world.hedger.summary().hedges).toBe(2);
    expect(await Promise.race([...waiting, quiet()])).toBe(undefined);
  });

  test('does not take the time between the end of a post and the start of the next for one when none waits', async () => {
    const world = hedgerWith({ concurrency: 2 });
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
    const world = hedgerWith();
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
    const world = hedgerWith();
    await world.sample(40);
    const stuck = await world.stuck(1);
    world.limiter.pause(1_000);
    await world.move(10_000);
    expect(stuck.sentMs()).toStrictEqual([[0, 1_050, 1_200]]);
  });

  test('while the limit shrinks', async () => {
    const world = hedgerWith({ adaptive: true });
    await world.sample(40);
    const { sent, send } = world.sending({ lastsMs: 5_000, result: GOOD });
    const race = world.start(send);
    const others = slotsOf(world.limiter, 3);
    await quiet();
    for (const other of others) world.limiter.release(other, 'overloaded');
    await world.move(4_000);
    expect(sent.length).toBe(1);
    await world.clock.runUntil(race);
    expect([world.hedger.summary().hedges, world.clock.pending]).toStrictEqual([0, 0]);
  });

  test('once the run has ended', async () => {
    const world = hedgerWith({ deadlineMs: 4_100 });
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
    const world = hedgerWith();
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

  test('but not so after a hedge that has failed in another way', async () => {
    const world = hedgerWith();
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
    const world = hedgerWith({ concurrency: 2 });
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
    const world = hedgerWith({ concurrency: 1 });
    await world.sample(40);
    const made = await world.attempt({ lastsMs: 500, result: GOOD });
    expect([made.hedged, made.requests.length, made.tookMs]).toStrictEqual([false, 1, 500]);
    expect([world.hedger.summary().hedges, world.clock.pending, world.free()]).toStrictEqual([0, 0, 1]);
  });

  test('that gets its slot just as the first request ends gives it back', async () => {
    const world = hedgerWith({ concurrency: 2 });
    await world.sample(40);
    const first = world.sending({ lastsMs: 200, result: GOOD });
    const race = world.start(first.send);
    const other = slotOf(world.limiter);
    await quiet();
    await world.move(199);
    // The answer is here, and a slot comes free, before anything else can happen.
    world.clock.advance(1);
    world.limiter.release(other, 'answered');
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
    const world = hedgerWith({ ratePerSecond: 1, deadlineMs: 1e9 });
    await world.sample(20);
    const stuck = await world.stuck(1);
    await world.move(1_200);
    const posts = [world.limiter.start(NEVER), world.limiter.start(NEVER)];
    await world.move(700);
    // The first post has the slot that was to be the hedge's.
    expect([stuck.sentMs(), await posts[0], world.hedger.summary().hedges]).toStrictEqual([
      [[900]],
      ANY_SLOT,
      0,
    ]);
    await world.move(2_000);
    expect([stuck.sentMs(), await posts[1]]).toStrictEqual([[[900, 3_900]], ANY_SLOT]);
  });
});
