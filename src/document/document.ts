import type { Id } from '../batch/ids.ts';
import { type Post, PostError } from '../fetch/outcome.ts';
import { ChunkWriter } from './chunk-writer.ts';
import { type OutcomeLine, outcomeStart, runKey } from './outcome-line.ts';
import { isErrorSummary, isOutcomeSummary, isOutcomesObject, isRunHead } from './report-shape.ts';
import type { OutcomesObject, RunHead, RunReport } from './run-head.ts';
import type { OutcomeSummary, Tally } from './tally.ts';

/** What came of a post: fetched now, or a line of another document. */
export type Outcome = PromiseSettledResult<Post> | OutcomeLine;

/** What no result can hold, as each is one line. */
const RESULTS_START = ',\n"results":[';
const ERRORS_START = ',\n"errors":';
const SUMMARY_START = ',\n"summary":';
/** What follows the head of a run, by `OUTPUT`. */
const RUN_END = /,\n"(?:results|outcomes)":/;
const DOCUMENT_START = '{"version":1,\n"run":{';

/**
 * The document of a run, as chunks of its text: one JSON object, one outcome a line. `outcomes` are those of
 * `ids`, in their order; one that is a line of another document is the same line in this one, to the byte. `tally`
 * counts them, and when the last has been written, `report` is asked for the rest.
 *
 * Whatever `outcomes` throws, and a rejection that is no PostError, ends the document with that error.
 */
export async function* writeDocument(
  run: RunHead,
  ids: Iterable<Id>,
  outcomes: AsyncIterable<Outcome>,
  tally: Tally,
  report: () => RunReport,
): AsyncGenerator<Buffer, void, undefined> {
  const writer = new ChunkWriter();
  writer.text(`${headText(run)}${RESULTS_START}`);
  yield* writeEach(writer, ids, outcomes, tally, { first: '\n{', next: ',\n{', end: '' });
  writer.text('\n]');
  writer.text(reportText(report()));
  yield* writer.take(true);
}

/**
 * The outcomes by themselves: the same lines, each with the id of the run as its first key, and a line break at its end.
 * Ends as `writeDocument` does.
 */
export async function* writeOutcomes(
  runId: string,
  ids: Iterable<Id>,
  outcomes: AsyncIterable<Outcome>,
  tally: Tally,
): AsyncGenerator<Buffer, void, undefined> {
  const writer = new ChunkWriter();
  const first = `{${runKey(runId)}`;
  yield* writeEach(writer, ids, outcomes, tally, { first, next: first, end: '\n' });
  yield* writer.take(true);
}

/** The document of a run whose outcomes are an object by themselves. */
export function documentWithout(report: RunReport & { readonly outcomes: OutcomesObject }): string {
  return `${headText(report.run)},\n"outcomes":${JSON.stringify(report.outcomes)}${reportText(report)}`;
}

/**
 * What a stored document says of its run, from its head and its tail, which may overlap or be the same text.
 * Undefined where they do not hold all of it (take more), or are no document's.
 */
export function readReport(head: string, tail: string): RunReport | undefined {
  const resultsStart = head.indexOf(RESULTS_START);
  const runEnd = resultsStart < 0 ? head.indexOf(ERRORS_START) : resultsStart;
  const errorsStart = tail.lastIndexOf(ERRORS_START);
  if (runEnd < 0 || errorsStart < 0) return undefined;
  try {
    const { version, run, outcomes } = JSON.parse(`${head.slice(0, runEnd)}}`);
    const { errors, summary } = JSON.parse(`{"errors":${tail.slice(errorsStart + ERRORS_START.length)}`);
    const hasOutcomes = resultsStart < 0 ? isOutcomesObject(outcomes) : outcomes === undefined;
    const isReport = isRunHead(run) && isErrorSummary(errors) && isOutcomeSummary(summary);
    return version === 1 && hasOutcomes && isReport
      ? { run, ...(outcomes && { outcomes }), errors, summary }
      : undefined;
  } catch {
    return undefined;
  }
}

/** What a stored document says of its run in a few words: when it started, and what it came to. */
export interface RunBrief {
  /** ISO 8601. */
  readonly startedAt: string;
  readonly summary: OutcomeSummary;
}

/** The same from less of a document: its tail has to hold the last line, however long the line of the errors is. */
export function readBrief(head: string, tail: string): RunBrief | undefined {
  const runEnd = head.search(RUN_END);
  const summaryStart = tail.lastIndexOf(SUMMARY_START);
  if (runEnd < 0 || summaryStart < 0) return undefined;
  try {
    const { version, run } = JSON.parse(`${head.slice(0, runEnd)}}`);
    const { summary } = JSON.parse(`{${tail.slice(summaryStart + 1)}`);
    const isBrief = version === 1 && isRunHead(run) && isOutcomeSummary(summary);
    return isBrief ? { startedAt: run.startedAt, summary } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Whether a longer tail may hold what `readReport` misses: so it is with a document of which the tail begins in the
 * middle of the line of its errors, the last but one.
 */
export function isTailTooShort(head: string, tail: string): boolean {
  const beforeSummary = tail.slice(0, tail.lastIndexOf(SUMMARY_START) + 1);
  return head.startsWith(DOCUMENT_START) && beforeSummary !== '' && !beforeSummary.includes('\n');
}

function headText(run: RunHead): string {
  return `${DOCUMENT_START}${JSON.stringify(run).slice(1)}`;
}

function reportText({ errors, summary }: RunReport): string {
  return `${ERRORS_START}${JSON.stringify(errors)}${SUMMARY_START}${JSON.stringify(summary)}}\n`;
}

async function* writeEach(
  writer: ChunkWriter,
  ids: Iterable<Id>,
  outcomes: AsyncIterable<Outcome>,
  tally: Tally,
  { first, next, end }: Readonly<Record<'first' | 'next' | 'end', string>>,
): AsyncGenerator<Buffer, void, undefined> {
  const nextId = ids[Symbol.iterator]();
  let index = 0;
  for await (const outcome of outcomes) {
    // The line's brace included.
    writer.text(index === 0 ? first : next);
    const id = nextId.next().value as Id;
    if ('line' in outcome) writeLine(writer, outcome, tally);
    else writeOutcome(writer, index, id, outcome, tally);
    writer.text(end);
    index += 1;
    // To yield nothing takes promises all the same.
    if (writer.isFull) yield* writer.take();
  }
}

function writeLine(
  writer: ChunkWriter,
  { index, id, record, reason, line }: OutcomeLine,
  tally: Tally,
): void {
  if (reason) tally.addRejected(index, { reason, record }, id);
  else tally.addFulfilled(id, record);
  writer.bytes(line.subarray(1));
}

function writeOutcome(
  writer: ChunkWriter,
  index: number,
  id: Id,
  outcome: PromiseSettledResult<Post>,
  tally: Tally,
): void {
  if (outcome.status === 'fulfilled') {
    tally.addFulfilled(id, outcome.value);
    writer.text(`${outcomeStart(index, id, 'fulfilled', outcome.value)}"value":`);
    writer.bytes(outcome.value.value);
    writer.text('}');
    return;
  }
  const error: unknown = outcome.reason;
  if (!(error instanceof PostError)) throw error;
  tally.addRejected(index, error, id);
  writer.text(
    `${outcomeStart(index, id, 'rejected', error.record)}"reason":${JSON.stringify(error.reason)}}`,
  );
}
