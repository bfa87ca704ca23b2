/** A time in which no request started, as the origin had asked for. */
export interface Pause {
  /** Milliseconds from the start of the run. */
  readonly startedMs: number;
  readonly durationMs: number;
}

/** As many are told of: a summary is not to grow with the run. */
const MOST_PAUSES = 100;

/** Notes when the origin was paused, so that a run can tell of that: of its first 100 pauses. Times are by the clock. */
export class PauseLog {
  readonly #startMs: number;
  readonly #kept: { readonly fromMs: number; readonly untilMs: number }[] = [];
  #last = { fromMs: -Infinity, untilMs: -Infinity };

  /** `startMs`: of the run. */
  constructor(startMs: number) {
    this.#startMs = startMs;
  }

  /** Notes a pause, or that the one under way is prolonged. */
  note(nowMs: number, untilMs: number): void {
    if (nowMs < this.#last.untilMs) {
      this.#last.untilMs = Math.max(this.#last.untilMs, untilMs);
      return;
    }
    this.#last = { fromMs: nowMs, untilMs };
    if (this.#kept.length < MOST_PAUSES) this.#kept.push(this.#last);
  }

  /** The pauses until now, in whole milliseconds: one that is under way has been as long as it has. */
  summary(nowMs: number): Pause[] {
    return this.#kept.map(({ fromMs, untilMs }) => {
      const startedMs = Math.round(fromMs - this.#startMs);
      // Of the end, and not of the time between: none ends behind the run.
      const endedMs = Math.round(Math.min(untilMs, nowMs) - this.#startMs);
      return { startedMs, durationMs: endedMs - startedMs };
    });
  }
}
