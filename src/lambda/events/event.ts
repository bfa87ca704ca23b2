import type { EventBridgeEvent } from 'aws-lambda';
import { badInput } from '../../base/errors.ts';
import { isRecord } from '../../base/is-record.ts';
import { parseJsonText } from '../../base/json-text.ts';
import { FETCH_KEYS, givenKeys, parseBaseForm } from '../../batch/base-form.ts';
import type { IdList } from '../../batch/ids.ts';
import { parseName, parseRunId } from '../../batch/parse-ids.ts';
import type { RunName } from '../../run/run-batch.ts';
import { type ApiSettings, idempotencyKey, parseApiForm } from './api-form.ts';
import { type DirectForm, parseDirectForm } from './direct-form.ts';
import { type ApiRequest, recognizeRequest } from './http-request.ts';
import { parseTime } from './time.ts';

/**
 * An event, told apart by what it is, not yet checked further. A new kind of event is one more member here, one more
 * look in `recognizeEvent`, and one more case in `readForm` and in `nameDelivery`; what its caller gets back is for
 * reply.ts to say.
 */
export type RecognizedEvent =
  | { readonly trigger: 'direct'; readonly form: unknown }
  | { readonly trigger: 'schedule'; readonly envelope: EventBridgeEvent<string, unknown> }
  | { readonly trigger: 'api'; readonly request: ApiRequest };

/** A run as an event asks for it, before anything but the event was read. */
export interface EventRequest extends RunName {
  readonly form: DirectForm;
}

export interface EventSettings extends ApiSettings {
  /** The ids of a scheduled run that names none. */
  readonly postIds: IdList;
}

/** Tells what kind of event this is. Throws BadInputError for a kind that this function does not take. */
export function recognizeEvent(event: unknown): RecognizedEvent {
  if (isRecord(event)) {
    const request = recognizeRequest(event);
    if (request) return { trigger: 'api', request };
    if (typeof event['detail-type'] === 'string' && typeof event.source === 'string')
      return { trigger: 'schedule', envelope: event as unknown as EventBridgeEvent<string, unknown> };
    if (FETCH_KEYS.some((key) => Object.hasOwn(event, key)) || givenKeys(event).length === 0)
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
 * event, `<its time>-<its id>`; else the Idempotency-Key; else Lambda's request id: whichever it is, a delivery that
 * comes twice brings the same run id. Throws BadInputError.
 */
export function parseEvent(event: RecognizedEvent, settings: EventSettings, requestId: string): EventRequest {
  const { trigger } = event;
  const form = readForm(event, settings);
  const delivery = form.runId === undefined ? nameDelivery(event) : undefined;
  return {
    trigger,
    form,
    runId: form.runId ?? delivery ?? requestId,
    isIdempotencyKey: trigger === 'api' && delivery !== undefined,
    requestId,
  };
}

function readForm(event: RecognizedEvent, settings: EventSettings): DirectForm {
  const { maxIds, postIds } = settings;
  switch (event.trigger) {
    case 'direct':
      return parseDirectForm(event.form, maxIds);
    case 'schedule':
      return parseBaseForm(detailOf(event.envelope), { place: 'detail', maxIds, defaultIds: postIds });
    case 'api':
      return parseApiForm(event.request, settings);
  }
}

/** The run id by which an event of this kind is told from others, however often it is delivered. */
function nameDelivery(event: RecognizedEvent): string | undefined {
  switch (event.trigger) {
    case 'direct':
      return undefined;
    case 'schedule':
      return nameOf(event.envelope);
    case 'api':
      return idempotencyKey(event.request);
  }
}

/** What tells of the time alone, and so may have no detail. */
const SCHEDULE_SOURCES = ['aws.events', 'aws.scheduler'];
const SCHEDULE_TYPE = 'Scheduled Event';

/** The detail, parsed where it is text, as that of a schedule without an input is. */
function detailOf({ detail, source, 'detail-type': type }: EventBridgeEvent<string, unknown>): unknown {
  const value = typeof detail === 'string' ? parseJsonText(detail.trim(), 'detail') : detail;
  const isSchedule = type === SCHEDULE_TYPE || SCHEDULE_SOURCES.includes(source);
  return isSchedule ? (value ?? {}) : value;
}

function nameOf({ time, id }: Readonly<Record<'time' | 'id', unknown>>): string {
  const stamp = parseTime(time, 'time')
    .toISOString()
    .replace(/[-:]|\.\d+/g, '');
  return parseRunId(`${stamp}-${parseName(id, 'id')}`, 'id');
}
