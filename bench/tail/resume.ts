import { type Judge, ofSeeds, percent, type Row } from './judge.ts';
import { MEDIANS_MS } from './pushback.ts';
import { fetchFrom, type Origin, shareOfPossible } from './scenarios.ts';

const ORIGIN: Origin = 'token bucket, Retry-After: 1';
const POSTS = 5_000;
const SHARE = 0.96;
const REFUSALS = 1;
const SEEDS = 5;

/** Judges the second run from an origin, which starts from what the first one learned. */
export async function judgeResume(judge: Judge): Promise<Row[]> {
  const rows: Row[] = [];
  for (const medianMs of MEDIANS_MS) {
    const runs = await ofSeeds(SEEDS, async (seed) => {
      const first = await fetchFrom(ORIGIN, { posts: POSTS, medianMs, seed }, { adaptive: true });
      const batch = { posts: POSTS, medianMs, seed: seed + SEEDS, learned: first.report.learned };
      const second = await fetchFrom(ORIGIN, batch, { adaptive: true });
      return {
        learned: first.report.learned.perSecond,
        share: shareOfPossible(ORIGIN, batch, second),
        refusals: second.throttled,
      };
    });
    const shares = runs.map(({ share }) => share);
    const refusals = runs.map((run) => run.refusals);
    const name = `${ORIGIN}, second run, ${medianMs} ms`;
    judge(`${name}: share`, shares, SHARE, false);
    judge(`${name}: refusals`, refusals, REFUSALS, true);
    rows.push({
      median: `${medianMs} ms`,
      'learned, a second': runs.map(({ learned }) => learned?.toFixed(1) ?? '–').join(' '),
      share: percent(Math.min(...shares)),
      refusals: String(Math.max(...refusals)),
    });
  }
  return rows;
}
