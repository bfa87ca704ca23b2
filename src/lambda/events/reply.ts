import { STATUS_CODES } from 'node:http';
import type { ALBResult, APIGatewayProxyResult, APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import {
  BatchFetcherError,
  ConfigError,
  ConfigUnavailableError,
  MethodNotAllowedError,
} from '../../base/errors.ts';
import { PostError } from '../../fetch/outcome.ts';
import type { Run } from '../../run/replay.ts';
import type { RecognizedEvent } from './event.ts';
import type { ApiDialect } from './http-request.ts';

/** What a direct or scheduled invocation gets back: never the results, which may be more than Lambda returns. */
export type DirectReply = Pick<Run, 'runId' | 'location' | 'replayed' | 'errors' | 'summary'>;

export type ApiReply = APIGatewayProxyStructuredResultV2 | APIGatewayProxyResult | ALBResult;

const MAX_REPLY_BYTES = 4_000_000;
/** What Lambda takes from a function, 6 MB: a JSON object that holds the body as a string, each quote as two bytes. */
const MAX_ENVELOPE_BYTES = 6_000_000;
/** The same for a load balancer, which takes 1 MB. */
const MAX_ALB_ENVELOPE_BYTES = 1_000_000;

/** The largest document that fits into a reply to this event; 0 where it has no place there. */
export function maxReplyBytes(event: RecognizedEvent): number {
  if (event.trigger !== 'api') return 0;
  return isAlb(event.request.dialect) ? MAX_ALB_ENVELOPE_BYTES : MAX_REPLY_BYTES;
}

/** The reply to an event whose run has a document: with its text, where it is given and fits. */
export function replyTo(event: RecognizedEvent, run: Run, document?: string): DirectReply | ApiReply {
  const { runId, location, replayed, errors, summary } = run;
  if (event.trigger !== 'api') return { runId, location, replayed, errors, summary };
  const { dialect } = event.request;
  if (document !== undefined) {
    // The document goes in as the text that it is: parsed and serialized, its numbers would not be those that were sent.
    const body = `{"location":${JSON.stringify(location)},"replayed":${replayed},${document.slice(1)}`;
    const reply = apiReply(dialect, 200, JSON_TYPE, body);
    const maxEnvelopeBytes = isAlb(dialect) ? MAX_ALB_ENVELOPE_BYTES : MAX_ENVELOPE_BYTES;
    const fits = Buffer.byteLength(body) < maxReplyBytes(event);
    if (fits && Buffer.byteLength(JSON.stringify(reply)) < maxEnvelopeBytes) return reply;
  }
  const body = JSON.stringify({ location, replayed, version: 1, run: run.run, errors, summary });
  return apiReply(dialect, 200, JSON_TYPE, body);
}

/**
 * The reply to an API event whose invocation failed: a problem in the sense of RFC 9457. For the other triggers,
 * throws the error as it is, so that Lambda counts it, tries again and fills the failure destination.
 */
export function replyToError(event: RecognizedEvent, error: unknown): ApiReply {
  if (event.trigger !== 'api') throw error;
  const { status, ...extension } = problemOf(error);
  const problem = { type: 'about:blank', title: STATUS_CODES[status], status, ...extension };
  const allow = error instanceof MethodNotAllowedError ? { allow: error.allow } : {};
  return apiReply(event.request.dialect, status, PROBLEM_TYPE, JSON.stringify(problem), allow);
}

function isAlb(dialect: ApiDialect): boolean {
  return dialect.startsWith('alb');
}

const JSON_TYPE = 'application/json';
const PROBLEM_TYPE = 'application/problem+json';

/** By the code of an error that is the caller's to read. */
const STATUS: Readonly<Record<string, number>> = {
  BAD_INPUT: 400,
  UNKNOWN_ROUTE: 404,
  METHOD_NOT_ALLOWED: 405,
  RUN_CONFLICT: 409,
  TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  IDEMPOTENCY_KEY_REUSED: 422,
  STORE_FAILED: 503,
};

interface Problem {
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly id?: number | string;
}

function problemOf(error: unknown): Problem {
  if (error instanceof PostError)
    return { status: 502, detail: error.message, code: error.code, id: error.id };
  if (error instanceof ConfigUnavailableError)
    return { status: 503, detail: 'The function cannot read its configuration now', code: error.code };
  if (error instanceof BatchFetcherError && !(error instanceof ConfigError))
    return { status: STATUS[error.code] ?? 500, detail: error.message, code: error.code };
  // What is wrong inside concerns the operator, who finds it in the log.
  const code = error instanceof ConfigError ? error.code : 'INTERNAL_ERROR';
  return { status: 500, detail: 'The function failed; its log says why', code };
}

function apiReply(
  dialect: ApiDialect,
  status: number,
  contentType: string,
  body: string,
  more: Readonly<Record<string, string>> = {},
): ApiReply {
  const headers = {
    'content-type': contentType,
    'cache-control': 'no-store',
    // A reply quotes what others wrote, which a browser is not to take for a page.
    'x-content-type-options': 'nosniff',
    ...more,
  };
  const reply = { statusCode: status, body, isBase64Encoded: false };
  if (dialect !== 'alb-multi-value') return { ...reply, headers };
  const many = Object.entries(headers).map(([name, value]) => [name, [value]]);
  return { ...reply, multiValueHeaders: Object.fromEntries(many) };
}
