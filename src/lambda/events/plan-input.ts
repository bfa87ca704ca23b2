import { badInput } from '../../base/errors.ts';
import { requireShallow } from '../../base/nesting.ts';
import { type BaseForm, parseBaseForm, TARGET_KEYS } from '../../batch/base-form.ts';
import { parseRunId } from '../../batch/parse-ids.ts';
import { MAX_PLANNED_RUN_ID_CHARS } from '../../run/parts/parts.ts';
import type { PlanRequest } from '../../run/parts/plan.ts';

const KEYS: readonly string[] = [...TARGET_KEYS, 'runId', 'partSize'];
export const DEFAULT_PART_SIZE = 5_000;
/** As many ids as the function for a part takes. */
export const MAX_PART_SIZE = 100_000;

/**
 * Reads what an execution of the state machine is to plan: its input is the base form without `returnExceptions` and
 * with `partSize`, and its name the run id of a form that has none. Throws BadInputError or TooLargeError.
 */
export function parsePlanInput(input: unknown, executionName: unknown, maxIds: number): PlanRequest {
  requireShallow(input, 'input');
  const form = parseBaseForm(input, { place: 'input', maxIds, keys: KEYS });
  // The base form is an object.
  const { partSize = DEFAULT_PART_SIZE } = input as { readonly partSize?: unknown };
  if (typeof partSize !== 'number' || !Number.isInteger(partSize) || partSize < 1 || partSize > MAX_PART_SIZE)
    throw badInput('partSize', `an integer from 1 to ${MAX_PART_SIZE}`, partSize);
  const [place, runId] = nameRun(form, executionName);
  if (runId.length > MAX_PLANNED_RUN_ID_CHARS)
    throw badInput(place, `at most ${MAX_PLANNED_RUN_ID_CHARS} characters long`, runId);
  return { form, partSize, runId };
}

function nameRun(form: BaseForm, executionName: unknown): [place: string, runId: string] {
  if (form.kind === 'redrive') return ['redrive', form.earlierRunId];
  if (form.runId !== undefined) return ['runId', form.runId];
  const place = 'the name of the execution';
  return [place, parseRunId(executionName, place)];
}
