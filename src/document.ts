import { ChunkWriter } from './chunk-writer.ts';
import type { Trigger } from './event.ts';
import type { Id } from './ids.ts';
import { outcomeHead, type Post, PostError } from './outcome.ts';
import type { ErrorSummary, RunSummary, Tally } from './tally.ts';

/** What a document says of its run before the results. */
export interface RunHead {
  readonly id: string;
  readonly trigger: Trigger;
  readonly requestId: string;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly urlTemplate: string;
  readonly returnExceptions: boolean;
  readonly requested: number;
  readonly idsSha256: string;
}

/** What a document says besides the results. */
export interface RunReport {
  readonly run: RunHead;
  readonly errors: ErrorSummary;
  readonly summary: RunSummary;
}

/** The text between the results and the errors: no result can hold it, as each is one line. */
const RESULTS_END = '\n],\n"errors":';
const RESULTS_START = ',\n"results":[';

/**
 * The document of a run, as chunks of its text: one JSON object, one outcome a line. `outcomes` are those of
 * `ids`, in their order; `tally` counts them, and when the last has been written, `conclude` is asked for the rest.
 *
 * Whatever `outcomes` throws, and a rejection that is no PostError, ends the document with that error.
 */
export async function* writeDocument(
  run: RunHead,
  ids: Iterable<Id>,
  outcomes: AsyncIterable<PromiseSettledResult<Post>>,
  tally: Tally,
  conclude: () => RunReport,
): AsyncGenerator<Buffer, void, undefined> {
  const writer = new ChunkWriter();
  writer.text(`{"version":1,\n"run":${JSON.stringify(run)}${RESULTS_START}`);
  const nextId = ids[Symbol.iterator]();
  let index = 0;
  for await (const outcome of outcomes) {
    writer.text(index === 0 ? '\n' : ',\n');
    writeOutcome(writer, index++, nextId.next().value as Id, outcome, tally);
    yield* writer.take();
  }
  const { errors, summary } = conclude();
  writer.text(RESULTS_END);
  writer.text(JSON.stringify(errors));
  writer.text(`,\n"summary":${JSON.stringify(summary)}}\n`);
  yield* writer.take(true);
}

/**
 * What a stored document says of its run, from its head and its tail, which may overlap or be the same text.
 * Undefined where they do not hold all of it (take more), or are no document's.
 */
export function readReport(head: string, tail: string): RunReport | undefined {
  const runEnd = head.indexOf(RESULTS_START);
  const errorsStart = tail.lastIndexOf(RESULTS_END);
  if (runEnd < 0 || errorsStart < 0) return undefined;
  try {
    const { run } = JSON.parse(`${head.slice(0, runEnd)}}`);
    const { errors, summary } = JSON.parse(`{"errors":${tail.slice(errorsStart + RESULTS_END.length)}`);
    return run && errors && summary ? { run, errors, summary } : undefined;
  } catch {
    return undefined;
  }
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
    writer.text(`${outcomeHead(index, id, 'fulfilled', outcome.value)}"value":`);
    writer.bytes(outcome.value.value);
    writer.text('}');
    return;
  }
  const error: unknown = outcome.reason;
  if (!(error instanceof PostError)) throw error;
  tally.addRejected(index, error, id);
  writer.text(`${outcomeHead(index, id, 'rejected', error.record)}"reason":${JSON.stringify(error.reason)}}`);
}
