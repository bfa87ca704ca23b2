import type { TimeBins } from '../../src/report/page-data.ts';

/** More would be narrower than what an eye tells apart. */
const MOST_BINS = 240;
const LEAST_BINS = 24;
/** Of fewer posts in a bin, a rate tells of chance alone. */
const POSTS_EACH = 4;

/** Merges neighbouring bins of a run of so many posts, where they are too many to be read. */
export function rebin(bins: TimeBins, posts: number): TimeBins {
  const wanted = Math.min(MOST_BINS, Math.max(LEAST_BINS, posts / POSTS_EACH));
  const each = Math.max(1, Math.ceil(bins.ended.length / wanted));
  if (each === 1) return bins;
  const sums = (values: readonly number[]) =>
    Array.from({ length: Math.ceil(values.length / each) }, (_, bin) =>
      values.slice(bin * each, (bin + 1) * each).reduce((sum, value) => sum + value, 0),
    );
  return {
    startMs: bins.startMs,
    widthMs: bins.widthMs * each,
    started: sums(bins.started),
    ended: sums(bins.ended),
    rejected: sums(bins.rejected),
    inFlight: sums(bins.inFlight).map((sum, bin) => sum / Math.min(each, bins.inFlight.length - bin * each)),
  };
}
