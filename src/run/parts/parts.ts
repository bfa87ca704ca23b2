import { badInput, RunConflictError } from '../../base/errors.ts';
import { isCount, isRecordOf, isText } from '../../base/shapes.ts';
import { countIds, type IdList } from '../../batch/ids.ts';
import { isIdList, parseName } from '../../batch/parse-ids.ts';

/** A share of a run that is too large for one function: a run of its own, with a document of its own. */
export interface Part {
  /** From 0. */
  readonly part: number;
  readonly runId: string;
  /** Where the first of its ids stands among those of the whole run. */
  readonly firstIndex: number;
  readonly ids: IdList;
}

/**
 * What the ids of a part may take, written out one by one. Step Functions passes on at most 262,144 bytes: the event
 * of a part, and its reply, which lists every id that is worth another try.
 */
export const MAX_WRITTEN_BYTES = 200_000;
/** The longest run id that leaves room for `.part-1000017.redrive-999` in a name. */
export const MAX_PLANNED_RUN_ID_CHARS = 103;
/** Most parts of the size that was asked for: of no more than these, `part-000017` sorts as it counts. */
export const MAX_PARTS = 1_000_000;

/**
 * Cuts ids, in their order, into parts of `partSize`, or fewer where these would be too long. No ids are one part
 * without any, which leads to a document like any other. The same ids give the same parts.
 */
export function* cutIntoParts(
  runId: string,
  ids: IdList,
  partSize: number,
): Generator<Part, void, undefined> {
  let part = 0;
  let firstIndex = 0;
  let taken: IdList[number][] = [];
  let count = 0;
  let bytes = 0;
  const cut = (): Part => {
    const next = { part, runId: partRunId(runId, part), firstIndex, ids: taken };
    part += 1;
    firstIndex += count;
    taken = [];
    count = 0;
    bytes = 0;
    return next;
  };
  for (const item of ids) {
    for (let left: IdList[number] | undefined = item; left !== undefined; ) {
      const idBytes = bytesOf(left);
      const room = Math.min(partSize - count, Math.floor((MAX_WRITTEN_BYTES - bytes) / idBytes));
      if (room < 1) {
        yield cut();
        continue;
      }
      const [first, rest]: Split = splitAfter(room, left);
      const firstCount = countIds([first]);
      taken.push(first);
      count += firstCount;
      bytes += firstCount * idBytes;
      left = rest;
    }
  }
  yield cut();
}

/** A part as one line of JSON. */
export function partLine(part: Part): string {
  return `${JSON.stringify(part)}\n`;
}

/**
 * The part of a line that `partLine` wrote. Throws RunConflictError where the line is not of this part of the run, or,
 * where no number is given, of any.
 */
export function readPart(line: string, runId: string, number?: number): Part {
  try {
    const part: unknown = JSON.parse(line);
    if (isPart(part) && part.part === (number ?? part.part) && part.runId === partRunId(runId, part.part))
      return part;
  } catch {}
  throw noPlan(runId);
}

/** The error of what stands in the place of a plan. */
export function noPlan(runId: string): RunConflictError {
  return new RunConflictError(`What stands in the place of the plan of ${runId} is none`);
}

const isPart = isRecordOf<Part>({ part: isCount, runId: isText, firstIndex: isCount, ids: isIdList });

/** Checks the run id of a part by its number. Throws BadInputError. */
export function parsePartRunId(value: unknown, path: string, part: number): string {
  const ending = partRunId('', part);
  if (typeof value !== 'string' || !value.endsWith(ending))
    throw badInput(path, `the id of a run and ${ending}, as \`part\` says`, value);
  return parseName(value, path);
}

function partRunId(runId: string, part: number): string {
  return `${runId}.part-${String(part).padStart(6, '0')}`;
}

/** The most that one of these ids takes in a list, its comma included. */
function bytesOf(item: IdList[number]): number {
  return JSON.stringify(typeof item === 'object' ? item.to : item).length + 1;
}

type Split = readonly [first: IdList[number], rest: IdList[number] | undefined];

function splitAfter(count: number, item: IdList[number]): Split {
  if (typeof item !== 'object') return [item, undefined];
  const { from, to } = item;
  const last = Math.min(to, from + count - 1);
  return [rangeOf(from, last), last < to ? rangeOf(last + 1, to) : undefined];
}

function rangeOf(from: number, to: number): IdList[number] {
  return from === to ? from : { from, to };
}
