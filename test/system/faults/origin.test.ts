import { lookup } from 'node:dns/promises';
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Id } from '../../../src/batch/ids.ts';
import { makeCertificate } from '../../support/certificate.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { http2Frames, startHttp2Server, startRawHttp2Server } from '../../support/http2-server.ts';
import { httpResponse, startMisbehavingServer } from '../../support/misbehaving-server.ts';
import { type Answer, healthy, runWith, timeOut } from './upstream.ts';
import {
  Attempts,
  attemptClock,
  HEALTHY,
  network,
  type Outcome,
  startWorld,
  timedOut,
  type World,
  well,
} from './world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterEach(() => world.reset());
afterAll(() => world.close());

const httpErrorOf = (id: Id): Outcome => ({
  attempts: 1,
  httpStatus: 500,
  reason: { code: 'HTTP_ERROR', message: `Post ${id} answered HTTP 500`, retryable: true },
});
const circuitOpen = (id: Id): Outcome => ({
  attempts: 0,
  httpStatus: null,
  reason: {
    code: 'NETWORK',
    message: `Post ${id} was not asked for: the origin cannot be reached`,
    retryable: true,
    cause: 'CIRCUIT_OPEN',
  },
});

test('a burst of 500 costs each post an attempt', async () => {
  // Held until all have come: the burst is the first attempt of each.
  const first: Socket[] = [];
  const upstream = await startMisbehavingServer(({ socket }, index) => {
    if (index >= 5) socket.write(healthy);
    else if (first.push(socket) === 5) for (const each of first) each.write(httpResponse(500, 'oops'));
  });
  const ids = [1, 2, 3, 4, 5];
  const settings = { concurrency: 5 };
  const ran = await world.run({ origin: upstream.origin, ids, settings });
  await upstream.stop();
  await world.expectDocument(
    ran,
    ids.map(() => well(HEALTHY, 2)),
  );
});

test('a keep-alive that closes under a reused connection costs no attempt', async () => {
  const answer: Answer = (socket, times, { connection }) => {
    if (times === 1) socket.end();
    else socket.write(httpResponse(200, `{"connection":${connection}}`));
  };
  const ran = await runWith(world, answer, { settings: { concurrency: 1 } });
  await world.expectDocument(ran, well('{"connection":1}'));
});

describe('an origin', () => {
  const ids = [1, 2, 3];
  const each = (outcome: (id: Id) => Outcome) => ids.map(outcome);

  test('that refuses from the third post on has given the first two', async () => {
    const upstream = await startMisbehavingServer(({ path, socket }) => {
      if (path === '/posts/1') socket.write(healthy);
      else socket.end(httpResponse(200, HEALTHY, { connection: 'close' }), () => void upstream.stop());
    });
    const ran = await world.run({ origin: upstream.origin, ids, settings: { concurrency: 1 } });
    await world.expectDocument(ran, [well(), well(), network('ECONNREFUSED', 3)]);
  });

  test('that refuses every connection is given up after 20 of them', async () => {
    const upstream = await startMisbehavingServer(() => {});
    await upstream.stop();
    const many = Array.from({ length: 100 }, (_, index) => index + 1);
    const ran = await world.run({
      origin: upstream.origin,
      ids: many,
      settings: { concurrency: 1, maxAttempts: 1, adaptive: true },
    });
    await world.expectDocument(
      ran,
      many.map((id) => (id <= 20 ? { ...network('ECONNREFUSED', id), attempts: 1 } : circuitOpen(id))),
    );
  });

  test('that answers 500 to everything is asked for little more than each post', async () => {
    const upstream = await startMisbehavingServer(
      ({ socket }) => void socket.write(httpResponse(500, 'oops')),
    );
    const many = Array.from({ length: 50 }, (_, index) => index + 1);
    const ran = await world.run({
      origin: upstream.origin,
      ids: many,
      settings: { concurrency: 1, maxAttempts: 4, retryBudgetPercent: 20 },
    });
    await upstream.stop();
    expect(upstream.requests).toHaveLength(70);
    // 20 % of 50, and 10: three each for the first six posts, and two for the seventh.
    await world.expectDocument(
      ran,
      many.map((id) => ({ ...httpErrorOf(id), attempts: id <= 6 ? 4 : id === 7 ? 3 : 1 })),
    );
  });

  test('that stalls one of many: a second request gets the post, and the first is aborted', async () => {
    const many = Array.from({ length: 40 }, (_, index) => index + 1);
    const clock = new FakeClock();
    const attempts = new Attempts(attemptClock());
    const first: Socket[] = [];
    const upstream = await startMisbehavingServer(({ path, socket, connection }) => {
      // Three of 40 make the 95th percentile.
      if (/\/[123]$/.test(path)) return void first.push(socket);
      if (path !== '/posts/25') return void socket.write(healthy);
      const earlier = upstream.requests.find((request) => request.path === path);
      if (earlier?.connection !== connection) socket.write(httpResponse(200, '"the second"'));
    });
    const running = world.run({
      origin: upstream.origin,
      ids: many,
      settings: { concurrency: 3, hedge: true },
      clock,
      attempts,
    });
    const stalled = () => upstream.requests.filter(({ path }) => path === '/posts/25').length;
    await upstream.requested(3);
    clock.advance(300);
    for (const socket of first) socket.write(healthy);
    await upstream.requested(40);
    await attempts.inFlight(1);
    clock.advance(451);
    await setImmediate();
    expect([attempts.count, stalled()]).toStrictEqual([1, 1]);
    clock.advance(1);
    const ran = await running;
    await upstream.idle();
    await upstream.stop();
    expect(stalled()).toBe(2);
    await world.expectDocument(
      ran,
      many.map((id) => (id === 25 ? { ...well('"the second"'), hedged: true } : well())),
    );
  });

  test('that never shakes hands', async () => {
    const clock = attemptClock();
    const attempts = new Attempts(clock);
    const upstream = await startMisbehavingServer(() => {});
    const asked = () => upstream.connected(upstream.connections + 1);
    const [ran] = await Promise.all([
      world.run({ origin: upstream.origin.replace('http', 'https'), ids, attempts }),
      timeOut(upstream, { clock, attempts, asked, times: 2, count: 3 }),
    ]);
    await upstream.idle();
    await upstream.stop();
    await world.expectDocument(ran, each(timedOut));
  });

  test('whose name does not exist', async () => {
    // EAI_AGAIN where there is no DNS server to ask.
    const { code } = await lookup('posts.invalid').catch((error) => error);
    const ran = await world.run({ origin: 'http://posts.invalid', ids });
    await world.expectDocument(
      ran,
      each((id) => network(code, id)),
    );
  });

  test.each([
    ['expired', { notAfter: new Date(Date.now() - 60_000) }, true, 'CERT_HAS_EXPIRED'],
    ['self-signed', {}, false, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ["another host's", { dnsName: 'other.test' }, true, 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ])('whose certificate is %s gets no request', async (_name, options, trusted, code) => {
    const tls = makeCertificate(options);
    const upstream = await startMisbehavingServer(({ socket }) => void socket.write(healthy), { tls });
    const ran = await world.run({ origin: upstream.origin, ids, ...(trusted && { ca: tls.cert }) });
    await upstream.stop();
    expect(upstream.requests).toStrictEqual([]);
    await world.expectDocument(
      ran,
      each((id) => network(code, id)),
    );
  });
});

describe('over HTTP/2', () => {
  const certificate = makeCertificate();
  const { headers, data, end, reset, goAway } = http2Frames;
  const [NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM] = [0, 2, 7];
  type Frames = (stream: number) => readonly (Buffer | 'end')[];

  test.each<[string, Frames, Outcome]>([
    ['a stream that is reset', (stream) => [reset(stream, INTERNAL_ERROR)], well(HEALTHY, 2)],
    ['a stream that is refused', (stream) => [reset(stream, REFUSED_STREAM)], well()],
    [
      'a stream that is reset within the body',
      (stream) => [headers(stream), data(stream, '{"half"'), reset(stream, INTERNAL_ERROR)],
      well(HEALTHY, 2),
    ],
    ['GOAWAY with an error', (stream) => [goAway(stream, INTERNAL_ERROR), 'end'], well()],
    ['GOAWAY that says the request was not looked at', () => [goAway(0, NO_ERROR), 'end'], well()],
    ['a connection that ends', () => ['end'], well()],
  ])('%s, once: the post comes all the same, and the others are untouched', async (_name, fault, outcome) => {
    const upstream = await startRawHttp2Server(certificate, (stream, index) =>
      index === 2 ? fault(stream) : [headers(stream), data(stream, HEALTHY), end(stream)],
    );
    // One at a time: a connection that ends takes those in flight with it.
    const settings = { concurrency: 1 };
    const ran = await world.run({ origin: upstream.origin, ca: certificate.cert, settings });
    await upstream.stop();
    await world.expectDocument(ran, outcome);
  });

  test('a stream that is reset each time has failed, and those beside it on the connection have not', async () => {
    const upstream = await startHttp2Server(certificate, (stream, path) => {
      if (path === '/posts/bad') return stream.close(INTERNAL_ERROR);
      stream.respond({ ':status': 200 });
      stream.end(HEALTHY);
    });
    const ran = await world.run({ origin: upstream.origin, ca: certificate.cert });
    await upstream.stop();
    expect(upstream.sessions).toHaveLength(1);
    await world.expectDocument(ran, network('ECONNRESET'));
  });
});
