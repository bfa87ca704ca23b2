import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type BuildAppOptions, buildApp } from 'fauxqs';
// The package exports its server only; the store behind it is what files have to go into.
import { SqsStore } from '../../node_modules/fauxqs/dist/sqs/sqsStore.js';
import { type InvocationListener, invokeLocal, type LocalReply } from '../commands/invoke.ts';
import { onTerminal } from '../commands/report.ts';
import { listen } from './listen.ts';
import { failedRunsDirectory } from './places.ts';
import { environmentOf } from './s3.ts';

/** A queue of failed runs, and a stand-in of Lambda that has them run again. */
export interface FailedRuns {
  /** The variables that have AWS clients use both. */
  readonly environment: Readonly<Record<string, string>>;
  /** Resolves when what was sent has run, and the files are those of the messages that are left. */
  close(): Promise<void>;
}

const queueName = 'batch-fetcher-local-FailedRuns';

/**
 * Serves SQS and Lambda's Invoke on this machine. The messages are files, one each, of `.local/failed-runs/`: what a
 * file holds is what Lambda says of an invocation that failed. What is sent again runs here, by `serverless invoke
 * local`, one after the other; what fails is another such file.
 */
export async function startFailedRuns(): Promise<FailedRuns> {
  await mkdir(failedRunsDirectory, { recursive: true });
  const queues = new SqsStore();
  // buildApp makes the stores that are left out, though its type wants them.
  const stores = { sqsStore: queues } as unknown as NonNullable<BuildAppOptions['stores']>;
  const app = buildApp({ logger: false, stores });
  const endpoint = await app.listen({ host: '127.0.0.1', port: 0 });
  const url = `${endpoint}/000000000000/${queueName}`;
  const queue = queues.createQueue(queueName, url, `arn:aws:sqs:us-east-1:000000000000:${queueName}`);
  const files = new Map<string, string>();
  for (const name of (await readdir(failedRunsDirectory)).filter((file) => file.endsWith('.json')).sort()) {
    const file = join(failedRunsDirectory, name);
    const message = SqsStore.createMessage(await readFile(file, 'utf8'));
    queue.enqueue(message);
    files.set(message.messageId, file);
  }
  let invocations = Promise.resolve();
  const lambda = createServer(async (request, response) => {
    const event = await text(request);
    const functionName = functionIn(request);
    if (functionName === undefined) {
      const error = { Type: 'User', Message: `This stand-in knows asynchronous invocations of fetch alone` };
      response.writeHead(404, { 'x-amzn-errortype': 'ResourceNotFoundException' }).end(JSON.stringify(error));
      return;
    }
    invocations = invocations.then(() => run(event, functionName));
    response.writeHead(202).end();
  });
  const { origin, close } = await listen(lambda);
  return {
    environment: {
      ...environmentOf(endpoint),
      AWS_ENDPOINT_URL_SQS: endpoint,
      AWS_ENDPOINT_URL_LAMBDA: origin,
    },
    async close() {
      await close();
      await invocations;
      const { ready, delayed, inflight } = queue.inspectMessages();
      const left = new Set(
        [...ready, ...delayed, ...inflight.map(({ message }) => message)].map((it) => it.messageId),
      );
      for (const [id, file] of files) if (!left.has(id)) await rm(file);
      await app.close();
    },
  };
}

/** The name of the function whose asynchronous invocation is asked for, if that is one that is here. */
function functionIn({ method, url = '', headers }: IncomingMessage): string | undefined {
  const path = /^\/2015-03-31\/functions\/([^/]+)\/invocations$/.exec(decodeURIComponent(url))?.[1];
  const isMeant = method === 'POST' && headers['x-amz-invocation-type'] === 'Event';
  return isMeant && path?.includes('batch-fetcher-local-fetch') ? path : undefined;
}

/** Shows what the function says besides its reply. */
const printing: InvocationListener = {
  logged() {},
  answered() {},
  printed: (line) => console.error(line),
};

/** Invokes the function; what fails is written as Lambda writes it, but for the tries, of which there is one. */
async function run(event: string, functionArn: string): Promise<void> {
  const invocation = invokeLocal({ functionName: 'fetch', input: ['-d', event] }, printing);
  const { runId, errorMessage, errorType } = await invocation.catch(
    ({ name, message }: Error): LocalReply => ({ errorType: name, errorMessage: message }),
  );
  if (errorMessage === undefined) {
    console.log(`${runId}: done`);
    return;
  }
  const requestId = randomUUID();
  const record = {
    version: '1.0',
    timestamp: new Date().toISOString(),
    requestContext: { requestId, functionArn, condition: 'RetriesExhausted', approximateInvokeCount: 1 },
    requestPayload: JSON.parse(event),
    responseContext: { statusCode: 200, executedVersion: '$LATEST', functionError: 'Unhandled' },
    responsePayload: { errorType, errorMessage },
  };
  await writeFile(join(failedRunsDirectory, `${requestId}.json`), JSON.stringify(record));
  console.log(`Failed again: ${onTerminal(errorMessage, 300)}`);
}
