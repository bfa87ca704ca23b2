import { beforeEach, describe, expect, test } from 'vitest';
import { createRunNames } from '../../../src/store/run-names.ts';
import { hold, internalError, noSuchBucket } from '../../support/misbehaving-s3.ts';
import { FOREVER, never, storeErrorOf, storeWorld } from './world.ts';

const world = storeWorld();
const names = (maxKeys?: number) => createRunNames(world.optionsOf(world.client), maxKeys);
const put = async (...keys: readonly string[]): Promise<void> => {
  for (const key of keys) await world.put(`runs/${key}`, '{}');
};

beforeEach(() => world.clear());

describe('a page of names', () => {
  test('has those of the prefix alone, in the order of their bytes, and none in folders', async () => {
    await put('b.json', 'a.json', 'a-b.json', 'B.json', 'a.ndjson', 'a.progress.json', 'plans/a.jsonl');
    await put('a.ndjson.gz', 'b.json.gz');
    await world.put('run.json', '{}');
    const all = ['B.json', 'a-b.json', 'a.json', 'a.ndjson', 'a.ndjson.gz', 'a.progress.json', 'b.json'];
    expect(await names().page(undefined, never())).toStrictEqual({ names: all, last: undefined });
  });

  test('starts behind a document, whether that is there or not', async () => {
    await put('a.json', 'a.progress.json', 'b.json');
    for (const after of ['a', 'a.k'])
      expect((await names().page(after, never())).names).toStrictEqual(['a.progress.json', 'b.json']);
    expect(await names().page('b', never())).toStrictEqual({ names: [], last: undefined });
  });

  test('that is full says where it ends', async () => {
    await put('a.json', 'b.json', 'c.json');
    expect(await names(2).page(undefined, never())).toStrictEqual({
      names: ['a.json', 'b.json'],
      last: 'b.json',
    });
    expect(await names(2).page('b', never())).toStrictEqual({ names: ['c.json'], last: undefined });
  });

  test('passes over what has no name of a run, however much of it there is', async () => {
    await put('a.txt', 'b.html', 'c c.json', 'd.html', 'e.json', 'f.html');
    expect(await names(2).page(undefined, never())).toStrictEqual({ names: ['e.json'], last: undefined });
    world.s3.behave();
    expect(await names(1).page(undefined, never())).toStrictEqual({ names: ['e.json'], last: 'e.json' });
    expect(world.s3.operations).toStrictEqual(Array.from({ length: 5 }, () => 'ListObjectsV2'));
  });

  test('is asked for again where S3 fails for a moment', async () => {
    await put('a.json');
    world.s3.next('ListObjectsV2', internalError);
    expect((await names().page(undefined, never())).names).toStrictEqual(['a.json']);
  });

  test('fails as S3 does, and when it is to end', async () => {
    world.s3.always('ListObjectsV2', noSuchBucket);
    expect(await storeErrorOf(names().page(undefined, never()))).toStrictEqual({
      code: 'STORE_FAILED',
      message: 's3://results/runs/ could not be read: NoSuchBucket',
    });
    world.s3.always('ListObjectsV2', hold(FOREVER));
    const stop = new AbortController();
    const page = names().page(undefined, stop.signal);
    const reason = new Error('enough');
    stop.abort(reason);
    await expect(page).rejects.toBe(reason);
  });
});
