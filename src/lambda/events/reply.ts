import type { ALBResult, APIGatewayProxyResult, APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { MethodNotAllowedError, RunConflictError } from '../../base/errors.ts';
import { type Claim, type ProgressReport, progressIn, RunInProgressError } from '../../document/claim.ts';
import { type Problem, problemOf } from '../../document/problem.ts';
import { PostError } from '../../fetch/outcome.ts';
import type { Run } from '../../run/replay.ts';
import type { RecognizedEvent } from './event.ts';
import type { ApiDialect, ApiRequest } from './http-request.ts';

/** What a direct or scheduled invocation gets back: never the results, which may be more than Lambda returns. */
export type DirectReply = Pick<Run, 'runId' | 'location' | 'replayed' | 'errors' | 'summary'>;

/** The same for a run that another invocation does, or is to do: no failure, so that nothing tries again or alarms. */
interface InProgressReply extends Pick<Run, 'runId' | 'location'>, Pick<Claim, 'state' | 'startedAt'> {
  readonly progress: ProgressReport;
}

export type ApiReply = APIGatewayProxyStructuredResultV2 | APIGatewayProxyResult | ALBResult;

export type Reply = DirectReply | InProgressReply | ApiReply | Problem;

const MAX_REPLY_BYTES = 4_000_000;
/** What Lambda takes from a function, 6 MB: a JSON object that holds the body as a string, each quote as two bytes. */
const MAX_ENVELOPE_BYTES = 6_000_000;
/** The same for a load balancer, which takes 1 MB. */
const MAX_ALB_ENVELOPE_BYTES = 1_000_000;

/** The largest document that fits into a reply to this event; 0 where it has no place there. */
export function maxReplyBytes(event: RecognizedEvent): number {
  return event.trigger === 'api' ? boundsOf(event.request.dialect).bodyBytes : 0;
}

/** What a reply is held to: its body, and all that the function returns. Either has to have fewer bytes. */
export function boundsOf(dialect: ApiDialect): Readonly<Record<'bodyBytes' | 'envelopeBytes', number>> {
  return dialect.startsWith('alb')
    ? { bodyBytes: MAX_ALB_ENVELOPE_BYTES, envelopeBytes: MAX_ALB_ENVELOPE_BYTES }
    : { bodyBytes: MAX_REPLY_BYTES, envelopeBytes: MAX_ENVELOPE_BYTES };
}

/** The reply of a good status with this body, JSON unless `contentType` says otherwise, where it fits. */
export function fittingReply(
  dialect: ApiDialect,
  body: string,
  more?: Readonly<Record<string, string>>,
  contentType: string = JSON_TYPE,
): ApiReply | undefined {
  const { bodyBytes, envelopeBytes } = boundsOf(dialect);
  const reply = apiReply(dialect, 200, contentType, body, more);
  const fits = Buffer.byteLength(body) < bodyBytes;
  return fits && Buffer.byteLength(JSON.stringify(reply)) < envelopeBytes ? reply : undefined;
}

/** The reply to an event whose run has a document: with its text, where it is given and fits. */
export function replyTo(event: RecognizedEvent, run: Run, document?: string): DirectReply | ApiReply {
  if (event.trigger !== 'api') return directReply(run);
  const { location, replayed, errors, summary } = run;
  const { dialect } = event.request;
  if (document !== undefined) {
    // The document goes in as the text that it is: parsed and serialized, its numbers would not be those that were sent.
    const body = `{"location":${JSON.stringify(location)},"replayed":${replayed},${document.slice(1)}`;
    const reply = fittingReply(dialect, body);
    if (reply) return reply;
  }
  const body = JSON.stringify({ location, replayed, version: 1, run: run.run, errors, summary });
  return apiReply(dialect, 200, JSON_TYPE, body);
}

export function directReply({ runId, location, replayed, errors, summary }: Run): DirectReply {
  return { runId, location, replayed, errors, summary };
}

/** The reply to an API request whose run goes on elsewhere; what the paths of others start with is that of this one. */
export function acceptedReply({ dialect }: ApiRequest, runId: string, apiBasePath: string): ApiReply {
  return apiReply(dialect, 202, JSON_TYPE, JSON.stringify({ runId, state: 'accepted' }), {
    location: `${apiBasePath}/batches/${runId}`,
    'preference-applied': 'respond-async',
  });
}

/**
 * The reply to an API event whose invocation failed: a problem in the sense of RFC 9457. For the other triggers,
 * throws the error as it is, so that Lambda counts it, tries again and fills the failure destination; but a run that is
 * in progress is told of there as well.
 */
export function replyToError(event: RecognizedEvent, error: unknown): InProgressReply | ApiReply {
  const inProgress = error instanceof RunInProgressError ? error : undefined;
  if (event.trigger !== 'api') {
    if (inProgress) return inProgressReply(inProgress);
    throw error;
  }
  const problem = problemOf(error);
  const more = {
    ...(error instanceof MethodNotAllowedError && { allow: error.allow }),
    ...(inProgress && { 'retry-after': String(inProgress.retryAfterSeconds) }),
  };
  return apiReply(event.request.dialect, problem.status, PROBLEM_TYPE, JSON.stringify(problem), more);
}

/**
 * What comes of a run that was handed over and fails: the claim of the run, which tells the caller, says it as well. Throws
 * the error where Lambda's trying again may help; as which the first failure of a run without `returnExceptions` does not
 * count.
 */
export function replyToHandedOver(error: unknown): InProgressReply | Problem {
  if (error instanceof RunInProgressError) return inProgressReply(error);
  if (error instanceof PostError || error instanceof RunConflictError) return problemOf(error);
  throw error;
}

function inProgressReply({ claim, location }: RunInProgressError): InProgressReply {
  const { runId, state, startedAt } = claim;
  return { runId, location, state, startedAt, progress: progressIn(claim) };
}

export const JSON_TYPE = 'application/json';
export const HTML_TYPE = 'text/html; charset=utf-8';
const PROBLEM_TYPE = 'application/problem+json';

/** A reply in the shape that its sender takes, with the header fields that every reply has, and `more`. */
export function apiReply(
  dialect: ApiDialect,
  status: number,
  contentType: string | undefined,
  body: string,
  more: Readonly<Record<string, string>> = {},
): ApiReply {
  const headers = {
    ...(contentType !== undefined && { 'content-type': contentType }),
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
