import { randomUUID } from 'node:crypto';
import type { Context } from 'aws-lambda';
import { systemClock } from '../base/clock.ts';
import { requireShallow } from '../base/nesting.ts';
import { endInTime } from '../base/time-limit.ts';
import { batchOf } from '../batch/base-form.ts';
import type { RunHead } from '../document/run-head.ts';
import { openOrigin } from '../fetch/origin/origin.ts';
import { OriginMemory } from '../fetch/politeness/origin-memory.ts';
import type { RunPorts, RunTime } from '../run/fetch-and-store.ts';
import { loadIds } from '../run/load-ids.ts';
import { redriveBatch } from '../run/redrive.ts';
import type { Run } from '../run/replay.ts';
import { runBatch } from '../run/run-batch.ts';
import { createClaimStore } from '../store/claim-store.ts';
import { copyDocument } from '../store/document-copy.ts';
import { createIdSource } from '../store/id-source.ts';
import { createPlanStore } from '../store/plan-store.ts';
import { createResultUrls } from '../store/result-urls.ts';
import { createRunNames } from '../store/run-names.ts';
import { createRunPieces } from '../store/run-pieces.ts';
import { createRunStore } from '../store/run-store.ts';
import { createS3Client } from '../store/s3.ts';
import { answerRead } from './answer-read.ts';
import { readConfig } from './config.ts';
import { type EventRequest, parseEvent, recognizeEvent } from './events/event.ts';
import { parseReadRequest } from './events/read-request.ts';
import { maxReplyBytes, type Reply, replyTo, replyToError } from './events/reply.ts';
import { readPostHeaders } from './post-headers.ts';
import { tellRefusal, tellRefusals } from './refusals.ts';
import { createTelemetry } from './telemetry.ts';

/** Fetches the batch that an event names, and answers with where its document is; see the README for both. */
export function handler(event: unknown, context: Context): Promise<Reply> {
  return tellRefusals(context, () => handle(event, context));
}

async function handle(event: unknown, context: Context): Promise<Reply> {
  const recognized = recognizeEvent(event);
  try {
    requireShallow(event, 'event');
    const composition = inItsTime(await composeOnce(timeOf(context)), context);
    if (recognized.trigger === 'api') {
      const reading = parseReadRequest(recognized.request, composition.config);
      const { dialect } = recognized.request;
      if (reading) return await answerRead(reading, dialect, composition.reading, timeOf(context));
    }
    const request = parseEvent(recognized, composition.config, context.awsRequestId);
    if (recognized.trigger !== 'api')
      return replyTo(recognized, await runForm(request, composition, context));
    const { ports, telemetry } = composition;
    const copy = copyDocument(ports.store, maxReplyBytes(recognized));
    const observer = {
      ...telemetry,
      runStarted: (run: RunHead) => telemetry.runStarted(run, recognized.request.caller),
    };
    const run = await runForm(
      request,
      { ...composition, ports: { ...ports, store: copy.store, observer } },
      context,
    );
    const document = await endInTime(
      `${run.location} could not be read`,
      timeOf(context),
      ports,
      (outOfTime) => copy.document(run.runId, outOfTime),
    );
    return replyTo(recognized, run, document);
  } catch (error) {
    const reply = replyToError(recognized, error);
    tellRefusal(error, context.awsRequestId);
    // A problem tells the caller what concerns him; the log has the rest, the cause above all.
    if ('statusCode' in reply && Number(reply.statusCode) >= 500) console.error(error);
    return reply;
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
  const ports: Omit<RunPorts, 'store' | 'claims'> = {
    origin: openOrigin(
      { ...config, connections: config.concurrency, ...(headers && { headers }) },
      { clock },
    ),
    clock,
    random: Math.random,
    observer: telemetry,
    newWriter: randomUUID,
    memory: config.adaptive ? new OriginMemory(clock) : undefined,
  };
  return { config, ports, telemetry, client: createS3Client({}, process.env) };
}

/** What an invocation has: its stores try what fails again for as long as its own time lasts. */
function inItsTime({ config, ports, telemetry, client }: Lasting, context: Context) {
  const { clock } = ports;
  const endMs = clock.now() + context.getRemainingTimeInMillis();
  const { resultsBucket: bucket, resultsPrefix: prefix } = config;
  const s3 = { client, bucket, prefix, clock, endMs };
  const stores = { store: createRunStore(s3), claims: createClaimStore(s3) };
  const others = {
    plans: createPlanStore(s3),
    pieces: createRunPieces(s3),
    names: createRunNames(s3),
    urls: createResultUrls(s3),
  };
  return {
    config,
    ports: { ...ports, ...stores },
    reading: { ...stores, ...others, clock },
    telemetry,
    idSource: createIdSource({ client, clock, endMs }),
  };
}
