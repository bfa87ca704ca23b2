import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import {
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  ListQueuesCommand,
  ReceiveMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { startFailedRuns } from '../world/failed-runs.ts';
import { CommandFailedError, parseCommandLine, runCommand, UsageError } from './command.ts';
import { type FailedRun, readFailedRun } from './failed-runs.ts';
import { count, onTerminal } from './report.ts';

const usage = `npm run replay-failed -- [<runId> …] [--stage dev | --queue <url>] [--undelivered] [--apply | --discard]

Shows what waits in the queue of failed runs, and why it failed: all of it, or the runs that are named. It takes AWS
credentials and a region, unless the stage is local. docs/operations.md says more.

  --stage        whose queue, dev unless it says otherwise; local has the files of .local/failed-runs/
  --queue        the queue by its URL
  --undelivered  the queue of events that EventBridge could not deliver
  --apply        sends it to its function again, under the run id that it had
  --discard      drops it`;

/** What is received is kept from others for so long; in the end, what is left is given back at once. */
const HIDDEN_SECONDS = 900;
/** Of a line on the terminal. */
const MOST_CHARS = 300;

await runCommand(usage, async () => {
  const request = parseRequest();
  await using world = new AsyncDisposableStack();
  if (request.stage === 'local') {
    const local = await startFailedRuns();
    world.defer(() => local.close());
    Object.assign(process.env, local.environment);
  }
  try {
    await replay(request);
  } catch (error) {
    if (error instanceof CommandFailedError || error instanceof UsageError) throw error;
    throw new CommandFailedError(`The queue could not be worked through: ${describe(error)}`, {
      cause: error,
    });
  }
});

interface Request {
  readonly runIds: readonly string[];
  readonly stage: string;
  /** By its URL; undefined for that of the stage. */
  readonly queue: string | undefined;
  /** Whether it is about events that EventBridge could not deliver. */
  readonly undelivered: boolean;
  /** What is done with what waits. */
  readonly action: 'show' | 'send' | 'discard';
}

/** Undefined where the usage is asked for. */
function parseRequest(): Request {
  const options = {
    stage: { type: 'string' },
    queue: { type: 'string' },
    undelivered: { type: 'boolean', default: false },
    apply: { type: 'boolean', default: false },
    discard: { type: 'boolean', default: false },
  } as const;
  const { values, positionals } = parseCommandLine({ options, allowPositionals: true });
  const { stage, queue, undelivered, apply, discard } = values;
  if (apply && discard) throw new UsageError('Expected --apply or --discard, got both');
  if (queue !== undefined && (stage !== undefined || undelivered))
    throw new UsageError('Expected --queue alone, or --stage with --undelivered or without, got both');
  if (queue !== undefined && URL.parse(queue) === null)
    throw new UsageError(`Expected --queue to be the URL of a queue, got ${JSON.stringify(queue)}`);
  if (stage !== undefined && !/^[A-Za-z][A-Za-z0-9-]*$/.test(stage))
    throw new UsageError(`Expected --stage to be a stage, as in prod, got ${JSON.stringify(stage)}`);
  const action = apply ? 'send' : discard ? 'discard' : 'show';
  return { runIds: positionals, stage: stage ?? 'dev', queue, undelivered, action };
}

/** A message that waits, and the run that it is about, if it is about one. */
interface Waiting {
  readonly receipt: string;
  readonly run: FailedRun | undefined;
}

async function replay(request: Request): Promise<void> {
  // A queue is where the endpoint is, whatever host its URL says: AWS_ENDPOINT_URL_SQS holds for it.
  const sqs = new SQSClient({ ...regionIn(request.queue), useQueueUrlAsEndpoint: false });
  const queue = request.queue ?? (await findQueue(request, sqs));
  const waiting = await receiveAll(queue, sqs);
  const done = new Set<Waiting>();
  try {
    const { runIds } = request;
    const chosen = waiting.filter(({ run }) => runIds.length === 0 || runIds.includes(run?.runId ?? ''));
    const missing = runIds.filter((id) => !waiting.some(({ run }) => run?.runId === id));
    if (missing.length > 0)
      throw new CommandFailedError(
        `Expected ${missing.join(' and ')} to wait in ${queue}, got ${count(waiting.length, 'message')} of others`,
      );
    for (const message of chosen) {
      console.log(linesOf(message.run));
      if (!(await act(request.action, message))) continue;
      await sqs.send(new DeleteMessageCommand({ QueueUrl: queue, ReceiptHandle: message.receipt }));
      done.add(message);
    }
    sumUp(request, queue, { chosen: chosen.length, done: done.size });
  } finally {
    for (const message of waiting.filter((it) => !done.has(it)))
      await sqs.send(
        new ChangeMessageVisibilityCommand({
          QueueUrl: queue,
          ReceiptHandle: message.receipt,
          VisibilityTimeout: 0,
        }),
      );
  }
}

/** Says whether the message is dealt with, and prints why where it is not. */
async function act(action: Request['action'], { run }: Waiting): Promise<boolean> {
  if (action !== 'send' || run === undefined) return action === 'discard';
  const { functionArn, event } = run;
  // Asynchronously, as it was sent before: what fails again is tried again, and comes back into the queue.
  const command = new InvokeCommand({
    FunctionName: functionArn,
    InvocationType: 'Event',
    Payload: JSON.stringify(event),
  });
  try {
    const region = functionArn.split(':')[3];
    await new LambdaClient(region ? { region } : {}).send(command);
    return true;
  } catch (error) {
    console.log(`  not sent: ${describe(error)}`);
    return false;
  }
}

function sumUp(
  { action, stage, queue: given, undelivered, runIds }: Request,
  queue: string,
  { chosen, done }: { readonly chosen: number; readonly done: number },
): void {
  if (chosen === 0) {
    console.log(`Nothing waits in ${queue}`);
  } else if (action === 'show') {
    const ofStage = ['--stage', stage, ...(undelivered ? ['--undelivered'] : [])];
    const place = given === undefined ? ofStage : ['--queue', given];
    const command = ['npm run replay-failed --', ...runIds, ...place].join(' ');
    console.log(`\n${count(chosen, 'event')} in ${queue}`);
    console.log(`Send again: ${command} --apply\nDrop:       ${command} --discard`);
  } else {
    const left = done < chosen ? `; the others are left in ${queue}` : '';
    console.log(
      `\n${count(done)} of ${count(chosen, 'event')} ${action === 'send' ? 'sent again' : 'dropped'}${left}`,
    );
  }
  if (action !== 'show' && done < chosen) process.exitCode = 1;
}

function linesOf(run: FailedRun | undefined): string {
  if (run === undefined) return 'A message of neither Lambda nor EventBridge';
  const { runId, functionArn, failedAt, why } = run;
  const name = functionArn.split(':')[6];
  const words = [runId, failedAt, name].filter((word) => word !== undefined);
  return `${onTerminal(words.join('  '), MOST_CHARS)}\n  ${onTerminal(why, MOST_CHARS)}`;
}

/** The queue of a stage: CloudFormation begins its name with those of the stack and of the resource. */
async function findQueue({ stage, undelivered }: Request, sqs: SQSClient): Promise<string> {
  const prefix = `batch-fetcher-${stage}-${undelivered ? 'UndeliveredEvents' : 'FailedRuns'}`;
  const { QueueUrls: queues = [] } = await sqs.send(new ListQueuesCommand({ QueueNamePrefix: prefix }));
  const [queue] = queues;
  if (queue === undefined || queues.length > 1)
    throw new CommandFailedError(
      `Expected one queue whose name begins with ${prefix} in ${await sqs.config.region()}, got ${queues.length}: name it with --queue <url>`,
    );
  return queue;
}

/** All messages that wait. */
async function receiveAll(queue: string, sqs: SQSClient): Promise<readonly Waiting[]> {
  const waiting: Waiting[] = [];
  for (;;) {
    const { Messages: messages = [] } = await sqs.send(
      new ReceiveMessageCommand({
        QueueUrl: queue,
        MaxNumberOfMessages: 10,
        VisibilityTimeout: HIDDEN_SECONDS,
        MessageAttributeNames: ['All'],
        // A short poll asks some of the servers of a queue alone.
        WaitTimeSeconds: 1,
      }),
    );
    if (messages.length === 0) return waiting;
    for (const { Body: body = '', ReceiptHandle: receipt = '', MessageAttributes = {} } of messages) {
      const texts = Object.entries(MessageAttributes).map(([name, { StringValue }]) => [name, StringValue]);
      waiting.push({ receipt, run: readFailedRun({ body, attributes: Object.fromEntries(texts) }) });
    }
  }
}

/** That of a queue on AWS; else that of the environment. */
function regionIn(queue = ''): { readonly region?: string } {
  const region = /^https:\/\/sqs\.([a-z0-9-]+)\.amazonaws\./.exec(queue)?.[1];
  return region === undefined ? {} : { region };
}

/** In one line, whatever the SDK says. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.message === 'Region is missing') return 'AWS_REGION is to name its region';
  const { code } = error as NodeJS.ErrnoException;
  return onTerminal(
    [...new Set([error.name, code, error.message])].filter((word) => word).join(': '),
    MOST_CHARS,
  );
}
