import type { Clock } from './clock.ts';
import { StoreError } from './errors.ts';

/** What it takes to clean up parts of an upload, and to report the error. */
const GIVE_UP_MS = 250;

/**
 * Settles as `work` does, whose signal aborts with a StoreError that says `failure` when there is just time left to
 * clean up and report it.
 */
export async function endInTime<T>(
  failure: string,
  { remainingMs }: { readonly remainingMs: number },
  { clock }: { readonly clock: Clock },
  work: (outOfTime: AbortSignal) => Promise<T>,
): Promise<T> {
  const outOfTime = new AbortController();
  const cancelGiveUp = clock.after(remainingMs - GIVE_UP_MS, () =>
    outOfTime.abort(new StoreError(`${failure} before the function's time ran out`)),
  );
  try {
    return await work(outOfTime.signal);
  } finally {
    cancelGiveUp();
  }
}
