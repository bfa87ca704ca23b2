import { describe, expect, test } from 'vitest';
import { StoreError } from '../../../src/base/errors.ts';
import { BrokenAnswer, isPassing, isUnknownHost, storeFailure } from '../../../src/store/s3-error.ts';

/** An error as the SDK throws it. */
const sdkError = (more: object): Error => Object.assign(new Error('A message with a secret'), more);
/** One of an answer. */
const answered = (httpStatusCode: number, Code?: string): Error =>
  sdkError({ name: Code ?? 'Unknown', ...(Code !== undefined && { Code }), $metadata: { httpStatusCode } });
const system = (code: string, more: object = {}): Error => sdkError({ code, ...more });

describe('another try is worth', () => {
  test.each<[string, unknown]>([
    ['an answer that broke', new BrokenAnswer('S3 gave no ETag')],
    ['500', answered(500, 'InternalError')],
    ['503', answered(503, 'SlowDown')],
    ['502 of a gateway', answered(502)],
    ['507', answered(507, 'XMinioStorageFull')],
    ['408', answered(408)],
    ['429', answered(429, 'TooManyRequests')],
    ['409 of two writes', answered(409, 'ConditionalRequestConflict')],
    ['409 of two operations', answered(409, 'OperationAborted')],
    ['409 without a word', answered(409)],
    ['400 of a body that did not come', answered(400, 'RequestTimeout')],
    ['400 of one that was cut', answered(400, 'IncompleteBody')],
    ['200 with what cannot be read', answered(200)],
    [
      'a clock that was set right',
      sdkError({ $metadata: { httpStatusCode: 403, clockSkewCorrected: true } }),
    ],
    ['a reset', system('ECONNRESET')],
    ['a refused connection', system('ECONNREFUSED')],
    ['a name that is not known yet', system('EAI_AGAIN')],
    ['a host that is not there yet', system('ENOTFOUND')],
    ['an answer that is no HTTP', system('HPE_INVALID_CONSTANT')],
    ['a connection that does not come about', sdkError({ name: 'TimeoutError' })],
  ])('%s', (_, error) => {
    expect(isPassing(error)).toBe(true);
  });
});

describe('no other try is worth', () => {
  test.each<[string, unknown]>([
    ['403', answered(403, 'AccessDenied')],
    ['404', answered(404, 'NoSuchKey')],
    ['404 without a word', answered(404)],
    ['412', answered(412, 'PreconditionFailed')],
    ['416', answered(416)],
    ['301', answered(301, 'PermanentRedirect')],
    ['409 of something else', answered(409, 'InvalidBucketState')],
    ['400', answered(400, 'InvalidRequest')],
    ['501', answered(501, 'NotImplemented')],
    ['TLS where there is none', system('EPROTO')],
    ['a certificate', system('CERT_HAS_EXPIRED')],
    ['a URL that is none', system('ERR_INVALID_URL')],
    ['missing credentials', sdkError({ name: 'CredentialsProviderError' })],
    ['what is no Error', 'gone'],
    ['nothing', undefined],
  ])('%s', (_, error) => {
    expect(isPassing(error)).toBe(false);
  });
});

test('a host without an address is told from one that cannot be asked for yet', () => {
  expect([system('ENOTFOUND'), system('EAI_AGAIN'), undefined].map(isUnknownHost)).toStrictEqual([
    true,
    false,
    false,
  ]);
});

describe('the message says', () => {
  test.each<[unknown, string]>([
    [new BrokenAnswer('S3 gave no ETag'), 'S3 gave no ETag'],
    [answered(403, 'AccessDenied'), 'AccessDenied'],
    [answered(502), "HTTP status 502 without an error of S3's"],
    [answered(404), "HTTP status 404 without an error of S3's"],
    [answered(400, 'A secret, in words'), "HTTP status 400 without an error of S3's"],
    [system('ENOTFOUND', { hostname: 'minio.internal' }), 'ENOTFOUND minio.internal'],
    [system('ECONNRESET'), 'ECONNRESET'],
    [sdkError({ name: 'TimeoutError' }), 'no connection came about in time'],
    [sdkError({ name: 'CredentialsProviderError' }), 'CredentialsProviderError'],
    [new TypeError('A secret'), 'TypeError'],
    ['gone', 'gone'],
    [undefined, 'undefined'],
  ])('of %s: %s', (error, why) => {
    const signal = new AbortController().signal;
    expect(storeFailure('s3://b/k', 'read', error, signal)).toStrictEqual(
      new StoreError(`s3://b/k could not be read: ${why}`, { cause: error }),
    );
  });

  test.each(['k', 'é', '€', '𝄞'])(
    'is under 1 KB whatever the key, of which both ends are shown: of %s',
    (char) => {
      const { signal } = new AbortController();
      const key = char.repeat(Math.floor(1_020 / Buffer.byteLength(char)));
      const { message } = storeFailure(`s3://b/${key}.csv`, 'read', new Error('gone'), signal) as Error;
      expect(Buffer.byteLength(message)).toBeLessThan(1_024);
      expect(message).toMatch(/^s3:\/\/b\/.+….+\.csv could not be read: Error$/u);
    },
  );

  test('nothing of S3 where the signal has a reason', () => {
    const reason = new Error('enough');
    expect(storeFailure('s3://b/k', 'read', new Error('gone'), AbortSignal.abort(reason))).toBe(reason);
  });
});
