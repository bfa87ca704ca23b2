export interface RetrySettings {
  /** Attempts of one post, the first included: an integer from 1 to 20. @default 4 */
  readonly maxAttempts: number;
  /** Retries that a run may make, in per cent of the posts that it was asked for: 0 to 1,900. @default 20 */
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
 * most posts is so asked little more than once for each, instead of as often as one post may be tried.
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
