import type { OutcomeLine } from '../../../src/document/outcome-line.ts';

/** An outcome, and which run it is of. */
export interface RunLine extends OutcomeLine {
  /** That of the redrive, or of the part, whose document has it. */
  readonly runId: string;
}

/** The columns of a table of outcomes, in their order. */
export const COLUMNS = [
  'index',
  'id',
  'status',
  'http_status',
  'attempts',
  'started_ms',
  'duration_ms',
  'waited_ms',
  'code',
  'message',
  'run_id',
  'value',
] as const satisfies readonly (keyof Row)[];

/** What the columns hold of an outcome. */
export interface Row {
  readonly index: number;
  /** As text, as some ids are numbers and some are not. */
  readonly id: string;
  readonly status: 'fulfilled' | 'rejected';
  readonly http_status: number | null;
  readonly attempts: number;
  readonly started_ms: number | null;
  readonly duration_ms: number | null;
  readonly waited_ms: number | null;
  /** Of the reason, as is `message`; null where the post was fetched. */
  readonly code: string | null;
  readonly message: string | null;
  readonly run_id: string;
  /** JSON in UTF-8, token for token: a piece of the line, which is not to be kept for it. Null where the post failed. */
  readonly value: Buffer | null;
}

const VALUE = Buffer.from('"value":');

export function rowOf({ index, id, record, reason, line, runId }: RunLine): Row {
  const { httpStatus, attempts, startedMs, durationMs, waitedMs } = record;
  return {
    index,
    id: String(id),
    status: reason ? 'rejected' : 'fulfilled',
    http_status: httpStatus,
    attempts,
    started_ms: startedMs,
    duration_ms: durationMs,
    waited_ms: waitedMs,
    code: reason?.code ?? null,
    message: reason?.message ?? null,
    run_id: runId,
    // The value is the last member; what stands before it holds no text from outside.
    value: reason ? null : line.subarray(line.indexOf(VALUE) + VALUE.length, -1),
  };
}
