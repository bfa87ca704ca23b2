import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import type { Context } from 'aws-lambda';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { type PostsStub, startPostsStub } from '../../../local/world/posts.ts';
import { BadInputError, StoreError, TooLargeError } from '../../../src/base/errors.ts';
import { parseManifestLocation } from '../../../src/batch/manifest/location.ts';
import { loadIds } from '../../../src/run/load-ids.ts';
import { createIdSource } from '../../../src/store/id-source.ts';
import { eventually } from '../../support/eventually.ts';
import { quiet, watch } from '../../support/manual-mapper.ts';
import {
  accessDenied,
  hold,
  internalError,
  noSuchBucket,
  passOn,
  reset,
  slowDown,
} from '../../support/misbehaving-s3.ts';
import { outlast } from '../../support/outlast.ts';
import { bucket, FOREVER, MIB, never, otherBucket, storeWorld } from './world.ts';

const settings = { maxIds: 10, maxManifestBytes: 100 * MIB, resultsBucket: otherBucket };
const locationOf = (url: string) => parseManifestLocation(url, 'manifest');
const manifest = (name: string) => locationOf(`s3://${bucket}/${name}`);

const world = storeWorld();
const source = () => createIdSource(world.optionsOf(world.client));
let stub: PostsStub;

beforeAll(async () => {
  stub = await startPostsStub({ latencyMs: () => 0 });
});
afterEach(() => {
  vi.unstubAllEnvs();
});
afterAll(async () => {
  await stub.close();
});

describe('the source of ids', () => {
  test('has the bytes of an object as they are stored', async () => {
    for (const key of ['ids.csv', 'a b/ä+%41?#&=/ids.csv', 'empty.csv']) {
      const body = key === 'empty.csv' ? Buffer.alloc(0) : gzipSync(`${key}\n`.repeat(1_000));
      await world.put(key, body);
      const chunks = await source().open(locationOf(`s3://${bucket}/${key}`), never());
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
      expect(await buffer(chunks)).toStrictEqual(body);
      expect(vi.getTimerCount()).toBe(0);
      vi.useRealTimers();
    }
  });

  test('tries again what S3 may do next time', async () => {
    await world.put('again.csv', '1\n');
    world.s3.next('GetObject', slowDown, internalError, reset);
    const chunks = await source().open(locationOf(`s3://${bucket}/again.csv`), never());
    expect((await buffer(chunks)).toString()).toBe('1\n');
    expect(world.s3.operations).toHaveLength(4);
  });

  test.each(['s3://results/nothing.csv', 's3://no-such-bucket/ids.csv'])(
    '%s, which is not there, is bad input',
    async (url) => {
      await expect(source().open(locationOf(url), never())).rejects.toThrow(
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
    world.s3.always('GetObject', fault);
    const opened = outlast(source().open(locationOf('s3://results/ids.csv'), never()), world.clock);
    await expect(opened).rejects.toThrow(new StoreError(`s3://results/ids.csv could not be read: ${why}`));
    await expect(opened).rejects.toMatchObject({ cause: expect.any(Error) });
  });

  test('gives up with the reason of its signal before S3 answers', async () => {
    world.s3.always('GetObject', hold(FOREVER));
    const stopping = new AbortController();
    const reason = new Error('Enough');
    const loading = loadIds(manifest('ids.csv'), source(), settings, stopping.signal);
    await world.s3.asked('GetObject');
    stopping.abort(reason);
    await expect(loading).rejects.toBe(reason);
  });

  test.each(['ids.csv', 'ids.csv.gz'])('lets go of %s as soon as its ids are too many', async (name) => {
    const many = Buffer.from('1\n'.repeat(3 * MIB));
    await world.put(name, name.endsWith('.gz') ? gzipSync(many, { level: 0 }) : many);
    // Who waited for the second block would wait forever.
    world.s3.next('GetObject', passOn, hold(FOREVER));
    await expect(loadIds(manifest(name), source(), settings, never())).rejects.toThrow(TooLargeError);
    expect(world.s3.operations[0]).toBe('GetObject bytes=0-4194303');
    await eventually(() => world.s3.open === 0);
  });
});

describe('a manifest in an event', () => {
  /** The handler of a cold start. */
  async function coldStart(endpoint: string) {
    const env = {
      RESULTS_BUCKET: otherBucket,
      POST_URL: `${stub.url}/posts/{id}`,
      AWS_ENDPOINT_URL_S3: endpoint,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'local',
      AWS_SECRET_ACCESS_KEY: 'local',
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
    await world.put('lesson.json.gz', gzipSync('[1, 99999, 3]'));
    const handler = await coldStart(world.s3.endpoint);
    const listed = await handler({ ids: [1, 99999, 3], runId: 'lesson' }, contextOf('first'));
    const replayed = await handler(
      { manifest: `s3://${bucket}/lesson.json.gz`, runId: 'lesson' },
      contextOf('second'),
    );
    expect(replayed).toStrictEqual({ ...listed, replayed: true });
  });

  test('that does not come is a StoreError before the time of the function runs out', async () => {
    world.s3.always('GetObject', hold(FOREVER));
    const handler = await coldStart(world.s3.endpoint);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const handled = handler({ manifest: `s3://${bucket}/ids.csv` }, contextOf('held', 10_000));
    const state = watch(handled);
    await world.s3.asked('GetObject');
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
    const handler = await coldStart(world.s3.endpoint);
    const event = { manifest: `s3://${bucket}/nothing.csv` };
    await expect(handler(event, contextOf('nothing'))).rejects.toMatchObject({ name: 'BadInputError' });
    world.s3.always('GetObject', noSuchBucket);
    await expect(handler(event, contextOf('no-bucket'))).rejects.toMatchObject({ name: 'BadInputError' });
    world.s3.always('GetObject', accessDenied);
    await expect(handler(event, contextOf('refused'))).rejects.toMatchObject({ name: 'StoreError' });
  });
});
