import { type Judge, ofSeeds, type Row } from './judge.ts';
import { type Batch, DISTRIBUTIONS, fetchBatch, idealMs } from './scenarios.ts';

/** The most that a makespan may be of the ideal list schedule: open origin, nothing stalls, defaults. */
const MAKESPANS = [
  { posts: 200, overIdeal: 1.3 },
  { posts: 500, overIdeal: 1.2 },
  { posts: 2_000, overIdeal: 1.05 },
  { posts: 10_000, overIdeal: 1.02 },
];
/** The same at fixed concurrency, whatever the posts. */
const FIXED_OVER_IDEAL = 1.05;
const JUDGED = 'log-normal';
const SEEDS = 5;

/** The makespans of a batch over the ideal, seed by seed. */
export function startsOf(
  batch: Omit<Batch, 'seed'>,
  adaptive: boolean,
  seeds = SEEDS,
): Promise<readonly number[]> {
  return ofSeeds(seeds, async (seed) => {
    const run = await fetchBatch({ ...batch, seed }, false, { adaptive });
    if (run.rejected > 0) throw new Error('Expected every post to come');
    return run.makespanMs / idealMs({ ...batch, seed }, false);
  });
}

/** Judges how long a run takes to get to all the requests that it may have in flight. */
export async function judgeStart(judge: Judge): Promise<Row[]> {
  const rows: Row[] = [];
  for (const distribution of Object.keys(DISTRIBUTIONS) as (keyof typeof DISTRIBUTIONS)[])
    for (const { posts, overIdeal } of MAKESPANS) {
      const adaptive = await startsOf({ posts, distribution }, true);
      const fixed = await startsOf({ posts, distribution }, false);
      const name = `${posts} posts, ${distribution}: makespan / ideal`;
      if (distribution === JUDGED) judge(name, adaptive, overIdeal, true);
      judge(`${name}, ADAPTIVE=off`, fixed, FIXED_OVER_IDEAL, true);
      rows.push({
        batch: `${posts} posts, ${distribution}`,
        'ADAPTIVE=on': Math.max(...adaptive).toFixed(3),
        'ADAPTIVE=off': Math.max(...fixed).toFixed(3),
      });
    }
  return rows;
}
