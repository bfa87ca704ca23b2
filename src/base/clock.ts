import { onAbort } from './abort.ts';

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
