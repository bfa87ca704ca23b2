/** Fewer tell nothing of how soon an origin may answer, and on a machine's own network nothing does. */
const LEAST_ANSWERS = 20;
const LEAST_MS = 10;

/** How soon an origin answers at the soonest, as far as answers show that can be no other's. */
export class LeastLatency {
  #leastMs = Infinity;
  #answers = 0;

  add(ms: number): void {
    this.#leastMs = Math.min(this.#leastMs, ms);
    this.#answers += 1;
  }

  /** Whether an answer comes so much sooner than all before it that it may have been on its way already. */
  isTooSoon(ms: number): boolean {
    return this.#answers >= LEAST_ANSWERS && this.#leastMs >= LEAST_MS && ms < this.#leastMs / 10;
  }
}
