import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import type { Context } from 'aws-lambda';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type PostsStub, startPostsStub } from '../../../local/world/posts.ts';
import { type S3Store, startS3Store } from '../../../local/world/s3.ts';
import { BadInputError, StoreError, TooLargeError } from '../../../src/base/errors.ts';
import { parseManifestLocation } from '../../../src/batch/manifest/location.ts';
import { loadIds } from '../../../src/run/load-ids.ts';
import { createManifestStore } from '../../../src/store/id-source.ts';
import { createS3Client } from '../../../src/store/s3.ts';
import { eventually } from '../../support/eventually.ts';
import { quiet, watch } from '../../support/manual-mapper.ts';
import {
  accessDenied,
  hold,
  internalError,
  type MisbehavingS3,
  noSuchBucket,
  reset,
  slowDown,
  startMisbehavingS3,
} from '../../support/misbehaving-s3.ts';

const bucket = 'results';
const FOREVER = new Promise<never>(() => {});
const never = (): AbortSignal => new AbortController().signal;
const locationOf = (url: string) => parseManifestLocation(url, 'manifest');
const manifest = (name: string) => locationOf(`s3://${bucket}/${name}`);

let stub: PostsStub;
let real: S3Store;
let s3: MisbehavingS3;
const clients: ReturnType<typeof createS3Client>[] = [];

beforeAll(async () => {
  stub = await startPostsStub({ latencyMs: () => 0 });
  real = await startS3Store({ buckets: [bucket] });
  s3 = await startMisbehavingS3(real.endpoint);
});
beforeEach(() => {
  // No one waits for the SDK's retries.
  vi.spyOn(Math, 'random').mockReturnValue(0);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  for (const client of clients.splice(0)) client.destroy();
  s3.behave();
});
afterAll(async () => {
  await stub.close();
  await s3.stop();
  await real.close();
});

function storeAt(endpoint: string) {
  const client = createS3Client({
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  });
  clients.push(client);
  return createManifestStore(client);
}

async function put(key: string, body: string | Buffer): Promise<void> {
  const response = await fetch(
    `${real.endpoint}/${bucket}/${key.split('/').map(encodeURIComponent).join('/')}`,
    {
      method: 'PUT',
      body: new Uint8Array(Buffer.from(body)),
    },
  );
  expect(response.status).toBe(200);
}

/** A server that answers a request for an object with a head that promises much, and with what `send` sends. */
async function startBrokenS3(send: (socket: Socket) => void) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n');
      send(socket);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, // a server for TCP has that address
    sockets,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

describe('the store of manifests', () => {
  test('has the bytes of an object as they are stored', async () => {
    for (const key of ['ids.csv', 'a b/ä+%41?#&=/ids.csv', 'empty.csv']) {
      const body = key === 'empty.csv' ? Buffer.alloc(0) : gzipSync(`${key}\n`.repeat(1_000));
      await put(key, body);
      const chunks = await storeAt(s3.endpoint).open(locationOf(`s3://${bucket}/${key}`), never());
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
      expect(await buffer(chunks)).toStrictEqual(body);
      expect(vi.getTimerCount()).toBe(0);
      vi.useRealTimers();
    }
  });

  test('tries again what S3 may do next time', async () => {
    await put('again.csv', '1\n');
    s3.next('GetObject', slowDown, internalError, reset);
    const chunks = await storeAt(s3.endpoint).open(locationOf(`s3://${bucket}/again.csv`), never());
    expect((await buffer(chunks)).toString()).toBe('1\n');
    expect(s3.operations).toHaveLength(4);
  });

  test.each(['s3://results/nothing.csv', 's3://no-such-bucket/ids.csv'])(
    '%s, which is not there, is bad input',
    async (url) => {
      await expect(storeAt(s3.endpoint).open(locationOf(url), never())).rejects.toThrow(
        new BadInputError(`Expected \`${url}\` to be an object in S3, got nothing`),
      );
    },
  );

  test.each([
    ['refuses', accessDenied, 'AccessDenied'],
    ['has an error inside', internalError, 'InternalError'],
    ['wants less to do', slowDown, 'SlowDown'],
    ['cuts connections', reset, 'ECONNRESET'],
  ])('fails with a StoreError that has no policy text where S3 %s', async (_, fault, why) => {
    s3.always('GetObject', fault);
    const opened = storeAt(s3.endpoint).open(locationOf('s3://results/ids.csv'), never());
    await expect(opened).rejects.toThrow(new StoreError(`s3://results/ids.csv could not be read: ${why}`));
    await expect(opened).rejects.toMatchObject({ cause: expect.any(Error) });
  });

  test('fails with a StoreError where the connection dies in the middle of an object', async () => {
    const broken = await startBrokenS3((socket) => {
      socket.write('1\n2\n', () => socket.resetAndDestroy());
    });
    try {
      const loading = loadIds(manifest('ids.csv'), storeAt(broken.endpoint), 10, never());
      await expect(loading).rejects.toThrow(
        new StoreError('s3://results/ids.csv could not be read: ECONNRESET'),
      );
    } finally {
      broken.stop();
    }
  });

  test('fails with a StoreError where S3 sends nothing for 20 s in the middle of an object', async () => {
    const broken = await startBrokenS3((socket) => {
      socket.write('1\n');
    });
    try {
      const opened = await storeAt(broken.endpoint).open(locationOf('s3://results/ids.csv'), never());
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
      const chunks = opened[Symbol.asyncIterator]();
      const one = { done: false, value: Buffer.from('1\n') };
      expect(await chunks.next()).toStrictEqual(one);
      vi.advanceTimersByTime(19_000);
      broken.sockets[0]?.write('1\n');
      expect(await chunks.next()).toStrictEqual(one);
      vi.advanceTimersByTime(19_000);
      broken.sockets[0]?.write('1\n');
      expect(await chunks.next()).toStrictEqual(one);
      const next = chunks.next();
      vi.advanceTimersByTime(20_000);
      await expect(next).rejects.toThrow(new StoreError('s3://results/ids.csv could not be read: ETIMEDOUT'));
    } finally {
      broken.stop();
    }
  });

  test('gives up with the reason of its signal before S3 answers', async () => {
    s3.always('GetObject', hold(FOREVER));
    const stopping = new AbortController();
    const reason = new Error('Enough');
    const loading = loadIds(manifest('ids.csv'), storeAt(s3.endpoint), 10, stopping.signal);
    await s3.asked('GetObject');
    stopping.abort(reason);
    await expect(loading).rejects.toBe(reason);
  });

  test('gives up with the reason of its signal in the middle of an object', async () => {
    const broken = await startBrokenS3((socket) => {
      socket.write('1\n2\n');
    });
    const stopping = new AbortController();
    const reason = new Error('Enough');
    try {
      const opened = await storeAt(broken.endpoint).open(locationOf('s3://results/ids.csv'), stopping.signal);
      const chunks = opened[Symbol.asyncIterator]();
      expect(await chunks.next()).toStrictEqual({ done: false, value: Buffer.from('1\n2\n') });
      const next = chunks.next();
      stopping.abort(reason);
      await expect(next).rejects.toBe(reason);
    } finally {
      broken.stop();
    }
  });

  test.each(['ids.csv', 'ids.csv.gz'])('lets go of %s as soon as its ids are too many', async (name) => {
    const many = Buffer.from('1\n'.repeat(100));
    const broken = await startBrokenS3((socket) => {
      // Nothing more comes: who waited for the next piece would wait forever.
      socket.write(name.endsWith('.gz') ? gzipSync(many).subarray(0, -8) : many);
    });
    try {
      await expect(loadIds(manifest(name), storeAt(broken.endpoint), 10, never())).rejects.toThrow(
        TooLargeError,
      );
      expect(broken.sockets).toHaveLength(1);
      await eventually(() => broken.sockets.every((socket) => socket.destroyed || socket.readableEnded));
    } finally {
      broken.stop();
    }
  });
});

describe('a manifest in an event', () => {
  /** The handler of a cold start. */
  async function coldStart(endpoint: string) {
    const env = {
      RESULTS_BUCKET: bucket,
      POST_URL: `${stub.url}/posts/{id}`,
      AWS_ENDPOINT_URL_S3: endpoint,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
    };
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
    vi.resetModules();
    const { handler } = await import('../../../src/lambda/fetch.ts');
    return handler;
  }

  /** All of a context that the handler uses. */
  function contextOf(awsRequestId: string, remainingMs = 30_000): Context {
    return { awsRequestId, getRemainingTimeInMillis: () => remainingMs } as Context;
  }

  test('is fetched as the same ids in the event are, and is replayed for them', async () => {
    await put('lesson.json.gz', gzipSync('[1, 99999, 3]'));
    const handler = await coldStart(s3.endpoint);
    const listed = await handler({ ids: [1, 99999, 3], runId: 'lesson' }, contextOf('first'));
    const replayed = await handler(
      { manifest: `s3://${bucket}/lesson.json.gz`, runId: 'lesson' },
      contextOf('second'),
    );
    expect(replayed).toStrictEqual({ ...listed, replayed: true });
  });

  test('that does not come is a StoreError before the time of the function runs out', async () => {
    s3.always('GetObject', hold(FOREVER));
    const handler = await coldStart(s3.endpoint);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const handled = handler({ manifest: `s3://${bucket}/ids.csv` }, contextOf('held', 10_000));
    const state = watch(handled);
    await s3.asked('GetObject');
    vi.advanceTimersByTime(9_749);
    await quiet();
    expect(state.settled).toBe(false);
    vi.advanceTimersByTime(1);
    await expect(handled).rejects.toMatchObject({
      name: 'StoreError',
      message: "s3://results/ids.csv could not be read before the function's time ran out",
    });
  });

  test('that may not be read is a StoreError, and one that is not there is bad input', async () => {
    const handler = await coldStart(s3.endpoint);
    const event = { manifest: `s3://${bucket}/nothing.csv` };
    await expect(handler(event, contextOf('nothing'))).rejects.toMatchObject({ name: 'BadInputError' });
    s3.always('GetObject', noSuchBucket);
    await expect(handler(event, contextOf('no-bucket'))).rejects.toMatchObject({ name: 'BadInputError' });
    s3.always('GetObject', accessDenied);
    await expect(handler(event, contextOf('refused'))).rejects.toMatchObject({ name: 'StoreError' });
  });
});
