/** Retries that a run may make whatever its size. */
const ALWAYS = 10;

/**
 * How many retries a run may make: `percent` of the posts that it was asked for, and 10. An origin that fails for
 * most posts is so asked little more than once for each, instead of as often as one post may be tried.
 */
export class RetryBudget {
  #left: number;
  #used = 0;

  constructor(requested: number, percent: number) {
    this.#left = Math.floor((requested * percent) / 100) + ALWAYS;
  }

  get left(): number {
    return this.#left;
  }

  get used(): number {
    return this.#used;
  }

  /** Takes a retry out of the budget; false where none is left. */
  take(): boolean {
    if (this.#left === 0) return false;
    this.#left -= 1;
    this.#used += 1;
    return true;
  }

  /** Puts one back that was not made. */
  putBack(): void {
    this.#left += 1;
    this.#used -= 1;
  }
}
