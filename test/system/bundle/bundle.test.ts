import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { listen } from '../../../local/world/listen.ts';
import { projectDirectory } from '../../../local/world/places.ts';
import { startPostsStub } from '../../../local/world/posts.ts';
import { type S3Store, startS3Store } from '../../../local/world/s3.ts';
import { anyMs, anyTime } from '../../support/any.ts';
import { makeCertificate } from '../../support/certificate.ts';
import { timelessLines } from '../../support/document-lines.ts';
import { type HandlerProcess, startHandler } from '../../support/handler-process.ts';
import { startHttp2Server } from '../../support/http2-server.ts';
import { httpResponse, type RawRequest, startMisbehavingServer } from '../../support/misbehaving-server.ts';
import { anyTraffic } from '../../support/plain-traffic.ts';
import { documentFaults } from '../../support/schemas.ts';

const bucket = 'results';

let home: string;
let store: S3Store;
let stack: AsyncDisposableStack;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'batch-fetcher-bundle-'));
  store = await startS3Store({ directory: home, buckets: [bucket] });
  stack = new AsyncDisposableStack();
});
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
  expect(store.openUploads()).toBe(0);
});
afterAll(async () => {
  await store.close();
  await rm(home, { recursive: true });
});

async function start(upstream: string, env: Readonly<Record<string, string>> = {}): Promise<HandlerProcess> {
  const bundle = startHandler(join(projectDirectory, 'dist/handler.js'), {
    RESULTS_BUCKET: bucket,
    POST_URL: `${upstream}/posts/{id}`,
    ...store.environment,
    ...env,
  });
  stack.defer(() => bundle.kill());
  return bundle;
}

/** Expects that a process ends by itself, and has nothing to say of it. */
async function expectEnd(bundle: HandlerProcess): Promise<void> {
  const { code, stderr } = await bundle.leave();
  expect([code, stderr]).toStrictEqual([0, '']);
}

function storedText(runId: string): Promise<string> {
  return readFile(join(home, bucket, 'runs', `${runId}.json`), 'utf8');
}

const fulfilled = (index: number, id: number | string, value: string, attempts = 1): string =>
  `{"index":${index},"id":${JSON.stringify(id)},"status":"fulfilled","httpStatus":200,"attempts":${attempts},"startedMs":0,"durationMs":0,"waitedMs":0,"value":${value}}`;

const rejected = (
  index: number,
  id: number | string,
  httpStatus: number | null,
  reason: object,
  attempts = 1,
): string =>
  `{"index":${index},"id":${JSON.stringify(id)},"status":"rejected","httpStatus":${httpStatus},"attempts":${attempts},"startedMs":0,"durationMs":0,"waitedMs":0,"reason":${JSON.stringify(reason)}}`;

const noData = (code: string, id: number | string) => ({
  code,
  message: `No data for post ${id}`,
  retryable: false,
});

/**
 * A server that holds what it is asked until nothing else comes in, and then answers one of it, any, at a time:
 * posts finish in an order that has nothing to do with the one they were asked for in.
 */
async function startShuffledServer(answer: (id: number, times: number) => [number, string]): Promise<string> {
  const held: (() => void)[] = [];
  const times = new Map<number, number>();
  let seed = 42;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (seed >> 8) % below;
  };
  const releaseOne = (): void => {
    held.splice(random(held.length), 1)[0]?.();
    if (held.length > 0) setImmediate(releaseOne);
  };
  const server = createServer((request, response: ServerResponse) => {
    const id = Number(request.url?.split('/').pop());
    const time = (times.get(id) ?? 0) + 1;
    times.set(id, time);
    held.push(() => {
      const [status, body] = answer(id, time);
      response.writeHead(status, { 'content-type': 'application/json' }).end(body);
    });
    if (held.length === 1) setImmediate(releaseOne);
  });
  return stack.adopt(await listen(server), (it) => it.close()).origin;
}

test('three posts, one of which is not there', async () => {
  const stub = stack.adopt(await startPostsStub({ latencyMs: () => 0 }), (it) => it.close());
  const bundle = await start(stub.url);
  const answer = await bundle.invoke({ ids: [1, 99999, 3] }, 'three');

  const errors = {
    total: 1,
    byCode: { NOT_FOUND: 1 },
    first: [{ index: 1, id: 99999, code: 'NOT_FOUND', message: 'No data for post 99999' }],
    retryableIds: [],
  };
  const summary = {
    finishedAt: anyTime,
    durationMs: anyMs,
    requested: 3,
    fulfilled: 2,
    rejected: 1,
    attempts: 3,
    complete: true,
    latencyMs: { p50: anyMs, p90: anyMs, p99: anyMs, max: anyMs },
    ...anyTraffic(),
  };
  const location = 's3://results/runs/three.json';
  expect(answer).toStrictEqual({ returned: { runId: 'three', location, replayed: false, errors, summary } });
  const text = await storedText('three');
  const posts = await Promise.all([1, 3].map(async (id) => (await fetch(`${stub.url}/posts/${id}`)).json()));
  expect(timelessLines(text)).toStrictEqual([
    fulfilled(0, 1, JSON.stringify(posts[0])),
    rejected(1, 99999, 404, noData('NOT_FOUND', 99999)),
    fulfilled(2, 3, JSON.stringify(posts[1])),
  ]);
  const document = JSON.parse(text);
  expect(documentFaults(document)).toStrictEqual([]);
  expect([document.errors, document.summary]).toStrictEqual([errors, summary]);

  // Idle connections may be left for the next invocation, but nothing that keeps the process.
  await expectEnd(bundle);
});

test('posts of an origin that speaks HTTP/2', async () => {
  const certificate = makeCertificate();
  const ca = join(home, 'ca.pem');
  await writeFile(ca, certificate.cert);
  const server = stack.adopt(
    await startHttp2Server(certificate, (stream, path) => stream.end(`{"path":"${path}"}`)),
    (it) => it.stop(),
  );
  const bundle = await start(server.origin, { NODE_EXTRA_CA_CERTS: ca });
  await bundle.invoke({ ids: [1, 2] }, 'http2');
  const text = await storedText('http2');
  expect(timelessLines(text)).toStrictEqual(
    [1, 2].map((id, i) => fulfilled(i, id, `{"path":"/posts/${id}"}`)),
  );
  expect(server.sessions).toHaveLength(1);
  await expectEnd(bundle);
});

test('5,000 posts in random order, 5 % of them failing: each has exactly one outcome, in its place', async () => {
  const url = await startShuffledServer((id, times) => {
    switch (id % 100) {
      case 7:
        return [404, '{}'];
      case 27:
        return [410, 'gone'];
      case 47:
        return [200, '{"id": '];
      case 67:
        return [200, 'null'];
      case 87:
        return [403, 'no'];
      case 50:
        return times === 1 ? [503, 'not now'] : [200, `{"id":${id}}`];
      default:
        return [200, `{ "id": ${id} }`];
    }
  });
  const bundle = await start(url);
  const answer = await bundle.invoke({ ids: [{ from: 1, to: 5_000 }] }, 'many');

  const expected = Array.from({ length: 5_000 }, (_, index) => {
    const id = index + 1;
    switch (id % 100) {
      case 7:
        return rejected(index, id, 404, noData('NOT_FOUND', id));
      case 27:
        return rejected(index, id, 410, noData('NOT_FOUND', id));
      case 47:
        return rejected(index, id, 200, {
          code: 'BAD_JSON',
          message: `Post ${id} is not JSON in UTF-8`,
          retryable: false,
        });
      case 67:
        return rejected(index, id, 200, noData('NO_DATA', id));
      case 87:
        return rejected(index, id, 403, {
          code: 'HTTP_ERROR',
          message: `Post ${id} answered HTTP 403`,
          retryable: false,
        });
      default:
        return fulfilled(index, id, `{"id":${id}}`, id % 100 === 50 ? 2 : 1);
    }
  });
  const text = await storedText('many');
  expect(timelessLines(text)).toStrictEqual(expected);
  const document = JSON.parse(text);
  expect(documentFaults(document)).toStrictEqual([]);
  const errors = {
    total: 250,
    byCode: { NOT_FOUND: 100, BAD_JSON: 50, NO_DATA: 50, HTTP_ERROR: 50 },
    first: document.results
      .filter(({ status }: { status: string }) => status === 'rejected')
      .slice(0, 10)
      .map(({ index, id, reason }: { index: number; id: number; reason: Record<string, unknown> }) => ({
        index,
        id,
        code: reason.code,
        message: reason.message,
      })),
    retryableIds: [],
  };
  const summary = {
    finishedAt: anyTime,
    durationMs: anyMs,
    requested: 5_000,
    fulfilled: 4_750,
    rejected: 250,
    attempts: 5_050,
    complete: true,
    latencyMs: { p50: anyMs, p90: anyMs, p99: anyMs, max: anyMs },
    ...anyTraffic(50),
  };
  expect([document.errors, document.summary]).toStrictEqual([errors, summary]);
  const location = 's3://results/runs/many.json';
  expect(answer).toStrictEqual({ returned: { runId: 'many', location, replayed: false, errors, summary } });
  // An unhandled rejection would have ended the process, with another code.
  await expectEnd(bundle);
});

test('a document of 12 MiB goes up in parts, and is what was sent, byte for byte', async () => {
  const value = (id: number): string =>
    `{"id":${id},"text":"${'naïve 日本語 \\u0041 \\"quoted\\" '.repeat(4_000)}","price":1.10,"price":12345678901234567890}`;
  const pretty = (id: number): string => value(id).replaceAll(',"', ',\n  "').replace('{', '{\n  ');
  const url = await startShuffledServer((id) => [200, pretty(id)]);
  const bundle = await start(url);
  const count = 95;
  const answer = await bundle.invoke({ ids: [{ from: 1, to: count }] }, 'large');
  expect(answer).toMatchObject({ returned: { summary: { fulfilled: count, rejected: 0 } } });

  const text = await storedText('large');
  expect(Buffer.byteLength(text)).toBeGreaterThan(12 * 1024 ** 2);
  const { run, errors, summary } = JSON.parse(text);
  const times = [
    ...text.matchAll(/^\{"index":\d+.{1,100}?("startedMs":\d+,"durationMs":\d+,"waitedMs":\d+,)/gm),
  ].map(([, time]) => time ?? '');
  const lines = times.map((time, index) =>
    fulfilled(index, index + 1, value(index + 1)).replace('"startedMs":0,"durationMs":0,"waitedMs":0,', time),
  );
  const expected = `{"version":1,\n"run":${JSON.stringify(run)},\n"results":[\n${lines.join(',\n')}\n],\n"errors":${JSON.stringify(errors)},\n"summary":${JSON.stringify(summary)}}\n`;
  expect(times).toHaveLength(count);
  // Compared as bytes: a difference of 12 MiB is nothing to print.
  expect(Buffer.from(expected).equals(await readFile(join(home, bucket, 'runs/large.json')))).toBe(true);
  await expectEnd(bundle);
});

describe('servers that misbehave', () => {
  test('each fault has its outcome, and the posts beside it are untouched', async () => {
    const bomb = gzipSync(Buffer.alloc(100_000_000, ' '));
    // Dates have whole seconds.
    const retryDate = Math.ceil(Date.now() / 1_000 + 1.5) * 1_000;
    const arrivals = new Map<string, number[]>();
    const json = (name: string): Buffer => httpResponse(200, `{"name":"${name}"}`);
    const retryable = (name: string) => ({
      code: 'TIMEOUT',
      message: `Post ${name} did not come within 3000 ms`,
      retryable: true,
    });
    const notJson = (name: string) => ({
      code: 'BAD_JSON',
      message: `Post ${name} is not JSON in UTF-8`,
      retryable: false,
    });

    /** What each post is answered with, the first time and after, and its line in the document. */
    const posts: Readonly<
      Record<string, [answers: (request: RawRequest, times: number) => void, line: (i: number) => string]>
    > = {
      'healthy-1': [
        ({ socket }) => socket.write(json('healthy-1')),
        (i) => fulfilled(i, 'healthy-1', '{"name":"healthy-1"}'),
      ],
      'error-then-well': [
        ({ socket }, times) => socket.write(times === 1 ? httpResponse(500, 'oops') : json('well')),
        (i) => fulfilled(i, 'error-then-well', '{"name":"well"}', 2),
      ],
      'limited-in-seconds': [
        ({ socket }, times) =>
          socket.write(times === 1 ? httpResponse(429, 'wait', { 'retry-after': 1 }) : json('later')),
        (i) => fulfilled(i, 'limited-in-seconds', '{"name":"later"}', 2),
      ],
      'limited-to-a-date': [
        ({ socket }, times) =>
          socket.write(
            times === 1
              ? httpResponse(429, 'wait', { 'retry-after': new Date(retryDate).toUTCString() })
              : json('then'),
          ),
        (i) => fulfilled(i, 'limited-to-a-date', '{"name":"then"}', 2),
      ],
      'stalls-in-headers': [
        ({ socket }) => socket.write('HTTP/1.1 200 OK\r\ncontent-'),
        (i) => rejected(i, 'stalls-in-headers', null, retryable('stalls-in-headers'), 2),
      ],
      'healthy-2': [
        ({ socket }) => socket.write(json('healthy-2')),
        (i) => fulfilled(i, 'healthy-2', '{"name":"healthy-2"}'),
      ],
      'stalls-in-body': [
        ({ socket }) => socket.write(httpResponse(200, '{"name":', { 'content-length': 100 })),
        (i) => rejected(i, 'stalls-in-body', null, retryable('stalls-in-body'), 2),
      ],
      'closes-halfway': [
        ({ socket }) => socket.end(httpResponse(200, '{"name":', { 'content-length': 100 })),
        (i) =>
          rejected(
            i,
            'closes-halfway',
            null,
            {
              code: 'NETWORK',
              message: 'Post closes-halfway could not be fetched: ECONNRESET',
              retryable: true,
              cause: 'ECONNRESET',
            },
            2,
          ),
      ],
      'invalid-json': [
        ({ socket }) => socket.write(httpResponse(200, '{"name":]')),
        (i) => rejected(i, 'invalid-json', 200, notJson('invalid-json')),
      ],
      'invalid-utf-8': [
        ({ socket }) => socket.write(httpResponse(200, Buffer.from([0x22, 0xc3, 0x28, 0x22]))),
        (i) => rejected(i, 'invalid-utf-8', 200, notJson('invalid-utf-8')),
      ],
      bomb: [
        ({ socket }) => socket.write(httpResponse(200, bomb, { 'content-encoding': 'gzip' })),
        (i) =>
          rejected(i, 'bomb', 200, {
            code: 'TOO_LARGE',
            message: 'Post bomb is larger than 1048576 bytes',
            retryable: false,
          }),
      ],
      'big-integer': [
        ({ socket }) => socket.write(httpResponse(200, '{"id": 12345678901234567890}')),
        (i) => fulfilled(i, 'big-integer', '{"id":12345678901234567890}'),
      ],
      elsewhere: [
        ({ socket }) =>
          socket.write(httpResponse(302, '', { location: 'http://127.0.0.1:1/posts/elsewhere' })),
        (i) =>
          rejected(i, 'elsewhere', 302, {
            code: 'HTTP_ERROR',
            message: 'Post elsewhere answered HTTP 302, a redirect to another origin (http://127.0.0.1:1)',
            retryable: false,
          }),
      ],
      'healthy-3': [
        ({ socket }) => socket.write(json('healthy-3')),
        (i) => fulfilled(i, 'healthy-3', '{"name":"healthy-3"}'),
      ],
    };
    const server = stack.adopt(
      await startMisbehavingServer((request) => {
        const name = request.path.replace('/posts/', '');
        const times = [...(arrivals.get(name) ?? []), Date.now()];
        arrivals.set(name, times);
        posts[name]?.[0](request, times.length);
      }),
      (it) => it.stop(),
    );
    const bundle = await start(server.origin, { ATTEMPT_TIMEOUT_MS: '3000', MAX_ATTEMPTS: '2' });
    const ids = Object.keys(posts);
    const answer = await bundle.invoke({ ids }, 'faults');

    const text = await storedText('faults');
    expect(timelessLines(text)).toStrictEqual(Object.values(posts).map(([, line], i) => line(i)));
    expect(documentFaults(JSON.parse(text))).toStrictEqual([]);
    expect(answer).toMatchObject({
      returned: {
        errors: {
          byCode: { TIMEOUT: 2, NETWORK: 1, BAD_JSON: 2, TOO_LARGE: 1, HTTP_ERROR: 1 },
          retryableIds: ['stalls-in-headers', 'stalls-in-body', 'closes-halfway'],
        },
        summary: { fulfilled: 7, rejected: 7, complete: true },
      },
    });
    const [first = 0, second = 0] = arrivals.get('limited-in-seconds') ?? [];
    expect(second - first).toBeGreaterThanOrEqual(1_000);
    expect(arrivals.get('limited-to-a-date')?.[1]).toBeGreaterThanOrEqual(retryDate);
    await expectEnd(bundle);
  });

  test('one that is not there is a NETWORK outcome of each post', async () => {
    const server = await startMisbehavingServer(() => {});
    await server.stop();
    const bundle = await start(server.origin, { MAX_ATTEMPTS: '2' });
    await bundle.invoke({ ids: [1, 'two'] }, 'refused');
    const refused = (id: number | string) => ({
      code: 'NETWORK',
      message: `Post ${id} could not be fetched: ECONNREFUSED`,
      retryable: true,
      cause: 'ECONNREFUSED',
    });
    const text = await storedText('refused');
    expect(timelessLines(text)).toStrictEqual([
      rejected(0, 1, null, refused(1), 2),
      rejected(1, 'two', null, refused('two'), 2),
    ]);
    expect(JSON.parse(text).errors.retryableIds).toStrictEqual([1, 'two']);
    await expectEnd(bundle);
  });

  test('the end of the time comes first: what there is stands in the document, and the process can go', async () => {
    const server = stack.adopt(
      await startMisbehavingServer(({ path, socket }) => {
        if (path === '/posts/1') socket.write(httpResponse(200, '[1]'));
      }),
      (it) => it.stop(),
    );
    const bundle = await start(server.origin, { WRITE_RESERVE_MS: '4000', CONCURRENCY: '2' });
    const answer = await bundle.invoke({ ids: [1, 2, 3, 4] }, 'in-time', 7_000);
    expect(answer).toMatchObject({
      returned: {
        errors: { byCode: { DEADLINE: 3 }, retryableIds: [2, 3, 4] },
        summary: { requested: 4, fulfilled: 1, rejected: 3, complete: false },
      },
    });
    expect(timelessLines(await storedText('in-time'))[0]).toBe(fulfilled(0, 1, '[1]'));
    await expectEnd(bundle);
  });
});

test('a failure in fail-fast mode is thrown, stores nothing, and leaves nothing at work', async () => {
  const server = stack.adopt(
    await startMisbehavingServer(({ path, socket }) => {
      // The others are never answered.
      if (path === '/posts/2') socket.write(httpResponse(404, '{}'));
    }),
    (it) => it.stop(),
  );
  const bundle = await start(server.origin);
  const answer = await bundle.invoke({ ids: [{ from: 1, to: 200 }], returnExceptions: false }, 'fail-fast');
  expect(answer).toStrictEqual({
    thrown: { name: 'PostError', message: 'No data for post 2' },
    printed: expect.stringContaining('PostError: No data for post 2'),
  });
  expect(await readdir(join(home, bucket, 'runs')).catch(() => [])).not.toContain('fail-fast.json');
  const { code, stderr } = await bundle.leave();
  expect(code).toBe(0);
  expect(JSON.parse(stderr)).toMatchObject({
    level: 'ERROR',
    message: 'Run failed',
    runId: 'fail-fast',
    error: { name: 'PostError', code: 'NOT_FOUND', id: 2, message: 'No data for post 2' },
  });
});

test('of two deliveries of an event at the same time, one stores the document, and the other replays it', async () => {
  const released = Promise.withResolvers<void>();
  const server = stack.adopt(
    await startMisbehavingServer(({ socket, path }) => {
      void released.promise.then(() => socket.write(httpResponse(200, `{"path":"${path}"}`)));
    }),
    (it) => it.stop(),
  );
  const bundles = await Promise.all([start(server.origin), start(server.origin)]);
  // The second begins when the first is under way, and neither can end before both are.
  const first = bundles[0].invoke({ ids: [1, 2] }, 'twice');
  await server.requested(2);
  const second = bundles[1].invoke({ ids: [1, 2] }, 'twice');
  await server.requested(4);
  released.resolve();

  const answers = (await Promise.all([first, second])) as { returned: { replayed: boolean } }[];
  const reply = {
    runId: 'twice',
    location: 's3://results/runs/twice.json',
    errors: { total: 0, byCode: {}, first: [], retryableIds: [] },
    summary: JSON.parse(await storedText('twice')).summary,
  };
  const byReplayed = answers
    .map(({ returned }) => returned)
    .sort((a, b) => Number(a.replayed) - Number(b.replayed));
  expect(byReplayed).toStrictEqual([
    { ...reply, replayed: false },
    { ...reply, replayed: true },
  ]);
  for (const bundle of bundles) await expectEnd(bundle);
});
