/** What a waterfall draws: bars in the order of their rows. */
export interface Rows {
  readonly count: number;
  /** Names of outcomes; `fulfilled` is the first. */
  readonly outcomes: readonly string[];
  /** Of each row, its place in `outcomes`. */
  readonly outcome: Uint8Array;
  /**
   * From the start of the run; where nothing was attempted, 0, and `endMs` that of the run: the row waited. NaN, as
   * `endMs` is, for an outcome of an earlier run.
   */
  readonly startMs: Float64Array;
  readonly endMs: Float64Array;
  /** Of the milliseconds between them those of waits; 0 where that is not known. */
  readonly waitedMs: Float64Array;
  /** 0: none */
  readonly attempts: Uint32Array;
  /** 1 where a row is marked. */
  readonly marked: Uint8Array;
  /** When the last row, and the run, has ended. */
  readonly lastMs: number;
}
