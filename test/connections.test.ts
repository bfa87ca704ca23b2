import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Connections } from '../src/connections.ts';
import {
  httpResponse,
  type MisbehavingServer,
  startMisbehavingServer,
} from './support/misbehaving-server.ts';

let server: MisbehavingServer;
/** What ends a request of the server's, by its number. */
let answers: ((headers?: Readonly<Record<string, string>>) => void)[];

beforeEach(async () => {
  answers = [];
  server = await startMisbehavingServer(({ socket }) => {
    answers.push((headers) => socket.write(httpResponse(200, '[]', headers)));
  });
});
afterEach(() => server.stop());

function open(connections: number, origin: string = server.origin) {
  const opened = new Connections(origin, { connections });
  /** Resolves as soon as the answer has come: what awaits it comes before the event loop turns. */
  const request = (path: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const handler = {
        onRequestStart: () => {},
        onResponseStart: () => {},
        onResponseData: () => {},
        onResponseEnd: () => {
          opened.answered(handler);
          resolve();
        },
        onResponseError: (_controller: unknown, error: Error) => reject(error),
      };
      opened.dispatch({ path, method: 'GET' }, handler);
    });
  const paths = () => server.requests.map(({ path }) => path);
  return { opened, request, paths };
}

async function answer(index: number, headers?: Readonly<Record<string, string>>): Promise<void> {
  await server.requested(index + 1);
  answers[index]?.(headers);
}

test('a request that follows an answer goes on its connection, however many there may be', async () => {
  const { opened, request } = open(50);
  const chains = ['a', 'b'].map(async (name) => {
    for (let i = 0; i < 10; i++) await request(`/${name}${i}`);
  });
  for (let i = 0; i < 20; i++) await answer(i);
  await Promise.all(chains);
  expect(server.connections).toBe(2);
  await opened.close();
});

test('nobody goes before those who wait, and one at a time', async () => {
  const { opened, request, paths } = open(1);
  const [first, ...others] = ['/1', '/2', '/3'].map(request);
  await answer(0);
  await first;
  const last = request('/4');
  await server.requested(2);
  // It is with /2 by now, which is not answered yet.
  const veryLast = request('/5');
  for (const [index, path] of ['/2', '/3', '/4', '/5'].entries()) {
    await server.requested(index + 2);
    await setImmediate();
    expect(paths().slice(index + 1)).toStrictEqual([path]);
    await answer(index + 1);
  }
  await Promise.all([...others, last, veryLast]);
  await opened.close();
});

test('a connection that took one who waited takes no other behind it', async () => {
  const { opened, request } = open(2);
  const [first, second, third] = ['/1', '/2', '/3'].map(request);
  await answer(0);
  await first;
  await server.requested(3);
  const fourth = request('/4');
  await answer(1);
  await second;
  // /3 has no answer yet.
  await answer(3);
  await fourth;
  await answer(2);
  await third;
  expect(server.requests.map(({ connection }) => connection)).toStrictEqual([0, 1, 0, 1]);
  await opened.close();
});

test('a connection that the server closes after its answer is not waited for', async () => {
  const { opened, request } = open(1);
  const first = request('/1');
  await answer(0, { connection: 'close' });
  await first;
  const second = request('/2');
  await answer(1);
  await second;
  expect(server.connections).toBe(2);
  await opened.close();
});

test('a connection that could not be made again takes no request', async () => {
  const listener = createServer((socket) => {
    socket.once('data', () => {
      listener.close();
      socket.end(httpResponse(200, '[]', { connection: 'close' }));
    });
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { opened, request } = open(1, `http://127.0.0.1:${(listener.address() as AddressInfo).port}`);
  const [first, second] = ['/1', '/2'].map(request);
  await first;
  await expect(second).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  await expect(request('/3')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  await opened.close();
});

test('none takes a request once they are closed', async () => {
  const { opened, request } = open(1);
  const first = request('/1');
  await answer(0);
  await first;
  const closed = opened.close();
  await expect(request('/2')).rejects.toMatchObject({ code: 'UND_ERR_CLOSED' });
  await closed;
  expect(server.requests).toHaveLength(1);
});
