import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { describe, expect, test, vi } from 'vitest';
import { USER_AGENT } from '../../../../src/fetch/origin/request.ts';
import { eventually } from '../../../support/eventually.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { http2Frames, startRawHttp2Server } from '../../../support/http2-server.ts';
import {
  certificate,
  failed,
  open,
  originAt,
  POST,
  response,
  serveHttp2,
  stops,
  timedOut,
} from '../../../support/open-origin.ts';

describe('HTTP/2', () => {
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
    const { startRun } = originAt(upstream.origin, { tls: { ca: certificate.cert } });
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
    const { startRun } = originAt(upstream.origin, { tls: { ca: certificate.cert } });
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
