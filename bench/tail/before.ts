/*
 * What the limiter of November 2026 made of the same origins and seeds, which grew by one a round from ten in flight, was
 * halved with each refusal and kept to 95 % of the rate of answers. Worst of 5 seeds, as the figures are now.
 */

/** Makespan over the ideal list schedule by posts: open origin, log-normal around 50 ms, sigma 0.5. */
export const START_BEFORE: Readonly<Record<number, number>> = {
  100: 2.735,
  200: 2.72,
  500: 2.178,
  2000: 1.411,
  10000: 1.085,
};

/** The share of what is possible, in per cent, at 20, 50, 200 and 500 ms. */
type Percents = readonly [number, number, number, number];

export const PERCENT_BEFORE: Readonly<Record<2_000 | 5_000, Readonly<Record<string, Percents>>>> = {
  5000: {
    'token bucket': [97.5, 97.3, 83.4, 69.3],
    'token bucket, Retry-After: 1': [76.1, 67.9, 79.5, 75.5],
    '100 in each second': [96.4, 97.2, 89.2, 72.7],
    '100 in each second, Retry-After: 1': [76.6, 78.4, 82, 76.8],
    '1 % answered 429 at random': [16.9, 14.2, 16.4, 20.3],
    'at most 20 in flight, else 429': [69.8, 70.4, 74.1, 72.6],
    'at most 20 in flight, else 503': [72.1, 72.8, 73, 72.9],
    'hangs beyond 30 in flight': [2.2, 5.2, 15, 24.3],
  },
  2000: {
    'token bucket': [95.5, 97.1, 80, 62.7],
    'token bucket, Retry-After: 1': [64.3, 59, 70.8, 59.9],
    '100 in each second': [95.6, 98, 82.6, 63.3],
    '100 in each second, Retry-After: 1': [66.6, 65.7, 76.6, 61],
    '1 % answered 429 at random': [19.1, 16.8, 17.6, 20.8],
    'at most 20 in flight, else 429': [69.2, 69.8, 74.8, 71.5],
    'at most 20 in flight, else 503': [72.9, 72.9, 72.9, 73],
    'hangs beyond 30 in flight': [2.3, 5.3, 17, 26.3],
  },
};

/** The median and the 90th percentile over the ideal without stalls, by posts: HEDGE=on, 2 % stalls, 21 seeds. */
export const HEDGED_BEFORE: Readonly<Record<number, readonly [number, number]>> = {
  100: [2.73, 13.4],
  200: [2.69, 8.3],
  500: [2.33, 5],
  2000: [1.56, 2.26],
  10000: [1.22, 1.25],
};
