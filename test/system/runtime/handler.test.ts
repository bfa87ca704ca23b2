import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startPostsStub } from '../../../local/world/posts.ts';
import { type S3Store, startS3Store } from '../../../local/world/s3.ts';
import { eventually } from '../../support/eventually.ts';
import { lessonReply } from '../../support/lesson-reply.ts';
import { findRic } from './ric.ts';
import { type RuntimeApi, startRuntimeApi } from './runtime-api.ts';

const ric = await findRic();
if ('skipped' in ric) console.warn(`Not run under AWS's runtime interface client: ${ric.skipped}`);

const bucket = 'results';

describe.skipIf('skipped' in ric)("under AWS's runtime interface client", { timeout: 20_000 }, () => {
  const command = 'command' in ric ? ric.command : ([''] as const);
  let home: string;
  let store: S3Store;
  let lambda: RuntimeApi | undefined;
  const cleanups: (() => unknown)[] = [];

  beforeAll(async () => {
    // Far from any node_modules: what the bundle lacks, it has to miss.
    home = await mkdtemp(join(tmpdir(), 'batch-fetcher-runtime-'));
    await cp(join(import.meta.dirname, '../../../dist'), join(home, 'task'), { recursive: true });
    store = await startS3Store({ directory: join(home, 's3'), buckets: [bucket] });
  });

  afterAll(async () => {
    await store?.close();
    await rm(home, { recursive: true, force: true });
  });

  afterEach(async () => {
    const log = lambda?.log();
    await lambda?.close();
    lambda = undefined;
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    // Node's own warnings carry its name and process id, and so do the last words of an unhandled rejection.
    expect(log).not.toMatch(/\(node:\d+\)|unhandled|triggerUncaughtException|^Node\.js v/im);
  });

  async function start(upstream: string, env: Record<string, string | undefined> = {}): Promise<RuntimeApi> {
    lambda = await startRuntimeApi({
      command,
      taskRoot: join(home, 'task'),
      env: {
        RESULTS_BUCKET: bucket,
        POST_URL: `${upstream}/posts/{id}`,
        AWS_ENDPOINT_URL_S3: store.endpoint,
        ...env,
      },
    });
    return lambda;
  }

  const documentPath = (runId: string): string => join(home, 's3', bucket, 'runs', `${runId}.json`);

  const readDocument = async (runId: string) => JSON.parse(await readFile(documentPath(runId), 'utf8'));

  async function postsStub() {
    const stub = await startPostsStub({ latencyMs: () => 0 });
    cleanups.push(() => stub.close());
    return stub;
  }

  test('a cold start answers, the document stands in S3, and a warm one reuses process and connections', async () => {
    const stub = await postsStub();
    const { url, connections } = await countConnections(stub.url, cleanups);
    const runtime = await start(url, { CONCURRENCY: '2' });

    for (const requestId of [randomUUID(), randomUUID()]) {
      expect(await runtime.invoke({ ids: [1, 99999, 3] }, { requestId })).toStrictEqual({
        response: lessonReply(requestId, `s3://${bucket}/runs/${requestId}.json`),
      });
      expect(await readDocument(requestId)).toMatchObject({
        run: { id: requestId, trigger: 'direct', requestId },
        results: [
          { index: 0, id: 1, status: 'fulfilled', value: { id: 1 } },
          { index: 1, id: 99999, status: 'rejected', reason: { code: 'NOT_FOUND' } },
          { index: 2, id: 3, status: 'fulfilled', value: { id: 3 } },
        ],
      });
    }
    expect(runtime.starts()).toBe(1);
    expect(stub.requests()).toBe(6);
    expect(connections()).toBeLessThanOrEqual(2);
  });

  test('between invocations nothing keeps the event loop busy', async () => {
    const runtime = await start((await postsStub()).url);
    await runtime.invoke({ ids: [1, 2, 3] });
    expect(await busyWith(runtime)).toStrictEqual([]);
  });

  test('a process that was frozen until the upstream dropped its connections fetches on', async () => {
    const stub = await postsStub();
    const { url, drop } = await countConnections(stub.url, cleanups);
    const runtime = await start(url);
    await runtime.invoke({ ids: [1, 2, 3] });
    runtime.freeze();
    drop();
    expect(await runtime.invoke({ ids: [1, 2, 3] })).toMatchObject({
      response: { summary: { fulfilled: 3, complete: true } },
    });
    expect(runtime.starts()).toBe(1);
  });

  test('a request that Lambda delivers twice is replayed, and nothing is fetched again', async () => {
    const stub = await postsStub();
    const runtime = await start(stub.url);
    const requestId = randomUUID();
    const first = await runtime.invoke({ ids: [1, 99999, 3] }, { requestId });
    const document = await readFile(documentPath(requestId), 'utf8');

    const second = await runtime.invoke({ ids: [1, 99999, 3] }, { requestId });

    expect(first).toMatchObject({ response: { replayed: false } });
    expect(second).toStrictEqual({ response: { ...Object(Object(first).response), replayed: true } });
    expect(stub.requests()).toBe(3);
    expect(await readFile(documentPath(requestId), 'utf8')).toBe(document);
  });

  test('bad input is reported as an error that names its path, and the process goes on', async () => {
    const stub = await postsStub();
    const runtime = await start(stub.url);

    expect(await runtime.invoke({ ids: [1, { a: 1 }] })).toStrictEqual({
      errorType: 'BadInputError',
      error: expect.stringContaining('ids[1]'),
    });
    expect(stub.requests()).toBe(0);
    expect(await runtime.invoke({ ids: [1] })).toMatchObject({ response: { summary: { fulfilled: 1 } } });
    expect(runtime.starts()).toBe(1);
  });

  test('posts that outlive the deadline become DEADLINE outcomes, and the document is stored in time', async () => {
    const upstream = await serve(cleanups, (request, response) => {
      if (request.url === '/posts/1') response.end('{"id":1}');
    });
    const runtime = await start(upstream.url, { WRITE_RESERVE_MS: '5000' });
    const requestId = randomUUID();

    const reply = await runtime.invoke({ ids: [1, 2, 3] }, { requestId, timeoutMs: 8_000 });

    expect(reply).toMatchObject({
      response: {
        errors: { byCode: { DEADLINE: 2 }, retryableIds: [2, 3] },
        summary: { fulfilled: 1, rejected: 2, complete: false },
      },
    });
    expect(await readDocument(requestId)).toMatchObject({
      results: [
        { id: 1, status: 'fulfilled', value: { id: 1 } },
        { id: 2, status: 'rejected', reason: { code: 'DEADLINE', retryable: true } },
        { id: 3, status: 'rejected', reason: { code: 'DEADLINE', retryable: true } },
      ],
      summary: { complete: false },
    });
  });

  test('a run that the timeout kills leaves no document, and its retry on a cold start makes it whole', async () => {
    let stall = true;
    const upstream = await serve(cleanups, (request, response) => {
      // A process that gets no time at all can't keep a deadline.
      if (stall) lambda?.freeze();
      else response.end(`{"id":${request.url?.replace('/posts/', '')}}`);
    });
    const runtime = await start(upstream.url, { WRITE_RESERVE_MS: '1000' });
    const requestId = randomUUID();

    expect(await runtime.invoke({ ids: [1, 2] }, { requestId, timeoutMs: 2_000 })).toStrictEqual({
      timedOut: `RequestId: ${requestId} Error: Task timed out after 2.00 seconds`,
    });
    expect(await storedDocuments(requestId)).toStrictEqual([]);

    stall = false;
    expect(await runtime.invoke({ ids: [1, 2] }, { requestId })).toMatchObject({
      response: { replayed: false, summary: { fulfilled: 2, complete: true } },
    });
    expect(runtime.starts()).toBe(2);
  });

  test('a missing RESULTS_BUCKET is named in the error of each invocation, without a crash loop', async () => {
    const runtime = await start('http://127.0.0.1:1', { RESULTS_BUCKET: undefined });
    for (let invocation = 0; invocation < 2; invocation++) {
      expect(await runtime.invoke({ ids: [1] })).toStrictEqual({
        errorType: 'ConfigError',
        error: expect.stringContaining('RESULTS_BUCKET'),
      });
    }
    expect(runtime.starts()).toBe(1);
    expect(runtime.initErrors()).toStrictEqual([]);
  });

  test('fail-fast reports the first failure, stores no document, and leaves nothing running', async () => {
    const paths: string[] = [];
    let open = 0;
    const upstream = await serve(cleanups, (request, response) => {
      paths.push(request.url ?? '');
      if (request.url === '/posts/99999') {
        response.writeHead(404).end('{}');
        return;
      }
      open += 1;
      response.once('close', () => {
        open -= 1;
      });
    });
    const runtime = await start(upstream.url, { CONCURRENCY: '3' });
    const requestId = randomUUID();
    const event = { ids: [1, 99999, 3, 4, 5, 6], returnExceptions: false };

    const startedMs = Date.now();

    const reply = await runtime.invoke(event, { requestId, timeoutMs: 18_000 });

    expect(reply).toMatchObject({ error: 'No data for post 99999' });
    // Long before the deadline, which would have ended the other fetches too.
    expect(Date.now() - startedMs).toBeLessThan(10_000);
    const asked = paths.toSorted();
    await eventually(() => open === 0);
    expect(await busyWith(runtime)).toStrictEqual([]);
    expect(paths.toSorted()).toStrictEqual(asked);
    expect(asked).not.toContain('/posts/6');
    expect(await storedDocuments(requestId)).toStrictEqual([]);
  });

  async function storedDocuments(runId: string): Promise<string[]> {
    const names = await readdir(join(home, 's3', bucket), { recursive: true });
    return names.filter((name) => name.includes(runId) && !name.endsWith('.progress.json'));
  }
});

/** What keeps the process busy however often it is asked, but for sockets, which may stay for the next event. */
async function busyWith(runtime: RuntimeApi): Promise<readonly string[]> {
  for (let asked = 1; ; asked++) {
    const left = (await runtime.activeResources()).filter((type) => !/Wrap$/.test(type));
    if (left.length === 0 || asked === 10) return left;
  }
}

/** An upstream that answers what `listener` answers, and else never. */
async function serve(
  cleanups: (() => unknown)[],
  listener: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ url: string }> {
  const server = createServer(listener);
  cleanups.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: await listen(server) };
}

/** Passes bytes to `target` and back; counts the connections, and can drop them as a server does with idle ones. */
async function countConnections(
  target: string,
  cleanups: (() => unknown)[],
): Promise<{ url: string; connections: () => number; drop: () => void }> {
  let connections = 0;
  const sockets = new Set<{ destroy(): void }>();
  const server = createTcpServer((inner) => {
    connections += 1;
    const outer = connect(Number(new URL(target).port), '127.0.0.1');
    for (const [from, to] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });
  const drop = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  cleanups.push(() => {
    server.close();
    drop();
  });
  return { url: await listen(server), connections: () => connections, drop };
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // a TCP server's address is no string
}
