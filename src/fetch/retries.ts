export interface RetrySettings {
  /** Attempts of one post, the first included: an integer from 1 to 20. @default 4 */
  readonly maxAttempts: number;
  /**
   * Retries that a run may make, in per cent of the posts that it was asked for: 0 to 1,900. Those of posts that were
   * refused for the rate cost a third, and nothing where the origin said when to come back. @default 20
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

/** What a post failed by, and was not refused for the rate, or was and told when to come back. */
export type FailedBy = 'failure' | 'refusal' | 'told refusal';

/** In thirds of a retry. A refusal costs the origin little; the AWS SDKs take 5 for a throttled retry, and 14 for others. */
const COST: Readonly<Record<FailedBy, number>> = { failure: 3, refusal: 1, 'told refusal': 0 };

/**
 * How many retries a run may make: `percent` of the posts that it was asked for, and 10. An origin that fails for
 * most posts is so asked little more than once for each, instead of as often as one post may be tried. A retry that was
 * told when to come costs nothing: the origin is well, and has the time that it asked for. Such retries end with the
 * attempts of the post.
 */
export class RetryBudget {
  #thirds: number;
  #used = 0;

  constructor(requested: number, percent: number) {
    this.#thirds = 3 * (Math.floor((requested * percent) / 100) + ALWAYS);
  }

  summary(): RetrySummary {
    return { retries: this.#used, retryBudgetLeft: Math.floor(this.#thirds / 3) };
  }

  /** Counts a retry, and takes out of the budget what it costs; false where too little is left. */
  take(failedBy: FailedBy = 'failure'): boolean {
    if (this.#thirds < COST[failedBy]) return false;
    this.#thirds -= COST[failedBy];
    this.#used += 1;
    return true;
  }

  /** Puts one back that was not made. */
  putBack(failedBy: FailedBy = 'failure'): void {
    this.#thirds += COST[failedBy];
    this.#used -= 1;
  }
}
