export interface RetrySettings {
  /** Attempts of one post, the first included: an integer from 1 to 20. @default 4 */
  readonly maxAttempts: number;
  /**
   * Retries that a run may make, in per cent of the posts that it was asked for: 0 to 1,900. Those for which the origin
   * said when to come back are not counted. @default 20
   */
  readonly retryBudgetPercent: number;
}

export interface RetrySummary {
  /** Attempts of posts after their first. */
  readonly retries: number;
  readonly retryBudgetLeft: number;
}

/** Retries that a run may make whatever its size. */
const ALWAYS = 10;

/**
 * How many retries a run may make: `percent` of the posts that it was asked for, and 10. An origin that fails for
 * most posts is so asked little more than once for each, instead of as often as one post may be tried. A retry that was
 * told when to come costs nothing: the origin is well, and has the time that it asked for. Such retries end with the
 * attempts of the post.
 */
export class RetryBudget {
  #left: number;
  #used = 0;

  constructor(requested: number, percent: number) {
    this.#left = Math.floor((requested * percent) / 100) + ALWAYS;
  }

  summary(): RetrySummary {
    return { retries: this.#used, retryBudgetLeft: this.#left };
  }

  /** Counts a retry, and takes it out of the budget unless the origin `told` when to come; false where none is left. */
  take(told = false): boolean {
    if (!told) {
      if (this.#left === 0) return false;
      this.#left -= 1;
    }
    this.#used += 1;
    return true;
  }

  /** Puts one back that was not made. */
  putBack(told = false): void {
    if (!told) this.#left += 1;
    this.#used -= 1;
  }
}
