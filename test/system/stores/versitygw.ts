import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateBucketCommand, PutBucketPolicyCommand } from '@aws-sdk/client-s3';
import { environmentOf, type S3Store, type S3StoreOptions } from '../../../local/world/s3.ts';
import { createS3Client } from '../../../src/store/s3.ts';

const MODULE = 'github.com/versity/versitygw';
const VERSION = 'v1.8.0';
const BUILD_MS = 600_000;
const START_MS = 10_000;

const cache = resolve(
  process.env.VERSITYGW_CACHE_DIR ?? join(import.meta.dirname, '../../../.cache/versitygw'),
);
const home = join(cache, `${VERSION}-${process.platform}-${process.arch}`);
const program = join(home, 'versitygw');

/** The program, or why it can't be had on this machine. */
type Built = { readonly program: string } | { readonly skipped: string };

/**
 * Builds versitygw from Go's module proxy into `.cache/versitygw/` (or `VERSITYGW_CACHE_DIR`, which clones can share),
 * unless it is there. That takes minutes, so tests do not do it on their own. Never rejects because the build fails.
 */
async function build(): Promise<Built> {
  if (existsSync(program)) return { program };
  await mkdir(cache, { recursive: true });
  // Under a name of its own until it is whole: an interrupted build is never taken for a good one.
  const building = await mkdtemp(join(cache, 'building-'));
  try {
    const why = await install(building);
    if (why !== undefined) return { skipped: why };
    await rm(home, { recursive: true, force: true });
    await rename(building, home);
    return { program };
  } finally {
    await rm(building, { recursive: true, force: true });
  }
}

/** Resolves with why it could not be installed, undefined where it is. */
async function install(directory: string): Promise<string | undefined> {
  const child = spawn('go', ['install', `${MODULE}/cmd/versitygw@${VERSION}`], {
    env: { ...process.env, GOBIN: directory },
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: BUILD_MS,
  });
  let output = '';
  child.stderr.on('data', (chunk: Buffer) => {
    output = (output + chunk).slice(-2_000);
  });
  try {
    const [code] = await once(child, 'close');
    return code === 0 ? undefined : `versitygw does not build:\n${output.trim()}`;
  } catch {
    return 'versitygw needs Go to build';
  }
}

/**
 * Serves S3 from files, as `startS3Store` does, by versitygw: a store that no one here wrote. Throws where
 * `npm run versitygw` has not built it. Whoever asks, signed or not, may do all in the buckets.
 */
export async function startVersitygw({ directory, buckets }: S3StoreOptions): Promise<S3Store> {
  if (!existsSync(program))
    throw new Error('versitygw is not built; `npm run versitygw` does it, in minutes');
  const root = directory ?? mkdtempSync(join(tmpdir(), 'batch-fetcher-versitygw-'));
  mkdirSync(root, { recursive: true });
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const child = spawn(program, ['--port', `127.0.0.1:${port}`, '--keep-alive', '--quiet', 'posix', root], {
    env: { ...process.env, ROOT_ACCESS_KEY: 'local', ROOT_SECRET_KEY: 'local' },
    stdio: 'ignore',
  });
  await answers(endpoint);
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
  const client = createS3Client({ endpoint, region: 'us-east-1', credentials });
  for (const Bucket of buckets) {
    await client.send(new CreateBucketCommand({ Bucket }));
    const Resource = [`arn:aws:s3:::${Bucket}`, `arn:aws:s3:::${Bucket}/*`];
    const Statement = [{ Effect: 'Allow', Principal: '*', Action: 's3:*', Resource }];
    const Policy = JSON.stringify({ Version: '2012-10-17', Statement });
    await client.send(new PutBucketPolicyCommand({ Bucket, Policy }));
  }
  client.destroy();
  return {
    endpoint,
    environment: environmentOf(endpoint),
    openUploads: () => buckets.reduce((sum, bucket) => sum + countUploads(join(root, bucket)), 0),
    async close() {
      const exit = once(child, 'exit');
      child.kill();
      await exit;
      if (directory === undefined) rmSync(root, { recursive: true, force: true });
    },
  };
}

/** It keeps each upload in a folder, below one for each object. */
function countUploads(bucket: string): number {
  const uploads = join(bucket, '.sgwtmp/multipart');
  if (!existsSync(uploads)) return 0;
  return readdirSync(uploads).reduce((sum, object) => sum + readdirSync(join(uploads, object)).length, 0);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address ? address.port : 0;
}

async function answers(endpoint: string): Promise<void> {
  for (const start = performance.now(); ; ) {
    try {
      await (await fetch(endpoint)).arrayBuffer();
      return;
    } catch (error) {
      if (performance.now() - start > START_MS) throw error;
      await sleep(50);
    }
  }
}

// `node test/system/stores/versitygw.ts` builds it ahead of the tests.
if (import.meta.main) {
  const built = await build();
  console.log('skipped' in built ? built.skipped : built.program);
  // The timer of a build that could not be started is left.
  process.exit('skipped' in built ? 1 : 0);
}
