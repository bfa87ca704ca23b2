/**
 * What a request that has ended tells of the origin: that the origin takes more, that there were too many requests in a
 * time, that the origin had too much to do, that nothing came; `unknown` tells nothing.
 */
export type Feedback = 'answered' | 'throttled' | 'overloaded' | 'timed-out' | 'unknown';

/** The limit's extremes, and what it was in the end. */
export interface ConcurrencySummary {
  readonly min: number;
  readonly max: number;
  readonly final: number;
}

const START = 10;
const SHRINK_FACTOR = 0.5;
/** A wave: this share of a round's requests timed out, of the last ten at least. One timeout is none. */
const WAVE_SHARE = 0.3;
const WAVE_ROUND = 10;

/**
 * How many requests may be in flight, as the origin takes them: 10 at first, one more with each round of requests that
 * were answered, up to a most; half, once a round, where the origin throttles or a wave of requests times out. This is
 * TCP's additive increase and multiplicative decrease (RFC 5681), as in Netflix's concurrency-limits.
 */
export class ConcurrencyLimit {
  readonly #most: number;
  #limit: number;
  #min: number;
  #max: number;
  #era = 0;
  #isShrinking = false;
  // Of this round.
  #answered = 0;
  #timedOut = 0;
  #ended = 0;

  /** Without `adaptive`, the limit starts at `most`. */
  constructor(most: number, adaptive: boolean) {
    this.#most = most;
    this.#limit = adaptive ? Math.min(START, most) : most;
    this.#min = this.#limit;
    this.#max = this.#limit;
  }

  get value(): number {
    return this.#limit;
  }

  /** Counts the decreases: a request that started in an earlier era tells nothing of the limit since. */
  get era(): number {
    return this.#era;
  }

  /** Whether no round of requests was answered since the last decrease. */
  get isShrinking(): boolean {
    return this.#isShrinking;
  }

  summary(): ConcurrencySummary {
    return { min: this.#min, max: this.#max, final: this.#limit };
  }

  /** Raises the limit to the most, unless it was lowered before. */
  open(): void {
    if (this.#era > 0) return;
    this.#limit = this.#most;
    this.#max = this.#most;
  }

  /** Learns from the end of a request of this era, with `inFlight` requests in flight until then. */
  learn(feedback: Exclude<Feedback, 'unknown'>, inFlight: number): void {
    if (feedback === 'answered') this.#answered += 1;
    else if (feedback === 'timed-out') this.#timedOut += 1;
    else {
      this.#shrink();
      return;
    }
    this.#ended += 1;
    const round = Math.max(this.#limit, WAVE_ROUND);
    if (this.#timedOut >= WAVE_SHARE * round) this.#shrink();
    else if (this.#answered >= this.#limit) this.#grow(inFlight);
    if (this.#ended >= round) {
      this.#ended = 0;
      this.#timedOut = 0;
    }
  }

  #grow(inFlight: number): void {
    this.#answered = 0;
    this.#isShrinking = false;
    // A limit that is not made use of says nothing about a higher one.
    if (inFlight * 2 < this.#limit) return;
    this.#limit = Math.min(this.#limit + 1, this.#most);
    this.#max = Math.max(this.#max, this.#limit);
  }

  #shrink(): void {
    this.#limit = Math.max(1, Math.floor(this.#limit * SHRINK_FACTOR));
    this.#min = Math.min(this.#min, this.#limit);
    this.#era += 1;
    this.#answered = 0;
    this.#timedOut = 0;
    this.#ended = 0;
    this.#isShrinking = true;
  }
}
