import { createHash, randomBytes } from 'node:crypto';
import { DeleteObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, beforeEach, expect, vi } from 'vitest';
import type { S3Store } from '../../../local/world/s3.ts';
import { StoreError } from '../../../src/base/errors.ts';
import type { StoreOptions } from '../../../src/store/keys.ts';
import { createRunStore, type RunStore } from '../../../src/store/run-store.ts';
import { createS3Client } from '../../../src/store/s3.ts';
import { eventually } from '../../support/eventually.ts';
import { type MisbehavingS3, type S3Operation, startMisbehavingS3 } from '../../support/misbehaving-s3.ts';
import { SkippingClock } from '../../support/skipping-clock.ts';
import { startStore } from '../../support/start-store.ts';

export const MIB = 1024 ** 2;
export const bucket = 'results';
export const otherBucket = 'others';
export const FOREVER: Promise<never> = new Promise(() => {});
export const never = (): AbortSignal => new AbortController().signal;

type Client = ReturnType<typeof createS3Client>;

/** S3 for the tests of a file, and for each test a client and a store of its own before it. */
export interface StoreWorld {
  /** The store behind `s3`. */
  readonly real: S3Store;
  readonly s3: MisbehavingS3;
  readonly client: Client;
  /** Its documents have the prefix `runs/`. */
  readonly store: RunStore;
  /** Of the stores here. It stands still unless a test moves it, and there is no pause between tries. */
  readonly clock: SkippingClock;
  clientAt(endpoint: string): Client;
  /** What a store before a client is made of. */
  optionsOf(client: Client): StoreOptions;
  storeAt(endpoint: string): RunStore;
  newRunId(): string;
  /** Puts an object there behind the back of the store under test. */
  put(key: string, body: string | Buffer, headers?: Readonly<Record<string, string>>): Promise<void>;
  /** Removes every object. */
  clear(): Promise<void>;
  /** What stands there; undefined where nothing does. */
  stored(key: string): Promise<Buffer | undefined>;
  /** How often each operation was asked for. */
  counts(): Partial<Record<S3Operation, number>>;
}

/** To be called once in a file, outside of its tests. */
export function storeWorld(): StoreWorld {
  let real: S3Store;
  let s3: MisbehavingS3;
  let client: Client;
  let store: RunStore;
  let clock: SkippingClock;
  let runs = 0;
  const clients: Client[] = [];
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => {
    warnings.push(warning);
  };
  const clientAt = (endpoint: string): Client => {
    const opened = createS3Client({
      endpoint,
      region: 'us-east-1',
      credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    });
    clients.push(opened);
    return opened;
  };
  const optionsOf = (of: Client): StoreOptions => ({
    client: of,
    bucket,
    prefix: 'runs/',
    clock,
    random: () => 0,
  });
  const urlOf = (key: string): string =>
    `${real.endpoint}/${bucket}/${key.split('/').map(encodeURIComponent).join('/')}`;

  beforeAll(async () => {
    process.on('warning', onWarning);
    real = await startStore({ buckets: [bucket, otherBucket] });
    s3 = await startMisbehavingS3(real.endpoint);
  });
  beforeEach(() => {
    clock = new SkippingClock(1);
    client = clientAt(s3.endpoint);
    store = createRunStore(optionsOf(client));
  });
  afterEach(async () => {
    vi.useRealTimers();
    vi.restoreAllMocks();
    for (const opened of clients.splice(0)) opened.destroy();
    s3.behave();
    await eventually(() => real.openUploads() === 0);
  });
  afterAll(async () => {
    await s3.stop();
    await real.close();
    process.off('warning', onWarning);
    expect(warnings).toStrictEqual([]);
  });

  return {
    get real() {
      return real;
    },
    get s3() {
      return s3;
    },
    get client() {
      return client;
    },
    get store() {
      return store;
    },
    get clock() {
      return clock;
    },
    clientAt,
    optionsOf,
    storeAt: (endpoint) => createRunStore(optionsOf(clientAt(endpoint))),
    newRunId: () => `run-${++runs}`,
    async put(key, body, headers = {}) {
      const response = await fetch(urlOf(key), {
        method: 'PUT',
        body: new Uint8Array(Buffer.from(body)),
        headers,
      });
      expect(response.status).toBe(200);
    },
    async clear() {
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
      for (const { Key = '' } of Contents)
        await client.send(new DeleteObjectCommand({ Bucket: bucket, Key }));
      s3.behave();
    },
    async stored(key) {
      const response = await fetch(urlOf(key));
      const body = Buffer.from(await response.arrayBuffer());
      return response.ok ? body : undefined;
    },
    counts() {
      const found: Record<string, number> = {};
      for (const asked of s3.operations) {
        const [operation = ''] = asked.split(' ');
        found[operation] = (found[operation] ?? 0) + 1;
      }
      return found;
    },
  };
}

export async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  const [settled] = await Promise.allSettled([promise]);
  return settled.status === 'rejected' ? settled.reason : expect.fail('It was not rejected');
}

/** A StoreError, as plain values. */
export async function storeErrorOf(promise: Promise<unknown>) {
  const error = await rejectionOf(promise);
  if (!(error instanceof StoreError)) throw error;
  return { code: error.code, message: error.message };
}

/** What `storeErrorOf` resolves with for the document of a run. */
export const failure = (runId: string, verb: 'read' | 'written', why: string) => ({
  code: 'STORE_FAILED',
  message: `s3://results/runs/${runId}.json could not be ${verb}: ${why}`,
});

/** Chunks of random bytes, and whether their source has ended. */
export function source(...sizes: readonly number[]) {
  const chunks = sizes.map((size) => randomBytes(size));
  const state = { ended: false, taken: 0 };
  const iterate = async function* (): AsyncGenerator<Buffer> {
    try {
      for (const chunk of chunks) {
        state.taken += 1;
        yield chunk;
      }
    } finally {
      state.ended = true;
    }
  };
  return { chunks: iterate(), bytes: Buffer.concat(chunks), state };
}

export const sha256 = (bytes: Buffer | undefined): string =>
  createHash('sha256')
    .update(bytes ?? 'nothing')
    .digest('hex');
