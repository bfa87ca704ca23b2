import { BadInputError } from '../../src/base/errors.ts';
import { isRecord } from '../../src/base/is-record.ts';
import { parseEvent, recognizeEvent } from '../../src/lambda/events/event.ts';

/** A message of a queue, as far as it is read. */
export interface Message {
  readonly body: string;
  /** Text by name, as EventBridge sends with it. */
  readonly attributes: Readonly<Record<string, string | undefined>>;
}

/** An invocation that failed for good, or an event that was not delivered. */
export interface FailedRun {
  /** What the run is called, which its event is sent again under. */
  readonly runId: string;
  /** The Arn of the function that is to have the event. */
  readonly functionArn: string;
  readonly event: unknown;
  /** ISO 8601; undefined where it is not said. */
  readonly failedAt: string | undefined;
  readonly why: string;
}

/**
 * Reads a message of one of the queues: what Lambda says of an asynchronous invocation that failed, or an event that
 * EventBridge could not deliver. An event that leaves its run id to Lambda gets the one that it had, so that what it
 * wrote is replayed. Undefined for anything else.
 */
export function readFailedRun({ body, attributes }: Message): FailedRun | undefined {
  const record = parseJson(body);
  if (!isRecord(record)) return undefined;
  const { TARGET_ARN, ERROR_CODE, ERROR_MESSAGE } = attributes;
  if (TARGET_ARN !== undefined) {
    const why = [ERROR_CODE, ERROR_MESSAGE].filter((word) => word !== undefined).join(': ');
    return {
      ...named(record, String(record.id)),
      functionArn: TARGET_ARN,
      failedAt: textOf(record.time),
      why,
    };
  }
  const { requestContext: context, requestPayload, responsePayload: response, timestamp } = record;
  if (!isRecord(context) || typeof context.functionArn !== 'string' || !('requestPayload' in record))
    return undefined;
  const error = isRecord(response)
    ? [response.errorType, response.errorMessage].flatMap((word) => textOf(word) ?? []).join(': ')
    : '';
  const tries = `${context.condition}, ${context.approximateInvokeCount} tries`;
  return {
    ...named(requestPayload, String(context.requestId)),
    functionArn: context.functionArn,
    failedAt: textOf(timestamp),
    why: error === '' ? tries : `${error} (${tries})`,
  };
}

/** An event with the name of its run: its own, or that of the request. */
function named(event: unknown, requestId: string): Pick<FailedRun, 'runId' | 'event'> {
  try {
    // The function knows what it takes: here, the name alone is asked for.
    const settings = { maxIds: Number.POSITIVE_INFINITY, postIds: [], apiBasePath: '' };
    const recognized = recognizeEvent(event);
    const { form, runId } = parseEvent(recognized, settings, requestId);
    if (form.kind === 'redrive') return { runId: form.earlierRunId, event };
    const isUnnamed = recognized.trigger === 'direct' && form.runId === undefined;
    return { runId, event: isUnnamed && isRecord(event) ? { ...event, runId } : event };
  } catch (error) {
    if (!(error instanceof BadInputError)) throw error;
    return { runId: requestId, event };
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
