import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { DirectReply } from '../../src/lambda/events/reply.ts';
import type { Plan } from '../../src/run/parts/plan.ts';
import type { RunManifest } from '../../src/run/parts/run-manifest.ts';
import { keysOf } from '../../src/store/keys.ts';
import { buildIfStale } from '../world/build-if-stale.ts';
import { quiet, useStore } from '../world/environment.ts';
import { contextOf, type Handler, loadBuilt } from '../world/functions.ts';
import { ExecutionFailedError, execute, type Invoke, readDefinition } from '../world/interpret.ts';
import { startManyPosts } from '../world/many-posts.ts';
import { localBucket, storeDirectory } from '../world/places.ts';
import { startS3Store } from '../world/s3.ts';
import {
  CommandFailedError,
  callerDirectory,
  endWithReader,
  parseCommandLine,
  parseIdsArgument,
  runCommand,
  UsageError,
} from './command.ts';
import { proxyPassedOver } from './origin.ts';
import { barOf, countAnswers, keepProgressLine, type Progress as LineProgress } from './progress.ts';
import { count, describeCodes, describeSeconds } from './report.ts';
import { parseRedrivenRun } from './right-command.ts';
import { prefixOfEnvironment } from './run-name.ts';
import { tableOf } from './run-table.ts';

const usage = `npm run scale -- [--ids 1-100000] [--part-size 5000] [--run-id <name>] [--fail-parts 2] | --redrive <run id>

Runs the state machine on this machine: plan, a Map over the parts, conclude.

  --ids          the ids to fetch, 1-100000 unless it says otherwise
  --part-size    how many of them a part has at most
  --run-id       the name of the run
  --fail-parts   so many parts are to fail
  --redrive      fetches again what failed or was left in a run of this command`;
/** The functions of the definition, by the names of their files in dist/. */
const functions = { PlanFunctionArn: 'plan', FetchFunctionArn: 'handler', ConcludeFunctionArn: 'conclude' };

await runCommand(usage, async () => {
  endWithReader();
  const prefix = prefixOfEnvironment();
  const { input, failParts } = parseRequest();
  const name = `scale-${new Date().toISOString().replace(/\D/g, '').slice(0, 14)}`;
  const runId = input.redrive ?? input.runId ?? name;
  await buildIfStale();
  await using world = new AsyncDisposableStack();
  const store = await startS3Store({ directory: storeDirectory, buckets: [localBucket] });
  world.defer(() => store.close());
  const posts = await startManyPosts();
  world.defer(() => posts.close());
  const passedOver = proxyPassedOver(process.env);
  if (passedOver !== undefined) console.error(passedOver);
  const postUrl = process.env.POST_URL ?? `${posts.origin}/posts/{id}`;
  const settings = { RESULTS_BUCKET: localBucket, RESULTS_PREFIX: prefix, POST_URL: postUrl };
  Object.assign(process.env, {
    ...quiet,
    MAX_IDS: '1000000000',
    REPORT: 'html',
    ...process.env,
    ...settings,
  });
  useStore(store);

  console.log(`Run ${runId}`);
  const startedMs = performance.now();
  const progress = showProgress(URL.parse(postUrl)?.origin, input.redrive !== undefined);
  world.defer(() => progress.stop());
  const failure = await failureOf(
    execute(readDefinition({ Partition: 'aws', ...functions }), {
      name,
      input,
      invoke: invokeWith(failParts, progress),
      readLines: (bucket, key) => readFile(join(storeDirectory, bucket, key), 'utf8'),
      retryMs: 10,
    }),
  );
  progress.stop();
  if (failure && failure.name !== 'PartsFailed')
    throw new CommandFailedError(`The execution failed: ${failure.name}: ${failure.message}`);
  const file = join(storeDirectory, localBucket, keysOf(prefix, runId).runManifest);
  // The tests of conclude hold a run manifest to its schema.
  const runManifest: RunManifest = JSON.parse(await readFile(file, 'utf8'));
  const tookMs = performance.now() - startedMs;
  console.log(tableOf(runId, runManifest, tookMs, progress.fetched));
  console.log(`\nManifest: ${relative(callerDirectory, file)}`);
  const page = join(storeDirectory, localBucket, keysOf(prefix, runId).page);
  if (existsSync(page)) console.log(`Report in ${relative(callerDirectory, page)}`);
  if (failure)
    throw new CommandFailedError(
      `\nThe execution failed: ${failure.message}\nFetch what failed, and nothing else: npm run scale -- --redrive=${runId}`,
    );
});

interface Request {
  /** The input of the execution. */
  readonly input: {
    readonly ids?: readonly unknown[];
    readonly partSize?: number;
    readonly runId?: string;
    readonly redrive?: string;
  };
  /** How many parts are to fail. */
  readonly failParts: number;
}

function parseRequest(): Request {
  const options = {
    ids: { type: 'string' },
    'part-size': { type: 'string' },
    'fail-parts': { type: 'string', default: '0' },
    'run-id': { type: 'string' },
    redrive: { type: 'string' },
  } as const;
  const { values } = parseCommandLine({ options });
  const { ids, 'run-id': runId, redrive, 'part-size': partSize, 'fail-parts': failParts } = values;
  const input = {
    ...((ids !== undefined || redrive === undefined) && {
      ids: parseIdsArgument(ids ?? '1-100000', 'ids such as 1,2,7-9'),
    }),
    ...(redrive !== undefined && { redrive: parseRedrivenRun(redrive, 'scale') }),
    ...(partSize !== undefined && { partSize: parseInteger('--part-size', partSize) }),
    ...(runId !== undefined && { runId }),
  };
  return { input, failParts: parseInteger('--fail-parts', failParts) };
}

function parseInteger(option: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`Expected ${option} to be an integer, got ${text}`);
  return Number(text);
}

/** How an execution fails; undefined where it does not. */
async function failureOf(execution: Promise<unknown>): Promise<ExecutionFailedError | undefined> {
  try {
    await execution;
    return undefined;
  } catch (error) {
    if (error instanceof ExecutionFailedError) return error;
    throw error;
  }
}

/** The built functions, an instance of that for parts for each invocation at a time, as Lambda has it. */
function invokeWith(failParts: number, progress: Progress): Invoke {
  const idle: Handler[] = [];
  let instances = 0;
  const failing = new Set<string>();
  let lastRequest = 0;
  return async (functionName, event) => {
    const context = contextOf(`local-${++lastRequest}`);
    if (functionName !== functions.FetchFunctionArn) {
      const result = await (await loadBuilt(functionName))(event, context);
      if (functionName === functions.PlanFunctionArn) progress.planned(result as Plan);
      return result;
    }
    const { runId } = event as { runId: string };
    if (failing.has(runId) || failing.size < failParts) {
      failing.add(runId);
      progress.failed(runId);
      throw Object.assign(new Error('As --fail-parts says'), { name: 'Runtime.ExitError' });
    }
    const handler = idle.pop() ?? (await loadBuilt(functionName, ++instances));
    try {
      const reply = await handler(event, context);
      progress.ended(runId, reply as DirectReply);
      return reply;
    } catch (error) {
      progress.failed(runId);
      throw error;
    } finally {
      idle.push(handler);
    }
  };
}

interface Progress {
  /** How many posts were asked for, those left out that an earlier run had fetched. */
  readonly fetched: number;
  planned(plan: Pick<Plan, 'parts' | 'requested'>): void;
  ended(partRunId: string, reply: DirectReply): void;
  /** An invocation for a part failed, which may be tried again. */
  failed(partRunId: string): void;
  stop(): void;
}

/** A bar on a terminal, and lines for parts with failures; elsewhere, a line for each part. */
function showProgress(origin: string | undefined, isRedrive: boolean): Progress {
  const { stderr } = process;
  const startedMs = performance.now();
  const answers = countAnswers(origin);
  let ended = 0;
  let fetched = 0;
  let rejected = 0;
  const failing = new Set<string>();
  let total = { parts: 0, requested: 0 };
  const state = (): string => {
    const perSecond = answers.count / ((performance.now() - startedMs) / 1000);
    // How many posts of a run are left to fetch is for its parts to find.
    const posts = isRedrive
      ? `${count(answers.count, 'post')} fetched`
      : `${count(answers.count)} of ${count(total.requested)} posts`;
    const left = (total.requested - answers.count) / perSecond;
    return [
      `${ended} of ${total.parts} parts`,
      ...(failing.size > 0 ? [`${count(failing.size)} failed`] : []),
      posts,
      ...(rejected > 0 ? [`${count(rejected)} rejected`] : []),
      ...(!isRedrive && left > 0 && left < Infinity ? [`${describeSeconds(left)} left`] : []),
      `${count(Math.round(perSecond))} a second`,
    ].join(', ');
  };
  const bar = (): LineProgress => {
    const [done, all] = isRedrive ? [ended, total.parts] : [answers.count, total.requested];
    return { text: `${barOf(done, all)} ${state()}`, share: Math.min(1, done / Math.max(1, all)) };
  };
  const line = stderr.isTTY ? keepProgressLine(stderr, bar) : undefined;
  return {
    get fetched() {
      return fetched;
    },
    planned(plan) {
      total = plan;
      if (!line) stderr.write(`${count(plan.requested)} posts in ${plan.parts} parts\n`);
    },
    ended(partRunId, { replayed, errors, summary }) {
      ended += 1;
      failing.delete(partRunId);
      // Each post is attempted once, but for its retries.
      if (!replayed) fetched += summary.attempts - summary.retries;
      rejected += errors.total;
      const codes = describeCodes(errors).join(', ');
      if (!line) stderr.write(`${partRunId}${codes && ` (${codes})`}: ${state()}\n`);
      else if (codes !== '') line.say(`${partRunId}: ${codes}`);
    },
    failed(partRunId) {
      if (!failing.has(partRunId)) line?.say(`${partRunId} failed, and is tried again`);
      failing.add(partRunId);
    },
    stop() {
      line?.stop();
      answers.stop();
    },
  };
}
