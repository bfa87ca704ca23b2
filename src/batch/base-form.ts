import { BadInputError, badInput } from '../base/errors.ts';
import { countIds, hashIds, type IdList } from './ids.ts';
import { type ManifestLocation, parseManifestLocation } from './manifest/location.ts';
import { parseIds, parseName } from './parse-ids.ts';

/** What is to be fetched, checked. */
export interface Batch {
  readonly ids: IdList;
  /** How many ids there are, ranges counted out. */
  readonly requested: number;
  /** What tells this batch's ids from another's; see `hashIds`. */
  readonly idsSha256: string;
  /** false: the first failure ends the run. */
  readonly returnExceptions: boolean;
  /** The run id that the event itself asks for. */
  readonly runId: string | undefined;
}

/** What an event asks for, checked as far as can be without reading more than the event. */
export type BatchForm = IdsForm | ManifestForm | RedriveForm;

interface IdsForm {
  readonly kind: 'ids';
  readonly batch: Batch;
}

/** The ids stand in an object in S3. */
export interface ManifestForm {
  readonly kind: 'manifest';
  readonly location: ManifestLocation;
  readonly returnExceptions: boolean;
  readonly runId: string | undefined;
}

/** The ids are those that an earlier run leaves to be fetched. */
interface RedriveForm {
  readonly kind: 'redrive';
  readonly sourceRunId: string;
  readonly returnExceptions: true;
  readonly runId: undefined;
}

/** What a batch is held to, and the ids of an event that may leave them out. */
export interface BatchLimits {
  readonly maxIds: number;
  readonly defaultIds?: IdList;
}

/** The keys of the base form that say what to fetch; an event has one of them. */
const SOURCE_KEYS = ['ids', 'manifest', 'redrive'] as const;

/** The keys of the base form. */
export const BATCH_KEYS: readonly string[] = [...SOURCE_KEYS, 'returnExceptions', 'runId'];

/** The values of the base form; undefined is not given. */
interface BatchFields {
  readonly ids?: unknown;
  readonly manifest?: unknown;
  readonly redrive?: unknown;
  readonly returnExceptions?: unknown;
  readonly runId?: unknown;
}

/**
 * Checks the base form `{"ids": …, "returnExceptions"?: boolean, "runId"?: string}`, the same with `"manifest"`
 * instead of `"ids"`, or `{"redrive": …}`.
 *
 * `path` is where the form stands in the event, for the messages: '' is the event itself.
 * Throws BadInputError or TooLargeError, which name the place, what was expected and what came.
 */
export function parseBatch(form: unknown, path: string, { maxIds, defaultIds }: BatchLimits): BatchForm {
  const root = rootOf(path);
  if (typeof form !== 'object' || form === null || Array.isArray(form))
    throw badInput(root, 'an object with "ids", "manifest" or "redrive"', form);
  refuseOtherKeys(form, BATCH_KEYS, root);
  return parseFields(form, path, (ids, idsPath) =>
    ids === undefined && defaultIds ? defaultIds : parseIds(ids, idsPath, maxIds),
  );
}

/** Throws BadInputError where an object has a key that is not one of `keys`. */
export function refuseOtherKeys(form: object, keys: readonly string[], path: string): void {
  for (const [key, value] of Object.entries(form))
    if (!keys.includes(key))
      throw badInput(path, `an object with no keys but ${keys.join(', ')}`, { [key]: value });
}

/** Checks the values of a base form, whose ids `readIds` reads. Throws as `parseBatch` does. */
export function parseFields(
  fields: BatchFields,
  path: string,
  readIds: (ids: unknown, path: string) => IdList,
): BatchForm {
  const at = (key: string): string => (path === '' ? key : `${path}.${key}`);
  const { ids, manifest, redrive, returnExceptions = true, runId } = fields;
  const sources = SOURCE_KEYS.filter((key) => fields[key] !== undefined);
  if (sources.length > 1)
    throw new BadInputError(
      `Expected \`${rootOf(path)}\` to have one of ${SOURCE_KEYS.join(', ')}, got ${sources.join(' and ')}`,
    );
  if (redrive !== undefined) {
    for (const key of ['returnExceptions', 'runId'] as const)
      if (fields[key] !== undefined) throw badInput(at(key), 'left out of a redrive', fields[key]);
    const sourceRunId = parseName(redrive, at('redrive'));
    return { kind: 'redrive', sourceRunId, returnExceptions: true, runId: undefined };
  }
  if (typeof returnExceptions !== 'boolean')
    throw badInput(at('returnExceptions'), 'true or false', returnExceptions);
  const checkedRunId = runId === undefined ? undefined : parseName(runId, at('runId'));
  if (manifest !== undefined) {
    const location = parseManifestLocation(manifest, at('manifest'));
    return { kind: 'manifest', location, returnExceptions, runId: checkedRunId };
  }
  return { kind: 'ids', batch: batchOf(readIds(ids, at('ids')), returnExceptions, checkedRunId) };
}

/** A batch of ids that are checked already. */
export function batchOf(ids: IdList, returnExceptions: boolean, runId: string | undefined): Batch {
  return { ids, requested: countIds(ids), idsSha256: hashIds(ids), returnExceptions, runId };
}

function rootOf(path: string): string {
  return path === '' ? 'event' : path;
}
