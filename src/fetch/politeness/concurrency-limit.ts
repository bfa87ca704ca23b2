import { type Cubic, cubicAt } from './cubic.ts';

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

/** A request that has ended, as the limit looks at it. */
export interface Flight {
  /** Requests in flight when it was sent, itself included. */
  readonly inFlight: number;
  /** How long it took. */
  readonly tookMs: number;
}

const START = 10;
/** How far the limit falls below what was found to be taken, so that the requests that wait there are served. */
const BACK_OFF = 0.1;
/** How long the limit takes to come back: so many times what a refusal took, as each next look costs refusals again. */
const RECOVERY_FLIGHTS = 20;
const MIN_RECOVERY_MS = 2_000;
/** A wave: this share of a round's requests timed out, of the last ten at least. One timeout is none. */
const WAVE_SHARE = 0.3;
const WAVE_ROUND = 10;

/**
 * How many requests may be in flight, as the origin takes them: 10 at first and one more with each answer, which is
 * twice as many a round, up to a most. This is TCP's slow start (RFC 5681) and the increase of Netflix's
 * concurrency-limits.
 *
 * Where the origin refuses requests, or a wave of them times out, the least that were in flight with one of them were
 * too many: the limit stays below by a CUBIC curve (RFC 9438), and grows by each answer again when a whole round above
 * that ceiling was answered.
 */
export class ConcurrencyLimit {
  readonly #most: number;
  #start: number;
  #grown: number;
  /** What was found to be taken. */
  #ceiling: Cubic | undefined;
  #min: number;
  #max: number;
  #isShrinking = false;
  /** Since the limit was lowered, or in this round. */
  #answered = 0;
  #answeredAbove = 0;
  /** Timeouts since a round was answered, and the least that were in flight with one. */
  #timedOut = 0;
  #leastTimedOut = Infinity;

  /** The start is half of what an earlier run `learned`, and never more than `most`. */
  constructor(most: number, learned = 2 * START) {
    this.#most = most;
    this.#start = Math.min(Math.max(1, Math.floor(learned / 2)), most);
    this.#grown = this.#start;
    this.#min = this.#start;
    this.#max = this.#start;
  }

  /** How many requests may be in flight now: 1 at least. */
  at(nowMs: number): number {
    const found = this.#ceiling ? cubicAt(this.#ceiling, nowMs) : this.#grown;
    // The place of a request that timed out is not given away before it is known whether that was a wave.
    const limit = Math.max(1, Math.min(this.#most, Math.floor(found)) - this.#timedOut);
    if (limit < this.#min) this.#min = limit;
    if (limit > this.#max) this.#max = limit;
    return limit;
  }

  /** Whether no round of requests was answered since the last decrease. */
  get isShrinking(): boolean {
    return this.#isShrinking;
  }

  /**
   * How many requests in flight the origin was found to take; undefined where so few have been tried that the next run
   * had better start anew.
   */
  get learned(): number | undefined {
    if (this.#ceiling) return this.#ceiling.most;
    return this.#grown > this.#start && this.#grown >= 2 * START ? this.#grown : undefined;
  }

  summary(nowMs: number): ConcurrencySummary {
    const final = this.at(nowMs);
    return { min: this.#min, max: this.#max, final };
  }

  /** Raises the limit to the most, unless the origin was found to take less. */
  open(): void {
    if (this.#ceiling) return;
    this.#start = this.#most;
    this.#grown = this.#most;
  }

  /** Learns that a request was answered that was sent since the last decrease; `inFlight` were until then. */
  answered(sent: Pick<Flight, 'inFlight'>, inFlight: number, nowMs: number): void {
    const limit = this.at(nowMs);
    this.#answered += 1;
    if (this.#answered >= limit) this.#endRound();
    if (this.#ceiling) this.#lookAbove(this.#ceiling, sent, limit);
    // A limit that is not made use of says nothing about a higher one.
    else if (inFlight * 2 >= this.#grown) this.#grown = Math.min(this.#most, this.#grown + 1);
  }

  /** Learns that such a request timed out. Says whether the limit was lowered. */
  timedOut({ inFlight, tookMs }: Flight, nowMs: number): boolean {
    const round = Math.max(this.at(nowMs) + this.#timedOut, WAVE_ROUND);
    this.#timedOut += 1;
    this.#leastTimedOut = Math.min(this.#leastTimedOut, inFlight);
    if (this.#timedOut < WAVE_SHARE * round) return false;
    this.refused({ inFlight: this.#leastTimedOut, tookMs }, nowMs);
    return true;
  }

  /** Learns that a request was refused for those that were in flight with it. */
  refused({ inFlight, tookMs }: Flight, nowMs: number): void {
    this.#ceiling = {
      most: Math.max(1, inFlight - 1),
      fromMs: nowMs,
      recoveryMs: Math.max(MIN_RECOVERY_MS, RECOVERY_FLIGHTS * tookMs),
      backOff: BACK_OFF,
    };
    this.#endRound();
    this.#answeredAbove = 0;
    this.#isShrinking = true;
    // For the extremes: nobody else may look before the limit has come back.
    this.at(nowMs);
  }

  /** Learns from another of the requests that the last decrease was for: the least of them counts. */
  refusedAsWell(sent: Flight, nowMs: number): void {
    if (this.#ceiling && sent.inFlight <= this.#ceiling.most) this.refused(sent, nowMs);
  }

  #endRound(): void {
    this.#answered = 0;
    this.#timedOut = 0;
    this.#leastTimedOut = Infinity;
    this.#isShrinking = false;
  }

  #lookAbove({ most }: Cubic, { inFlight }: Pick<Flight, 'inFlight'>, limit: number): void {
    if (inFlight <= most) return;
    this.#answeredAbove += 1;
    if (this.#answeredAbove < most) return;
    this.#grown = limit;
    this.#ceiling = undefined;
    this.#answeredAbove = 0;
  }
}
