import { BadInputError, badInput } from '../../base/errors.ts';
import { refuseOtherKeys } from '../../batch/base-form.ts';
import { countIds, type IdList } from '../../batch/ids.ts';
import { type ManifestLocation, parseManifestLocation } from '../../batch/manifest/location.ts';
import { parseIds, parseName } from '../../batch/parse-ids.ts';
import type { PartsStore } from '../../store/plan-store.ts';
import { cutIntoParts, MAX_PARTS, MAX_RUN_ID_CHARS, partLine, readPart } from './parts.ts';

/** A run of any length that is asked for: its ids, a manifest of them, or neither to redrive the parts that it has. */
export interface PlanRequest {
  readonly runId: string;
  readonly partSize: number;
  readonly source: IdList | ManifestLocation | undefined;
}

/** What planning needs of the world. */
export interface PlanPorts {
  readonly store: PartsStore;
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
  readonly partsInFlight: number;
  /** How many in a hundred may fail before no more are started. */
  readonly toleratedFailurePercentage: number;
}

/** One of these says what to fetch. */
const SOURCE_KEYS = ['ids', 'manifest', 'redrive'] as const;
const KEYS: readonly string[] = [...SOURCE_KEYS, 'runId', 'partSize'];
const DEFAULT_PART_SIZE = 5_000;
/** Of many parts a tenth may fail, of few as many as this: a run does not end for a failure that may be of its own. */
const TOLERATED_PERCENTAGE = 10;
const TOLERATED_PARTS = 10;
/** As many children as a Map may have at once. */
const MAX_PARTS_IN_FLIGHT = 10_000;
/** As many ids as the function for a part takes. */
export const MAX_PART_SIZE = 100_000;

/**
 * Checks the input of an execution: `{"ids": …}` or `{"manifest": "s3://…"}`, with `runId` (by default the name of
 * the execution) and `partSize`; or `{"redrive": "<runId>"}`, for a run that has its parts. Throws BadInputError or
 * TooLargeError.
 */
export function parsePlanRequest(input: unknown, executionName: unknown, maxIds: number): PlanRequest {
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    throw badInput('input', 'an object with "ids", "manifest" or "redrive"', input);
  refuseOtherKeys(input, KEYS, 'input');
  const fields: Readonly<Record<string, unknown>> = { ...input };
  const { ids, manifest, redrive, runId, partSize = DEFAULT_PART_SIZE } = fields;
  if (SOURCE_KEYS.filter((key) => fields[key] !== undefined).length !== 1)
    throw badInput('input', 'an object with one of "ids", "manifest" and "redrive"', input);
  if (redrive !== undefined) {
    for (const key of ['runId', 'partSize'])
      if (fields[key] !== undefined) throw badInput(key, 'left out of a redrive', fields[key]);
    return { runId: parseRunId('redrive', redrive), partSize: DEFAULT_PART_SIZE, source: undefined };
  }
  if (typeof partSize !== 'number' || !Number.isInteger(partSize) || partSize < 1 || partSize > MAX_PART_SIZE)
    throw badInput('partSize', `an integer from 1 to ${MAX_PART_SIZE}`, partSize);
  return {
    runId:
      runId === undefined
        ? parseRunId('the name of the execution', executionName)
        : parseRunId('runId', runId),
    partSize,
    source:
      manifest === undefined ? parseIds(ids, 'ids', maxIds) : parseManifestLocation(manifest, 'manifest'),
  };
}

/**
 * Cuts a run into parts and writes them, unless they are there. Rejects with RunConflictError where this run id has
 * parts already that are not the same, with BadInputError where it is to have some and has none, and with StoreError
 * where S3 fails.
 */
export async function plan(
  { runId, partSize, source }: PlanRequest,
  settings: PlanSettings,
  { store, readIds }: PlanPorts,
  signal: AbortSignal,
): Promise<Plan> {
  let parts = 0;
  let requested = 0;
  const count = (ids: IdList): void => {
    parts += 1;
    requested += countIds(ids);
  };
  if (source === undefined) {
    const lines = await store.readParts(runId, signal);
    if (!lines)
      throw new BadInputError(
        `Expected \`redrive\` to name a run of parts, got "${runId}", of which there is no plan`,
      );
    for await (const line of lines) count(readPart(line).ids);
  } else {
    const ids = 'url' in source ? await readIds(source, signal) : source;
    if (Math.ceil(countIds(ids) / partSize) > MAX_PARTS)
      throw badInput(
        'partSize',
        `at least ${Math.ceil(countIds(ids) / MAX_PARTS)} for that many ids`,
        partSize,
      );
    await store.writeParts(runId, () => linesOf(runId, ids, partSize), signal);
    for (const part of cutIntoParts(runId, ids, partSize)) count(part.ids);
  }
  const { bucket, key, mapResultsPrefix } = store.placeOf(runId);
  return {
    runId,
    bucket,
    key,
    redrive: source === undefined,
    mapResultsPrefix,
    parts,
    requested,
    partsInFlight: Math.min(parts, mostPartsInFlight(settings)),
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

function* linesOf(runId: string, ids: IdList, partSize: number): Generator<string, void, undefined> {
  for (const part of cutIntoParts(runId, ids, partSize)) yield partLine(part);
}

function parseRunId(path: string, name: unknown): string {
  const checked = parseName(name, path);
  if (checked.length > MAX_RUN_ID_CHARS)
    throw badInput(path, `at most ${MAX_RUN_ID_CHARS} characters long`, checked);
  return checked;
}
