import { badInput, TooLargeError } from '../base/errors.ts';
import { isRecord } from '../base/is-record.ts';
import { isCount, isListOf, isRecordOf, isText } from '../base/shapes.ts';
import { countIds, type Id, type IdList, type IdRange } from './ids.ts';

const NAME = /^(?!\.{1,2}$)[A-Za-z0-9._~-]{1,128}$/;
const NAME_EXPECTED = '1 to 128 characters out of A-Z a-z 0-9 . _ ~ - (not "." or "..")';
const INTEGER_EXPECTED = `an integer from 0 to ${Number.MAX_SAFE_INTEGER}`;
const ID_EXPECTED = `${INTEGER_EXPECTED}, a range {"from", "to"}, or ${NAME_EXPECTED}`;
/** The longest run id that leaves room for `.redrive-999` in a name: as many redrives as nobody will count. */
const MAX_RUN_ID_CHARS = 116;
/** The names of what is kept of a run besides its document, of its parts, and of its redrives end so. */
const DERIVED = /\.(?:manifest|progress|part-\d+|redrive-\d+)$/;
/** Those among them that name no run. */
const NO_RUN = /\.(?:manifest|progress)$/;
/** The most pieces that `split` can be told to give, less one. */
const MAX_PIECES = 2 ** 32 - 2;

/** Checks the `ids` of a JSON event. Throws BadInputError, or TooLargeError for more than `maxIds`. */
export function parseIds(value: unknown, path: string, maxIds: number): IdList {
  if (!Array.isArray(value)) throw badInput(path, 'an array of ids', value);
  return parseEach(value, path, maxIds, parseId);
}

/**
 * Reads ids from text: `1,2,7-9,a-slug`. All digits is a number, digits-digits a range, anything else a name.
 * Throws as `parseIds` does.
 */
export function parseIdsText(value: unknown, path: string, maxIds: number): IdList {
  if (typeof value !== 'string' || value.trim() === '')
    throw badInput(path, 'comma-separated ids and ranges', value);
  const pieces = value.split(',', Math.min(maxIds, MAX_PIECES) + 1);
  return parseEach(pieces, path, maxIds, (piece, at) => parseIdText(piece.trim(), at));
}

/** Checks an id or a range that was JSON. Throws BadInputError. */
export function parseId(value: unknown, path: string): Id | IdRange {
  if (typeof value === 'number') return parseInteger(value, path, ID_EXPECTED);
  if (typeof value === 'string') return parseName(value, path);
  if (!isRecord(value)) throw badInput(path, ID_EXPECTED, value);
  for (const key of Object.keys(value))
    if (key !== 'from' && key !== 'to') throw badInput(path, 'a range with "from" and "to" alone', value);
  const from = parseInteger(value.from, `${path}.from`);
  return rangeOf(from, parseInteger(value.to, `${path}.to`), path, value);
}

/** Whether a value is an id, and no range. */
export function isId(value: unknown): value is Id {
  return isCount(value) || (isText(value) && NAME.test(value));
}

/** Whether a value is ids and ranges, as `parseIds` gives them. */
export const isIdList = isListOf<IdList[number]>((value) => isId(value) || isRange(value));

const isRange = isRecordOf<IdRange>({ from: isCount, to: isCount });

/** Reads one id from text: all digits is a number, anything else a name. Throws BadInputError. */
export function parsePlainId(text: string, path: string): Id {
  return /^\d+$/.test(text) ? parseDigits(text, path, text) : parseName(text, path);
}

/** Checks a name: a run id of whatever kind, or a post id that is text. Throws BadInputError. */
export function parseName(value: unknown, path: string): string {
  if (typeof value !== 'string' || !NAME.test(value)) throw badInput(path, NAME_EXPECTED, value);
  return value;
}

/**
 * Checks a run id that a caller gives to a run: none that is derived from another one (`big.manifest`,
 * `big.part-000001`, `big.redrive-1`), and one that others can be derived from. Throws BadInputError.
 */
export function parseRunId(value: unknown, path: string): string {
  const runId = parseName(value, path);
  if (runId.length > MAX_RUN_ID_CHARS || DERIVED.test(runId))
    throw badInput(
      path,
      `at most ${MAX_RUN_ID_CHARS} characters that end in none of .manifest, .progress, .part-<digits> and .redrive-<digits>`,
      runId,
    );
  return runId;
}

/** Checks the run id of a run that is there, which may be that of a part or of a redrive. Throws BadInputError. */
export function parseEarlierRunId(value: unknown, path: string): string {
  const runId = parseName(value, path);
  if (NO_RUN.test(runId))
    throw badInput(path, 'the id of a run, which ends neither in .manifest nor in .progress', runId);
  return runId;
}

/** Neither looks at what is too long to be good, nor writes ranges out. */
function parseEach<T>(
  items: readonly T[],
  path: string,
  maxIds: number,
  parse: (item: T, path: string) => Id | IdRange,
): IdList {
  const requireAtMost = (count: number): void => {
    if (count > maxIds)
      throw new TooLargeError(`Expected \`${path}\` to hold at most ${maxIds} ids (MAX_IDS), got ${count}`);
  };
  requireAtMost(items.length);
  const ids = items.map((item, i) => parse(item, `${path}[${i}]`));
  requireAtMost(countIds(ids));
  return ids;
}

function parseIdText(text: string, path: string): Id | IdRange {
  const ends = /^(\d+)-(\d+)$/.exec(text);
  if (!ends) return parsePlainId(text, path);
  return rangeOf(parseDigits(ends[1], path, text), parseDigits(ends[2], path, text), path, text);
}

function rangeOf(from: number, to: number, path: string, got: unknown): IdRange {
  if (from > to) throw badInput(path, 'a range whose "from" is not above its "to"', got);
  return { from, to };
}

function parseDigits(digits: unknown, path: string, got: string): number {
  // The error shows the text: the number may have lost digits.
  return parseInteger(Number(digits), path, INTEGER_EXPECTED, got);
}

function parseInteger(value: unknown, path: string, expected = INTEGER_EXPECTED, got = value): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw badInput(path, expected, got);
  // JSON has a -0, which names post 0.
  return value === 0 ? 0 : value;
}
