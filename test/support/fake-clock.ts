import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../../src/base/clock.ts';

/** A clock that only moves when a test says so. It starts at 0 ms and 23 November 2026, 06:00 UTC. */
export class FakeClock implements Clock {
  static readonly startDate = new Date('2026-11-23T06:00:00.000Z');
  readonly #timers = new Set<{ readonly atMs: number; readonly callback: () => void }>();
  #nowMs = 0;

  /** How many timers have yet to go off. */
  get pending(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#nowMs;
  }

  date(): Date {
    return new Date(FakeClock.startDate.getTime() + this.#nowMs);
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + ms, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Moves on by `ms`; the timers that are due by then go off in their order, each at its time. */
  advance(ms: number): void {
    const end = this.#nowMs + ms;
    for (let next = this.#next(); next && next.atMs <= end; next = this.#next()) {
      this.#timers.delete(next);
      this.#nowMs = next.atMs;
      next.callback();
    }
    this.#nowMs = end;
  }

  /** Settles as `promise` does, moving on to the next timer whenever nothing else is left to do. */
  async runUntil<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const settle = (): void => {
      settled = true;
    };
    promise.then(settle, settle);
    for (;;) {
      await setImmediate();
      if (settled) return promise;
      const next = this.#next();
      if (next) this.advance(next.atMs - this.#nowMs);
    }
  }

  #next() {
    let first: { readonly atMs: number; readonly callback: () => void } | undefined;
    for (const timer of this.#timers) if (!first || timer.atMs < first.atMs) first = timer;
    return first;
  }
}
