import { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import {
  Connector,
  type ConnectorOptions,
  EXPIRED,
} from '../../../../../src/fetch/origin/connecting/connector.ts';
import { FakeClock } from '../../../../support/fake-clock.ts';

const TIMEOUT_MS = 1_000;
const SPARE_AFTER_MS = 250;
const unwanted = { message: 'No request needs the connection any more' };
const timedOut = { code: EXPIRED, message: 'No connection within 1000 ms' };
const [refused, reset] = [new Error('refused'), new Error('reset')];

/** A connector whose connections are ready, or fail, when the test says so; one request waits. */
function start({
  isTls = true,
  waiting = 1,
  addresses = ['192.0.2.1'],
  resolve = (_target, onResolved) => onResolved(null, addresses),
}: {
  readonly isTls?: boolean;
  readonly waiting?: number;
  readonly addresses?: readonly string[];
  readonly resolve?: ConnectorOptions<string>['resolve'];
} = {}) {
  const clock = new FakeClock();
  const opened: {
    readonly target: string;
    readonly address: string;
    readonly socket: Socket;
    succeed(alpn?: string): void;
  }[] = [];
  const connector = new Connector<string>({
    resolve,
    open(target, address, callback) {
      const socket = new Socket();
      socket.on('error', (error) => callback(error, null));
      const succeed = (alpn?: string) => {
        if (alpn !== undefined) Object.assign(socket, { alpnProtocol: alpn });
        callback(null, socket);
      };
      opened.push({ target, address, socket, succeed });
      return socket;
    },
    isTls,
    timeoutMs: TIMEOUT_MS,
    clock,
  });
  for (let i = 0; i < waiting; i++) connector.startWaiting();
  /** What has been called back so far: an error, or the number of a connection. */
  const connect = (target = 'origin') => {
    const results: unknown[] = [];
    connector.connect(target, (error, socket) =>
      results.push(error ?? opened.findIndex((each) => each.socket === socket)),
    );
    return results;
  };
  /** The connection fails, as the system has it: an error, of which one hears later. */
  const fail = async (index: number, error: Error) => {
    const { socket } = opened[index] ?? expect.fail(`Expected connection ${index}`);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.destroy(error);
    await closed;
  };
  const succeed = (index: number, alpn?: string) => opened[index]?.succeed(alpn);
  const destroyed = () => opened.map(({ socket }) => socket.destroyed);
  return { clock, connector, opened, connect, fail, succeed, destroyed };
}

test('a connection is handed over when it is ready, and leaves no timer', () => {
  const { clock, opened, connect, succeed, destroyed } = start();
  const results = connect('there');
  expect([results, clock.pending]).toStrictEqual([[], 1]);
  succeed(0);
  expect(results).toStrictEqual([0]);
  expect(opened.map(({ target }) => target)).toStrictEqual(['there']);
  expect([destroyed(), clock.pending]).toStrictEqual([[false], 0]);
});

test('a connection that fails before it gets a spare has failed at once', async () => {
  const { clock, connect, fail, opened } = start();
  const results = connect();
  clock.advance(SPARE_AFTER_MS - 1);
  await fail(0, refused);
  expect(results).toStrictEqual([refused]);
  clock.advance(TIMEOUT_MS);
  expect([opened.length, clock.pending]).toStrictEqual([1, 0]);
});

test.each([
  ['the connection itself', 0, [false, true]],
  ['its spare', 1, [true, false]],
])(
  'a quarter of the time later there is one spare; the first to be ready is taken: %s',
  (_name, first, gone) => {
    const { clock, connect, opened, succeed, destroyed } = start();
    const results = connect('there');
    clock.advance(SPARE_AFTER_MS);
    expect(opened.map(({ target }) => target)).toStrictEqual(['there', 'there']);
    clock.advance(TIMEOUT_MS - SPARE_AFTER_MS - 1);
    expect([opened.length, destroyed()]).toStrictEqual([2, [false, false]]);
    succeed(first);
    // Too late, by a hair: it was ready already when it was destroyed.
    succeed(1 - first);
    expect(results).toStrictEqual([first]);
    expect([destroyed(), clock.pending]).toStrictEqual([gone, 0]);
  },
);

test.each([
  ['the connection itself', 0],
  ['its spare', 1],
])('one that fails waits for the other: %s', async (_name, first) => {
  const { clock, connect, fail, succeed } = start();
  const results = connect();
  clock.advance(SPARE_AFTER_MS);
  await fail(first, refused);
  expect(results).toStrictEqual([]);
  succeed(1 - first);
  expect([results, clock.pending]).toStrictEqual([[1 - first], 0]);
});

test('when both have failed, it is with the first error', async () => {
  const { clock, connect, fail } = start();
  const results = connect();
  clock.advance(SPARE_AFTER_MS);
  await fail(1, reset);
  await fail(0, refused);
  expect([results, clock.pending]).toStrictEqual([[reset], 0]);
});

test('both are over when the time is', () => {
  const { clock, connect, destroyed } = start();
  const results = connect();
  clock.advance(TIMEOUT_MS);
  expect(results).toStrictEqual([expect.objectContaining(timedOut)]);
  expect([destroyed(), clock.pending]).toStrictEqual([[true, true], 0]);
});

test('one that failed says why, when the other does not come in time', async () => {
  const { clock, connect, fail } = start();
  const results = connect();
  clock.advance(SPARE_AFTER_MS);
  await fail(0, refused);
  clock.advance(TIMEOUT_MS);
  expect([results, clock.pending]).toStrictEqual([[refused], 0]);
});

test('without TLS there is no spare', () => {
  const { clock, connector, connect, opened, destroyed } = start({ isTls: false });
  expect(connector.mayShare).toBe(false);
  const results = connect();
  clock.advance(TIMEOUT_MS - 1);
  expect([results, opened.length]).toStrictEqual([[], 1]);
  clock.advance(1);
  expect(results).toStrictEqual([expect.objectContaining(timedOut)]);
  expect([destroyed(), clock.pending]).toStrictEqual([[true], 0]);
});

test('over TLS requests may share a connection until one does not speak HTTP/2; only then is there no spare', () => {
  const { clock, connector, connect, opened, succeed } = start();
  for (const [protocol, mayShare] of [
    ['h2', true],
    ['http/1.1', false],
    ['h2', true],
    [undefined, false],
  ] as const) {
    connect();
    succeed(opened.length - 1, protocol);
    expect(connector.mayShare).toBe(mayShare);
    const before = opened.length;
    connect();
    clock.advance(SPARE_AFTER_MS);
    expect(opened.length - before).toBe(mayShare ? 2 : 1);
  }
});

test('when the last request waits no more, all connects under way have failed, and nothing is left of them', () => {
  const { clock, connector, connect, destroyed } = start({ waiting: 2 });
  const results = [connect(), connect()];
  clock.advance(SPARE_AFTER_MS);
  connector.stopWaiting();
  expect([results, destroyed()]).toStrictEqual([
    [[], []],
    [false, false, false, false],
  ]);
  connector.stopWaiting();
  expect(results).toStrictEqual([[expect.objectContaining(unwanted)], [expect.objectContaining(unwanted)]]);
  expect([destroyed(), clock.pending]).toStrictEqual([[true, true, true, true], 0]);
});

test('a connection that is ready stays when the last request waits no more', () => {
  const { connector, connect, succeed, destroyed } = start();
  const results = connect();
  succeed(0);
  connector.stopWaiting();
  expect([results, destroyed()]).toStrictEqual([[0], [false]]);
});

test('no connection is opened where no request waits, and then one is again', () => {
  const { clock, connector, connect, opened, succeed } = start({ waiting: 0 });
  expect(connect()).toStrictEqual([expect.objectContaining(unwanted)]);
  expect([opened, clock.pending]).toStrictEqual([[], 0]);
  connector.startWaiting();
  const results = connect();
  succeed(0);
  expect(results).toStrictEqual([0]);
});

describe('of several addresses', () => {
  const addresses = ['192.0.2.1', '192.0.2.2', '192.0.2.3'];
  const tried = (opened: readonly { readonly address: string }[]) => opened.map(({ address }) => address);

  test('the next is tried where one has failed', async () => {
    const { connect, fail, opened, succeed, clock } = start({ isTls: false, addresses });
    const results = connect();
    await fail(0, refused);
    expect([results, tried(opened)]).toStrictEqual([[], addresses.slice(0, 2)]);
    succeed(1);
    expect([results, clock.pending]).toStrictEqual([[1], 0]);
  });

  test('the next is tried after 250 ms each, and the first to be ready is taken', () => {
    const { connect, opened, succeed, destroyed, clock } = start({ isTls: false, addresses });
    const results = connect();
    clock.advance(249);
    expect(tried(opened)).toStrictEqual(addresses.slice(0, 1));
    clock.advance(1);
    expect(tried(opened)).toStrictEqual(addresses.slice(0, 2));
    clock.advance(250);
    expect(tried(opened)).toStrictEqual(addresses);
    // A connect that takes longer than 250 ms is as good as another.
    succeed(0);
    expect([results, destroyed(), clock.pending]).toStrictEqual([[0], [false, true, true], 0]);
  });

  test('the time is that of all together', () => {
    const { connect, opened, destroyed, clock } = start({ isTls: false, addresses });
    const results = connect();
    clock.advance(TIMEOUT_MS - 1);
    expect([results, opened.length]).toStrictEqual([[], 3]);
    clock.advance(1);
    expect(results).toStrictEqual([expect.objectContaining(timedOut)]);
    expect([destroyed(), clock.pending]).toStrictEqual([[true, true, true], 0]);
  });

  test('when all have failed, it is with the error of the first', async () => {
    const { connect, fail, clock } = start({ isTls: false, addresses });
    const results = connect();
    await fail(0, refused);
    await fail(1, reset);
    expect(results).toStrictEqual([]);
    await fail(2, reset);
    expect([results, clock.pending]).toStrictEqual([[refused], 0]);
  });

  test('over TLS they come before the spare, which goes to the first', () => {
    const { connect, opened, clock } = start({ addresses: addresses.slice(0, 2) });
    connect();
    clock.advance(TIMEOUT_MS / 2);
    expect(tried(opened)).toStrictEqual(['192.0.2.1', '192.0.2.2', '192.0.2.1']);
  });
});

describe('finding the addresses', () => {
  test('counts for the time, and what comes of it later is nothing', () => {
    let found: (() => void) | undefined;
    const { connect, opened, clock } = start({
      resolve: (_target, onResolved) => {
        found = () => onResolved(null, ['192.0.2.1']);
      },
    });
    const results = connect();
    clock.advance(TIMEOUT_MS);
    expect(results).toStrictEqual([expect.objectContaining(timedOut)]);
    found?.();
    expect([opened, clock.pending]).toStrictEqual([[], 0]);
  });

  test('may fail', () => {
    const { connect, clock } = start({ resolve: (_target, onResolved) => onResolved(refused, []) });
    expect([connect(), clock.pending]).toStrictEqual([[refused], 0]);
  });
});
