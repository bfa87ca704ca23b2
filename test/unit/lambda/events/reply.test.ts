import { describe, expect, test } from 'vitest';
import {
  BadInputError,
  BatchFetcherError,
  ConfigError,
  ConfigUnavailableError,
  IdempotencyKeyReusedError,
  MethodNotAllowedError,
  RunConflictError,
  StoreError,
  TooLargeError,
  UnknownRouteError,
  UnsupportedMediaTypeError,
} from '../../../../src/base/errors.ts';
import { RunInProgressError } from '../../../../src/document/claim.ts';
import { PostError } from '../../../../src/fetch/outcome.ts';
import { type RecognizedEvent, recognizeEvent } from '../../../../src/lambda/events/event.ts';
import type { ApiDialect } from '../../../../src/lambda/events/http-request.ts';
import { maxReplyBytes, replyTo, replyToError } from '../../../../src/lambda/events/reply.ts';
import type { Run } from '../../../../src/run/replay.ts';
import { plainReport } from '../../../support/plain-traffic.ts';
import { sampleEvent } from '../../../support/sample-events.ts';

const direct = recognizeEvent(sampleEvent('direct'));
const schedule = recognizeEvent(sampleEvent('eventbridge-rule'));
const httpApi = recognizeEvent(sampleEvent('http-api-post'));
const restApi = recognizeEvent(sampleEvent('rest-api-post'));
const alb = recognizeEvent(sampleEvent('alb-get'));
const albMultiValue = recognizeEvent(sampleEvent('alb-post'));

const run: Run = {
  runId: 'run-1',
  location: 's3://results/runs/run-1.json',
  replayed: false,
  run: {
    id: 'run-1',
    trigger: 'api',
    requestId: 'request-1',
    startedAt: '2026-11-23T06:00:00.000Z',
    urlTemplate: 'https://example.com/posts/{id}',
    returnExceptions: true,
    requested: 1,
    idsSha256: '80c3cd40fa35f9088b8741bd8be6153de05f661cfeeb4625ffbf5f4a6c3c02c4',
  },
  errors: {
    total: 1,
    byCode: { NOT_FOUND: 1 },
    first: [{ index: 0, id: 1, code: 'NOT_FOUND', message: 'No data for post 1' }],
    retryableIds: [],
  },
  summary: {
    finishedAt: '2026-11-23T06:00:00.040Z',
    durationMs: 40,
    requested: 1,
    fulfilled: 0,
    rejected: 1,
    attempts: 1,
    complete: true,
    latencyMs: { p50: 38, p90: 38, p99: 38, max: 38 },
    ...plainReport(1, 10, 10),
  },
};
const document = '{"version":1,\n"results":[\n{"value":{"id":12345678901234567890,"price":1.10}}\n]}\n';

const { errors, summary, location } = run;
const withoutResults = JSON.stringify({
  location,
  replayed: false,
  version: 1,
  run: run.run,
  errors,
  summary,
});

describe('the reply to a run', () => {
  test.each([
    ['a direct invocation', direct],
    ['a schedule', schedule],
  ])('of %s has where its document is and what it came to, never the results', (_, event) => {
    expect(replyTo(event, { ...run, replayed: true })).toStrictEqual({
      runId: 'run-1',
      location,
      replayed: true,
      errors,
      summary,
    });
  });

  test.each<[dialect: ApiDialect, event: RecognizedEvent, headers: object]>([
    ['http-api', httpApi, { headers: headersOf('application/json') }],
    ['rest-api', restApi, { headers: headersOf('application/json') }],
    ['alb', alb, { headers: headersOf('application/json') }],
    [
      'alb-multi-value',
      albMultiValue,
      {
        multiValueHeaders: {
          'content-type': ['application/json'],
          'cache-control': ['no-store'],
          'x-content-type-options': ['nosniff'],
        },
      },
    ],
  ])('of a request in the dialect %s has the document, token for token', (dialect, event, headers) => {
    expect(event).toMatchObject({ request: { dialect } });
    expect(replyTo(event, run, document)).toStrictEqual({
      statusCode: 200,
      body: `{"location":"${location}","replayed":false,"version":1,\n"results":[\n{"value":{"id":12345678901234567890,"price":1.10}}\n]}\n`,
      isBase64Encoded: false,
      ...headers,
    });
  });

  test('says of a request whether it was replayed', () => {
    const reply = replyTo(httpApi, { ...run, replayed: true }, document);
    expect(reply).toMatchObject({ body: expect.stringMatching(/^\{"location":"[^"]+","replayed":true,/) });
  });

  test('leaves the results out where the document was not kept', () => {
    expect(replyTo(httpApi, run)).toStrictEqual({
      statusCode: 200,
      body: withoutResults,
      isBase64Encoded: false,
      headers: headersOf('application/json'),
    });
  });

  const head = `{"location":"${location}","replayed":false,`;
  /** A document, as far as a reply looks into it, whose reply has so many characters. */
  const documentOf = (length: number, filler = 'x'): string =>
    `{"${filler.repeat((length - head.length - 5) / filler.length)}":0}`;

  test.each<[what: string, event: RecognizedEvent, document: string, hasResults: boolean]>([
    ['a reply that stays under 4 MB', httpApi, documentOf(3_999_999), true],
    ['a reply of 4 MB', httpApi, documentOf(4_000_000), false],
    ['a reply of 4 MB in UTF-8', restApi, documentOf(1_500_000, '€'), false],
    ['a reply whose quotes make it outgrow the 6 MB of Lambda', httpApi, documentOf(3_200_000, '"'), false],
    ['a reply that stays under the 1 MB of a load balancer', alb, documentOf(999_800), true],
    ['a reply of 1 MB to a load balancer', alb, documentOf(1_000_000), false],
    ['a reply whose quotes make it outgrow that', albMultiValue, documentOf(600_000, '"'), false],
    ['a reply with a few quotes', albMultiValue, documentOf(600_000, '"xxxx'), true],
  ])('%s has the results: %#', (_, event, document, hasResults) => {
    const { body } = replyTo(event, run, document) as { body: string }; // an API's reply has one
    expect(body === (hasResults ? head + document.slice(1) : withoutResults)).toBe(true);
  });

  test('no document is kept for a reply that never has it', () => {
    expect([direct, schedule, httpApi, restApi, alb, albMultiValue].map(maxReplyBytes)).toStrictEqual([
      0, 0, 4_000_000, 4_000_000, 1_000_000, 1_000_000,
    ]);
  });
});

describe('the reply to a failure', () => {
  const postError = new PostError(
    99999,
    { code: 'NOT_FOUND', message: 'No data for post 99999', retryable: false },
    { httpStatus: 404, attempts: 1, startedMs: 0, durationMs: 1, waitedMs: 0 },
  );
  class NewError extends BatchFetcherError {
    readonly code = 'NEW';
  }

  test.each([
    ['a direct invocation', direct],
    ['a schedule', schedule],
  ])('of %s is that very error, so that Lambda sees it', (_, event) => {
    for (const error of [postError, new BadInputError('m'), new TypeError('m')]) {
      const thrown = (() => {
        try {
          return replyToError(event, error);
        } catch (caught) {
          return caught;
        }
      })();
      expect(thrown).toBe(error);
    }
  });

  test.each<[error: unknown, status: number, title: string, detail: string, more: object]>([
    [new BadInputError('The detail'), 400, 'Bad Request', 'The detail', { code: 'BAD_INPUT' }],
    [new UnknownRouteError('The detail'), 404, 'Not Found', 'The detail', { code: 'UNKNOWN_ROUTE' }],
    [new RunConflictError('The detail'), 409, 'Conflict', 'The detail', { code: 'RUN_CONFLICT' }],
    [new TooLargeError('The detail'), 413, 'Payload Too Large', 'The detail', { code: 'TOO_LARGE' }],
    [
      new UnsupportedMediaTypeError('The detail'),
      415,
      'Unsupported Media Type',
      'The detail',
      { code: 'UNSUPPORTED_MEDIA_TYPE' },
    ],
    [
      new IdempotencyKeyReusedError('The detail'),
      422,
      'Unprocessable Entity',
      'The detail',
      { code: 'IDEMPOTENCY_KEY_REUSED' },
    ],
    [postError, 502, 'Bad Gateway', 'No data for post 99999', { code: 'NOT_FOUND', id: 99999 }],
    [
      new StoreError('The detail', { cause: new Error('arn:aws:iam::123456789012:role/secret') }),
      503,
      'Service Unavailable',
      'The detail',
      { code: 'STORE_FAILED' },
    ],
    [new NewError('The detail'), 500, 'Internal Server Error', 'The detail', { code: 'NEW' }],
    [
      new ConfigUnavailableError('Expected the SSM parameter /secret to be given'),
      503,
      'Service Unavailable',
      'The function cannot read its configuration now',
      { code: 'CONFIG_UNAVAILABLE' },
    ],
    [
      new ConfigError('Expected `POST_URL` to be …'),
      500,
      'Internal Server Error',
      'The function failed; its log says why',
      { code: 'BAD_CONFIG' },
    ],
    [
      new TypeError('secret'),
      500,
      'Internal Server Error',
      'The function failed; its log says why',
      { code: 'INTERNAL_ERROR' },
    ],
    [
      'secret',
      500,
      'Internal Server Error',
      'The function failed; its log says why',
      { code: 'INTERNAL_ERROR' },
    ],
    [
      undefined,
      500,
      'Internal Server Error',
      'The function failed; its log says why',
      { code: 'INTERNAL_ERROR' },
    ],
  ])(
    '%s is a problem with the status %i, and nothing else of it leaks',
    (error, status, title, detail, more) => {
      expect(replyToError(httpApi, error)).toStrictEqual({
        statusCode: status,
        headers: headersOf('application/problem+json'),
        body: JSON.stringify({ type: 'about:blank', title, status, detail, ...more }),
        isBase64Encoded: false,
      });
    },
  );

  test('of a method that is not allowed names those that are', () => {
    const body = JSON.stringify({
      type: 'about:blank',
      title: 'Method Not Allowed',
      status: 405,
      detail: 'The detail',
      code: 'METHOD_NOT_ALLOWED',
    });
    const error = new MethodNotAllowedError('The detail', 'GET, POST');
    expect(replyToError(restApi, error)).toStrictEqual({
      statusCode: 405,
      headers: { ...headersOf('application/problem+json'), allow: 'GET, POST' },
      body,
      isBase64Encoded: false,
    });
    expect(replyToError(albMultiValue, error)).toStrictEqual({
      statusCode: 405,
      multiValueHeaders: {
        'content-type': ['application/problem+json'],
        'cache-control': ['no-store'],
        'x-content-type-options': ['nosniff'],
        allow: ['GET, POST'],
      },
      body,
      isBase64Encoded: false,
    });
  });
});

describe('a run that is in progress elsewhere', () => {
  const claim = {
    version: 1,
    runId: 'run-1',
    idsSha256: 'a'.repeat(64),
    returnExceptions: true,
    requestId: 'request-0',
    state: 'running',
    startedAt: '2026-11-23T06:00:00.000Z',
    beatAt: '2026-11-23T06:00:15.000Z',
    until: '2026-11-23T06:01:15.000Z',
    requested: 4_000,
    done: 1_000,
    fulfilled: 990,
    rejected: 10,
    perSecond: 66.7,
    etaSeconds: 45,
  } as const;
  const location = 's3://results/runs/run-1.json';
  const error = new RunInProgressError(claim, location, new Date('2026-11-23T06:00:20.000Z'));

  test('is a problem with the status 409, and says when to ask again', () => {
    expect(replyToError(httpApi, error)).toStrictEqual({
      statusCode: 409,
      headers: { ...headersOf('application/problem+json'), 'retry-after': '40' },
      body: JSON.stringify({
        type: 'about:blank',
        title: 'Conflict',
        status: 409,
        detail: 'The run run-1 is running',
        code: 'RUN_IN_PROGRESS',
      }),
      isBase64Encoded: false,
    });
  });

  test.each([
    ['direct', direct],
    ['schedule', schedule],
  ])('is no failure of the trigger %s, which hears how far it is', (_, event) => {
    expect(replyToError(event, error)).toStrictEqual({
      runId: 'run-1',
      location,
      state: 'running',
      startedAt: '2026-11-23T06:00:00.000Z',
      progress: {
        requested: 4_000,
        done: 1_000,
        fulfilled: 990,
        rejected: 10,
        perSecond: 66.7,
        etaSeconds: 45,
      },
    });
  });
});

function headersOf(contentType: string): Record<string, string> {
  return {
    'content-type': contentType,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  };
}
