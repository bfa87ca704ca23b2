import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { postOf } from '../../bench/support/post.ts';
import { listen } from '../../local/world/listen.ts';
import { projectDirectory } from '../../local/world/places.ts';
import { startPostsStub } from '../../local/world/posts.ts';
import { type S3Store, startS3Store } from '../../local/world/s3.ts';
import { type HandlerProcess, startHandler } from '../support/handler-process.ts';
import { sampleEvent } from '../support/sample-events.ts';
import { documentFaults } from '../support/schemas.ts';

const bucket = 'results';

let home: string;
let store: S3Store;
let stack: AsyncDisposableStack;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'batch-fetcher-gzip-'));
  store = await startS3Store({ directory: home, buckets: [bucket] });
  stack = new AsyncDisposableStack();
});
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
  await rm(join(home, bucket, 'runs'), { recursive: true, force: true });
  expect(store.openUploads()).toBe(0);
});
afterAll(async () => {
  await store.close();
  await rm(home, { recursive: true });
});

interface Origin {
  url: string;
  /** Which posts are not to be had: 503. */
  isDown(post: number): boolean;
  /** Which are never answered. */
  isHeld(post: number): boolean;
}

/** An origin of posts that are as `bodyOf` says. */
async function startOrigin(bodyOf: (post: number) => string): Promise<Origin> {
  const origin: Origin = { url: '', isDown: () => false, isHeld: () => false };
  const server = createServer((request, response) => {
    const post = Number(request.url?.slice('/posts/'.length));
    if (origin.isHeld(post)) return;
    if (origin.isDown(post)) response.writeHead(503).end();
    else response.writeHead(200, { 'content-type': 'application/json' }).end(bodyOf(post));
  });
  const { origin: url, close } = await listen(server);
  stack.defer(() => {
    server.closeAllConnections();
    return close();
  });
  return Object.assign(origin, { url });
}

function start(url: string, env: Readonly<Record<string, string>> = {}): HandlerProcess {
  const built = startHandler(join(projectDirectory, 'dist/handler.js'), {
    RESULTS_BUCKET: bucket,
    POST_URL: `${url}/posts/{id}`,
    OUTPUT: 'ndjson.gz',
    MAX_ATTEMPTS: '1',
    ADAPTIVE: 'off',
    ...store.environment,
    ...env,
  });
  stack.defer(() => built.kill());
  return built;
}

async function invoke(built: HandlerProcess, event: unknown, requestId: string) {
  const answer = await built.invoke(event, requestId);
  // biome-ignore lint/suspicious/noExplicitAny: The reply is what a caller of any kind is given.
  return 'returned' in answer ? (answer.returned as any) : expect.fail(answer.thrown.message);
}

const file = (name: string): string => join(home, bucket, 'runs', name);
const stored = async (): Promise<string[]> =>
  (await readdir(file(''))).filter((name) => !name.endsWith('.progress.json')).sort();

/** The outcomes that a document names, or has, as they stand in a document. */
async function outcomesOf(runId: string): Promise<{ index: number; value?: object; reason?: object }[]> {
  const document = JSON.parse(await readFile(file(`${runId}.json`), 'utf8'));
  expect(documentFaults(document)).toStrictEqual([]);
  if (document.results) return document.results;
  const object = await readFile(join(home, document.outcomes.location.slice('s3://'.length)));
  expect(object).toHaveLength(document.outcomes.bytes);
  const text = document.outcomes.location.endsWith('.gz') ? gunzipSync(object) : object;
  return text
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => {
      const { runId: of, ...outcome } = JSON.parse(line);
      expect(of).toBe(runId);
      return outcome;
    });
}

describe('a run with OUTPUT=ndjson.gz', () => {
  test('leaves its outcomes in gzip, says so to whoever fetches them, and is replayed', async () => {
    const { url, close } = await startPostsStub({ latencyMs: () => 0 });
    stack.defer(close);
    const built = start(url);
    const event = { ids: [1, 99_999, { from: 3, to: 200 }], runId: 'run' };
    const first = await invoke(built, event, 'first');
    expect(first).toMatchObject({ replayed: false, summary: { fulfilled: 199, rejected: 1 } });
    expect(await stored()).toStrictEqual(['run.json', 'run.ndjson.gz']);
    const outcomes = await outcomesOf('run');
    expect(outcomes.map(({ index }) => index)).toStrictEqual(Array.from({ length: 200 }, (_, i) => i));
    expect(outcomes[1]).toMatchObject({ id: 99_999, reason: { code: 'NOT_FOUND' } });
    const response = await fetch(`${store.endpoint}/${bucket}/runs/run.ndjson.gz`);
    expect(response.headers.get('content-type')).toBe('application/x-ndjson');
    expect(response.headers.get('content-encoding')).toBe('gzip');
    expect(await response.text()).toBe(gunzipSync(await readFile(file('run.ndjson.gz'))).toString());
    expect(await invoke(built, event, 'second')).toStrictEqual({ ...first, replayed: true });
  }, 60_000);

  test('of 2,000 posts of 150 bytes takes at most 30 KB', async () => {
    const origin = await startOrigin((post) => postOf(post, 150));
    await invoke(start(origin.url), { ids: [{ from: 1, to: 2_000 }], runId: 'run' }, 'first');
    expect(gunzipSync(await readFile(file('run.ndjson.gz'))).length).toBeGreaterThan(500_000);
    expect((await readFile(file('run.ndjson.gz'))).length).toBeLessThan(30_000);
  }, 60_000);

  test('is read by gzip(1) and Python as it is by us', async () => {
    const { url, close } = await startPostsStub({ latencyMs: () => 0 });
    stack.defer(close);
    await invoke(start(url), { ids: [{ from: 1, to: 500 }], runId: 'run' }, 'first');
    const text = gunzipSync(await readFile(file('run.ndjson.gz'))).toString();
    const script = 'import gzip, sys; sys.stdout.buffer.write(gzip.open(sys.argv[1]).read())';
    for (const [command, ...args] of [
      ['gzip', '-dc'],
      ['python3', '-c', script],
    ] as const) {
      const { stdout, error } = spawnSync(command, [...args, file('run.ndjson.gz')], { encoding: 'utf8' });
      if (error) console.warn(`${command} is not here`);
      else expect(stdout).toBe(text);
    }
  }, 60_000);

  test('is redriven as any other, from each format into each', async () => {
    const formats = ['json', 'ndjson', 'ndjson.gz', 'ndjson.gz', 'ndjson', 'json', 'ndjson.gz', 'json'];
    const origin = await startOrigin((post) => `{"id":${post},"price":1.10}`);
    const ids = [{ from: 1, to: 20 }];
    for (const [number, OUTPUT] of formats.entries()) {
      // One post more comes each time.
      origin.isDown = (post) => post > number + 1;
      const built = start(origin.url, { OUTPUT });
      const event = number === 0 ? { ids, runId: 'run' } : { redrive: 'run' };
      const runId = number === 0 ? 'run' : `run.redrive-${number}`;
      const reply = await invoke(built, event, `request-${number}`);
      expect(reply).toMatchObject({ runId, replayed: false, summary: { fulfilled: number + 1 } });
      const values = (await outcomesOf(runId)).flatMap(({ value }) => (value ? [value] : []));
      expect(values).toStrictEqual(
        Array.from({ length: number + 1 }, (_, index) => ({ id: index + 1, price: 1.1 })),
      );
      const name = OUTPUT === 'json' ? `${runId}.json` : `${runId}.${OUTPUT}`;
      expect(await stored()).toContain(name);
      built.kill();
    }
  }, 120_000);

  test('that is killed in the middle, or before its document, is done whole by the next delivery', async () => {
    const origin = await startOrigin((post) => postOf(post, 150));
    const killed = start(origin.url);
    const event = { ids: [{ from: 1, to: 1_000 }], runId: 'run' };
    const { promise: isHeld, resolve } = Promise.withResolvers<void>();
    origin.isHeld = (post) => {
      if (post > 500) resolve();
      return post > 500;
    };
    const invocation = killed.invoke(event, 'first').catch(() => 'gone');
    await isHeld;
    killed.kill();
    expect(await invocation).toBe('gone');
    // As one that is killed between its two writes leaves it.
    await writeFile(file('run.ndjson.gz'), 'what it had');
    origin.isHeld = () => false;
    expect(await invoke(start(origin.url), event, 'first')).toMatchObject({
      replayed: false,
      summary: { fulfilled: 1_000 },
    });
    expect(await stored()).toStrictEqual(['run.json', 'run.ndjson.gz']);
    expect(await outcomesOf('run')).toHaveLength(1_000);
  }, 60_000);

  test('is read through the API, page by page, and by the URL of its results', async () => {
    const origin = await startOrigin((post) => `{"id":${post},"price":1.10}`);
    origin.isDown = (post) => post % 100 === 0;
    const built = start(origin.url);
    await invoke(built, { ids: [{ from: 1, to: 1_000 }], runId: 'run' }, 'first');
    const get = async (path: string, query: Readonly<Record<string, string>> = {}) => {
      const { requestContext, ...request } = sampleEvent<{ requestContext: { http: object } }>(
        'http-api-get',
      );
      const rawPath = `/prod${path}`;
      const asked = {
        ...request,
        routeKey: '$default',
        rawPath,
        rawQueryString: new URLSearchParams(query).toString(),
        queryStringParameters: query,
        requestContext: {
          ...requestContext,
          routeKey: '$default',
          http: { ...requestContext.http, path: rawPath },
        },
      };
      const reply = await invoke(built, asked, 'read');
      expect(reply, reply.body).toMatchObject({ statusCode: 200 });
      return JSON.parse(reply.body);
    };
    const all = await outcomesOf('run');
    const pages = [];
    for (let after: number | undefined = -1; after !== undefined; ) {
      const page = await get('/batches/run/outcomes', {
        limit: '300',
        ...(after >= 0 && { after: String(after) }),
      });
      pages.push(...page.outcomes);
      after = page.next;
    }
    expect(pages).toStrictEqual(all);
    const failed = await get('/batches/run/outcomes', { status: 'rejected', after: '500', limit: '3' });
    expect(failed.outcomes.map(({ index }: { index: number }) => index)).toStrictEqual([599, 699, 799]);
    const run = await get('/batches/run');
    expect(run.outcomes.location).toBe('s3://results/runs/run.ndjson.gz');
    const fetched = await (await fetch(run.resultsUrl)).text();
    expect(fetched).toBe(gunzipSync(await readFile(file('run.ndjson.gz'))).toString());
    expect((await get('/batches')).runs).toMatchObject([{ runId: 'run', state: 'succeeded' }]);
  }, 60_000);
});
