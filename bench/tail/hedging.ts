import { type Judge, ofSeeds, percent, type Row } from './judge.ts';
import { extraRequests, fetchBatch, idealMs } from './scenarios.ts';

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

interface Hedged {
  /** Makespans over the ideal without stalls. */
  readonly overIdeal: readonly number[];
  /** Hedges for each attempt. */
  readonly extra: readonly number[];
  /** Hedges beyond the share that each attempt allows. */
  readonly beyondShare: readonly number[];
}

/** What comes of batches of so many posts of which 2 % of the requests stall, seed by seed. */
export async function hedgedMakespans(posts: number): Promise<Hedged> {
  const runs = await ofSeeds(SEEDS, async (seed) => {
    const batch = { posts, distribution: 'log-normal', seed } as const;
    const run = await fetchBatch(batch, true, { adaptive: true, hedge: true });
    if (run.rejected > 0) throw new Error('Expected every post to come');
    const { hedges } = run.report;
    return {
      overIdeal: run.makespanMs / idealMs(batch, false),
      extra: extraRequests(run),
      beyondShare: hedges - SHARE * (run.requests.length - hedges),
    };
  });
  return {
    overIdeal: runs.map(({ overIdeal }) => overIdeal),
    extra: runs.map(({ extra }) => extra),
    beyondShare: runs.map(({ beyondShare }) => beyondShare),
  };
}

/** Judges what hedging makes of stalls, with `ADAPTIVE` on. */
export async function judgeHedging(judge: Judge): Promise<Row[]> {
  const rows: Row[] = [];
  for (const { posts, median, p90 } of MAKESPANS) {
    const { overIdeal, extra, beyondShare } = await hedgedMakespans(posts);
    const name = `${posts} posts, 2 % stalls, hedged`;
    judge(`${name}: makespan / ideal without stalls, median`, [quantile(overIdeal, 0.5)], median, true);
    judge(`${name}: makespan / ideal without stalls, p90`, [quantile(overIdeal, 0.9)], p90, true);
    judge(`${name}: hedges beyond 5 % of the attempts`, beyondShare, WHILE_IDLE, true);
    rows.push({
      posts: String(posts),
      '× ideal without stalls, median': quantile(overIdeal, 0.5).toFixed(3),
      p90: quantile(overIdeal, 0.9).toFixed(3),
      worst: Math.max(...overIdeal).toFixed(3),
      'more requests, median': percent(quantile(extra, 0.5)),
      most: percent(Math.max(...extra)),
    });
  }
  return rows;
}

/** The least value that is no less than such a share of them. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN;
}
