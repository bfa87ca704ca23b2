import type { Clock } from '../../base/clock.ts';

const FAILURES_TO_OPEN = 20;
const PROBE_EVERY_MS = 1_000;

/**
 * Finds out that an origin cannot be reached, so that a run does not ask for each of its posts in vain: opens after 20
 * new connections that could not be made, or failed before the first byte of an answer, where the run has had no status
 * at all. While the circuit is open, one request a second may probe the origin. The first answer, of whatever status,
 * closes the circuit for the rest of the run.
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

  /** Whether the request that asks may be made: while the circuit is open, as this second's probe. */
  admit(): boolean {
    if (!this.admits) return false;
    if (this.#isOpen) this.#probedMs = this.#clock.now();
    return true;
  }

  /** Notes that the origin has answered, with any status. */
  answered(): void {
    this.#isReachable = true;
  }

  /** Counts a new connection that failed. */
  failed(): void {
    this.#failures += 1;
    if (this.#failures === FAILURES_TO_OPEN) this.#probedMs = this.#clock.now();
  }

  get #isOpen(): boolean {
    return !this.#isReachable && this.#failures >= FAILURES_TO_OPEN;
  }
}
