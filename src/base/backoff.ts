const BACKOFF_BASE_MS = 100;
const BACKOFF_CAP_MS = 5_000;

/**
 * How long to wait after the `failures`th failed attempt: anything from 0 to 100 ms × 2^(failures − 1), at most
 * 5 s, evenly drawn by `random` (0 to 1). This is "full jitter" of the AWS Architecture Blog's "Exponential Backoff
 * And Jitter": what failed together does not come back together.
 */
export function backoffMs(failures: number, random: () => number): number {
  return random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** (failures - 1));
}
