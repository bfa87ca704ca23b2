import { follow } from '../base/abort.ts';
import { backoffMs } from '../base/backoff.ts';
import { type Clock, sleep } from '../base/clock.ts';
import { BrokenAnswer, isPassing, isUnknownHost } from './s3-error.ts';

export interface TryOptions {
  readonly clock: Clock;
  /** From 0 to 1, for the pauses between tries. */
  readonly random: () => number;
  /** By the clock, when the last try has to have ended. */
  readonly untilMs: number;
}

/** One try of a request. What limits it is silence: `goesOn` is to be called whenever something came. */
export type Try<T> = (signal: AbortSignal, goesOn: () => void) => Promise<T>;

/** How long S3 may be silent, where there is time for that. */
const MAX_SILENCE_MS = 20_000;
/** So long at the end as well: what takes longer would not come through. */
const MIN_SILENCE_MS = 250;
/** So many tries fit into what is left, each as long as it may be, whenever one begins. */
const TRIES_LEFT = 3;
/** How long a host may have no address until it is taken for misspelt. */
const UNKNOWN_HOST_MS = 5_000;

/**
 * Does a request of S3, and does it again as long as there is time and its failure may pass, with pauses of full
 * jitter. A try has a third of the time that is left, and 20 s at most: another one that hangs leaves time for two.
 * The first is made in any case.
 *
 * Rejects with the error of the last try, and with the reason of `signal` as soon as that aborts; leaves nothing behind.
 */
export async function tryUntil<T>(request: Try<T>, signal: AbortSignal, options: TryOptions): Promise<T> {
  const { clock, random, untilMs } = options;
  const startMs = clock.now();
  for (let failures = 1; ; failures++) {
    try {
      return await tryOnce(request, signal, options);
    } catch (error) {
      signal.throwIfAborted();
      if (!isPassing(error)) throw error;
      const endMs = isUnknownHost(error) ? Math.min(untilMs, startMs + UNKNOWN_HOST_MS) : untilMs;
      const longestMs = endMs - clock.now() - MIN_SILENCE_MS;
      if (longestMs <= 0) throw error;
      await sleep(clock, Math.min(longestMs, backoffMs(failures, random)), signal);
    }
  }
}

async function tryOnce<T>(request: Try<T>, signal: AbortSignal, { clock, untilMs }: TryOptions): Promise<T> {
  using ending = follow(signal);
  let hasBegun = false;
  const limitSilence = (): (() => void) => {
    const leftMs = untilMs - clock.now();
    const silenceMs = Math.max(MIN_SILENCE_MS, Math.min(MAX_SILENCE_MS, leftMs / TRIES_LEFT));
    // What trickles is never silent.
    return clock.after(hasBegun ? Math.min(leftMs, silenceMs) : silenceMs, () =>
      ending.abort(new BrokenAnswer(`S3 did not ${hasBegun ? 'send all of it' : 'answer'} in time`)),
    );
  };
  let cancel = limitSilence();
  try {
    return await request(ending.signal, () => {
      hasBegun = true;
      cancel();
      cancel = limitSilence();
    });
  } catch (error) {
    throw ending.signal.aborted ? ending.signal.reason : error;
  } finally {
    cancel();
  }
}
