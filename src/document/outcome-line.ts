import { RunConflictError } from '../base/errors.ts';
import { keptText } from '../base/kept-text.ts';
import { eachLine } from '../base/lines.ts';
import type { Id } from '../batch/ids.ts';
import type { FetchRecord, Reason } from '../fetch/outcome.ts';
import type { Output } from './run-head.ts';

/** One outcome of a stored document. */
export interface OutcomeLine {
  readonly index: number;
  readonly id: Id;
  readonly record: FetchRecord;
  /** Why the post failed; undefined where it did not. */
  readonly reason: Reason | undefined;
  /**
   * All of it, as it stands there, but for the comma behind it and the id of its run: the value in it was not looked
   * into.
   */
  readonly line: Buffer;
}

/**
 * What the line of an outcome that stands by itself starts with, behind the brace: the run that it is of. Those of older
 * objects start without.
 */
export function runKey(runId: string): string {
  return `"runId":${JSON.stringify(runId)},`;
}

/** The lines around the results. */
const RESULTS_START = Buffer.from('"results":[');
const RESULTS_END = Buffer.from('],');
const COMMA = 0x2c;
const BRACE = 0x7d;

/**
 * The outcomes of a stored run, in their order, one held at a time. `chunks` is the text of its document (`json`), of
 * which nothing behind the results is read, or of its outcomes by themselves (`ndjson`), from the start and cut
 * anywhere; or else from the start of the line of the outcome `firstIndex`, if that is given. `runId` is the id that the
 * run had when it was written, and `location` names the text in errors.
 *
 * Throws RunConflictError where the text is not as `writeDocument` or `writeOutcomes` writes it, and what `chunks`
 * throws.
 */
export async function* readOutcomeLines(
  chunks: AsyncIterable<Buffer>,
  { runId, location }: { readonly runId: string; readonly location: string },
  format: Output,
  firstIndex?: number,
): AsyncGenerator<OutcomeLine, void, undefined> {
  const key = format === 'json' ? undefined : Buffer.from(`{${runKey(runId)}`);
  const lines = key ? eachLine(chunks) : resultLines(chunks, location, firstIndex);
  let index = firstIndex ?? 0;
  for await (const line of lines) {
    const outcome = parseLine(key ? withoutKey(line, key) : line);
    if (outcome?.index !== index) throw notAsWritten(location, index);
    yield outcome;
    index += 1;
  }
}

/** The lines of the results of a document, without the commas between them. */
async function* resultLines(
  chunks: AsyncIterable<Buffer>,
  location: string,
  firstIndex = -1,
): AsyncGenerator<Buffer, void, undefined> {
  let index = firstIndex;
  let isLast = false;
  for await (const line of eachLine(chunks)) {
    if (index < 0) {
      if (line.equals(RESULTS_START)) index = 0;
    } else if (line.equals(RESULTS_END)) {
      // A comma stands between outcomes, and not behind the last.
      if (index > 0 && !isLast) throw notAsWritten(location, index);
      return;
    } else {
      if (isLast) throw notAsWritten(location, index);
      isLast = line.at(-1) !== COMMA;
      yield isLast ? line : line.subarray(0, -1);
      index += 1;
    }
  }
  throw new RunConflictError(`${location} ends before its results do`);
}

/** A line without the key at its start that says of which run it is. One that is of another run keeps that. */
function withoutKey(line: Buffer, key: Buffer): Buffer {
  const hasKey = line.subarray(0, key.length).equals(key);
  return hasKey ? Buffer.concat([key.subarray(0, 1), line.subarray(key.length)]) : line;
}

/** Where the line of an outcome starts. */
export interface LinePlace {
  readonly index: number;
  /** In bytes. */
  readonly offset: number;
}

/** Of what is kept in JSON on one line, nothing else starts so behind a line break. */
const NEXT_LINE = /\n\{(?:"runId":"[A-Za-z0-9._~-]+",)?"index":(?<index>\d+),"id":/;

/** The first line of an outcome that starts in a piece of a text of outcomes; undefined where none does. */
export function firstLineIn(piece: Buffer): LinePlace | undefined {
  const found = NEXT_LINE.exec(piece.toString('latin1'));
  return found ? { index: Number(found.groups?.index), offset: found.index + 1 } : undefined;
}

/** An outcome's line from behind its brace to its value or reason: the bytes of a value are not to be touched. */
export function outcomeStart(
  index: number,
  id: Id,
  status: 'fulfilled' | 'rejected',
  record: FetchRecord,
): string {
  const { httpStatus, attempts, startedMs, durationMs, waitedMs, hedged } = record;
  const idText = typeof id === 'number' ? id : `"${id}"`;
  return `"index":${index},"id":${idText},"status":"${status}","httpStatus":${httpStatus},"attempts":${attempts},"startedMs":${startedMs},"durationMs":${durationMs},"waitedMs":${waitedMs},${hedged ? '"hedged":true,' : ''}`;
}

/** More than the brace and `outcomeStart` take. */
const START_BYTES = 512;
/** The brace, what `outcomeStart` writes, and the key behind it. Older documents do not say what was waited. */
const LINE_START =
  /^\{"index":(?<index>\d+),"id":(?<id>\d+|"[A-Za-z0-9._~-]+"),"status":"(?<status>fulfilled|rejected)","httpStatus":(?<httpStatus>\d+|null),"attempts":(?<attempts>\d+),"startedMs":(?<startedMs>\d+|null),"durationMs":(?<durationMs>\d+|null),(?:"waitedMs":(?<waitedMs>\d+|null),)?(?<hedged>"hedged":true,)?"(?<key>value|reason)":/;
const KEYS = { fulfilled: 'value', rejected: 'reason' } as const;

function parseLine(line: Buffer): OutcomeLine | undefined {
  const start = LINE_START.exec(line.toString('latin1', 0, START_BYTES));
  const { index, id, status, httpStatus, attempts, startedMs, durationMs, waitedMs, hedged, key } =
    start?.groups ?? {};
  if (!start || KEYS[status as keyof typeof KEYS] !== key || line.at(-1) !== BRACE) return undefined;
  const reason =
    key === 'reason' ? parseReason(line.toString('utf8', start[0].length, line.length - 1)) : undefined;
  if (key === 'reason' && !reason) return undefined;
  return {
    index: Number(index),
    // A string of its own: a piece of the line's start would keep all of that in memory.
    id: JSON.parse(id as string),
    record: {
      httpStatus: JSON.parse(httpStatus as string),
      attempts: Number(attempts),
      startedMs: JSON.parse(startedMs as string),
      durationMs: JSON.parse(durationMs as string),
      waitedMs: JSON.parse(waitedMs ?? 'null'),
      ...(hedged && { hedged: true }),
    },
    reason,
    line,
  };
}

function parseReason(text: string): Reason | undefined {
  try {
    const reason = JSON.parse(text);
    const isReason =
      typeof reason.code === 'string' &&
      typeof reason.message === 'string' &&
      typeof reason.retryable === 'boolean';
    // Older documents have longer messages.
    return isReason ? { ...reason, message: keptText(reason.message) } : undefined;
  } catch {
    return undefined;
  }
}

function notAsWritten(location: string, index: number): RunConflictError {
  return new RunConflictError(`${location} is not as it was written: its outcome ${index} cannot be read`);
}
