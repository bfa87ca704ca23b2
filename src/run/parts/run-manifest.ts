import { RunConflictError } from '../../base/errors.ts';
import { isRecord } from '../../base/is-record.ts';
import type { FirstError } from '../../document/tally.ts';
import type { ReasonCode } from '../../fetch/outcome.ts';
import { redriveNumber } from '../redrive-chain.ts';
import type { Part } from './parts.ts';

/** A part whose document is there. */
interface StoredPart {
  readonly part: number;
  /** That of its latest redrive, where there is one. */
  readonly runId: string;
  readonly status: 'stored';
  readonly key: string;
  readonly etag: string;
  readonly bytes: number;
  readonly firstIndex: number;
  readonly requested: number;
  readonly fulfilled: number;
  readonly rejected: number;
  /** Distinct ids that are worth another run; the document lists them. */
  readonly retryable: number;
  readonly attempts: number;
  readonly complete: boolean;
}

/** A part without a document of its own. */
export interface FailedPart {
  readonly part: number;
  readonly runId: string;
  readonly status: 'failed';
  /** RUN_CONFLICT: what has its run id is something else. */
  readonly code: 'NO_DOCUMENT' | 'RUN_CONFLICT';
  readonly firstIndex: number;
  readonly requested: number;
  /** The event that has this part fetched. */
  readonly redrive: Pick<Part, 'ids' | 'runId'>;
}

/** What a run manifest says of a part. */
export type PartEntry = StoredPart | FailedPart;

/** A quantile of the whole run lies between the least and the largest of its parts. */
export interface Bounds {
  readonly min: number;
  readonly max: number;
}

export interface MergedErrors {
  readonly total: number;
  readonly byCode: Partial<Record<ReasonCode, number>>;
  /** The first 10; `index` is that in the whole run. */
  readonly first: readonly FirstError[];
  readonly retryable: number;
}

export interface MergedSummary {
  /** ISO 8601, of the first part that started and the last that finished; null where no part has a document. */
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  readonly requested: number;
  readonly fulfilled: number;
  readonly rejected: number;
  /** Ids of parts without a document: with those fulfilled and rejected, they are all that were requested. */
  readonly failed: number;
  readonly attempts: number;
  /** Whether every part has its document, and none left posts unfetched. */
  readonly complete: boolean;
  readonly parts: {
    readonly total: number;
    readonly stored: number;
    readonly failed: number;
    readonly incomplete: number;
  };
  readonly latencyMs: {
    readonly p50: Bounds | null;
    readonly p90: Bounds | null;
    readonly p99: Bounds | null;
    readonly max: number | null;
  };
}

/** The manifest of a run of many parts; see schema/run-manifest.schema.json. */
export interface RunManifest {
  readonly version: 1;
  readonly run: {
    readonly id: string;
    readonly requested: number;
    readonly parts: number;
    /** The key of its parts. */
    readonly plan: string;
  };
  /** In their order. */
  readonly parts: readonly PartEntry[];
  readonly errors: MergedErrors;
  readonly summary: MergedSummary;
}

/** The text of a run manifest, whose parts are `entries`, each as JSON, one a line. */
export function runManifestText(
  { run, errors, summary }: Omit<RunManifest, 'version' | 'parts'>,
  entries: readonly string[],
): string {
  return `{"version":1,\n"run":${JSON.stringify(run)},\n"parts":[\n${entries.join(',\n')}\n],\n"errors":${JSON.stringify(errors)},\n"summary":${JSON.stringify(summary)}}\n`;
}

/**
 * How many documents a part has had: they are there to stay, so that the sum over a run manifest tells which of two is
 * the later.
 */
export function documentsOf({ status, runId }: PartEntry): number {
  return status === 'stored' ? 1 + redriveNumber(runId) : 0;
}

/**
 * The parts of a run manifest that is stored. Throws RunConflictError where the text is something else: the document of
 * a run whose id ends in `.manifest`, say.
 */
export function parseEntries(text: string, runId: string): readonly PartEntry[] {
  try {
    const { version, parts } = JSON.parse(text);
    if (version === 1 && Array.isArray(parts) && parts.every(isEntry)) return parts;
  } catch {}
  throw new RunConflictError(`What stands in the place of the manifest of ${runId} is none`);
}

/** Whether it has what is read of an entry. */
function isEntry(entry: unknown): entry is PartEntry {
  if (!isRecord(entry)) return false;
  const { runId, status, firstIndex, requested } = entry;
  return (
    typeof runId === 'string' &&
    (status === 'stored' || status === 'failed') &&
    [firstIndex, requested].every((it) => Number.isSafeInteger(it))
  );
}
