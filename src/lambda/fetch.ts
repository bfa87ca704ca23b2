import { randomUUID } from 'node:crypto';
import type { Context } from 'aws-lambda';
import { systemClock } from '../base/clock.ts';
import { badInput } from '../base/errors.ts';
import { requireShallow } from '../base/nesting.ts';
import { endInTime } from '../base/time-limit.ts';
import { batchOf } from '../batch/base-form.ts';
import { openOrigin } from '../fetch/origin/origin.ts';
import { OriginMemory } from '../fetch/politeness/origin-memory.ts';
import type { RunPorts, RunTime } from '../run/fetch-and-store.ts';
import { loadIds } from '../run/load-ids.ts';
import type { RunObserver } from '../run/observer.ts';
import { redriveBatch } from '../run/redrive.ts';
import type { Run } from '../run/replay.ts';
import { runBatch } from '../run/run-batch.ts';
import { createClaimStore } from '../store/claim-store.ts';
import { copyDocument } from '../store/document-copy.ts';
import { createHandedOverIds } from '../store/handed-over-ids.ts';
import { createIdSource } from '../store/id-source.ts';
import { createPageStore } from '../store/page-store.ts';
import { createPlanStore } from '../store/plan-store.ts';
import { createResultUrls } from '../store/result-urls.ts';
import { createRunNames } from '../store/run-names.ts';
import { createRunPieces } from '../store/run-pieces.ts';
import { createRunStore } from '../store/run-store.ts';
import { createS3Client } from '../store/s3.ts';
import { answerRead } from './answer-read.ts';
import { isFromApi, isTaskOfApiRun, prefixOf } from './api-runs.ts';
import { carryOn } from './carry-on.ts';
import { readConfig } from './config.ts';
import { type EventRequest, parseEvent, recognizeEvent } from './events/event.ts';
import { type HandOverEvent, isHandOver, parseHandOver } from './events/handed-over.ts';
import type { ApiRequest } from './events/http-request.ts';
import { prefersAsync } from './events/prefer.ts';
import { parseReadRequest } from './events/read-request.ts';
import {
  acceptedReply,
  directReply,
  maxReplyBytes,
  type Reply,
  replyTo,
  replyToError,
  replyToHandedOver,
} from './events/reply.ts';
import { createHandover } from './handover.ts';
import { readPostHeaders } from './post-headers.ts';
import { tellRefusal, tellRefusals } from './refusals.ts';
import { type AcceptingPorts, acceptRunOf, MAX_ASYNC_IDS } from './respond-async.ts';
import { tellFailure } from './steps.ts';
import { createTelemetry, type Telemetry } from './telemetry.ts';
import { redriverOf, writeRunPage } from './write-page.ts';

/**
 * Fetches the batch that an event names (docs/events.md), and answers with where its document is (docs/document.md).
 * What the API hands over comes through an alias of its own, and through that comes nothing else.
 */
export function handler(event: unknown, context: Context): Promise<Reply> {
  return tellRefusals(context, () => (isHandOver(event) ? takeOver(event, context) : handle(event, context)));
}

async function handle(event: unknown, context: Context): Promise<Reply> {
  const recognized = recognizeEvent(event);
  let hasStarted = false;
  try {
    requireShallow(event, 'event');
    const composition = inItsTime(await composeOnce(timeOf(context)), context);
    const { config, ports, telemetry } = composition;
    if (isFromApi(context, config)) throw badInput('event', 'a run that the API hands over', event);
    if (recognized.trigger === 'api') {
      const reading = parseReadRequest(recognized.request, config);
      const { dialect } = recognized.request;
      if (reading) return await answerRead(reading, dialect, composition.reading, timeOf(context));
    }
    const isAsync = recognized.trigger === 'api' && prefersAsync(recognized.request);
    const settings = isAsync ? { ...config, maxIds: MAX_ASYNC_IDS } : config;
    const request = parseEvent(recognized, settings, context.awsRequestId);
    if (isAsync) return await respondAsync(recognized.request, request, composition, context);
    const caller = recognized.trigger === 'api' ? recognized.request.caller : undefined;
    const observer = tellingOf(caller, telemetry, () => {
      hasStarted = true;
    });
    const told = { ...composition, ports: { ...ports, observer } };
    if (recognized.trigger !== 'api') {
      const ofApi = isTaskOfApiRun(context, config) && ({ trigger: 'api' } as const);
      const run = await runForm({ ...request, ...ofApi }, told, context);
      await writeRunPage(run, config, composition.reading, context);
      return replyTo(recognized, run);
    }
    const copy = copyDocument(ports.store, maxReplyBytes(recognized));
    const run = await runForm(request, { ...told, ports: { ...told.ports, store: copy.store } }, context);
    const document = await endInTime(
      `${run.location} could not be read`,
      timeOf(context),
      ports,
      (outOfTime) => copy.document(run.runId, outOfTime),
    );
    await writeRunPage(run, config, composition.reading, context);
    return replyTo(recognized, run, document);
  } catch (error) {
    // Of a run that has started, its observer tells.
    if (!hasStarted) tellFailure(error, context.awsRequestId);
    const reply = replyToError(recognized, error);
    tellRefusal(error, context.awsRequestId);
    // A problem tells the caller what concerns him; the log has the rest, the cause above all.
    if ('statusCode' in reply && Number(reply.statusCode) >= 500) console.error(error);
    return reply;
  }
}

/** Answers a request whose run goes on elsewhere. */
async function respondAsync(
  apiRequest: ApiRequest,
  request: EventRequest,
  { config, ports, telemetry }: Composition,
  context: Context,
): Promise<Reply> {
  const { caller } = apiRequest;
  const { runId, isHandedOver } = await acceptRunOf(request, caller, config, ports, timeOf(context));
  if (isHandedOver) telemetry.runAccepted(runId, request.requestId, caller);
  return acceptedReply(apiRequest, runId, config.apiBasePath);
}

/** Does a run that the API has accepted; for whoever else may invoke the function, there is no such event. */
async function takeOver(event: HandOverEvent, context: Context): Promise<Reply> {
  const { config, ports, reading, telemetry } = inItsTime(await composeOnce(timeOf(context)), context);
  if (!isFromApi(context, config)) return handle(event, context);
  const handedOver = parseHandOver(event);
  const observer = tellingOf(handedOver.caller, telemetry);
  try {
    const { awsRequestId } = context;
    const run = await carryOn(handedOver, awsRequestId, config, { ...ports, observer }, timeOf(context));
    await writeRunPage(run, config, reading, context);
    return directReply(run);
  } catch (error) {
    return replyToHandedOver(error);
  }
}

async function runForm(
  request: EventRequest,
  { config, ports, idSource }: Composition,
  context: Context,
): Promise<Run> {
  const { form } = request;
  const { share } = form;
  if (form.kind === 'redrive')
    return redriveBatch(
      { ...request, sourceRunId: form.earlierRunId, share },
      config,
      ports,
      timeOf(context),
    );
  const ids =
    form.kind === 'ids'
      ? form.ids
      : await endInTime(`${form.location.url} could not be read`, timeOf(context), ports, (outOfTime) =>
          loadIds(form.location, idSource, config, outOfTime),
        );
  const batch = batchOf(ids, form.returnExceptions);
  return runBatch({ ...request, batch, share }, config, ports, timeOf(context));
}

/** An observer that says of each run who asked for it, and calls `onStart` when one starts. */
function tellingOf(caller: string | undefined, telemetry: Telemetry, onStart = () => {}): RunObserver {
  return {
    ...telemetry,
    runStarted(run) {
      onStart();
      telemetry.runStarted(run, caller);
    },
  };
}

function timeOf(context: Context): RunTime {
  return { remainingMs: context.getRemainingTimeInMillis() };
}

type Composition = ReturnType<typeof inItsTime>;
type Lasting = Awaited<ReturnType<typeof compose>>;

let composed: Promise<Lasting> | undefined;

/** What outlives an invocation. One that fails is tried again: a parameter may be there by then. */
function composeOnce(time: RunTime): Promise<Lasting> {
  composed ??= compose(time).catch((error: unknown) => {
    composed = undefined;
    throw error;
  });
  return composed;
}

/**
 * The configuration, the connections to the origin and to S3, and what is learned of the origin: it is one, asked with
 * the same headers, as long as this lasts.
 */
async function compose(time: RunTime) {
  const config = readConfig(process.env);
  const { postHeadersParameter: parameter } = config;
  const clock = systemClock;
  const headers = parameter && (await readPostHeaders(parameter, time, { clock }));
  const telemetry = createTelemetry(config);
  const ports: Omit<AcceptingPorts & RunPorts, keyof InItsTime> = {
    origin: openOrigin(
      { ...config, connections: config.concurrency, ...(headers && { headers }) },
      { clock },
    ),
    clock,
    random: Math.random,
    observer: telemetry,
    newWriter: randomUUID,
    handover: createHandover(),
    memory: config.adaptive ? new OriginMemory(clock) : undefined,
  };
  return { config, ports, telemetry, client: createS3Client({}, process.env) };
}

type InItsTime = Pick<AcceptingPorts, 'store' | 'claims' | 'plans' | 'handedOverIds'>;

/** What an invocation has: its stores try what fails again for as long as its own time lasts. */
function inItsTime({ config, ports, telemetry, client }: Lasting, context: Context) {
  const { clock } = ports;
  const endMs = clock.now() + context.getRemainingTimeInMillis();
  const s3 = { client, bucket: config.resultsBucket, prefix: prefixOf(context, config), clock, endMs };
  const stores = { store: createRunStore(s3), claims: createClaimStore(s3), plans: createPlanStore(s3) };
  const others = {
    pieces: createRunPieces(s3),
    names: createRunNames(s3),
    pages: createPageStore(s3),
    urls: createResultUrls(s3),
  };
  return {
    config,
    ports: { ...ports, ...stores, handedOverIds: createHandedOverIds(s3) },
    reading: { ...stores, ...others, clock, redriver: redriverOf(context, config) },
    telemetry,
    idSource: createIdSource({ client, clock, endMs }),
  };
}
