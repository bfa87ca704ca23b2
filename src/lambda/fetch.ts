import type { Context } from 'aws-lambda';
import { systemClock } from '../base/clock.ts';
import { endInTime } from '../base/time-limit.ts';
import { batchOf } from '../batch/base-form.ts';
import { openOrigin } from '../fetch/origin/origin.ts';
import type { RunPorts, RunTime } from '../run/fetch-and-store.ts';
import { loadIds } from '../run/load-ids.ts';
import { redriveBatch } from '../run/redrive.ts';
import type { Run } from '../run/replay.ts';
import { runBatch } from '../run/run-batch.ts';
import { copyDocument } from '../store/document-copy.ts';
import { createIdSource } from '../store/id-source.ts';
import { createRunStore } from '../store/run-store.ts';
import { createS3Client } from '../store/s3.ts';
import { readConfig } from './config.ts';
import { type EventRequest, parseEvent, recognizeEvent } from './events/event.ts';
import { type ApiReply, type DirectReply, maxReplyBytes, replyTo, replyToError } from './events/reply.ts';
import { readPostHeaders } from './post-headers.ts';
import { createTelemetry } from './telemetry.ts';

/** Fetches the batch that an event names, and answers with where its document is; see the README for both. */
export async function handler(event: unknown, context: Context): Promise<DirectReply | ApiReply> {
  const recognized = recognizeEvent(event);
  try {
    const composition = inItsTime(await composeOnce(), context);
    const request = parseEvent(recognized, composition.config, context.awsRequestId);
    if (recognized.trigger !== 'api')
      return replyTo(recognized, await runForm(request, composition, context));
    const { ports } = composition;
    const copy = copyDocument(ports.store, maxReplyBytes(recognized));
    const run = await runForm(request, { ...composition, ports: { ...ports, store: copy.store } }, context);
    const document = await endInTime(
      `${run.location} could not be read`,
      timeOf(context),
      ports,
      (outOfTime) => copy.document(run.runId, outOfTime),
    );
    return replyTo(recognized, run, document);
  } catch (error) {
    const reply = replyToError(recognized, error);
    // A problem tells the caller what concerns him; the log has the rest, the cause above all.
    if (Number(reply.statusCode) >= 500) console.error(error);
    return reply;
  }
}

async function runForm(
  request: EventRequest,
  { config, ports, idSource }: Composition,
  context: Context,
): Promise<Run> {
  const { form } = request;
  if (form.kind === 'redrive')
    return redriveBatch({ ...request, sourceRunId: form.earlierRunId }, config, ports, timeOf(context));
  const ids =
    form.kind === 'ids'
      ? form.ids
      : await endInTime(`${form.location.url} could not be read`, timeOf(context), ports, (outOfTime) =>
          loadIds(form.location, idSource, config.maxIds, outOfTime),
        );
  const batch = batchOf(ids, form.returnExceptions);
  return runBatch({ ...request, batch }, config, ports, timeOf(context));
}

function timeOf(context: Context): RunTime {
  return { remainingMs: context.getRemainingTimeInMillis() };
}

type Composition = ReturnType<typeof inItsTime>;
type Lasting = Awaited<ReturnType<typeof compose>>;

let composed: Promise<Lasting> | undefined;

/** What outlives an invocation. One that fails is tried again: a parameter may be there by then. */
function composeOnce(): Promise<Lasting> {
  composed ??= compose().catch((error: unknown) => {
    composed = undefined;
    throw error;
  });
  return composed;
}

/** The configuration, and the connections to the origin and to S3. */
async function compose() {
  const config = readConfig(process.env);
  const { postHeadersParameter: parameter } = config;
  const clock = systemClock;
  const headers = parameter && (await readPostHeaders(parameter));
  const ports: Omit<RunPorts, 'store'> = {
    origin: openOrigin(
      { ...config, connections: config.concurrency, ...(headers && { headers }) },
      { clock },
    ),
    clock,
    random: Math.random,
    observer: createTelemetry(config),
  };
  return { config, ports, client: createS3Client({}, process.env) };
}

/** What an invocation has: its stores try what fails again for as long as its own time lasts. */
function inItsTime({ config, ports, client }: Lasting, context: Context) {
  const { clock } = ports;
  const endMs = clock.now() + context.getRemainingTimeInMillis();
  const { resultsBucket: bucket, resultsPrefix: prefix } = config;
  const store = createRunStore({ client, bucket, prefix, clock, endMs });
  return { config, ports: { ...ports, store }, idSource: createIdSource({ client, clock, endMs }) };
}
