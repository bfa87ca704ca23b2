import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ExecutionError, StateMachine } from 'aws-local-stepfunctions';
import { parse } from 'yaml';
import { projectDirectory } from './places.ts';

/** A definition in the Amazon States Language, as far as `bridge` looks into it. */
export interface Definition {
  readonly StartAt: string;
  readonly States: Readonly<Record<string, State>>;
}

type State = Readonly<Record<string, unknown>> & { readonly Type: string };

/** Invokes the function of this Arn. What it rejects with has the name that the machine retries and catches by. */
export type Invoke = (functionArn: string, event: unknown) => Promise<unknown>;

export interface ExecutionOptions {
  /** Of the execution. */
  readonly name: string;
  readonly input: unknown;
  readonly invoke: Invoke;
  /** The lines of an object in S3. */
  readonly readLines: (bucket: string, key: string) => Promise<string>;
  /** Milliseconds from a failure to the next try, instead of what the definition says. */
  readonly retryMs?: number;
}

/** The execution failed, and how: `name` is the error that it ended with. */
export class ExecutionFailedError extends Error {
  constructor(name: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = name;
  }
}

const definitionFile = join(projectDirectory, 'deploy/fetch-at-scale.asl.yml');
/** What Step Functions takes as the input or the output of a state. */
const maxPayloadBytes = 262_144;

/** The definition of the project, its placeholders filled in as by CloudFormation. */
export function readDefinition(substitutions: Readonly<Record<string, string>>): Definition {
  const text = readFileSync(definitionFile, 'utf8');
  const filled = text.replaceAll(/\$\{(\w+)\}/g, (placeholder, name) => substitutions[name] ?? placeholder);
  return parse(filled, { merge: true });
}

/**
 * Runs a definition to its end, and resolves with its output. Rejects with ExecutionFailedError where it fails.
 *
 * The interpreter runs the states, the choices, parameters and paths, retries and catches as they are defined. What it
 * does not do, `bridge` puts in its own terms.
 */
export async function execute(
  definition: Definition,
  { name, input, invoke, readLines, retryMs }: ExecutionOptions,
): Promise<unknown> {
  const bridged = bridge(definition);
  const tasks = taskNames(bridged);
  const handlers = Object.fromEntries(
    tasks.map((task) => [
      task,
      (parameters: unknown) => runTask(task, parameters as never, invoke, readLines),
    ]),
  );
  const machine = new StateMachine(bridged as never, { validationOptions: { noValidate: true } });
  const { result } = machine.run(input as never, {
    overrides: {
      taskResourceLocalHandlers: handlers as never,
      ...(retryMs !== undefined && {
        retryIntervalOverrides: Object.fromEntries(tasks.map((task) => [task, retryMs])),
      }),
    },
    context: { Execution: { Name: name } },
  });
  try {
    return await result;
  } catch (error) {
    const { name: errorName, message } = (error instanceof ExecutionError ? error.cause : error) as Error;
    throw new ExecutionFailedError(errorName, message, { cause: error });
  }
}

interface TaskParameters {
  readonly FunctionName: string;
  readonly Payload: unknown;
  readonly Bucket: string;
  readonly Key: string;
  readonly results: readonly { readonly failed?: unknown }[];
  readonly tolerated: number;
}

async function runTask(
  task: string,
  { FunctionName, Payload, Bucket, Key, results, tolerated }: TaskParameters,
  invoke: Invoke,
  readLines: ExecutionOptions['readLines'],
): Promise<unknown> {
  if (task.endsWith(ITEM_READER)) {
    const lines = await readLines(Bucket, Key);
    return lines
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));
  }
  if (task.endsWith(TOLERATED_FAILURE)) {
    const failed = results.filter((result) => result.failed !== undefined).length;
    if ((100 * failed) / results.length <= tolerated) return {};
    const message = `${failed} of ${results.length} items failed`;
    throw new ExecutionFailedError('States.ExceedToleratedFailureThreshold', message);
  }
  requireFits(task, Payload);
  const answer = { StatusCode: 200, Payload: (await invoke(FunctionName, Payload)) ?? null };
  requireFits(task, answer);
  return answer;
}

function requireFits(task: string, payload: unknown): void {
  const bytes = Buffer.byteLength(JSON.stringify(payload));
  if (bytes > maxPayloadBytes)
    throw new ExecutionFailedError('States.DataLimitExceeded', `${task}: ${bytes} bytes of payload`);
}

const ITEM_READER = '.ItemReader';
const TOLERATED_FAILURE = '.ToleratedFailure';

/**
 * The definition with each distributed Map in terms of what the interpreter (aws-local-stepfunctions 3) knows. It runs
 * such a Map inline, and
 *
 * - has no ItemReader: a task before the Map reads the items, with the reader's own parameters;
 * - fails a Map with its first item, whatever ToleratedFailurePercentagePath says: an item that fails ends as a value
 *   here, and a task after the Map counts them. On AWS, a Map over its threshold also starts no more items;
 * - has no ResultWriter: the results go into the state, and no further;
 * - knows no limit for payloads: what goes into a function and comes out of it is measured in `runTask`.
 *
 * The interpreter does the rest: MaxConcurrencyPath, ItemSelector, the states of an item with their retries.
 */
function bridge(definition: Definition): Definition {
  const states = Object.entries(definition.States).flatMap(([name, state]) => {
    if (state.Type !== 'Map' || state.ItemReader === undefined) return [[name, state] as const];
    const { ItemReader, ResultWriter, ToleratedFailurePercentagePath, Label, ItemProcessor, ...map } = state;
    const { Resource, Parameters } = ItemReader as Record<string, unknown>;
    const { Catch, Next } = map;
    const reader = { Type: 'Task', Resource, Parameters, ResultPath: '$.items', Catch, Next: `${name}.Map` };
    const judge = {
      Type: 'Task',
      Resource,
      Parameters: { 'results.$': '$.results', 'tolerated.$': ToleratedFailurePercentagePath },
      ResultPath: null,
      Catch,
      Next,
    };
    return [
      [name, { Type: 'Pass', Next: name + ITEM_READER }],
      [name + ITEM_READER, reader],
      [
        `${name}.Map`,
        {
          ...map,
          ItemsPath: '$.items',
          ItemProcessor: keepFailuresAsValues(ItemProcessor as Definition),
          ResultPath: '$.results',
          Next: name + TOLERATED_FAILURE,
        },
      ],
      [name + TOLERATED_FAILURE, judge],
    ] as const;
  });
  return { ...definition, States: Object.fromEntries(states) };
}

function keepFailuresAsValues(definition: Definition): Definition {
  const states = Object.entries(definition.States).map(([name, state]) => [
    name,
    state.Type === 'Task'
      ? { ...state, Catch: [{ ErrorEquals: ['States.ALL'], Next: 'ItemFailed' }] }
      : state,
  ]);
  const itemFailed = { Type: 'Pass', Parameters: { 'failed.$': '$' }, End: true };
  return { ...definition, States: { ...Object.fromEntries(states), ItemFailed: itemFailed } };
}

function taskNames({ States }: Definition): string[] {
  return Object.entries(States).flatMap(([name, state]) => {
    if (state.Type === 'Map') return taskNames(state.ItemProcessor as Definition);
    return state.Type === 'Task' ? [name] : [];
  });
}
