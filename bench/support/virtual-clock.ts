import type { Clock } from '../../src/base/clock.ts';

interface Timer {
  readonly atMs: number;
  /** In which order they were set: timers of the same time go off in it. */
  readonly order: number;
  /** Undefined once it has been cancelled. */
  callback: (() => void) | undefined;
}

/**
 * A clock that jumps from timer to timer, so that an hour of the real code takes as long as its work alone. It starts
 * at 0 ms and 23 November 2026, 06:00 UTC.
 */
export class VirtualClock implements Clock {
  static readonly startDate = new Date('2026-11-23T06:00:00.000Z');
  /** A binary heap, the next timer first. */
  readonly #timers: Timer[] = [];
  #nowMs = 0;
  #set = 0;

  now(): number {
    return this.#nowMs;
  }

  date(): Date {
    return new Date(VirtualClock.startDate.getTime() + this.#nowMs);
  }

  /** As `setTimeout` does: after whole milliseconds, at least one, whatever the fraction. */
  after(ms: number, callback: () => void): () => void {
    return this.afterExactly(Math.max(1, Math.trunc(ms)), callback);
  }

  /** For what the world does: it has no timers. */
  afterExactly(ms: number, callback: () => void): () => void {
    const timer: Timer = { atMs: this.#nowMs + ms, order: this.#set++, callback };
    this.#push(timer);
    return () => {
      timer.callback = undefined;
    };
  }

  /**
   * Settles as `promise` does. A timer goes off when all that the one before it set going has come to rest. Rejects
   * where the promise has not settled and no timer is left.
   */
  runUntil<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      let settled = false;
      const settle = (): void => {
        settled = true;
      };
      promise.then(settle, settle);
      const step = (): void => {
        const callback = settled ? undefined : this.#advance();
        if (callback) {
          callback();
          setImmediate(step);
        } else if (settled) resolve(promise);
        else reject(new Error('Expected the promise to settle, but no timer is left'));
      };
      setImmediate(step);
    });
  }

  /** Moves on to the next timer and gives what it calls. */
  #advance(): (() => void) | undefined {
    for (let timer = this.#pop(); timer; timer = this.#pop()) {
      if (!timer.callback) continue;
      this.#nowMs = timer.atMs;
      return timer.callback;
    }
    return undefined;
  }

  #push(timer: Timer): void {
    const timers = this.#timers;
    let index = timers.length;
    for (let above = (index - 1) >> 1; index > 0; above = (index - 1) >> 1) {
      const parent = timers[above] as Timer;
      if (isBefore(parent, timer)) break;
      timers[index] = parent;
      index = above;
    }
    timers[index] = timer;
  }

  #pop(): Timer | undefined {
    const timers = this.#timers;
    const first = timers[0];
    const last = timers.pop();
    if (!last || last === first) return first;
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      let child = timers[left];
      if (!child) break;
      let below = left;
      const right = timers[left + 1];
      if (right && isBefore(right, child)) {
        child = right;
        below = left + 1;
      }
      if (isBefore(last, child)) break;
      timers[index] = child;
      index = below;
    }
    timers[index] = last;
    return first;
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
