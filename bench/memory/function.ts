import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { startS3Store } from '../../local/world/s3.ts';
import type { Output } from '../../src/document/run-head.ts';
import { nodeOptions } from '../support/node-options.ts';

/** What one invocation of the built function came to, in a process of its own. */
export interface Invocation {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakRssBytes: number;
  /** Of the object that has the outcomes; 0 where that is the document. */
  readonly outcomesBytes: number;
}

/** What an upstream serves. */
export interface UpstreamPosts {
  readonly postBytes: number;
  /** Whether each has words of its own, and not filler. */
  readonly hasWords: boolean;
}

interface InvokeOptions {
  /** Of the function, whose heap is half of that. @default that of the deployed one */
  readonly memoryMb?: number;
  /** See `UpstreamPosts`. @default false */
  readonly hasWords?: boolean;
  /** @default json */
  readonly output?: Output;
}

export interface BenchFunction {
  /** Fetches so many posts of so many bytes. Rejects unless all of them come. */
  invoke(posts: number, postBytes: number, options?: InvokeOptions): Promise<Invocation>;
  close(): Promise<void>;
}

/** The built function, with an upstream and a store in threads beside it, which share the machine with it. */
export async function startFunction(): Promise<BenchFunction> {
  const directory = await mkdtemp(join(tmpdir(), 'batch-fetcher-bench-'));
  const store = await startS3Store({ directory, buckets: ['bench-results'] });
  const upstreams = new Map<string, { readonly worker: Worker; readonly port: number }>();
  const upstreamOf = async (served: UpstreamPosts): Promise<number> => {
    const name = JSON.stringify(served);
    const running = upstreams.get(name);
    if (running) return running.port;
    const worker = new Worker(join(import.meta.dirname, 'upstream.ts'), { workerData: served });
    const [port] = await once(worker, 'message');
    upstreams.set(name, { worker, port });
    return port;
  };

  return {
    async invoke(posts, postBytes, { memoryMb, hasWords = false, output = 'json' } = {}) {
      const env = {
        PATH: process.env.PATH,
        NODE_OPTIONS: nodeOptions(memoryMb),
        POST_URL: `http://127.0.0.1:${await upstreamOf({ postBytes, hasWords })}/posts/{id}`,
        ...store.environment,
        RESULTS_BUCKET: 'bench-results',
        MAX_IDS: String(posts),
        POST_IDS: '1',
        OUTPUT: output,
      };
      const script = join(import.meta.dirname, 'invoke-once.ts');
      const { stdout } = await promisify(execFile)(process.execPath, [script, String(posts)], { env });
      // The lines before are the function's own log.
      const reply = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
      if (reply.summary.fulfilled !== posts) throw new Error(`Expected ${posts} posts, got ${stdout}`);
      const file = join(directory, reply.location.slice('s3://'.length));
      const document = output === 'json' ? undefined : JSON.parse(await readFile(file, 'utf8'));
      return { ...reply, outcomesBytes: document?.outcomes.bytes ?? 0 };
    },
    async close() {
      await store.close();
      for (const { worker } of upstreams.values()) await worker.terminate();
      await rm(directory, { recursive: true });
    },
  };
}
