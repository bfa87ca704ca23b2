import type { Clock } from '../../src/base/clock.ts';
import { FakeClock } from './fake-clock.ts';

/**
 * A clock that does not move by itself: a wait is over with the next turn of the event loop, and the clock has moved
 * by it. A long one, for a deadline say, ends only when a test moves the clock that far.
 */
export class SkippingClock implements Clock {
  readonly #clock = new FakeClock();
  readonly #longMs: number;
  // HTTP dates have whole seconds.
  readonly #startMs = Math.floor(Date.now() / 1_000) * 1_000;

  /** `longMs`: from when on a wait is long. @default 10_000 */
  constructor(longMs = 10_000) {
    this.#longMs = longMs;
  }

  /** How many timers have yet to go off. */
  get pending(): number {
    return this.#clock.pending;
  }

  now(): number {
    return this.#clock.now();
  }

  date(): Date {
    return new Date(this.#startMs + this.now());
  }

  after(ms: number, callback: () => void): () => void {
    const cancel = this.#clock.after(ms, callback);
    if (ms >= this.#longMs) return cancel;
    const atMs = this.now() + ms;
    const skip = setImmediate(() => this.advance(Math.max(0, atMs - this.now())));
    return () => {
      clearImmediate(skip);
      cancel();
    };
  }

  /** Moves on by `ms`; the timers that are due by then go off in their order, each at its time. */
  advance(ms: number): void {
    this.#clock.advance(ms);
  }
}
