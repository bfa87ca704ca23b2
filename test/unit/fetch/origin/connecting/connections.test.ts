import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import connectorOf from 'undici/lib/core/connect.js';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { RequestHandler } from '../../../../../src/fetch/origin/connecting/connection.ts';
import { Connections } from '../../../../../src/fetch/origin/connecting/connections.ts';
import { FakeClock } from '../../../../support/fake-clock.ts';
import {
  httpResponse,
  type MisbehavingServer,
  startMisbehavingServer,
} from '../../../../support/misbehaving-server.ts';

const REST_MS = 10;
const answer = httpResponse(200, '[]');

let clock: FakeClock;
let server: MisbehavingServer;
/** The sockets of the requests that wait for an answer, by their number. */
let sockets: Socket[];
let closing: (() => Promise<void>)[];

beforeEach(async () => {
  clock = new FakeClock();
  closing = [];
  sockets = [];
  server = await startMisbehavingServer(({ socket }) => void sockets.push(socket));
});
afterEach(async () => {
  for (const close of closing) await close();
  await server.stop();
});

function open({ connections = 50, origin = server.origin } = {}) {
  const unsolicited = vi.fn<() => void>();
  const opened = new Connections(origin, {
    connections,
    connect: connectorOf({}),
    clock,
    onUnsolicited: unsolicited,
  });
  closing.push(() => opened.close());
  /** Resolves once it was polled behind the answer. `over` says that nobody waits for it any more. */
  const request = (path: string, { isAlone = false, over = { yet: false } } = {}): Promise<string> =>
    new Promise((resolve, reject) => {
      const handler: RequestHandler = {
        get isOver() {
          return over.yet;
        },
        onRequestStart: () => {},
        onResponseStarted: () => {
          const { transport } = handler.client ?? {};
          if (transport) transport.hasAnswered = true;
        },
        onResponseStart: () => {},
        onResponseData: () => {},
        onResponseEnd() {
          const { client } = handler;
          if (client?.transport) client.rest(client.transport, clock.now() - 3);
          opened.afterPoll({ polled: () => resolve(path) });
        },
        onResponseError: (_controller: unknown, error: Error) => reject(error),
      };
      opened.dispatch({ path, method: 'GET' }, handler, isAlone);
    });
  return { opened, request, unsolicited };
}

/** Sends bytes to the client behind the request with this number. */
async function send(index: number, bytes: string | Buffer = answer): Promise<void> {
  await server.requested(index + 1);
  sockets[index]?.write(bytes);
}

/** Lets the event loop poll some times. */
async function poll(): Promise<void> {
  for (let i = 0; i < 10; i++) await setImmediate();
}

const places = () => server.requests.map(({ path, connection }) => `${path} on ${connection}`);

test('a request that follows an answer goes on its connection, however many there may be', async () => {
  const { request } = open();
  const first = request('/1');
  await send(0);
  await first;
  clock.advance(REST_MS);
  for (let i = 1; i < 10; i++) {
    const next = request(`/${i + 1}`);
    await send(i);
    await next;
    clock.advance(REST_MS);
  }
  expect(server.connections).toBe(1);
});

test('a new connection rests behind its first answer, and takes the request that waits for it then', async () => {
  const { request, unsolicited } = open({ connections: 1 });
  const first = request('/1');
  await send(0);
  await first;
  const second = request('/2');
  clock.advance(REST_MS - 1);
  await poll();
  expect(places()).toStrictEqual(['/1 on 0']);
  clock.advance(1);
  await send(1);
  await second;
  expect(places()).toStrictEqual(['/1 on 0', '/2 on 0']);
  expect(unsolicited).not.toHaveBeenCalled();
});

test.each([
  ['a whole answer', answer],
  ['the first byte of one', 'H'],
  ['what is no answer', '\0'],
  ['a 408', httpResponse(408, '', { connection: 'close' })],
])('%s that comes while it rests ends it, and is told of', async (_name, stray) => {
  const { request, unsolicited } = open({ connections: 1 });
  const first = request('/1');
  await send(0);
  await first;
  const second = request('/2');
  await poll();
  await send(0, stray);
  await send(1);
  await second;
  expect(places()).toStrictEqual(['/1 on 0', '/2 on 1']);
  expect(unsolicited).toHaveBeenCalledTimes(1);
});

test('line breaks behind an answer are nothing (RFC 9112, 2.2)', async () => {
  const { request, unsolicited } = open({ connections: 1 });
  const first = request('/1');
  await send(0, Buffer.concat([answer, Buffer.from('\r\n')]));
  await first;
  clock.advance(REST_MS);
  const second = request('/2');
  await send(1);
  await second;
  expect(server.connections).toBe(1);
  expect(unsolicited).not.toHaveBeenCalled();
});

test.each<[string, (socket: Socket) => void]>([
  ['ends it', (socket) => socket.end()],
  ['resets it', (socket) => socket.resetAndDestroy()],
])('a server that %s while it rests has asked for another one, and no more', async (_name, close) => {
  const { request, unsolicited } = open({ connections: 1 });
  const first = request('/1');
  await send(0);
  await first;
  const second = request('/2');
  await poll();
  close(sockets[0] as Socket);
  await send(1);
  await second;
  expect(places()).toStrictEqual(['/1 on 0', '/2 on 1']);
  expect(unsolicited).not.toHaveBeenCalled();
});

test('what waits for a connection that is to end by then goes on another', async () => {
  const { opened, request } = open({ connections: 1 });
  const first = request('/1');
  await send(0);
  await first;
  const second = request('/2');
  opened.renew();
  clock.advance(REST_MS);
  await send(1);
  await second;
  expect(places()).toStrictEqual(['/1 on 0', '/2 on 1']);
});

test('nobody goes before those who wait, and one at a time', async () => {
  const { request } = open({ connections: 1 });
  const all = ['/1', '/2', '/3'].map((path) => request(path));
  await send(0);
  await poll();
  clock.advance(REST_MS);
  for (const index of [1, 2]) await send(index);
  await Promise.all(all);
  expect(places()).toStrictEqual(['/1 on 0', '/2 on 0', '/3 on 0']);
});

test('a request that is given up while the connection rests is not sent, and the next one is', async () => {
  const { request } = open({ connections: 1 });
  const first = request('/1');
  await send(0);
  await first;
  const over = { yet: false };
  void request('/2', { over });
  const third = request('/3');
  over.yet = true;
  clock.advance(REST_MS);
  await send(1);
  await third;
  expect(places()).toStrictEqual(['/1 on 0', '/3 on 0']);
});

test('a request alone has a connection that no other gets, and that ends behind its answer', async () => {
  const { request } = open({ connections: 1 });
  const [first, alone] = [request('/1'), request('/alone', { isAlone: true })];
  await server.requested(2);
  const indexOf = (path: string) => server.requests.findIndex((each) => each.path === path);
  await send(indexOf('/alone'));
  await alone;
  await once(sockets[indexOf('/alone')] as Socket, 'close');
  await send(indexOf('/1'));
  await first;
  expect(server.requests[indexOf('/alone')]?.head).toContain('connection: close');
  expect([server.connections, server.open]).toStrictEqual([2, 1]);
});

test('a connection that could not be made again takes no request', async () => {
  const { request } = open({ connections: 1 });
  const first = expect(request('/1')).rejects.toThrow();
  await server.requested(1);
  await server.stop();
  await first;
  for (const path of ['/2', '/3'])
    await expect(request(path)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});

test('none takes a request once they are closed', async () => {
  const { opened, request } = open({ connections: 1 });
  const first = request('/1');
  await send(0);
  await first;
  await opened.close();
  closing = [];
  await expect(request('/2')).rejects.toMatchObject({ code: 'UND_ERR_DESTROYED' });
});

test('an end that is told of twice is one', async () => {
  const { opened, unsolicited } = open();
  const error = Object.assign(new Error('Expected HTTP/'), { name: 'HTTPParserError' });
  await new Promise<void>((resolve) => {
    const handler: RequestHandler = {
      onRequestStart() {
        const { client } = handler;
        for (let i = 0; i < 2; i++)
          client?.emit('disconnect', new URL(server.origin), [client], error as never);
        resolve();
      },
      onResponseStart: () => {},
      onResponseData: () => {},
      onResponseEnd: () => {},
      onResponseError: () => {},
    };
    opened.dispatch({ path: '/1', method: 'GET' }, handler);
  });
  expect(unsolicited).toHaveBeenCalledTimes(1);
  await send(0);
});

test('what waits for a poll is called back behind the next one, all of a turn together and in order', async () => {
  const { opened } = open();
  const order: string[] = [];
  opened.afterPoll({ polled: () => order.push('first') });
  opened.afterPoll({ polled: () => order.push('second') });
  await setImmediate();
  expect(order).toStrictEqual([]);
  opened.afterPoll({ polled: () => order.push('third') });
  await setImmediate();
  expect(order).toStrictEqual(['first', 'second']);
  await setImmediate();
  expect(order).toStrictEqual(['first', 'second', 'third']);
});
