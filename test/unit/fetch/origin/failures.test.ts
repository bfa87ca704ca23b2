import { getEventListeners } from 'node:events';
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { makeCertificate } from '../../../support/certificate.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { httpResponse, startMisbehavingServer } from '../../../support/misbehaving-server.ts';
import { failed, open, POST, response, serve, serveBytes, stops } from '../../../support/open-origin.ts';

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
