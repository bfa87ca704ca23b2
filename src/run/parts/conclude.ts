import { BadInputError, RunConflictError } from '../../base/errors.ts';
import { countIds, hashIds } from '../../batch/ids.ts';
import type { RunReport } from '../../document/run-head.ts';
import type { FirstError } from '../../document/tally.ts';
import type { ReasonCode } from '../../fetch/outcome.ts';
import { gatherStream } from '../../gather.ts';
import type { PlanStore } from '../../store/plan-store.ts';
import type { RunStore } from '../../store/run-store.ts';
import { type NamedRun, redriveNumber, redrivesOf } from '../redrive-chain.ts';
import { type Part, readPart } from './parts.ts';

/** What concluding needs of the world. */
export interface ConcludePorts {
  readonly runs: Pick<RunStore, 'find'>;
  readonly parts: PlanStore;
}

/** A part whose document is there, as it stands in the manifest. */
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
interface FailedPart {
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

/** A quantile of the whole run lies between the least and the largest of its parts. */
interface Bounds {
  readonly min: number;
  readonly max: number;
}

interface MergedErrors {
  readonly total: number;
  readonly byCode: Partial<Record<ReasonCode, number>>;
  /** The first 10; `index` is that in the whole run. */
  readonly first: readonly FirstError[];
  readonly retryable: number;
}

interface MergedSummary {
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

/** The manifest of a run of many parts; see schema/manifest.schema.json. */
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
  readonly parts: readonly (StoredPart | FailedPart)[];
  readonly errors: MergedErrors;
  readonly summary: MergedSummary;
}

/** What a run of many parts came to. Its size does not grow with them. */
export interface Conclusion {
  readonly runId: string;
  /** Of the manifest. */
  readonly location: string;
  readonly errors: Pick<MergedErrors, 'total' | 'byCode' | 'retryable'>;
  readonly summary: MergedSummary;
  /** In a sentence, why the run failed where it did, and where to read on. */
  readonly cause: string;
}

const READS_IN_FLIGHT = 32;
const FIRST_ERRORS = 10;
const NAMED_PARTS = 10;

/**
 * Merges what the parts of a run came to into its manifest, which is written last: its parts in order, and every id
 * accounted for. Of a part that was redriven, it has the latest document. A manifest gives way to one that was made of
 * more documents; the same documents give the same manifest.
 *
 * Rejects with BadInputError where the run was not planned, and with StoreError where S3 fails.
 */
export async function conclude(
  runId: string,
  ports: ConcludePorts,
  signal: AbortSignal,
): Promise<Conclusion> {
  const { parts } = ports;
  const lines = await parts.readPlan(runId, signal);
  if (!lines) throw new BadInputError(`Expected the run ${runId} to have been planned`);
  const merged = new Merger();
  const text: string[] = [];
  const reports = gatherStream(lines, (line) => reportOn(readPart(line), ports, signal), {
    concurrency: READS_IN_FLIGHT,
    window: 2 * READS_IN_FLIGHT,
    signal,
  });
  for await (const outcome of reports) {
    // A rejection ends the stream.
    const { entry, report } = (outcome as PromiseFulfilledResult<PartReport>).value;
    text.push(JSON.stringify(entry));
    merged.add(entry, report);
  }
  const { bucket, plan: key, runManifest: runManifestKey } = parts.placeOf(runId);
  const location = `s3://${bucket}/${runManifestKey}`;
  const errors = merged.errors();
  const summary = merged.summary();
  const run = { id: runId, requested: summary.requested, parts: text.length, plan: key };
  const manifest = `{"version":1,\n"run":${JSON.stringify(run)},\n"parts":[\n${text.join(',\n')}\n],\n"errors":${JSON.stringify(errors)},\n"summary":${JSON.stringify(summary)}}\n`;
  await writeUnlessLater(runId, manifest, parts, signal);
  const { total, byCode, retryable } = errors;
  const cause =
    summary.parts.failed === 0
      ? `All parts have their documents: ${location}`
      : `${summary.parts.failed} of ${text.length} parts have no document (${merged.failedParts()}). ${location} has their events; the input {"redrive":"${runId}"} has them all fetched`;
  return { runId, location, errors: { total, byCode, retryable }, summary, cause };
}

interface PartReport {
  readonly entry: StoredPart | FailedPart;
  readonly report: RunReport | undefined;
}

async function reportOn(
  part: Part,
  { runs, parts }: ConcludePorts,
  signal: AbortSignal,
): Promise<PartReport> {
  const { runId, firstIndex, ids } = part;
  const failed = (code: FailedPart['code']): PartReport => ({
    entry: {
      part: part.part,
      runId,
      status: 'failed',
      code,
      firstIndex,
      requested: countIds(ids),
      redrive: { ids, runId },
    },
    report: undefined,
  });
  let latest: NamedRun | undefined;
  try {
    const stored = await runs.find(runId, signal);
    if (!stored) return failed('NO_DOCUMENT');
    if (stored.run.idsSha256 !== hashIds(ids)) return failed('RUN_CONFLICT');
    latest = { runId, stored };
    if (stored.errors.retryableIds.length > 0)
      for await (const redrive of redrivesOf(latest, runs, signal)) latest = redrive;
  } catch (error) {
    if (!(error instanceof RunConflictError)) throw error;
    // What stands in the place of a redrive takes nothing from what was there before.
    if (!latest) return failed('RUN_CONFLICT');
  }
  const report = latest.stored;
  const { requested, fulfilled, rejected, attempts, complete } = report.summary;
  const { document: key } = parts.placeOf(latest.runId);
  const retryable = report.errors.retryableIds.length;
  return {
    entry: {
      part: part.part,
      runId: latest.runId,
      status: 'stored',
      key,
      etag: report.etag,
      bytes: report.documentBytes,
      firstIndex,
      requested,
      fulfilled,
      rejected,
      retryable,
      attempts,
      complete,
    },
    report,
  };
}

/** Adds up the parts, in their order. */
class Merger {
  readonly #count = {
    total: 0,
    stored: 0,
    incomplete: 0,
    fulfilled: 0,
    rejected: 0,
    retryable: 0,
    attempts: 0,
    failedIds: 0,
  };
  readonly #byCode: Partial<Record<ReasonCode, number>> = {};
  readonly #first: FirstError[] = [];
  readonly #failedParts: string[] = [];
  readonly #quantiles: Record<'p50' | 'p90' | 'p99' | 'max', Bounds | null> = {
    p50: null,
    p90: null,
    p99: null,
    max: null,
  };
  // Time stamps in ISO 8601, all of one length in UTC, sort as they are.
  #startedAt: string | null = null;
  #finishedAt: string | null = null;

  add(entry: StoredPart | FailedPart, report: RunReport | undefined): void {
    const count = this.#count;
    count.total += 1;
    if (!report || entry.status === 'failed') {
      count.failedIds += entry.requested;
      if (this.#failedParts.length < NAMED_PARTS)
        this.#failedParts.push(entry.runId.slice(entry.runId.lastIndexOf('.') + 1));
      return;
    }
    count.stored += 1;
    count.incomplete += entry.complete ? 0 : 1;
    count.fulfilled += entry.fulfilled;
    count.rejected += entry.rejected;
    count.retryable += entry.retryable;
    count.attempts += entry.attempts;
    const { run, errors, summary } = report;
    for (const [code, times] of Object.entries(errors.byCode) as [ReasonCode, number][])
      this.#byCode[code] = (this.#byCode[code] ?? 0) + times;
    for (const error of errors.first) {
      if (this.#first.length === FIRST_ERRORS) break;
      this.#first.push({ ...error, index: entry.firstIndex + error.index });
    }
    for (const name of ['p50', 'p90', 'p99', 'max'] as const) {
      const value = summary.latencyMs[name];
      if (value === null) continue;
      const { min, max } = this.#quantiles[name] ?? { min: value, max: value };
      this.#quantiles[name] = { min: Math.min(min, value), max: Math.max(max, value) };
    }
    if (this.#startedAt === null || run.startedAt < this.#startedAt) this.#startedAt = run.startedAt;
    if (this.#finishedAt === null || summary.finishedAt > this.#finishedAt)
      this.#finishedAt = summary.finishedAt;
  }

  errors(): MergedErrors {
    const { rejected, retryable } = this.#count;
    return { total: rejected, byCode: this.#byCode, first: this.#first, retryable };
  }

  summary(): MergedSummary {
    const { total, stored, incomplete, fulfilled, rejected, attempts, failedIds } = this.#count;
    const { p50, p90, p99, max } = this.#quantiles;
    return {
      startedAt: this.#startedAt,
      finishedAt: this.#finishedAt,
      requested: fulfilled + rejected + failedIds,
      fulfilled,
      rejected,
      failed: failedIds,
      attempts,
      complete: stored === total && incomplete === 0,
      parts: { total, stored, failed: total - stored, incomplete },
      latencyMs: { p50, p90, p99, max: max?.max ?? null },
    };
  }

  /** The first of the parts that failed, as in `part-000003, part-000017`. */
  failedParts(): string {
    const { total, stored } = this.#count;
    const more = total - stored > this.#failedParts.length ? ', …' : '';
    return this.#failedParts.join(', ') + more;
  }
}

/** Writes a manifest, unless there is one that was made of the same documents, or of more of them. */
async function writeUnlessLater(
  runId: string,
  manifest: string,
  parts: PlanStore,
  signal: AbortSignal,
): Promise<void> {
  const documents = countDocuments(JSON.parse(manifest));
  for (;;) {
    const earlier = await parts.readRunManifest(runId, signal);
    if (earlier && countDocuments(parseManifest(earlier.text, runId)) >= documents) return;
    if (await parts.writeRunManifest(runId, manifest, earlier?.etag, signal)) return;
  }
}

/** It may be something else: the document of a run whose id ends in `.manifest`, say. */
function parseManifest(text: string, runId: string): RunManifest {
  try {
    const manifest = JSON.parse(text);
    if (Array.isArray(manifest.parts)) return manifest;
  } catch {}
  throw new RunConflictError(`What stands in the place of the manifest of ${runId} is none`);
}

/** How many documents there were when a manifest was made. They are there to stay: it only ever grows. */
function countDocuments(manifest: RunManifest): number {
  return manifest.parts.reduce(
    (sum, { status, runId }) => sum + (status === 'stored' ? 1 + redriveNumber(runId) : 0),
    0,
  );
}
