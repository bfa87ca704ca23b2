import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Spread, spread } from '../support/spread.ts';
import { drawMakespan, drawThrottled } from './drawings.ts';
import { CONCURRENCY, type Contender, type Simulated } from './run.ts';
import {
  type Batch,
  DISTRIBUTIONS,
  extraRequests,
  fetchBatch,
  fetchFrom,
  idealMs,
  OTHERS,
  perSecond,
  RATE_PER_SECOND,
  TARGETS,
  THROTTLING,
  throttledShare,
} from './scenarios.ts';
import { judgeTold } from './told.ts';

/*
 * What do the limiter and hedging make of the tail? The code of src/ in virtual time, against origins without
 * sockets: makespans against the ideal list schedule, with and without posts that stall, and what comes of origins
 * that throttle. The same seeded latencies for every contender. Exits with 1 when a target is missed.
 */

/**
 * Of 2,000 posts every other batch has one whose second request stalls as well (1 in 2,500 does), and is late by a
 * stall, which is as long as the whole batch: shown, and not judged.
 */
const SIZES = [
  { posts: 2_000, seeds: 11, isJudged: false },
  { posts: 10_000, seeds: 4, isJudged: true },
];
const THROTTLED_POSTS = [2_000, 5_000];
/** The other contenders are there for comparison, and run once. */
const ADAPTIVE_SEEDS = 3;
const MEDIANS_MS = [20, 50, 200, 500];
/**
 * From 200 ms on, most of such a batch is the start: ten in flight, and one more with each round of answers. And
 * 500 ms at 50 in flight are 95 posts a second at most.
 */
const JUDGED_MEDIANS_MS = [20, 50];
const JUDGED_ORIGIN = 'token bucket';

const CONTENDERS: Readonly<Record<string, Contender>> = {
  adaptive: { adaptive: true },
  'without pace': { adaptive: true, withoutPace: true },
  'ADAPTIVE=off': {},
  'RATE_LIMIT=95': { adaptive: true, ratePerSecond: 95 },
};

interface Verdict {
  readonly target: string;
  readonly limit: string;
  readonly measured: string;
  readonly reached: boolean;
}

const verdicts: Verdict[] = [];

function judge(target: string, values: readonly number[], limit: number, isMost: boolean): void {
  const worst = isMost ? Math.max(...values) : Math.min(...values);
  const reached = isMost ? worst <= limit : worst >= limit;
  verdicts.push({ target, limit: `${isMost ? '≤' : '≥'} ${limit}`, measured: worst.toFixed(3), reached });
}

const ratio = ({ median, most }: Spread): string => `${median.toFixed(3)} / ${most.toFixed(3)}`;
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

async function makespans(): Promise<void> {
  const rows = [];
  for (const { posts, seeds, isJudged } of SIZES)
    for (const distribution of Object.keys(DISTRIBUTIONS) as (keyof typeof DISTRIBUTIONS)[])
      for (const adaptive of [false, true]) {
        const kinds = [
          { stalls: false, hedge: false },
          { stalls: false, hedge: true },
          { stalls: true, hedge: false },
          { stalls: true, hedge: true },
        ].map((kind) => ({
          ...kind,
          overIdeal: [] as number[],
          overPlain: [] as number[],
          extra: [] as number[],
        }));
        for (let seed = 1; seed <= seeds; seed++) {
          const batch: Batch = { posts, distribution, seed };
          let plainMs: number | undefined;
          for (const { stalls, hedge, overIdeal, overPlain, extra } of kinds) {
            const run = await fetchBatch(batch, stalls, { adaptive, hedge });
            if (run.rejected > 0) throw new Error('Expected every post to come');
            plainMs ??= run.makespanMs;
            overIdeal.push(run.makespanMs / idealMs(batch, stalls));
            overPlain.push(run.makespanMs / plainMs);
            extra.push(extraRequests(run));
          }
        }
        for (const { stalls, hedge, overIdeal, overPlain, extra } of kinds) {
          const name = `${posts} posts, ${distribution}`;
          rows.push({
            batch: name,
            ADAPTIVE: adaptive ? 'on' : 'off',
            stalls: stalls ? '2 %' : 'none',
            HEDGE: hedge ? 'on' : 'off',
            '× ideal': ratio(spread(overIdeal)),
            '× without stalls': ratio(spread(overPlain)),
            'more requests': percent(Math.max(...extra)),
          });
          if (!adaptive && !stalls && !hedge)
            judge(`${name}: makespan / ideal`, overIdeal, TARGETS.overIdeal, true);
          if (!adaptive && stalls && hedge) {
            if (isJudged)
              judge(`${name}, 2 % stalls, hedged: / without stalls`, overPlain, TARGETS.overNoStalls, true);
            judge(`${name}, 2 % stalls, hedged: more requests`, extra, TARGETS.extraRequests, true);
          }
        }
      }
  console.log(`Makespan at ${CONCURRENCY} in flight: median / worst of the seeds`);
  console.table(rows);
}

async function throttling(): Promise<void> {
  const rows = [];
  for (const origin of Object.keys(THROTTLING) as (keyof typeof THROTTLING)[])
    for (const posts of THROTTLED_POSTS)
      for (const medianMs of MEDIANS_MS) {
        const row: Record<string, string> = { origin, posts: String(posts), median: `${medianMs} ms` };
        for (const [name, contender] of Object.entries(CONTENDERS)) {
          const runs: Simulated[] = [];
          const seeds = name === 'adaptive' ? ADAPTIVE_SEEDS : 1;
          for (let seed = 1; seed <= seeds; seed++)
            runs.push(await fetchFrom(origin, { posts, medianMs, seed }, contender));
          const rates = runs.map((run) => perSecond(run) / RATE_PER_SECOND);
          const throttled = runs.map(throttledShare);
          row[name] =
            `${percent(Math.min(...rates))}, ${percent(Math.max(...throttled))} turned away${lost(runs)}`;
          if (name !== 'adaptive' || origin !== JUDGED_ORIGIN || !JUDGED_MEDIANS_MS.includes(medianMs))
            continue;
          judge(`${origin}, ${posts} posts of ${medianMs} ms: rate`, rates, TARGETS.rate, false);
          judge(
            `${origin}, ${posts} posts of ${medianMs} ms: turned away`,
            throttled,
            TARGETS.throttled,
            true,
          );
        }
        rows.push(row);
      }
  console.log(
    `Origins that take ${RATE_PER_SECOND} requests a second: worst rate, requests turned away, rejected posts`,
  );
  console.table(rows);
}

async function others(): Promise<void> {
  const rows = [];
  for (const origin of Object.keys(OTHERS) as (keyof typeof OTHERS)[])
    for (const medianMs of [20, 50, 200]) {
      const row: Record<string, string> = { origin, median: `${medianMs} ms` };
      for (const [name, contender] of Object.entries(CONTENDERS)) {
        if (contender.ratePerSecond) continue;
        const run = await fetchFrom(origin, { posts: 2_000, medianMs, seed: 1 }, contender);
        row[name] =
          `${perSecond(run).toFixed(0)}/s, ${percent(throttledShare(run))} turned away${lost([run])}`;
      }
      rows.push(row);
    }
  console.log('Other origins, 2,000 posts');
  console.table(rows);
}

function lost(runs: readonly Simulated[]): string {
  const rejected = Math.max(...runs.map((run) => run.rejected));
  return rejected === 0 ? '' : `, ${rejected} rejected`;
}

const docs = join(import.meta.dirname, '../../docs');
await writeFile(join(docs, 'tail-makespan.svg'), await drawMakespan());
await writeFile(join(docs, 'tail-throttled.svg'), await drawThrottled());
await makespans();
await throttling();
await others();
console.log('Origins that tell of their quota: worst share of what is possible, requests turned away');
console.table(await judgeTold(judge));
console.log('Targets, over the worst seed of each');
console.table(
  verdicts.map(({ reached, ...verdict }) => ({ ...verdict, result: reached ? 'reached' : 'missed' })),
);
if (!verdicts.every(({ reached }) => reached)) process.exitCode = 1;
