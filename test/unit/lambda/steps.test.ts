import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type S3Store, startS3Store } from '../../../local/world/s3.ts';
import { captureWrites } from '../../support/captured-writes.ts';
import { accessDenied, type MisbehavingS3, startMisbehavingS3 } from '../../support/misbehaving-s3.ts';

let real: S3Store;
let s3: MisbehavingS3;
let written: string[];

beforeAll(async () => {
  real = await startS3Store({ buckets: ['results', 'lists'] });
  s3 = await startMisbehavingS3(real.endpoint);
});
afterAll(async () => {
  await s3.stop();
  await real.close();
});
beforeEach(() => {
  const settings = {
    ...real.environment,
    AWS_ENDPOINT_URL_S3: s3.endpoint,
    RESULTS_BUCKET: 'results',
    POST_URL: 'https://posts.example/{id}',
    MAX_IDS: '1000',
    ...Object.fromEntries(
      ['POWERTOOLS_DEV', 'POWERTOOLS_LOG_LEVEL', 'POWERTOOLS_METRICS_DISABLED'].map((name) => [
        name,
        undefined,
      ]),
    ),
  };
  for (const [name, value] of Object.entries(settings)) vi.stubEnv(name, value);
  written = captureWrites();
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  vi.resetModules();
  s3.behave();
});

let requests = 0;

function refuseAll(): void {
  for (const operation of ['GetObject', 'HeadObject', 'PutObject'] as const)
    s3.always(operation, accessDenied);
}

/** Invokes a function as Lambda does, in an environment of its own. */
async function invoke(name: 'fetch' | 'plan' | 'conclude', event: unknown): Promise<unknown> {
  const { handler } = await import(`../../../src/lambda/${name}.ts`);
  return handler(event, { awsRequestId: `request-${++requests}`, getRemainingTimeInMillis: () => 20_000 });
}

/** The lines since the last call, but for what stands in every one; of those with metrics, these. */
function takeLines(): unknown[] {
  return written.splice(0).map((text) => {
    const { timestamp: _at, service: _service, sampling_rate: _rate, _aws, ...line } = JSON.parse(text);
    return line;
  });
}

const anyDuration = expect.toSatisfy((ms) => Number.isInteger(ms) && ms >= 0);
const requestId = expect.stringMatching(/^request-\d+$/);
const denied = { name: 'StoreError', code: 'STORE_FAILED', message: expect.stringContaining('AccessDenied') };
const counted = (code: string) => [{ RunsFailed: 1 }, { RunsFailed: 1, code }];

describe('plan and conclude write the lines that fetch does:', () => {
  test('one at the start, and one at the end, with counts', async () => {
    const labels = { runId: 'nightly', requestId };
    await invoke('plan', { input: { ids: [1, 2, 3], partSize: 2 }, execution: 'nightly' });
    expect(takeLines()).toStrictEqual([
      { level: 'INFO', message: 'Planning started', ...labels, kind: 'ids', partSize: 2 },
      {
        level: 'INFO',
        message: 'Planning ended',
        ...labels,
        location: 's3://results/runs/plans/nightly.jsonl',
        redrive: false,
        parts: 2,
        requested: 3,
        partsInFlight: 2,
        toleratedFailurePercentage: 100,
        durationMs: anyDuration,
      },
    ]);
    await invoke('conclude', { runId: 'nightly' });
    expect(takeLines()).toStrictEqual([
      { level: 'INFO', message: 'Concluding started', ...labels },
      {
        level: 'INFO',
        message: 'Concluding ended',
        ...labels,
        location: 's3://results/runs/nightly.manifest.json',
        requested: 3,
        fulfilled: 0,
        rejected: 0,
        failed: 3,
        attempts: 0,
        complete: false,
        parts: { total: 2, stored: 0, failed: 2, incomplete: 0 },
        latencyMs: { p50: null, p90: null, p99: null, max: null },
        learned: { perSecond: null, inFlight: null, told: null },
        byCode: {},
        retryable: 0,
        durationMs: anyDuration,
      },
    ]);
  });

  test.each([
    ['plan', 'Planning', { input: { ids: [1] }, execution: 'denied' }, { kind: 'ids', partSize: 5_000 }],
    ['conclude', 'Concluding', { runId: 'denied' }, {}],
  ] as const)('%s, one with the error of what fails, which is counted', async (name, step, event, start) => {
    refuseAll();
    await expect(invoke(name, event)).rejects.toThrow('AccessDenied');
    const labels = { runId: 'denied', requestId };
    expect(takeLines()).toStrictEqual([
      { level: 'INFO', message: `${step} started`, ...labels, ...start },
      { level: 'ERROR', message: `${step} failed`, ...labels, durationMs: anyDuration, error: denied },
      ...counted('STORE_FAILED'),
    ]);
  });

  test.each([
    [
      'plan',
      'Planning',
      { input: { redrive: 'nowhere' }, execution: 'x' },
      { kind: 'redrive', partSize: 5_000 },
    ],
    ['conclude', 'Concluding', { runId: 'nowhere' }, {}],
  ] as const)('%s, none but that of the refusal for what is refused', async (name, step, event, start) => {
    await expect(invoke(name, event)).rejects.toThrow(/Expected .*nowhere/);
    expect(takeLines()).toMatchObject([
      { message: `${step} started`, runId: 'nowhere', ...start },
      { level: 'WARN', message: 'Invocation refused', requestId, code: 'BAD_INPUT' },
      { RequestsRefused: 1, code: 'BAD_INPUT' },
    ]);
  });
});

describe('an invocation of fetch that fails before there is a run', () => {
  const body = JSON.stringify({ manifest: 's3://lists/posts.json' });
  const http = {
    version: '2.0',
    rawPath: '/batches',
    headers: {},
    requestContext: { http: { method: 'POST' } },
    body,
  };

  test.each([
    ['direct', JSON.parse(body)],
    ['api', { ...http, routeKey: 'POST /batches', isBase64Encoded: false, rawQueryString: '' }],
  ])('is logged and counted: %s', async (_trigger, event) => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    refuseAll();
    await invoke('fetch', event).then(
      (reply) => expect(reply).toMatchObject({ statusCode: 503 }),
      (error) => expect(error).toMatchObject({ code: 'STORE_FAILED' }),
    );
    expect(takeLines()).toStrictEqual([
      { level: 'ERROR', message: 'Invocation failed', requestId, error: denied },
      ...counted('STORE_FAILED'),
    ]);
  });

  test('is counted once where there is a run', async () => {
    refuseAll();
    await expect(invoke('fetch', { ids: [1], runId: 'denied' })).rejects.toThrow('AccessDenied');
    const [, failed, ...metrics] = takeLines();
    expect(failed).toMatchObject({ level: 'ERROR', message: 'Run failed', runId: 'denied', error: denied });
    expect(metrics).toStrictEqual(counted('STORE_FAILED'));
  });
});
