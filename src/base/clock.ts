import { LinkedList } from './linked-list.ts';
import { onAbort } from './on-abort.ts';

/** Time, as the pipeline sees it: passed in, so that tests hold it in their hands. */
export interface Clock {
  /** Monotonic milliseconds, for durations and deadlines. */
  now(): number;
  /** The time of day, for time stamps. */
  date(): Date;
  /** Calls back once after `ms`, unless the function that it returns is called before. */
  after(ms: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => new Date(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};

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
  const waiting = new LinkedList<{ readonly atMs: number; readonly callback: () => void }>();
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
    const entry = waiting.push({ atMs, callback });
    alarm.set(atMs);
    return () => {
      waiting.delete(entry);
      if (waiting.size === 0) alarm.set(Infinity);
    };
  };
}

/** Resolves after `ms`. Rejects with the signal's reason as soon as it aborts; leaves no timer or listener behind. */
export function sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const cancel = clock.after(ms, () => {
      stopListening();
      resolve();
    });
    const stopListening = onAbort(signal, () => {
      stopListening();
      cancel();
      reject(signal.reason);
    });
  });
}
