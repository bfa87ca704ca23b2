import type { Clock } from '../../base/clock.ts';
import type { OriginRun } from '../origin/attempt.ts';
import { Circuit } from './circuit.ts';
import { type AttemptPost, attemptPostWith } from './gate.ts';
import { Hedger } from './hedger.ts';
import { Limiter, type LimiterReport } from './limiter.ts';
import { RetryBudget } from './retry-budget.ts';

export interface TrafficOptions {
  readonly origin: OriginRun;
  readonly clock: Clock;
  /** 0 to 1, for the jitter. */
  readonly random: () => number;
  /** Most requests in flight. */
  readonly concurrency: number;
  /** Whether the requests in flight follow what the origin can take. */
  readonly adaptive: boolean;
  /** Most requests that start in a second; Infinity for no such limit. */
  readonly ratePerSecond: number;
  /** Retries that the run may make: this many per cent of its posts, and 10. */
  readonly retryBudgetPercent: number;
  /** Whether a second request is sent for an attempt that is late. */
  readonly hedge: boolean;
  readonly attemptTimeoutMs: number;
  /** When attempts must have ended, by the clock. */
  readonly deadlineMs: number;
  /** How many posts the run was asked for. */
  readonly requested: number;
}

/** What went to the origin in a run, as it stands in the document's summary. */
export interface TrafficReport extends LimiterReport {
  /** Attempts of posts after their first. */
  readonly retries: number;
  readonly retryBudgetLeft: number;
  /** Second requests that were sent for late attempts, and those of them whose answer was used. */
  readonly hedges: number;
  readonly hedgesWon: number;
  /** Answers of the origin that nobody had asked for; left out where there were none. */
  readonly unsolicited?: number;
}

/** Everything that stands between the posts of one run and their origin. */
export interface Traffic {
  readonly attemptPost: AttemptPost;
  readonly retryBudget: RetryBudget;
  report(): TrafficReport;
}

/** Starts anew with each run: what an origin could take an hour ago says little, and a wait is said again. */
export function startTraffic(options: TrafficOptions): Traffic {
  const { origin, clock, hedge, requested, retryBudgetPercent } = options;
  const { requestPost } = origin;
  const limiter = new Limiter(options);
  const retryBudget = new RetryBudget(requested, retryBudgetPercent);
  const hedger = hedge ? new Hedger({ clock, limiter }) : undefined;
  return {
    attemptPost: attemptPostWith({ ...options, requestPost, limiter, hedger, circuit: new Circuit(clock) }),
    retryBudget,
    report() {
      const unsolicited = origin.unsolicited();
      return {
        ...limiter.report(),
        retries: retryBudget.used,
        retryBudgetLeft: retryBudget.left,
        hedges: hedger?.hedges ?? 0,
        hedgesWon: hedger?.won ?? 0,
        ...(unsolicited > 0 && { unsolicited }),
      };
    },
  };
}
