import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type PutObjectCommandInput,
  S3Client,
  S3ServiceException,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { type S3Store, startS3Store } from '../../../local/world/s3.ts';
import { eventually } from '../../support/eventually.ts';

const Bucket = 'batch-fetcher-local';
const mib = 1024 ** 2;
const directory = mkdtempSync(join(tmpdir(), 's3-store-test-'));
let store: S3Store;
let s3: S3Client;

function clientOf(endpoint: string): S3Client {
  return new S3Client({
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    forcePathStyle: true,
    maxAttempts: 1,
  });
}

beforeAll(async () => {
  store = await startS3Store({ directory, buckets: [Bucket] });
  s3 = clientOf(store.endpoint);
});
afterEach(() => expect(store.openUploads()).toBe(0));
afterAll(async () => {
  s3.destroy();
  await store.close();
  rmSync(directory, { recursive: true });
});

const put = (
  Key: string,
  Body: NonNullable<PutObjectCommandInput['Body']>,
  rest: Partial<PutObjectCommandInput> = {},
) => s3.send(new PutObjectCommand({ Bucket, Key, Body, ...rest }));
const get = async (Key: string, Range?: string) => {
  const { Body, ...head } = await s3.send(new GetObjectCommand({ Bucket, Key, ...(Range && { Range }) }));
  return { ...head, text: (await Body?.transformToString()) ?? '' };
};
const fileOf = (key: string) => join(directory, Bucket, key);

/** The error's code and HTTP status. */
async function refusalOf(request: Promise<unknown>): Promise<[string, number | undefined]> {
  const error = await request.then(
    () => new Error('It was not refused'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof S3ServiceException)) throw error;
  return [error.name, error.$metadata.httpStatusCode];
}

/** A request that the SDK would not let us make wrong. */
const putRaw = async (key: string, body: string, headers: Record<string, string>) => {
  const response = await fetch(`${store.endpoint}/${Bucket}/${key}`, { method: 'PUT', body, headers });
  return [response.status, /<Code>(\w+)</.exec(await response.text())?.[1]];
};

describe('objects as files', () => {
  test('an object stands at <directory>/<bucket>/<key> as its exact bytes', async () => {
    await put('runs/demo.json', '{"version":1}\n');
    expect(readFileSync(fileOf('runs/demo.json'), 'utf8')).toBe('{"version":1}\n');
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'runs/demo.json' }));
    expect(existsSync(fileOf('runs/demo.json'))).toBe(false);
  });

  test('a store that starts on that directory serves what is there, headers included', async () => {
    const Key = 'runs/kept.json';
    await put(Key, '[1]', {
      ContentType: 'application/json',
      ContentEncoding: 'identity',
      Metadata: { sha: 'abc' },
    });
    const before = await s3.send(new HeadObjectCommand({ Bucket, Key }));
    const second = await startS3Store({ directory, buckets: [Bucket] });
    const client = clientOf(second.endpoint);
    const after = await client.send(new GetObjectCommand({ Bucket, Key }));
    expect(await after.Body?.transformToString()).toBe('[1]');
    expect([after.ETag, after.ContentType, after.ContentEncoding, after.Metadata]).toStrictEqual([
      before.ETag,
      'application/json',
      'identity',
      { sha: 'abc' },
    ]);
    const listed = await client.send(new ListObjectsV2Command({ Bucket, Prefix: Key }));
    expect(listed.Contents?.map((object) => [object.Key, object.Size])).toStrictEqual([[Key, 3]]);
    client.destroy();
    await second.close();
  });

  test('the files are the truth: one that the user adds is an object, one that is deleted is gone', async () => {
    await put('runs/by-hand.json', '1');
    rmSync(fileOf('runs/by-hand.json'));
    expect(await refusalOf(get('runs/by-hand.json'))).toStrictEqual(['NoSuchKey', 404]);
    writeFileSync(fileOf('runs/by-hand.json'), '{"by":"hand"}');
    expect(await get('runs/by-hand.json')).toMatchObject({
      text: '{"by":"hand"}',
      ContentType: 'application/json',
    });
    expect(await refusalOf(put('runs/by-hand.json', '2', { IfNoneMatch: '*' }))).toStrictEqual([
      'PreconditionFailed',
      412,
    ]);
  });

  test('keys are listed in the order of their bytes, by the files that there are', async () => {
    for (const key of ['l/b.json', 'l/a-b.json', 'l/a.json', 'l/B.json', 'l/x/1', 'l/x/2', 'l/é'])
      await put(key, '1');
    rmSync(fileOf('l/b.json'));
    writeFileSync(fileOf('l/c.json'), '1');
    const list = async (more: object) => {
      const listed = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'l/', ...more }));
      const { Contents = [], CommonPrefixes = [], IsTruncated, NextContinuationToken } = listed;
      return {
        keys: [...Contents.map(({ Key }) => Key), ...CommonPrefixes.map(({ Prefix }) => Prefix)],
        IsTruncated,
        NextContinuationToken,
      };
    };
    const keys = ['l/B.json', 'l/a-b.json', 'l/a.json', 'l/c.json', 'l/é'];
    expect(await list({ Delimiter: '/' })).toMatchObject({ keys: [...keys, 'l/x/'], IsTruncated: false });
    expect((await list({})).keys).toStrictEqual([...keys.slice(0, 4), 'l/x/1', 'l/x/2', 'l/é']);
    expect((await list({ StartAfter: 'l/a.json' })).keys).toStrictEqual([
      'l/c.json',
      'l/x/1',
      'l/x/2',
      'l/é',
    ]);
    const first = await list({ MaxKeys: 2 });
    expect(first).toMatchObject({ keys: keys.slice(0, 2), IsTruncated: true });
    const { keys: rest } = await list({ ContinuationToken: first.NextContinuationToken });
    expect(rest).toStrictEqual(['l/a.json', 'l/c.json', 'l/x/1', 'l/x/2', 'l/é']);
    await expect(s3.send(new ListObjectsV2Command({ Bucket: 'no-such-bucket' }))).rejects.toThrow(
      S3ServiceException,
    );
  });

  test.each(['../escape', 'runs/../../escape', 'runs//x', 'runs/'])(
    'the key %s cannot leave its place',
    async (key) => {
      expect(await refusalOf(put(key, 'x'))).toStrictEqual(['InvalidArgument', 400]);
    },
  );

  test('without a directory it leaves nothing behind', async () => {
    const temporary = mkdtempSync(join(tmpdir(), 's3-store-test-'));
    vi.stubEnv('TMPDIR', temporary);
    const brief = await startS3Store({ buckets: ['some-bucket'] });
    vi.unstubAllEnvs();
    const client = clientOf(brief.endpoint);
    await client.send(new PutObjectCommand({ Bucket: 'some-bucket', Key: 'a', Body: 'x' }));
    client.destroy();
    await brief.close();
    await expect(fetch(brief.endpoint)).rejects.toThrow('fetch failed');
    expect(readdirSync(temporary)).toStrictEqual([]);
    rmSync(temporary, { recursive: true });
  });
});

describe('If-None-Match: *', () => {
  test('of 20 puts at once exactly one is stored, the others get 412', async () => {
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        put('runs/race.json', `${index}`, { IfNoneMatch: '*' }).then(
          () => `${index}`,
          (error: S3ServiceException) => error.name,
        ),
      ),
    );
    const stored = outcomes.filter((outcome) => outcome !== 'PreconditionFailed');
    expect(stored).toHaveLength(1);
    expect((await get('runs/race.json')).text).toBe(stored[0]);
  });

  test('a completed multipart upload loses to an object that came first, and leaves no parts', async () => {
    const upload = () =>
      new Upload({
        client: s3,
        params: { Bucket, Key: 'runs/late.json', Body: randomBytes(6 * mib), IfNoneMatch: '*' },
      }).done();
    const first = upload();
    await put('runs/late.json', 'first');
    expect(await refusalOf(first)).toStrictEqual(['PreconditionFailed', 412]);
    expect((await get('runs/late.json')).text).toBe('first');
  });

  test('a multipart upload under it is stored where there was nothing', async () => {
    const body = randomBytes(12 * mib);
    const { Location } = await new Upload({
      client: s3,
      params: { Bucket, Key: 'runs/big.json', Body: Readable.from(body), IfNoneMatch: '*' },
    }).done();
    expect(Location).toContain('runs/big.json');
    expect(readFileSync(fileOf('runs/big.json')).equals(body)).toBe(true);
  });

  test('other preconditions of writes are refused, not ignored', async () => {
    const others = [{ IfNoneMatch: '"abc"' }, { IfNoneMatch: '*', IfMatch: '"abc"' }];
    for (const other of others)
      expect(await refusalOf(put('runs/if', 'x', other))).toStrictEqual(['NotImplemented', 501]);
  });

  test('with If-Match, an object is written over if it is still the same', async () => {
    expect(await refusalOf(put('runs/match', 'x', { IfMatch: '"abc"' }))).toStrictEqual(['NoSuchKey', 404]);
    const { ETag: first } = await put('runs/match', 'first');
    const { ETag: second } = await put('runs/match', 'second', { IfMatch: first });
    expect(await refusalOf(put('runs/match', 'third', { IfMatch: first }))).toStrictEqual([
      'PreconditionFailed',
      412,
    ]);
    expect((await get('runs/match')).text).toBe('second');
    await put('runs/match', 'third', { IfMatch: second });
  });
});

describe('checksums', () => {
  test.each([
    ['x-amz-checksum-crc32', 'AAAAAA=='],
    ['x-amz-checksum-sha1', createHash('sha1').digest('base64')],
    ['x-amz-checksum-sha256', createHash('sha256').digest('base64')],
    ['content-md5', createHash('md5').digest('base64')],
  ])('a wrong %s is a BadDigest, and nothing is stored', async (header, wrong) => {
    expect(await putRaw('runs/digest', 'body', { [header]: wrong })).toStrictEqual([400, 'BadDigest']);
    expect(await refusalOf(get('runs/digest'))).toStrictEqual(['NoSuchKey', 404]);
  });

  test('one that cannot be verified is refused', async () => {
    expect(await putRaw('runs/digest', 'body', { 'x-amz-checksum-crc32c': 'AAAAAA==' })).toStrictEqual([
      501,
      'NotImplemented',
    ]);
  });

  test('a right one is kept and comes back', async () => {
    for (const ChecksumAlgorithm of ['CRC32', 'SHA1', 'SHA256'] as const) {
      const { $metadata, ...sums } = await put('runs/sums', 'body', { ChecksumAlgorithm });
      expect(sums).toHaveProperty(`Checksum${ChecksumAlgorithm}`);
    }
    expect((await get('runs/sums')).text).toBe('body');
  });

  const chunked = (trailer: string) => `4\r\nbody\r\n0\r\n${trailer}\r\n\r\n`;
  const chunkedHeaders = {
    'content-encoding': 'gzip,aws-chunked',
    'x-amz-decoded-content-length': '4',
    'x-amz-trailer': 'x-amz-checksum-crc32',
  };

  test('one in a trailer of a streamed put is verified, and the Content-Encoding of the object survives', async () => {
    await put('runs/streamed', Readable.from(['bo', 'dy']), { ContentLength: 4, ContentEncoding: 'x-own' });
    expect(await get('runs/streamed')).toMatchObject({ text: 'body', ContentEncoding: 'x-own' });
    const wrong = chunked('x-amz-checksum-crc32:AAAAAA==');
    expect(await putRaw('runs/trailer', wrong, chunkedHeaders)).toStrictEqual([400, 'BadDigest']);
  });

  test('a missing trailer and a body that is too short are refused', async () => {
    expect(await putRaw('runs/trailer', chunked(''), chunkedHeaders)).toStrictEqual([
      400,
      'MalformedTrailerError',
    ]);
    const longer = { ...chunkedHeaders, 'x-amz-decoded-content-length': '5' };
    expect(await putRaw('runs/trailer', chunked('a:b'), longer)).toStrictEqual([400, 'IncompleteBody']);
  });

  test('a part is verified as an object is', async () => {
    const Key = 'runs/part';
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    const wrong = await putRaw(`${Key}?partNumber=1&uploadId=${UploadId}`, 'body', {
      'x-amz-checksum-crc32': 'AAAAAA==',
    });
    expect(wrong).toStrictEqual([400, 'BadDigest']);
    const { ETag } = await s3.send(
      new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body: 'body' }),
    );
    const MultipartUpload = { Parts: [{ ETag, PartNumber: 1 }] };
    await s3.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload }));
    expect((await get(Key)).text).toBe('body');
  });
});

describe('sizes, ranges and errors', () => {
  test('a single put of 64 MiB is stored', async () => {
    const body = randomBytes(64 * mib);
    await put('runs/64', body);
    expect(readFileSync(fileOf('runs/64')).equals(body)).toBe(true);
  });

  test('ranges are answered as S3 does', async () => {
    await put('runs/range', 'abcdefghij');
    await put('runs/empty', Buffer.alloc(0));
    expect(await get('runs/range', 'bytes=0-2')).toMatchObject({ text: 'abc', ContentRange: 'bytes 0-2/10' });
    expect(await get('runs/range', 'bytes=8-99')).toMatchObject({ text: 'ij', ContentRange: 'bytes 8-9/10' });
    expect(await get('runs/range', 'bytes=-3')).toMatchObject({ text: 'hij', ContentRange: 'bytes 7-9/10' });
    expect(await get('runs/range', 'bytes=-65536')).toMatchObject({
      text: 'abcdefghij',
      ContentRange: 'bytes 0-9/10',
    });
    expect(await refusalOf(get('runs/range', 'bytes=10-'))).toStrictEqual(['InvalidRange', 416]);
    expect(await refusalOf(get('runs/empty', 'bytes=-65536'))).toStrictEqual(['InvalidRange', 416]);
    expect((await get('runs/empty')).text).toBe('');
  });

  test('an aborted upload leaves no parts, and an open one is counted', async () => {
    const body = new PassThrough();
    body.write(randomBytes(11 * mib));
    const upload = new Upload({ client: s3, params: { Bucket, Key: 'runs/aborted', Body: body } });
    const parts = Promise.withResolvers<void>();
    upload.on('httpUploadProgress', () => parts.resolve());
    const done = upload.done();
    await parts.promise;
    expect(store.openUploads()).toBe(1);
    await upload.abort();
    await expect(done).rejects.toThrow('Upload aborted');
    body.destroy();
    // The abort of the parts goes on behind the rejection.
    await eventually(() => store.openUploads() === 0);
  });

  test('a listing of uploads, which would always be empty, is refused', async () => {
    expect(await refusalOf(s3.send(new ListMultipartUploadsCommand({ Bucket })))).toStrictEqual([
      'NotImplemented',
      501,
    ]);
  });

  test('missing buckets and keys are 404 with their codes', async () => {
    expect(await refusalOf(get('runs/nothing'))).toStrictEqual(['NoSuchKey', 404]);
    const absent = { Bucket: 'no-such-bucket', Key: 'x' };
    expect(await refusalOf(s3.send(new GetObjectCommand(absent)))).toStrictEqual(['NoSuchBucket', 404]);
    expect(
      await refusalOf(s3.send(new PutObjectCommand({ ...absent, Body: 'x', IfNoneMatch: '*' }))),
    ).toStrictEqual(['NoSuchBucket', 404]);
    expect(await refusalOf(s3.send(new HeadObjectCommand({ Bucket, Key: 'runs/nothing' })))).toStrictEqual([
      'NotFound',
      404,
    ]);
  });
});
