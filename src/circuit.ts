import type { Clock } from './clock.ts';

const FAILURES_TO_OPEN = 20;
const PROBE_EVERY_MS = 1_000;

/**
 * Finds out that an origin cannot be reached, so that a run does not ask it for every post that it will not give:
 * opens after 20 network failures in a row, where the run has had no answer at all. While it is open, one request a
 * second may probe the origin. The first answer, of whatever status, closes it for the rest of the run.
 */
export class Circuit {
  readonly #clock: Clock;
  #failures = 0;
  #isReachable = false;
  #probedMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether a request may be made now. */
  get admits(): boolean {
    return !this.#isOpen || this.#clock.now() - this.#probedMs >= PROBE_EVERY_MS;
  }

  /** The same, for one that is then made: while the circuit is open, it is this second's probe. */
  admit(): boolean {
    if (!this.admits) return false;
    if (this.#isOpen) this.#probedMs = this.#clock.now();
    return true;
  }

  /** Counts a request that was answered. */
  answered(): void {
    this.#isReachable = true;
  }

  /** Counts a request that failed in the network. */
  failed(): void {
    this.#failures += 1;
    if (this.#failures === FAILURES_TO_OPEN) this.#probedMs = this.#clock.now();
  }

  get #isOpen(): boolean {
    return !this.#isReachable && this.#failures >= FAILURES_TO_OPEN;
  }
}
