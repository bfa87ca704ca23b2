import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Alarm, sharedAfter, sleep, systemClock } from '../../../src/base/clock.ts';
import { FakeClock } from '../../support/fake-clock.ts';

describe('the system clock', () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: Date.UTC(2026, 10, 23, 6) });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test('counts milliseconds and tells the time of day', () => {
    const startMs = systemClock.now();
    vi.advanceTimersByTime(1_500);
    expect(systemClock.now() - startMs).toBe(1_500);
    expect(systemClock.date().toISOString()).toBe('2026-11-23T06:00:01.500Z');
  });

  test('calls back once, after the time that was asked for and not before', () => {
    const callback = vi.fn();
    systemClock.after(100, callback);
    vi.advanceTimersByTime(99);
    expect(callback).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1_000);
    expect(callback).toHaveBeenCalledOnce();
  });

  test('does not call back once that is cancelled, and keeps no timer', () => {
    const callback = vi.fn();
    const cancel = systemClock.after(100, callback);
    expect(vi.getTimerCount()).toBe(1);
    cancel();
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(1_000);
    expect(callback).not.toHaveBeenCalled();
  });
});

describe('an alarm', () => {
  const alarmOn = (clock: FakeClock) => {
    const rings: number[] = [];
    const alarm = new Alarm(clock, () => rings.push(clock.now()));
    return { alarm, rings };
  };

  test('calls back once, at the time that it was set to', () => {
    const clock = new FakeClock();
    clock.advance(50);
    const { alarm, rings } = alarmOn(clock);
    alarm.set(150);
    clock.advance(1_000);
    expect([rings, clock.pending]).toStrictEqual([[150], 0]);
  });

  test('may be set to an earlier time', () => {
    const clock = new FakeClock();
    const { alarm, rings } = alarmOn(clock);
    alarm.set(500);
    alarm.set(100);
    expect(clock.pending).toBe(1);
    clock.advance(1_000);
    expect(rings).toStrictEqual([100]);
  });

  test('that is set to a later time keeps its timer, and calls back too early, for who is called to set it anew', () => {
    const clock = new FakeClock();
    const rings: number[] = [];
    const alarm = new Alarm(clock, () => {
      rings.push(clock.now());
      if (clock.now() < 500) alarm.set(500);
    });
    alarm.set(100);
    alarm.set(300);
    alarm.set(500);
    expect(clock.pending).toBe(1);
    clock.advance(1_000);
    expect([rings, clock.pending]).toStrictEqual([[100, 500], 0]);
  });

  test('that is set to never keeps no timer, until it is set again', () => {
    const clock = new FakeClock();
    const { alarm, rings } = alarmOn(clock);
    alarm.set(Infinity);
    alarm.set(100);
    alarm.set(Infinity);
    expect(clock.pending).toBe(0);
    clock.advance(200);
    alarm.set(300);
    clock.advance(100);
    expect([rings, clock.pending]).toStrictEqual([[300], 0]);
  });

  test('keeps one timer, however often it is set', () => {
    const clock = new FakeClock();
    const { alarm } = alarmOn(clock);
    for (let i = 0; i < 1_000; i++) alarm.set(1 + ((i * 7_919) % 1_000));
    expect(clock.pending).toBe(1);
  });
});

describe('a shared timer', () => {
  test('calls back each at its time, and holds one timer for all', () => {
    const clock = new FakeClock();
    const callAfter = sharedAfter(clock);
    const calls: [string, number][] = [];
    for (const [name, ms] of [
      ['a', 300],
      ['b', 100],
      ['c', 200],
      ['d', 100],
    ] as const)
      callAfter(ms, () => calls.push([name, clock.now()]));
    expect(clock.pending).toBe(1);
    clock.advance(1_000);
    expect(calls).toStrictEqual([
      ['b', 100],
      ['d', 100],
      ['c', 200],
      ['a', 300],
    ]);
    expect(clock.pending).toBe(0);
  });

  test('does not call back what is called off, and leaves no timer when all is', () => {
    const clock = new FakeClock();
    const callAfter = sharedAfter(clock);
    const callback = vi.fn();
    const cancels = [100, 200, 300].map((ms) => callAfter(ms, callback));
    for (const cancel of cancels) {
      expect(clock.pending).toBe(1);
      cancel();
      cancel();
    }
    expect(clock.pending).toBe(0);
    clock.advance(1_000);
    expect(callback).not.toHaveBeenCalled();
  });

  test('a callback may call off another that is due with it, and ask for more', () => {
    const clock = new FakeClock();
    const callAfter = sharedAfter(clock);
    const calls: [string, number][] = [];
    callAfter(100, () => {
      cancel();
      callAfter(50, () => calls.push(['later', clock.now()]));
    });
    const cancel = callAfter(100, () => calls.push(['called off', clock.now()]));
    clock.advance(1_000);
    expect([calls, clock.pending]).toStrictEqual([[['later', 150]], 0]);
  });
});

describe('sleep', () => {
  const listenersOf = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;

  test('resolves after its time, and leaves no timer or listener behind', async () => {
    const clock = new FakeClock();
    const { signal } = new AbortController();
    const slept = sleep(clock, 250, signal);
    expect([clock.pending, listenersOf(signal)]).toStrictEqual([1, 1]);
    await clock.runUntil(slept);
    expect([clock.now(), clock.pending, listenersOf(signal)]).toStrictEqual([250, 0, 0]);
  });

  test("rejects with the signal's reason as soon as it aborts, and leaves no timer or listener behind", async () => {
    const clock = new FakeClock();
    const stopping = new AbortController();
    const slept = sleep(clock, 250, stopping.signal);
    const reason = new Error('stopped');
    stopping.abort(reason);
    expect([clock.pending, listenersOf(stopping.signal)]).toStrictEqual([0, 0]);
    await expect(slept).rejects.toBe(reason);
    expect(clock.now()).toBe(0);
  });

  test('does not begin under a signal that has aborted', async () => {
    const clock = new FakeClock();
    const reason = new Error('stopped before');
    const signal = AbortSignal.abort(reason);
    await expect(sleep(clock, 250, signal)).rejects.toBe(reason);
    expect([clock.pending, listenersOf(signal)]).toStrictEqual([0, 0]);
  });

  test('a thousand sleeps under one signal leave nothing behind', async () => {
    const clock = new FakeClock();
    const { signal } = new AbortController();
    for (let i = 0; i < 1_000; i++) {
      const slept = sleep(clock, 1, signal);
      clock.advance(1);
      await slept;
    }
    expect([clock.now(), clock.pending, listenersOf(signal)]).toStrictEqual([1_000, 0, 0]);
  });
});
