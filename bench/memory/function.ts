import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { startS3Store } from '../../local/world/s3.ts';
import { nodeOptions } from '../support/node-options.ts';

/** What one invocation of the built function came to, in a process of its own. */
export interface Invocation {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakRssBytes: number;
}

export interface BenchFunction {
  /** Fetches so many posts of so many bytes. Rejects unless all of them come. */
  invoke(posts: number, postBytes: number, memoryMb?: number): Promise<Invocation>;
  close(): Promise<void>;
}

/** The built function, with an upstream and a store in threads beside it, which share the machine with it. */
export async function startFunction(): Promise<BenchFunction> {
  const directory = await mkdtemp(join(tmpdir(), 'batch-fetcher-bench-'));
  const store = await startS3Store({ directory, buckets: ['bench-results'] });
  const upstreams = new Map<number, { readonly worker: Worker; readonly port: number }>();
  const upstreamOf = async (postBytes: number): Promise<number> => {
    const running = upstreams.get(postBytes);
    if (running) return running.port;
    const worker = new Worker(join(import.meta.dirname, 'upstream.ts'), { workerData: postBytes });
    const [port] = await once(worker, 'message');
    upstreams.set(postBytes, { worker, port });
    return port;
  };

  return {
    async invoke(posts, postBytes, memoryMb) {
      const env = {
        PATH: process.env.PATH,
        NODE_OPTIONS: nodeOptions(memoryMb),
        POST_URL: `http://127.0.0.1:${await upstreamOf(postBytes)}/posts/{id}`,
        ...store.environment,
        RESULTS_BUCKET: 'bench-results',
        MAX_IDS: String(posts),
        POST_IDS: '1',
      };
      const script = join(import.meta.dirname, 'invoke-once.ts');
      const { stdout } = await promisify(execFile)(process.execPath, [script, String(posts)], { env });
      // The lines before are the function's own log.
      const reply = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
      if (reply.summary.fulfilled !== posts) throw new Error(`Expected ${posts} posts, got ${stdout}`);
      return reply;
    },
    async close() {
      await store.close();
      for (const { worker } of upstreams.values()) await worker.terminate();
      await rm(directory, { recursive: true });
    },
  };
}
