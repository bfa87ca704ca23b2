import { createReadStream, existsSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { text } from 'node:stream/consumers';
import { styleText } from 'node:util';
import { readMembers } from '../../src/document/gzip-members.ts';
import { readOutcomeLines } from '../../src/document/outcome-line.ts';
import type { Output, RunReport } from '../../src/document/run-head.ts';
import { fileOf } from '../world/places.ts';
import {
  CommandFailedError,
  callerDirectory,
  endWithReader,
  parseCommandLine,
  UsageError,
} from './command.ts';
import { followRun } from './follow-run.ts';
import { argumentsOf, type Invocation, invokeLocal, type LocalReply, runFailed } from './invoke.ts';
import { describeOrigin, proxyPassedOver } from './origin.ts';
import { describeRun, type Outcome, parseOutcome, shownWhole } from './report.ts';

export const usage = `npm start -- [1-100 | 1,2,7-9 | events/<event>.json] [--json], or npm run redrive -- <runId> [--json]

npm start has the function fetch the posts of a list of ids, or of an event, on this machine, and shows the document.
npm run redrive has it fetch again what such a run left.

  --json   the stored document alone

The function's variables (docs/configuration.md) are taken from the environment: POST_URL, CONCURRENCY, OUTPUT and so on.
POWERTOOLS_LOG_LEVEL=DEBUG shows its log, on standard error.`;

/** The events of the lesson's programs, and what each shows. */
export const lessonPrograms: Readonly<Record<string, string>> = {
  'events/lesson-1.json': 'lesson, program 1: posts 1, 2, 3, in the order of the ids whatever finished first',
  'events/lesson-2.json': 'lesson, program 2: a list of any length',
  'events/direct.json':
    'lesson, program 3: return_exceptions=True, so that post 99999 fails and the others are unharmed',
  'events/fail-fast.json': 'lesson, program 3 in the default mode: the first failure ends the batch',
};

/** The one argument of a command, if there is one, and whether `--json` stands beside it. Throws UsageError. */
export function parseArgument(): { readonly what: string | undefined; readonly json: boolean } {
  const options = { json: { type: 'boolean', default: false } } as const;
  const { values, positionals } = parseCommandLine({ options, allowPositionals: true });
  const [what, ...more] = positionals;
  if (more.length > 0) throw new UsageError(`Expected one argument, got ${positionals.join(' and ')}`);
  return { what, json: values.json };
}

export interface ShowOptions {
  /** The argument that asked for the run. */
  readonly what: string;
  /** What stands above the run. */
  readonly title: string;
  /** Whether only the document is printed. */
  readonly json: boolean;
}

/** Invokes a function and prints what came of it. Rejects with CommandFailedError where no run was stored. */
export async function runAndShow(invocation: Invocation, { what, title, json }: ShowOptions): Promise<void> {
  endWithReader();
  const print = json ? () => {} : (line: string) => console.log(line);
  print(styleText('bold', title));
  print(styleText('dim', `serverless ${argumentsOf(invocation).map(quote).join(' ')}`));
  print(styleText('dim', describeOrigin(process.env)));
  const passedOver = proxyPassedOver(process.env);
  if (passedOver !== undefined) console.error(passedOver);
  const run = followRun({ print: json ? console.error : print, output: process.stderr });
  const reply = await invokeLocal(invocation, run).finally(() => run.stop());
  print('');
  const { location, replayed } = storedRun(reply, print);
  const document = readFileSync(fileOf(location), 'utf8');
  if (json) process.stdout.write(document);
  else await show({ location, replayed, document, what, functionName: invocation.functionName });
}

/** Where the run is stored, once a reply says so; an HTTP response is printed on the way. */
function storedRun(
  reply: LocalReply,
  print: (line: string) => void,
): { readonly location: string; readonly replayed: boolean } {
  const { errorMessage, statusCode, location, replayed = false, runId, state } = reply;
  if (state !== undefined)
    throw new CommandFailedError(
      `The run is ${state} already. Follow it: npm run results -- ${runId} --watch`,
    );
  if (errorMessage !== undefined) throw runFailed(errorMessage);
  if (statusCode !== undefined) {
    const body = typeof reply.body === 'string' ? JSON.parse(reply.body) : reply.body;
    print(`HTTP ${statusCode}\n`);
    if (statusCode < 400) return storedRun(body, print);
    print(JSON.stringify(body, null, 2));
    throw runFailed(body.detail); // RFC 9457
  }
  if (location === undefined) throw runFailed('The reply names no location');
  return { location, replayed };
}

interface StoredDocument {
  readonly location: string;
  readonly replayed: boolean;
  readonly document: string;
  readonly what: string;
  readonly functionName: Invocation['functionName'];
}

async function show({ location, replayed, document, what, functionName }: StoredDocument): Promise<void> {
  // The function's own tests hold a document to its schema.
  const run: RunReport = JSON.parse(document);
  const results = await (run.outcomes
    ? readOutcomes(run.run.id, run.outcomes.location, 'ndjson')
    : readOutcomes(run.run.id, location, 'json'));
  console.log(describeRun({ ...run, results }));
  for (const stored of [location, ...(run.outcomes ? [run.outcomes.location] : [])])
    console.log(`Stored as ${stored}\n       in ${relative(callerDirectory, fileOf(stored))}`);
  if (replayed)
    console.log('An earlier run with this runId stored it; nothing was fetched again (replayed).');
  if (results.length <= shownWhole) {
    const lines = run.outcomes ? await text(openOutcomes(run.outcomes.location)) : '';
    console.log(`\n${lines}${document.trimEnd()}`);
  }
  // The runs of `api` are apart from those of `fetch`, which redrives.
  if (run.errors.retryableIds.length > 0 && functionName === 'fetch')
    console.log(`\nFetch again what another try may bring: npm run redrive -- ${run.run.id}`);
  console.log(`\n${describeOthers(what)}`);
  const page = fileOf(location.replace(/\.json$/, '.html'));
  console.log(`\nDocument in ${relative(callerDirectory, fileOf(location))}`);
  if (existsSync(page)) console.log(`Report in ${relative(callerDirectory, page)}`);
}

function readOutcomes(runId: string, location: string, format: Output): Promise<Outcome[]> {
  const lines = readOutcomeLines(openOutcomes(location), { runId, location }, format);
  return Array.fromAsync(lines, ({ line }) => parseOutcome(line));
}

/** The text of outcomes, compressed or not. */
function openOutcomes(location: string): AsyncIterable<Buffer> {
  const stored = createReadStream(fileOf(location));
  return location.endsWith('.gz') ? readMembers(stored, location, new AbortController().signal) : stored;
}

function describeOthers(what: string): string {
  const lines = Object.entries({
    ...lessonPrograms,
    '1-5000': 'any other ids; of a long run, how far it is',
  })
    .filter(([argument]) => argument !== what)
    .map(([argument, shows]) => `  npm start -- ${argument.padEnd(24)}${shows}`);
  return ['More to run:', ...lines].join('\n');
}

/** As a shell takes it. */
function quote(argument: string): string {
  return /^[\w./-]+$/.test(argument) ? argument : `'${argument}'`;
}
