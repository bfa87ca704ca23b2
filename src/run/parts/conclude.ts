import { backoffMs } from '../../base/backoff.ts';
import { type Clock, sleep } from '../../base/clock.ts';
import { BadInputError, RunConflictError, StoreError } from '../../base/errors.ts';
import { countIds, hashIds } from '../../batch/ids.ts';
import type { RunReport } from '../../document/run-head.ts';
import { gatherStream } from '../../gather.ts';
import type { PlanStore } from '../../store/plan-store.ts';
import type { RunStore } from '../../store/run-store.ts';
import { followRedrives, type NamedRun } from '../redrive-chain.ts';
import { Merger } from './merge.ts';
import { noPlan, type Part, readPart } from './parts.ts';
import {
  documentsOf,
  type FailedPart,
  type MergedErrors,
  type MergedSummary,
  type PartEntry,
  parseEntries,
  runManifestText,
} from './run-manifest.ts';

/** What concluding needs of the world. */
export interface ConcludePorts {
  readonly runs: Pick<RunStore, 'find'>;
  readonly parts: PlanStore;
  readonly clock: Clock;
  /** From 0 to 1, for the pauses between writes that others came before. */
  readonly random: () => number;
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

/** Documents of parts that are looked at side by side. */
export const READS_IN_FLIGHT = 32;

/**
 * Merges what the parts of a run came to into its run manifest, which is written last: its parts in order, and every id
 * accounted for. Of a part that was redriven, it has the latest document. A run manifest gives way to one that was made
 * of more documents; the same documents give the same text.
 *
 * Rejects with BadInputError where the run was not planned, with RunConflictError where something else stands in the
 * place of its plan or its run manifest, and with StoreError where S3 fails, or others keep writing the run manifest.
 */
export async function conclude(
  runId: string,
  ports: ConcludePorts,
  signal: AbortSignal,
): Promise<Conclusion> {
  const { parts } = ports;
  const lines = await parts.readPlan(runId, signal);
  if (!lines) throw new BadInputError(`Expected the run ${runId} to have been planned`);
  const merger = new Merger();
  const entries: string[] = [];
  const reports = gatherStream(
    lines,
    (line, part, signal) => lookAt(readPart(line, runId, part), ports, signal),
    {
      concurrency: READS_IN_FLIGHT,
      window: 2 * READS_IN_FLIGHT,
      signal,
    },
  );
  for await (const outcome of reports) {
    // A rejection ends the stream.
    const { entry, report } = (outcome as PromiseFulfilledResult<Ended>).value;
    entries.push(JSON.stringify(entry));
    merger.add(entry, report);
  }
  if (entries.length === 0) throw noPlan(runId);
  const { bucket, plan: key, runManifest: runManifestKey } = parts.placeOf(runId);
  const location = `s3://${bucket}/${runManifestKey}`;
  const errors = merger.errors();
  const summary = merger.summary();
  const run = { id: runId, requested: summary.requested, parts: entries.length, plan: key };
  const text = runManifestText({ run, errors, summary }, entries);
  await writeUnlessLater({ runId, location }, text, merger.documents, ports, signal);
  const { total, byCode, retryable } = errors;
  const cause =
    summary.parts.failed === 0
      ? `All parts have their documents: ${location}`
      : `${summary.parts.failed} of ${entries.length} parts have no document (${merger.failedParts()}). ${location} has their events; the input {"redrive":"${runId}"} has them all fetched`;
  return { runId, location, errors: { total, byCode, retryable }, summary, cause };
}

/** What became of a part. */
interface Ended {
  readonly entry: PartEntry;
  readonly report: RunReport | undefined;
}

async function lookAt(part: Part, { runs, parts }: ConcludePorts, signal: AbortSignal): Promise<Ended> {
  const { runId, firstIndex, ids } = part;
  const failed = (code: FailedPart['code']): Ended => ({
    entry: {
      part: part.part,
      runId,
      status: 'failed',
      code,
      firstIndex,
      requested: countIds(ids),
      redrive: { ids, runId, part: part.part },
    },
    report: undefined,
  });
  const run = await findOwn(part, runs, signal);
  if (typeof run === 'string') return failed(run);
  // What stands in the place of a redrive takes nothing from what was there before.
  const { latest } =
    run.stored.errors.retryableIds.length > 0 ? await followRedrives(run, runs, signal) : { latest: run };
  const report = latest.stored;
  const { startedAt } = report.run;
  const { requested, fulfilled, rejected, attempts, complete, durationMs } = report.summary;
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
      startedAt,
      durationMs,
    },
    report,
  };
}

/** The document of a part, or why there is none. */
async function findOwn(
  { runId, ids }: Part,
  runs: ConcludePorts['runs'],
  signal: AbortSignal,
): Promise<NamedRun | FailedPart['code']> {
  try {
    const stored = await runs.find(runId, signal);
    if (!stored) return 'NO_DOCUMENT';
    return stored.run.idsSha256 === hashIds(ids) ? { runId, stored } : 'RUN_CONFLICT';
  } catch (error) {
    if (error instanceof RunConflictError) return 'RUN_CONFLICT';
    throw error;
  }
}

/** How often a run manifest is written that others replace in the meantime. */
const WRITES = 10;

/**
 * Writes a run manifest of so many documents, unless there is one that was made of as many, or more. Rejects with
 * StoreError where others keep writing some of fewer.
 */
async function writeUnlessLater(
  { runId, location }: Pick<Conclusion, 'runId' | 'location'>,
  text: string,
  documents: number,
  { parts, clock, random }: ConcludePorts,
  signal: AbortSignal,
): Promise<void> {
  for (let writes = 1; writes <= WRITES; writes++) {
    const earlier = await parts.readRunManifest(runId, signal);
    const earlierEntries = earlier ? parseEntries(earlier.text, runId) : [];
    const earlierDocuments = earlierEntries.reduce((sum, entry) => sum + documentsOf(entry), 0);
    if (earlier && earlierDocuments >= documents) return;
    if (await parts.writeRunManifest(runId, text, earlier?.etag, signal)) return;
    await sleep(clock, backoffMs(writes, random), signal);
  }
  throw new StoreError(`${location} could not be written: others wrote it ${WRITES} times in the meantime`);
}
