import type { Context } from 'aws-lambda';
import { systemClock } from './clock.ts';
import { type Config, readConfig } from './config.ts';
import { parseEvent, recognizeEvent } from './event.ts';
import { openOrigin } from './origin.ts';
import { type ApiReply, type DirectReply, maxReplyBytes, replyTo, replyToError } from './reply.ts';
import { type RunPorts, runBatch } from './run-batch.ts';
import { createRunStore, createS3Client } from './run-store.ts';
import { createTelemetry } from './telemetry.ts';

/** Fetches the batch that an event names, and answers with where its document is; see the README for both. */
export async function handler(event: unknown, context: Context): Promise<DirectReply | ApiReply> {
  const source = recognizeEvent(event);
  try {
    const { config, ports } = await compose();
    const request = parseEvent(source, config, context.awsRequestId);
    const remainingMs = context.getRemainingTimeInMillis();
    const run = await runBatch(request, config, ports, { remainingMs, maxReplyBytes: maxReplyBytes(source) });
    return replyTo(source, run);
  } catch (error) {
    const reply = replyToError(source, error);
    // A problem tells the caller what concerns him; the log has the rest, the cause above all.
    if (Number(reply.statusCode) >= 500) console.error(error);
    return reply;
  }
}

interface Composition {
  readonly config: Config;
  readonly ports: RunPorts;
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
  const headers = config.postHeadersParameter && (await readHeaders(config.postHeadersParameter));
  const { requestPost } = openOrigin({
    ...config,
    connections: config.concurrency,
    clock,
    ...(headers && { headers }),
  });
  const store = createRunStore({
    client: createS3Client(),
    bucket: config.resultsBucket,
    prefix: config.resultsPrefix,
  });
  const observer = createTelemetry(process.env);
  return { config, ports: { store, requestPost, clock, random: Math.random, observer } };
}

async function readHeaders(parameter: string) {
  // Not loaded unless it is needed: the client for SSM is a tenth of what a cold start loads.
  const { readPostHeaders } = await import('./post-headers.ts');
  return readPostHeaders(parameter);
}
