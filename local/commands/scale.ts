import { subscribe } from 'node:diagnostics_channel';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, styleText } from 'node:util';
import type { RunManifest } from '../../src/run/parts/run-manifest.ts';
import { ExecutionFailedError, execute, type Invoke, readDefinition } from '../world/interpret.ts';
import { localBucket as bucket, storeDirectory } from '../world/plugin.ts';
import { startS3Store } from '../world/s3.ts';
import { asUsageError, idsIn, UsageError } from './usage.ts';

const usage =
  'npm run scale -- [--ids 1-100000] [--part-size 5000] [--run-id <name>] [--fail-parts 2] | --redrive <run id>';
const dist = join(import.meta.dirname, '../../dist');
const functionTimeMs = 900_000;
const functions = { PlanFunctionArn: 'plan', FetchFunctionArn: 'fetch', ConcludeFunctionArn: 'conclude' };

interface Request {
  /** The input of the execution. */
  readonly input: {
    readonly ids?: readonly unknown[];
    readonly partSize?: number;
    readonly runId?: string;
    readonly redrive?: string;
  };
  readonly failParts: number;
}

type Handler = (event: unknown, context: object) => Promise<unknown>;

async function scale(args: readonly string[]): Promise<boolean> {
  const { input, failParts } = readArguments(args);
  const name = `scale-${new Date().toISOString().replace(/\D/g, '').slice(0, 14)}`;
  const runId = input.redrive ?? input.runId ?? name;
  await using world = new AsyncDisposableStack();
  const store = await startS3Store({ directory: storeDirectory, buckets: [bucket] });
  world.defer(() => store.close());
  const posts = await startPosts();
  world.defer(() => posts.close());
  Object.assign(process.env, {
    RESULTS_BUCKET: bucket,
    RESULTS_PREFIX: 'runs/',
    POST_URL: process.env.POST_URL ?? `${posts.url}/posts/{id}`,
    MAX_IDS: '1000000000',
    POWERTOOLS_LOG_LEVEL: 'SILENT',
    POWERTOOLS_METRICS_DISABLED: 'true',
    AWS_ENDPOINT_URL_S3: store.endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    AWS_EC2_METADATA_DISABLED: 'true',
  });

  const startedMs = performance.now();
  const progress = showProgress(process.env.POST_URL ?? '');
  world.defer(() => progress.stop());
  const failure = await execute(readDefinition({ Partition: 'aws', ...functions }), {
    name,
    input,
    invoke: invokeWith(failParts, progress),
    readLines: (from, key) => readFile(join(storeDirectory, from, key), 'utf8'),
    retryMs: 10,
  }).then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof ExecutionFailedError) return error;
      throw error;
    },
  );
  progress.stop();
  if (failure && failure.name !== 'PartsFailed') throw failure;
  const file = join(storeDirectory, bucket, `runs/${runId}.manifest.json`);
  const manifest = JSON.parse(await readFile(file, 'utf8')) as RunManifest; // held to by the tests of conclude
  console.log(tableOf(runId, manifest, performance.now() - startedMs));
  console.log(`\nManifest: ${relative(process.cwd(), file)}`);
  if (failure) {
    console.error(`\nThe execution failed: ${failure.message}`);
    console.error(`Fetch what failed, and nothing else: npm run scale -- --redrive ${runId}`);
  }
  return failure === undefined;
}

function readArguments(args: readonly string[]): Request {
  const options = {
    ids: { type: 'string' },
    'part-size': { type: 'string' },
    'fail-parts': { type: 'string', default: '0' },
    'run-id': { type: 'string' },
    redrive: { type: 'string' },
  } as const;
  try {
    const { values } = parseArgs({ args: [...args], options });
    const { ids, 'run-id': runId, redrive, 'part-size': partSize, 'fail-parts': failParts } = values;
    const input = {
      ...((ids !== undefined || redrive === undefined) && {
        ids: idsIn(ids ?? '1-100000', 'ids such as 1,2,7-9'),
      }),
      ...(redrive !== undefined && { redrive }),
      ...(partSize !== undefined && { partSize: integerIn('--part-size', partSize) }),
      ...(runId !== undefined && { runId }),
    };
    return { input, failParts: integerIn('--fail-parts', failParts) };
  } catch (error) {
    throw asUsageError(error);
  }
}

function integerIn(option: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`Expected ${option} to be an integer, got ${text}`);
  return Number(text);
}

/** The built functions, an instance of `fetch` for each invocation at a time, as Lambda has it. */
function invokeWith(failParts: number, progress: Progress): Invoke {
  const idle: Handler[] = [];
  let instances = 0;
  const failing = new Set<string>();
  let lastRequest = 0;
  return async (functionName, event) => {
    const context = contextOf(`local-${++lastRequest}`);
    if (functionName !== 'fetch') {
      const { handler } = (await import(join(dist, `${functionName}.js`))) as { handler: Handler };
      const result = await handler(event, context);
      if (functionName === 'plan') progress.planned(result as { parts: number; requested: number });
      return result;
    }
    const { runId } = event as { runId: string };
    if (failing.has(runId) || failing.size < failParts) {
      failing.add(runId);
      throw Object.assign(new Error('As --fail-parts says'), { name: 'Runtime.ExitError' });
    }
    // The query makes it another module, with its own connections and its own limiter.
    const handler =
      idle.pop() ??
      ((await import(`${join(dist, 'handler.js')}?instance=${++instances}`)) as { handler: Handler }).handler;
    try {
      const reply = await handler(event, context);
      progress.ended(runId);
      return reply;
    } finally {
      idle.push(handler);
    }
  };
}

function contextOf(awsRequestId: string): object {
  const endMs = performance.now() + functionTimeMs;
  return { awsRequestId, getRemainingTimeInMillis: () => Math.round(endMs - performance.now()) };
}

interface Progress {
  planned(plan: { readonly parts: number; readonly requested: number }): void;
  ended(partRunId: string): void;
  stop(): void;
}

const eraseLine = '\r\u001b[K';
const barWidth = 32;

/** A bar on a terminal; elsewhere, a line for each part. */
function showProgress(postUrl: string): Progress {
  const origin = URL.parse(postUrl)?.origin;
  const { stderr } = process;
  const startedMs = performance.now();
  let answered = 0;
  let ended = 0;
  let total = { parts: 0, requested: 0 };
  subscribe('undici:request:trailers', (message) => {
    const { request } = message as { request: { origin?: string | URL } }; // as undici documents it
    if (URL.parse(String(request.origin))?.origin === origin) answered += 1;
  });
  const state = (): string => {
    const rate = Math.round(answered / ((performance.now() - startedMs) / 1000));
    return `${ended} of ${total.parts} parts, ${count(answered)} of ${count(total.requested)} posts, ${count(rate)} a second`;
  };
  const draw = (): void => {
    const filled = Math.min(barWidth, Math.floor((barWidth * answered) / Math.max(1, total.requested)));
    stderr.write(`${eraseLine}${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)} ${state()}`);
  };
  const timer = stderr.isTTY ? setInterval(draw, 100).unref() : undefined;
  let isStopped = false;
  return {
    planned(plan) {
      total = plan;
      if (!stderr.isTTY) stderr.write(`${count(plan.requested)} posts in ${plan.parts} parts\n`);
    },
    ended(partRunId) {
      ended += 1;
      if (!stderr.isTTY) stderr.write(`${partRunId}: ${state()}\n`);
    },
    stop() {
      if (timer && !isStopped) stderr.write(eraseLine);
      isStopped = true;
      clearInterval(timer);
    },
  };
}

function tableOf(runId: string, { parts, errors, summary }: RunManifest, tookMs: number): string {
  const byCode = Object.entries(errors.byCode).map(([code, times]) => `${code} ${count(times)}`);
  const bounds = (name: 'p50' | 'p90' | 'p99'): string => {
    const { min, max } = summary.latencyMs[name] ?? {};
    return min === undefined || max === undefined ? '–' : min === max ? `${min}` : `${min}–${max}`;
  };
  const failed = parts.filter(({ status }) => status === 'failed');
  const rows: readonly (readonly [string, string])[] = [
    ['run', runId],
    [
      'parts',
      `${count(summary.parts.total)}: ${count(summary.parts.stored)} stored, ${count(summary.parts.failed)} failed, ${count(summary.parts.incomplete)} incomplete`,
    ],
    ['posts', count(summary.requested)],
    ['fulfilled', count(summary.fulfilled)],
    [
      'rejected',
      `${count(summary.rejected)}${byCode.length > 0 ? ` (${byCode.join(', ')}; ${count(errors.retryable)} worth another try)` : ''}`,
    ],
    ['in failed parts', count(summary.failed)],
    ['attempts', count(summary.attempts)],
    ['latency', `p50 ${bounds('p50')}, p90 ${bounds('p90')}, p99 ${bounds('p99')} ms over the parts`],
    ['slowest', `${summary.latencyMs.max ?? '–'} ms`],
    [
      'took',
      `${(tookMs / 1000).toFixed(1)} s, ${count(Math.round(summary.requested / (tookMs / 1000)))} posts a second`,
    ],
    ['complete', summary.complete ? 'yes' : 'no'],
    ...failed
      .slice(0, 10)
      .map(
        ({ part, firstIndex, requested }) =>
          [
            `part ${part}`,
            styleText('red', `failed: posts ${firstIndex} to ${firstIndex + requested - 1}`),
          ] as const,
      ),
  ];
  const width = Math.max(...rows.map(([label]) => label.length));
  return rows.map(([label, value]) => `${styleText('bold', label.padEnd(width))}  ${value}`).join('\n');
}

function count(number: number): string {
  return number.toLocaleString('en');
}

/** A posts API that knows every id but one in a thousand: the one for the tests ends at 100. */
async function startPosts(): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server = createServer(async (request, response) => {
    const id = Number(/^\/posts\/(\d+)$/.exec(request.url ?? '')?.[1]);
    await sleep(5 + ((id * 31) % 56));
    const isThere = id > 0 && id % 1_000 !== 999;
    const post = { userId: Math.ceil(id / 10), id, title: `Post ${id}`, body: 'Of many.\n'.repeat(10) };
    response.writeHead(isThere ? 200 : 404, { 'content-type': 'application/json' });
    response.end(JSON.stringify(isThere ? post : {}));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, // a TCP server's address is no string
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

try {
  process.exitCode = (await scale(process.argv.slice(2))) ? 0 : 1;
} catch (error) {
  if (error instanceof UsageError) {
    console.error(`${error.message}. Usage: ${usage}`);
    process.exitCode = 2;
  } else if (error instanceof ExecutionFailedError) {
    console.error(`The execution failed: ${error.name}: ${error.message}`);
    process.exitCode = 1;
  } else throw error;
}
