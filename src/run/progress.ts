import type { Clock } from '../base/clock.ts';
import { type Figures, UNKNOWN_FIGURES } from '../document/claim.ts';
import type { FetchPost } from '../fetch/fetch-post.ts';

/** How many outcomes there were when one came. */
interface Sample {
  atMs: number;
  done: number;
}

/** The rate is that of the second half of the run so far, which the start does not slow down, and of so long at most. */
const SPAN_MS = 30_000;
/** A sample is the last outcome of such a span; so many samples are of more time than `SPAN_MS`. */
const SAMPLE_MS = 1_000;
const SAMPLES = 40;
/** A run stands still when no outcome has come for so long, and for twice as long as between those before. */
const STANDSTILL_MS = 5_000;

/** Counts the outcomes of a run as they come, and says how far the run is. */
export class Progress {
  readonly #clock: Clock;
  readonly #requested: number;
  readonly #samples: Sample[] = [];
  #start: Sample | undefined;
  #fulfilled = 0;
  #rejected = 0;
  #deadlineMs = Infinity;

  constructor(clock: Clock, requested: number) {
    this.#clock = clock;
    this.#requested = requested;
  }

  /** Says that fetching begins, when so many outcomes are there already; it ends at `deadlineMs` at the latest. */
  begin(deadlineMs: number, { fulfilled = 0, rejected = 0 } = {}): void {
    this.#deadlineMs = deadlineMs;
    this.#fulfilled = fulfilled;
    this.#rejected = rejected;
    this.#start = { atMs: this.#clock.now(), done: fulfilled + rejected };
  }

  /** The same `fetchPost`, whose outcomes are counted. */
  counting(fetchPost: FetchPost): FetchPost {
    const onFulfilled = (): void => {
      this.#fulfilled += 1;
      this.#sample();
    };
    const onRejected = (): void => {
      this.#rejected += 1;
      this.#sample();
    };
    return (id, signal) => {
      const post = fetchPost(id, signal);
      void post.then(onFulfilled, onRejected);
      return post;
    };
  }

  /** How far the run is now. */
  figures(): Figures {
    const start = this.#start;
    if (!start) return UNKNOWN_FIGURES;
    const now = this.#clock.now();
    const last = this.#samples.at(-1) ?? start;
    const perMs = this.#ratePerMs(start, last, now);
    const left = this.#requested - last.done;
    // Nobody knows when a run that stands still goes on.
    const leftMs = left === 0 ? 0 : perMs ? Math.min(left / perMs, this.#deadlineMs - now) : null;
    return {
      done: last.done,
      fulfilled: this.#fulfilled,
      rejected: this.#rejected,
      perSecond: perMs === null ? null : Number((1_000 * perMs).toPrecision(3)),
      etaSeconds: leftMs === null ? null : Math.max(0, Math.ceil(leftMs / 1_000)),
    };
  }

  /** From outcome to outcome, so that it is the same between two bursts as behind one; null where none has come. */
  #ratePerMs(start: Sample, last: Sample, now: number): number | null {
    const fromMs = Math.max(now - SPAN_MS, (start.atMs + now) / 2);
    const isBefore = ({ atMs }: Sample): boolean => atMs <= fromMs;
    let from = start;
    let gaps = 1;
    for (const sample of this.#samples.slice(0, -1)) {
      gaps += 1;
      if (isBefore(sample)) [from, gaps] = [sample, 1];
    }
    const spanMs = last.atMs - from.atMs;
    if (spanMs === 0) return null;
    if (now - last.atMs <= Math.max(STANDSTILL_MS, (2 * spanMs) / gaps))
      return (last.done - from.done) / spanMs;
    return isBefore(last) ? 0 : (last.done - from.done) / (now - from.atMs);
  }

  #sample(): void {
    const sample = { atMs: this.#clock.now(), done: this.#fulfilled + this.#rejected };
    const last = this.#samples.at(-1);
    if (last && Math.floor(last.atMs / SAMPLE_MS) === Math.floor(sample.atMs / SAMPLE_MS))
      Object.assign(last, sample);
    else this.#samples.push(sample);
    if (this.#samples.length > SAMPLES) this.#samples.shift();
  }
}
