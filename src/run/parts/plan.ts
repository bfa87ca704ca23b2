import { BadInputError, badInput } from '../../base/errors.ts';
import type { BaseForm } from '../../batch/base-form.ts';
import { countIds, type IdList } from '../../batch/ids.ts';
import type { ManifestLocation } from '../../batch/manifest/location.ts';
import type { Finding } from '../../fetch/politeness/origin-memory.ts';
import type { PlanStore } from '../../store/plan-store.ts';
import { cutIntoParts, MAX_PARTS, partLine, readPart } from './parts.ts';
import { findingIn } from './run-manifest.ts';

/** A run of any length that is asked for. A redrive is of the parts that the run has, whatever `partSize` is. */
export interface PlanRequest {
  readonly runId: string;
  /** Most ids of a part. */
  readonly partSize: number;
  readonly form: BaseForm;
}

/** What planning needs of the world. */
export interface PlanPorts {
  readonly store: PlanStore;
  /** Rejects with BadInputError, TooLargeError or StoreError. */
  readonly readIds: (location: ManifestLocation, signal: AbortSignal) => Promise<IdList>;
}

/** How many requests the origin may see at once. */
export interface PlanSettings {
  /** Of one part. */
  readonly concurrency: number;
  /** Of all parts; at least `concurrency`. */
  readonly originConcurrency: number;
}

/** Where the parts of a run are, and how many. Its size does not grow with them. */
export interface Plan {
  readonly runId: string;
  readonly bucket: string;
  /** Of the object with the parts, one a line. */
  readonly key: string;
  /** Whether parts that have their documents are redriven. */
  readonly redrive: boolean;
  /** Where Step Functions may write what it has to say of the parts. */
  readonly mapResultsPrefix: string;
  readonly parts: number;
  readonly requested: number;
  /** Most parts that are fetched at once. */
  readonly partsInFlight: number;
  /** What a run that is redriven has found that the origin takes in all; null where nothing is known of that. */
  readonly learned: Finding | null;
  /** How many in a hundred may fail before no more are started. */
  readonly toleratedFailurePercentage: number;
}

/** Of many parts a tenth may fail, of few as many as this: a run does not end for a failure that may be of its own. */
const TOLERATED_PERCENTAGE = 10;
const TOLERATED_PARTS = 10;
/** As many children as a Map may have at once. */
export const MAX_PARTS_IN_FLIGHT = 10_000;

/**
 * Cuts a run into parts and writes them, unless they are there. Rejects with RunConflictError where this run id has
 * parts already that are not the same, or something else in their place, with BadInputError where it is to have some and has none, and with StoreError
 * where S3 fails.
 */
export async function plan(
  { runId, partSize, form }: PlanRequest,
  settings: PlanSettings,
  { store, readIds }: PlanPorts,
  signal: AbortSignal,
): Promise<Plan> {
  let lastLine = '';
  let lastPart = -1;
  let learned: Finding | null = null;
  if (form.kind === 'redrive') {
    const lines = await store.readPlan(runId, signal);
    if (!lines)
      throw new BadInputError(
        `Expected \`redrive\` to name a run of parts, got "${runId}", of which there is no plan`,
      );
    for await (const line of lines) {
      lastLine = line;
      lastPart += 1;
    }
    // A run manifest grows with its parts: its end is all that is read.
    learned = findingIn((await store.readRunManifestEnd(runId, signal)) ?? '');
  } else {
    const ids = form.kind === 'manifest' ? await readIds(form.location, signal) : form.ids;
    const minPartSize = Math.ceil(countIds(ids) / MAX_PARTS);
    if (partSize < minPartSize)
      throw badInput('partSize', `at least ${minPartSize} for that many ids`, partSize);
    const lines = function* (): Generator<string, void, undefined> {
      for (const part of cutIntoParts(runId, ids, partSize)) {
        lastLine = partLine(part);
        lastPart = part.part;
        yield lastLine;
      }
    };
    await store.writePlan(runId, lines, signal);
  }
  // The last part knows how many there are before it, and how many ids these have.
  const last = readPart(lastLine, runId, lastPart);
  const parts = last.part + 1;
  const { bucket, plan: key, mapResultsPrefix } = store.placeOf(runId);
  return {
    runId,
    bucket,
    key,
    redrive: form.kind === 'redrive',
    mapResultsPrefix,
    parts,
    requested: last.firstIndex + countIds(last.ids),
    partsInFlight: Math.min(parts, mostPartsInFlight(settings)),
    learned,
    toleratedFailurePercentage: Math.min(
      100,
      Math.max(TOLERATED_PERCENTAGE, Math.ceil((100 * TOLERATED_PARTS) / parts)),
    ),
  };
}

/** Most parts that are fetched at once, however many there are. */
export function mostPartsInFlight({ concurrency, originConcurrency }: PlanSettings): number {
  return Math.min(MAX_PARTS_IN_FLIGHT, Math.floor(originConcurrency / concurrency));
}
