import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { BadInputError, TooLargeError } from '../../../src/base/errors.ts';
import { batchOf, parseBatch } from '../../../src/batch/base-form.ts';
import { parseManifestLocation } from '../../../src/batch/manifest/location.ts';
import { loadBatch } from '../../../src/run/load-ids.ts';
import type { ManifestStore } from '../../../src/store/id-source.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const idsForm = (...batch: Parameters<typeof batchOf>) => ({ kind: 'ids', batch: batchOf(...batch) });
const nameExpected = '1 to 128 characters out of A-Z a-z 0-9 . _ ~ - (not "." or "..")';

test('a batch has its ids, their number and hash, and what else the event says', () => {
  expect(
    parseBatch({ ids: [1, { from: 5, to: 7 }, 'a'], returnExceptions: false, runId: 'nightly' }, '', {
      maxIds: 10,
    }),
  ).toStrictEqual({
    kind: 'ids',
    batch: {
      ids: [1, { from: 5, to: 7 }, 'a'],
      requested: 5,
      idsSha256: sha256('[1,5,6,7,"a"]'),
      returnExceptions: false,
      runId: 'nightly',
    },
  });
});

test('exceptions are returned and the run id is open unless the event says otherwise', () => {
  expect(parseBatch({ ids: [] }, '', { maxIds: 10 })).toStrictEqual(idsForm([], true, undefined));
});

test('the default ids stand in where the event names none, and only there', () => {
  const limits = { maxIds: 10, defaultIds: [{ from: 1, to: 3 }] };
  expect(parseBatch({ runId: 'r' }, 'detail', limits)).toStrictEqual(idsForm(limits.defaultIds, true, 'r'));
  expect(parseBatch({ ids: [] }, 'detail', limits)).toStrictEqual(idsForm([], true, undefined));
  for (const form of [{ manifest: 's3://bucket/ids.csv' }, { redrive: 'nightly' }])
    expect(parseBatch(form, 'detail', limits).kind).toBe(Object.keys(form)[0]);
  expect(() => parseBatch({ ids: null }, 'detail', limits)).toThrow(
    new BadInputError('Expected `detail.ids` to be an array of ids, got null'),
  );
});

test('more ids than are allowed are too many', () => {
  expect(() => parseBatch({ ids: [{ from: 1, to: 11 }] }, 'body', { maxIds: 10 })).toThrow(
    new TooLargeError('Expected `body.ids` to hold at most 10 ids (MAX_IDS), got 11'),
  );
});

test('a manifest stands for the ids that it lists, in either mode and under any name', () => {
  const location = parseManifestLocation('s3://bucket/ids.csv.gz', 'manifest');
  const manifest = 's3://bucket/ids.csv.gz';
  expect(parseBatch({ manifest }, '', { maxIds: 10 })).toStrictEqual({
    kind: 'manifest',
    location,
    returnExceptions: true,
    runId: undefined,
  });
  expect(
    parseBatch({ manifest, returnExceptions: false, runId: 'nightly' }, '', { maxIds: 10 }),
  ).toStrictEqual({ kind: 'manifest', location, returnExceptions: false, runId: 'nightly' });
});

test('a redrive names the run that it is of, and nothing else', () => {
  expect(parseBatch({ redrive: 'nightly' }, '', { maxIds: 10 })).toStrictEqual({
    kind: 'redrive',
    sourceRunId: 'nightly',
    returnExceptions: true,
    runId: undefined,
  });
});

describe('the batch of a manifest', () => {
  const location = parseManifestLocation('s3://bucket/ids.csv', 'manifest');
  const form = { kind: 'manifest', location, returnExceptions: false, runId: 'nightly' } as const;
  const never = new AbortController().signal;
  const storeOf = (text: string, opened: unknown[] = []): ManifestStore => ({
    async open(...args) {
      opened.push(...args);
      return (async function* () {
        yield Buffer.from(text);
      })();
    },
  });

  test('is that of the same ids in the event', async () => {
    expect(await loadBatch(form, storeOf('id\n1\na\n'), 10, never)).toStrictEqual(
      batchOf([1, 'a'], false, 'nightly'),
    );
    expect((await loadBatch(form, storeOf('1\n2\n3\n4\n5\n6\n7\n8\n'), 10, never)).idsSha256).toBe(
      sha256('[1,2,3,4,5,6,7,8]'),
    );
  });

  test('is as large as any batch may be', async () => {
    const opened: unknown[] = [];
    await expect(loadBatch(form, storeOf('1\n2\n3\n', opened), 2, never)).rejects.toThrow(
      new TooLargeError('Expected `s3://bucket/ids.csv` to hold at most 2 ids (MAX_IDS), got more by line 3'),
    );
    expect(opened).toStrictEqual([location, expect.objectContaining({ aborted: true })]);
  });

  test('is read for as long as the signal says', async () => {
    const stopping = new AbortController();
    const failure = new Error('Enough');
    const store: ManifestStore = {
      open: async (_location, signal) => {
        stopping.abort(failure);
        throw signal.reason;
      },
    };
    await expect(loadBatch(form, store, 10, stopping.signal)).rejects.toBe(failure);
  });
});

describe.each([
  ['', 'event', ''],
  ['body', 'body', 'body.'],
])('a form at the path %j', (path, root, prefix) => {
  test.each<[json: string, message: string]>([
    ['null', `\`${root}\` to be an object with "ids", "manifest" or "redrive", got null`],
    ['[1,2]', `\`${root}\` to be an object with "ids", "manifest" or "redrive", got an array of 2`],
    ['"1,2"', `\`${root}\` to be an object with "ids", "manifest" or "redrive", got "1,2"`],
    ['5', `\`${root}\` to be an object with "ids", "manifest" or "redrive", got 5`],
    ['{}', `\`${prefix}ids\` to be an array of ids, got nothing`],
    ['{"ids":null}', `\`${prefix}ids\` to be an array of ids, got null`],
    ['{"ids":[1,[2]]}', `\`${prefix}ids[1]\` to be an integer from 0 to 9007199254740991, a range`],
    [
      '{"ids":[1],"returnExceptions":"false"}',
      `\`${prefix}returnExceptions\` to be true or false, got "false"`,
    ],
    ['{"ids":[1],"returnExceptions":null}', `\`${prefix}returnExceptions\` to be true or false, got null`],
    ['{"ids":[1],"runId":null}', `\`${prefix}runId\` to be ${nameExpected}, got null`],
    ['{"ids":[1],"runId":"a/../b"}', `\`${prefix}runId\` to be ${nameExpected}, got "a/../b"`],
    [
      '{"ids":[1],"Ids":[2]}',
      `\`${root}\` to be an object with no keys but ids, manifest, redrive, returnExceptions, runId, got {"Ids":[2]}`,
    ],
    [
      '{"__proto__":{"ids":[1]}}',
      `\`${root}\` to be an object with no keys but ids, manifest, redrive, returnExceptions, runId, got {"__proto__":{"ids":[1]}}`,
    ],
    [
      '{"ids":[1],"constructor":1}',
      `\`${root}\` to be an object with no keys but ids, manifest, redrive, returnExceptions, runId, got {"constructor":1}`,
    ],
    [
      '{"ids":[1],"manifest":"s3://bucket/ids.csv"}',
      `\`${root}\` to have one of ids, manifest, redrive, got ids and manifest`,
    ],
    ['{"ids":null,"redrive":"r"}', `\`${root}\` to have one of ids, manifest, redrive, got ids and redrive`],
    [
      '{"redrive":"r","manifest":"","ids":[]}',
      `\`${root}\` to have one of ids, manifest, redrive, got ids and manifest and redrive`,
    ],
    ['{"manifest":null}', `\`${prefix}manifest\` to be s3://bucket/key, with a key that ends in `],
    ['{"manifest":"s3://bucket/ids.csv","runId":7}', `\`${prefix}runId\` to be ${nameExpected}, got 7`],
    [
      '{"manifest":"s3://bucket/ids.csv","returnExceptions":1}',
      `\`${prefix}returnExceptions\` to be true or false, got 1`,
    ],
    ['{"redrive":null}', `\`${prefix}redrive\` to be ${nameExpected}, got null`],
    ['{"redrive":"../r"}', `\`${prefix}redrive\` to be ${nameExpected}, got "../r"`],
    ['{"redrive":"r","runId":"s"}', `\`${prefix}runId\` to be left out of a redrive, got "s"`],
    [
      '{"redrive":"r","returnExceptions":true}',
      `\`${prefix}returnExceptions\` to be left out of a redrive, got true`,
    ],
  ])('%s is refused with the place, what was expected and what came', (json, message) => {
    const parse = () => parseBatch(JSON.parse(json), path, { maxIds: 10 });
    expect(parse).toThrow(BadInputError);
    expect(parse).toThrow(`Expected ${message}`);
  });
});
