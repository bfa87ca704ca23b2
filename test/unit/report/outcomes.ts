import type { OutcomeLine } from '../../../src/document/outcome-line.ts';
import type { FetchRecord, Reason } from '../../../src/fetch/outcome.ts';

const plain: FetchRecord = { httpStatus: 200, attempts: 1, startedMs: 0, durationMs: 10, waitedMs: 0 };

/** An outcome as a document has it, fulfilled unless a reason is given. */
export function outcome(
  index: number,
  more: {
    readonly id?: number | string;
    readonly record?: Partial<FetchRecord>;
    readonly reason?: Reason;
  } = {},
): OutcomeLine {
  const { id = index + 1, record, reason } = more;
  return { index, id, record: { ...plain, ...record }, reason, line: Buffer.from('{}') };
}

export const notFound = (message = 'No data for post'): Reason => ({
  code: 'NOT_FOUND',
  message,
  retryable: false,
});
export const timeout: Reason = { code: 'TIMEOUT', message: 'It took longer than 5 s', retryable: true };
