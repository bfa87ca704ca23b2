import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import type { Context } from 'aws-lambda';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { type PostsStub, startPostsStub } from '../../../local/world/posts.ts';
import { type S3Store, startS3Store } from '../../../local/world/s3.ts';
import { anyTime } from '../../support/any.ts';
import { type HandOverStandIn, startHandOverStandIn } from '../../support/lambda-and-step-functions.ts';
import { sampleEvent } from '../../support/sample-events.ts';
import { claimFaults, documentFaults } from '../../support/schemas.ts';

const bucket = 'results';
const lists = 'lists';
const functionArn = 'arn:aws:lambda:us-east-1:123456789012:function:batch-fetcher-prod-fetch:api';
const taskArn = 'arn:aws:lambda:us-east-1:123456789012:function:batch-fetcher-prod-fetch:api-parts';
const stateMachineArn = 'arn:aws:states:us-east-1:123456789012:stateMachine:FetchAtScaleForApi';
const caller = 'arn:aws:sts::123456789012:assumed-role/posts-reader/reader';

let home: string;
let posts: PostsStub;
let s3: S3Store;
let aws: HandOverStandIn;
let requests = 0;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'batch-fetcher-async-'));
  posts = await startPostsStub({ latencyMs: () => 0 });
  s3 = await startS3Store({ directory: home, buckets: [bucket, lists] });
  aws = await startHandOverStandIn();
});
afterAll(async () => {
  await posts.close();
  await s3.close();
  await aws.close();
  await rm(home, { recursive: true });
});
afterEach(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  aws.reset();
  await rm(join(home, bucket, 'runs'), { recursive: true, force: true });
});

/** The handler of a cold start of a function of this stack. */
async function coldStart(
  more: Readonly<Record<string, string>>,
  name = 'fetch',
): Promise<(event: unknown, context: Context) => Promise<unknown>> {
  const env = {
    RESULTS_BUCKET: bucket,
    POST_URL: `${posts.url}/posts/{id}`,
    POWERTOOLS_METRICS_DISABLED: 'true',
    POWERTOOLS_LOG_LEVEL: 'SILENT',
    ...s3.environment,
    ...aws.environment,
    ...more,
  };
  for (const [variable, value] of Object.entries(env)) vi.stubEnv(variable, value);
  vi.resetModules();
  return (await import(`../../../src/lambda/${name}.ts`)).handler;
}

const api = (more: Readonly<Record<string, string>> = {}) =>
  coldStart({
    RESULTS_PREFIX: 'runs/api/',
    MAX_IDS: '1000',
    ASYNC_FUNCTION: functionArn,
    ASYNC_MAX_IDS: '5000',
    STATE_MACHINE_ARN: stateMachineArn,
    ...more,
  });
const ofFetch = {
  RESULTS_PREFIX: 'runs/',
  ASYNC_FUNCTION: functionArn,
  ASYNC_TASK_FUNCTION: taskArn,
  ASYNC_RESULTS_PREFIX: 'runs/api/',
};

/** All of a context that the handler uses. */
function contextOf(awsRequestId = `request-${++requests}`, invokedFunctionArn?: string): Context {
  return { awsRequestId, invokedFunctionArn, getRemainingTimeInMillis: () => 30_000 } as Context;
}

interface HttpReply {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What POST /batches with a preference is answered with. */
async function postTo(
  handler: Awaited<ReturnType<typeof api>>,
  body: object,
  { prefer = 'respond-async', requestId = `request-${++requests}` } = {},
) {
  const { headers, ...request } = sampleEvent<{ headers: object }>('http-api-post');
  const { 'idempotency-key': _, ...others } = headers as Record<string, string>;
  const event = { ...request, headers: { ...others, prefer }, body: JSON.stringify(body) };
  const {
    statusCode,
    headers: replied,
    body: text,
  } = (await handler(event, contextOf(requestId))) as HttpReply;
  return { statusCode, headers: replied, body: JSON.parse(text) };
}

function accepted(runId: string) {
  return {
    statusCode: 202,
    headers: {
      'content-type': 'application/json',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      location: `/batches/${runId}`,
      'preference-applied': 'respond-async',
    },
    body: { runId, state: 'accepted' },
  };
}

const fileOf = (key: string): string => join(home, bucket, key);
const stored = async (key: string) => JSON.parse(await readFile(fileOf(key), 'utf8'));
const claimOf = (runId: string) => stored(`runs/api/${runId}.progress.json`);
const keys = async (): Promise<string[]> => {
  const entries = await readdir(join(home, bucket), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(join(home, bucket), join(entry.parentPath, entry.name)))
    .toSorted();
};

const ids = { ids: [1, 99999, 3] };

/** The lines of the log, as they come. */
function readLog(): unknown[] {
  const lines: unknown[] = [];
  // Powertools has a console of its own, which writes to the stream of the process.
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    lines.push(JSON.parse(String(text)));
    return true;
  });
  return lines;
}

/** The event that was handed over, whichever run it is of. */
function handedOver(): unknown {
  const { event } = aws.invocations.at(-1) ?? expect.fail('Nothing was handed over');
  return event;
}

describe('POST /batches with respond-async', () => {
  test('is claimed, handed to the function that is named, and answered with 202', async () => {
    expect(await postTo(await api(), { ...ids, runId: 'order' }, { requestId: 'api-1' })).toStrictEqual(
      accepted('order'),
    );
    expect(aws.invocations).toStrictEqual([
      {
        functionArn,
        type: 'Event',
        event: { handedOver: { runId: 'order', caller, ids: ids.ids, returnExceptions: true } },
      },
    ]);
    const claim = await claimOf('order');
    expect(claimFaults(claim)).toStrictEqual([]);
    expect(claim).toMatchObject({ state: 'accepted', requestId: 'api-1', requested: 3, done: null });
    expect(await keys()).toStrictEqual(['runs/api/order.progress.json']);
  });

  test('is done by that function, as a run of the API', async () => {
    await postTo(await api(), { ...ids, runId: 'order' });
    const fetch = await coldStart(ofFetch);
    expect(await fetch(handedOver(), contextOf('async-1', functionArn))).toMatchObject({
      runId: 'order',
      location: 's3://results/runs/api/order.json',
      replayed: false,
      summary: { fulfilled: 2, rejected: 1 },
    });
    const document = await stored('runs/api/order.json');
    expect(documentFaults(document)).toStrictEqual([]);
    expect(document.run).toMatchObject({ id: 'order', trigger: 'api', requestId: 'async-1' });
    expect(await keys()).toStrictEqual(['runs/api/order.json', 'runs/api/order.progress.json']);
  });

  test.each(['accepted', 'running', 'stored'] as const)(
    'is answered alike once more while it is %s',
    async (state) => {
      const request = { ...ids, runId: 'order' };
      await postTo(await api(), request, { requestId: 'api-1' });
      if (state === 'running')
        await writeFile(
          fileOf('runs/api/order.progress.json'),
          JSON.stringify({ ...(await claimOf('order')), state }),
        );
      if (state === 'stored')
        await (await coldStart(ofFetch))(handedOver(), contextOf('async-1', functionArn));
      // Also where the ids are written in another way, and where it is the same request of Lambda's.
      const again = { ids: [1, '99999', 3].slice(0, 1).concat([99999, 3]), runId: 'order' };
      expect(await postTo(await api(), again, { requestId: 'api-1' })).toStrictEqual(accepted('order'));
      expect(await postTo(await api(), again)).toStrictEqual(accepted('order'));
      expect(aws.invocations).toHaveLength(1);
    },
  );

  test('is handed over anew where the run has failed, or was lost', async () => {
    const handler = await api();
    for (const change of [{ state: 'failed' }, { until: '2026-11-23T06:00:00.000Z' }]) {
      await postTo(handler, { ...ids, runId: 'order' });
      const claim = await claimOf('order');
      await writeFile(fileOf('runs/api/order.progress.json'), JSON.stringify({ ...claim, ...change }));
    }
    expect(await postTo(handler, { ...ids, runId: 'order' })).toStrictEqual(accepted('order'));
    expect(aws.invocations).toHaveLength(3);
  });

  test('is a conflict under the id of another batch', async () => {
    const handler = await api();
    await postTo(handler, { ...ids, runId: 'order' });
    expect(await postTo(handler, { ids: [2], runId: 'order' })).toMatchObject({
      statusCode: 409,
      body: { code: 'RUN_CONFLICT' },
    });
    expect(aws.invocations).toHaveLength(1);
  });

  test('is refused where the body is wrong, before anything is claimed', async () => {
    expect(await postTo(await api(), { ids: [-1] })).toMatchObject({
      statusCode: 400,
      body: { code: 'BAD_INPUT' },
    });
    expect([aws.requests, await keys()]).toStrictEqual([0, []]);
  });

  test('may have more ids than MAX_IDS, and these in an object where they are long', async () => {
    const long = Array.from({ length: 5_000 }, (_, i) => `${'x'.repeat(60)}-${i}`);
    expect(await postTo(await api(), { ids: long, runId: 'long' })).toStrictEqual(accepted('long'));
    const event = handedOver();
    expect(event).toStrictEqual({
      handedOver: {
        runId: 'long',
        caller,
        ids: { sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
        returnExceptions: true,
      },
    });
    const objects = (await keys()).filter((key) => key.startsWith('runs/api/handed-over/'));
    expect(await stored(objects.join())).toStrictEqual(long);
    const fetch = await coldStart(ofFetch);
    expect(await fetch(event, contextOf('async-1', functionArn))).toMatchObject({
      runId: 'long',
      summary: { requested: 5_000 },
    });
  });

  test('is 503 where Lambda refuses it, and its claim has failed', async () => {
    aws.refusals = [{ status: 403, name: 'AccessDeniedException' }];
    vi.spyOn(console, 'error').mockReturnValue();
    const reply = await postTo(await api(), { ...ids, runId: 'order' });
    const problem = {
      type: 'about:blank',
      title: 'Service Unavailable',
      status: 503,
      detail: 'The run could not be handed over: Lambda gave AccessDeniedException',
      code: 'HANDOVER_FAILED',
    };
    expect([reply.statusCode, reply.body]).toStrictEqual([503, problem]);
    expect(await claimOf('order')).toMatchObject({ state: 'failed', problem });
    aws.reset();
    expect(await postTo(await api(), { ...ids, runId: 'order' })).toStrictEqual(accepted('order'));
  });

  test('is 501 where nobody is named, and nothing is claimed', async () => {
    vi.spyOn(console, 'error').mockReturnValue();
    const handler = await api({ ASYNC_FUNCTION: '', STATE_MACHINE_ARN: '' });
    const detailOf = async (body: object) => {
      const reply = await postTo(handler, body);
      expect([reply.statusCode, reply.body.code]).toStrictEqual([501, 'ASYNC_NOT_CONFIGURED']);
      return reply.body.detail;
    };
    const ofFunction = 'No run goes on elsewhere here, as ASYNC_FUNCTION is not set';
    const ofMachine = 'No run goes on elsewhere here, as STATE_MACHINE_ARN is not set';
    expect(await detailOf(ids)).toBe(ofFunction);
    expect(await detailOf({ redrive: 'run' })).toBe(ofFunction);
    expect(await detailOf({ ids: [{ from: 1, to: 5_001 }] })).toBe(ofMachine);
    expect(await detailOf({ manifest: 's3://lists/ids.csv' })).toBe(ofMachine);
    expect(await keys()).toStrictEqual([]);
  });

  test('names its run by the path that the API has', async () => {
    const { headers } = await postTo(await api({ API_BASE_PATH: 'api/v1' }), { ...ids, runId: 'order' });
    expect(headers).toMatchObject({ location: '/api/v1/batches/order' });
  });

  test('is told of in the log, once, with who asked', async () => {
    const lines = readLog();
    const handler = await api({ POWERTOOLS_LOG_LEVEL: 'INFO' });
    await postTo(handler, { ...ids, runId: 'order' }, { requestId: 'api-1' });
    await postTo(handler, { ...ids, runId: 'order' });
    await handler(
      {
        ...sampleEvent<object>('http-api-post'),
        headers: { prefer: 'respond-async' },
        body: '{"ids":[]}',
        requestContext: { http: { method: 'POST' } },
      },
      contextOf('api-3'),
    );
    expect(lines).toMatchObject([
      { message: 'Run accepted', runId: 'order', requestId: 'api-1', caller },
      { message: 'Run accepted', runId: 'api-3', requestId: 'api-3' },
    ]);
    expect(lines[1]).not.toHaveProperty('caller');
  });

  test('is done at once where it is another preference, or a GET', async () => {
    const handler = await api();
    expect(await postTo(handler, ids, { prefer: 'wait=10' })).toMatchObject({ statusCode: 200 });
    const get = sampleEvent<{ headers: object }>('http-api-get');
    const reply = await handler({ ...get, headers: { prefer: 'respond-async' } }, contextOf());
    expect(reply).toMatchObject({ statusCode: 200 });
    expect(aws.requests).toBe(0);
  });
});

describe('what is handed over', () => {
  const event = { handedOver: { runId: 'order', ids: [1], returnExceptions: true } };

  test.each([undefined, functionArn.replace(/:api$/, ''), functionArn.replace(/:api$/, ':other'), taskArn])(
    'is taken through its alias alone, and not through %s',
    async (arn) => {
      const fetch = await coldStart(ofFetch);
      await expect(fetch(event, contextOf(undefined, arn))).rejects.toThrow(
        'Expected `event` to be a batch {"ids": […]}, an EventBridge event',
      );
      expect(await keys()).toStrictEqual([]);
    },
  );

  test('is not taken where there is no alias', async () => {
    const fetch = await coldStart({});
    await expect(fetch(event, contextOf(undefined, ''))).rejects.toThrow('Expected `event` to be a batch');
  });

  test.each([['ids'], ['schedule'], ['api']])('is all that comes through its alias: not %s', async (kind) => {
    const fetch = await coldStart(ofFetch);
    const other = {
      ids: { ids: [1] },
      schedule: sampleEvent('eventbridge-rule'),
      api: sampleEvent('http-api-post'),
    };
    const invoking = fetch(other[kind as keyof typeof other], contextOf(undefined, functionArn));
    const message = 'Expected `event` to be a run that the API hands over';
    if (kind === 'api') {
      const { statusCode, body } = (await invoking) as HttpReply;
      expect([statusCode, JSON.parse(body).detail]).toStrictEqual([400, expect.stringContaining(message)]);
    } else await expect(invoking).rejects.toThrow(message);
    expect(await keys()).toStrictEqual([]);
  });

  test.each([
    [null],
    [{ runId: 'order' }],
    [{ runId: 'order', ids: [{ from: 'a' }], returnExceptions: true }],
    [{ runId: 'order', ids: { sha256: 'x' }, returnExceptions: true }],
    [{ runId: '../order', ids: [1], returnExceptions: true }],
    [{ runId: 'order', redrive: 7 }],
    [{ runId: 'order', redrive: 'run', caller: 7 }],
  ])('is none where it is %j', async (run) => {
    const fetch = await coldStart(ofFetch);
    await expect(fetch({ handedOver: run }, contextOf(undefined, functionArn))).rejects.toThrow(
      /^Expected `handedOver(\.runId)?` to be /,
    );
  });

  test('is kept where other runs are, if no other prefix is named', async () => {
    const fetch = await coldStart({ ...ofFetch, ASYNC_RESULTS_PREFIX: '' });
    await fetch(event, contextOf(undefined, functionArn));
    expect(await keys()).toContain('runs/order.json');
  });

  test('is done once, also where Lambda delivers it twice', async () => {
    const fetch = await coldStart(ofFetch);
    const context = contextOf('async-1', functionArn);
    await fetch(event, context);
    expect(await fetch(event, context)).toMatchObject({ replayed: true });
  });

  test('is told of in the log with who asked for it', async () => {
    const lines = readLog();
    const fetch = await coldStart({ ...ofFetch, POWERTOOLS_LOG_LEVEL: 'INFO' });
    await fetch({ handedOver: { ...event.handedOver, caller } }, contextOf('async-1', functionArn));
    expect(lines[0]).toMatchObject({ message: 'Run started', trigger: 'api', requestId: 'async-1', caller });
  });

  test('and is running elsewhere is no failure', async () => {
    await postTo(await api(), { ids: [1], runId: 'order' });
    const claim = { ...(await claimOf('order')), state: 'running' };
    await writeFile(fileOf('runs/api/order.progress.json'), JSON.stringify(claim));
    const fetch = await coldStart(ofFetch);
    expect(await fetch(handedOver(), contextOf('async-2', functionArn))).toMatchObject({ state: 'running' });
  });

  test('and fails by its first post is no failure of the function: its claim tells of it', async () => {
    await postTo(await api(), { ...ids, runId: 'order', returnExceptions: false });
    const fetch = await coldStart(ofFetch);
    const problem = { status: 502, code: 'NOT_FOUND', id: 99999 };
    expect(await fetch(handedOver(), contextOf('async-1', functionArn))).toMatchObject(problem);
    expect(await claimOf('order')).toMatchObject({ state: 'failed', requestId: 'async-1', problem });
  });

  test('and conflicts with what is there is none either', async () => {
    const handler = await api();
    await postTo(handler, { ids: [1], runId: 'order' });
    await postTo(handler, { ids: [2], runId: 'order' }, { prefer: '' });
    await (await coldStart(ofFetch))(
      { handedOver: { runId: 'order', ids: [1], returnExceptions: true } },
      contextOf('async-0', functionArn),
    );
    const fetch = await coldStart(ofFetch);
    const other = { handedOver: { runId: 'order', ids: [3], returnExceptions: true } };
    expect(await fetch(other, contextOf('async-1', functionArn))).toMatchObject({ code: 'RUN_CONFLICT' });
  });

  test('and fails in the store is thrown, so that Lambda tries again, and the retry takes over', async () => {
    await postTo(await api(), { ids: [1], runId: 'order' });
    const event = handedOver();
    const failing = await coldStart({ ...ofFetch, AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:1' });
    const short = { ...contextOf('async-1', functionArn), getRemainingTimeInMillis: () => 1_500 };
    await expect(failing(event, short)).rejects.toThrow('could not be');
    const fetch = await coldStart(ofFetch);
    expect(await fetch(event, contextOf('async-1', functionArn))).toMatchObject({ replayed: false });
  });

  test('and whose ids are not what they were fails for good, as its claim says', async () => {
    const long = Array.from({ length: 4_000 }, (_, i) => `${'x'.repeat(60)}-${i}`);
    await postTo(await api(), { ids: long, runId: 'long' });
    const [object = ''] = await keys();
    await writeFile(fileOf(object), '[1]');
    const fetch = await coldStart(ofFetch);
    const problem = {
      status: 409,
      code: 'RUN_CONFLICT',
      detail: `s3://results/${object} is not as it was written`,
    };
    expect(await fetch(handedOver(), contextOf('async-1', functionArn))).toMatchObject(problem);
    expect(await claimOf('long')).toMatchObject({ state: 'failed', problem });
  });
});

describe('a redrive with respond-async', () => {
  /** A run of the API whose post 2 is worth another try. */
  async function firstRun(): Promise<void> {
    const handler = await api({ POST_URL: 'http://127.0.0.1:1/{id}', MAX_ATTEMPTS: '1' });
    expect(await postTo(handler, { ids: [1, 2], runId: 'run' }, { prefer: '' })).toMatchObject({
      statusCode: 200,
    });
  }

  test('is accepted under its own id, and done in the function', async () => {
    await firstRun();
    expect(await postTo(await api(), { redrive: 'run' })).toStrictEqual(accepted('run.redrive-1'));
    expect(aws.invocations).toMatchObject([
      { event: { handedOver: { runId: 'run.redrive-1', redrive: 'run', caller } } },
    ]);
    expect(await postTo(await api(), { redrive: 'run' })).toStrictEqual(accepted('run.redrive-1'));
    expect(aws.invocations).toHaveLength(1);
    const fetch = await coldStart(ofFetch);
    expect(await fetch(handedOver(), contextOf('async-1', functionArn))).toMatchObject({
      location: 's3://results/runs/api/run.redrive-1.json',
      summary: { fulfilled: 2 },
    });
    expect((await stored('runs/api/run.redrive-1.json')).run).toMatchObject({
      trigger: 'api',
      requestId: 'async-1',
      redriveOf: 'run',
    });
    // Nothing is left to be fetched again.
    expect(await postTo(await api(), { redrive: 'run' })).toStrictEqual(accepted('run.redrive-1'));
    expect(aws.invocations).toHaveLength(1);
  });

  test('that somebody else has done by then is not followed by another', async () => {
    await firstRun();
    await postTo(await api(), { redrive: 'run' });
    const handler = await coldStart({ ...ofFetch, POST_URL: 'http://127.0.0.1:1/{id}', MAX_ATTEMPTS: '1' });
    await handler(handedOver(), contextOf('async-1', functionArn));
    expect(await handler(handedOver(), contextOf('async-2', functionArn))).toMatchObject({
      runId: 'run.redrive-1',
      replayed: true,
    });
    expect(await keys()).not.toContain('runs/api/run.redrive-2.json');
  });

  test('of more ids than ASYNC_MAX_IDS is refused', async () => {
    await firstRun();
    expect(await postTo(await api({ ASYNC_MAX_IDS: '1' }), { redrive: 'run' })).toMatchObject({
      statusCode: 413,
      body: { code: 'TOO_LARGE' },
    });
  });
});

describe('a run of the state machine', () => {
  const many = { ids: [{ from: 1, to: 6_000 }], runId: 'many.2026' };
  const task = (name: string) =>
    coldStart(
      {
        ...ofFetch,
        ASYNC_TASK_FUNCTION: taskArn,
        ...(name === 'plan' && { MAX_IDS: '1000000', POST_IDS: '1' }),
      },
      name,
    );
  const taskContext = () => contextOf(undefined, taskArn);
  /** What Step Functions gives to `plan`. */
  const started = () => {
    const [[name, input] = expect.fail('No execution was started')] = [...aws.executions].slice(-1);
    return { input: JSON.parse(input), execution: name };
  };

  test('is started under a name of its own', async () => {
    expect(await postTo(await api(), many)).toStrictEqual(accepted('many.2026'));
    expect([...aws.executions]).toStrictEqual([
      [
        expect.stringMatching(/^many-2026-[0-9a-f]{32}$/),
        '{"runId":"many.2026","ids":[{"from":1,"to":6000}]}',
      ],
    ]);
    const claim = await claimOf('many.2026');
    expect(claimFaults(claim)).toStrictEqual([]);
    expect(claim).toMatchObject({ state: 'accepted', requested: 6_000 });
    expect(await postTo(await api(), many)).toStrictEqual(accepted('many.2026'));
    expect(aws.requests).toBe(1);
  });

  test('is done under the prefix of the API, in functions that the machine invokes by their aliases', async () => {
    await postTo(await api(), many);
    const plan = await task('plan');
    expect(await plan(started(), taskContext())).toMatchObject({
      key: 'runs/api/plans/many.2026.jsonl',
      parts: 2,
    });
    const fetch = await task('fetch');
    const lines = (await readFile(fileOf('runs/api/plans/many.2026.jsonl'), 'utf8')).trim().split('\n');
    for (const line of lines) {
      const { firstIndex: _, ...part } = JSON.parse(line);
      await fetch(part, taskContext());
    }
    expect((await stored('runs/api/many.2026.part-000001.json')).run).toMatchObject({ trigger: 'api' });
    const conclude = await task('conclude');
    expect(await conclude({ runId: 'many.2026' }, taskContext())).toMatchObject({
      location: 's3://results/runs/api/many.2026.manifest.json',
      summary: { requested: 6_000 },
    });
    expect((await keys()).filter((key) => !key.startsWith('runs/api/'))).toStrictEqual([]);
    expect(await postTo(await api(), many)).toStrictEqual(accepted('many.2026'));
    expect(aws.requests).toBe(1);
    expect(await postTo(await api(), { ...many, ids: [{ from: 2, to: 6_001 }] })).toMatchObject({
      statusCode: 409,
    });
  });

  test('has its ids in an object where they are long', async () => {
    const long = Array.from({ length: 6_000 }, (_, i) => `${'x'.repeat(60)}-${i}`);
    await postTo(await api(), { ids: long, runId: 'long' });
    expect(started().input).toStrictEqual({ runId: 'long', ids: { sha256: expect.any(String) } });
    const plan = await task('plan');
    expect(await plan(started(), taskContext())).toMatchObject({ requested: 6_000 });
    // To others, there are no such ids.
    await expect(plan(started(), contextOf())).rejects.toThrow('Expected `ids` to be an array of ids');
  });

  test('has a manifest', async () => {
    await writeFile(join(home, lists, 'ids.jsonl'), '1\n2\n');
    const request = { manifest: 's3://lists/ids.jsonl', runId: 'listed' };
    expect(await postTo(await api(), request)).toStrictEqual(accepted('listed'));
    expect(started().input).toStrictEqual({ runId: 'listed', manifest: 's3://lists/ids.jsonl' });
    const plan = await task('plan');
    expect(await plan(started(), taskContext())).toMatchObject({ requested: 2 });
    expect(await postTo(await api(), { ...request, manifest: 's3://lists/others.jsonl' })).toMatchObject({
      statusCode: 409,
    });
  });

  test('that cannot be planned has failed, as its claim says, and may be started again', async () => {
    const request = { manifest: 's3://lists/missing.jsonl', runId: 'listed' };
    await postTo(await api(), request);
    const { execution: first } = started();
    const plan = await task('plan');
    await expect(plan(started(), taskContext())).rejects.toThrow('to be an object in S3');
    expect(await claimOf('listed')).toMatchObject({ state: 'failed', problem: { code: 'BAD_INPUT' } });
    aws.ended.add(first);
    expect(await postTo(await api(), request)).toStrictEqual(accepted('listed'));
    expect([...aws.executions.keys()]).toStrictEqual([first, `${first}-2`]);
  });

  test('that no claim was made for fails as any other', async () => {
    const plan = await task('plan');
    const event = { input: { runId: 'x', manifest: 's3://lists/missing.jsonl' }, execution: 'x' };
    await expect(plan(event, taskContext())).rejects.toThrow('to be an object in S3');
    await expect(plan({ input: 7, execution: 'x' }, taskContext())).rejects.toThrow('Expected `input` to be');
    expect(await keys()).toStrictEqual([]);
  });

  test('cannot end with its first failure, nor have a name without room for parts', async () => {
    const handler = await api();
    expect(await postTo(handler, { ...many, returnExceptions: false })).toMatchObject({
      statusCode: 400,
      body: {
        detail: 'Expected `body.returnExceptions` to be true of a run that is done in parts, got false',
      },
    });
    expect(await postTo(handler, { ...many, runId: 'x'.repeat(104) })).toMatchObject({
      statusCode: 400,
      body: { detail: expect.stringContaining('at most 103 characters long') },
    });
    expect(await keys()).toStrictEqual([]);
  });

  test('cannot have the id of one that was done at once', async () => {
    const handler = await api();
    await postTo(handler, { ids: [1], runId: 'many.2026' }, { prefer: '' });
    await rm(fileOf('runs/api/many.2026.progress.json'));
    expect(await postTo(handler, many)).toMatchObject({
      statusCode: 409,
      body: { detail: 'The runId many.2026 names a run that was not done in parts' },
    });
  });

  test('is 503 where Step Functions refuses it, or has had too many of it', async () => {
    vi.spyOn(console, 'error').mockReturnValue();
    aws.refusals = [{ status: 400, name: 'StateMachineDoesNotExist' }];
    const handler = await api();
    expect(await postTo(handler, many)).toMatchObject({
      statusCode: 503,
      body: {
        code: 'HANDOVER_FAILED',
        detail: 'The run could not be handed over: Step Functions gave StateMachineDoesNotExist',
      },
    });
    aws.refusals = [{ status: 400, name: 'ExecutionAlreadyExists' }];
    expect(await postTo(handler, many)).toMatchObject({
      statusCode: 503,
      body: { detail: 'The run many.2026 has had 20 executions' },
    });
    expect(await claimOf('many.2026')).toMatchObject({ state: 'failed', beatAt: anyTime });
  });
});
