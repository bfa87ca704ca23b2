import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { sleep, systemClock } from '../../../src/base/clock.ts';
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
