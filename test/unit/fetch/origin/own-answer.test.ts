import { describe, expect, test } from 'vitest';
import { systemClock } from '../../../../src/base/clock.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import {
  httpResponse,
  type RawRequest,
  startMisbehavingServer,
} from '../../../support/misbehaving-server.ts';
import {
  failed,
  MAX_BODY_BYTES,
  originAt,
  POST,
  response,
  serve,
  serveBytes,
  stops,
} from '../../../support/open-origin.ts';

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
    const origin = originAt(upstream.origin, { clock });
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
