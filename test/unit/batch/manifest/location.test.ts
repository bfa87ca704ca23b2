import { describe, expect, test } from 'vitest';
import { BadInputError } from '../../../../src/base/errors.ts';
import { parseManifestLocation } from '../../../../src/batch/manifest/location.ts';

const locationExpected =
  's3://bucket/key, with a key that ends in .json, .jsonl, .ndjson or .csv, or in one of these and .gz, and has at most 1024 bytes';

describe('the location of a manifest', () => {
  test.each([
    ['s3://bucket/ids.json', 'bucket', 'ids.json', 'json', false],
    ['s3://bucket/ids.json.gz', 'bucket', 'ids.json.gz', 'json', true],
    ['s3://my.bucket-1/a/b c/ids.jsonl', 'my.bucket-1', 'a/b c/ids.jsonl', 'jsonl', false],
    ['s3://bucket/ids.ndjson.gz', 'bucket', 'ids.ndjson.gz', 'jsonl', true],
    ['s3://bucket/ids.json.csv', 'bucket', 'ids.json.csv', 'csv', false],
    // Nothing is decoded or resolved: that is what the key is.
    ['s3://bucket//../%41?ä😀#.csv.gz', 'bucket', '/../%41?ä😀#.csv.gz', 'csv', true],
  ] as const)('%s has its bucket, its key and its format', (url, bucket, key, format, gzip) => {
    expect(parseManifestLocation(url, 'manifest')).toStrictEqual({ bucket, key, url, format, gzip });
  });

  test.each<[value: unknown, got: string]>([
    [null, 'null'],
    [['s3://bucket/ids.csv'], 'an array of 1'],
    ['', '""'],
    ['ids.csv', '"ids.csv"'],
    ['https://bucket/ids.csv', '"https://bucket/ids.csv"'],
    ['S3://bucket/ids.csv', '"S3://bucket/ids.csv"'],
    ['s3://bucket', '"s3://bucket"'],
    ['s3://bucket/', '"s3://bucket/"'],
    ['s3://bucket/.csv', '"s3://bucket/.csv"'],
    ['s3:///ids.csv', '"s3:///ids.csv"'],
    ['s3://b/ids.csv', '"s3://b/ids.csv"'],
    ['s3://Bucket/ids.csv', '"s3://Bucket/ids.csv"'],
    ['s3://user@bucket/ids.csv', '"s3://user@bucket/ids.csv"'],
    ['s3://bucket/ids.txt', '"s3://bucket/ids.txt"'],
    ['s3://bucket/ids.CSV', '"s3://bucket/ids.CSV"'],
    ['s3://bucket/ids.gz', '"s3://bucket/ids.gz"'],
    ['s3://bucket/ids.csv.gz.gz', '"s3://bucket/ids.csv.gz.gz"'],
    ['s3://bucket/ids.csv?versionId=1', '"s3://bucket/ids.csv?versionId=1"'],
    ['s3://bucket/ids.csv\n', String.raw`"s3://bucket/ids.csv\n"`],
    ['s3://bucket/a\u0000.csv', String.raw`"s3://bucket/a\u0000.csv"`],
    ['s3://bucket/\ud800.csv', String.raw`"s3://bucket/\ud800.csv"`],
    [`s3://bucket/${'ä'.repeat(511)}.csv`, `"s3://bucket/${'ä'.repeat(68)}…"`],
  ])('%j is refused', (value, got) => {
    expect(() => parseManifestLocation(value, 'detail.manifest')).toThrow(
      new BadInputError(`Expected \`detail.manifest\` to be ${locationExpected}, got ${got}`),
    );
  });

  test('may have a key of as many bytes as S3 takes', () => {
    const key = `${'ä'.repeat(510)}.csv`;
    expect(parseManifestLocation(`s3://bucket/${key}`, 'manifest')).toMatchObject({
      key,
      // What messages show.
      url: `s3://bucket/${'ä'.repeat(38)}…${'ä'.repeat(46)}.csv`,
    });
  });
});
