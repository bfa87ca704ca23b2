import type { Clock } from './clock.ts';
import { LinkedList } from './linked-list.ts';

/**
 * One timer for a time that keeps moving. It calls back by the time that was set last, and now and then before:
 * to look once too often costs less than a timer anew for each post.
 */
export class Alarm {
  readonly #clock: Clock;
  readonly #callback: () => void;
  #timer: { readonly atMs: number; readonly cancel: () => void } | undefined;

  constructor(clock: Clock, callback: () => void) {
    this.#clock = clock;
    this.#callback = callback;
  }

  /** By the clock; Infinity for never. */
  set(atMs: number): void {
    if (atMs !== Infinity && this.#timer && this.#timer.atMs <= atMs) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (atMs === Infinity) return;
    const cancel = this.#clock.after(Math.max(0, atMs - this.#clock.now()), () => {
      this.#timer = undefined;
      this.#callback();
    });
    this.#timer = { atMs, cancel };
  }
}

/**
 * `after` of a clock, with one timer for all that it is asked for: for what is nearly always called off, as a timer
 * costs more than 5 µs (Node 24).
 */
export function sharedAfter(clock: Clock): Clock['after'] {
  const waiting = new LinkedList<Waiting>();
  const alarm = new Alarm(clock, () => {
    const now = clock.now();
    const entries = waiting.entries();
    // Before the callbacks, which may ask for more, and call off what is left.
    alarm.set(Math.min(...entries.map(({ value }) => (value.atMs > now ? value.atMs : Infinity))));
    for (const entry of entries) {
      const { atMs, callback } = entry.value;
      if (atMs <= now && waiting.delete(entry)) callback();
    }
  });
  return (ms, callback) => {
    const atMs = clock.now() + ms;
    const entry = waiting.push(new Waiting(atMs, callback));
    alarm.set(atMs);
    return () => {
      waiting.delete(entry);
      if (waiting.size === 0) alarm.set(Infinity);
    };
  };
}

/** A class, for the reason that the nodes of a LinkedList are of one. */
class Waiting {
  readonly atMs: number;
  readonly callback: () => void;

  constructor(atMs: number, callback: () => void) {
    this.atMs = atMs;
    this.callback = callback;
  }
}
