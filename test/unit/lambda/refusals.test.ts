import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  BadInputError,
  badInput,
  ConfigError,
  ConfigUnavailableError,
  RunConflictError,
  TooLargeError,
  UnknownRouteError,
} from '../../../src/base/errors.ts';
import { tellRefusal, tellRefusals } from '../../../src/lambda/refusals.ts';
import { captureWrites } from '../../support/captured-writes.ts';
import { sampleEvent } from '../../support/sample-events.ts';

let written: string[];

beforeEach(() => {
  for (const name of [
    'POWERTOOLS_DEV',
    'POWERTOOLS_LOG_LEVEL',
    'LOG_LEVEL',
    'POWERTOOLS_SERVICE_NAME',
    'POWERTOOLS_METRICS_NAMESPACE',
    'POWERTOOLS_METRICS_DISABLED',
    '_X_AMZN_TRACE_ID',
  ])
    vi.stubEnv(name, undefined);
  written = captureWrites();
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  vi.resetModules();
});

/** The lines since the last call: those of the log, and what the others count. */
function takeLines(): { readonly log: unknown[]; readonly counted: unknown[] } {
  const lines = written.splice(0).map((line) => JSON.parse(line));
  const isMetric = (line: object): boolean => '_aws' in line;
  return {
    log: lines
      .filter((line) => !isMetric(line))
      .map(({ level, message, service, requestId, code, path }) => ({
        level,
        message,
        service,
        requestId,
        code,
        path,
      })),
    counted: lines.filter(isMetric).map(({ _aws, service, code, RequestsRefused }) => {
      const [{ Namespace, Dimensions, Metrics }] = _aws.CloudWatchMetrics;
      return [Namespace, Dimensions, Metrics, service, code, RequestsRefused];
    }),
  };
}

const line = (code: string, path: string | undefined, service = 'batch-fetcher') => ({
  level: 'WARN',
  message: 'Invocation refused',
  service,
  requestId: 'request-1',
  code,
  path,
});

const count = (code: string, service = 'batch-fetcher', namespace = 'BatchFetcher') => [
  namespace,
  [['service', 'code']],
  [{ Name: 'RequestsRefused', Unit: 'Count' }],
  service,
  code,
  1,
];

describe('an invocation that is refused', () => {
  test.each<[error: Error, code: string, path: string | undefined]>([
    [badInput('body.ids[1]', 'an id', 'hunter2'), 'BAD_INPUT', 'body.ids[1]'],
    [badInput('s3://lists/posts.csv line 3', 'an id', 'hunter2'), 'BAD_INPUT', 's3://lists/posts.csv line 3'],
    [
      badInput(`s3://lists/${'x'.repeat(1_000)}.csv`, 'an object', undefined),
      'BAD_INPUT',
      `s3://lists/${'x'.repeat(189)}`,
    ],
    [new BadInputError('Something of hunter2'), 'BAD_INPUT', undefined],
    [new TooLargeError('Expected `ids` to hold at most 10 ids (MAX_IDS), got 11'), 'TOO_LARGE', 'ids'],
    [
      new UnknownRouteError(
        'Expected the path /batches, /batches/{runId} or /batches/{runId}/outcomes, got /hunter2',
      ),
      'UNKNOWN_ROUTE',
      undefined,
    ],
    [
      new ConfigError('Expected `POST_URL` to be …, got "hunter2"; Expected `MAX_IDS` to be …'),
      'BAD_CONFIG',
      'POST_URL',
    ],
  ])('is logged by code and place, and counted, and what came is left out: %s', (error, code, path) => {
    tellRefusal(error, 'request-1');
    expect(written.join('')).not.toContain('hunter2');
    expect(takeLines()).toStrictEqual({ log: [line(code, path)], counted: [count(code)] });
  });

  test('is told of under the names of the environment', () => {
    vi.stubEnv('POWERTOOLS_SERVICE_NAME', ' lessons ');
    vi.stubEnv('POWERTOOLS_METRICS_NAMESPACE', 'School');
    tellRefusal(new BadInputError('m'), 'request-1');
    expect(takeLines()).toStrictEqual({
      log: [line('BAD_INPUT', undefined, 'lessons')],
      counted: [count('BAD_INPUT', 'lessons', 'School')],
    });
  });

  test('is told of as far as the environment lets it, and fails as it does without', async () => {
    vi.stubEnv('POWERTOOLS_LOG_LEVEL', 'SILENT');
    vi.stubEnv('POWERTOOLS_METRICS_DISABLED', 'true');
    tellRefusal(new BadInputError('m'), 'request-1');
    vi.stubEnv('POWERTOOLS_METRICS_DISABLED', 'maybe');
    const error = new ConfigError('Expected `POWERTOOLS_METRICS_DISABLED` to be true or false, got "maybe"');
    await expect(tellRefusals({}, () => Promise.reject(error))).rejects.toBe(error);
    expect(written).toStrictEqual([]);
  });

  test('is not one that failed otherwise, or that did not fail', async () => {
    for (const error of [new RunConflictError('m'), new ConfigUnavailableError('m'), new Error('m'), 'm'])
      await expect(tellRefusals({ awsRequestId: 'r' }, () => Promise.reject(error))).rejects.toBe(error);
    await expect(tellRefusals({ awsRequestId: 'r' }, async () => 7)).resolves.toBe(7);
    expect(written).toStrictEqual([]);
  });
});

describe('each function tells of what it refuses:', () => {
  const context = { awsRequestId: 'request-1', getRemainingTimeInMillis: () => 1_000 };
  const http = sampleEvent<object>('bad/http-api-query-reversed');

  test.each<[name: string, event: unknown, path: string]>([
    ['fetch', { ids: 'all' }, 'ids'],
    ['fetch', [1], 'event'],
    ['fetch', http, 'query.ids[0]'],
    ['fetch', sampleEvent<object>('bad/http-api-list-limit'), 'query.limit'],
    ['plan', { input: { ids: 'all' }, execution: 'run' }, 'ids'],
    ['plan', [1], 'event'],
    ['conclude', { runId: 'a/b' }, 'runId'],
    ['conclude', [1], 'event'],
  ])('%s, of %j', async (name, event, path) => {
    vi.stubEnv('RESULTS_BUCKET', 'results');
    const { handler } = await import(`../../../src/lambda/${name}.ts`);
    await handler(event, context).then(
      ({ statusCode }: { statusCode: number }) => expect(statusCode).toBe(400),
      ({ code }: { code: string }) => expect(code).toBe('BAD_INPUT'),
    );
    expect(takeLines()).toStrictEqual({ log: [line('BAD_INPUT', path)], counted: [count('BAD_INPUT')] });
  });

  test.each<[name: string, event: unknown]>([
    ['fetch', { ids: [1] }],
    ['fetch', http],
    ['plan', { input: { ids: [1] }, execution: 'run' }],
    ['conclude', { runId: 'run' }],
  ])('%s, where its environment is wrong', async (name, event) => {
    vi.stubEnv('RESULTS_BUCKET', undefined);
    vi.spyOn(console, 'error').mockImplementation(() => {});
    const { handler } = await import(`../../../src/lambda/${name}.ts`);
    await handler(event, context).then(
      ({ statusCode }: { statusCode: number }) => expect(statusCode).toBe(500),
      ({ code }: { code: string }) => expect(code).toBe('BAD_CONFIG'),
    );
    expect(takeLines()).toStrictEqual({
      log: [line('BAD_CONFIG', 'RESULTS_BUCKET')],
      counted: [count('BAD_CONFIG')],
    });
  });
});
