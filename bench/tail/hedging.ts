import { type Batch, extraRequests, fetchBatch, idealMs } from './scenarios.ts';

/** Most that the makespan of so many posts may be of the ideal one without stalls: the median, and the 90th percentile. */
const MAKESPANS = [
  { posts: 100, median: 2, p90: 2.7 },
  { posts: 200, median: 2, p90: 2.7 },
  { posts: 500, median: 2, p90: 2.7 },
  { posts: 2_000, median: 1.2, p90: 1.5 },
  { posts: 10_000, median: 1.16, p90: 1.2 },
] as const;

/** Most hedges: so many for each attempt, and so many while no post waits. */
const SHARE = 0.05;
const WHILE_IDLE = 10;

const SEEDS = 21;

/** Judges a target by its worst value, or, unless `isMost`, by its least. */
type Judge = (target: string, values: readonly number[], limit: number, isMost: boolean) => void;

/**
 * Judges what hedging makes of batches of which 2 % of the requests stall, with `ADAPTIVE` on, and gives the rows of a
 * table of these.
 */
export async function judgeHedging(judge: Judge): Promise<Record<string, string>[]> {
  const rows: Record<string, string>[] = [];
  for (const { posts, median, p90 } of MAKESPANS) {
    const overIdeal: number[] = [];
    const extra: number[] = [];
    const beyondShare: number[] = [];
    for (let seed = 1; seed <= SEEDS; seed++) {
      const batch: Batch = { posts, distribution: 'log-normal', seed };
      const run = await fetchBatch(batch, true, { adaptive: true, hedge: true });
      if (run.rejected > 0) throw new Error('Expected every post to come');
      const { hedges } = run.report;
      overIdeal.push(run.makespanMs / idealMs(batch, false));
      extra.push(extraRequests(run));
      beyondShare.push(hedges - SHARE * (run.requests.length - hedges));
    }
    const name = `${posts} posts, 2 % stalls, hedged`;
    judge(`${name}: makespan / ideal without stalls, median`, [quantile(overIdeal, 0.5)], median, true);
    judge(`${name}: makespan / ideal without stalls, p90`, [quantile(overIdeal, 0.9)], p90, true);
    judge(`${name}: hedges beyond 5 % of the attempts`, beyondShare, WHILE_IDLE, true);
    rows.push({
      posts: String(posts),
      '× ideal without stalls, median': quantile(overIdeal, 0.5).toFixed(3),
      p90: quantile(overIdeal, 0.9).toFixed(3),
      worst: Math.max(...overIdeal).toFixed(3),
      'more requests, median': `${(100 * quantile(extra, 0.5)).toFixed(1)} %`,
      most: `${(100 * Math.max(...extra)).toFixed(1)} %`,
    });
  }
  return rows;
}

/** The least value that is no less than such a share of them. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN;
}
