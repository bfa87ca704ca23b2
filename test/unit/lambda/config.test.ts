import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { parse } from 'yaml';
import { ConfigError } from '../../../src/base/errors.ts';
import { type Config, readConfig, VARIABLES } from '../../../src/lambda/config.ts';

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
    maxManifestBytes: 1_073_741_824,
    maxAttempts: 4,
    attemptTimeoutMs: 5_000,
    maxBodyBytes: 1_048_576,
    writeReserveMs: 3_000,
    adaptive: true,
    ratePerSecond: Infinity,
    retryBudgetPercent: 20,
    hedge: false,
    output: 'json',
    report: 'off',
    originConcurrency: 500,
    postHeadersParameter: '',
    asyncFunction: '',
    asyncMaxIds: 100_000,
    stateMachineArn: '',
    asyncTaskFunction: '',
    asyncResultsPrefix: '',
    apiBasePath: '',
    serviceName: 'batch-fetcher',
    metricsNamespace: 'BatchFetcher',
    logLevel: 'INFO',
    logSampleRate: '0',
    logEvent: 'false',
    metricsDisabled: 'false',
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
    MAX_MANIFEST_BYTES: '65536',
    MAX_ATTEMPTS: '1',
    ATTEMPT_TIMEOUT_MS: '250',
    MAX_BODY_BYTES: '4096',
    WRITE_RESERVE_MS: '500',
    ADAPTIVE: 'off',
    RATE_LIMIT: '0.5',
    RETRY_BUDGET: '0',
    HEDGE: 'on',
    OUTPUT: 'ndjson',
    REPORT: 'html',
    ORIGIN_CONCURRENCY: '500',
    POST_HEADERS_PARAMETER: '/batch-fetcher/post-headers',
    ASYNC_FUNCTION: 'arn:aws:lambda:us-east-1:123456789012:function:batch-fetcher-prod-fetch:api',
    ASYNC_MAX_IDS: '20000',
    STATE_MACHINE_ARN: 'arn:aws:states:us-east-1:123456789012:stateMachine:FetchAtScaleForApi-4f',
    ASYNC_TASK_FUNCTION: 'arn:aws-cn:lambda:cn-north-1:123456789012:function:fetch:api_parts',
    ASYNC_RESULTS_PREFIX: 'teams/blue/api/',
    API_BASE_PATH: 'posts/v1/',
    POWERTOOLS_SERVICE_NAME: ' lessons ',
    POWERTOOLS_METRICS_NAMESPACE: 'School',
    POWERTOOLS_LOG_LEVEL: 'DEBUG',
    POWERTOOLS_LOGGER_SAMPLE_RATE: '0.1',
    POWERTOOLS_LOGGER_LOG_EVENT: 'true',
    POWERTOOLS_METRICS_DISABLED: 'yes',
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
    maxManifestBytes: 65_536,
    maxAttempts: 1,
    attemptTimeoutMs: 250,
    maxBodyBytes: 4_096,
    writeReserveMs: 500,
    adaptive: false,
    ratePerSecond: 0.5,
    retryBudgetPercent: 0,
    hedge: true,
    output: 'ndjson',
    report: 'html',
    originConcurrency: 500,
    postHeadersParameter: '/batch-fetcher/post-headers',
    asyncFunction: 'arn:aws:lambda:us-east-1:123456789012:function:batch-fetcher-prod-fetch:api',
    asyncMaxIds: 20_000,
    stateMachineArn: 'arn:aws:states:us-east-1:123456789012:stateMachine:FetchAtScaleForApi-4f',
    asyncTaskFunction: 'arn:aws-cn:lambda:cn-north-1:123456789012:function:fetch:api_parts',
    asyncResultsPrefix: 'teams/blue/api/',
    apiBasePath: '/posts/v1',
    serviceName: 'lessons',
    metricsNamespace: 'School',
    logLevel: 'DEBUG',
    logSampleRate: '0.1',
    logEvent: 'true',
    metricsDisabled: 'yes',
  } satisfies Omit<Config, 'postUrl'>);
});

test('a prefix may be empty: documents then stand at the top of the bucket', () => {
  expect(readConfig({ ...required, RESULTS_PREFIX: '' }).resultsPrefix).toBe('');
});

test('a base path may have slashes around it', () => {
  for (const text of ['api/v1', '/api/v1', 'api/v1/', '/api/v1/'])
    expect(readConfig({ ...required, API_BASE_PATH: text }).apiBasePath).toBe('/api/v1');
});

test('a name that is empty is the default one', () => {
  expect(
    readConfig({ ...required, POWERTOOLS_SERVICE_NAME: '', POWERTOOLS_METRICS_NAMESPACE: ' ' }),
  ).toMatchObject({ serviceName: 'batch-fetcher', metricsNamespace: 'BatchFetcher' });
});

test('one error names every variable that is wrong', () => {
  expect(() =>
    readConfig({
      RESULTS_PREFIX: '/runs/',
      POST_URL: 'https://user:secret@example.com/{id}',
      POST_IDS: 'a/b',
      CONCURRENCY: '0',
      MAX_IDS: 'many',
      MAX_MANIFEST_BYTES: '1GiB',
      MAX_ATTEMPTS: '21',
      ATTEMPT_TIMEOUT_MS: '5s',
      MAX_BODY_BYTES: '1e6',
      WRITE_RESERVE_MS: '',
      ADAPTIVE: 'true',
      RATE_LIMIT: '0',
      RETRY_BUDGET: '20%',
      HEDGE: '',
      OUTPUT: 'csv',
      REPORT: 'on',
      ORIGIN_CONCURRENCY: 'x',
      POST_HEADERS_PARAMETER: 'a b',
      API_BASE_PATH: '/',
      POWERTOOLS_LOGGER_SAMPLE_RATE: 'often',
      POWERTOOLS_LOGGER_LOG_EVENT: 'maybe',
      POWERTOOLS_METRICS_DISABLED: '',
    }),
  ).toThrow(
    new ConfigError(
      [
        'Expected `RESULTS_BUCKET` to be the name of an S3 bucket, got nothing',
        'Expected `RESULTS_PREFIX` to be a key prefix of up to 512 characters that are safe in S3, got "/runs/"',
        'Expected `POST_URL` to be an http(s) URL with {id} in its path or query, without credentials and fragment, got "https://…@example.com/{id}"',
        'Expected `POST_IDS` to be ids, as in 1,2,7-9, got "a/b"',
        'Expected `CONCURRENCY` to be an integer from 1 to 500, got "0"',
        'Expected `MAX_IDS` to be an integer from 1 to 10000000000, got "many"',
        'Expected `MAX_MANIFEST_BYTES` to be an integer from 1 to 1099511627776, got "1GiB"',
        'Expected `MAX_ATTEMPTS` to be an integer from 1 to 20, got "21"',
        'Expected `ATTEMPT_TIMEOUT_MS` to be an integer from 1 to 900000, got "5s"',
        'Expected `MAX_BODY_BYTES` to be an integer from 1 to 104857600, got "1e6"',
        'Expected `WRITE_RESERVE_MS` to be an integer from 500 to 60000, got nothing',
        'Expected `ADAPTIVE` to be on or off, got "true"',
        'Expected `RATE_LIMIT` to be a number of posts a second from 0.001 to 100000, or empty, got "0"',
        'Expected `RETRY_BUDGET` to be an integer from 0 to 1900, got "20%"',
        'Expected `HEDGE` to be on or off, got nothing',
        'Expected `OUTPUT` to be json, ndjson or ndjson.gz, got "csv"',
        'Expected `REPORT` to be off or html, got "on"',
        'Expected `ORIGIN_CONCURRENCY` to be an integer from 1 to 999999999, got "x"',
        'Expected `POST_HEADERS_PARAMETER` to be the name of an SSM parameter, or empty, got "a b"',
        'Expected `API_BASE_PATH` to be a path, as in /api/v1, or empty, got "/"',
        'Expected `POWERTOOLS_LOGGER_SAMPLE_RATE` to be a number, got "often"',
        'Expected `POWERTOOLS_LOGGER_LOG_EVENT` to be true or false, got "maybe"',
        'Expected `POWERTOOLS_METRICS_DISABLED` to be true or false, got nothing',
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
  ['MAX_MANIFEST_BYTES', ['', '0', '1e9', '1099511627777']],
  ['MAX_ATTEMPTS', ['0', '21']],
  ['ATTEMPT_TIMEOUT_MS', ['0', '900001']],
  ['MAX_BODY_BYTES', ['0', '104857601']],
  ['WRITE_RESERVE_MS', ['499', '60001']],
  ['ADAPTIVE', ['', 'ON', 'yes', '1', 'on ']],
  ['RATE_LIMIT', ['0', '0.0001', '100001', '-1', '1e3', 'Infinity', '.5', '5/s', ' 5']],
  ['RETRY_BUDGET', ['', '-1', '1901', '0.2', '20%']],
  ['HEDGE', ['', 'off\n', 'true']],
  ['REPORT', ['', 'on', 'HTML', 'pdf']],
  ['OUTPUT', ['', 'JSON', 'json\n', 'jsonl']],
  ['ORIGIN_CONCURRENCY', ['49', '0', '-1', '1e3', '', '5000000000']],
  [
    'POST_HEADERS_PARAMETER',
    ['/', 'a//b', 'a/', 'a b', 'secret:value', 'arn:aws:ssm:eu-west-1:123456789012:parameter/a'],
  ],
  ['API_BASE_PATH', ['/', '//api', 'api//v1', 'a b', '/api?x', 'https://example.com/api', '/ä']],
])('%s', (variable, wrong) => {
  test.each(wrong)('cannot be %j', (text) => {
    const read = () => readConfig({ ...required, [variable]: text });
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(new RegExp(`^Expected \`${variable}\` to be [^;]+$`));
  });
});

describe('a variable that is good by itself is held to another:', () => {
  test('the default ids to MAX_IDS, and the error shows them', () => {
    expect(() => readConfig({ ...required, MAX_IDS: '50' })).toThrow(
      new ConfigError('Expected `POST_IDS` to be at most 50 ids, as in 1,2,7-9, got "1-100"'),
    );
  });

  test('ORIGIN_CONCURRENCY to CONCURRENCY', () => {
    expect(readConfig({ ...required, ORIGIN_CONCURRENCY: '50' }).originConcurrency).toBe(50);
    expect(() => readConfig({ ...required, CONCURRENCY: '400', ORIGIN_CONCURRENCY: '399' })).toThrow(
      new ConfigError(
        'Expected `ORIGIN_CONCURRENCY` to be an integer of at least CONCURRENCY, 400, got "399"',
      ),
    );
  });

  test.each([
    [{ MAX_IDS: 'many', POST_IDS: '1-20000' }, 'MAX_IDS'],
    [{ MAX_IDS: '5', POST_IDS: 'a/b' }, 'POST_IDS'],
    [{ CONCURRENCY: '501', ORIGIN_CONCURRENCY: '7' }, 'CONCURRENCY'],
    [{ CONCURRENCY: '400', ORIGIN_CONCURRENCY: '0' }, 'ORIGIN_CONCURRENCY'],
  ])('and is not where that is wrong: %j', (env, name) => {
    expect(() => readConfig({ ...required, ...env })).toThrow(
      new RegExp(`^Expected \`${name}\` to be [^;]+$`),
    );
  });
});

describe('secret headers go to an origin', () => {
  const read = (POST_URL: string) =>
    readConfig({ ...required, POST_URL, POST_HEADERS_PARAMETER: '/batch-fetcher/post-headers' });

  test.each([
    'https://api.example.com/posts/{id}',
    'HTTPS://api.example.com:8443/posts/{id}',
    'http://localhost/{id}',
    'http://LOCALHOST:8080/{id}',
    'http://127.0.0.1:8080/{id}',
    'http://127.9.9.9/{id}',
    'http://127.1/{id}',
    'http://2130706433/{id}',
    'http://[::1]:8080/{id}',
  ])('by TLS, or on this machine: %s', (url) => {
    expect(read(url).postUrl.text).toBe(url);
  });

  test.each([
    'http://api.example.com/posts/{id}',
    'HTTP://api.example.com/posts/{id}',
    'http://10.0.0.1/{id}',
    'http://128.0.0.1/{id}',
    'http://localhost.example.com/{id}',
    'http://127.0.0.1.example.com/{id}',
    'http://127.example.com/{id}',
    'http://[::2]/{id}',
    'http://example.com/127.0.0.1/{id}',
    'http://0.0.0.0/{id}',
  ])('and not over plain http: %s', (url) => {
    expect(() => read(url)).toThrow(
      new ConfigError(
        `Expected \`POST_URL\` to be an https URL, as POST_HEADERS_PARAMETER is set (http to this machine alone), got "${url}"`,
      ),
    );
    expect(readConfig({ ...required, POST_URL: url }).postUrl.text).toBe(url);
  });
});

describe('every handler names each variable that is wrong, whichever it uses itself:', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  test.each([
    ['fetch', { ids: [1] }],
    ['plan', { input: { ids: [1] }, execution: 'run' }],
    ['conclude', { runId: 'run' }],
  ])('%s', async (name, event) => {
    const wrong = {
      RESULTS_BUCKET: '',
      CONCURRENCY: '0',
      ORIGIN_CONCURRENCY: 'x',
      POWERTOOLS_METRICS_DISABLED: 'maybe',
    };
    for (const [variable, text] of Object.entries(wrong)) vi.stubEnv(variable, text);
    const { handler } = await import(`../../../src/lambda/${name}.ts`);
    await expect(handler(event, { getRemainingTimeInMillis: () => 1_000 })).rejects.toStrictEqual(
      new ConfigError(
        [
          'Expected `RESULTS_BUCKET` to be the name of an S3 bucket, got nothing',
          'Expected `CONCURRENCY` to be an integer from 1 to 500, got "0"',
          'Expected `ORIGIN_CONCURRENCY` to be an integer from 1 to 999999999, got "x"',
          'Expected `POWERTOOLS_METRICS_DISABLED` to be true or false, got "maybe"',
        ].join('; '),
      ),
    );
  });
});

describe('what others say of the variables:', () => {
  const project = join(import.meta.dirname, '../../..');
  const read = (file: string): string => readFileSync(join(project, file), 'utf8');
  const variables = Object.values(VARIABLES);
  const names: readonly string[] = variables.map(({ name }) => name);

  test('the table of docs/configuration.md has each with its default and its range', () => {
    const [section = ''] = read('docs/configuration.md').split('\n## ');
    const rows = section
      .split('\n')
      .map((line) => line.split('|').map((cell) => cell.trim()))
      .filter(([, , name = '']) => /^`[A-Z0-9_]+`$/.test(name))
      .map(([, , name = '', fallback = '', range]) => [
        name.replaceAll('`', ''),
        // Where a deployment sets another default, the variable's own stands last.
        fallback.split(' else ').at(-1),
        range,
      ])
      // Those of the SDK.
      .filter(([name = '']) => !name.startsWith('AWS_'));
    const expectedRows = variables.map(({ name, fallback, expected }) => {
      const [, min, max] = / from (\S+) to (\d+)/.exec(expected) ?? [];
      const words = /^[\w.]+(, [\w.]+)* or [\w.]+$/.test(expected) ? expected.split(/, | or /) : [];
      return [
        name,
        fallback === '' ? '–' : /^\d+$/.test(fallback) ? fallback : `\`${fallback}\``,
        min === undefined ? words.map((word) => `\`${word}\``).join(', ') : `${min}–${max}`,
      ];
    });
    // A stack that names no bucket makes one.
    const ofBucket = ['RESULTS_BUCKET', "the stack's own", ''];
    const others = expectedRows.filter(([name]) => name !== 'RESULTS_BUCKET');
    expect(rows.toSorted()).toStrictEqual([ofBucket, ...others].toSorted());
  });

  test('what is deployed sets no other', () => {
    const { provider, functions } = parse(read('serverless.yml').replaceAll(/!\w+/g, ''));
    const environments = [provider, ...Object.values(functions)].map(({ environment }) => environment);
    const set = environments.flatMap((environment) => Object.keys(environment ?? {}));
    expect(set.filter((name) => !names.includes(name))).toStrictEqual([
      'AWS_ENDPOINT_URL_S3',
      'AWS_REQUEST_CHECKSUM_CALCULATION',
      'AWS_RESPONSE_CHECKSUM_VALIDATION',
      'NODE_OPTIONS',
    ]);
  });

  test('what runs locally sets no other', () => {
    const files = readdirSync(join(project, 'local'), { recursive: true, encoding: 'utf8' });
    const set = files
      .filter((file) => file.endsWith('.ts'))
      .flatMap((file) => [...read(`local/${file}`).matchAll(/\b([A-Z][A-Z0-9]*_[A-Z0-9_]+)'?: /g)])
      .map(([, name = '']) => name);
    expect(set).toContain('POST_URL');
    expect(set.filter((name) => !names.includes(name) && !name.startsWith('AWS_'))).toStrictEqual([]);
  });
});
