import { BadInputError, badInput } from '../base/errors.ts';
import { isRecord } from '../base/is-record.ts';
import { countIds, hashIds, type IdList } from './ids.ts';
import { type ManifestLocation, parseManifestLocation } from './manifest/location.ts';
import { parseEarlierRunId, parseIds, parseRunId } from './parse-ids.ts';

/** What is to be fetched, checked. */
export interface Batch {
  readonly ids: IdList;
  /** How many ids there are, ranges counted out. */
  readonly requested: number;
  /** What tells this batch's ids from another's; see `hashIds`. */
  readonly idsSha256: string;
  /** false: the first failure ends the run. */
  readonly returnExceptions: boolean;
}

/** What an event asks for, checked as far as can be without reading more than the event. */
export type BaseForm = {
  /** false: the first failure ends the run. True of a redrive. */
  readonly returnExceptions: boolean;
  /** The run id that the event itself asks for; none for a redrive. */
  readonly runId: string | undefined;
} & (
  | { readonly kind: 'ids'; readonly ids: IdList }
  /** The ids stand in an object in S3. */
  | { readonly kind: 'manifest'; readonly location: ManifestLocation }
  /** The ids are those that an earlier run leaves to be fetched. */
  | { readonly kind: 'redrive'; readonly earlierRunId: string }
);

export interface BaseFormOptions {
  /** What messages call the form: all that a function was invoked with, or a part of that. */
  readonly place: 'event' | 'input' | 'detail' | 'body' | 'query';
  /** Most ids, ranges counted out. */
  readonly maxIds: number;
  /** The keys that the form may have. @default FETCH_KEYS */
  readonly keys?: readonly string[];
  /** Checks the ids of the form. @default parseIds */
  readonly parseIds?: typeof parseIds;
  /** Checks the run id that the form gives to its run. @default parseRunId */
  readonly parseRunId?: typeof parseRunId;
  /** The ids of a form that has neither ids, manifest nor redrive. @default none: such a form is refused */
  readonly defaultIds?: IdList;
}

/** The keys that say what to fetch; a form has one of them. */
export const TARGET_KEYS = ['ids', 'manifest', 'redrive'] as const;
/** The keys of the base form as the function that fetches takes it. */
export const FETCH_KEYS: readonly string[] = [...TARGET_KEYS, 'returnExceptions', 'runId'];
/** What Step Functions adds to the input of an execution that another one starts. It says nothing of the batch. */
export const EXECUTION_LINK_KEY = 'AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID';

/**
 * Checks the base form: `{"ids": …, "returnExceptions"?: boolean, "runId"?: string}`, the same with `"manifest"`
 * instead of `"ids"`, or `{"redrive": …}`. Of another key in `keys`, its reader has to check the value. The key that
 * Step Functions adds to a nested start is passed over.
 *
 * Throws BadInputError or TooLargeError, which name the place, what was expected and what came.
 */
export function parseBaseForm(form: unknown, options: BaseFormOptions): BaseForm {
  const { place, maxIds, keys = FETCH_KEYS, defaultIds } = options;
  const { parseIds: checkIds = parseIds, parseRunId: checkRunId = parseRunId } = options;
  if (!isRecord(form)) throw badInput(place, 'an object with "ids", "manifest" or "redrive"', form);
  const given = givenKeys(form);
  for (const key of given)
    if (!keys.includes(key))
      throw badInput(place, `an object with no keys but ${keys.join(', ')}`, { [key]: form[key] });

  const { ids, manifest, redrive, returnExceptions = true, runId } = form;
  const at = (key: string): string => (place === 'event' || place === 'input' ? key : `${place}.${key}`);
  const targets = TARGET_KEYS.filter((key) => form[key] !== undefined);
  if (targets.length > 1)
    throw new BadInputError(
      `Expected \`${place}\` to have one of ${TARGET_KEYS.join(', ')}, got ${targets.join(' and ')}`,
    );
  if (redrive !== undefined) {
    for (const key of given)
      if (key !== 'redrive') throw badInput(at(key), 'left out of a redrive', form[key]);
    const earlierRunId = parseEarlierRunId(redrive, at('redrive'));
    return { kind: 'redrive', earlierRunId, returnExceptions: true, runId: undefined };
  }
  if (typeof returnExceptions !== 'boolean')
    throw badInput(at('returnExceptions'), 'true or false', returnExceptions);
  const rest = { returnExceptions, runId: runId === undefined ? undefined : checkRunId(runId, at('runId')) };
  if (manifest !== undefined)
    return { kind: 'manifest', location: parseManifestLocation(manifest, at('manifest')), ...rest };
  if (ids === undefined && defaultIds) return { kind: 'ids', ids: defaultIds, ...rest };
  return { kind: 'ids', ids: checkIds(ids, at('ids'), maxIds), ...rest };
}

/** The keys of a form, without the one that Step Functions adds to a nested start. */
export function givenKeys(form: object): string[] {
  return Object.keys(form).filter((key) => key !== EXECUTION_LINK_KEY);
}

/** A batch of ids that are checked already. */
export function batchOf(ids: IdList, returnExceptions: boolean): Batch {
  return { ids, requested: countIds(ids), idsSha256: hashIds(ids), returnExceptions };
}
