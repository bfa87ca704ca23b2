import type { PostColumns } from '../../src/report/page-data.ts';
import type { Rows } from './rows.ts';

/** The posts of a run, as they are drawn and listed. */
export interface Posts extends Rows {
  readonly columns: PostColumns;
  /** The rows that were rejected, ascending. */
  readonly rejected: Int32Array;
  /** Of a row that was rejected, its place in `rejected`, and so in the columns that only these have; else -1. */
  readonly rejection: Int32Array;
}

/** Makes rows of columns; the run ended at `runMs`. */
export function toPosts(columns: PostColumns, runMs: number): Posts {
  const count = columns.id.length;
  const startMs = new Float64Array(count);
  const endMs = new Float64Array(count);
  const waitedMs = new Float64Array(count);
  const rejection = new Int32Array(count).fill(-1);
  const rejected: number[] = [];
  let lastMs = Math.max(runMs, 1);
  for (let row = 0; row < count; row += 1) {
    const started = columns.startedMs[row] ?? -1;
    const duration = columns.durationMs[row] ?? -1;
    if (started >= 0) {
      startMs[row] = started;
      endMs[row] = started + Math.max(0, duration);
      waitedMs[row] = Math.min(Math.max(0, columns.waitedMs[row] ?? 0), Math.max(0, duration));
      lastMs = Math.max(lastMs, started + duration);
    }
    if (columns.code[row] !== 0) rejection[row] = rejected.push(row) - 1;
  }
  for (let row = 0; row < count; row += 1) {
    if ((columns.startedMs[row] ?? -1) >= 0) continue;
    const isWait = columns.attempts[row] === 0;
    startMs[row] = isWait ? 0 : Number.NaN;
    endMs[row] = isWait ? lastMs : Number.NaN;
    waitedMs[row] = isWait ? lastMs : 0;
  }
  const marked = new Uint8Array(count);
  for (const row of columns.hedged) marked[row] = 1;
  return {
    count,
    columns,
    outcomes: ['fulfilled', ...columns.codes],
    outcome: Uint8Array.from(columns.code),
    startMs,
    endMs,
    waitedMs,
    attempts: Uint32Array.from(columns.attempts),
    marked,
    lastMs,
    rejected: Int32Array.from(rejected),
    rejection,
  };
}

/** The place of a row among the results of the run. */
export function indexOf({ columns }: Posts, row: number): number {
  return columns.index?.[row] ?? row;
}

/** Whether an outcome was taken over from the run that this one redrives. */
export function isTakenOver({ startMs }: Posts, row: number): boolean {
  return Number.isNaN(startMs[row]);
}
