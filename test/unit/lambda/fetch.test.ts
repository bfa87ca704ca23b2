import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Context } from 'aws-lambda';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { startParameterStore } from '../../../local/world/parameters.ts';
import { type PostsStub, startPostsStub } from '../../../local/world/posts.ts';
import { type S3Store, startS3Store } from '../../../local/world/s3.ts';
import { hashIds } from '../../../src/batch/ids.ts';
import type { DirectReply } from '../../../src/lambda/events/reply.ts';
import { apiFaults } from '../../support/api-description.ts';
import { lessonReply } from '../../support/lesson-reply.ts';
import { quiet, watch } from '../../support/manual-mapper.ts';
import {
  accessDenied,
  hold,
  internalError,
  type MisbehavingS3,
  noSuchBucket,
  startMisbehavingS3,
} from '../../support/misbehaving-s3.ts';
import { httpResponse, startMisbehavingServer } from '../../support/misbehaving-server.ts';
import { sampleEvent } from '../../support/sample-events.ts';

const bucket = 'results';

let stub: PostsStub;
let real: S3Store;
let s3: MisbehavingS3;
let requests = 0;

beforeAll(async () => {
  stub = await startPostsStub({ latencyMs: () => 0 });
  real = await startS3Store({ buckets: [bucket] });
  s3 = await startMisbehavingS3(real.endpoint);
});
afterAll(async () => {
  await stub.close();
  await s3.stop();
  await real.close();
});
beforeEach(() => {
  // No one waits for the SDK's retries.
  vi.spyOn(Math, 'random').mockReturnValue(0);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  s3.behave();
});

const good = () => ({
  RESULTS_BUCKET: bucket,
  POST_URL: `${stub.url}/posts/{id}`,
  AWS_ENDPOINT_URL_S3: s3.endpoint,
  AWS_REGION: 'us-east-1',
  AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
  AWS_SECRET_ACCESS_KEY: 'the-secret',
});

/** The handler of a cold start in this environment. */
async function coldStart(env: Readonly<Record<string, string | undefined>> = good()) {
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  vi.resetModules();
  const { handler } = await import('../../../src/lambda/fetch.ts');
  return async (event: unknown, context: Context) => {
    const reply = await handler(event, context);
    expect(apiFaults(event, reply)).toStrictEqual([]);
    return reply;
  };
}

/** All of a context that the handler uses. */
function contextOf(awsRequestId = `request-${++requests}`, remainingMs = 30_000): Context {
  return { awsRequestId, getRemainingTimeInMillis: () => remainingMs } as Context;
}

function logged() {
  return vi.spyOn(console, 'error').mockImplementation(() => {});
}

/** A problem, its body parsed. */
async function problemOf(reply: Promise<unknown>) {
  const { body, ...rest } = (await reply) as { statusCode: number; body: string };
  return { ...rest, body: JSON.parse(body) };
}

function problem(status: number, title: string, detail: string, code: string) {
  return {
    statusCode: status,
    headers: {
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    },
    isBase64Encoded: false,
    body: { type: 'about:blank', title, status, detail, code },
  };
}

describe('an invocation', () => {
  test('fetches the posts, stores the document, and says where', async () => {
    const handler = await coldStart();
    expect(await handler({ ids: [1, 99999, 3] }, contextOf('lesson'))).toStrictEqual(
      lessonReply('lesson', 's3://results/runs/lesson.json'),
    );
    expect(s3.operations).toStrictEqual(['GetObject bytes=-65536', 'PutObject']);
  });

  test('over HTTP has the document in its reply', async () => {
    const handler = await coldStart();
    const { body, ...reply } = (await handler(sampleEvent('http-api-get'), contextOf('http'))) as {
      body: string;
    };
    expect(reply).toStrictEqual({
      statusCode: 200,
      headers: {
        'content-type': 'application/json',
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
      },
      isBase64Encoded: false,
    });
    const { location, replayed, results } = JSON.parse(body);
    expect([location, replayed, results.map(({ id }: { id: number }) => id)]).toStrictEqual([
      's3://results/runs/http.json',
      false,
      [1, 2, 7, 8, 9],
    ]);
  });

  test('has what is left of its time, less the reserve', async () => {
    const handler = await coldStart();
    expect(await handler({ ids: [1] }, contextOf('late', 3_000))).toMatchObject({
      errors: { byCode: { DEADLINE: 1 }, retryableIds: [1] },
      summary: { attempts: 0, complete: false },
    });
  });

  test('that is warm does not read the environment again', async () => {
    const handler = await coldStart();
    await handler({ ids: [] }, contextOf());
    vi.stubEnv('RESULTS_BUCKET', undefined);
    vi.stubEnv('AWS_ENDPOINT_URL_S3', 'http://127.0.0.1:1');
    expect(await handler({ ids: [1] }, contextOf('warm'))).toMatchObject({
      location: 's3://results/runs/warm.json',
      summary: { fulfilled: 1 },
    });
  });
});

describe('what was learned of the origin', () => {
  const share = () => ({
    partsInFlight: 1,
    learned: { perSecond: null, inFlight: 40, told: null, at: new Date().toISOString() },
  });
  const inFlightOf = async (reply: Promise<unknown>) =>
    ((await reply) as DirectReply).summary.concurrency.min;

  test('is where the next run of a warm function starts from', async () => {
    let refusals = 0;
    const origin = await startMisbehavingServer(
      ({ socket }) => void socket.write(++refusals <= 10 ? httpResponse(503, '') : httpResponse(200, '[1]')),
    );
    try {
      const handler = await coldStart({ ...good(), POST_URL: `${origin.origin}/posts/{id}` });
      const first = (await handler({ ids: [{ from: 1, to: 20 }] }, contextOf())) as DirectReply;
      const { inFlight } = first.summary.learned;
      expect(inFlight).toBeGreaterThan(0);
      const start = Math.max(1, Math.floor(Number(inFlight) / 2));
      expect(await inFlightOf(handler({ ids: [1] }, contextOf()))).toBe(start);
      expect(await inFlightOf(handler({ ids: [2] }, contextOf()))).toBe(start);
    } finally {
      await origin.stop();
    }
  });

  test('is where a part starts from, by its event', async () => {
    const handler = await coldStart();
    const part = { part: 0, ids: [1], runId: `${contextOf().awsRequestId}.part-000000` };
    expect(await inFlightOf(handler({ ...part, ...share() }, contextOf()))).toBe(20);
    expect(await inFlightOf(handler({ ids: [2] }, contextOf()))).toBe(10);
  });

  test('is not used with a fixed concurrency', async () => {
    const handler = await coldStart({ ...good(), ADAPTIVE: 'off' });
    const part = { part: 0, ids: [1], runId: `${contextOf().awsRequestId}.part-000000` };
    expect(await inFlightOf(handler({ ...part, ...share() }, contextOf()))).toBe(50);
  });
});

describe('a run that is in progress elsewhere', () => {
  const claim = {
    version: 1,
    runId: 'told-twice',
    idsSha256: hashIds([1, 2]),
    returnExceptions: true,
    requestId: 'the-first',
    state: 'running',
    startedAt: '2026-11-23T06:00:00.000Z',
    beatAt: '2026-11-23T06:00:15.000Z',
    until: '2999-11-23T06:01:15.000Z',
    requested: 2,
    done: 1,
    fulfilled: 1,
    rejected: 0,
    perSecond: 0.1,
    etaSeconds: 10,
  };
  const form = { ids: [1, 2], runId: 'told-twice' };
  const claimed = async () => {
    const handler = await coldStart();
    const body = JSON.stringify(claim);
    await fetch(`${real.endpoint}/${bucket}/runs/told-twice.progress.json`, { method: 'PUT', body });
    return handler;
  };

  test('is no error of a direct or scheduled invocation, which hears how far it is', async () => {
    const handler = await claimed();
    const requests = stub.requests();
    const reply = {
      runId: 'told-twice',
      location: 's3://results/runs/told-twice.json',
      state: 'running',
      startedAt: claim.startedAt,
      progress: { requested: 2, done: 1, fulfilled: 1, rejected: 0, perSecond: 0.1, etaSeconds: 10 },
    };
    expect(await handler(form, contextOf())).toStrictEqual(reply);
    const envelope = sampleEvent<object>('eventbridge-rule');
    expect(await handler({ ...envelope, detail: form }, contextOf())).toStrictEqual(reply);
    expect(stub.requests()).toBe(requests);
  });

  test('is a conflict over HTTP, which the log has no error of', async () => {
    const log = logged();
    const handler = await claimed();
    const event = { ...sampleEvent<object>('http-api-post'), body: JSON.stringify(form) };
    const expected = problem(409, 'Conflict', 'The run told-twice is running', 'RUN_IN_PROGRESS');
    expect(await problemOf(handler(event, contextOf()))).toStrictEqual({
      ...expected,
      headers: { ...expected.headers, 'retry-after': '1' },
    });
    expect(log).not.toHaveBeenCalled();
  });

  test('is a failure of the store where it could not be claimed', async () => {
    s3.always('PutClaim', accessDenied);
    const handler = await coldStart();
    const requests = stub.requests();
    await expect(handler({ ids: [1], runId: 'unclaimed' }, contextOf())).rejects.toMatchObject({
      code: 'STORE_FAILED',
      message: 's3://results/runs/unclaimed.progress.json could not be written: AccessDenied',
    });
    expect(stub.requests()).toBe(requests);
  });
});

describe('an event that is nested too deep', () => {
  const deep = (levels: number) => JSON.parse(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`);
  const message = 'Expected `event` to be nested at most 64 deep, got more';

  test.each([64, 4_481, 100_000])('is bad input wherever it is: %i levels below', async (levels) => {
    const handler = await coldStart();
    const envelope = sampleEvent<object>('eventbridge-rule');
    for (const event of [
      { ids: deep(levels) },
      { ids: [deep(levels)] },
      { ids: [1], runId: deep(levels) },
      { ids: [1], other: deep(levels) },
      { ids: [1], AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID: deep(levels) },
      { ...envelope, detail: deep(levels) },
      { ...envelope, resources: deep(levels) },
    ])
      await expect(handler(event, contextOf())).rejects.toMatchObject({ code: 'BAD_INPUT', message });
    expect([s3.operations, s3.claimOperations]).toStrictEqual([[], []]);
  });

  test('is a bad request over HTTP', async () => {
    const handler = await coldStart();
    const event = { ...sampleEvent<object>('http-api-get'), stageVariables: deep(100) };
    expect(await problemOf(handler(event, contextOf()))).toStrictEqual(
      problem(400, 'Bad Request', message, 'BAD_INPUT'),
    );
  });

  test('and of no known kind is shown no deeper than its keys', async () => {
    const handler = await coldStart();
    await expect(handler({ Records: [deep(4_481)], a: deep(4_481) }, contextOf())).rejects.toThrow(
      / got \{"Records":\[…\],"a":\{…\}\}$/,
    );
  });
});

test('a run over HTTP says in the log who asked for it', async () => {
  const lines: string[] = [];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => lines.push(String(text)) > 0);
  const handler = await coldStart({ ...good(), POWERTOOLS_LOG_LEVEL: 'INFO' });
  await handler(sampleEvent('http-api-get'), contextOf('asked'));
  await handler({ ids: [] }, contextOf('not-asked'));
  vi.mocked(process.stdout.write).mockRestore();
  const started = lines
    .flatMap((text) => text.split('\n'))
    .filter((line) => line.includes('"Run started"'))
    .map((line) => JSON.parse(line));
  expect(started.map(({ runId, caller }) => [runId, caller])).toStrictEqual([
    ['asked', 'arn:aws:sts::123456789012:assumed-role/posts-reader/reader'],
    ['not-asked', undefined],
  ]);
});

describe('a redrive', () => {
  test.each(['json', 'ndjson', 'ndjson.gz'])(
    'of a run that met a failing origin makes it whole (%s)',
    async (OUTPUT) => {
      let isUp = false;
      const origin = await startMisbehavingServer(({ socket, path }) => {
        const isFailing = !isUp && path === '/posts/2';
        const id = path.slice(path.lastIndexOf('/') + 1);
        socket.write(isFailing ? httpResponse(500, '') : httpResponse(200, `{"id":${id}}`));
      });
      try {
        const POST_URL = `${origin.origin}/posts/{id}`;
        const handler = await coldStart({ ...good(), POST_URL, MAX_ATTEMPTS: '1', OUTPUT });
        const runId = `redriven-${OUTPUT}`;
        expect(await handler({ ids: [1, 2, 3], runId }, contextOf())).toMatchObject({
          errors: { byCode: { HTTP_ERROR: 1 }, retryableIds: [2] },
        });
        isUp = true;
        expect(await handler({ redrive: runId }, contextOf())).toMatchObject({
          runId: `${runId}.redrive-1`,
          location: `s3://results/runs/${runId}.redrive-1.json`,
          replayed: false,
          errors: { total: 0, retryableIds: [] },
          summary: { requested: 3, fulfilled: 3, attempts: 3 },
        });
      } finally {
        await origin.stop();
      }
    },
  );

  test('of a run that is not there is bad input', async () => {
    const handler = await coldStart();
    await expect(handler({ redrive: 'no-such-run' }, contextOf())).rejects.toMatchObject({
      code: 'BAD_INPUT',
      message:
        'Expected `redrive` to name a run, got "no-such-run", of which there is no s3://results/runs/no-such-run.json',
    });
  });
});

describe('what goes wrong inside', () => {
  test('a bad environment throws one error that names each variable', async () => {
    const handler = await coldStart({ ...good(), RESULTS_BUCKET: undefined, CONCURRENCY: '0' });
    await expect(handler({ ids: [1] }, contextOf())).rejects.toMatchObject({
      name: 'ConfigError',
      message: expect.stringMatching(/`RESULTS_BUCKET`.*`CONCURRENCY`/),
    });
  });

  test('over HTTP it is a 500 that tells nothing of it, and the log has the error', async () => {
    const log = logged();
    const handler = await coldStart({ ...good(), RESULTS_BUCKET: undefined });
    expect(await problemOf(handler(sampleEvent('http-api-get'), contextOf()))).toStrictEqual(
      problem(500, 'Internal Server Error', 'The function failed; its log says why', 'BAD_CONFIG'),
    );
    expect(log.mock.calls).toStrictEqual([[expect.objectContaining({ name: 'ConfigError' })]]);
  });

  test('an environment that was put right is taken at the next invocation', async () => {
    const handler = await coldStart({ ...good(), RESULTS_BUCKET: undefined });
    await expect(handler({ ids: [1] }, contextOf())).rejects.toMatchObject({ name: 'ConfigError' });
    vi.stubEnv('RESULTS_BUCKET', bucket);
    expect(await handler({ ids: [1] }, contextOf())).toMatchObject({ summary: { fulfilled: 1 } });
  });

  test('an event of no known kind is thrown back, even before the environment is read', async () => {
    const handler = await coldStart({ ...good(), RESULTS_BUCKET: undefined });
    await expect(handler(sampleEvent('bad/sqs'), contextOf())).rejects.toMatchObject({
      name: 'BadInputError',
      message: expect.stringMatching(/^Expected `event` to be a batch/),
    });
  });

  test('bad input over HTTP is the business of the caller, and not of the log', async () => {
    const log = logged();
    const handler = await coldStart();
    const reply = await problemOf(handler(sampleEvent('bad/http-api-query-none'), contextOf()));
    expect([reply.statusCode, log.mock.calls]).toStrictEqual([400, []]);
  });
});

describe('an S3 that fails', () => {
  test.each([
    ['that refuses to be read', 'GetObject', accessDenied, 'read: AccessDenied'],
    ['that refuses to be written', 'PutObject', accessDenied, 'written: AccessDenied'],
    ['without the bucket', 'GetObject', noSuchBucket, 'read: NoSuchBucket'],
    ['that has lost the bucket', 'PutObject', noSuchBucket, 'written: NoSuchBucket'],
    ['with an error inside', 'PutObject', internalError, 'written: InternalError'],
  ] as const)(
    '%s is a StoreError, and over HTTP a 503 that has no policy text',
    async (_, operation, fault, why) => {
      const log = logged();
      s3.always(operation, fault);
      const handler = await coldStart();

      const message = (runId: string): string => `s3://results/runs/${runId}.json could not be ${why}`;
      // What may pass is tried as long as there is time; what is final ends at once, however slow the machine is.
      const remainingMs = fault === internalError ? 2_000 : 20_000;
      const direct = contextOf(undefined, remainingMs);
      await expect(handler({ ids: [1] }, direct)).rejects.toMatchObject({
        name: 'StoreError',
        message: message(direct.awsRequestId),
      });
      expect(log).not.toHaveBeenCalled();

      const http = contextOf(undefined, remainingMs);
      const reply = await problemOf(handler(sampleEvent('http-api-get'), http));
      expect(reply).toStrictEqual(
        problem(503, 'Service Unavailable', message(http.awsRequestId), 'STORE_FAILED'),
      );
      expect(JSON.stringify(reply)).not.toMatch(/arn:|policy|AKID|secret|\.js\b|\.ts\b/);
      expect(log).toHaveBeenCalledTimes(1);
    },
  );

  test('that is not there at all is one, too', async () => {
    const log = logged();
    const brief = await startMisbehavingS3(real.endpoint);
    await brief.stop();
    const handler = await coldStart({ ...good(), AWS_ENDPOINT_URL_S3: brief.endpoint });
    const http = contextOf(undefined, 1_000);
    expect(await problemOf(handler(sampleEvent('http-api-get'), http))).toStrictEqual(
      problem(
        503,
        'Service Unavailable',
        `s3://results/runs/${http.awsRequestId}.json could not be read: ECONNREFUSED`,
        'STORE_FAILED',
      ),
    );
    expect(log).toHaveBeenCalledTimes(1);
  });

  test('that does not answer is one before the time of the function runs out', async () => {
    logged();
    s3.always('GetObject', hold(new Promise(() => {})));
    const handler = await coldStart();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const handled = handler(sampleEvent('http-api-get'), contextOf('held', 10_000));
    const state = watch(handled);
    await s3.asked('GetObject');
    vi.advanceTimersByTime(9_749);
    await quiet();
    expect(state.settled).toBe(false);
    vi.advanceTimersByTime(1);
    expect(await problemOf(handled)).toStrictEqual(
      problem(
        503,
        'Service Unavailable',
        "s3://results/runs/held.json could not be written before the function's time ran out",
        'STORE_FAILED',
      ),
    );
  });
});

describe('headers for the origin', () => {
  test('that SSM cannot give now make the invocation one to try again', async () => {
    const log = logged();
    const handler = await coldStart({
      ...good(),
      POST_HEADERS_PARAMETER: '/team/headers',
      AWS_ENDPOINT_URL_SSM: 'http://127.0.0.1:1',
    });
    await expect(handler({ ids: [1] }, contextOf())).rejects.toMatchObject({
      name: 'ConfigUnavailableError',
      message:
        'Expected the SSM parameter /team/headers (POST_HEADERS_PARAMETER) to be given, got Error ECONNREFUSED',
    });
    expect(log).not.toHaveBeenCalled();
    expect(await problemOf(handler(sampleEvent('http-api-get'), contextOf()))).toStrictEqual(
      problem(
        503,
        'Service Unavailable',
        'The function cannot read its configuration now',
        'CONFIG_UNAVAILABLE',
      ),
    );
    expect(log).toHaveBeenCalledTimes(1);
  });

  test('come from SSM once a cold start, and one that fails is tried again', async () => {
    logged();
    const directory = await mkdtemp(join(tmpdir(), 'batch-fetcher-parameters-'));
    const ssm = await startParameterStore({ directory });
    const origin = await startMisbehavingServer(({ socket }) => void socket.write(httpResponse(200, '[1]')));
    const handler = await coldStart({
      ...good(),
      POST_URL: `${origin.origin}/posts/{id}`,
      POST_HEADERS_PARAMETER: '/team/headers',
      AWS_ENDPOINT_URL_SSM: ssm.endpoint,
    });
    try {
      await expect(handler({ ids: [1] }, contextOf())).rejects.toThrow(
        expect.objectContaining({ code: 'BAD_CONFIG', message: expect.stringMatching(/ParameterNotFound$/) }),
      );
      await mkdir(join(directory, 'team'));
      await writeFile(join(directory, 'team/headers.json'), '{"Authorization":"Bearer one"}');
      await handler({ ids: [1] }, contextOf());
      await writeFile(join(directory, 'team/headers.json'), '{"Authorization":"Bearer two"}');
      await handler({ ids: [2] }, contextOf());
      expect(origin.requests.map(({ head }) => /^authorization: (.*)$/m.exec(head)?.[1])).toStrictEqual([
        'Bearer one',
        'Bearer one',
      ]);
    } finally {
      await ssm.close();
      await origin.stop();
      await rm(directory, { recursive: true });
    }
  });
});
