import type { ALBEvent, APIGatewayProxyEvent, APIGatewayProxyEventV2, EventBridgeEvent } from 'aws-lambda';
import { badInput } from '../../base/errors.ts';
import { BATCH_KEYS, type BatchForm, type BatchLimits, parseBatch } from '../../batch/base-form.ts';
import type { IdList } from '../../batch/ids.ts';
import { parseName } from '../../batch/parse-ids.ts';
import type { RunName } from '../../run/run-batch.ts';
import {
  type ApiRequest,
  fromAlb,
  fromPayloadV1,
  fromPayloadV2,
  idempotencyKey,
  parseApiBatch,
} from './http-request.ts';

/** An event, told apart by what it is, not yet checked further. */
export type Source =
  | { readonly trigger: 'direct'; readonly form: unknown }
  | { readonly trigger: 'schedule'; readonly envelope: EventBridgeEvent<string, unknown> }
  | { readonly trigger: 'api'; readonly request: ApiRequest };

/** A run as an event asks for it, before anything but the event was read. */
export interface EventRequest extends RunName {
  readonly form: BatchForm;
}

export interface EventSettings {
  readonly maxIds: number;
  /** The ids of a scheduled run that names none. */
  readonly postIds: IdList;
}

/** Tells what kind of event this is. Throws BadInputError for a kind that this function does not take. */
export function recognizeEvent(event: unknown): Source {
  if (isObject(event)) {
    const { requestContext } = event;
    if (isObject(requestContext)) {
      if (event.version === '2.0' && isObject(requestContext.http))
        return { trigger: 'api', request: fromPayloadV2(event as unknown as APIGatewayProxyEventV2) };
      if (typeof event.httpMethod === 'string')
        return {
          trigger: 'api',
          request: isObject(requestContext.elb)
            ? fromAlb(event as unknown as ALBEvent)
            : fromPayloadV1(event as unknown as APIGatewayProxyEvent),
        };
    }
    if (typeof event['detail-type'] === 'string' && typeof event.source === 'string')
      return { trigger: 'schedule', envelope: event as unknown as EventBridgeEvent<string, unknown> };
    const keys = Object.keys(event);
    if (keys.length === 0 || keys.some((key) => BATCH_KEYS.includes(key)))
      return { trigger: 'direct', form: event };
  }
  throw badInput(
    'event',
    'a batch {"ids": […]}, an EventBridge event, or a request from API Gateway, a Function URL or a load balancer',
    event,
  );
}

/**
 * Reads what to fetch, and the run id, out of an event. The run id is the event's own `runId`; else, for an EventBridge
 * event, `<its time>-<its id>`; else the Idempotency-Key; else Lambda's request id: whichever it is, a
 * delivery that comes twice brings the same one. Throws BadInputError.
 */
export function parseEvent(source: Source, settings: EventSettings, requestId: string): EventRequest {
  const { trigger } = source;
  const form = parseSource(source, settings);
  const { runId } = form.kind === 'ids' ? form.batch : form;
  const delivery = runId === undefined ? deliveryId(source) : undefined;
  return {
    trigger,
    form,
    runId: runId ?? delivery ?? requestId,
    isIdempotencyKey: trigger === 'api' && delivery !== undefined,
    requestId,
  };
}

function parseSource(source: Source, { maxIds, postIds }: EventSettings): BatchForm {
  const limits: BatchLimits = { maxIds };
  switch (source.trigger) {
    case 'direct':
      return parseBatch(source.form, '', limits);
    case 'schedule':
      return parseBatch(source.envelope.detail ?? {}, 'detail', { maxIds, defaultIds: postIds });
    case 'api':
      return parseApiBatch(source.request, limits);
  }
}

function deliveryId(source: Source): string | undefined {
  if (source.trigger === 'api') return idempotencyKey(source.request);
  if (source.trigger !== 'schedule') return undefined;
  const { time, id } = source.envelope;
  const date = new Date(typeof time === 'string' ? time : Number.NaN);
  if (Number.isNaN(date.getTime())) throw badInput('time', 'an ISO 8601 time', time);
  const stamp = date.toISOString().replace(/[-:]|\.\d+/g, '');
  return parseName(`${stamp}-${parseName(id, 'id')}`, 'id');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
