import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { LogLevelThreshold } from '@aws-lambda-powertools/logger';
import type { DirectReply } from '../../src/lambda/events/reply.ts';
import { projectDirectory } from '../world/places.ts';
import { CommandFailedError } from './command.ts';
import type { AnswersMessage } from './progress.ts';

/** One `serverless invoke local`. */
export interface Invocation {
  readonly functionName: 'fetch' | 'api';
  /** The event, by its file or in JSON. */
  readonly input: readonly [option: '-p' | '-d', value: string];
}

/** What an invocation may answer: a direct reply, an HTTP response, or the error that the function threw. */
export type LocalReply = Partial<DirectReply> & {
  /** Of a run that another invocation does. */
  readonly state?: string;
  readonly statusCode?: number;
  readonly body?: unknown;
  readonly errorMessage?: string;
  readonly errorType?: string;
};

/** The arguments of `serverless`. */
export function argumentsOf({ functionName, input }: Invocation): string[] {
  return ['invoke', 'local', '-f', functionName, '--stage', 'local', ...input];
}

/** What is heard of an invocation before its reply. */
export interface InvocationListener {
  /** The function logged this, at whatever level. */
  logged(record: LogRecord): void;
  /** So many requests were answered so far. */
  answered(count: number): void;
  /** Something is to be shown besides the reply: a line of the log at a level that the user asked for, say. */
  printed(line: string): void;
}

/** A line of the function's log, as far as it is looked into. */
interface LogRecord {
  readonly level: string;
  readonly message: string;
  readonly [key: string]: unknown;
}

/**
 * Resolves with the function's reply, whatever that says. Rejects with CommandFailedError where there is none. What ends
 * this process ends the invocation too.
 */
export async function invokeLocal(invocation: Invocation, listener: InvocationListener): Promise<LocalReply> {
  const cli = join(projectDirectory, 'node_modules/serverless/bin/serverless.js');
  const log = logSettings(process.env);
  const child = spawn(process.execPath, [cli, ...argumentsOf(invocation)], {
    cwd: projectDirectory,
    env: { ...process.env, ...log.environment },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  }) as ChildProcessByStdio<null, Readable, Readable>; // as `stdio` says
  using _ = endTogether(child);
  const exit = once(child, 'exit');
  child.on('message', ({ answered }: AnswersMessage) => listener.answered(answered));
  const hear = (text: string): boolean => {
    const record = parseRecord(text);
    if (record) listener.logged(record);
    if (record && log.isShown(record)) listener.printed(text);
    return record !== undefined;
  };
  const [findReply] = await Promise.all([
    readReply(createInterface({ input: child.stdout }), hear),
    forEachLine(createInterface({ input: child.stderr }), (line) => {
      if (!hear(line)) listener.printed(line);
    }),
    exit,
  ]);
  return findReply();
}

/**
 * Reads what is printed to its end, and finds the reply in it: the last object that opens and closes on lines of its own,
 * as Powertools' records may do as well. Of all else, `hear` says whether it was the log.
 */
async function readReply(
  lines: AsyncIterable<string>,
  hear: (text: string) => boolean,
): Promise<() => LocalReply> {
  const others: string[] = [];
  let object: string[] = [];
  const put = (text: string): void => {
    if (text !== '' && !hear(text)) others.push(text);
  };
  await forEachLine(lines, (line) => {
    if (line === '{') {
      put(object.join('\n'));
      object = [line];
    } else if (object.length > 0 && object.at(-1) !== '}') object.push(line);
    else put(line);
  });
  return () => {
    if (object.at(-1) === '}') return JSON.parse(object.join('\n'));
    const why = others
      .join('\n')
      .replace(/^Error:\s*/, '')
      .trim();
    throw runFailed(why || 'serverless gave no reply');
  };
}

async function forEachLine(lines: AsyncIterable<string>, take: (line: string) => void): Promise<void> {
  for await (const line of lines) take(line);
}

/** The function logs all, so that its progress is known; what the user did not ask for is not shown. */
function logSettings({
  POWERTOOLS_LOG_LEVEL: level = 'SILENT',
  POWERTOOLS_LOGGER_SAMPLE_RATE: sampled,
}: NodeJS.ProcessEnv): {
  readonly environment: Readonly<Record<string, string>>;
  isShown(record: LogRecord): boolean;
} {
  // Which runs are sampled is for Powertools to say.
  if (sampled !== undefined) return { environment: {}, isShown: () => true };
  const { DEBUG, INFO } = LogLevelThreshold;
  const rank = (name: string): number => new Map(Object.entries(LogLevelThreshold)).get(name) ?? INFO;
  const asked = rank(level.toUpperCase());
  return {
    environment: asked > DEBUG ? { POWERTOOLS_LOG_LEVEL: 'DEBUG' } : {},
    isShown: (record) => rank(record.level) >= asked,
  };
}

function parseRecord(text: string): LogRecord | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    const { level, message, timestamp, ...more } = JSON.parse(text);
    const isRecord = typeof level === 'string' && typeof message === 'string' && timestamp !== undefined;
    return isRecord ? { level, message, timestamp, ...more } : undefined;
  } catch {
    return undefined;
  }
}

const endings = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** Hands a signal that would end this process to the child first, and then ends by it. */
function endTogether(child: ChildProcess): Disposable {
  const end = (signal: NodeJS.Signals): void => {
    child.once('exit', () => process.kill(process.pid, signal));
    child.kill(signal);
  };
  for (const signal of endings) process.once(signal, end);
  return {
    [Symbol.dispose]: () => {
      for (const signal of endings) process.off(signal, end);
    },
  };
}

export function runFailed(why: string): CommandFailedError {
  return new CommandFailedError(`The run failed: ${why}`);
}
