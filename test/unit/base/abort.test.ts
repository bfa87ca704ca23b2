import { getEventListeners } from 'node:events';
import { describe, expect, test, vi } from 'vitest';
import { follow, onAbort } from '../../../src/base/abort.ts';

const listenersOf = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;

describe('onAbort', () => {
  test('calls back once when the signal aborts, all in their order, by one listener', () => {
    const controller = new AbortController();
    const calls: number[] = [];
    for (const n of [1, 2, 3]) onAbort(controller.signal, () => calls.push(n));
    expect(listenersOf(controller.signal)).toBe(1);
    controller.abort();
    expect([calls, listenersOf(controller.signal)]).toStrictEqual([[1, 2, 3], 0]);
  });

  test('does not call back who has stopped, and leaves no listener when all have', () => {
    const controller = new AbortController();
    const [first, second] = [vi.fn(), vi.fn()];
    const stopFirst = onAbort(controller.signal, first);
    const stopSecond = onAbort(controller.signal, second);
    stopFirst();
    stopFirst();
    expect(listenersOf(controller.signal)).toBe(1);
    stopSecond();
    expect(listenersOf(controller.signal)).toBe(0);
    controller.abort();
    expect([first.mock.calls, second.mock.calls]).toStrictEqual([[], []]);
  });

  test('listens again after all have stopped', () => {
    const controller = new AbortController();
    onAbort(controller.signal, vi.fn())();
    const callback = vi.fn();
    onAbort(controller.signal, callback);
    controller.abort();
    expect(callback).toHaveBeenCalledOnce();
  });

  test('a callback may stop one that is still to come, and itself', () => {
    const controller = new AbortController();
    const late = vi.fn();
    const stopFirst = onAbort(controller.signal, () => {
      stopFirst();
      stopLate();
    });
    const stopLate = onAbort(controller.signal, late);
    const last = vi.fn();
    onAbort(controller.signal, last);
    controller.abort();
    expect([late.mock.calls.length, last.mock.calls.length]).toStrictEqual([0, 1]);
  });

  test('tells signals apart', () => {
    const [one, other] = [new AbortController(), new AbortController()];
    const callback = vi.fn();
    onAbort(one.signal, callback);
    onAbort(other.signal, vi.fn());
    other.abort();
    expect(callback).not.toHaveBeenCalled();
  });
});

describe('follow', () => {
  test('gives a controller that aborts with the signal, by its reason', () => {
    const outer = new AbortController();
    using inner = follow(outer.signal);
    expect(inner.signal.aborted).toBe(false);
    outer.abort('enough');
    expect(inner.signal.reason).toBe('enough');
  });

  test('has aborted from the start where the signal has', () => {
    using inner = follow(AbortSignal.abort('long ago'));
    expect(inner.signal.reason).toBe('long ago');
  });

  test('aborts by itself without the signal, and keeps the first reason', () => {
    const outer = new AbortController();
    using inner = follow(outer.signal);
    inner.abort('done');
    outer.abort('later');
    expect([inner.signal.reason, outer.signal.reason]).toStrictEqual(['done', 'later']);
  });

  test('ends with its scope, and leaves no listener', () => {
    const outer = new AbortController();
    const aborted = vi.fn();
    {
      using inner = follow(outer.signal);
      inner.signal.addEventListener('abort', aborted);
      expect(listenersOf(outer.signal)).toBe(1);
    }
    expect([aborted.mock.calls.length, listenersOf(outer.signal), outer.signal.aborted]).toStrictEqual([
      1,
      0,
      false,
    ]);
  });
});
