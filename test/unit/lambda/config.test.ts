import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../../src/base/errors.ts';
import { type Config, readConfig } from '../../../src/lambda/config.ts';

const required = { RESULTS_BUCKET: 'results' };

test('everything but the bucket has a default', () => {
  const { postUrl, ...config } = readConfig(required);
  expect(postUrl.text).toBe('https://jsonplaceholder.typicode.com/posts/{id}');
  expect(config).toStrictEqual({
    resultsBucket: 'results',
    resultsPrefix: 'runs/',
    postIds: [{ from: 1, to: 100 }],
    concurrency: 50,
    maxIds: 10_000,
    maxAttempts: 4,
    attemptTimeoutMs: 5_000,
    maxBodyBytes: 1_048_576,
    writeReserveMs: 3_000,
    adaptive: true,
    ratePerSecond: Infinity,
    retryBudgetPercent: 20,
    hedge: false,
    output: 'json',
    postHeadersParameter: undefined,
  } satisfies Omit<Config, 'postUrl'>);
});

test('every variable is read, and others are none of its business', () => {
  const { postUrl, ...config } = readConfig({
    RESULTS_BUCKET: 'my.results-2026',
    RESULTS_PREFIX: 'teams/blue/',
    POST_URL: 'http://127.0.0.1:8080/posts?id={id}',
    POST_IDS: '1, 7-9, a-slug',
    CONCURRENCY: '500',
    MAX_IDS: '5',
    MAX_ATTEMPTS: '1',
    ATTEMPT_TIMEOUT_MS: '250',
    MAX_BODY_BYTES: '4096',
    WRITE_RESERVE_MS: '500',
    ADAPTIVE: 'off',
    RATE_LIMIT: '0.5',
    RETRY_BUDGET: '0',
    HEDGE: 'on',
    OUTPUT: 'ndjson',
    POST_HEADERS_PARAMETER: '/batch-fetcher/post-headers',
    HOME: undefined,
    MAX_SOMETHING: 'else',
  });
  expect([postUrl.origin, postUrl.pathOf(7)]).toStrictEqual(['http://127.0.0.1:8080', '/posts?id=7']);
  expect(config).toStrictEqual({
    resultsBucket: 'my.results-2026',
    resultsPrefix: 'teams/blue/',
    postIds: [1, { from: 7, to: 9 }, 'a-slug'],
    concurrency: 500,
    maxIds: 5,
    maxAttempts: 1,
    attemptTimeoutMs: 250,
    maxBodyBytes: 4_096,
    writeReserveMs: 500,
    adaptive: false,
    ratePerSecond: 0.5,
    retryBudgetPercent: 0,
    hedge: true,
    output: 'ndjson',
    postHeadersParameter: '/batch-fetcher/post-headers',
  } satisfies Omit<Config, 'postUrl'>);
});

test('a prefix may be empty: documents then stand at the top of the bucket', () => {
  expect(readConfig({ ...required, RESULTS_PREFIX: '' }).resultsPrefix).toBe('');
});

test('one error names every variable that is wrong', () => {
  expect(() =>
    readConfig({
      RESULTS_PREFIX: '/runs/',
      POST_URL: 'https://user:secret@example.com/{id}',
      POST_IDS: 'a/b',
      CONCURRENCY: '0',
      MAX_IDS: 'many',
      MAX_ATTEMPTS: '21',
      ATTEMPT_TIMEOUT_MS: '5s',
      MAX_BODY_BYTES: '1e6',
      WRITE_RESERVE_MS: '',
      ADAPTIVE: 'true',
      RATE_LIMIT: '0',
      RETRY_BUDGET: '20%',
      HEDGE: '',
      OUTPUT: 'csv',
      POST_HEADERS_PARAMETER: 'a b',
    }),
  ).toThrow(
    new ConfigError(
      [
        'Expected `MAX_IDS` to be an integer from 1 to 10000000000, got "many"',
        'Expected `RESULTS_BUCKET` to be the name of an S3 bucket, got nothing',
        'Expected `RESULTS_PREFIX` to be a key prefix of up to 512 characters that are safe in S3, got "/runs/"',
        'Expected `POST_URL` to be an http(s) URL with {id} in its path or query, without credentials and fragment, got "https://…@example.com/{id}"',
        'Expected `POST_IDS` to be at most 10000 ids, as in 1,2,7-9, got "a/b"',
        'Expected `CONCURRENCY` to be an integer from 1 to 500, got "0"',
        'Expected `MAX_ATTEMPTS` to be an integer from 1 to 20, got "21"',
        'Expected `ATTEMPT_TIMEOUT_MS` to be an integer from 1 to 900000, got "5s"',
        'Expected `MAX_BODY_BYTES` to be an integer from 1 to 104857600, got "1e6"',
        'Expected `WRITE_RESERVE_MS` to be an integer from 500 to 60000, got nothing',
        'Expected `OUTPUT` to be json or ndjson, got "csv"',
        'Expected `ADAPTIVE` to be on or off, got "true"',
        'Expected `RATE_LIMIT` to be a number of posts a second from 0.001 to 100000, or empty, got "0"',
        'Expected `RETRY_BUDGET` to be an integer from 0 to 1900, got "20%"',
        'Expected `HEDGE` to be on or off, got nothing',
        'Expected `POST_HEADERS_PARAMETER` to be the name of an SSM parameter, or empty, got "a b"',
      ].join('; '),
    ),
  );
});

describe.each<[variable: string, wrong: readonly string[]]>([
  ['RESULTS_BUCKET', ['', 'ab', 'Results', 'my_results', '-results', 'results-', 'a/b', 'x'.repeat(64)]],
  ['RESULTS_PREFIX', ['/', '/runs/', 'a b/', 'a\n', 'ä/', 'a?b', 'x'.repeat(513)]],
  ['POST_URL', ['', 'https://example.com/posts', 'https://{id}.example.com/', 'ftp://example.com/{id}']],
  ['POST_IDS', ['', ' ', '1,,2', '9-7', '../x', '1-10001', '1-1000000000000']],
  ['CONCURRENCY', ['', ' ', '0', '-1', '501', '1.5', '5e1', '0x10', 'NaN', 'Infinity', '50 ', '٥']],
  ['MAX_IDS', ['0', '10000000001', '9'.repeat(400)]],
  ['MAX_ATTEMPTS', ['0', '21']],
  ['ATTEMPT_TIMEOUT_MS', ['0', '900001']],
  ['MAX_BODY_BYTES', ['0', '104857601']],
  ['WRITE_RESERVE_MS', ['499', '60001']],
  ['ADAPTIVE', ['', 'ON', 'yes', '1', 'on ']],
  ['RATE_LIMIT', ['0', '0.0001', '100001', '-1', '1e3', 'Infinity', '.5', '5/s', ' 5']],
  ['RETRY_BUDGET', ['', '-1', '1901', '0.2', '20%']],
  ['HEDGE', ['', 'off\n', 'true']],
  ['OUTPUT', ['', 'JSON', 'json\n', 'jsonl']],
  [
    'POST_HEADERS_PARAMETER',
    ['/', 'a//b', 'a/', 'a b', 'secret:value', 'arn:aws:ssm:eu-west-1:123456789012:parameter/a'],
  ],
])('%s', (variable, wrong) => {
  test.each(wrong)('cannot be %j', (text) => {
    const read = () => readConfig({ ...required, [variable]: text });
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(new RegExp(`^Expected \`${variable}\` to be [^;]+$`));
  });
});

test('the default ids are held to MAX_IDS as well, and the error shows them', () => {
  expect(() => readConfig({ ...required, MAX_IDS: '50' })).toThrow(
    new ConfigError('Expected `POST_IDS` to be at most 50 ids, as in 1,2,7-9, got "1-100"'),
  );
});
