import type { Clock } from './clock.ts';
import { StoreError } from './errors.ts';

/** What it takes to report an error; work that is stopped from outside has some of it to settle. */
const REPORT_MS = 200;
const GIVE_UP_MS = 250;
/** What it takes to clean up the upload parts of an object that is given up. */
const CLEAN_UP_MS = 400;

/** The least of a function's time that has to be kept back for writing: a request or two, and what comes after them. */
export const LEAST_RESERVE_MS = 1_000;

/** When what is done within a function's time has to have ended, by the clock that told its end. */
export interface TimeShares {
  /** The last try of a request of S3. */
  readonly requestsMs: number;
  /** Cleaning up after them. */
  readonly cleaningUpMs: number;
}

export function sharesOf(endMs: number): TimeShares {
  const cleaningUpMs = endMs - REPORT_MS;
  return { requestsMs: cleaningUpMs - CLEAN_UP_MS, cleaningUpMs };
}

interface LimitedTime {
  readonly remainingMs: number;
  /** @default the end of the function's time */
  readonly ending?: string;
}

/**
 * Settles as `work` does, whose signal aborts with a StoreError that says `failure`, and what `ending` it came before,
 * when there is just time left to report it. What takes longer to end, as uploads do, ends by `sharesOf`.
 */
export async function endInTime<T>(
  failure: string,
  { remainingMs, ending = "the function's time ran out" }: LimitedTime,
  { clock }: { readonly clock: Clock },
  work: (outOfTime: AbortSignal) => Promise<T>,
): Promise<T> {
  const outOfTime = new AbortController();
  const cancelGiveUp = clock.after(remainingMs - GIVE_UP_MS, () =>
    outOfTime.abort(new StoreError(`${failure} before ${ending}`)),
  );
  try {
    return await work(outOfTime.signal);
  } finally {
    cancelGiveUp();
  }
}
