import { once } from 'node:events';
import type { ServerHttp2Stream } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Id } from '../../../../../src/batch/ids.ts';
import { FakeClock } from '../../../../support/fake-clock.ts';
import { startHttp2Server } from '../../../../support/http2-server.ts';
import {
  httpResponse,
  type RawRequest,
  startMisbehavingServer,
} from '../../../../support/misbehaving-server.ts';
import {
  certificate,
  failed,
  type OriginGiven,
  open,
  originAt,
  POST,
  response,
  serve,
  stops,
  timedOut,
} from '../../../../support/open-origin.ts';

describe('whether the origin can be reached', () => {
  /** What each of these attempts says, in turn. */
  async function reachability(
    onRequest: (request: RawRequest, index: number) => void,
    count: number,
    options: OriginGiven = {},
  ): Promise<(boolean | undefined)[]> {
    const upstream = await startMisbehavingServer(onRequest);
    stops.push(upstream.stop);
    const { startRun } = originAt(upstream.origin, options);
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
      const { startRun } = originAt(url);
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
    options: OriginGiven = {},
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
    const { get, close } = open(upstream.origin, { connections: 2, tls: { ca: certificate.cert } });
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

  test('shares none with any of ten others of its kind over HTTP/2, nor waits for them', async () => {
    const held: ServerHttp2Stream[] = [];
    const sessions = new Set<unknown>();
    const upstream = await startHttp2Server(certificate, (stream) => {
      sessions.add(stream.session);
      // All are in flight at once.
      if (held.push(stream) < 11) return;
      for (const each of held) {
        each.respond({ ':status': 200 });
        each.end(POST);
      }
    });
    stops.push(upstream.stop);
    const { get } = open(upstream.origin, { connections: 20, tls: { ca: certificate.cert } });
    const attempts = await Promise.all(
      Array.from({ length: 11 }, (_, id) => get(id, 5_000, undefined, true)),
    );
    expect(attempts).toStrictEqual(attempts.map(() => response(200, POST)));
    expect(sessions.size).toBe(11);
  });
});
