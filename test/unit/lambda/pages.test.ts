import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Context } from 'aws-lambda';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type PostsStub, startPostsStub } from '../../../local/world/posts.ts';
import { type S3Store, startS3Store } from '../../../local/world/s3.ts';
import { type HandOverStandIn, startHandOverStandIn } from '../../support/lambda-and-step-functions.ts';
import { readPartsPage, readRunPage } from '../../support/page-template.ts';
import { sampleEvent } from '../../support/sample-events.ts';

const template = vi.hoisted(() => ({ isThere: true }));
vi.mock('../../../src/report/template.ts', async (original) => ({
  ...(await original<object>()),
  readTemplate: async () => {
    if (!template.isThere) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    return (await import('../../support/page-template.ts')).template;
  },
}));

const bucket = 'results';
const functionArn = 'arn:aws:lambda:us-east-1:123456789012:function:batch-fetcher-prod-fetch:api';
const ofApi = { RESULTS_PREFIX: 'runs/api/', ASYNC_FUNCTION: functionArn };
const ofFetch = { ASYNC_FUNCTION: functionArn, ASYNC_RESULTS_PREFIX: 'runs/api/' };

let home: string;
let posts: PostsStub;
let s3: S3Store;
let aws: HandOverStandIn;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'batch-fetcher-reports-'));
  posts = await startPostsStub({ latencyMs: () => 0 });
  s3 = await startS3Store({ directory: home, buckets: [bucket] });
  aws = await startHandOverStandIn();
});
afterAll(async () => {
  await posts.close();
  await s3.close();
  await aws.close();
  await rm(home, { recursive: true });
});
beforeEach(() => {
  template.isThere = true;
});
afterEach(async () => {
  vi.unstubAllEnvs();
  aws.reset();
  await rm(join(home, bucket, 'runs'), { recursive: true, force: true });
});

let requests = 0;

/** Invokes a function of a cold start, as Lambda does. */
async function invoke(
  event: unknown,
  { name = 'fetch', more = {}, arn }: { name?: string; more?: Record<string, string>; arn?: string } = {},
): Promise<unknown> {
  const env = {
    RESULTS_BUCKET: bucket,
    RESULTS_PREFIX: 'runs/',
    POST_URL: `${posts.url}/posts/{id}`,
    POST_IDS: '1,2',
    REPORT: 'html',
    ...s3.environment,
    ...aws.environment,
    ...more,
  };
  for (const [variable, value] of Object.entries(env)) vi.stubEnv(variable, value);
  vi.resetModules();
  const { handler } = await import(`../../../src/lambda/${name}.ts`);
  const context = { awsRequestId: `request-${++requests}`, getRemainingTimeInMillis: () => 30_000 };
  return handler(event, { ...context, invokedFunctionArn: arn } as Context);
}

const fileOf = (key: string): string => join(home, bucket, key);
const read = (key: string): Promise<string | undefined> =>
  readFile(fileOf(key), 'utf8').catch(() => undefined);
const pageOf = async (key: string) => readRunPage((await read(key)) ?? '').run;

describe('with REPORT=html the page of a run stands beside its document,', () => {
  test('of a direct one, with the command that redrives it', async () => {
    const arn = 'arn:aws:lambda:us-east-1:123456789012:function:fetch';
    await invoke({ ids: [1, 99999, 3], runId: 'lesson' }, { arn });
    expect(await pageOf('runs/lesson.html')).toMatchObject({
      location: 's3://results/runs/lesson.json',
      errors: { total: 1, byCode: { NOT_FOUND: 1 }, retryable: 0 },
      redrive: null,
      shown: 3,
    });
  });

  test('of a scheduled one', async () => {
    const { runId } = (await invoke(sampleEvent('eventbridge-rule'))) as { runId: string };
    expect(await pageOf(`runs/${runId}.html`)).toMatchObject({ run: { trigger: 'schedule' }, shown: 2 });
  });

  test('of one of the API, whose reply is the same', async () => {
    const event = sampleEvent<object>('http-api-post');
    const withPage = (await invoke(event, { more: ofApi })) as { body: string };
    const { run } = JSON.parse(withPage.body);
    expect(await pageOf(`runs/api/${run.id}.html`)).toMatchObject({ run: { trigger: 'api' }, shown: 3 });
    const reply = (await invoke(event, { more: { ...ofApi, REPORT: 'off' } })) as { body: string };
    expect(reply.body.replace('"replayed":true', '"replayed":false')).toBe(withPage.body);
  });

  test('of one that the API has handed over', async () => {
    const { headers, ...request } = sampleEvent<{ headers: object }>('http-api-post');
    const body = JSON.stringify({ ids: [1, 2], runId: 'later' });
    const prefer = { ...headers, prefer: 'respond-async' };
    expect(await invoke({ ...request, headers: prefer, body }, { more: ofApi })).toMatchObject({
      statusCode: 202,
    });
    const [handedOver] = aws.invocations;
    await invoke(handedOver?.event, { more: ofFetch, arn: functionArn });
    expect(await pageOf('runs/api/later.html')).toMatchObject({ run: { trigger: 'api' }, shown: 2 });
  });

  test('of a redrive', async () => {
    await invoke(
      { ids: [1, 2], runId: 'again' },
      { more: { POST_URL: 'http://127.0.0.1:1/{id}', MAX_ATTEMPTS: '1' } },
    );
    expect(await pageOf('runs/again.html')).toMatchObject({
      errors: { retryable: 2 },
      redrive: 'npm run redrive -- again',
    });
    await invoke({ redrive: 'again' });
    expect(await pageOf('runs/again.redrive-1.html')).toMatchObject({
      run: { redriveOf: 'again' },
      errors: { total: 0 },
    });
  });

  test('of parts, and of each of them', async () => {
    await invoke({ input: { ids: [1, 2, 3], partSize: 2 }, execution: 'many' }, { name: 'plan' });
    const lines = String(await read('runs/plans/many.jsonl'))
      .trim()
      .split('\n');
    for (const line of lines) {
      const { firstIndex: _, ...part } = JSON.parse(line);
      await invoke(part);
    }
    await invoke({ runId: 'many' }, { name: 'conclude' });
    const { run } = readPartsPage((await read('runs/many.html')) ?? '');
    expect(run.parts.map(({ href, durationMs }) => [href, typeof durationMs])).toStrictEqual([
      ['many.part-000000.html', 'number'],
      ['many.part-000001.html', 'number'],
    ]);
    expect(await pageOf('runs/many.part-000001.html')).toMatchObject({ shown: 1 });
  });
});

describe('a run whose page cannot be made', () => {
  test('is as done as any other, and a later delivery makes it', async () => {
    template.isThere = false;
    const event = { ids: [1], runId: 'once' };
    expect(await invoke(event)).toMatchObject({ runId: 'once', replayed: false });
    expect(await read('runs/once.html')).toBeUndefined();
    template.isThere = true;
    expect(await invoke(event)).toMatchObject({ runId: 'once', replayed: true });
    expect(await pageOf('runs/once.html')).toMatchObject({ shown: 1 });
  });

  test('as it failed has none', async () => {
    const event = { ids: [99999], runId: 'failed', returnExceptions: false };
    await expect(invoke(event)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(await read('runs/failed.html')).toBeUndefined();
  });
});

test('a browser that asks for a run of the API is shown its page', async () => {
  await invoke(sampleEvent('http-api-post'), { more: ofApi });
  const event = sampleEvent<{ headers: object }>('http-api-get-run');
  const headers = { ...event.headers, accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };
  const reply = (await invoke({ ...event, headers }, { more: ofApi })) as {
    statusCode: number;
    body: string;
  };
  expect(reply.statusCode).toBe(200);
  expect(readRunPage(reply.body).run).toMatchObject({ kind: 'run', shown: 3 });
});
