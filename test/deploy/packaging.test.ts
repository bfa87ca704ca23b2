import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { everyParameter } from '../../scripts/template/check-template.ts';
import { applyConditions } from '../../scripts/template/conditions.ts';
import { at, type Template } from '../../scripts/template/template.ts';
import { copyService, type ServiceCopy } from './packaging.ts';

let service: ServiceCopy;

beforeAll(async () => {
  service = await copyService();
});

afterAll(() => service[Symbol.asyncDispose]());

function variablesOf(template: Template): unknown[] {
  return ['Fetch', 'Api', 'Plan', 'Conclude'].map((name) =>
    at(
      applyConditions(template).Resources[`${name}LambdaFunction`],
      'Properties',
      'Environment',
      'Variables',
    ),
  );
}

/** What only the stack knows. */
const aliasOf = (name: string) => ({
  'Fn::Sub': `arn:\${AWS::Partition}:lambda:\${AWS::Region}:\${AWS::AccountId}:function:batch-fetcher-prod-${name}`,
});
const ofFetch = { ASYNC_FUNCTION: aliasOf('fetch:api'), ASYNC_TASK_FUNCTION: aliasOf('fetch:api-parts') };
const ofApi = { ASYNC_FUNCTION: { Ref: 'FetchApiAlias' }, STATE_MACHINE_ARN: { Ref: 'FetchAtScaleForApi' } };
const ofPlan = { ASYNC_TASK_FUNCTION: aliasOf('plan:api-parts') };
const ofConclude = { ASYNC_TASK_FUNCTION: aliasOf('conclude:api-parts') };

describe('packaging', { timeout: 60_000 }, () => {
  it('builds the function anew, whatever dist/ holds, and where there is none', async () => {
    const handler = join(service.dir, 'dist/handler.js');
    await service.packaged('prod');
    const built = await readFile(handler, 'utf8');
    await writeFile(handler, 'export const handler = () => "stale";\n');
    await service.packaged('prod');
    const rebuilt = await readFile(handler, 'utf8');
    await rm(join(service.dir, 'dist'), { recursive: true });
    await service.packaged('prod');
    expect([rebuilt === built, (await readFile(handler, 'utf8')) === built]).toStrictEqual([true, true]);
  });

  it('gives the functions their variables, and leaves out those without a value', async () => {
    const shared = {
      RESULTS_BUCKET: { Ref: 'ResultsBucket' },
      POST_URL: 'https://jsonplaceholder.typicode.com/posts/{id}',
      CONCURRENCY: '50',
      HEDGE: 'off',
      OUTPUT: 'json',
      REPORT: 'off',
      POWERTOOLS_SERVICE_NAME: 'batch-fetcher',
      POWERTOOLS_METRICS_NAMESPACE: 'BatchFetcher',
      NODE_OPTIONS: '--max-semi-space-size=4',
    };
    const runs = { ...shared, RESULTS_PREFIX: 'runs/', ASYNC_RESULTS_PREFIX: 'runs/api/' };
    expect(variablesOf(await service.packaged('prod'))).toStrictEqual([
      { ...runs, ...ofFetch, POST_IDS: '1-100', MAX_IDS: '100000', WRITE_RESERVE_MS: '15000' },
      {
        ...shared,
        ...ofApi,
        RESULTS_PREFIX: 'runs/api/',
        POST_IDS: '1',
        MAX_IDS: '1000',
        ASYNC_MAX_IDS: '100000',
      },
      { ...runs, ...ofPlan, POST_IDS: '1', MAX_IDS: '1000000000', ORIGIN_CONCURRENCY: '500' },
      { ...runs, ...ofConclude },
    ]);
  });

  it('gives them the value of every parameter that is set', async () => {
    const shared = {
      RESULTS_BUCKET: 'my-results',
      POST_URL: 'https://api.example.com/posts/{id}',
      CONCURRENCY: '20',
      MAX_MANIFEST_BYTES: '100000000',
      MAX_ATTEMPTS: '3',
      ATTEMPT_TIMEOUT_MS: '2000',
      MAX_BODY_BYTES: '65536',
      ADAPTIVE: 'off',
      RATE_LIMIT: '95.5',
      RETRY_BUDGET: '10',
      HEDGE: 'on',
      OUTPUT: 'ndjson.gz',
      REPORT: 'html',
      API_BASE_PATH: '/api/v1',
      AWS_ENDPOINT_URL_S3: 'https://s3.us-east-1.amazonaws.com',
      AWS_REQUEST_CHECKSUM_CALCULATION: 'WHEN_REQUIRED',
      AWS_RESPONSE_CHECKSUM_VALIDATION: 'WHEN_REQUIRED',
      POWERTOOLS_SERVICE_NAME: 'posts',
      POWERTOOLS_METRICS_NAMESPACE: 'Posts',
      POWERTOOLS_METRICS_DISABLED: 'true',
      POWERTOOLS_LOG_LEVEL: 'DEBUG',
      POWERTOOLS_LOGGER_SAMPLE_RATE: '0.1',
      POWERTOOLS_LOGGER_LOG_EVENT: 'true',
      NODE_OPTIONS: '--max-semi-space-size=4',
    };
    const runs = { ...shared, RESULTS_PREFIX: 'posts/', ASYNC_RESULTS_PREFIX: 'posts/api/' };
    const headers = { POST_HEADERS_PARAMETER: '/batch-fetcher/post-headers' };
    expect(variablesOf(await service.packaged('prod', everyParameter))).toStrictEqual([
      { ...runs, ...ofFetch, ...headers, POST_IDS: '1-20', MAX_IDS: '20000', WRITE_RESERVE_MS: '20000' },
      {
        ...shared,
        ...ofApi,
        ...headers,
        RESULTS_PREFIX: 'posts/api/',
        POST_IDS: '1',
        MAX_IDS: '50',
        ASYNC_MAX_IDS: '30000',
        WRITE_RESERVE_MS: '4000',
      },
      { ...runs, ...ofPlan, POST_IDS: '1', MAX_IDS: '5000000', ORIGIN_CONCURRENCY: '200' },
      { ...runs, ...ofConclude },
    ]);
  });

  it.each([
    [{ alarmTopic: 'x' }, 'Expected --param=alarmTopic to be one of resultsBucket, '],
    [
      { schedule: 'daily' },
      'Expected --param=schedule to be rate(…) or cron(…), as EventBridge takes it, got daily',
    ],
    [
      { s3RequestChecksums: 'never' },
      'Expected --param=s3RequestChecksums to be WHEN_SUPPORTED or WHEN_REQUIRED, got never',
    ],
    [{ hedge: 'true' }, 'Expected --param=hedge, `HEDGE`, to be on or off, got "true"'],
    [
      { concurrency: '1000' },
      'Expected --param=concurrency, `CONCURRENCY`, to be an integer from 1 to 500, got "1000"',
    ],
    [
      { postUrl: 'https://api.example.com/posts' },
      'Expected --param=postUrl, `POST_URL`, to be an http(s) URL with {id}',
    ],
    [
      { maxIds: '5' },
      'Expected --param=postIds, `POST_IDS`, to be at most 5 ids, as in 1,2,7-9, got "1-100"',
    ],
    [
      { originConcurrency: '49' },
      'Expected --param=originConcurrency, `ORIGIN_CONCURRENCY`, to be an integer of at least CONCURRENCY, 50, got "49" (of plan)',
    ],
  ] as const)('stops at %o, and says why', async (params, message) => {
    await expect(service.packaged('prod', params, 'refused')).rejects.toThrow(message);
  });
});
