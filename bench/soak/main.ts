import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { startS3Store } from '../../local/world/s3.ts';
import type { DirectReply } from '../../src/lambda/events/reply.ts';
import { documentFaults } from '../../test/support/schemas.ts';
import { nodeOptions } from '../support/node-options.ts';
import { faultOf, postOf, STRAYS_FROM_ID } from './faults.ts';
import type { Held } from './function.ts';

/*
 * 200,000 posts in 20 runs of one warm process of the built function, against an origin where 5 % of the requests
 * go wrong, each in one of some 40 ways that a seed draws. Every id has to have the outcome in its place that the draw
 * leads to, the counts have to add up, and memory and sockets to end where they began.
 *
 * npm run soak [-- <seed>]
 */
const RUNS = 20;
const POSTS = 10_000;
const MAX_ATTEMPTS = 6;
/** What undici and the SDK keep of idle connections is closed by then. */
const IDLE_MS = 6_000;
const MOST_HEAP_GROWTH_BYTES = 5e6;
const BUCKET = 'soak-results';

const seed = Number(process.argv[2] ?? 1);
const home = await mkdtemp(join(tmpdir(), 'batch-fetcher-soak-'));
const upstream = new Worker(join(import.meta.dirname, 'upstream.ts'), { workerData: seed });
const [origin] = await once(upstream, 'message');
const store = await startS3Store({ directory: home, buckets: [BUCKET] });
const child = fork(join(import.meta.dirname, 'function.ts'), {
  env: {
    PATH: process.env.PATH,
    POST_URL: `${origin}/posts/{id}`,
    ...store.environment,
    RESULTS_BUCKET: BUCKET,
    MAX_ATTEMPTS: String(MAX_ATTEMPTS),
    ATTEMPT_TIMEOUT_MS: '2000',
    HEDGE: 'on',
    POWERTOOLS_LOG_LEVEL: 'WARN',
    POWERTOOLS_METRICS_DISABLED: 'true',
  },
  execArgv: ['--expose-gc', ...nodeOptions().split(' ')],
});

const ask = async <T>(message: object): Promise<T> => {
  const exited = new AbortController();
  child.once('exit', (code) => exited.abort(new Error(`The function's process ended: ${code}`)));
  child.send(message);
  const [answer] = await once(child, 'message', { signal: exited.signal });
  child.removeAllListeners('exit');
  return answer as T;
};

const problems: string[] = [];
const expectEqual = (what: string, got: unknown, expected: unknown): void => {
  if (got !== expected) problems.push(`${what}: expected ${String(expected)}, got ${String(got)}`);
};

/** Checks a run's document against the draw. */
async function check(run: number, reply: DirectReply): Promise<void> {
  const document = JSON.parse(await readFile(join(home, BUCKET, `runs/${reply.runId}.json`), 'utf8'));
  for (const fault of documentFaults(document)) problems.push(`run ${run}: ${fault}`);
  expectEqual(`run ${run}, outcomes`, document.results.length, POSTS);
  const counts = { fulfilled: 0, rejected: 0, attempts: 0 };
  for (let index = 0; index < POSTS; index++) {
    const outcome = document.results[index];
    const id = run * POSTS + index + 1;
    expectEqual(`run ${run}, results[${index}].id`, outcome.id, id);
    counts[outcome.status as 'fulfilled' | 'rejected'] += 1;
    counts.attempts += outcome.attempts;
    const code = outcome.reason?.code ?? 'post';
    // Of two requests at once, either may have been the first at the origin, and its answer the first back. An answer
    // that may be another request's is not taken, and the post asked for again.
    const firsts = [1, ...(outcome.hedged ? [2] : []), ...(id >= STRAYS_FROM_ID ? [2, 3] : [])];
    const expected = firsts.map((times) => expectedOf(id, times));
    if (!expected.includes(code)) problems.push(`post ${id}: expected ${expected.join(' or ')}, got ${code}`);
    if (code === 'post') expectEqual(`post ${id}`, JSON.stringify(outcome.value), postOf(id));
  }
  const { summary, errors } = reply;
  expectEqual(`run ${run}, fulfilled`, summary.fulfilled, counts.fulfilled);
  expectEqual(`run ${run}, rejected`, summary.rejected, counts.rejected);
  expectEqual(`run ${run}, attempts`, summary.attempts, counts.attempts);
  expectEqual(`run ${run}, retries`, summary.retries, counts.attempts - POSTS);
  expectEqual(`run ${run}, errors`, errors.total, counts.rejected);
  expectEqual(
    `run ${run}, byCode`,
    Object.values(errors.byCode).reduce((sum, count) => sum + count, 0),
    counts.rejected,
  );
}

/** What a post comes to: the first of its requests, from `first` on, that is not to be tried again decides. */
function expectedOf(id: number, first: number): string {
  for (let times = first; ; times++) {
    const { leadsTo } = faultOf(seed, id, times) ?? { leadsTo: 'post' };
    if (leadsTo !== 'retry') return leadsTo;
  }
}

const mb = (bytes: number): string => (bytes / 1e6).toFixed(1);

try {
  await once(child, 'message');
  const invoke = (runId: string, from: number, count: number): Promise<DirectReply> =>
    ask({ event: { ids: [{ from, to: from + count - 1 }], runId }, requestId: runId });
  // What the first run of a process leaves for good is not the matter here.
  await invoke('warm-up', RUNS * POSTS + 1, 1_000);
  await sleep(IDLE_MS);
  const before = await ask<Held>({});
  const startMs = performance.now();
  const totals = { attempts: 0, retries: 0, hedges: 0, hedgesWon: 0, rejected: 0 };
  for (let run = 0; run < RUNS; run++) {
    const reply = await invoke(`soak-${run}`, run * POSTS + 1, POSTS);
    await check(run, reply);
    for (const name of Object.keys(totals) as (keyof typeof totals)[]) totals[name] += reply.summary[name];
    const { durationMs, concurrency, throttledMs } = reply.summary;
    console.log(
      `run ${run + 1}: ${Math.round(POSTS / (durationMs / 1_000))} posts/s, concurrency ${concurrency.min} to ${concurrency.max}, throttled ${throttledMs} ms, ${JSON.stringify(reply.errors.byCode)}`,
    );
  }
  const seconds = (performance.now() - startMs) / 1_000;
  await sleep(IDLE_MS);
  const after = await ask<Held>({});
  upstream.postMessage('report');
  const [report] = await once(upstream, 'message');
  if (after.heapBytes > before.heapBytes + MOST_HEAP_GROWTH_BYTES)
    problems.push(`memory: ${mb(before.heapBytes)} MB before, ${mb(after.heapBytes)} MB after`);
  if (after.sockets > before.sockets)
    problems.push(`sockets: ${before.sockets} before, ${after.sockets} after`);
  expectEqual("the origin's open connections", report.open, 0);

  console.log(JSON.stringify(report.met));
  console.log(
    `seed ${seed}: ${RUNS * POSTS} posts in ${seconds.toFixed(0)} s, ${report.requests} requests, ${Object.entries(
      totals,
    )
      .map(([name, count]) => `${count} ${name}`)
      .join(', ')}`,
  );
  console.log(
    `heap ${mb(before.heapBytes)} MB before, ${mb(after.heapBytes)} MB after; RSS ${mb(before.rssBytes)} and ${mb(after.rssBytes)} MB; sockets ${before.sockets} and ${after.sockets}`,
  );
  for (const problem of problems.slice(0, 20)) console.error(problem);
  console.log(problems.length === 0 ? 'all as it should be' : `${problems.length} problems`);
  process.exitCode = problems.length === 0 ? 0 : 1;
} finally {
  child.disconnect();
  await once(child, 'exit');
  await upstream.terminate();
  await store.close();
  await rm(home, { recursive: true });
}
