import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Context } from 'aws-lambda';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type PostsStub, startPostsStub } from '../../local/world/posts.ts';
import { type S3Store, startS3Store } from '../../local/world/s3.ts';
import { apiFaults } from '../support/api-description.ts';

/**
 * An event in the shape that its maker publishes, with values of our own, and what it is to come to: a run of these
 * ids, or a refusal, to an HTTP request a problem and to others an error. Detail and message are how they start.
 */
interface Published {
  /** Who publishes or sends it, and where. */
  readonly from: string;
  readonly event: unknown;
  readonly accepted?: {
    readonly trigger: 'direct' | 'schedule' | 'api';
    readonly ids: readonly (number | string)[];
    /** @default Lambda's request id */
    readonly runId?: string;
  };
  readonly refused?:
    | { readonly status: number; readonly detail: string }
    | { readonly name: string; readonly message: string };
}

const directory = join(import.meta.dirname, 'published-events');
const names = (await readdir(directory)).flatMap((file) => file.match(/^(.+)\.json$/)?.[1] ?? []);
const bucket = 'results';

let home: string;
let stub: PostsStub;
let store: S3Store;
let handler: (event: unknown, context: Context) => Promise<unknown>;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'batch-fetcher-published-'));
  stub = await startPostsStub({ latencyMs: () => 0 });
  store = await startS3Store({ directory: home, buckets: [bucket] });
  const env = {
    RESULTS_BUCKET: bucket,
    POST_URL: `${stub.url}/posts/{id}`,
    AWS_ENDPOINT_URL_S3: store.endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
  };
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  ({ handler } = await import('../../src/lambda/fetch.ts'));
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await stub.close();
  await store.close();
  await rm(home, { recursive: true, force: true });
});

test.each(names)('%s comes to what its maker and docs/events.md say', async (name) => {
  const { event, accepted, refused }: Published = JSON.parse(
    await readFile(join(directory, `${name}.json`), 'utf8'),
  );
  const requests = stub.requests();
  const stored = await storedFiles();
  const came = await invoke(event, `request-${name}`);

  if (accepted === undefined) {
    expect(came).toMatchObject({ refused: startsOf(refused) });
    expect([stub.requests(), await storedFiles()]).toStrictEqual([requests, stored]);
    return;
  }
  const { trigger, ids, runId = `request-${name}` } = accepted;
  const document = await readDocument(runId);
  expect(came).toMatchObject({ location: `s3://${bucket}/runs/${runId}.json`, replayed: false });
  expect(document.run).toMatchObject({
    id: runId,
    trigger,
    requestId: `request-${name}`,
    idsSha256: createHash('sha256').update(JSON.stringify(ids)).digest('hex'),
  });
  expect(document.results.map(({ id }) => id)).toStrictEqual(ids);
});

/** The texts of a refusal, as matchers of how a text starts. */
function startsOf(refused: Published['refused']): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(refused ?? {}).map(([key, value]) => [
      key,
      typeof value === 'string' ? expect.stringMatching(new RegExp(`^${RegExp.escape(value)}`)) : value,
    ]),
  );
}

/** A run's reply, that over HTTP as well; else what the refusal says. */
async function invoke(event: unknown, awsRequestId: string): Promise<unknown> {
  const context = { awsRequestId, getRemainingTimeInMillis: () => 60_000 } as Context;
  try {
    const reply = (await handler(event, context)) as Record<string, unknown>;
    expect(apiFaults(event, reply)).toStrictEqual([]);
    if (typeof reply.body !== 'string') return reply;
    const body = JSON.parse(reply.body);
    return reply.statusCode === 200 ? body : { refused: body };
  } catch (error) {
    const { name, message } = error as Error;
    return { refused: { name, message } };
  }
}

interface StoredDocument {
  readonly run: object;
  readonly results: readonly { readonly id: number | string }[];
}

async function readDocument(runId: string): Promise<StoredDocument> {
  return JSON.parse(await readFile(join(home, bucket, `runs/${runId}.json`), 'utf8'));
}

async function storedFiles(): Promise<string[]> {
  return (await readdir(home, { recursive: true })).sort();
}
