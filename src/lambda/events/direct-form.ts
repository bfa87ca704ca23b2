import { badInput } from '../../base/errors.ts';
import { isRecord } from '../../base/is-record.ts';
import { type BaseForm, parseBaseForm } from '../../batch/base-form.ts';
import { parsePartRunId } from '../../run/parts/parts.ts';

const PART_KEYS: readonly string[] = ['ids', 'runId', 'part'];

/**
 * Reads what a direct invocation asks for: the base form, or a part of a run, as the state machine has it fetched and a
 * run manifest names it: `{"ids", "runId", "part"}`. Only who says which part it is may use the run id of one. Throws
 * BadInputError or TooLargeError.
 */
export function parseDirectForm(form: unknown, maxIds: number): BaseForm {
  const options = { place: 'event', maxIds } as const;
  if (!isRecord(form) || form.part === undefined) return parseBaseForm(form, options);
  const { part, runId } = form;
  if (typeof part !== 'number' || !Number.isSafeInteger(part) || part < 0)
    throw badInput('part', 'the number of a part, from 0', part);
  const parseRunId = (value: unknown, path: string): string => parsePartRunId(value, path, part);
  parseRunId(runId, 'runId');
  return parseBaseForm(form, { ...options, keys: PART_KEYS, parseRunId });
}
