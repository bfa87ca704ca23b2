import type { FetchRecord } from '../fetch/outcome.ts';
import type { TimeBins } from './page-data.ts';

/** As many as a chart has room for; there are at least half as many once the run is so many milliseconds long. */
const MAX_BINS = 1_024;

/**
 * Counts what happened when in a run, in bins whose width doubles as soon as there would be too many: what it holds grows
 * neither with the posts nor with the time.
 */
export class RunCourse {
  #widthMs = 1;
  #started: number[] = [];
  #ended: number[] = [];
  #rejected: number[] = [];
  /** Milliseconds of attempts. */
  #busyMs: number[] = [];

  /** A post that had no attempt has no time, and is in no bin. */
  add({ startedMs, durationMs, attempts, waitedMs }: FetchRecord, isRejected: boolean): void {
    if (startedMs === null || durationMs === null) return;
    const endMs = startedMs + durationMs;
    // What stands in a document may be any number of digits.
    if (!Number.isSafeInteger(endMs)) return;
    this.#makeRoomFor(endMs);
    this.#count(this.#started, startedMs);
    this.#count(this.#ended, endMs);
    if (isRejected) this.#count(this.#rejected, endMs);
    this.#addAttempts(startedMs, durationMs, attempts, waitedMs ?? 0);
  }

  bins(): TimeBins {
    const length = Math.max(this.#started.length, this.#ended.length, this.#busyMs.length);
    const whole = (counts: readonly number[]): number[] => Array.from({ length }, (_, i) => counts[i] ?? 0);
    return {
      startMs: 0,
      widthMs: this.#widthMs,
      started: whole(this.#started),
      ended: whole(this.#ended),
      rejected: whole(this.#rejected),
      inFlight: whole(this.#busyMs).map((busyMs) => Math.round((100 * busyMs) / this.#widthMs) / 100),
    };
  }

  #makeRoomFor(ms: number): void {
    while (ms >= MAX_BINS * this.#widthMs) {
      this.#widthMs *= 2;
      this.#started = inPairs(this.#started);
      this.#ended = inPairs(this.#ended);
      this.#rejected = inPairs(this.#rejected);
      this.#busyMs = inPairs(this.#busyMs);
    }
  }

  #count(counts: number[], ms: number, times = 1): void {
    const bin = Math.floor(ms / this.#widthMs);
    counts[bin] = (counts[bin] ?? 0) + times;
  }

  /** A line tells how long a post waited, and not when: its waits are put evenly between its attempts. */
  #addAttempts(startedMs: number, durationMs: number, attempts: number, waitedMs: number): void {
    const attemptMs = (durationMs - waitedMs) / attempts;
    const waitMs = waitedMs / (attempts - 1);
    for (let attempt = 0; attempt < attempts; attempt++) {
      const fromMs = startedMs + (attempt === 0 ? 0 : attempt * (attemptMs + waitMs));
      this.#addBusy(fromMs, fromMs + attemptMs);
    }
  }

  #addBusy(fromMs: number, toMs: number): void {
    for (let ms = fromMs; ms < toMs; ) {
      const binEndMs = (Math.floor(ms / this.#widthMs) + 1) * this.#widthMs;
      const untilMs = Math.min(binEndMs, toMs);
      this.#count(this.#busyMs, ms, untilMs - ms);
      ms = untilMs;
    }
  }
}

/** The sums of each two that stand side by side. */
function inPairs(counts: readonly number[]): number[] {
  return Array.from(
    { length: Math.ceil(counts.length / 2) },
    (_, i) => (counts[2 * i] ?? 0) + (counts[2 * i + 1] ?? 0),
  );
}
