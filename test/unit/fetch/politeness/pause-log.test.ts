import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PauseLog } from '../../../../src/fetch/politeness/pause-log.ts';
import { limiterWith, moveTo, slotOf } from '../../../support/limiter-world.ts';

const SECOND = { startedMs: 0, durationMs: 1_000 };

test('a pause is told of from the start of the run, in whole milliseconds', () => {
  const log = new PauseLog(500.4);
  log.note(1_500, 2_500.5);
  expect(log.summary(10_000)).toStrictEqual([{ startedMs: 1_000, durationMs: 1_000 }]);
});

test('a pause that is prolonged while it lasts is one', () => {
  const log = new PauseLog(0);
  log.note(0, 1_000);
  log.note(400, 900);
  log.note(999, 3_000);
  expect(log.summary(10_000)).toStrictEqual([{ startedMs: 0, durationMs: 3_000 }]);
});

test('one that begins when another ends is another', () => {
  const log = new PauseLog(0);
  log.note(0, 1_000);
  log.note(1_000, 1_500);
  expect(log.summary(10_000)).toStrictEqual([SECOND, { startedMs: 1_000, durationMs: 500 }]);
});

test.each([2_000, Infinity])('one that is under way (until %d) has been as long as it has', (untilMs) => {
  const log = new PauseLog(0);
  log.note(100, untilMs);
  expect(log.summary(100)).toStrictEqual([{ startedMs: 100, durationMs: 0 }]);
  expect(log.summary(1_600.4)).toStrictEqual([{ startedMs: 100, durationMs: 1_500 }]);
});

test('the first hundred are told of, and the last of them is not prolonged by those that follow', () => {
  const log = new PauseLog(0);
  for (let number = 0; number < 250; number++) log.note(number * 2_000, number * 2_000 + 1_000);
  log.note(498_500, 600_000);
  expect(log.summary(1_000_000)).toStrictEqual(
    Array.from({ length: 100 }, (_, number) => ({ startedMs: number * 2_000, durationMs: 1_000 })),
  );
});

test('pauses are in order, apart from each other, and within the run', () => {
  const told = fc.array(fc.tuple(fc.double({ min: 0, max: 3_000, noNaN: true }), fc.nat(2_000)));
  fc.assert(
    fc.property(told, fc.double({ min: 0, max: 1_000, noNaN: true }), (pauses, startMs) => {
      const log = new PauseLog(startMs);
      let nowMs = startMs;
      for (const [laterMs, ms] of pauses) {
        nowMs += laterMs;
        log.note(nowMs, nowMs + ms);
      }
      let endedMs = 0;
      for (const pause of log.summary(nowMs)) {
        expect(pause.startedMs).toBeGreaterThanOrEqual(endedMs);
        expect(pause.durationMs).toBeGreaterThanOrEqual(0);
        endedMs = pause.startedMs + pause.durationMs;
      }
      expect(endedMs).toBeLessThanOrEqual(Math.round(nowMs - startMs));
    }),
  );
});

test('a limiter tells of the pauses that it was asked for, and of no wait of its own', async () => {
  const { limiter, clock } = limiterWith({ adaptive: true, startMs: -250 });
  // Turned away with one request in flight, and not told for how long: the limiter backs off by itself.
  const calm: boolean[] = [];
  for (let refusals = 0; refusals < 4; refusals++) {
    limiter.release(slotOf(limiter), 'overloaded');
    calm.push(limiter.isCalm);
    await moveTo(clock, clock.now() + 10_000);
  }
  expect([calm, limiter.isCalm]).toStrictEqual([[true, true, false, true], true]);
  limiter.pause(0);
  limiter.pause(1_000);
  limiter.pause(300);
  await moveTo(clock, 50_000);
  expect(limiter.summary().pauses).toStrictEqual([{ startedMs: 40_250, durationMs: 1_000 }]);
});
