import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { startS3Store } from '../local/s3-store.ts';
import { nodeOptions } from './node-options.ts';

/*
 * Does memory grow with the batch? The peak RSS of the built function, in a process of its own with the heap
 * that it has when deployed, for batches of growing size of 300-byte posts; the sizes in turn, and the
 * medians. The upstream and the store have threads of their own, and share the machine with it.
 */
const SIZES = [1_000, 10_000, 100_000];
const ROUNDS = 5;
const POST_BYTES = 300;

interface Invocation {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakRssBytes: number;
  readonly summary: { readonly fulfilled: number };
}

const upstream = new Worker(join(import.meta.dirname, 'upstream.ts'), { workerData: POST_BYTES });
const [port] = await once(upstream, 'message');
const store = await startS3Store({ buckets: ['bench-results'] });

const env = {
  PATH: process.env.PATH,
  NODE_OPTIONS: nodeOptions(),
  POST_URL: `http://127.0.0.1:${port}/posts/{id}`,
  AWS_ENDPOINT_URL_S3: store.endpoint,
  AWS_REGION: 'us-east-1',
  AWS_ACCESS_KEY_ID: 'local',
  AWS_SECRET_ACCESS_KEY: 'local',
  RESULTS_BUCKET: 'bench-results',
  MAX_IDS: String(Math.max(...SIZES)),
};

async function invoke(posts: number): Promise<Invocation> {
  const script = join(import.meta.dirname, 'invoke-once.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [script, String(posts)], { env });
  // The lines before are the function's own log.
  const invocation: Invocation = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
  if (invocation.summary.fulfilled !== posts) throw new Error(`Expected ${posts} posts, got ${stdout}`);
  return invocation;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

try {
  const rounds = new Map<number, Invocation[]>(SIZES.map((size) => [size, []]));
  for (let round = 0; round < ROUNDS; round++)
    for (const [size, invocations] of rounds) invocations.push(await invoke(size));
  const medians = [...rounds].map(([posts, invocations]) => ({
    posts,
    peakRssMb: median(invocations.map(({ peakRssBytes }) => peakRssBytes)) / 1e6,
    postsPerSecond: posts / median(invocations.map(({ seconds }) => seconds)),
    cpuMicrosPerPost: (median(invocations.map(({ cpuSeconds }) => cpuSeconds)) / posts) * 1e6,
  }));
  const [base] = medians;
  console.table(
    medians.map(({ posts, peakRssMb, postsPerSecond, cpuMicrosPerPost }) => ({
      posts,
      'peak RSS, MB': Math.round(peakRssMb),
      [`above ${base?.posts} posts, MB`]: Math.round(peakRssMb - (base?.peakRssMb ?? Number.NaN)),
      'posts/s': Math.round(postsPerSecond),
      'CPU µs a post': Math.round(cpuMicrosPerPost),
    })),
  );
  console.log(`Node ${process.version}, ${env.NODE_OPTIONS}; median of ${ROUNDS} rounds, start-up included`);
} finally {
  await store.close();
  await upstream.terminate();
}
