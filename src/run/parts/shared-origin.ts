import type { RunReport } from '../../document/run-head.ts';
import type { Learned } from '../../fetch/politeness/learned.ts';
import { readLearned, VALID_MS } from '../../fetch/politeness/origin-memory.ts';

/** Digits of a figure that so many estimates went into. */
const DIGITS = 4;

/**
 * What an origin takes in all, from what the parts of a run found out of it beside each other: each its own share, times
 * the parts that were being fetched when it ended. Of that the median: some end alone, or were held up by others.
 * What its quota fields tell, an origin tells each of the parts. What was found an hour before the last part ended
 * counts no more.
 *
 * It holds five numbers a part, of which there may be a million.
 */
export class SharedOrigin {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  // One for each end; NaN where nothing was found.
  readonly #perSecond: number[] = [];
  readonly #inFlight: number[] = [];
  readonly #told: number[] = [];

  /** Takes in the document of a part. */
  add({ run, summary }: RunReport): void {
    const { perSecond, inFlight, told } = readLearned(summary);
    this.#starts.push(Date.parse(run.startedAt));
    this.#ends.push(Date.parse(summary.finishedAt));
    this.#perSecond.push(perSecond ?? NaN);
    this.#inFlight.push(inFlight ?? NaN);
    this.#told.push(told ?? NaN);
  }

  learned(): Learned {
    const starts = Float64Array.from(this.#starts).sort();
    const ends = Float64Array.from(this.#ends).sort();
    const sinceMs = (ends.at(-1) ?? 0) - VALID_MS;
    const besideAt = (endMs: number): number => Math.max(1, below(starts, endMs + 1) - below(ends, endMs));
    const whole = (figures: readonly number[], times: (endMs: number) => number): number | null =>
      median(
        figures.flatMap((figure, index) => {
          const endMs = this.#ends[index] as number; // there are as many
          return figure > 0 && endMs >= sinceMs ? figure * times(endMs) : [];
        }),
      );
    const inFlight = whole(this.#inFlight, besideAt);
    return {
      perSecond: whole(this.#perSecond, besideAt),
      inFlight: inFlight && Math.round(inFlight),
      told: whole(this.#told, () => 1),
    };
  }
}

/** How many of the numbers, which are sorted, are below one. */
function below(sorted: Float64Array, limit: number): number {
  let from = 0;
  let to = sorted.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if ((sorted[middle] as number) < limit) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** The lower one of two in the middle; null of no numbers. */
function median(numbers: readonly number[]): number | null {
  const middle = numbers.toSorted((a, b) => a - b)[(numbers.length - 1) >> 1];
  return middle === undefined ? null : Number(middle.toPrecision(DIGITS));
}
