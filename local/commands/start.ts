import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs, styleText } from 'node:util';
import { storeDirectory } from '../world/plugin.ts';
import { type Outcome, type Report, reportOf, shownWhole } from './report.ts';
import { asUsageError, idsIn, UsageError } from './usage.ts';

const usage =
  'npm start -- [1-100 | 1,2,7-9 | events/<event>.json] [--json], or npm run redrive -- <runId> [--json]';
const projectDirectory = join(import.meta.dirname, '../..');

const lessonPrograms: Readonly<Record<string, string>> = {
  'events/lesson-1.json': 'lesson, program 1: posts 1, 2, 3, in the order of the ids whatever finished first',
  'events/lesson-2.json': 'lesson, program 2: a list of any length',
  'events/direct.json':
    'lesson, program 3: return_exceptions=True, so that post 99999 fails and the others are unharmed',
  'events/fail-fast.json': 'lesson, program 3 in the default mode: the first failure ends the batch',
};

/** What is to be run: ids, an event file, or the redrive of a run. */
interface Request {
  readonly what: string;
  readonly isRedrive: boolean;
  /** Print the document and nothing else. */
  readonly json: boolean;
}

/** A stored document, as far as it is shown. */
interface Document extends Report {
  readonly run: { readonly id: string };
  /** Where the results are, if not in the document. */
  readonly outcomes?: { readonly location: string };
  readonly errors: Report['errors'] & { readonly retryableIds: readonly unknown[] };
}

/** One `serverless invoke local`. */
interface Invocation {
  readonly functionName: 'fetch' | 'api';
  readonly input: readonly [option: '-p' | '-d', value: string];
}

/** What a run may answer: a direct reply, an HTTP response, or the error that the function threw. */
interface Reply {
  readonly location?: string;
  readonly replayed?: boolean;
  readonly statusCode?: number;
  readonly body?: unknown;
  readonly errorMessage?: string;
}

/** What the API answers with a status from 400 on: RFC 9457. */
interface Problem {
  readonly detail: string;
}

/** The function did not do what it was asked for. */
class RunFailedError extends Error {
  override readonly name = 'RunFailedError';
}

async function start(args: readonly string[]): Promise<void> {
  const request = readArguments(args);
  const { what, json } = request;
  const invocation = invocationOf(request);
  const print = json ? () => {} : (line: string) => console.log(line);

  print(styleText('bold', request.isRedrive ? `Redrive of ${what}` : (lessonPrograms[what] ?? what)));
  print(styleText('dim', `serverless ${argumentsOf(invocation).map(quoted).join(' ')}\n`));

  const reply = await invoke(invocation);
  const { location, replayed } = storedRun(reply, print);
  const document = readFileSync(fileOf(location), 'utf8');
  if (json) {
    process.stdout.write(document);
    return;
  }
  const run = JSON.parse(document) as Document; // held to its schema by the function's own tests
  const lines = run.outcomes && readFileSync(fileOf(run.outcomes.location), 'utf8');
  const results = lines === undefined ? run.results : outcomesIn(lines);
  print(reportOf({ ...run, results }));
  for (const stored of [location, run.outcomes?.location].filter((it) => it !== undefined))
    print(`Stored as ${stored}\n       in ${relative(process.cwd(), fileOf(stored))}`);
  if (replayed) print('An earlier run with this runId stored it; nothing was fetched again (replayed).');
  if (results.length <= shownWhole) print(`\n${lines ?? ''}${document.trimEnd()}`);
  // The runs of `api` are apart from those of `fetch`, which redrives.
  if (run.errors.retryableIds.length > 0 && invocation.functionName === 'fetch')
    print(`\nFetch again what another try may bring: npm run redrive -- ${run.run.id}`);
  print(`\n${others(what)}`);
}

/** Those of an object that has one a line. */
function outcomesIn(lines: string): Outcome[] {
  return lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

function fileOf(location: string): string {
  return join(storeDirectory, location.slice('s3://'.length));
}

function readArguments(args: readonly string[]): Request {
  const options = {
    json: { type: 'boolean', default: false },
    redrive: { type: 'boolean', default: false },
  } as const;
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    if (positionals.length > 1)
      throw new UsageError(`Expected one argument, got ${positionals.join(' and ')}`);
    const { json, redrive: isRedrive } = values;
    if (isRedrive && positionals.length === 0) throw new UsageError('Expected the id of a run, got none');
    return { what: positionals[0] ?? 'events/direct.json', isRedrive, json };
  } catch (error) {
    throw asUsageError(error);
  }
}

function invocationOf({ what, isRedrive }: Request): Invocation {
  if (isRedrive) return { functionName: 'fetch', input: ['-d', JSON.stringify({ redrive: what })] };
  if (!what.endsWith('.json'))
    return {
      functionName: 'fetch',
      input: ['-d', JSON.stringify({ ids: idsIn(what, 'ids such as 1,2,7-9 or an event file') })],
    };
  const path = resolve(projectDirectory, what);
  let event: unknown;
  try {
    event = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new UsageError(
      `Expected ${what} to be an event in JSON: ${error instanceof Error ? error.message : error}`,
    );
  }
  const isRequest = typeof event === 'object' && event !== null && 'requestContext' in event;
  return { functionName: isRequest ? 'api' : 'fetch', input: ['-p', relative(projectDirectory, path)] };
}

function argumentsOf({ functionName, input }: Invocation): string[] {
  return ['invoke', 'local', '-f', functionName, '--stage', 'local', ...input];
}

// So that the line that was shown works in a shell.
function quoted(argument: string): string {
  return /^[\w./-]+$/.test(argument) ? argument : `'${argument}'`;
}

async function invoke(invocation: Invocation): Promise<Reply> {
  const cli = join(projectDirectory, 'node_modules/serverless/bin/serverless.js');
  const child = spawn(process.execPath, [cli, ...argumentsOf(invocation)], {
    cwd: projectDirectory,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const output = await text(child.stdout);
  // The function's own log lines come first; the reply is the object that opens on a line of its own.
  const opening = `\n${output}`.lastIndexOf('\n{\n');
  if (opening === -1)
    throw new RunFailedError(output.replace(/^Error:\s*/, '').trim() || 'serverless gave no reply');
  return JSON.parse(output.slice(opening));
}

/** Where the run is stored, once a reply says so; an HTTP response is printed on the way. */
function storedRun(reply: Reply, print: (line: string) => void): { location: string; replayed: boolean } {
  if (reply.errorMessage !== undefined) throw new RunFailedError(reply.errorMessage);
  if (reply.statusCode === undefined) return withLocation(reply);
  const body: unknown = typeof reply.body === 'string' ? JSON.parse(reply.body) : reply.body;
  print(`HTTP ${reply.statusCode}\n`);
  if (reply.statusCode >= 400) {
    print(JSON.stringify(body, null, 2));
    throw new RunFailedError((body as Problem).detail);
  }
  return withLocation(body as Reply);
}

function withLocation({ location, replayed = false }: Reply): { location: string; replayed: boolean } {
  if (location === undefined) throw new RunFailedError('The reply names no location');
  return { location, replayed };
}

function others(what: string): string {
  const lines = Object.entries({
    ...lessonPrograms,
    '1-5000': 'any other ids, with a progress line on a terminal',
  })
    .filter(([argument]) => argument !== what)
    .map(([argument, shows]) => `  npm start -- ${argument.padEnd(24)}${shows}`);
  return ['More to run:', ...lines].join('\n');
}

try {
  await start(process.argv.slice(2));
} catch (error) {
  if (error instanceof UsageError) {
    console.error(`${error.message}. Usage: ${usage}`);
    process.exitCode = 2;
  } else if (error instanceof RunFailedError) {
    console.error(`The run failed: ${error.message}`);
    process.exitCode = 1;
  } else throw error;
}
