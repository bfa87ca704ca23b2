/** What to keep to, as a share of the rate that the origin was seen to take, which a burst may have raised. */
const CEILING = 0.95;
/** How far the pace falls below its ceiling. */
const BACK_OFF = 0.05;
/** How long the pace takes to get back to its ceiling; less where the rate was measured over less than a window. */
const RECOVERY_MS = 10_000;
const HASTY_RECOVERY_MS = 1_000;
/** What a recovery takes besides, for each millisecond of the pause that going too fast has cost. */
const RECOVERY_PER_PAUSE = 10;
/** What the origin takes is measured over a second and ten answers at least. */
const MEASURED_MS = 1_000;
const MEASURED_ANSWERS = 10;
/**
 * So many refusals without a Retry-After are taken for a limit of the rate: each counts for one, and each answer takes
 * so much away again.
 */
const MANY = 2;
const FORGIVEN_PER_ANSWER = 0.02;
/** The least pace, as a share of the best rate that was measured, which is forgotten by and by. */
const FLOOR = 0.5;
const BEST_DECAY = 0.9;

interface Window {
  readonly fromMs: number;
  readonly answered: number;
}

/**
 * The rate that an origin takes, learned from what it turns away: a limit of requests in flight finds the wrong thing
 * where the origin counts requests a second, and runs into its limit again every few rounds.
 *
 * Unlimited at first. Where the origin tells a request to wait, or turns more than the odd one away, 95 % of the rate
 * of answers before it: from a little below, back there after 10 s, slow to go past it, and ever faster once past.
 * This is the curve of CUBIC (RFC 9438), which the AWS SDKs' adaptive retries apply to request rates too. Where going
 * past what the origin takes costs a pause, the curve is as much longer as to cost the same share of the time.
 *
 * An origin that turns away the odd request whatever the rate is not to be asked ever more slowly: hence the
 * forgiveness, and a floor. Times are milliseconds by one clock; pauses do not count.
 */
export class LearnedPace {
  // Two windows, one after the other, so that there is always a whole one to measure.
  #previous: Window;
  #current: Window;
  #bestPerSecond = 0;
  #turnedAway = 0;
  #pausedMs = 0;
  #pausedUntilMs = -Infinity;
  #learned: { readonly perSecond: number; readonly atMs: number; readonly recoveryMs: number } | undefined;

  constructor(startMs: number) {
    this.#previous = { fromMs: startMs, answered: 0 };
    this.#current = this.#previous;
  }

  /** Requests that may start in a second, as of now. */
  perSecond(nowMs: number): number {
    if (!this.#learned) return Infinity;
    const sinceMs = this.#active(nowMs) - this.#learned.atMs;
    return this.#learned.perSecond * (1 + BACK_OFF * (sinceMs / this.#learned.recoveryMs - 1) ** 3);
  }

  answered(nowMs: number): void {
    this.#turnedAway = Math.max(0, this.#turnedAway - FORGIVEN_PER_ANSWER);
    if (nowMs < this.#pausedUntilMs) return;
    const atMs = this.#active(nowMs);
    const { fromMs, answered } = this.#current;
    if (atMs - fromMs >= MEASURED_MS && answered >= MEASURED_ANSWERS) {
      this.#bestPerSecond = Math.max(this.#bestPerSecond * BEST_DECAY, (answered * 1_000) / (atMs - fromMs));
      this.#previous = this.#current;
      this.#current = { fromMs: atMs, answered: 1 };
    } else this.#current = { fromMs, answered: answered + 1 };
  }

  /**
   * Counts a request that was turned away, and learns the rate if `toldMs` is not 0, or the refusals are many. Says
   * whether the rate was learned.
   */
  throttled(nowMs: number, toldMs: number): boolean {
    this.#turnedAway += 1;
    const answered = this.#previous.answered + this.#current.answered;
    // Where nothing is answered there is no rate to keep to.
    if ((toldMs === 0 && this.#turnedAway < MANY) || answered === 0) return false;
    const atMs = this.#active(nowMs);
    const spanMs = Math.max(atMs - this.#previous.fromMs, 1);
    const taken = CEILING * Math.min((answered * 1_000) / spanMs, this.perSecond(nowMs));
    this.#learned = {
      perSecond: Math.max(taken, FLOOR * this.#bestPerSecond),
      atMs,
      recoveryMs: spanMs < MEASURED_MS ? HASTY_RECOVERY_MS : RECOVERY_MS + RECOVERY_PER_PAUSE * toldMs,
    };
    this.#turnedAway = 0;
    return true;
  }

  /** Takes a pause out of the count, or what it adds to one that is under way. */
  pause(nowMs: number, untilMs: number): void {
    this.#pausedMs += untilMs - Math.max(nowMs, this.#pausedUntilMs);
    this.#pausedUntilMs = untilMs;
  }

  #active(nowMs: number): number {
    return Math.max(nowMs, this.#pausedUntilMs) - this.#pausedMs;
  }
}
