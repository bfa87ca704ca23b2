import { createHash } from 'node:crypto';
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Context } from 'aws-lambda';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type PostsStub, startPostsStub } from '../../local/world/posts.ts';
import { type S3Store, startS3Store } from '../../local/world/s3.ts';
import { anyMs, anyTime } from '../support/any.ts';
import { apiFaults } from '../support/api-description.ts';
import { anyTraffic } from '../support/plain-traffic.ts';
import { sampleEvent, sampleNames } from '../support/sample-events.ts';
import { documentFaults, eventFaults } from '../support/schemas.ts';

/** What a sample event is to come to, besides what follows from its ids. */
interface Expected {
  readonly trigger: 'direct' | 'schedule' | 'api';
  /** Where the event does not name one, it is Lambda's request id. */
  readonly runId?: string;
  readonly ids: readonly (number | string)[];
  /** How a load balancer with multi-value headers has them. */
  readonly multiValueHeaders?: true;
}

/** Where the sample events find their manifests, which stand in events/manifests/. */
const manifestBucket = 'batch-fetcher-lists';

const oneToHundred = Array.from({ length: 100 }, (_, i) => i + 1);

const good: Readonly<Record<string, Expected>> = {
  direct: { trigger: 'direct', ids: [1, 99999, 3] },
  'lesson-1': { trigger: 'direct', ids: [1, 2, 3] },
  'lesson-2': { trigger: 'direct', ids: [1, 2, 3, 4, 5] },
  'direct-ranges': { trigger: 'direct', ids: [98, 99, 100, 101, 1, '1', 7, 'a-slug', 7] },
  'direct-manifest': { trigger: 'direct', runId: 'posts-2026-11-23', ids: [1, 99999, 7, 'a-slug'] },
  'direct-nested-start': { trigger: 'direct', ids: [2, 3] },
  scheduler: { trigger: 'direct', runId: 'nightly-d32c5kddcf5bb8c3', ids: [1, 2, 3, 4, 5] },
  'eventbridge-rule': {
    trigger: 'schedule',
    runId: '20261123T060000Z-53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa',
    ids: oneToHundred,
  },
  'eventbridge-custom': {
    trigger: 'schedule',
    runId: '20261123T143207Z-6a7e8feb-b491-4cf7-a9f1-bf3703467718',
    ids: [12, 40, 41, 42],
  },
  'eventbridge-manifest': {
    trigger: 'schedule',
    runId: '20261123T143207Z-0f6c1a8e-2f3d-4c0b-9f0a-6e2d1b7c5a94',
    ids: [3, 40, 41, 42, '3'],
  },
  'eventbridge-scheduler': {
    trigger: 'schedule',
    runId: '20261123T123000Z-3766bfe5-6b4b-4d6b-8b2b-6b1d5f9c2a10',
    ids: oneToHundred,
  },
  'http-api-post': { trigger: 'api', runId: '8e03978e-40d5-43e8-bc93-6894a57f9324', ids: [1, 99999, 3] },
  'http-api-post-base64': { trigger: 'api', runId: 'from-base64', ids: ['2', 4, 5] },
  'http-api-get': { trigger: 'api', ids: [1, 2, 7, 8, 9] },
  'http-api-get-manifest': { trigger: 'api', ids: [1, 7, 8, 9, 'a-slug'] },
  'function-url-post': { trigger: 'api', ids: [10, 11] },
  'rest-api-post': { trigger: 'api', runId: 'rest-4f7a', ids: [100, 101] },
  'rest-api-get': { trigger: 'api', runId: 'rest-get', ids: [3, 3, 1] },
  'rest-api-proxy': { trigger: 'api', ids: [21, 22] },
  'http-api-v1-post': { trigger: 'api', runId: 'order-1882', ids: [31, '31'] },
  'alb-get': { trigger: 'api', ids: [1, 7, 8, 9, 'a-slug'] },
  'alb-post': { trigger: 'api', ids: [5, '6'], multiValueHeaders: true },
};

const failFast: Readonly<Record<string, unknown>> = {
  'fail-fast': {
    thrown: { name: 'PostError', code: 'NOT_FOUND', id: 99999, message: 'No data for post 99999' },
  },
  'http-api-fail-fast': problem(502, 'Bad Gateway', 'No data for post 99999', 'NOT_FOUND', { id: 99999 }),
};

const idExpected =
  'an integer from 0 to 9007199254740991, a range {"from", "to"}, or 1 to 128 characters out of A-Z a-z 0-9 . _ ~ - (not "." or "..")';
const nameExpected = '1 to 128 characters out of A-Z a-z 0-9 . _ ~ - (not "." or "..")';

const runIdExpected =
  'at most 116 characters that end in none of .manifest, .progress, .part-<digits> and .redrive-<digits>';

const locationExpected =
  's3://bucket/key, with a key that ends in .json, .jsonl, .ndjson or .csv, or in one of these and .gz, and has at most 1024 bytes';

const bad: Readonly<Record<string, unknown>> = {
  empty: badInput('Expected `ids` to be an array of ids, got nothing'),
  'ids-missing': badInput('Expected `ids` to be an array of ids, got nothing'),
  'ids-null': badInput('Expected `ids` to be an array of ids, got null'),
  'ids-object': badInput('Expected `ids` to be an array of ids, got {}'),
  'ids-text': badInput('Expected `ids` to be an array of ids, got "1"'),
  'id-fraction': badInput(`Expected \`ids[0]\` to be ${idExpected}, got 1.5`),
  'id-negative': badInput(`Expected \`ids[0]\` to be ${idExpected}, got -1`),
  'id-unsafe-integer': badInput(`Expected \`ids[0]\` to be ${idExpected}, got 9007199254740992`),
  'id-null': badInput(`Expected \`ids[1]\` to be ${idExpected}, got null`),
  'id-parent-folder': badInput(`Expected \`ids[1]\` to be ${nameExpected}, got "../admin"`),
  'id-slash': badInput(`Expected \`ids[0]\` to be ${nameExpected}, got "a/b"`),
  'id-dots': badInput(`Expected \`ids[0]\` to be ${nameExpected}, got ".."`),
  'range-reversed': badInput(
    'Expected `ids[0]` to be a range whose "from" is not above its "to", got {"from":5,"to":1}',
  ),
  'range-open': badInput(`Expected \`ids[0].to\` to be an integer from 0 to 9007199254740991, got nothing`),
  'range-step': badInput(
    'Expected `ids[0]` to be a range with "from" and "to" alone, got {"from":1,"to":9,"step":2}',
  ),
  'range-trillion': {
    thrown: {
      name: 'TooLargeError',
      code: 'TOO_LARGE',
      message: 'Expected `ids` to hold at most 10000 ids (MAX_IDS), got 1000000000000',
    },
  },
  'manifest-ending': badInput(
    `Expected \`manifest\` to be ${locationExpected}, got "s3://batch-fetcher-lists/manifests/posts.xlsx"`,
  ),
  'manifest-https': badInput(
    `Expected \`manifest\` to be ${locationExpected}, got "https://batch-fetcher-lists.s3.amazonaws.com/manifests/posts.csv"`,
  ),
  'manifest-and-ids': badInput(
    'Expected `event` to have one of ids, manifest, redrive, got ids and manifest',
  ),
  'manifest-missing': badInput(
    'Expected `s3://batch-fetcher-lists/manifests/nothing.csv` to be an object in S3, got nothing',
  ),
  'manifest-line': badInput(
    `Expected \`s3://batch-fetcher-lists/manifests/bad.csv line 3\` to be ${nameExpected}, got "3;An early train to Lisbon"`,
  ),
  'manifest-too-long': {
    thrown: {
      name: 'TooLargeError',
      code: 'TOO_LARGE',
      message:
        'Expected `s3://batch-fetcher-lists/manifests/long.jsonl` to hold at most 10000 ids (MAX_IDS), got more by line 2',
    },
  },
  'manifest-results-bucket': badInput(
    'Expected `s3://results/runs/payroll.json` to be in another bucket than the results, which no manifest is read from',
  ),
  'redrive-run-id': badInput('Expected `runId` to be left out of a redrive, got "again"'),
  'http-api-query-manifest-missing': badRequest(
    'Expected `s3://batch-fetcher-lists/manifests/nothing.csv` to be an object in S3, got nothing',
  ),
  'key-unknown': badInput(
    'Expected `event` to be an object with no keys but ids, manifest, redrive, returnExceptions, runId, got {"retries":3}',
  ),
  'return-exceptions-text': badInput('Expected `returnExceptions` to be true or false, got "false"'),
  'run-id-manifest': badInput(`Expected \`runId\` to be ${runIdExpected}, got "posts-2026-11-23.manifest"`),
  'run-id-part': badInput(`Expected \`runId\` to be ${runIdExpected}, got "posts-2026-11-23.part-000001"`),
  'redrive-manifest': badInput(
    'Expected `redrive` to be the id of a run, which ends neither in .manifest nor in .progress, got "big.manifest"',
  ),
  'run-id-path': badInput(`Expected \`runId\` to be ${nameExpected}, got "../runs/1"`),
  'not-an-object': badInput(
    'Expected `event` to be a batch {"ids": […]}, an EventBridge event, or a request from API Gateway, a Function URL or a load balancer, got an array of 3',
  ),
  sqs: badInput(
    'Expected `event` to be a batch {"ids": […]}, an EventBridge event, or a request from API Gateway, a Function URL or a load balancer, got {"Records":[…]}',
  ),
  'authorizer-request': badInput(
    'Expected `event` to be a batch {"ids": […]}, an EventBridge event, or a request from API Gateway, a Function URL or a load balancer, got {"type":"REQUEST","methodArn":"arn:aws:execute-api:us-east-1:123456789012:z9y8x7…',
  ),
  'eventbridge-s3': badInput(
    'Expected `detail` to be an object with no keys but ids, manifest, redrive, returnExceptions, runId, got {"version":"0"}',
  ),
  'eventbridge-no-time': badInput('Expected `time` to be an ISO 8601 time, got nothing'),
  'eventbridge-time': badInput('Expected `time` to be an ISO 8601 time, got "November 23 2026"'),
  'eventbridge-alarm': badInput(
    'Expected `detail` to be an object with "ids", "manifest" or "redrive", got nothing',
  ),
  'eventbridge-detail-key-twice': badInput(
    'Expected `detail` to have each key of an object once, got "ids" twice',
  ),
  'http-api-key-twice': badRequest('Expected `body` to have each key of an object once, got "ids" twice'),
  'http-api-nested': badRequest('Expected `body` to be nested at most 64 deep, got more'),
  'http-api-gzip': problem(
    415,
    'Unsupported Media Type',
    'Expected `headers.content-encoding` to be left out, as a body is taken as it is, got "gzip"',
    'UNSUPPORTED_MEDIA_TYPE',
  ),
  'http-api-broken-base64': badRequest(
    'Expected `body` to be base64, as `isBase64Encoded` says, got something else',
  ),
  'http-api-text-plain': problem(
    415,
    'Unsupported Media Type',
    'Expected `headers.content-type` to be application/json, got "text/plain"',
    'UNSUPPORTED_MEDIA_TYPE',
  ),
  'http-api-duplicate-query-key': badRequest('Expected `query.ids` to be given once, got "1, then 2"'),
  'http-api-query-unknown': badRequest(
    'Expected `query` to be no parameters but ids, manifest, redrive, returnExceptions, runId, got "limit"',
  ),
  'http-api-query-reversed': badRequest(
    'Expected `query.ids[0]` to be a range whose "from" is not above its "to", got "9-7"',
  ),
  'http-api-query-none': badRequest('Expected `query` to be no parameters but after, limit, got "runId"'),
  'http-api-list-limit': badRequest('Expected `query.limit` to be an integer from 1 to 50, got "51"'),
  'http-api-run-missing': problem(404, 'Not Found', 'There is no run no-such-run', 'RUN_NOT_FOUND'),
  'http-api-delete-run': problem(
    405,
    'Method Not Allowed',
    'Expected the method GET, got DELETE',
    'METHOD_NOT_ALLOWED',
    {},
    { allow: 'GET' },
  ),
  'alb-run-id': badRequest(`Expected \`path.runId\` to be ${nameExpected}, got ".."`),
  'http-api-put': problem(
    405,
    'Method Not Allowed',
    'Expected the method GET or POST, got PUT',
    'METHOD_NOT_ALLOWED',
    {},
    { allow: 'GET, POST' },
  ),
  'rest-api-delete': problem(
    405,
    'Method Not Allowed',
    'Expected the method GET or POST, got DELETE',
    'METHOD_NOT_ALLOWED',
    {},
    { allow: 'GET, POST' },
  ),
  'http-api-unknown-route': problem(
    404,
    'Not Found',
    'Expected the path /batches, /batches/{runId} or /batches/{runId}/outcomes, got /posts/1',
    'UNKNOWN_ROUTE',
  ),
  'http-api-empty-body': badRequest('Expected `body` to be the text of a JSON object, got nothing'),
  'http-api-body-not-json': badRequest(expect.stringMatching(/^Expected `body` to be JSON: \S/)),
  'http-api-body-array': badRequest(
    'Expected `body` to be an object with "ids", "manifest" or "redrive", got an array of 3',
  ),
  'http-api-body-id': badRequest(`Expected \`body.ids[1]\` to be ${nameExpected}, got "a/b"`),
  'http-api-range-trillion': problem(
    413,
    'Payload Too Large',
    'Expected `body.ids` to hold at most 10000 ids (MAX_IDS), got 1000000000000',
    'TOO_LARGE',
  ),
  'http-api-idempotency-key': badRequest(
    `Expected \`headers.idempotency-key\` to be ${nameExpected}, got "a key"`,
  ),
  'alb-health-check': multiValued(
    problem(
      404,
      'Not Found',
      'Expected the path /batches, /batches/{runId} or /batches/{runId}/outcomes, got /',
      'UNKNOWN_ROUTE',
    ),
  ),
};

/** Those that read what others leave. */
const readers = ['http-api-get-run', 'http-api-list', 'rest-api-get-outcomes', 'alb-get-run'];

const bucket = 'results';

let home: string;
let stub: PostsStub;
let store: S3Store;
let handler: (event: unknown, context: Context) => Promise<unknown>;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'batch-fetcher-events-'));
  stub = await startPostsStub({ latencyMs: () => 0 });
  store = await startS3Store({ directory: home, buckets: [bucket, manifestBucket] });
  const manifests = join(import.meta.dirname, '../../events/manifests');
  await cp(manifests, join(home, manifestBucket, 'manifests'), { recursive: true });
  const env = {
    RESULTS_BUCKET: bucket,
    POST_URL: `${stub.url}/posts/{id}`,
    ...store.environment,
  };
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  ({ handler } = await import('../../src/lambda/fetch.ts'));
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await stub.close();
  await store.close();
  await rm(home, { recursive: true, force: true });
});

test('every sample event has its expectation', () => {
  const expected = [...Object.keys(good), ...Object.keys(failFast), ...readers, 'direct-redrive'];
  expect(sampleNames().sort()).toStrictEqual(expected.sort());
  expect(sampleNames('bad').sort()).toStrictEqual(Object.keys(bad).sort());
});

describe.each(Object.entries(good))('%s', (name, expected) => {
  const requestId = `request-${name}`;
  const { runId = requestId, trigger, ids } = expected;

  test('is answered exactly, and its document stands in S3, as the schema has it', async () => {
    const response = await invoke(sampleEvent(name), requestId);

    const text = await storedText(runId);
    const document = JSON.parse(text);
    const { errors, summary } = document;
    expect(document).toStrictEqual({
      version: 1,
      run: {
        id: runId,
        trigger,
        requestId,
        startedAt: anyTime,
        urlTemplate: `${stub.url}/posts/{id}`,
        returnExceptions: true,
        requested: ids.length,
        idsSha256: createHash('sha256').update(JSON.stringify(ids)).digest('hex'),
      },
      ...(await expectedResults(ids)),
    });
    expect(documentFaults(document)).toStrictEqual([]);
    const location = `s3://${bucket}/runs/${runId}.json`;
    expect(response).toStrictEqual(
      trigger === 'api'
        ? okReply(expected, `{"location":"${location}","replayed":false,${text.slice(1)}`)
        : { returned: { runId, location, replayed: false, errors, summary } },
    );
  });

  test('is replayed when it is delivered again, and nothing is fetched or overwritten', async () => {
    await invoke(sampleEvent(name), requestId);
    const requests = stub.requests();
    const text = await storedText(runId);

    const response = await invoke(sampleEvent(name), requestId);

    expect(stub.requests()).toBe(requests);
    expect(await storedText(runId)).toBe(text);
    const { errors, summary } = JSON.parse(text);
    const location = `s3://${bucket}/runs/${runId}.json`;
    expect(response).toStrictEqual(
      trigger === 'api'
        ? okReply(expected, `{"location":"${location}","replayed":true,${text.slice(1)}`)
        : { returned: { runId, location, replayed: true, errors, summary } },
    );
  });
});

test('direct-redrive of a run that left nothing to fetch again is that run', async () => {
  await invoke(sampleEvent('direct-manifest'));
  const requests = stub.requests();
  const { errors, summary } = JSON.parse(await storedText('posts-2026-11-23'));
  expect(await invoke(sampleEvent('direct-redrive'))).toStrictEqual({
    returned: {
      runId: 'posts-2026-11-23',
      location: `s3://${bucket}/runs/posts-2026-11-23.json`,
      replayed: true,
      errors,
      summary,
    },
  });
  expect(stub.requests()).toBe(requests);
});

describe('what a run has left', () => {
  test('is read under its run id, and said to be the same by its ETag', async () => {
    const runId = '8e03978e-40d5-43e8-bc93-6894a57f9324';
    await invoke(sampleEvent('http-api-post'));
    const text = await storedText(runId);
    const etag = `"${createHash('md5').update(text).digest('hex')}"`;
    const head = `{"runId":"${runId}","state":"succeeded","location":"s3://${bucket}/runs/${runId}.json",`;
    const event = sampleEvent<{ headers: object }>('http-api-get-run');
    expect(await invoke(event)).toStrictEqual({
      returned: {
        statusCode: 200,
        headers: { ...headersOf('application/json'), vary: 'accept', etag },
        body: `${head}${text.slice(1)}`,
        isBase64Encoded: false,
      },
    });
    const headers = { ...event.headers, 'if-none-match': `"x", W/${etag}` };
    expect(await invoke({ ...event, headers })).toStrictEqual({
      returned: {
        statusCode: 304,
        headers: {
          'cache-control': 'no-store',
          'x-content-type-options': 'nosniff',
          vary: 'accept',
          etag,
        },
        body: '',
        isBase64Encoded: false,
      },
    });
  });

  test('is read by a load balancer as well', async () => {
    await invoke({ ids: [1], runId: 'alb-post' });
    expect(await invoke(sampleEvent('alb-get-run'))).toMatchObject({
      returned: { statusCode: 200, body: expect.stringContaining('"runId":"alb-post","state":"succeeded"') },
    });
  });

  test('is read outcome by outcome', async () => {
    await invoke(sampleEvent('rest-api-get'));
    const line = (await storedText('rest-get')).split('\n')[4]?.replace(/,$/, '');
    expect(await invoke(sampleEvent('rest-api-get-outcomes'))).toStrictEqual(
      okReply({ trigger: 'api', ids: [] }, `{"runId":"rest-get","outcomes":[\n${line}\n],"next":1}\n`),
    );
  });

  test('is in the list', async () => {
    await invoke({ ids: [1], runId: '0-first' });
    const { summary, run } = JSON.parse(await storedText('0-first'));
    const { returned } = (await invoke(sampleEvent('http-api-list'))) as { returned: { body: string } };
    expect(JSON.parse(returned.body).runs[0]).toStrictEqual({
      runId: '0-first',
      state: 'succeeded',
      startedAt: run.startedAt,
      summary,
    });
  });
});

test.each(Object.keys(failFast))(
  '%s fails with the failure of its post, and stores nothing but that in its claim',
  async (name) => {
    const stored = await storedFiles();
    expect(await invoke(sampleEvent(name))).toStrictEqual(failFast[name]);
    const left = (await storedFiles()).filter((file) => !stored.includes(file));
    for (const file of left) expect(file).toMatch(/^runs\/.+\.progress\.json$/);
    const claims = left.map((file) => readFile(join(home, bucket, file), 'utf8'));
    expect((await Promise.all(claims)).map((text) => JSON.parse(text).state)).toStrictEqual(
      left.map(() => 'failed'),
    );
  },
);

test.each(Object.keys(bad))('bad/%s is refused before anything is fetched or stored', async (name) => {
  const requests = stub.requests();
  const stored = await storedFiles();
  expect(await invoke(sampleEvent(`bad/${name}`))).toStrictEqual(bad[name]);
  expect(stub.requests()).toBe(requests);
  expect(await storedFiles()).toStrictEqual(stored);
});

test('10,001 ids are refused before anything is fetched or stored, counted or listed', async () => {
  const requests = stub.requests();
  const listed = Array.from({ length: 10_001 }, (_, i) => i);
  const message = 'Expected `ids` to hold at most 10000 ids (MAX_IDS), got 10001';
  const refusal = { thrown: { name: 'TooLargeError', code: 'TOO_LARGE', message } };
  expect(await invoke({ ids: listed })).toStrictEqual(refusal);
  expect(await invoke({ ids: [0, { from: 1, to: 10_000 }] })).toStrictEqual(refusal);
  const detail = 'Expected `query.ids` to hold at most 10000 ids (MAX_IDS), got 10001';
  const overHttp = sampleEvent<{ rawQueryString: string }>('http-api-get');
  for (const ids of ['0-10000', listed.join()])
    expect(await invoke({ ...overHttp, rawQueryString: `ids=${ids}` })).toStrictEqual(
      problem(413, 'Payload Too Large', detail, 'TOO_LARGE'),
    );
  expect(stub.requests()).toBe(requests);
});

test.each([
  ['as text', false],
  ['in base64', true],
])('a body of 7 MB, %s, is too large', async (_, isBase64Encoded) => {
  const text = `{"ids":[1]${' '.repeat(7_000_000)}}`;
  const body = isBase64Encoded ? Buffer.from(text).toString('base64') : text;
  expect(await invoke({ ...sampleEvent<object>('function-url-post'), body, isBase64Encoded })).toStrictEqual(
    problem(
      413,
      'Payload Too Large',
      'Expected `body` to have at most 6291456 bytes, got 7000011',
      'TOO_LARGE',
    ),
  );
});

test("the lesson's programs give the lesson's results", async () => {
  const printed = async (name: string): Promise<string[]> => {
    await handler(sampleEvent(name), contextOf(`request-${name}`));
    const { results } = JSON.parse(await storedText(`request-${name}`));
    return results.map(
      (outcome: { value?: { title: string }; reason?: { message: string } }, i: number) =>
        `Post ${i + 1}${outcome.value ? `: ${outcome.value.title}` : ` failed: ${outcome.reason?.message}`}`,
    );
  };
  expect(await printed('lesson-1')).toStrictEqual([
    'Post 1: An early train to Lisbon',
    'Post 2: Two rainy days in Tromsø',
    'Post 3: A quiet street in Kyoto',
  ]);
  expect(await printed('lesson-2')).toStrictEqual([
    'Post 1: An early train to Lisbon',
    'Post 2: Two rainy days in Tromsø',
    'Post 3: A quiet street in Kyoto',
    'Post 4: The fish market of Valparaíso',
    'Post 5: Learning to bake in Ljubljana',
  ]);
  expect(await printed('direct')).toStrictEqual([
    'Post 1: An early train to Lisbon',
    'Post 2 failed: No data for post 99999',
    'Post 3: A quiet street in Kyoto',
  ]);
  // The fourth, the same in the default mode, raises the failure instead of returning it.
  await expect(handler(sampleEvent('fail-fast'), contextOf('lesson'))).rejects.toThrow(
    'No data for post 99999',
  );
});

test('the base form in every sample event is what the schema says', () => {
  expect(sampleNames().flatMap((name) => baseForms(sampleEvent(name)).flatMap(eventFaults))).toStrictEqual(
    [],
  );
});

test('the schema refuses what is refused for its form', () => {
  const isDirect = (name: string): boolean => !/^(http-api|rest-api|alb|eventbridge)-/.test(name);
  const accepted = sampleNames('bad').filter(
    (name) => isDirect(name) && eventFaults(sampleEvent(`bad/${name}`)).length === 0,
  );
  // What no schema can say.
  expect(accepted.sort()).toStrictEqual([
    'manifest-line',
    'manifest-missing',
    'manifest-results-bucket',
    'manifest-too-long',
    'range-reversed',
    'range-trillion',
  ]);
});

type Response = { readonly returned: unknown } | { readonly thrown: unknown };

async function invoke(event: unknown, requestId = 'request'): Promise<Response> {
  try {
    const reply = await handler(event, contextOf(requestId));
    expect(apiFaults(event, reply)).toStrictEqual([]);
    return { returned: isProblem(reply) ? { ...reply, body: JSON.parse(reply.body) } : reply };
  } catch (error) {
    const { name, message, code, id } = error as Error & { code: string; id?: number };
    return { thrown: { name, code, message, ...(id !== undefined && { id }) } };
  }
}

function contextOf(awsRequestId: string): Context {
  // All of a context that the handler uses.
  return { awsRequestId, getRemainingTimeInMillis: () => 30_000 } as Context;
}

function isProblem(reply: unknown): reply is { statusCode: number; body: string } {
  return (
    typeof reply === 'object' && reply !== null && 'statusCode' in reply && Number(reply.statusCode) >= 400
  );
}

function okReply({ multiValueHeaders }: Expected, body: string): Response {
  const headers = headersOf('application/json');
  const response = { returned: { statusCode: 200, body, isBase64Encoded: false, headers } };
  return multiValueHeaders ? multiValued(response) : response;
}

function problem(
  status: number,
  title: string,
  detail: unknown,
  code: string,
  more: object = {},
  headers: object = {},
) {
  return {
    returned: {
      statusCode: status,
      headers: { ...headersOf('application/problem+json'), ...headers },
      body: { type: 'about:blank', title, status, detail, code, ...more },
      isBase64Encoded: false,
    },
  };
}

function headersOf(contentType: string): Record<string, string> {
  return {
    'content-type': contentType,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  };
}

function badRequest(detail: unknown): Response {
  return problem(400, 'Bad Request', detail, 'BAD_INPUT');
}

function multiValued({ returned }: { readonly returned: { readonly headers: object } }): Response {
  const { headers, ...reply } = returned;
  const multiValueHeaders = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, [value]]),
  );
  return { returned: { ...reply, multiValueHeaders } };
}

function badInput(message: unknown): Response {
  return { thrown: { name: 'BadInputError', code: 'BAD_INPUT', message } };
}

async function expectedResults(ids: Expected['ids']) {
  const results = await Promise.all(ids.map((id, index) => expectedOutcome(id, index)));
  const rejected = results.filter(({ status }) => status === 'rejected');
  return {
    results,
    errors: {
      total: rejected.length,
      byCode: rejected.length === 0 ? {} : { NOT_FOUND: rejected.length },
      first: rejected
        .slice(0, 10)
        .map(({ index, id }) => ({ index, id, code: 'NOT_FOUND', message: `No data for post ${id}` })),
      retryableIds: [],
    },
    summary: {
      finishedAt: anyTime,
      durationMs: anyMs,
      requested: ids.length,
      fulfilled: ids.length - rejected.length,
      rejected: rejected.length,
      attempts: new Set(ids.map(String)).size,
      complete: true,
      latencyMs: { p50: anyMs, p90: anyMs, p99: anyMs, max: anyMs },
      ...anyTraffic(),
    },
  };
}

async function expectedOutcome(id: number | string, index: number) {
  const response = await fetch(`${stub.url}/posts/${id}`);
  const fetched = {
    index,
    id,
    httpStatus: response.status,
    attempts: 1,
    startedMs: anyMs,
    durationMs: anyMs,
    waitedMs: 0,
  };
  const body = await response.json();
  return response.ok
    ? { ...fetched, status: 'fulfilled', value: body }
    : {
        ...fetched,
        status: 'rejected',
        reason: { code: 'NOT_FOUND', message: `No data for post ${id}`, retryable: false },
      };
}

function storedText(runId: string): Promise<string> {
  return readFile(join(home, bucket, 'runs', `${runId}.json`), 'utf8');
}

async function storedFiles(): Promise<string[]> {
  return (await readdir(join(home, bucket), { recursive: true })).sort();
}

/** The base form in a good event; none where it is a query, or where POST_IDS stand in for its ids. */
function baseForms(event: unknown): unknown[] {
  const { detail, httpMethod, requestContext, body, isBase64Encoded } = event as {
    detail?: object | string;
    httpMethod?: string;
    requestContext?: { http?: { method: string } };
    body?: string;
    isBase64Encoded?: boolean;
  };
  if (detail !== undefined) {
    const form = typeof detail === 'string' ? JSON.parse(detail) : detail;
    return Object.keys(form).length === 0 ? [] : [form];
  }
  const method = httpMethod ?? requestContext?.http?.method;
  if (method === undefined) return [event];
  if (method === 'GET' || body === undefined) return [];
  return [JSON.parse(isBase64Encoded ? Buffer.from(body, 'base64').toString() : body)];
}
