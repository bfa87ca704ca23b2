import type { Context } from 'aws-lambda';
import { systemClock } from '../base/clock.ts';
import { endInTime } from '../base/time-limit.ts';
import { openOrigin } from '../fetch/origin/origin.ts';
import { loadBatch } from '../run/load-ids.ts';
import { redriveBatch } from '../run/redrive.ts';
import { type Run, type RunPorts, type RunTime, runBatch } from '../run/run-batch.ts';
import { createManifestStore, type ManifestStore } from '../store/id-source.ts';
import { createRunStore } from '../store/run-store.ts';
import { createS3Client } from '../store/s3.ts';
import { type Config, readConfig } from './config.ts';
import { type EventRequest, parseEvent, recognizeEvent } from './events/event.ts';
import { type ApiReply, type DirectReply, maxReplyBytes, replyTo, replyToError } from './events/reply.ts';
import { readPostHeaders } from './post-headers.ts';
import { createTelemetry } from './telemetry.ts';

/** Fetches the batch that an event names, and answers with where its document is; see the README for both. */
export async function handler(event: unknown, context: Context): Promise<DirectReply | ApiReply> {
  const source = recognizeEvent(event);
  try {
    const composition = await compose();
    const request = parseEvent(source, composition.config, context.awsRequestId);
    const run = await runForm(request, composition, context, maxReplyBytes(source));
    return replyTo(source, run);
  } catch (error) {
    const reply = replyToError(source, error);
    // A problem tells the caller what concerns him; the log has the rest, the cause above all.
    if (Number(reply.statusCode) >= 500) console.error(error);
    return reply;
  }
}

async function runForm(
  request: EventRequest,
  composition: Composition,
  context: Context,
  maxReplyBytes: number,
): Promise<Run> {
  const { config, ports, manifests } = composition;
  const { form } = request;
  const timeOf = (): RunTime => ({ remainingMs: context.getRemainingTimeInMillis(), maxReplyBytes });
  switch (form.kind) {
    case 'ids':
      return runBatch({ ...request, batch: form.batch }, config, ports, timeOf());
    case 'manifest': {
      const failure = `${form.location.url} could not be read`;
      const batch = await endInTime(failure, timeOf(), ports, (outOfTime) =>
        loadBatch(form, manifests, config.maxIds, outOfTime),
      );
      return runBatch({ ...request, batch }, config, ports, timeOf());
    }
    case 'redrive':
      return redriveBatch({ ...request, sourceRunId: form.sourceRunId }, config, ports, timeOf());
  }
}

interface Composition {
  readonly config: Config;
  readonly ports: RunPorts;
  readonly manifests: ManifestStore;
}

let composed: Promise<Composition> | undefined;

/** Everything that outlives an invocation: the configuration, and the connections to the origin and to S3. */
async function compose(): Promise<Composition> {
  composed ??= composeOnce();
  try {
    return await composed;
  } catch (error) {
    // The next invocation tries again: a parameter may be there by then.
    composed = undefined;
    throw error;
  }
}

async function composeOnce(): Promise<Composition> {
  const config = readConfig(process.env);
  const clock = systemClock;
  const headers = config.postHeadersParameter && (await readPostHeaders(config.postHeadersParameter));
  const origin = openOrigin({
    ...config,
    connections: config.concurrency,
    clock,
    ...(headers && { headers }),
  });
  const client = createS3Client();
  const store = createRunStore({
    client,
    bucket: config.resultsBucket,
    prefix: config.resultsPrefix,
  });
  const observer = createTelemetry(config);
  return {
    config,
    ports: { store, origin, clock, random: Math.random, observer },
    manifests: createManifestStore(client),
  };
}
