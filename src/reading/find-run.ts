import type { Clock } from '../base/clock.ts';
import { RunNotFoundError } from '../base/errors.ts';
import { countIds } from '../batch/ids.ts';
import {
  BEAT_MS,
  type Claim,
  claimAsOf,
  type ProgressReport,
  progressIn,
  retryAfterSeconds,
  UNKNOWN_FIGURES,
} from '../document/claim.ts';
import { type Problem, problem } from '../document/problem.ts';
import type { OutcomeSummary } from '../document/tally.ts';
import { type Part, readPart } from '../run/parts/parts.ts';
import { parseRunManifestReport, type RunManifestReport } from '../run/parts/run-manifest.ts';
import type { ClaimStore } from '../store/claim-store.ts';
import type { PlanStore } from '../store/plan-store.ts';
import type { RunStore, StoredRun } from '../store/run-store.ts';

/** What reading a run back needs of the world. */
export interface ReadPorts {
  readonly store: Pick<RunStore, 'find' | 'location' | 'stream'>;
  readonly claims: Pick<ClaimStore, 'read'>;
  readonly plans: Pick<PlanStore, 'readPlanEnd' | 'readRunManifestEnds'>;
  readonly clock: Clock;
}

/** What is kept of a run, by the one thing that says most of it. */
export type FoundRun = FoundResults | RunUnderWay | FailedRun;

/** A run that has an end. */
export type FoundResults = StoredDocument | StoredManifest;

interface StoredDocument {
  readonly kind: 'document';
  readonly stored: StoredRun;
}

/** Of a run of parts. */
interface StoredManifest extends RunManifestReport {
  readonly kind: 'run-manifest';
  readonly bytes: number;
  readonly etag: string;
}

interface RunUnderWay {
  readonly kind: 'under-way';
  /** undefined of a run whose parts are under way. */
  readonly claim: Claim | undefined;
  readonly state: 'accepted' | 'running';
  /** ISO 8601; null of a run of parts that nobody claimed. */
  readonly startedAt: string | null;
  readonly progress: ProgressReport;
  /** When it is worth asking again. */
  readonly retryAfterSeconds: number;
}

/** A run without a document, of which none is to come unless somebody does it anew. */
interface FailedRun {
  readonly kind: 'failed';
  readonly startedAt: string;
  readonly problem: Problem;
  /** Of its claim. */
  readonly etag: string;
}

/**
 * Looks what became of a run: its document, else its run manifest, else its claim as of now, else its plan. A claim that
 * has lapsed is that of a failed run, unless the run has parts: then it goes on in the state machine.
 *
 * Rejects with RunNotFoundError where nothing is kept of it, with RunConflictError where something else stands in one of
 * these places, with StoreError where S3 fails, and with the signal's reason when that aborts.
 */
export async function findRun(runId: string, ports: ReadPorts, signal: AbortSignal): Promise<FoundRun> {
  const { store, claims, plans, clock } = ports;
  const [stored, claimed] = await Promise.all([store.find(runId, signal), claims.read(runId, signal)]);
  if (stored) return { kind: 'document', stored };
  const ends = await plans.readRunManifestEnds(runId, signal);
  if (ends) {
    const { start, end, etag, bytes } = ends;
    return { kind: 'run-manifest', ...parseRunManifestReport(start, end, runId), etag, bytes };
  }
  const now = clock.date();
  const claim = claimed && claimAsOf(claimed.claim, now);
  if (claim?.state !== 'running' && claimed?.claim.state !== 'failed') {
    const planEnd = await plans.readPlanEnd(runId, signal);
    if (planEnd !== undefined) return runOfParts(readPart(planEnd, runId), claim);
  }
  if (!claimed || !claim) throw new RunNotFoundError(`There is no run ${runId}`);
  return runByClaim(claim, claimed.etag, now);
}

/** A run whose plan is there, and whose run manifest is not: only that counts what its parts came to. */
function runOfParts({ firstIndex, ids }: Part, claim: Claim | undefined): RunUnderWay {
  return {
    kind: 'under-way',
    claim: undefined,
    state: 'running',
    startedAt: claim?.startedAt ?? null,
    progress: { requested: firstIndex + countIds(ids), ...UNKNOWN_FIGURES },
    retryAfterSeconds: BEAT_MS / 1_000,
  };
}

function runByClaim(claim: Claim, etag: string, now: Date): FailedRun | RunUnderWay {
  const { runId, state, startedAt } = claim;
  if (state === 'failed') {
    const why = claim.problem ?? problem(500, `The run ${runId} failed`, 'INTERNAL_ERROR');
    return { kind: 'failed', startedAt, problem: why, etag };
  }
  const progress = progressIn(claim);
  const again = retryAfterSeconds(claim, now);
  return { kind: 'under-way', claim, state, startedAt, progress, retryAfterSeconds: again };
}

/** What is told of a run in a few words. */
export interface RunState {
  readonly state: 'accepted' | 'running' | 'succeeded' | 'failed';
  /** ISO 8601; null of a run of parts that nobody claimed, and of which no part has a document. */
  readonly startedAt: string | null;
  readonly summary?: OutcomeSummary | RunManifestReport['summary'];
}

/** A run of parts has succeeded where each of them has its document, as in the state machine. */
export function stateOf(found: FoundRun): RunState {
  switch (found.kind) {
    case 'document': {
      const { run, summary } = found.stored;
      return { state: 'succeeded', startedAt: run.startedAt, summary };
    }
    case 'run-manifest': {
      const { summary } = found;
      const state = summary.parts.failed === 0 ? 'succeeded' : 'failed';
      return { state, startedAt: summary.startedAt, summary };
    }
    case 'under-way': {
      const { state, startedAt } = found;
      return { state, startedAt };
    }
    case 'failed':
      return { state: 'failed', startedAt: found.startedAt };
  }
}
