import { isCount, isFlag, isListOf, isMapOf, isNumberOrNull, isRecordOf, isText } from '../base/shapes.ts';
import { isId } from '../batch/parse-ids.ts';
import type { OutcomesObject, RunHead } from './run-head.ts';
import type { ErrorSummary, FirstError, OutcomeSummary } from './tally.ts';

/** Whether JSON that was stored is the head of a run. */
export const isRunHead = isRecordOf<RunHead>({
  id: isText,
  // A later version may know another one.
  trigger: isText,
  requestId: isText,
  startedAt: isText,
  urlTemplate: isText,
  returnExceptions: isFlag,
  requested: isCount,
  idsSha256: isText,
  redriveOf: (value) => value === undefined || isText(value),
});

export const isOutcomesObject = isRecordOf<OutcomesObject>({
  location: isText,
  bytes: isCount,
  etag: isText,
});

export const isErrorSummary = isRecordOf<ErrorSummary>({
  total: isCount,
  byCode: isMapOf(isCount),
  first: isListOf<FirstError>(
    isRecordOf<FirstError>({ index: isCount, id: isId, code: isText, message: isText }),
  ),
  retryableIds: isListOf(isId),
});

/** What documents have said of traffic has grown, and nothing reads it. */
export const isOutcomeSummary = isRecordOf<OutcomeSummary>({
  finishedAt: isText,
  durationMs: isCount,
  requested: isCount,
  fulfilled: isCount,
  rejected: isCount,
  attempts: isCount,
  complete: isFlag,
  latencyMs: isRecordOf({
    p50: isNumberOrNull,
    p90: isNumberOrNull,
    p99: isNumberOrNull,
    max: isNumberOrNull,
  }),
});
