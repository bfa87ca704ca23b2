import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { execute, type Invoke, readDefinition } from './interpret.ts';
import { listen } from './listen.ts';

/** A running stand-in for Step Functions. */
export interface StepFunctions {
  /** What `AWS_ENDPOINT_URL_SFN` is to be: `http://127.0.0.1:<port>` */
  readonly endpoint: string;
  /** Resolves when the port is free again; executions go on. */
  close(): Promise<void>;
}

export interface StepFunctionsOptions {
  /** Of Lambda's own API. */
  readonly lambdaEndpoint: string;
  /** The Arns of the functions in the definition, by its placeholders. */
  readonly functions: Readonly<Record<string, string>>;
  /** Where objects stand as `<directory>/<bucket>/<key>`. */
  readonly directory: string;
  /** Hears of an execution that failed. */
  readonly onFailure: (name: string, error: unknown) => void;
}

/** An answer of the AWS JSON 1.0 protocol. */
interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/**
 * Serves StartExecution, of the definition of the project, whichever machine is named; all else is
 * UnknownOperationException. Executions are forgotten with the process.
 */
export async function startStepFunctions({
  lambdaEndpoint,
  functions,
  directory,
  onFailure,
}: StepFunctionsOptions): Promise<StepFunctions> {
  const definition = readDefinition({ Partition: 'aws', ...functions });
  const executions = new Map<string, { readonly input: string; isOver: boolean }>();

  const start = ({ name, input }: StartExecutionInput): Answer => {
    const found = executions.get(name);
    if (found && (found.isOver || found.input !== input))
      return failure('ExecutionAlreadyExists', `Execution Already Exists: '${name}'`);
    if (!found) {
      const execution = { input, isOver: false };
      executions.set(name, execution);
      const invoke: Invoke = (functionArn, event) => invokeBy(lambdaEndpoint, functionArn, event);
      const readLines = (bucket: string, key: string) => readFile(join(directory, bucket, key), 'utf8');
      execute(definition, { name, input: JSON.parse(input), invoke, readLines })
        .catch((error: unknown) => onFailure(name, error))
        .finally(() => {
          execution.isOver = true;
        });
    }
    return { status: 200, body: { executionArn: `${EXECUTIONS}:${name}`, startDate: Date.now() / 1_000 } };
  };

  const server = createServer(async (request, response) => {
    const { status, body } = await answerTo(request, start);
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(body));
  });
  const { origin, close } = await listen(server);
  return { endpoint: origin, close };
}

interface StartExecutionInput {
  readonly name: string;
  /** JSON. */
  readonly input: string;
}

const EXECUTIONS = 'arn:aws:states:us-east-1:000000000000:execution:local';

async function answerTo(
  request: IncomingMessage,
  start: (input: StartExecutionInput) => Answer,
): Promise<Answer> {
  const body = await text(request);
  const operation = String(request.headers['x-amz-target']);
  if (operation !== 'AWSStepFunctions.StartExecution')
    return failure('UnknownOperationException', `This stand-in knows StartExecution alone, not ${operation}`);
  return start(JSON.parse(body));
}

function failure(type: string, message: string): Answer {
  return { status: 400, body: { __type: type, message } };
}

async function invokeBy(endpoint: string, functionArn: string, event: unknown): Promise<unknown> {
  const url = `${endpoint}/2015-03-31/functions/${encodeURIComponent(functionArn)}/invocations`;
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(event) });
  const answer: unknown = JSON.parse(await response.text());
  // serverless-offline does not say of which class an error is, so that no retry by its class comes about.
  if (response.headers.has('x-amz-function-error')) throw new Error(messageIn(answer));
  return answer;
}

function messageIn(answer: unknown): string {
  const { errorMessage } = Object(answer) as { readonly errorMessage?: unknown };
  return String(errorMessage);
}
