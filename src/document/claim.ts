import { BatchFetcherError, RunConflictError } from '../base/errors.ts';
import { isCount, isFlag, isNumberOrNull, isRecordOf, isText } from '../base/shapes.ts';
import { isProblem, type Problem, problem } from './problem.ts';
import type { RunHead } from './run-head.ts';

/** How far a run is; null where that is not known. */
export interface Figures {
  /** Outcomes that there are, of all that were requested. */
  readonly done: number | null;
  readonly fulfilled: number | null;
  readonly rejected: number | null;
  /** Outcomes a second, as of late. */
  readonly perSecond: number | null;
  /** Seconds until there is an outcome for every post. */
  readonly etaSeconds: number | null;
}

/** How far a run is, as a caller is told. */
export interface ProgressReport extends Figures {
  readonly requested: number;
}

/** That a run has its id, and how far it is; see schema/progress.schema.json. Times are ISO 8601, by the writer's clock. */
export interface Claim extends ProgressReport {
  readonly version: 1;
  readonly runId: string;
  readonly idsSha256: string;
  readonly returnExceptions: boolean;
  /** Lambda's id of the invocation that wrote the claim. */
  readonly requestId: string;
  /** accepted: to be run by another invocation. There is no end in success: that is the document. */
  readonly state: 'accepted' | 'running' | 'failed';
  readonly startedAt: string;
  /** When the claim was written last. */
  readonly beatAt: string;
  /** How long the claim holds others off. */
  readonly until: string;
  /** Of a failed run. */
  readonly problem?: Problem;
}

/** So often the claim of a run is renewed. */
export const BEAT_MS = 15_000;
/** What a claim lasts after it was written: of a running one three renewals may fail. */
const LASTS_MS = { accepted: 300_000, running: 60_000, failed: 0 };

export const UNKNOWN_FIGURES: Figures = {
  done: null,
  fulfilled: null,
  rejected: null,
  perSecond: null,
  etaSeconds: null,
};

/** The first claim of a run that starts, or is accepted, now. */
export function claimOf(run: RunHead, state: 'accepted' | 'running', now: Date): Claim {
  const { id: runId, idsSha256, returnExceptions, requestId, startedAt, requested } = run;
  const beat = beatOf(state, now);
  return {
    version: 1,
    runId,
    idsSha256,
    returnExceptions,
    requestId,
    state,
    startedAt,
    ...beat,
    requested,
    ...UNKNOWN_FIGURES,
  };
}

/** The claim of a running run that is as far as this now. */
export function renewed(claim: Claim, figures: Figures, now: Date): Claim {
  return { ...claim, ...beatOf(claim.state, now), ...figures };
}

/** The claim of a run that fails now. */
export function failed(claim: Claim, why: Problem, now: Date): Claim {
  return { ...claim, state: 'failed', ...beatOf('failed', now), etaSeconds: null, problem: why };
}

function beatOf(state: Claim['state'], now: Date): Pick<Claim, 'beatAt' | 'until'> {
  return { beatAt: now.toISOString(), until: new Date(now.getTime() + LASTS_MS[state]).toISOString() };
}

/** Whether nobody else may do the run now. */
export function holds({ state, until }: Claim, now: Date): boolean {
  return state !== 'failed' && Date.parse(until) > now.getTime();
}

/** A claim as it is to be read now: one that has lapsed is that of a run that failed (`RUN_LOST`). */
export function claimAsOf(claim: Claim, now: Date): Claim {
  if (claim.state === 'failed' || holds(claim, now)) return claim;
  const what = claim.state === 'accepted' ? 'accepted and never begun' : 'begun and not ended';
  const why = problem(500, `The run ${claim.runId} was ${what}`, 'RUN_LOST');
  return { ...claim, state: 'failed', etaSeconds: null, problem: why };
}

/** What a claim says of how far its run is. */
export function progressIn(claim: Claim): ProgressReport {
  const { requested, done, fulfilled, rejected, perSecond, etaSeconds } = claim;
  return { requested, done, fulfilled, rejected, perSecond, etaSeconds };
}

/** When it is worth asking again for a run: it may be done, is heard of again, or is lost. */
export function retryAfterSeconds({ etaSeconds, beatAt, until }: Claim, now: Date): number {
  const doneInMs = etaSeconds === null ? BEAT_MS : Date.parse(beatAt) + 1_000 * etaSeconds - now.getTime();
  const lapsesInMs = Date.parse(until) - now.getTime();
  return Math.max(1, Math.ceil(Math.min(doneInMs, lapsesInMs) / 1_000));
}

/** Another invocation does the run, or is to do it. */
export class RunInProgressError extends BatchFetcherError {
  override readonly name = 'RunInProgressError';
  readonly code = 'RUN_IN_PROGRESS';
  /** That of the other. */
  readonly claim: Claim;
  /** Where the document of the run will be. */
  readonly location: string;
  readonly retryAfterSeconds: number;

  constructor(claim: Claim, location: string, now: Date) {
    super(`The run ${claim.runId} is ${claim.state}`);
    this.claim = claim;
    this.location = location;
    this.retryAfterSeconds = retryAfterSeconds(claim, now);
  }
}

export function claimText(claim: Claim): string {
  return `${JSON.stringify(claim)}\n`;
}

/** The claim that was stored as this text. Throws RunConflictError where it is none, or another run's. */
export function parseClaim(text: string, runId: string): Claim {
  try {
    const claim: unknown = JSON.parse(text);
    if (isClaim(claim) && claim.runId === runId) return claim;
  } catch {}
  throw new RunConflictError(`What stands in the place of the progress of ${runId} is none`);
}

const isClaim = isRecordOf<Claim>({
  version: (value) => value === 1,
  runId: isText,
  idsSha256: isText,
  returnExceptions: isFlag,
  requestId: isText,
  state: (value) => isText(value) && Object.hasOwn(LASTS_MS, value),
  startedAt: isText,
  beatAt: isText,
  until: isText,
  requested: isCount,
  done: isNumberOrNull,
  fulfilled: isNumberOrNull,
  rejected: isNumberOrNull,
  perSecond: isNumberOrNull,
  etaSeconds: isNumberOrNull,
  problem: (value) => value === undefined || isProblem(value),
});
