import { type FetchPost, fetchPostWith, type RunTimes } from './fetch-post.ts';
import type { AttemptSettings, RunOrigin } from './origin/attempt.ts';
import { Circuit } from './politeness/circuit.ts';
import { openGate } from './politeness/gate.ts';
import { Hedger, type HedgeSummary } from './politeness/hedger.ts';
import type { Learned } from './politeness/learned.ts';
import {
  Limiter,
  type LimiterPorts,
  type LimiterSettings,
  type LimiterSummary,
} from './politeness/limiter.ts';
import { RetryBudget, type RetrySettings, type RetrySummary } from './retries.ts';

/** How the posts of a run are fetched. */
export interface FetchSettings extends LimiterSettings, RetrySettings, AttemptSettings {
  /** Whether another request, or two, is sent for a first attempt that is late. @default false */
  readonly hedge: boolean;
}

export interface FetchPorts extends LimiterPorts {
  readonly origin: RunOrigin;
}

export interface FetchedRun extends RunTimes {
  /** How many posts the run was asked for. */
  readonly requested: number;
  /** What runs before this one found out of the same origin. */
  readonly learned?: Learned | undefined;
}

/** What went to the origin in a run, as it stands in the document's summary. */
export interface TrafficSummary extends LimiterSummary, RetrySummary, HedgeSummary {
  /** Answers of the origin that nobody had asked for; left out where there were none. */
  readonly unsolicited?: number;
}

export interface Fetching {
  readonly fetchPost: FetchPost;
  summary(): TrafficSummary;
}

/**
 * Makes the `fetchPost` of one run, and what its posts share on their way to the origin. All of it starts anew with
 * each run, but for what was `learned`: a wait is said again.
 */
export function startFetching(settings: FetchSettings, ports: FetchPorts, run: FetchedRun): Fetching {
  const { clock } = ports;
  const { requestPost, unsolicited } = ports.origin.startRun();
  const limiter = new Limiter(settings, ports, run);
  const hedger = settings.hedge ? new Hedger(clock, limiter) : undefined;
  const path = { requestPost, clock, limiter, hedger, circuit: new Circuit(clock) };
  const gate = openGate(settings, path, run.deadlineMs);
  const retryBudget = new RetryBudget(run.requested, settings.retryBudgetPercent);
  return {
    fetchPost: fetchPostWith(settings, { ...ports, gate, retryBudget }, run),
    summary: () => ({
      ...limiter.summary(),
      ...retryBudget.summary(),
      ...(hedger?.summary() ?? { hedges: 0, hedgesWon: 0 }),
      ...(unsolicited() > 0 && { unsolicited: unsolicited() }),
    }),
  };
}
