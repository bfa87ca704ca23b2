import { randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import {
  brotliCompressSync,
  constants,
  createGzip,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { Incoming } from '../../../../../src/fetch/origin/answer/incoming.ts';
import { startHttp2Server } from '../../../../support/http2-server.ts';
import { httpResponse, startMisbehavingServer } from '../../../../support/misbehaving-server.ts';
import {
  certificate,
  failed,
  MAX_BODY_BYTES,
  open,
  POST,
  response,
  serve,
  serveBytes,
  stops,
} from '../../../../support/open-origin.ts';

describe('compression', () => {
  test('is not undone for a response that nobody waits for any more', async () => {
    const incoming = new Incoming(MAX_BODY_BYTES);
    incoming.begin(200, { 'content-encoding': 'br' });
    incoming.add(brotliCompressSync(POST));
    expect(await incoming.end({ isOver: true })).toBeUndefined();
    expect(await incoming.end({ isOver: false })).toMatchObject({
      kind: 'response',
      body: Buffer.from(POST),
    });
  });

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
