import { PERCENT_BEFORE } from './before.ts';
import { type Judge, ofSeeds, percent, type Row } from './judge.ts';
import type { Simulated } from './run.ts';
import { fetchFrom, type Origin, shareOfPossible, turnedAway } from './scenarios.ts';

export const MEDIANS_MS = [20, 50, 200, 500] as const;

/** What is wanted of 5,000 posts, at each of the latencies, and how many requests may be turned away at most. */
const TARGETS = [
  { origin: 'token bucket', shares: [0.95, 0.95, 0.95, 0.9], turnedAway: 0.02 },
  { origin: 'token bucket, Retry-After: 1', shares: [0.9, 0.9, 0.9, 0.88] },
  { origin: '100 in each second', shares: [0.95, 0.95, 0.92, 0.92], turnedAway: 0.03 },
  { origin: '100 in each second, Retry-After: 1', shares: [0.85, 0.85, 0.85, 0.85] },
  { origin: '1 % answered 429 at random', shares: [0.75, 0.75, 0.75, 0.75] },
  { origin: 'at most 20 in flight, else 429', shares: [0.93, 0.93, 0.93, 0.93] },
  { origin: 'at most 20 in flight, else 503', shares: [0.93, 0.93, 0.93, 0.93] },
  { origin: 'hangs beyond 30 in flight', shares: [0.2, 0.2, 0.4, 0.4] },
] as const satisfies readonly { origin: Origin; shares: readonly number[]; turnedAway?: number }[];

/** At 2,000 posts no share may be less than before by more percentage points than that. */
const LESS_THAN_BEFORE = 2;

const SLOW: readonly Origin[] = ['token bucket of 5 a second', '5 in each second'];
const SLOW_POSTS = 500;
const SLOW_TURNED_AWAY = 0.1;
/** Windows that are long, and a limit that says it by 503: no post may be lost. */
const NONE_LOST = [
  { origin: '100 in each 10 s', posts: 500 },
  { origin: '60 in each minute', posts: 150 },
  { origin: 'token bucket, else 503', posts: 5_000 },
] as const;

const SEEDS = 5;

interface Cell {
  readonly shares: readonly number[];
  readonly turnedAway: readonly number[];
  readonly lost: readonly number[];
}

export async function fetchCell(origin: Origin, posts: number, medianMs: number): Promise<Cell> {
  const runs = await ofSeeds(SEEDS, (seed) =>
    fetchFrom(origin, { posts, medianMs, seed }, { adaptive: true }),
  );
  const shareOf = (run: Simulated, index: number): number =>
    shareOfPossible(origin, { posts, medianMs, seed: index + 1 }, run);
  return {
    shares: runs.map(shareOf),
    turnedAway: runs.map(turnedAway),
    lost: runs.map(({ rejected }) => rejected),
  };
}

/** Judges what a run gets of origins that take less than it could send. */
export async function judgePushback(judge: Judge): Promise<Row[]> {
  const rows: Row[] = [];
  const table = async (
    origin: Origin,
    posts: number,
    judgeCell: (cell: Cell, name: string, index: number) => void,
  ): Promise<void> => {
    const row: Record<string, string> = { origin, posts: String(posts) };
    for (const [index, medianMs] of MEDIANS_MS.entries()) {
      const cell = await fetchCell(origin, posts, medianMs);
      const name = `${origin}, ${posts} posts of ${medianMs} ms`;
      judgeCell(cell, name, index);
      judge(`${name}: posts lost`, cell.lost, 0, true);
      row[`${medianMs} ms`] =
        `${percent(Math.min(...cell.shares))}, ${percent(Math.max(...cell.turnedAway))} turned away`;
    }
    rows.push(row);
  };

  for (const target of TARGETS) {
    const { origin, shares } = target;
    await table(origin, 5_000, (cell, name, index) => {
      judge(`${name}: share`, cell.shares, shares[index] as number, false);
      if ('turnedAway' in target) judge(`${name}: turned away`, cell.turnedAway, target.turnedAway, true);
    });
    await table(origin, 2_000, (cell, name, index) => {
      const before = PERCENT_BEFORE[2_000][origin]?.[index] as number;
      judge(`${name}: share`, cell.shares, (before - LESS_THAN_BEFORE) / 100, false);
    });
  }
  for (const origin of SLOW)
    await table(origin, SLOW_POSTS, (cell, name) =>
      judge(`${name}: turned away`, cell.turnedAway, SLOW_TURNED_AWAY, true),
    );
  for (const { origin, posts } of NONE_LOST) await table(origin, posts, () => {});
  return rows;
}
