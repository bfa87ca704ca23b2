import type { Rows } from './rows.ts';

/** Rows in groups of 2^k, and what each group comes to. */
export interface Level {
  /** Rows in each group, but for the last. */
  readonly each: number;
  readonly count: number;
  /** The earliest start and the latest end; infinite where no row has times. */
  readonly firstMs: Float64Array;
  readonly lastMs: Float64Array;
  /** Rows that were attempted, and the sums of their starts, ends and waits. */
  readonly attempted: Uint32Array;
  readonly startMs: Float64Array;
  readonly endMs: Float64Array;
  readonly waitedMs: Float64Array;
  /** The latest end of a row that was rejected. */
  readonly rejectedMs: Float64Array;
  /** Rows by outcome: those of group g and outcome o are at g * outcomes + o. */
  readonly outcomes: Uint32Array;
  /** The most frequent outcome, and the most frequent of those but the first; NONE where there is none. */
  readonly top: Uint8Array;
  readonly topRejected: Uint8Array;
}

export const NONE = 255;

/**
 * The levels for groups of 2, 4, 8 … rows, up to one group, so that a picture of any number of rows costs no more than
 * the picture has lines. Rows whose outcome is not in `chosen` are left out.
 */
export function buildPyramid(rows: Rows, chosen?: ReadonlySet<number>): readonly Level[] {
  const levels: Level[] = [];
  let below: Level | undefined;
  for (let each = 2; below === undefined ? rows.count > 1 : below.count > 1; each *= 2) {
    const level = emptyLevel(each, Math.ceil(rows.count / each), rows.outcomes.length);
    if (below === undefined) addRows(level, rows, chosen);
    else addGroups(level, below, rows.outcomes.length);
    findTops(level, rows.outcomes.length);
    levels.push(level);
    below = level;
  }
  return levels;
}

function emptyLevel(each: number, count: number, outcomes: number): Level {
  return {
    each,
    count,
    firstMs: new Float64Array(count).fill(Number.POSITIVE_INFINITY),
    lastMs: new Float64Array(count).fill(Number.NEGATIVE_INFINITY),
    attempted: new Uint32Array(count),
    startMs: new Float64Array(count),
    endMs: new Float64Array(count),
    waitedMs: new Float64Array(count),
    rejectedMs: new Float64Array(count).fill(Number.NEGATIVE_INFINITY),
    outcomes: new Uint32Array(count * outcomes),
    top: new Uint8Array(count).fill(NONE),
    topRejected: new Uint8Array(count).fill(NONE),
  };
}

function addRows(level: Level, rows: Rows, chosen: ReadonlySet<number> | undefined): void {
  for (let row = 0; row < rows.count; row += 1) {
    const outcome = rows.outcome[row] ?? 0;
    if (chosen && !chosen.has(outcome)) continue;
    const group = row >> 1;
    const [start, end] = [rows.startMs[row] ?? 0, rows.endMs[row] ?? 0];
    add(level.outcomes, group * rows.outcomes.length + outcome, 1);
    // An outcome of an earlier run has no times.
    if (Number.isNaN(start)) continue;
    include(level, group, start, end, outcome === 0 ? Number.NEGATIVE_INFINITY : end);
    if (rows.attempts[row] === 0) continue;
    add(level.attempted, group, 1);
    add(level.startMs, group, start);
    add(level.endMs, group, end);
    add(level.waitedMs, group, rows.waitedMs[row] ?? 0);
  }
}

function addGroups(level: Level, below: Level, outcomes: number): void {
  for (let from = 0; from < below.count; from += 1) {
    const group = from >> 1;
    include(level, group, below.firstMs[from] ?? 0, below.lastMs[from] ?? 0, below.rejectedMs[from] ?? 0);
    for (const sums of ['attempted', 'startMs', 'endMs', 'waitedMs'] as const)
      add(level[sums], group, below[sums][from] ?? 0);
    for (let outcome = 0; outcome < outcomes; outcome += 1)
      add(level.outcomes, group * outcomes + outcome, below.outcomes[from * outcomes + outcome] ?? 0);
  }
}

function include(level: Level, group: number, firstMs: number, lastMs: number, rejectedMs: number): void {
  level.firstMs[group] = Math.min(level.firstMs[group] ?? 0, firstMs);
  level.lastMs[group] = Math.max(level.lastMs[group] ?? 0, lastMs);
  level.rejectedMs[group] = Math.max(level.rejectedMs[group] ?? 0, rejectedMs);
}

function add(sums: Uint32Array | Float64Array, at: number, more: number): void {
  sums[at] = (sums[at] ?? 0) + more;
}

function findTops(level: Level, outcomes: number): void {
  for (let group = 0; group < level.count; group += 1) {
    let [most, mostRejected] = [0, 0];
    for (let outcome = 0; outcome < outcomes; outcome += 1) {
      const count = level.outcomes[group * outcomes + outcome] ?? 0;
      if (count > most) {
        most = count;
        level.top[group] = outcome;
      }
      if (outcome > 0 && count > mostRejected) {
        mostRejected = count;
        level.topRejected[group] = outcome;
      }
    }
  }
}
