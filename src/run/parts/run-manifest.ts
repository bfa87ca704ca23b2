import { RunConflictError } from '../../base/errors.ts';
import { isCount, isFlag, isListOf, isMapOf, isRecordOf, isText, type Shape } from '../../base/shapes.ts';
import type { FirstError } from '../../document/tally.ts';
import type { ReasonCode } from '../../fetch/outcome.ts';
import type { Learned } from '../../fetch/politeness/learned.ts';
import { type Finding, readLearned } from '../../fetch/politeness/origin-memory.ts';
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
  /** ISO 8601; of its document, as is `durationMs`. Older run manifests say neither. */
  readonly startedAt?: string;
  readonly durationMs?: number;
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
  readonly redrive: Pick<Part, 'ids' | 'runId' | 'part'>;
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
  /** What the origin takes of all parts that are fetched at once, as their documents say. */
  readonly learned: Learned;
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

const PARTS_START = ',\n"parts":[';
const ERRORS_START = '\n"errors":';
const SUMMARY_START = '\n"summary":';

/** The text of a run manifest, whose parts are `entries`, each as JSON, one a line. */
export function runManifestText(
  { run, errors, summary }: Omit<RunManifest, 'version' | 'parts'>,
  entries: readonly string[],
): string {
  return `{"version":1,\n"run":${JSON.stringify(run)},\n"parts":[\n${entries.join(',\n')}\n],\n"errors":${JSON.stringify(errors)},${SUMMARY_START}${JSON.stringify(summary)}}\n`;
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
    const { version, run, parts } = JSON.parse(text);
    if (version === 1 && run.id === runId && isEntryList(parts)) return parts;
  } catch {}
  throw noRunManifest(runId);
}

function noRunManifest(runId: string): RunConflictError {
  return new RunConflictError(`What stands in the place of the manifest of ${runId} is none`);
}

/** What a run manifest says besides its parts. */
export interface RunManifestReport extends Pick<RunManifest, 'run'> {
  readonly errors: CheckedErrors;
  readonly summary: CheckedSummary;
}

/** As far as they are read here; the rest, which older ones may lack, is passed on as it is. */
type CheckedErrors = Pick<MergedErrors, 'total' | 'byCode' | 'retryable'>;
type CheckedSummary = Omit<MergedSummary, 'latencyMs' | 'learned'>;

/** The same from either end of its text, which may overlap. Throws as `parseEntries` does. */
export function parseRunManifestReport(start: string, end: string, runId: string): RunManifestReport {
  try {
    const { version, run } = JSON.parse(`${start.slice(0, start.indexOf(PARTS_START))}}`);
    const { errors, summary } = JSON.parse(`{${end.slice(end.lastIndexOf(ERRORS_START))}`);
    const isReport = isRun(run) && isMergedErrors(errors) && isMergedSummary(summary);
    if (version === 1 && run.id === runId && isReport) return { run, errors, summary };
  } catch {}
  throw noRunManifest(runId);
}

/** What a run manifest says that its run learned, from the end of its text; null where it says nothing of that. */
export function findingIn(end: string): Finding | null {
  try {
    const { summary } = JSON.parse(`{${end.slice(end.lastIndexOf(SUMMARY_START))}`);
    const finding = { ...readLearned(summary), at: new Date(summary.finishedAt).toISOString() };
    return (finding.perSecond ?? finding.inFlight ?? finding.told) ? finding : null;
  } catch {
    return null;
  }
}

/** What every entry has. */
const entryShapes = { part: isCount, runId: isText, firstIndex: isCount, requested: isCount };

const isStoredPart = isRecordOf<StoredPart>({
  ...entryShapes,
  status: (value) => value === 'stored',
  key: isText,
  etag: isText,
  bytes: isCount,
  fulfilled: isCount,
  rejected: isCount,
  retryable: isCount,
  attempts: isCount,
  complete: isFlag,
  startedAt: (value) => value === undefined || isText(value),
  durationMs: (value) => value === undefined || isCount(value),
});

/** Its event is not read. */
const isFailedPart = isRecordOf<Omit<FailedPart, 'redrive'>>({
  ...entryShapes,
  status: (value) => value === 'failed',
  code: isText,
});

const isEntryList = isListOf<PartEntry>((value) => isStoredPart(value) || isFailedPart(value));

const isRun = isRecordOf<RunManifest['run']>({
  id: isText,
  requested: isCount,
  parts: isCount,
  plan: isText,
});

const isMergedErrors = isRecordOf<CheckedErrors>({
  total: isCount,
  byCode: isMapOf(isCount),
  retryable: isCount,
});

const isTextOrNull: Shape = (value) => value === null || isText(value);

const isMergedSummary = isRecordOf<CheckedSummary>({
  startedAt: isTextOrNull,
  finishedAt: isTextOrNull,
  requested: isCount,
  fulfilled: isCount,
  rejected: isCount,
  failed: isCount,
  attempts: isCount,
  complete: isFlag,
  parts: isRecordOf<MergedSummary['parts']>({
    total: isCount,
    stored: isCount,
    failed: isCount,
    incomplete: isCount,
  }),
});
