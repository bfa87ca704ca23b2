import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { inspect } from 'node:util';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { USER_AGENT } from '../../../../src/fetch/origin/request.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import {
  httpResponse,
  type RawRequest,
  startMisbehavingServer,
} from '../../../support/misbehaving-server.ts';
import {
  certificate,
  failed,
  MAX_BODY_BYTES,
  open,
  originAt,
  POST,
  response,
  serve,
  serveBytes,
  stops,
  timedOut,
} from '../../../support/open-origin.ts';

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
    const { startRun } = originAt(upstream.origin);
    const { requestPost } = startRun();
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
    const { startRun } = originAt(upstream.origin, { headers });
    const { requestPost } = startRun();
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
