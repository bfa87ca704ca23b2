import { badInput } from './errors.ts';
import { countIds, hashIds, type IdList, parseIds, parseName } from './ids.ts';

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

/** What a batch is held to, and the ids of an event that may leave them out. */
export interface BatchLimits {
  readonly maxIds: number;
  readonly defaultIds?: IdList;
}

const KEYS = new Set(['ids', 'returnExceptions', 'runId']);

/**
 * Checks the base form `{"ids": …, "returnExceptions"?: boolean, "runId"?: string}` and makes a batch of it.
 *
 * `path` is where the form stands in the event, for the messages: '' is the event itself.
 * Throws BadInputError or TooLargeError, which name the place, what was expected and what came.
 */
export function parseBatch(form: unknown, path: string, { maxIds, defaultIds }: BatchLimits): Batch {
  const at = (key: string): string => (path === '' ? key : `${path}.${key}`);
  const root = path === '' ? 'event' : path;
  if (typeof form !== 'object' || form === null || Array.isArray(form))
    throw badInput(root, 'an object with "ids"', form);
  const unknown = Object.keys(form).find((key) => !KEYS.has(key));
  if (unknown !== undefined)
    throw badInput(root, `an object with no keys but ${[...KEYS].join(', ')}`, {
      [unknown]: form[unknown as never],
    });
  const { ids: given, returnExceptions = true, runId } = form as Record<string, unknown>;
  if (typeof returnExceptions !== 'boolean')
    throw badInput(at('returnExceptions'), 'true or false', returnExceptions);
  const checkedRunId = runId === undefined ? undefined : parseName(runId, at('runId'));
  const ids = given === undefined && defaultIds ? defaultIds : parseIds(given, at('ids'), maxIds);
  return batchOf(ids, returnExceptions, checkedRunId);
}

/** A batch of ids that are checked already. */
export function batchOf(ids: IdList, returnExceptions: boolean, runId: string | undefined): Batch {
  return { ids, requested: countIds(ids), idsSha256: hashIds(ids), returnExceptions, runId };
}
