/** What the bucket may hold besides one token, as timers are late. */
const BURST_MS = 10;
/** A token, but for what adding up fractions leaves out. */
const WHOLE = 1 - 1e-9;

/**
 * Spaces requests evenly, at a rate that may be another one each time: a bucket of one token, and 10 ms' worth more.
 * Times are milliseconds by one clock.
 */
export class TokenBucket {
  #tokens = 1;
  #filledMs = 0;

  get tokens(): number {
    return this.#tokens;
  }

  /** Has so many tokens, or misses so many where it is less than 0, and gets more from then on. */
  fill(tokens: number, fromMs: number): void {
    this.#tokens = tokens;
    this.#filledMs = fromMs;
  }

  take(): void {
    this.#tokens -= 1;
  }

  putBack(): void {
    this.#tokens += 1;
  }

  /** How long until there is a token, at so many a second; 0 is now. At Infinity a second, the bucket is full. */
  waitMs(nowMs: number, perSecond: number): number {
    const sinceMs = Math.max(0, nowMs - this.#filledMs);
    this.#filledMs = Math.max(nowMs, this.#filledMs);
    if (perSecond === Infinity) {
      this.#tokens = 1;
      return 0;
    }
    const capacity = 1 + (perSecond * BURST_MS) / 1_000;
    this.#tokens = Math.min(capacity, this.#tokens + (sinceMs * perSecond) / 1_000);
    return this.#tokens > WHOLE ? 0 : ((1 - this.#tokens) * 1_000) / perSecond;
  }
}
