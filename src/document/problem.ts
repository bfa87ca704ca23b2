import { STATUS_CODES } from 'node:http';
import { BatchFetcherError, ConfigError, ConfigUnavailableError } from '../base/errors.ts';
import { isCount, isRecordOf, isText } from '../base/shapes.ts';
import { PostError } from '../fetch/outcome.ts';

/** Why a run failed, fit for a caller: a problem in the sense of RFC 9457. */
export interface Problem {
  readonly type: 'about:blank';
  /** That of the status. */
  readonly title: string;
  /** Of HTTP. */
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  /** The post that ended a run without `returnExceptions`. */
  readonly id?: number | string;
}

/** By the code of an error that is the caller's to read. */
const STATUS: Readonly<Record<string, number>> = {
  BAD_INPUT: 400,
  UNKNOWN_ROUTE: 404,
  RUN_NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  RUN_CONFLICT: 409,
  RUN_IN_PROGRESS: 409,
  NO_DOCUMENT: 409,
  TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  IDEMPOTENCY_KEY_REUSED: 422,
  ASYNC_NOT_CONFIGURED: 501,
  HANDOVER_FAILED: 503,
  STORE_FAILED: 503,
};

/** The problem that an error is. */
export function problemOf(error: unknown): Problem {
  if (error instanceof PostError) return { ...problem(502, error.message, error.code), id: error.id };
  if (error instanceof ConfigUnavailableError)
    return problem(503, 'The function cannot read its configuration now', error.code);
  if (error instanceof BatchFetcherError && !(error instanceof ConfigError))
    return problem(STATUS[error.code] ?? 500, error.message, error.code);
  // What is wrong inside concerns the operator, who finds it in the log.
  const code = error instanceof ConfigError ? error.code : 'INTERNAL_ERROR';
  return problem(500, 'The function failed; its log says why', code);
}

/** A problem of a status that HTTP knows. */
export function problem(status: number, detail: string, code: string): Problem {
  return { type: 'about:blank', title: String(STATUS_CODES[status]), status, detail, code };
}

/** Whether JSON that was stored is a problem. */
export const isProblem = isRecordOf<Omit<Problem, 'id'>>({
  type: isText,
  title: isText,
  status: isCount,
  detail: isText,
  code: isText,
});
