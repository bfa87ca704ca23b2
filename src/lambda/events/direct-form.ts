import { badInput } from '../../base/errors.ts';
import { isRecord } from '../../base/is-record.ts';
import { type BaseForm, parseBaseForm } from '../../batch/base-form.ts';
import type { Learned } from '../../fetch/politeness/learned.ts';
import { type Finding, isRate } from '../../fetch/politeness/origin-memory.ts';
import type { OriginShare } from '../../run/fetch-and-store.ts';
import { parsePartRunId } from '../../run/parts/parts.ts';
import { MAX_PARTS_IN_FLIGHT } from '../../run/parts/plan.ts';
import { parseTime } from './time.ts';

/** What a direct invocation asks for: of the state machine, with the share that a part has of the origin. */
export type DirectForm = BaseForm & { readonly share?: OriginShare };

const PART_KEYS: readonly string[] = ['ids', 'runId', 'part'];
const LEARNED_KEYS: readonly string[] = ['perSecond', 'inFlight', 'told', 'at'];

/**
 * Reads what a direct invocation asks for: the base form, or a part of a run, as the state machine has it fetched and a
 * run manifest names it: `{"ids", "runId", "part"}`. Only who says which part it is may use the run id of one. A part,
 * and a redrive, may come with `partsInFlight`, and with what `plan` has `learned` of the origin. Throws BadInputError
 * or TooLargeError.
 */
export function parseDirectForm(event: unknown, maxIds: number): DirectForm {
  const options = { place: 'event', maxIds } as const;
  if (!isRecord(event) || (event.part === undefined && event.redrive === undefined))
    return parseBaseForm(event, options);
  const { partsInFlight, learned, ...form } = event;
  const share = parseShare(partsInFlight, learned);
  return { ...(form.part === undefined ? parseBaseForm(form, options) : parsePart(form, maxIds)), ...share };
}

function parsePart(form: Readonly<Record<string, unknown>>, maxIds: number): BaseForm {
  const { part, runId } = form;
  if (typeof part !== 'number' || !Number.isSafeInteger(part) || part < 0)
    throw badInput('part', 'the number of a part, from 0', part);
  const parseRunId = (value: unknown, path: string): string => parsePartRunId(value, path, part);
  parseRunId(runId, 'runId');
  return parseBaseForm(form, { place: 'event', maxIds, keys: PART_KEYS, parseRunId });
}

function parseShare(partsInFlight: unknown, learned: unknown): { readonly share?: OriginShare } {
  if (partsInFlight === undefined && learned === undefined) return {};
  const most = MAX_PARTS_IN_FLIGHT;
  if (
    typeof partsInFlight !== 'number' ||
    !Number.isInteger(partsInFlight) ||
    partsInFlight < 1 ||
    partsInFlight > most
  )
    throw badInput('partsInFlight', `an integer from 1 to ${most}`, partsInFlight);
  return { share: { partsInFlight, learned: parseLearned(learned) } };
}

/** What an origin was found to take; null, where nothing is known, is the same as to say nothing. */
function parseLearned(learned: unknown): Finding | undefined {
  if (learned === undefined || learned === null) return undefined;
  const expected = `null, or an object with no keys but ${LEARNED_KEYS.join(', ')}`;
  if (!isRecord(learned)) throw badInput('learned', expected, learned);
  for (const [key, value] of Object.entries(learned))
    if (!LEARNED_KEYS.includes(key)) throw badInput('learned', expected, { [key]: value });
  const rateOf = (key: keyof Learned): number | null => {
    const value = learned[key];
    if (value !== null && !isRate(value))
      throw badInput(`learned.${key}`, 'a number above 0, or null', value);
    return value;
  };
  return {
    perSecond: rateOf('perSecond'),
    inFlight: rateOf('inFlight'),
    told: rateOf('told'),
    at: parseTime(learned.at, 'learned.at').toISOString(),
  };
}
