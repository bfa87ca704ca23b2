import { randomBytes } from 'node:crypto';
import { getEventListeners, once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { ServerHttp2Stream } from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { inspect } from 'node:util';
import {
  brotliCompressSync,
  constants,
  createGzip,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../../../src/base/clock.ts';
import type { Id } from '../../../../src/batch/ids.ts';
import type { AttemptResult } from '../../../../src/fetch/origin/attempt.ts';
import { type OriginOptions, openOrigin, USER_AGENT } from '../../../../src/fetch/origin/origin.ts';
import { parseUrlTemplate, type UrlTemplate } from '../../../../src/fetch/origin/url-template.ts';
import { makeCertificate } from '../../../support/certificate.ts';
import { eventually } from '../../../support/eventually.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { http2Frames, startHttp2Server, startRawHttp2Server } from '../../../support/http2-server.ts';
import {
  httpResponse,
  type RawRequest,
  startMisbehavingServer,
} from '../../../support/misbehaving-server.ts';

const MAX_BODY_BYTES = 1_000;
const POST = '{"id": 1}\n';
const certificate = makeCertificate();

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

const warnings: Error[] = [];
const onWarning = (warning: Error): void => void warnings.push(warning);
beforeAll(() => void process.on('warning', onWarning));
afterAll(() => {
  process.off('warning', onWarning);
  expect(warnings.filter(({ name }) => name === 'MaxListenersExceededWarning')).toStrictEqual([]);
});

/** Starts a server that does with each request what `onRequest` says, and opens its origin. */
async function serve(
  onRequest: (request: RawRequest, index: number) => void,
  {
    options = {},
    server = {},
  }: { options?: Partial<OriginOptions>; server?: Parameters<typeof startMisbehavingServer>[1] } = {},
) {
  const upstream = await startMisbehavingServer(onRequest, server);
  stops.push(upstream.stop);
  return { upstream, ...open(upstream.origin, options) };
}

/** Serves the same bytes to every request. */
const serveBytes = (bytes: string | Buffer, options: Partial<OriginOptions> = {}) =>
  serve(({ socket }) => void socket.write(bytes), { options });

const optionsFor = (origin: string): OriginOptions => ({
  postUrl: parseUrlTemplate(`${origin}/posts/{id}`) as UrlTemplate,
  connections: 1,
  attemptTimeoutMs: 5_000,
  maxBodyBytes: MAX_BODY_BYTES,
  clock: systemClock,
});

/** Opens an origin, closed before its server is stopped. */
function open(origin: string, options: Partial<OriginOptions> = {}) {
  const { startRun, close } = openOrigin({ ...optionsFor(origin), ...options });
  const { requestPost, unsolicited } = startRun();
  /** With a signal of its own, unless one is given. */
  const get = async (
    id: Id = 1,
    timeoutMs = 5_000,
    given?: AbortSignal,
    onOtherConnection?: boolean,
  ): Promise<unknown> => {
    const signal = given ?? new AbortController().signal;
    const attempt = await requestPost(id, timeoutMs, signal, onOtherConnection);
    if (!given) expect(getEventListeners(signal, 'abort')).toStrictEqual([]);
    return plain(attempt);
  };
  let closed: Promise<void> | undefined;
  const closeOnce = () => {
    closed ??= close();
    return closed;
  };
  stops.unshift(closeOnce);
  return { get, close: closeOnce, unsolicited };
}

/** An attempt as plain values, without what is undefined. */
function plain(attempt: AttemptResult): unknown {
  if (attempt.kind === 'failed') return { kind: 'failed', code: attempt.code };
  const body = attempt.kind === 'response' && { body: attempt.body.toString() };
  return Object.fromEntries(
    Object.entries({ ...attempt, ...body }).filter(([, value]) => value !== undefined),
  );
}

const response = (status: number, body = '', more: object = {}) => ({
  kind: 'response',
  status,
  ...more,
  body,
});
const failed = (code: string) => ({ kind: 'failed', code });
const timedOut = { kind: 'timed-out' };

describe('a request', () => {
  test('asks for the post as JSON, compressed, and names the project and its version', async () => {
    const { get, upstream } = await serveBytes(httpResponse(200, POST));
    expect(await get('a-slug')).toStrictEqual(response(200, POST));
    expect(upstream.requests[0]?.head.split('\r\n')).toStrictEqual([
      'GET /posts/a-slug HTTP/1.1',
      `host: ${new URL(upstream.origin).host}`,
      'connection: keep-alive',
      'accept: application/json',
      'accept-encoding: gzip, br, zstd',
      `user-agent: ${USER_AGENT}`,
    ]);
    const { name, version } = JSON.parse(readFileSync('package.json', 'utf8'));
    expect(USER_AGENT).toBe(`${name}/${version}`);
  });

  test('cannot leave the path of its post', async () => {
    const { get, upstream } = await serveBytes(httpResponse(404));
    for (const id of ['a/../b?c#d', '%2e%2e', '\r\nx: y']) await get(id);
    expect(upstream.requests.map(({ path }) => path)).toStrictEqual([
      '/posts/a%2F..%2Fb%3Fc%23d',
      '/posts/%252e%252e',
      '/posts/%0D%0Ax%3A%20y',
    ]);
  });

  test('goes over HTTPS to a server without HTTP/2', async () => {
    const { get, upstream } = await serve(({ socket }) => void socket.write(httpResponse(200, POST)), {
      options: { tls: { ca: certificate.cert } },
      server: { tls: certificate },
    });
    expect([await get(1), await get(2)]).toStrictEqual([response(200, POST), response(200, POST)]);
    expect(upstream.connections).toBe(1);
  });

  test('may be answered 1xx before it is answered', async () => {
    const early = 'HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n';
    const { get, upstream } = await serveBytes(
      Buffer.concat([Buffer.from(`HTTP/1.1 102 Processing\r\n\r\n${early}`), httpResponse(200, POST)]),
    );
    expect([await get(), await get()]).toStrictEqual([response(200, POST), response(200, POST)]);
    expect(upstream.connections).toBe(1);
  });

  test('that is answered 101, which it did not ask for, has failed', async () => {
    const { get } = await serveBytes(
      'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
    );
    expect(await get()).toStrictEqual(failed('UNEXPECTED_UPGRADE'));
  });

  test('gives the status and Retry-After of an error, a list where there are two, and drops its body', async () => {
    const { get } = await serve(({ socket }, index) => {
      const headers = index === 0 ? { 'retry-after': 7 } : { 'retry-after': '8\r\nretry-after: 9' };
      socket.write(httpResponse(503, 'busy', headers));
    });
    expect([await get(), await get()]).toStrictEqual([
      response(503, '', { retryAfter: '7' }),
      response(503, '', { retryAfter: '8, 9' }),
    ]);
  });

  test.each([201, 203, 206, 299])('%d is an answer like 200', async (status) => {
    const { get } = await serveBytes(httpResponse(status, POST));
    expect(await get()).toStrictEqual(response(status, POST));
  });

  test('204 has no body', async () => {
    const { get } = await serveBytes('HTTP/1.1 204 No Content\r\n\r\n');
    expect([await get(), await get()]).toStrictEqual([response(204), response(204)]);
  });

  test('a body may come in many chunks, or end with its connection', async () => {
    const { get } = await serve(({ socket }, index) => {
      if (index === 0)
        socket.write(
          'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n',
        );
      else socket.end('HTTP/1.1 200 OK\r\n\r\n{"a":1}');
    });
    expect([await get(), await get()]).toStrictEqual([response(200, '{"a":1}'), response(200, '{"a":1}')]);
  });
});

describe('the fields of a quota', () => {
  test('come with a post and with an error, and the Date beside them', async () => {
    const rateLimit = { ratelimit: '"default";r=50;t=30', 'x-ratelimit-remaining': '50' };
    const date = 'Mon, 23 Nov 2026 06:00:00 GMT';
    const { get } = await serve(({ socket }, index) => {
      const headers = { ratelimit: rateLimit.ratelimit, 'X-RateLimit-Remaining': '50', Date: date };
      socket.write(httpResponse(index === 0 ? 200 : 429, POST, headers));
    });
    expect([await get(), await get()]).toStrictEqual([
      response(200, POST, { rateLimit, date }),
      response(429, '', { rateLimit, date }),
    ]);
  });

  test('are left out where there are none of them', async () => {
    const upstream = await startMisbehavingServer(
      ({ socket }) => void socket.write(httpResponse(200, POST, { 'x-request-id': '1' })),
    );
    stops.push(upstream.stop);
    const { startRun, close } = openOrigin(optionsFor(upstream.origin));
    const { requestPost } = startRun();
    stops.unshift(close);
    const attempt = await requestPost(1, 5_000, new AbortController().signal);
    expect(attempt.kind).toBe('response');
    expect('rateLimit' in attempt).toBe(false);
  });
});

describe('more header fields', () => {
  const SECRET = 'Bearer 3f1c9e';
  const headers = { Authorization: SECRET, ACCEPT: 'application/vnd.posts+json' };

  test('are sent with each request, and replace the default ones', async () => {
    const { get, upstream } = await serve(({ socket }) => void socket.write(httpResponse(200, POST)), {
      options: { headers: { ...headers, 'user-agent': 'acme/1' } },
    });
    await get();
    await get();
    for (const { head } of upstream.requests)
      expect(head.split('\r\n').slice(3)).toStrictEqual([
        'accept: application/vnd.posts+json',
        'accept-encoding: gzip, br, zstd',
        'user-agent: acme/1',
        `authorization: ${SECRET}`,
      ]);
    expect(upstream.requests).toHaveLength(2);
  });

  test('are not sent with the request that follows a redirect', async () => {
    const { get, upstream } = await serve(
      ({ socket, path }) => {
        if (path === '/end') socket.write(httpResponse(200, POST));
        else socket.write(httpResponse(307, '', { location: '/end' }));
      },
      { options: { headers } },
    );
    expect(await get()).toStrictEqual(response(200, POST));
    expect(upstream.requests.map(({ head }) => head.includes(SECRET))).toStrictEqual([true, false]);
    expect(upstream.requests[1]?.head).toContain('\r\naccept: application/json\r\n');
  });

  test('are in nothing that comes of a request', async () => {
    const answers: ((socket: Socket) => void)[] = [
      (socket) => socket.write(httpResponse(200, POST)),
      (socket) => socket.write(httpResponse(500, 'oops')),
      (socket) => socket.write(httpResponse(302, '', { location: 'http://elsewhere.test/' })),
      (socket) => socket.write(httpResponse(200, 'x'.repeat(MAX_BODY_BYTES + 1))),
      (socket) => socket.resetAndDestroy(),
      (socket) => socket.end('SSH-2.0-OpenSSH_9.6\r\n'),
      (socket) => socket.write(httpResponse(200, POST, { 'x-large': 'x'.repeat(65_536) })),
      (socket) => socket.write(httpResponse(200, 'not gzip', { 'content-encoding': 'gzip' })),
    ];
    const upstream = await startMisbehavingServer(({ socket }, index) => answers[index]?.(socket));
    stops.push(upstream.stop);
    const { startRun, close } = openOrigin({ ...optionsFor(upstream.origin), headers });
    const { requestPost } = startRun();
    stops.unshift(close);
    const kinds: string[] = [];
    for (const _ of answers) {
      const attempt = await requestPost(1, 5_000, new AbortController().signal);
      kinds.push(attempt.kind);
      expect(inspect(attempt, { depth: Infinity, showHidden: true })).not.toContain('3f1c9e');
    }
    expect(kinds).toStrictEqual([
      ...['response', 'response', 'response', 'too-large'],
      ...['failed', 'failed', 'failed', 'failed'],
    ]);
    expect(upstream.requests.every(({ head }) => head.includes(SECRET))).toBe(true);
  });
});

describe('compression', () => {
  test.each([
    ['gzip', gzipSync(POST)],
    ['x-gzip', gzipSync(POST)],
    ['br', brotliCompressSync(POST)],
    ['zstd', zstdCompressSync(POST)],
    ['deflate', deflateSync(POST)],
    ['GZIP', gzipSync(POST)],
    ['identity', Buffer.from(POST)],
  ])('%s is undone', async (encoding, body) => {
    const { get, upstream } = await serveBytes(httpResponse(200, body, { 'content-encoding': encoding }));
    expect([await get(), await get()]).toStrictEqual([response(200, POST), response(200, POST)]);
    expect(upstream.connections).toBe(1);
  });

  test.each(['HTTP/1.1', 'HTTP/2'])(
    'a large body comes whole, however slowly it is unpacked, over %s',
    async (version) => {
      // Random, so that there is much to unpack.
      const post = JSON.stringify(randomBytes(600_000).toString('base64'));
      const body = gzipSync(post);
      const head = { 'content-encoding': 'gzip', 'content-length': body.length };
      const upstream =
        version === 'HTTP/1.1'
          ? await startMisbehavingServer(({ socket }) => void socket.write(httpResponse(200, body, head)))
          : await startHttp2Server(certificate, (stream) => {
              stream.respond({ ':status': 200, ...head });
              stream.end(body);
            });
      stops.push(upstream.stop);
      const { get } = open(upstream.origin, { maxBodyBytes: 1_048_576, tls: { ca: certificate.cert } });
      expect(await Promise.all([get(1), get(2)])).toStrictEqual([response(200, post), response(200, post)]);
    },
  );

  test.each(['compress', 'gzip, exi', 'constructor', '__proto__'])(
    '%s is not known, and is named',
    async (encoding) => {
      const { get } = await serveBytes(httpResponse(200, POST, { 'content-encoding': encoding }));
      const coding = encoding.replace('gzip, ', '');
      expect(await get()).toStrictEqual({ kind: 'unknown-coding', status: 200, coding });
    },
  );

  test('identity and aws-chunked are nothing', async () => {
    const { get } = await serveBytes(
      httpResponse(200, POST, { 'content-encoding': 'identity, aws-chunked' }),
    );
    expect(await get()).toStrictEqual(response(200, POST));
  });

  test('codings may stand in two lines', async () => {
    const body = gzipSync(deflateSync(POST));
    const { get } = await serveBytes(
      httpResponse(200, body, { 'content-encoding': 'deflate\r\ncontent-encoding: gzip' }),
    );
    expect(await get()).toStrictEqual(response(200, POST));
  });

  test('frames of zstd come back, at whatever byte the packets are split', async () => {
    const frames = [
      zstdCompressSync('{"id":1,'),
      Buffer.from('502a4d1802000000abcd', 'hex'),
      zstdCompressSync('"t":2}'),
    ];
    const body = Buffer.concat(frames);
    const splits = Array.from({ length: body.length - 1 }, (_, index) => index + 1);
    const { get } = await serve(({ path, socket }) => {
      const split = Number(path.slice(path.lastIndexOf('/') + 1));
      const head = `HTTP/1.1 200 OK\r\ncontent-encoding: zstd\r\ncontent-length: ${body.length}\r\n\r\n`;
      socket.write(Buffer.concat([Buffer.from(head), body.subarray(0, split)]), () =>
        globalThis.setImmediate(() => socket.write(body.subarray(split))),
      );
    });
    for (const split of splits) expect(await get(split)).toStrictEqual(response(200, '{"id":1,"t":2}'));
  });

  test('an attempt that is aborted while its body waits to be decoded is over', async () => {
    // Each takes its decoder some time.
    const wide = brotliCompressSync(Buffer.alloc(16_777_216), {
      params: { [constants.BROTLI_PARAM_LGWIN]: 24, [constants.BROTLI_PARAM_QUALITY]: 5 },
    });
    const { get } = await serveBytes(httpResponse(200, wide, { 'content-encoding': 'br' }), {
      connections: 8,
    });
    const controllers = Array.from({ length: 8 }, () => new AbortController());
    const attempts = controllers.map(({ signal }, index) => get(index, 5_000, signal));
    attempts[0]?.then(() => {
      for (const controller of controllers) controller.abort(new Error('enough'));
    });
    const settled = await Promise.allSettled(attempts);
    for (const each of settled)
      if (each.status === 'fulfilled') expect(each.value).toStrictEqual({ kind: 'too-large', status: 200 });
      else expect(each.reason).toMatchObject({ message: 'enough' });
  });

  test('an empty body stays empty, whatever it is said to be', async () => {
    const { get } = await serveBytes(httpResponse(200, '', { 'content-encoding': 'gzip' }));
    expect(await get()).toStrictEqual(response(200));
  });

  test.each([
    ['gzip', gzipSync(POST)],
    ['br', brotliCompressSync(POST)],
    ['zstd', zstdCompressSync(POST)],
    ['deflate', deflateSync(POST)],
  ])('%s that is cut short is a body cut short, and the next request works', async (encoding, body) => {
    const cut = httpResponse(200, body.subarray(0, -6), { 'content-encoding': encoding });
    const { get } = await serve(
      ({ socket }, index) => void socket.write(index === 0 ? cut : httpResponse(200, POST)),
    );
    expect(await get()).toStrictEqual(failed('ECONNRESET'));
    expect(await get()).toStrictEqual(response(200, POST));
  });

  test.each([
    ['gzip', 'Z_DATA_ERROR'],
    ['br', 'ERR__ERROR_FORMAT_PADDING_2'],
    ['zstd', 'ZSTD_error_prefix_unknown'],
    ['deflate', 'Z_DATA_ERROR'],
  ])('what is no %s has failed, and the next request works', async (encoding, code) => {
    const broken = httpResponse(200, POST.repeat(10), { 'content-encoding': encoding });
    const { get } = await serve(
      ({ socket }, index) => void socket.write(index === 0 ? broken : httpResponse(200, POST)),
    );
    expect(await get()).toStrictEqual(failed(code));
    expect(await get()).toStrictEqual(response(200, POST));
  });

  test('an error may be compressed, or broken: its status is all that counts', async () => {
    const { get } = await serve(({ socket }, index) => {
      const body = index === 0 ? gzipSync('not found') : 'not gzip';
      socket.write(httpResponse(404, body, { 'content-encoding': 'gzip' }));
    });
    expect([await get(), await get()]).toStrictEqual([response(404), response(404)]);
  });
});

describe('the largest body', () => {
  const bodyOf = (bytes: number) => `"${'x'.repeat(bytes - 2)}"`;

  test.each([
    ['as it is', (body: string) => httpResponse(200, body)],
    ['in gzip', (body: string) => httpResponse(200, gzipSync(body), { 'content-encoding': 'gzip' })],
  ])('passes to the byte, and one byte more is too large: %s', async (_name, respond) => {
    const { get } = await serve(({ socket, path }) => {
      socket.write(respond(bodyOf(MAX_BODY_BYTES + Number(path.replace('/posts/', '')))));
    });
    expect(await get(0)).toStrictEqual(response(200, bodyOf(MAX_BODY_BYTES)));
    expect(await get(1)).toStrictEqual({ kind: 'too-large', status: 200 });
    expect(await get(0)).toStrictEqual(response(200, bodyOf(MAX_BODY_BYTES)));
  });

  test('ends the reading: of 100 MB the server sends what fits into the buffers on the way', async () => {
    const megabyte = Buffer.alloc(1_000_000, 'x');
    const { get, upstream } = await serve(({ socket }, index) => {
      if (index > 0) return void socket.write(httpResponse(200, POST));
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${100 * megabyte.length}\r\n\r\n`);
      for (let i = 0; i < 100; i++) socket.write(megabyte);
    });
    expect(await get()).toStrictEqual({ kind: 'too-large', status: 200 });
    await upstream.idle();
    expect(upstream.bytesSent).toBeLessThan(30_000_000);
    expect(await get()).toStrictEqual(response(200, POST));
  });

  test('holds for a gzip bomb that never ends, made on the fly, and memory stays small', async () => {
    const megabyte = Buffer.alloc(1_000_000);
    const { get, upstream } = await serve(
      ({ socket }, index) => {
        if (index > 0) return void socket.write(httpResponse(200, POST));
        socket.write('HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n');
        const gzip = createGzip({ level: 1 });
        gzip.pipe(socket);
        socket.on('close', () => gzip.destroy());
        const more = (): void => {
          if (!gzip.destroyed) gzip.write(megabyte, more);
        };
        more();
      },
      { options: { maxBodyBytes: 1_048_576 } },
    );
    const before = process.memoryUsage().arrayBuffers;
    let peak = before;
    let isOver = false;
    const watching = (async () => {
      for (; !isOver; await setImmediate()) peak = Math.max(peak, process.memoryUsage().arrayBuffers);
    })();
    expect(await get()).toStrictEqual({ kind: 'too-large', status: 200 });
    isOver = true;
    await watching;
    await upstream.idle();
    expect(peak - before).toBeLessThan(16_000_000);
    expect(await get()).toStrictEqual(response(200, POST));
  });

  test('holds for a gzip bomb of 100 MB that fits into one buffer', async () => {
    const bomb = gzipSync(Buffer.alloc(100_000_000));
    const { get } = await serve(({ socket }, index) => {
      socket.write(
        index === 0 ? httpResponse(200, bomb, { 'content-encoding': 'gzip' }) : httpResponse(200, POST),
      );
    });
    expect(await get()).toStrictEqual({ kind: 'too-large', status: 200 });
    expect(await get()).toStrictEqual(response(200, POST));
  });
});

describe('connections', () => {
  test('are bounded, and reused', async () => {
    const { get, upstream } = await serve(({ socket }) => void socket.write(httpResponse(200, POST)), {
      options: { connections: 3 },
    });
    const attempts = await Promise.all(Array.from({ length: 50 }, (_, id) => get(id)));
    expect(attempts).toStrictEqual(attempts.map(() => response(200, POST)));
    expect([upstream.connections, upstream.requests.length]).toStrictEqual([3, 50]);
  });

  test('take one request at a time: one that is slow holds up no other', async () => {
    const { get, upstream } = await serve(
      ({ socket, path }) => {
        if (path !== '/posts/0') socket.write(httpResponse(200, POST));
      },
      { options: { connections: 2 } },
    );
    const stopping = new AbortController();
    const slow = get(0, 5_000, stopping.signal);
    await upstream.requested(1);
    expect(await Promise.all([get(1), get(2), get(3)])).toStrictEqual(
      [1, 2, 3].map(() => response(200, POST)),
    );
    stopping.abort(new Error('enough'));
    await expect(slow).rejects.toThrow('enough');
  });

  test('serve the next request after an error: its body is read', async () => {
    const { get, upstream } = await serve(({ socket }, index) => {
      socket.write(index % 2 === 0 ? httpResponse(500, 'x'.repeat(60_000)) : httpResponse(200, POST));
    });
    for (let i = 0; i < 3; i++)
      expect([await get(), await get()]).toStrictEqual([response(500), response(200, POST)]);
    expect(upstream.connections).toBe(1);
  });

  test('end with an error whose body is long: the next request takes another', async () => {
    const { get, upstream } = await serve(({ socket }, index) => {
      if (index > 0) return void socket.write(httpResponse(200, POST));
      socket.write('HTTP/1.1 500 Error\r\ncontent-length: 100000000\r\n\r\n');
      for (let i = 0; i < 100; i++) socket.write(Buffer.alloc(1_000_000));
    });
    expect([await get(), await get()]).toStrictEqual([response(500), response(200, POST)]);
    expect(upstream.connections).toBe(2);
    expect(upstream.bytesSent).toBeLessThan(30_000_000);
  });

  test('that the server closes when they are idle are opened again', async () => {
    const { get, upstream } = await serve(({ socket }) => void socket.end(httpResponse(200, POST)));
    expect(await get()).toStrictEqual(response(200, POST));
    await upstream.idle();
    expect(await get()).toStrictEqual(response(200, POST));
    expect(upstream.connections).toBe(2);
  });

  test('that the server closes as the next request comes cost that one nothing: it goes on a new one', async () => {
    const { get, upstream } = await serve(({ socket }, index) => {
      if (index === 1) socket.destroy();
      else socket.write(httpResponse(200, POST));
    });
    for (let i = 0; i < 3; i++) expect(await get()).toStrictEqual(response(200, POST));
    expect(upstream.requests.map(({ connection }) => connection)).toStrictEqual([0, 0, 1, 2]);
  });

  test('are ended by close', async () => {
    const { get, close, upstream } = await serveBytes(httpResponse(200, POST));
    await get();
    expect(upstream.open).toBe(1);
    await close();
    await upstream.idle();
    expect(await get()).toStrictEqual(failed('UND_ERR_DESTROYED'));
  });
});

describe('each post gets its own answer', () => {
  const STRAY = httpResponse(200, '"another post"');
  const idOf = ({ path }: RawRequest): string => path.slice(path.lastIndexOf('/') + 1);
  const own = (request: RawRequest): Buffer => httpResponse(200, `"${idOf(request)}"`);
  const values = (attempts: readonly unknown[]) =>
    attempts.map((attempt) => (attempt as { body?: string }).body ?? attempt);
  const ids = Array.from({ length: 40 }, (_, index) => `post-${index}`);
  const quoted = ids.map((id) => `"${id}"`);

  test.each<[string, (request: RawRequest, nth: number) => void, { unsolicited?: true }]>([
    ['ends each connection with its answer', (request) => request.socket.end(own(request)), {}],
    [
      'resets each connection behind its answer',
      (request) => request.socket.write(own(request), () => request.socket.resetAndDestroy()),
      {},
    ],
    [
      'ends each connection a turn behind its answer',
      (request) => {
        request.socket.write(own(request));
        globalThis.setImmediate(() => request.socket.end());
      },
      {},
    ],
    [
      'ends each connection behind ten answers',
      (request, nth) => {
        request.socket.write(own(request));
        if (nth === 10) request.socket.end();
      },
      {},
    ],
    [
      'answers twice at once',
      (request) => request.socket.write(Buffer.concat([own(request), STRAY])),
      { unsolicited: true },
    ],
    [
      'answers again a turn later',
      (request) => {
        request.socket.write(own(request));
        globalThis.setImmediate(() => request.socket.write(STRAY));
      },
      { unsolicited: true },
    ],
    [
      'takes one request a connection, and ends it when the next one comes',
      (request, nth) => (nth === 1 ? request.socket.write(own(request)) : request.socket.destroy()),
      {},
    ],
    [
      'says 408 to the second request of each connection',
      (request, nth) => request.socket.write(nth === 1 ? own(request) : httpResponse(408)),
      {},
    ],
  ])('from a server that %s, at no cost', async (_name, answer, { unsolicited: isUnsolicited = false }) => {
    const nth: number[] = [];
    const { get, unsolicited } = await serve(
      (request) => {
        nth[request.connection] = (nth[request.connection] ?? 0) + 1;
        answer(request, nth[request.connection] as number);
      },
      { options: { connections: 4 } },
    );
    const attempts: unknown[] = [];
    const next = ids.values();
    const fetchAll = async (): Promise<void> => {
      for (const id of next) attempts[ids.indexOf(id)] = await get(id);
    };
    await Promise.all([1, 2, 3, 4].map(fetchAll));
    expect(values(attempts)).toStrictEqual(quoted);
    expect(unsolicited() > 0).toBe(isUnsolicited);
  });

  test('what has come behind an answer by the next poll shows that it may be the one of another request', async () => {
    // The second request on the connection meets the answer that the server had too many, and then its own.
    const { get, upstream, unsolicited } = await serve((request, index) => {
      if (index === 1) request.socket.write(Buffer.concat([STRAY, own(request)]));
      else request.socket.write(own(request));
    });
    expect(values([await get('a'), await get('b'), await get('c')])).toStrictEqual(['"a"', '"b"', '"c"']);
    expect(unsolicited()).toBe(1);
    expect(upstream.requests.map((request) => `${idOf(request)} on ${request.connection}`)).toStrictEqual([
      'a on 0',
      'b on 0',
      'b on 1',
      'c on 2',
    ]);
  });

  test.each([
    ['an answer', STRAY],
    ['one that is too large', httpResponse(200, 'x'.repeat(MAX_BODY_BYTES + 1))],
  ])('once one was seen, %s on a connection that was used before is not taken', async (_name, stray) => {
    const waiting: RawRequest[] = [];
    const { get, unsolicited } = await serve(
      (request, index) => {
        if (index < 2) request.socket.write(own(request));
        else if (index === 2) waiting.push(request);
        else if (index === 3) request.socket.write(Buffer.concat([STRAY, own(request)]));
        else request.socket.write(own(request));
      },
      { options: { connections: 2 } },
    );
    await Promise.all([get('a'), get('b')]);
    const slow = get('slow');
    await expect.poll(() => waiting.length).toBe(1);
    expect(values([await get('c')])).toStrictEqual(['"c"']);
    waiting[0]?.socket.write(stray);
    expect(values([await slow])).toStrictEqual(['"slow"']);
    expect(unsolicited()).toBe(1);
  });

  test('connections are used again five minutes later, and not before, whatever the run', async () => {
    const upstream = await startMisbehavingServer((request, index) =>
      request.socket.write(index === 0 ? Buffer.concat([own(request), STRAY]) : own(request)),
    );
    stops.push(upstream.stop);
    let laterMs = 0;
    const clock = { ...systemClock, now: () => systemClock.now() + laterMs };
    const origin = openOrigin({ ...optionsFor(upstream.origin), clock });
    stops.unshift(origin.close);
    const { signal } = new AbortController();
    const runs = [];
    for (const after of [0, 0, 300_000]) {
      laterMs += after;
      const run = origin.startRun();
      for (const id of ['a', 'b', 'c']) await run.requestPost(id, 5_000, signal);
      runs.push(run.unsolicited());
    }
    expect(runs).toStrictEqual([1, 0, 0]);
    expect(upstream.requests.map(({ connection }) => connection)).toStrictEqual([0, 1, 2, 3, 4, 5, 6, 6, 6]);
  });

  test('connections that are idle when one was seen are ended', async () => {
    const { get, upstream } = await serve(
      (request) =>
        request.socket.write(idOf(request) === 'bad' ? Buffer.concat([own(request), STRAY]) : own(request)),
      { options: { connections: 3 } },
    );
    await Promise.all([get('a'), get('b'), get('bad')]);
    await upstream.idle();
    expect(upstream.connections).toBe(3);
  });

  test('an answer that comes much sooner than any before it was on its way already', async () => {
    // What the server sends too often comes behind the next request, and before its answer.
    let now = 0;
    const clock = { ...systemClock, now: () => now };
    const waiting: RawRequest[] = [];
    const { get, unsolicited } = await serve((request) => waiting.push(request), { options: { clock } });
    const answerIn = async (ms: number, bytes: (request: RawRequest) => Buffer): Promise<void> => {
      await expect.poll(() => waiting.length).toBe(1);
      const request = waiting.shift() as RawRequest;
      now += ms;
      request.socket.write(bytes(request));
    };
    for (const id of ids.slice(0, 20)) {
      const fetched = get(id);
      await answerIn(20, own);
      expect(values([await fetched])).toStrictEqual([`"${id}"`]);
      now += 10;
    }
    const doubtful = get('soon');
    await answerIn(1, () => STRAY);
    // It goes on a new connection, where it may be as soon as it likes.
    await answerIn(1, own);
    expect(values([await doubtful])).toStrictEqual(['"soon"']);
    now += 10;
    const another = get('sooner');
    await answerIn(0, own);
    expect(values([await another])).toStrictEqual(['"sooner"']);
    expect(unsolicited()).toBe(0);
  });

  test('an answer that has come in full is the answer, though the time runs out before it was polled behind', async () => {
    const clock = new FakeClock();
    const sent = Promise.withResolvers<void>();
    const { get, upstream } = await serve(
      (request) => request.socket.write(own(request), () => sent.resolve()),
      { options: { clock } },
    );
    const fetched = get('a', 1_000);
    await sent.promise;
    // The client reads in the same process: the answer is there once its socket has been read.
    await expect.poll(() => upstream.bytesSent).toBeGreaterThan(0);
    clock.advance(999);
    expect(values([await fetched])).toStrictEqual(['"a"']);
  });

  test('a body that ends with its connection is not whole where that is reset', async () => {
    const { get } = await serve(({ socket }) =>
      socket.write('HTTP/1.1 200 OK\r\n\r\n123', () => socket.resetAndDestroy()),
    );
    expect(await get()).toStrictEqual(failed('ECONNRESET'));
  });

  test.each(['000', '042', '099'])('the status %s is an answer, and its body is not read', async (status) => {
    const { get } = await serveBytes(`HTTP/1.1 ${status} Odd\r\ncontent-length: 2\r\n\r\n[]`);
    expect(await get()).toStrictEqual(response(Number(status)));
  });

  test('in a warm function, none waits behind a slow one while a connection is idle', async () => {
    const held: RawRequest[] = [];
    const { get, upstream } = await serve(
      (request) => {
        if (idOf(request) === 'slow') held.push(request);
        else request.socket.write(own(request));
      },
      { options: { connections: 10 } },
    );
    await get('1');
    const slow = get('slow');
    expect(values(await Promise.all(['q1', 'q2', 'q3'].map((id) => get(id))))).toStrictEqual([
      '"q1"',
      '"q2"',
      '"q3"',
    ]);
    await expect.poll(() => held.length).toBe(1);
    held[0]?.socket.write(httpResponse(200, '"slow"'));
    expect(values([await slow])).toStrictEqual(['"slow"']);
    expect(upstream.connections).toBeLessThanOrEqual(4);
  });
});

describe('header lines', () => {
  test('of more than a thousand are not looked at', async () => {
    const lines = (count: number) => 'a: b\r\n'.repeat(count);
    const { get } = await serve(({ socket }, index) =>
      socket.write(`HTTP/1.1 200 OK\r\n${lines(index === 0 ? 1_001 : 900)}content-length: 2\r\n\r\n[]`),
    );
    expect(await get()).toStrictEqual(failed('HPE_HEADER_OVERFLOW'));
    expect(await get()).toStrictEqual(response(200, '[]'));
  });
});

describe('whether the origin can be reached', () => {
  /** What each of these attempts says, in turn. */
  async function reachability(
    onRequest: (request: RawRequest, index: number) => void,
    count: number,
    options: Partial<OriginOptions> = {},
  ): Promise<(boolean | undefined)[]> {
    const upstream = await startMisbehavingServer(onRequest);
    stops.push(upstream.stop);
    const { startRun, close } = openOrigin({ ...optionsFor(upstream.origin), ...options });
    stops.unshift(close);
    const { requestPost } = startRun();
    const says: (boolean | undefined)[] = [];
    for (let i = 0; i < count; i++) {
      const attempt = await requestPost(i, 5_000, new AbortController().signal);
      says.push(attempt.kind === 'failed' ? attempt.isReachable : true);
    }
    return says;
  }

  test('a new connection that is reset says no, each time', async () => {
    expect(await reachability(({ socket }) => socket.resetAndDestroy(), 2)).toStrictEqual([false, false]);
  });

  test('an answer that begins and fails says nothing; any status says yes', async () => {
    const answers = [
      'SSH-2.0\r\n',
      'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[]',
      httpResponse(200, 'x', { 'content-encoding': 'gzip' }),
    ];
    expect(await reachability(({ socket }, index) => socket.end(answers[index] as string), 3)).toStrictEqual([
      undefined,
      true,
      true,
    ]);
  });

  test('where nobody listens, or may be connected to, it says no', async () => {
    for (const [url, code] of [
      ['http://127.0.0.1:1', 'ECONNREFUSED'],
      ['http://169.254.169.254', 'EADDRNOTALLOWED'],
      ['http://[::ffff:169.254.169.254]', 'EADDRNOTALLOWED'],
    ] as const) {
      const { startRun, close } = openOrigin(optionsFor(url));
      stops.unshift(close);
      const attempt = await startRun().requestPost(1, 5_000, new AbortController().signal);
      expect(attempt).toStrictEqual({ kind: 'failed', code, isReachable: false });
    }
  });

  test('a name that stands for an address of the cloud is refused where it is connected to', async () => {
    const { get } = open('http://posts.test', {
      lookup: (_hostname, _options, callback) => callback(null, [{ address: '169.254.169.254', family: 4 }]),
    });
    expect(await get()).toStrictEqual(failed('EADDRNOTALLOWED'));
  });

  test('of the addresses of a name, one that refuses costs nothing', async () => {
    const upstream = await startMisbehavingServer(({ socket }) => void socket.write(httpResponse(200, POST)));
    stops.push(upstream.stop);
    const { get } = open(`http://posts.test:${new URL(upstream.origin).port}`, {
      lookup: (_hostname, _options, callback) =>
        callback(null, [
          { address: '127.0.0.9', family: 4 },
          { address: '127.0.0.1', family: 4 },
        ]),
    });
    expect(await get()).toStrictEqual(response(200, POST));
    expect(upstream.requests[0]?.head).toContain('host: posts.test:');
  });
});

describe('redirects', () => {
  /** A server that redirects /posts/1 by `locations`, one after the other, and has a post at /end. */
  const serveRedirects = (status: number, locations: (origin: string) => readonly string[]) =>
    serve(({ socket, path, head }, index) => {
      const origin = `http://${/host: (.*)/.exec(head)?.[1]}`;
      const location = locations(origin)[index];
      if (path.startsWith('/end')) socket.write(httpResponse(200, POST));
      else if (location === undefined) socket.write(httpResponse(status, 'moved'));
      else socket.write(httpResponse(status, 'moved', { location }));
    });
  const pathsOf = (requests: readonly RawRequest[]) => requests.map(({ path }) => path);

  test.each([301, 302, 303, 307, 308])('%d is followed', async (status) => {
    const { get, upstream } = await serveRedirects(status, () => ['/end']);
    expect(await get()).toStrictEqual(response(200, POST));
    expect(upstream.connections).toBe(1);
  });

  test.each([
    ['absolute', (origin: string) => `${origin}/end?a=1`, '/end?a=1'],
    ['a path', () => '/end', '/end'],
    ['a path of the same folder', () => '../end/x', '/end/x'],
    ['without scheme', (origin: string) => `${origin.replace('http:', '')}/end`, '/end'],
    ['the first of two', () => '/end\r\nlocation: /elsewhere', '/end'],
    ['with a fragment, which is not sent', () => '/end#top', '/end'],
    [
      'with credentials, which are not sent',
      (origin: string) => `${origin.replace('//', '//u:p@')}/end`,
      '/end',
    ],
    ['with a space and raw UTF-8', () => '/end/ä b?q=ö', '/end/%C3%A4%20b?q=%C3%B6'],
  ])('within the origin, %s', async (_name, location, path) => {
    const { get, upstream } = await serveRedirects(302, (origin) => [location(origin)]);
    expect(await get()).toStrictEqual(response(200, POST));
    expect(pathsOf(upstream.requests)).toStrictEqual(['/posts/1', path]);
    expect(upstream.requests.every(({ head }) => !/authorization/i.test(head))).toBe(true);
  });

  test('go to the bytes that Location has, UTF-8 or not', async () => {
    const { get, upstream } = await serve(({ socket, path }) => {
      if (path !== '/posts/1') return void socket.write(httpResponse(200, POST));
      socket.write('HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: /caf\xe9\r\n\r\n', 'latin1');
    });
    expect(await get()).toStrictEqual(response(200, POST));
    expect(pathsOf(upstream.requests)).toStrictEqual(['/posts/1', '/caf%E9']);
  });

  test('go to the first Location of several', async () => {
    const { get, upstream } = await serve(({ socket, path }) => {
      if (path === '/first') socket.write(httpResponse(200, POST));
      else
        socket.write(
          'HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: /first\r\nlocation: http://evil.test/\r\n\r\n',
        );
    });
    expect(await get()).toStrictEqual(response(200, POST));
    expect(pathsOf(upstream.requests)).toStrictEqual(['/posts/1', '/first']);
  });

  test('may go to the same path with another query', async () => {
    const { get, upstream } = await serve(({ socket, path }) => {
      socket.write(
        path === '/posts/1?again' ? httpResponse(200, POST) : httpResponse(307, '', { location: '?again' }),
      );
    });
    expect(await get()).toStrictEqual(response(200, POST));
    expect(pathsOf(upstream.requests)).toStrictEqual(['/posts/1', '/posts/1?again']);
  });

  test('are followed three times, relative each to the last', async () => {
    const { get, upstream } = await serveRedirects(302, () => ['/a/b', 'c', '/end']);
    expect(await get()).toStrictEqual(response(200, POST));
    expect(pathsOf(upstream.requests)).toStrictEqual(['/posts/1', '/a/b', '/a/c', '/end']);
  });

  test('are not followed a fourth time', async () => {
    const { get, upstream } = await serveRedirects(302, () => ['/1', '/2', '/3', '/end']);
    expect(await get()).toStrictEqual(response(302, '', { redirect: 'more than 3 redirects' }));
    expect(pathsOf(upstream.requests)).toStrictEqual(['/posts/1', '/1', '/2', '/3']);
  });

  test.each([
    ['another host', () => 'http://evil.test/end', 'http://evil.test'],
    ['another port', () => 'http://127.0.0.1:1/end', 'http://127.0.0.1:1'],
    ['another scheme', (origin: string) => `${origin.replace('http', 'https')}/end`, undefined],
    ['another host without scheme', () => '//evil.test/end', 'http://evil.test'],
    [
      'a name of the same host',
      (origin: string) => `${origin.replace('127.0.0.1', 'localhost')}/end`,
      undefined,
    ],
    ['a file', () => 'file:///etc/passwd', 'file:'],
    ['a script', () => 'javascript:alert(1)', 'javascript:'],
    ['what is no URL', () => 'http://[', 'no URL'],
  ])('to %s are refused', async (_name, location, named) => {
    const { get, upstream } = await serveRedirects(302, (origin) => [location(origin)]);
    const attempt = await get();
    const target = named ?? new URL(location(upstream.origin)).origin;
    expect(attempt).toStrictEqual(
      response(302, '', { redirect: `a redirect to another origin (${target})` }),
    );
    expect(upstream.requests).toHaveLength(1);
  });

  test.each([300, 304, 305, 301])('%d without Location is an answer', async (status) => {
    const { get } = await serveBytes(`HTTP/1.1 ${status} Status\r\ncontent-length: 0\r\n\r\n`);
    expect([await get(), await get()]).toStrictEqual([response(status), response(status)]);
  });

  test('an empty Location is none', async () => {
    const { get, upstream } = await serveRedirects(302, () => ['', '']);
    expect(await get()).toStrictEqual(response(302));
    expect(upstream.requests).toHaveLength(1);
  });

  test.each([
    ['a host', `http://${'x'.repeat(15_000)}.test/`],
    ['a scheme', `${'x'.repeat(15_000)}:/`],
    ['a path of another host', `//evil.test/${'x'.repeat(15_000)}`],
  ])('little is kept of %s of 15 KB', async (_name, location) => {
    const { get } = await serveRedirects(302, () => [location]);
    const { redirect } = (await get()) as { redirect: string }; // as it is not followed
    expect(redirect).toMatch(/^a redirect to another origin \(.{3,100}\)$/);
  });

  test('300 with Location is an answer: that is for people to choose', async () => {
    const { get } = await serveRedirects(300, () => ['/end']);
    expect(await get()).toStrictEqual(response(300));
  });

  test('are followed whatever their body is', async () => {
    const bodies: Buffer[] = [
      httpResponse(302, 'x'.repeat(70_000), { location: '/end' }),
      httpResponse(302, 'not gzip', { location: '/end', 'content-encoding': 'gzip' }),
    ];
    for (const body of bodies) {
      const { get } = await serve(({ socket, path }) => {
        socket.write(path === '/end' ? httpResponse(200, POST) : body);
      });
      expect(await get()).toStrictEqual(response(200, POST));
    }
  });

  test('all count for the time of the attempt', async () => {
    const clock = new FakeClock();
    const { get, upstream } = await serve(
      ({ socket, path }) => {
        if (path !== '/end') socket.write(httpResponse(302, '', { location: '/end' }));
      },
      { options: { clock } },
    );
    const attempt = get();
    await upstream.requested(2);
    clock.advance(5_000);
    expect(await attempt).toStrictEqual(timedOut);
    await upstream.idle();
  });
});

describe('the time of an attempt', () => {
  /** Lets the time run out once the server has got the request, and the client what the server has sent. */
  const runOut = async (
    onRequest: (request: RawRequest, index: number) => void,
    expected: unknown = timedOut,
  ) => {
    const clock = new FakeClock();
    const { get, upstream } = await serve(onRequest, { options: { clock } });
    const attempt = get();
    await upstream.requested(1);
    await upstream.taken();
    clock.advance(4_999);
    await setImmediate();
    expect(clock.pending).toBe(1);
    clock.advance(1);
    expect(await attempt).toStrictEqual(expected);
    expect(clock.pending).toBe(0);
    return { get, upstream };
  };

  test('runs out before the headers, ends the connection, and the next request works', async () => {
    const { get, upstream } = await runOut(({ socket }, index) => {
      if (index > 0) socket.write(httpResponse(200, POST));
    });
    expect(await get()).toStrictEqual(response(200, POST));
    expect([upstream.connections, upstream.open]).toStrictEqual([2, 1]);
  });

  test('runs out within the headers', async () => {
    const { upstream } = await runOut(({ socket }) => void socket.write('HTTP/1.1 200 OK\r\ncontent-le'));
    await upstream.idle();
  });

  test('runs out within the body', async () => {
    const { upstream } = await runOut(({ socket }) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{"id"');
    });
    await upstream.idle();
  });

  test('runs out within a compressed body', async () => {
    const { upstream } = await runOut(({ socket }) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n');
      socket.write(gzipSync(POST).subarray(0, 12));
    });
    await upstream.idle();
  });

  test('runs out under a server that sends a byte now and then', async () => {
    const clock = new FakeClock();
    const sent: Socket[] = [];
    const { get, upstream } = await serve(
      ({ socket }) => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n');
        sent.push(socket);
      },
      { options: { clock } },
    );
    const attempt = get();
    await upstream.requested(1);
    for (let second = 0; second < 5; second++) {
      sent[0]?.write('x');
      await upstream.taken();
      clock.advance(1_000);
    }
    expect(await attempt).toStrictEqual(timedOut);
    await upstream.idle();
  });

  test('runs out within the body of an error: its status still tells', async () => {
    const { get, upstream } = await runOut(
      ({ socket }, index) => {
        if (index > 0) socket.write(httpResponse(200, POST));
        else socket.write('HTTP/1.1 429 Too Many\r\nretry-after: 3\r\ncontent-length: 10\r\n\r\nslow');
      },
      response(429, '', { retryAfter: '3' }),
    );
    await upstream.idle();
    expect(await get()).toStrictEqual(response(200, POST));
  });

  test('runs out within the body of a redirect, which was not followed yet', async () => {
    const { upstream } = await runOut(({ socket }) => {
      socket.write('HTTP/1.1 302 Found\r\nlocation: /end\r\ncontent-length: 10\r\n\r\nslow');
    });
    expect(upstream.requests.map(({ path }) => path)).toStrictEqual(['/posts/1']);
  });

  test('runs out for one that waits for a connection; it is never sent, and the others are served', async () => {
    const clock = new FakeClock();
    const held: Socket[] = [];
    const { get, upstream } = await serve(
      ({ socket }, index) => {
        if (index === 0) held.push(socket);
        else socket.write(httpResponse(200, POST));
      },
      { options: { clock } },
    );
    const first = get(1, 5_000);
    const second = get(2, 1_000);
    await upstream.requested(1);
    clock.advance(1_000);
    expect(await second).toStrictEqual(timedOut);
    held[0]?.write(httpResponse(200, POST));
    expect(await first).toStrictEqual(response(200, POST));
    expect(await get(3)).toStrictEqual(response(200, POST));
    expect(upstream.requests.map(({ path }) => path)).toStrictEqual(['/posts/1', '/posts/3']);
  });

  test('runs out while connecting: a TLS handshake that is never answered', async () => {
    const silent = await startMisbehavingServer(() => {});
    stops.push(silent.stop);
    const clock = new FakeClock();
    const { get } = open(silent.origin.replace('http', 'https'), { clock });
    const attempt = get();
    await silent.connected(1);
    clock.advance(5_000);
    expect(await attempt).toStrictEqual(timedOut);
    await silent.idle();
  });

  test('runs out anew for each attempt while connecting, whatever became of the one before', async () => {
    const silent = await startMisbehavingServer(() => {});
    stops.push(silent.stop);
    const clock = new FakeClock();
    const { get } = open(silent.origin.replace('http', 'https'), { clock });
    for (let connections = 1; connections <= 2; connections++) {
      const attempt = get();
      await silent.connected(connections);
      clock.advance(5_000);
      expect(await attempt).toStrictEqual(timedOut);
    }
    await silent.idle();
  });
});

describe('connecting', () => {
  const SPARE_AFTER_MS = 1_251;

  /** A server over TLS that has a post for every request. */
  const startPosts = async (version: string) => {
    const posts =
      version === 'HTTP/2'
        ? await startHttp2Server(certificate, (stream) => {
            stream.respond({ ':status': 200 });
            stream.end(POST);
          })
        : await startMisbehavingServer(({ socket }) => void socket.write(httpResponse(200, POST)), {
            tls: certificate,
          });
    stops.push(posts.stop);
    return Number(new URL(posts.origin).port);
  };

  /** Opens the origin of a server behind a network, which does with each connection what `onConnection` says. */
  const openBehind = async (
    onConnection: (near: Socket, index: number) => void,
    options: Partial<OriginOptions> = {},
  ) => {
    let connections = 0;
    const network = await startMisbehavingServer(() => {}, {
      onConnection: (near) => onConnection(near, connections++),
    });
    stops.push(network.stop);
    const clock = new FakeClock();
    const origin = network.origin.replace('http', 'https');
    const tls = { ca: certificate.cert };
    return { network, clock, ...open(origin, { clock, tls, connections: 10, ...options }) };
  };
  const pass = (near: Socket, port: number): void => {
    const far = connect(port, '127.0.0.1');
    near.pipe(far).pipe(near);
    far.on('error', () => {});
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  };
  const getAll = (get: (id: Id) => Promise<unknown>) => Promise.all([1, 2, 3, 4, 5].map((id) => get(id)));
  const all = [1, 2, 3, 4, 5].map(() => response(200, POST));

  test.each(['HTTP/1.1', 'HTTP/2'])(
    'a first handshake that hangs costs no post an attempt, over %s: they come on a spare connection',
    async (version) => {
      const port = await startPosts(version);
      const { get, network, clock } = await openBehind((near, index) => {
        if (index > 0) pass(near, port);
      });
      const attempts = getAll(get);
      await network.connected(1);
      clock.advance(SPARE_AFTER_MS);
      expect(await attempts).toStrictEqual(all);
      expect(clock.pending).toBe(0);
    },
  );

  test('a connect that ends with the time of the post it was made for costs another post nothing', async () => {
    const port = await startPosts('HTTP/1.1');
    const { get, network, clock } = await openBehind((near, index) => {
      // The first, and its spare.
      if (index > 1) pass(near, port);
    });
    const first = get(1, 1_000);
    await network.connected(1);
    clock.advance(500);
    const second = get(2);
    clock.advance(500);
    expect(await first).toStrictEqual(timedOut);
    clock.advance(SPARE_AFTER_MS);
    await network.connected(2);
    clock.advance(5_001 - 1_000 - SPARE_AFTER_MS);
    expect(await second).toStrictEqual(response(200, POST));
    expect(network.connections).toBe(3);
  });

  test('a handshake that hangs after an HTTP/2 connection has ended costs no post an attempt either', async () => {
    const port = await startPosts('HTTP/2');
    const first: Socket[] = [];
    const { get, network, clock } = await openBehind((near, index) => {
      if (index === 0) first.push(near);
      if (index !== 1) pass(near, port);
    });
    expect(await get()).toStrictEqual(response(200, POST));
    first[0]?.destroy();
    await network.idle();
    await setImmediate();
    const attempts = getAll(get);
    await network.connected(2);
    clock.advance(SPARE_AFTER_MS);
    expect(await attempts).toStrictEqual(all);
  });

  test('a handshake that is slow is left to the others, when the request that it was made for has gone', async () => {
    const port = await startPosts('HTTP/1.1');
    const held: Socket[] = [];
    const { get, network, clock } = await openBehind((near) => void held.push(near.pause()), {
      connections: 1,
    });
    const first = get(1, 1_000);
    const second = get(2);
    await network.connected(1);
    clock.advance(1_000);
    expect(await first).toStrictEqual(timedOut);
    for (const near of held) pass(near, port);
    expect(await second).toStrictEqual(response(200, POST));
    expect(network.connections).toBe(1);
  });

  test.each(['an abort', 'the time of the attempts'])(
    '%s ends it once no request waits: no connection is left, none is opened any more, and close is done',
    async (end) => {
      const { get, close, network, clock } = await openBehind(() => {});
      const stopping = new AbortController();
      const attempts = Promise.allSettled([1, 2, 3, 4, 5].map((id) => get(id, 5_000, stopping.signal)));
      await network.connected(1);
      clock.advance(SPARE_AFTER_MS);
      await network.connected(2);
      if (end === 'an abort') stopping.abort(new Error('another post failed'));
      else clock.advance(5_000);
      const expected = end === 'an abort' ? { status: 'rejected' } : { status: 'fulfilled', value: timedOut };
      expect(await attempts).toMatchObject(all.map(() => expected));
      expect(clock.pending).toBe(0);
      await network.idle();
      await close();
      expect(network.connections).toBe(2);
    },
  );

  test.each<[string, (start: () => Promise<unknown>) => Promise<unknown>]>([
    ['in the same tick', (start) => start()],
    ['a microtask later', (start) => Promise.resolve().then(start)],
    ['a turn later', (start) => setImmediate().then(start)],
  ])(
    'a request that comes as the last one is aborted takes a connection of its own: %s',
    async (_name, at) => {
      for (const version of ['HTTP/1.1', 'HTTP/2']) {
        const port = await startPosts(version);
        const sockets: Socket[] = [];
        const { get, network } = await openBehind((near, index) => {
          sockets.push(near);
          if (index % 2 === 1) pass(near, port);
        });
        // The second round is that of a client that connects again.
        for (const connections of [1, 3]) {
          const stopping = new AbortController();
          const aborted = get(1, 5_000, stopping.signal);
          await network.connected(connections);
          stopping.abort(new Error('another post failed'));
          const next = at(() => get(2));
          await expect(aborted).rejects.toThrow('another post failed');
          expect(await next).toStrictEqual(response(200, POST));
          expect(network.connections).toBe(connections + 1);
          sockets[connections]?.destroy();
          await network.idle();
          await setImmediate();
        }
      }
    },
  );
});

describe('a request on another connection', () => {
  test.each(['HTTP/1.1', 'HTTP/1.1 over TLS'])('has one of its own over %s', async (version) => {
    const held: Socket[] = [];
    const isTls = version !== 'HTTP/1.1';
    const { get, upstream } = await serve(
      ({ socket, path }) => {
        if (path === '/posts/held') held.push(socket);
        else socket.write(httpResponse(200, POST));
      },
      {
        options: { connections: 2, ...(isTls && { tls: { ca: certificate.cert } }) },
        server: isTls ? { tls: certificate } : {},
      },
    );
    expect(await get()).toStrictEqual(response(200, POST));
    const first = get('held');
    await upstream.requested(2);
    expect(await get('other', 5_000, undefined, true)).toStrictEqual(response(200, POST));
    held[0]?.write(httpResponse(200, POST));
    expect(await first).toStrictEqual(response(200, POST));
    const [, slow, other] = upstream.requests;
    expect(other?.connection).not.toBe(slow?.connection);
  });

  test.each([
    ['HTTP/2', true],
    ['HTTP/2, before anything is known of the server', false],
  ])('shares none, not even with one of its kind, over %s', async (_name, isKnown) => {
    const paths: string[] = [];
    const sessionOf = new Map<string, unknown>();
    const held: ServerHttp2Stream[] = [];
    const upstream = await startHttp2Server(certificate, (stream, path) => {
      paths.push(path);
      sessionOf.set(path, stream.session);
      if (path === '/posts/moved')
        return stream.respond({ ':status': 302, location: '/end' }, { endStream: true });
      if (path !== '/posts/known' && held.push(stream) < 4) return;
      // All are in flight at once.
      for (const each of path === '/posts/known' ? [stream] : held) {
        each.respond({ ':status': 200 });
        each.end(POST);
      }
    });
    stops.push(upstream.stop);
    const { get, close } = open(upstream.origin, { connections: 11, tls: { ca: certificate.cert } });
    if (isKnown) await get('known');
    const attempts = await Promise.all([
      get(1),
      get(2),
      get(3, 5_000, undefined, true),
      get('moved', 5_000, undefined, true),
    ]);
    expect(attempts).toStrictEqual(attempts.map(() => response(200, POST)));
    expect(upstream.sessions).toHaveLength(3);
    expect(sessionOf.get('/posts/1')).toBe(sessionOf.get('/posts/2'));
    expect(sessionOf.get('/end')).toBe(sessionOf.get('/posts/moved'));
    expect(new Set(['/posts/1', '/posts/3', '/end'].map((path) => sessionOf.get(path))).size).toBe(3);
    const ended = Promise.all(upstream.sessions.map((session) => once(session, 'close')));
    await close();
    await ended;
  });
});

describe('failures of the network', () => {
  const afterwards = httpResponse(200, POST);
  /** What comes of a request that `misbehave` answers; the next one has to work. */
  const outcomeOf = async (misbehave: (socket: Socket) => void) => {
    const { get } = await serve(({ socket }, index) => {
      if (index === 0) misbehave(socket);
      else socket.write(afterwards);
    });
    const attempt = await get();
    expect(await get()).toStrictEqual(response(200, POST));
    return attempt;
  };

  const bytes =
    (text: string) =>
    (socket: Socket): void =>
      void socket.write(text);
  const OK = 'HTTP/1.1 200 OK\r\n';
  const TWO_LENGTHS = `${OK}content-length: 2\r\ncontent-length: 2\r\n\r\n[]`;
  const LENGTH_AND_CHUNKED = 'content-length: 2\r\ntransfer-encoding: chunked\r\n';
  const CHUNKED_AND_LENGTH = 'transfer-encoding: chunked\r\ncontent-length: 2\r\n';
  const causes: [string, (socket: Socket) => void, string][] = [
    ['two equal Content-Lengths', bytes(TWO_LENGTHS), 'INVALID_HEADER'],
    [
      'a Content-Length, and chunks',
      bytes(`${OK}${LENGTH_AND_CHUNKED}\r\n2\r\n[]\r\n0\r\n\r\n`),
      'INVALID_HEADER',
    ],
    [
      'chunks, and a Content-Length',
      bytes(`${OK}${CHUNKED_AND_LENGTH}\r\n2\r\n[]\r\n0\r\n\r\n`),
      'HPE_UNEXPECTED_CONTENT_LENGTH',
    ],
    ['a header name that is no token', bytes(`${OK}x y: 1\r\n\r\n`), 'HPE_INVALID_HEADER_TOKEN'],
    ['a header value with a NUL', bytes(`${OK}x: a\0b\r\n\r\n`), 'HPE_INVALID_HEADER_TOKEN'],
    ['a bare LF behind a header', bytes(`${OK}x: 1\n\r\n`), 'HPE_CR_EXPECTED'],
    ['a bare CR behind a header', bytes(`${OK}x: 1\rcontent-length: 0\r\n\r\n`), 'HPE_LF_EXPECTED'],
    ['an unknown version', bytes('HTTP/3.7 200 OK\r\n\r\n'), 'HPE_INVALID_VERSION'],
    ['a status of letters', bytes('HTTP/1.1 abc OK\r\n\r\n'), 'HPE_INVALID_STATUS'],
    [
      'chunks that end early, of a connection that is to be closed',
      (socket) => socket.end(`${OK}connection: close\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"id"\r\n`),
      'ECONNRESET',
    ],
    [
      'an answer 100, which nobody asked for',
      bytes(`HTTP/1.1 100 Continue\r\n\r\n${httpResponse(200, POST)}`),
      'UNEXPECTED_CONTINUE',
    ],
  ];

  test.each<[string, (socket: Socket) => void, string]>([
    ['a reset before the headers', (socket) => socket.resetAndDestroy(), 'ECONNRESET'],
    ['an end before the headers', (socket) => socket.end(), 'ECONNRESET'],
    ['an end within the headers', (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-le'), 'ECONNRESET'],
    [
      'an end within the body',
      (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{"id"'),
      'ECONNRESET',
    ],
    [
      'an end before the body',
      (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n'),
      'ECONNRESET',
    ],
    [
      'an end within a chunk',
      (socket) => socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n{"id"'),
      'ECONNRESET',
    ],
    [
      'an end between chunks',
      (socket) => socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"id"\r\n'),
      'ECONNRESET',
    ],
    [
      'chunks with a broken length',
      (socket) => socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{"id"\r\n'),
      'HPE_INVALID_CHUNK_SIZE',
    ],
    [
      'an end within a compressed body',
      (socket) => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\ncontent-encoding: gzip\r\n\r\n');
        socket.end(gzipSync(POST).subarray(0, 15));
      },
      'ECONNRESET',
    ],
    [
      'a compressed body that ends with its connection, too early',
      (socket) => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n');
        socket.end(gzipSync(POST).subarray(0, 15));
      },
      'ECONNRESET',
    ],
    ['what is no HTTP', (socket) => socket.end('SSH-2.0-OpenSSH_9.6\r\n'), 'HPE_INVALID_CONSTANT'],
    [
      'headers of 64 KB',
      (socket) => socket.write(httpResponse(200, POST, { 'x-large': 'x'.repeat(65_536) })),
      'HPE_HEADER_OVERFLOW',
    ],
    [
      'a Content-Length that is no number',
      (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\n{"id": 1}\n'),
      'HPE_INVALID_CONTENT_LENGTH',
    ],
    ...causes,
  ])('%s', async (_name, misbehave, code) => {
    expect(await outcomeOf(misbehave)).toStrictEqual(failed(code));
  });

  test('a reset within the headers, and one within the body', async () => {
    for (const part of [
      'HTTP/1.1 200 OK\r\ncontent-le',
      'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{"id"',
    ]) {
      const resetAfter = (socket: Socket) => {
        socket.write(part, () => socket.resetAndDestroy());
      };
      expect(await outcomeOf(resetAfter)).toStrictEqual(failed('ECONNRESET'));
    }
  });

  test('a Content-Length that is too small ends the body there; the rest ends the connection', async () => {
    const { get, upstream } = await serve(({ socket }, index) => {
      socket.write(index === 0 ? httpResponse(200, '{"id": 1}garbage', { 'content-length': 9 }) : afterwards);
    });
    expect(await get()).toStrictEqual(response(200, '{"id": 1}'));
    expect(await get()).toStrictEqual(response(200, POST));
    expect(upstream.connections).toBe(2);
  });

  test('a body of an error that is cut short leaves its status', async () => {
    expect(
      await outcomeOf((socket) => socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 10\r\n\r\nnot')),
    ).toStrictEqual(response(404));
  });

  test('a port where nobody listens', async () => {
    const server = await startMisbehavingServer(() => {});
    await server.stop();
    const { get } = open(server.origin);
    expect([await get(), await get()]).toStrictEqual([failed('ECONNREFUSED'), failed('ECONNREFUSED')]);
  });

  test('a name that does not exist', async () => {
    const { get } = open('http://posts.invalid');
    // The second where there is no DNS server to ask.
    expect([failed('ENOTFOUND'), failed('EAI_AGAIN')]).toContainEqual(await get());
  });

  test.each([
    ['expired', { notAfter: new Date(Date.now() - 60_000) }, true, 'CERT_HAS_EXPIRED'],
    ['not valid yet', { notBefore: new Date(Date.now() + 60_000) }, true, 'CERT_NOT_YET_VALID'],
    ['self-signed', {}, false, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ["another host's", { dnsName: 'other.test' }, true, 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ])('a certificate that is %s', async (_name, options, trusted, code) => {
    const bad = makeCertificate(options);
    const { get, upstream } = await serve(({ socket }) => void socket.write(afterwards), {
      options: trusted ? { tls: { ca: bad.cert } } : {},
      server: { tls: bad },
    });
    expect([await get(), await get()]).toStrictEqual([failed(code), failed(code)]);
    expect(upstream.requests).toStrictEqual([]);
  });

  test('a server that speaks no TLS', async () => {
    const upstream = await startMisbehavingServer(() => {}, {
      onConnection: (socket) => socket.end(afterwards),
    });
    stops.push(upstream.stop);
    const { get } = open(upstream.origin.replace('http', 'https'));
    expect(await get()).toStrictEqual(failed('ERR_SSL_WRONG_VERSION_NUMBER'));
  });
});

describe('an abort', () => {
  const reason = new Error('another post failed');

  test('before the request rejects with its reason, and nothing is sent', async () => {
    const { get, upstream } = await serveBytes(httpResponse(200, POST));
    await expect(get(1, 5_000, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(upstream.connections).toBe(0);
  });

  test.each<[string, string]>([
    ['before the headers', ''],
    ['within the headers', 'HTTP/1.1 200 OK\r\ncontent-le'],
    ['within the body', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{"id"'],
    ['within the body of an error', 'HTTP/1.1 500 Error\r\ncontent-length: 10\r\n\r\nslow'],
  ])('%s rejects with its reason at once, and ends the connection', async (_name, part) => {
    const { get, upstream } = await serve(({ socket }, index) => {
      socket.write(index === 0 ? part : httpResponse(200, POST));
    });
    const stopping = new AbortController();
    const attempt = get(1, 5_000, stopping.signal);
    await upstream.requested(1);
    await upstream.taken();
    await setImmediate();
    stopping.abort(reason);
    await expect(attempt).rejects.toBe(reason);
    await upstream.idle();
    expect(getEventListeners(stopping.signal, 'abort')).toStrictEqual([]);
    expect(await get()).toStrictEqual(response(200, POST));
  });

  test('while connecting rejects with its reason at once', async () => {
    const silent = await startMisbehavingServer(() => {});
    stops.push(silent.stop);
    const { get } = open(silent.origin.replace('http', 'https'));
    const stopping = new AbortController();
    const attempt = get(1, 5_000, stopping.signal);
    await silent.connected(1);
    stopping.abort(reason);
    await expect(attempt).rejects.toBe(reason);
    await silent.idle();
  });

  test('of many in flight and many that wait ends them all; none of those that wait is sent', async () => {
    const { get, upstream } = await serve(
      ({ socket, path }) => {
        if (path === '/posts/last') socket.write(httpResponse(200, POST));
      },
      { options: { connections: 5 } },
    );
    const stopping = new AbortController();
    const attempts = Array.from({ length: 50 }, (_, id) => get(id, 5_000, stopping.signal));
    const settled = Promise.allSettled(attempts);
    await upstream.requested(5);
    stopping.abort(reason);
    expect(await settled).toStrictEqual(attempts.map(() => ({ status: 'rejected', reason })));
    await upstream.idle();
    expect(getEventListeners(stopping.signal, 'abort')).toStrictEqual([]);
    expect(await get('last')).toStrictEqual(response(200, POST));
    expect([upstream.requests.length, upstream.connections]).toStrictEqual([6, 6]);
  });

  test('of all but one opens no connection for those that waited', async () => {
    const held: Socket[] = [];
    const { get, upstream } = await serve(
      ({ socket, path }) => {
        if (path === '/posts/0') held.push(socket);
        if (path === '/posts/last') socket.write(httpResponse(200, POST));
      },
      { options: { connections: 5 } },
    );
    const stopping = new AbortController();
    const first = get(0);
    const attempts = Array.from({ length: 49 }, (_, i) => get(i + 1, 5_000, stopping.signal));
    const settled = Promise.allSettled(attempts);
    await upstream.requested(5);
    stopping.abort(reason);
    await settled;
    // Connected after any that the others could have had.
    expect(await get('last')).toStrictEqual(response(200, POST));
    expect([upstream.requests.length, upstream.connections]).toStrictEqual([6, 6]);
    held[0]?.write(httpResponse(200, POST));
    expect(await first).toStrictEqual(response(200, POST));
  });

  test('after the answer changes nothing', async () => {
    const { get, upstream } = await serveBytes(httpResponse(200, POST));
    const stopping = new AbortController();
    expect(await get(1, 5_000, stopping.signal)).toStrictEqual(response(200, POST));
    stopping.abort(reason);
    expect(await get()).toStrictEqual(response(200, POST));
    expect(upstream.connections).toBe(1);
  });

  test('leaves no timer behind, and neither does an answer', async () => {
    const clock = new FakeClock();
    const { get, upstream } = await serve(
      ({ socket }, index) => {
        if (index === 0) socket.write(httpResponse(200, POST));
      },
      { options: { clock } },
    );
    await get();
    expect(clock.pending).toBe(0);
    const stopping = new AbortController();
    const attempt = get(2, 5_000, stopping.signal);
    await upstream.requested(2);
    stopping.abort(reason);
    await expect(attempt).rejects.toBe(reason);
    expect(clock.pending).toBe(0);
  });
});

describe('HTTP/2', () => {
  const serveHttp2 = async (
    onStream: Parameters<typeof startHttp2Server>[1],
    options: Partial<OriginOptions> = {},
  ) => {
    const upstream = await startHttp2Server(certificate, onStream);
    stops.push(upstream.stop);
    return { upstream, ...open(upstream.origin, { tls: { ca: certificate.cert }, ...options }) };
  };

  test('is spoken where the server offers it, many requests to a connection', async () => {
    const { get, upstream } = await serveHttp2((stream) => {
      stream.respond({ ':status': 200 });
      stream.end(POST);
    });
    const attempts = await Promise.all(Array.from({ length: 30 }, (_, id) => get(id)));
    expect(attempts).toStrictEqual(attempts.map(() => response(200, POST)));
    expect(upstream.sessions).toHaveLength(1);
    const {
      'user-agent': userAgent,
      accept,
      'accept-encoding': encodings,
      ':path': path,
    } = upstream.requests[0] ?? {};
    expect({ userAgent, accept, encodings, path }).toStrictEqual({
      userAgent: USER_AGENT,
      accept: 'application/json',
      encodings: 'gzip, br, zstd',
      path: '/posts/0',
    });
  });

  test('has compression, errors and redirects as HTTP/1.1 does', async () => {
    const { get } = await serveHttp2((stream, path) => {
      if (path === '/posts/gzip') {
        stream.respond({ ':status': 200, 'content-encoding': 'gzip' });
        stream.end(gzipSync(POST));
      } else if (path === '/posts/moved') {
        stream.respond({ ':status': 301, location: '/posts/gzip' });
        stream.end('moved');
      } else {
        stream.respond({ ':status': 429, 'retry-after': '2', date: 'Mon, 23 Nov 2026 06:00:00 GMT' });
        stream.end('x'.repeat(100_000));
      }
    });
    expect(await Promise.all([get('gzip'), get('moved'), get('busy')])).toStrictEqual([
      response(200, POST),
      response(200, POST),
      response(429, '', { retryAfter: '2', date: 'Mon, 23 Nov 2026 06:00:00 GMT' }),
    ]);
  });

  test('has redirects to the bytes that Location has, UTF-8 or not', async () => {
    const { get, upstream } = await serveHttp2((stream, path) => {
      const location = { '/posts/1': '/caf\xc3\xa9', '/caf%C3%A9': '/caf\xe9' }[path];
      if (location === undefined) stream.end(POST);
      else stream.respond({ ':status': 302, location }, { endStream: true });
    });
    expect(await get()).toStrictEqual(response(200, POST));
    expect(upstream.requests.map((headers) => headers[':path'])).toStrictEqual([
      '/posts/1',
      '/caf%C3%A9',
      '/caf%E9',
    ]);
  });

  test('has 1xx before the answer', async () => {
    const { get } = await serveHttp2((stream) => {
      stream.additionalHeaders({ ':status': 103, link: '</x>; rel=preload' });
      stream.respond({ ':status': 200 });
      stream.end(POST);
    });
    expect(await get()).toStrictEqual(response(200, POST));
  });

  test('ends the stream of a body that is too large; others on its connection go on', async () => {
    let sentBytes = 0;
    const { get, upstream } = await serveHttp2((stream, path) => {
      stream.respond({ ':status': 200 });
      if (path !== '/posts/large') return void stream.end(POST);
      const more = (): void => {
        sentBytes += 100_000;
        if (sentBytes < 100_000_000 && !stream.destroyed) stream.write(Buffer.alloc(100_000), more);
      };
      more();
    });
    expect(await Promise.all([get('large'), get(1)])).toStrictEqual([
      { kind: 'too-large', status: 200 },
      response(200, POST),
    ]);
    expect(await get(2)).toStrictEqual(response(200, POST));
    expect(sentBytes).toBeLessThan(10_000_000);
    expect(upstream.sessions).toHaveLength(1);
  });

  /** A server that answers the first request with these frames, and the others with a post. */
  const serveFrames = async (answer: (stream: number) => readonly (Buffer | 'end')[]) => {
    const { headers, data, end } = http2Frames;
    const upstream = await startRawHttp2Server(certificate, (stream, index) =>
      index === 0 ? answer(stream) : [headers(stream), data(stream, POST), end(stream)],
    );
    stops.push(upstream.stop);
    return open(upstream.origin, { tls: { ca: certificate.cert } });
  };
  const { headers, data, end, reset, goAway } = http2Frames;
  const [NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM] = [0, 2, 7, 8, 11];

  test.each<[string, (stream: number) => readonly (Buffer | 'end')[]]>([
    ['a stream that is reset before the headers', (stream) => [reset(stream, INTERNAL_ERROR)]],
    ['a stream that is cancelled before the headers', (stream) => [reset(stream, CANCEL)]],
    ['a stream that ends before the headers', (stream) => [reset(stream, NO_ERROR)]],
    [
      'a stream that is reset within the body',
      (stream) => [headers(stream), data(stream, '{"id"'), reset(stream, INTERNAL_ERROR)],
    ],
    [
      'a stream that is cancelled before its Content-Length has come',
      (stream) => [headers(stream, 10), data(stream, '{"id"'), reset(stream, CANCEL)],
    ],
    ['a connection that ends within the body', (stream) => [headers(stream), data(stream, '{"id"'), 'end']],
    ['a connection that ends before the headers', () => ['end']],
    ['GOAWAY with an error', (stream) => [goAway(stream, INTERNAL_ERROR), 'end']],
    [
      'GOAWAY with an error within the body',
      (stream) => [headers(stream), data(stream, '{"id"'), goAway(stream, INTERNAL_ERROR), 'end'],
    ],
  ])('%s has failed, and the next request works', async (_name, answer) => {
    const { get } = await serveFrames(answer);
    expect(await get()).toStrictEqual(failed('ECONNRESET'));
    expect(await get()).toStrictEqual(response(200, POST));
  });

  test('a request that GOAWAY says was not looked at is sent once more, on another connection', async () => {
    const { get } = await serveFrames(() => [goAway(0, NO_ERROR), 'end']);
    expect(await get()).toStrictEqual(response(200, POST));
  });

  test.each<[string, (stream: number) => readonly (Buffer | 'end')[]]>([
    ['that ends before the headers', () => ['end']],
    ['that goes away with an error', (stream) => [goAway(stream, INTERNAL_ERROR), 'end']],
    ['that goes away twice', () => [goAway(0, NO_ERROR), 'end']],
  ])(
    'a request on a connection %s, which has answered another, is sent again at no cost',
    async (_name, fault) => {
      const upstream = await startRawHttp2Server(certificate, (stream, index) =>
        index === 1 ? fault(stream) : [headers(stream), data(stream, POST), end(stream)],
      );
      stops.push(upstream.stop);
      const { get } = open(upstream.origin, { tls: { ca: certificate.cert } });
      for (let i = 0; i < 3; i++) expect(await get()).toStrictEqual(response(200, POST));
    },
  );

  test('a request that is refused again and again costs nothing, within the time of its attempt', async () => {
    const upstream = await startRawHttp2Server(certificate, (stream, index) =>
      index < 9 ? [reset(stream, REFUSED_STREAM)] : [headers(stream), data(stream, POST), end(stream)],
    );
    stops.push(upstream.stop);
    const { get } = open(upstream.origin, { tls: { ca: certificate.cert } });
    expect(await get()).toStrictEqual(response(200, POST));
  });

  test('one that is always refused has failed in the end', async () => {
    let requests = 0;
    const upstream = await startRawHttp2Server(certificate, (stream) => {
      requests += 1;
      return [reset(stream, REFUSED_STREAM)];
    });
    stops.push(upstream.stop);
    const { get } = open(upstream.origin, { tls: { ca: certificate.cert } });
    expect(await get()).toStrictEqual(failed('ECONNRESET'));
    // undici sends each of ours once more.
    expect(requests).toBe(2 * 33);
  });

  test('a stream that fails on a connection that goes on has failed', async () => {
    const upstream = await startRawHttp2Server(certificate, (stream, index) =>
      index === 1 ? [reset(stream, INTERNAL_ERROR)] : [headers(stream), data(stream, POST), end(stream)],
    );
    stops.push(upstream.stop);
    const { get } = open(upstream.origin, { tls: { ca: certificate.cert } });
    expect([await get(), await get(), await get()]).toStrictEqual([
      response(200, POST),
      failed('ECONNRESET'),
      response(200, POST),
    ]);
  });

  test('a connection that dies with all that are in flight on it says once that the origin cannot be reached', async () => {
    const upstream = await startRawHttp2Server(certificate, (_stream, index) =>
      index % 5 === 4 ? ['end'] : [],
    );
    stops.push(upstream.stop);
    const { startRun, close } = openOrigin({
      ...optionsFor(upstream.origin),
      tls: { ca: certificate.cert },
    });
    stops.unshift(close);
    const { requestPost } = startRun();
    const attempts = await Promise.all(
      [1, 2, 3, 4, 5].map((id) => requestPost(id, 5_000, new AbortController().signal)),
    );
    expect(
      attempts.map((each) => (each.kind === 'failed' ? each.isReachable : each.kind)).sort(),
    ).toStrictEqual([false, ...Array(4).fill(undefined)]);
  });

  test('ENHANCE_YOUR_CALM of a stream is a failure that throttles', async () => {
    const upstream = await startRawHttp2Server(certificate, (stream, index) =>
      index === 1 ? [reset(stream, ENHANCE_YOUR_CALM)] : [headers(stream), data(stream, POST), end(stream)],
    );
    stops.push(upstream.stop);
    const { startRun, close } = openOrigin({ ...optionsFor(upstream.origin), tls: { ca: certificate.cert } });
    stops.unshift(close);
    const { requestPost } = startRun();
    const { signal } = new AbortController();
    await requestPost(1, 5_000, signal);
    expect(await requestPost(2, 5_000, signal)).toMatchObject({
      code: 'ENHANCE_YOUR_CALM',
      isThrottled: true,
    });
  });

  test.each([
    ['before it was looked at', 0],
    ['with the connection', 1],
  ])(
    'a request that is dropped %s, as the server is asked too much, is answered, and says so',
    async (_name, looked) => {
      const upstream = await startRawHttp2Server(certificate, (stream, index) =>
        index === 1
          ? [goAway(looked * stream, ENHANCE_YOUR_CALM), 'end']
          : [headers(stream), data(stream, POST), end(stream)],
      );
      stops.push(upstream.stop);
      const { get } = open(upstream.origin, { tls: { ca: certificate.cert } });
      await get();
      expect(await get()).toStrictEqual(response(200, POST, { isThrottled: true }));
    },
  );

  test('a body that is shorter than its Content-Length has failed', async () => {
    const { get } = await serveHttp2((stream) => {
      stream.respond({ ':status': 200, 'content-length': '100' });
      stream.end(POST);
    });
    expect(await get()).toStrictEqual(failed('ECONNRESET'));
  });

  test('a session that goes away with its connection fails those in flight, and the next request works', async () => {
    const { get, upstream } = await serveHttp2((stream, _path, index) => {
      if (index === 0) return void stream.session?.destroy();
      stream.respond({ ':status': 200 });
      stream.end(POST);
    });
    expect(await get()).toStrictEqual(failed('ECONNRESET'));
    expect(await get()).toStrictEqual(response(200, POST));
    expect(upstream.sessions).toHaveLength(2);
  });

  test('GOAWAY lets those in flight end, and the next request takes another connection', async () => {
    const { get, upstream } = await serveHttp2((stream, _path, index) => {
      if (index === 0) stream.session?.goaway(0, stream.id);
      stream.respond({ ':status': 200 });
      stream.end(POST);
    });
    expect(await get()).toStrictEqual(response(200, POST));
    expect(await get()).toStrictEqual(response(200, POST));
    expect(upstream.sessions).toHaveLength(2);
  });

  test('the time of an attempt and an abort end the stream alone', async () => {
    const clock = new FakeClock();
    const { get, upstream } = await serveHttp2(
      (stream, path) => {
        if (path !== '/posts/ok') return;
        stream.respond({ ':status': 200 });
        stream.end(POST);
      },
      { clock },
    );
    expect(await get('ok')).toStrictEqual(response(200, POST));
    const stopping = new AbortController();
    const late = get('late');
    const aborted = get('aborted', 5_000, stopping.signal);
    const reason = new Error('another post failed');
    stopping.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    clock.advance(5_000);
    expect(await late).toStrictEqual(timedOut);
    expect(await get('ok')).toStrictEqual(response(200, POST));
    expect(upstream.sessions).toHaveLength(1);
  });

  test('a connection that has died without a word is found out, and what waits for an answer goes on another', async () => {
    const { upstream } = await serveHttp2((stream) => {
      stream.respond({ ':status': 200 });
      stream.end(POST);
    });
    // That of the pings.
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    let isDead = false;
    let dropped = 0;
    let connections = 0;
    const sockets: Socket[] = [];
    // Between the two, a network that drops what the first connection sends.
    const network = createServer((near) => {
      const far = connect(upstream.port, '127.0.0.1');
      const isFirst = connections++ === 0;
      sockets.push(near, far);
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        from.on('data', (chunk) => {
          if (isFirst && isDead) dropped += 1;
          else to.write(chunk);
        });
        from.on('error', () => {});
        from.on('close', () => to.destroy());
      }
    });
    network.listen(0, '127.0.0.1');
    await once(network, 'listening');
    stops.push(async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => network.close(resolve));
      vi.useRealTimers();
    });
    const { port } = network.address() as { port: number };
    const clock = new FakeClock();
    const { get } = open(`https://127.0.0.1:${port}`, { tls: { ca: certificate.cert }, clock });
    expect(await get()).toStrictEqual(response(200, POST));
    isDead = true;
    const attempt = get();
    await eventually(() => dropped > 0);
    // The first ping goes out after a quarter of the time, and has had no answer after a half.
    clock.advance(2_499);
    vi.advanceTimersByTime(2_499);
    await setImmediate();
    expect(connections).toBe(1);
    vi.advanceTimersByTime(1);
    expect(await attempt).toStrictEqual(response(200, POST));
    expect(connections).toBe(2);
  });
});
