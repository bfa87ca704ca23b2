import type { Context } from 'aws-lambda';
import { systemClock } from './clock.ts';
import { type Config, readConfig } from './config.ts';
import { parseEvent, recognizeEvent } from './event.ts';
import { openOrigin } from './origin.ts';
import { type ApiReply, type DirectReply, maxReplyBytes, replyTo, replyToError } from './reply.ts';
import { type RunPorts, runBatch } from './run-batch.ts';
import { createRunStore, createS3Client } from './run-store.ts';

/** Fetches the batch that an event names, and answers with where its document is; see the README for both. */
export async function handler(event: unknown, context: Context): Promise<DirectReply | ApiReply> {
  const source = recognizeEvent(event);
  try {
    const { config, ports } = compose();
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

let composed: { readonly config: Config; readonly ports: RunPorts } | undefined;

/** Everything that outlives an invocation: the configuration, and the connections to the origin and to S3. */
function compose() {
  if (composed) return composed;
  const config = readConfig(process.env);
  const clock = systemClock;
  const { requestPost } = openOrigin({ ...config, connections: config.concurrency, clock });
  const store = createRunStore({
    client: createS3Client(),
    bucket: config.resultsBucket,
    prefix: config.resultsPrefix,
  });
  composed = { config, ports: { store, requestPost, clock, random: Math.random } };
  return composed;
}
