import { describe, expect, expectTypeOf, test } from 'vitest';
import { BadInputError, TooLargeError } from '../../../../src/base/errors.ts';
import type { IdList } from '../../../../src/batch/ids.ts';
import { parseManifestLocation } from '../../../../src/batch/manifest/location.ts';
import type { Trigger } from '../../../../src/document/run-head.ts';
import { parseEvent, recognizeEvent } from '../../../../src/lambda/events/event.ts';
import { fromAlb, fromPayloadV1, fromPayloadV2 } from '../../../../src/lambda/events/http-request.ts';
import { sampleEvent, sampleNames } from '../../../support/sample-events.ts';

const settings = { maxIds: 10, postIds: [{ from: 1, to: 3 }], apiBasePath: '' };
const nameExpected = '1 to 128 characters out of A-Z a-z 0-9 . _ ~ - (not "." or "..")';
const unknownKind =
  'Expected `event` to be a batch {"ids": […]}, an EventBridge event, or a request from API Gateway, a Function URL or a load balancer, got ';

const idsForm = (ids: IdList, returnExceptions: boolean, runId: string | undefined) => ({
  kind: 'ids',
  ids,
  returnExceptions,
  runId,
});

const requestOf = (event: unknown, requestId = 'request-1') =>
  parseEvent(recognizeEvent(event), settings, requestId);

describe('an event is told apart by what it is:', () => {
  test.each(sampleNames())('%s', (name) => {
    const event = sampleEvent(name);
    const request = {
      'http-api-v1': fromPayloadV1,
      'http-api': fromPayloadV2,
      'function-url': fromPayloadV2,
      'rest-api': fromPayloadV1,
      alb: fromAlb,
    }[/^(http-api-v1|http-api|function-url|rest-api|alb)/.exec(name)?.[0] ?? ''];
    expect(recognizeEvent(event)).toStrictEqual(
      request
        ? { trigger: 'api', request: request(event as never) } // the sample is what its name says
        : name.startsWith('eventbridge')
          ? { trigger: 'schedule', envelope: event }
          : { trigger: 'direct', form: event },
    );
  });

  test.each([
    ['an object of nothing', {}],
    ['one key of a batch', { runId: 'r' }],
    ['a manifest', { manifest: 's3://bucket/ids.csv' }],
    ['a redrive', { redrive: 'r' }],
    ['a batch with another key', { ids: [1], retries: 3 }],
    ['a batch that names a source', { ids: [1], source: 'cron' }],
    [
      'what Step Functions adds to a nested start, and nothing else',
      { AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID: 'arn:aws:states:us-east-1:123456789012:execution:a:b' },
    ],
    ['a batch with a request context that is none', { ids: [1], requestContext: null }],
  ])('%s is a direct one', (_, event) => {
    expect(recognizeEvent(event)).toStrictEqual({ trigger: 'direct', form: event });
  });

  test.each([
    [undefined, 'nothing'],
    [null, 'null'],
    ['{"ids":[1]}', String.raw`"{\"ids\":[1]}"`],
    [7, '7'],
    [[1, 2], 'an array of 2'],
    [{ id: 1 }, '{"id":1}'],
    [{ Records: [] }, '{"Records":[…]}'],
    [JSON.parse('{"__proto__":{"ids":[1]}}'), '{"__proto__":{…}}'],
    [{ 'detail-type': 'Scheduled Event', detail: {} }, '{"detail-type":"Scheduled Event","detail":{…}}'],
    [{ source: 'aws.events', 'detail-type': 1 }, '{"source":"aws.events","detail-type":1}'],
    // A WebSocket API's message.
    [{ requestContext: { connectionId: 'a' }, body: '' }, '{"requestContext":{…},"body":""}'],
    [{ version: '2.0', requestContext: {} }, '{"version":"2.0","requestContext":{…}}'],
    [{ requestContext: { http: {} } }, '{"requestContext":{…}}'],
    [{ httpMethod: 'GET', path: '/batches' }, '{"httpMethod":"GET","path":"/batches"}'],
  ])('%# other kinds are refused', (event, got) => {
    expect(() => recognizeEvent(event)).toThrow(new BadInputError(unknownKind + got));
  });
});

test('a direct event is its own base form, and its document has the name of the request', () => {
  expect(requestOf({ ids: [1, 99999, 3] })).toStrictEqual({
    trigger: 'direct',
    form: idsForm([1, 99999, 3], true, undefined),
    runId: 'request-1',
    isIdempotencyKey: false,
    requestId: 'request-1',
  });
});

test('a direct event that names no ids has none: only a schedule does without', () => {
  expect(() => requestOf({ runId: 'r' })).toThrow(
    new BadInputError('Expected `ids` to be an array of ids, got nothing'),
  );
});

test.each([
  { ids: [1] },
  { ids: [1], runId: 'r', returnExceptions: false },
  { manifest: 's3://bucket/ids.csv' },
  { redrive: 'nightly' },
])('what Step Functions adds to a nested start is passed over in %j', (form) => {
  const linked = { AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID: { any: ['thing'] }, ...form };
  expect(requestOf(linked).form).toStrictEqual(requestOf(form).form);
  const envelope = sampleEvent<object>('eventbridge-rule');
  expect(requestOf({ ...envelope, detail: linked }).form).toStrictEqual(requestOf(form).form);
  const post = { ...sampleEvent<object>('http-api-post'), body: JSON.stringify(linked) };
  expect(requestOf(post).form).toStrictEqual(requestOf(form).form);
});

test("an authorizer's event for a route is none of the request", () => {
  const requests = ['http-api-get', 'http-api-v1-post', 'rest-api-get'].map((name) =>
    sampleEvent<object>(name),
  );
  for (const request of requests)
    for (const key of [{ type: 'REQUEST' }, { methodArn: 'arn' }, { routeArn: 'arn' }])
      expect(() => recognizeEvent({ ...key, ...request })).toThrow(
        expect.objectContaining({ code: 'BAD_INPUT', message: expect.stringContaining(unknownKind) }),
      );
});

test('a manifest and a redrive are handed on, as there is more to be read for them', () => {
  const name = { trigger: 'direct', isIdempotencyKey: false, requestId: 'request-1' };
  expect(requestOf({ manifest: 's3://bucket/ids.csv', runId: 'nightly' })).toStrictEqual({
    ...name,
    form: {
      kind: 'manifest',
      location: parseManifestLocation('s3://bucket/ids.csv', 'manifest'),
      returnExceptions: true,
      runId: 'nightly',
    },
    runId: 'nightly',
  });
  expect(requestOf({ redrive: 'nightly' })).toStrictEqual({
    ...name,
    form: { kind: 'redrive', earlierRunId: 'nightly', returnExceptions: true, runId: undefined },
    runId: 'request-1',
  });
});

test('more ids than are allowed are too many', () => {
  expect(() => requestOf({ ids: [{ from: 1, to: 11 }] })).toThrow(
    new TooLargeError('Expected `ids` to hold at most 10 ids (MAX_IDS), got 11'),
  );
});

describe('an EventBridge event', () => {
  const envelope = sampleEvent<Record<string, unknown>>('eventbridge-rule');
  const id = '53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa';

  test('has the base form in its detail, and a run id of its time and id', () => {
    expect(requestOf({ ...envelope, detail: { ids: [7], returnExceptions: false } })).toStrictEqual({
      trigger: 'schedule',
      form: idsForm([7], false, undefined),
      runId: `20261123T060000Z-${id}`,
      isIdempotencyKey: false,
      requestId: 'request-1',
    });
  });

  test.each([{ manifest: 's3://bucket/ids.csv' }, { redrive: 'nightly' }])(
    'has what its detail says and not the configured ids: %j',
    (detail) => {
      expect(requestOf({ ...envelope, detail })).toMatchObject({
        form: { kind: Object.keys(detail)[0] },
        runId: `20261123T060000Z-${id}`,
      });
    },
  );

  test.each([[{}], [null], [undefined], ['{}'], [' {}\n'], ['\ufeff{ }'], ['null']])(
    'has the configured ids where its detail is %j',
    (detail) => {
      expect(requestOf({ ...envelope, detail })).toStrictEqual({
        trigger: 'schedule',
        form: idsForm(settings.postIds, true, undefined),
        runId: `20261123T060000Z-${id}`,
        isIdempotencyKey: false,
        requestId: 'request-1',
      });
    },
  );

  test.each([
    ['2026-11-23T06:00:00.123Z', '20261123T060000Z'],
    ['2026-11-23T06:00:00+01:00', '20261123T050000Z'],
    ['2026-11-23', '20261123T000000Z'],
  ])('of %s has a run id that starts with %s', (time, stamp) => {
    expect(requestOf({ ...envelope, time }).runId).toBe(`${stamp}-${id}`);
  });

  test.each<[change: object, message: unknown]>([
    [{ time: undefined }, '`time` to be an ISO 8601 time, got nothing'],
    [{ time: null }, '`time` to be an ISO 8601 time, got null'],
    [{ time: 'now' }, '`time` to be an ISO 8601 time, got "now"'],
    [{ time: '' }, '`time` to be an ISO 8601 time, got ""'],
    ...[
      'June 13 2024',
      '1',
      '2024',
      '2024-06',
      '20240613T123000Z',
      '2024-06-13 12:30:00Z',
      '2024-06-13T12:30:00',
      '2024-06-13T12:30Z',
      '2024-02-30T12:30:00Z',
      '2024-13-01T12:30:00Z',
      '2024-06-13T24:00:00Z',
      '2024-06-13T12:60:00Z',
      '2024-06-13T12:30:00+24:00',
      '2024-06-13T12:30:00 GMT',
      '+002024-06-13T12:30:00Z',
      ' 2024-06-13T12:30:00Z',
      '2024-06-13T12:30:00Z\n',
    ].map((time): [change: object, message: string] => [
      { time },
      `\`time\` to be an ISO 8601 time, got ${JSON.stringify(time)}`,
    ]),
    [{ time: 1795444327123 }, '`time` to be an ISO 8601 time, got 1795444327123'],
    [{ id: undefined }, `\`id\` to be ${nameExpected}, got nothing`],
    [{ id: '../x' }, `\`id\` to be ${nameExpected}, got "../x"`],
    [{ id: 'x'.repeat(128) }, `\`id\` to be ${nameExpected}, got "20261123T060000Z-${'x'.repeat(63)}…"`],
    [{ detail: [1] }, '`detail` to be an object with "ids", "manifest" or "redrive", got an array of 1'],
    [{ detail: '7' }, '`detail` to be an object with "ids", "manifest" or "redrive", got 7'],
    [{ detail: '"1,2"' }, '`detail` to be an object with "ids", "manifest" or "redrive", got "1,2"'],
    [{ detail: '1,2' }, expect.stringMatching(/^Expected `detail` to be JSON: \S/)],
    [{ detail: '' }, expect.stringMatching(/^Expected `detail` to be JSON: \S/)],
    [{ detail: '{"ids":["a/b"]}' }, `\`detail.ids[0]\` to be ${nameExpected}, got "a/b"`],
    [{ detail: '{"ids":[1],"ids":[2]}' }, '`detail` to have each key of an object once, got "ids" twice'],
    [{ detail: `{"ids":${'['.repeat(4_481)}` }, '`detail` to be nested at most 64 deep, got more'],
    [{ detail: { ids: null } }, '`detail.ids` to be an array of ids, got null'],
    [{ detail: { ids: ['a/b'] } }, `\`detail.ids[0]\` to be ${nameExpected}, got "a/b"`],
    [
      { detail: { id: 1 } },
      '`detail` to be an object with no keys but ids, manifest, redrive, returnExceptions, runId, got {"id":1}',
    ],
  ])('with %j is refused with the place, what was expected and what came', (change, message) => {
    const parsing = () => requestOf({ ...envelope, ...change });
    expect(parsing).toThrow(BadInputError);
    expect(parsing).toThrow(
      expect.objectContaining({ message: typeof message === 'string' ? `Expected ${message}` : message }),
    );
  });

  test.each([
    { ids: [7, 8] },
    { manifest: 's3://bucket/ids.csv' },
    { redrive: 'nightly' },
    { runId: 'nightly' },
  ])('has in a detail that is text what it has in one that is an object: %j', (detail) => {
    const text = ` ${JSON.stringify(detail)}\n`;
    expect(requestOf({ ...envelope, detail: text })).toStrictEqual(requestOf({ ...envelope, detail }));
  });

  test.each([
    { source: 'aws.events', 'detail-type': 'Whatever' },
    { source: 'aws.scheduler', 'detail-type': 'Whatever' },
    { source: 'cron', 'detail-type': 'Scheduled Event' },
  ])('may do without a detail where it is a schedule: %j', (change) => {
    expect(requestOf({ ...envelope, ...change, detail: undefined }).form).toStrictEqual(
      idsForm(settings.postIds, true, undefined),
    );
  });

  test.each([
    [undefined, 'nothing'],
    [null, 'null'],
    ['null', 'null'],
  ])('has to have a detail, not %j, where it is none', (detail, got) => {
    const alarm = { source: 'aws.cloudwatch', 'detail-type': 'CloudWatch Alarm State Change' };
    expect(() => requestOf({ ...envelope, ...alarm, detail })).toThrow(
      new BadInputError(
        `Expected \`detail\` to be an object with "ids", "manifest" or "redrive", got ${got}`,
      ),
    );
    expect(requestOf({ ...envelope, ...alarm, detail: {} }).form).toStrictEqual(
      idsForm(settings.postIds, true, undefined),
    );
  });

  test('that names its run needs neither time nor id', () => {
    const { time: _time, id: _id, ...rest } = envelope;
    expect(requestOf({ ...rest, detail: { runId: 'nightly' } }).runId).toBe('nightly');
  });
});

describe('an HTTP request', () => {
  const post = sampleEvent<{ headers: object }>('http-api-post');
  const withKey = (key: string, body: string) =>
    requestOf({ ...post, body, headers: { ...post.headers, 'idempotency-key': key } });

  test('has the run id of its Idempotency-Key', () => {
    expect(withKey('"key-1"', '{"ids":[1]}')).toStrictEqual({
      trigger: 'api',
      form: idsForm([1], true, undefined),
      runId: 'key-1',
      isIdempotencyKey: true,
      requestId: 'request-1',
    });
  });

  test('has its own run id before that of its Idempotency-Key, whatever that is', () => {
    for (const key of ['key-1', 'a key'])
      expect(withKey(key, '{"ids":[1],"runId":"mine"}')).toStrictEqual({
        trigger: 'api',
        form: idsForm([1], true, 'mine'),
        runId: 'mine',
        isIdempotencyKey: false,
        requestId: 'request-1',
      });
  });

  test("has the request's id where it names neither", () => {
    expect(requestOf(sampleEvent('http-api-get'))).toStrictEqual({
      trigger: 'api',
      form: idsForm([1, 2, { from: 7, to: 9 }], true, undefined),
      runId: 'request-1',
      isIdempotencyKey: false,
      requestId: 'request-1',
    });
  });

  test.each(['', 'a key'])('is refused with the Idempotency-Key %j', (key) => {
    expect(() => withKey(key, '{"ids":[1]}')).toThrow(
      new BadInputError(`Expected \`headers.idempotency-key\` to be ${nameExpected}, got "${key}"`),
    );
  });

  test('does not fall back on the configured ids', () => {
    expect(() => requestOf({ ...post, body: '{}' })).toThrow(
      new BadInputError('Expected `body.ids` to be an array of ids, got nothing'),
    );
  });
});

describe('a run id that would be derived from another one', () => {
  const refused = (path: string, runId: string) =>
    new BadInputError(
      `Expected \`${path}\` to be at most 116 characters that end in none of .manifest, .progress, .part-<digits> and .redrive-<digits>, got "${runId}"`,
    );
  const http = sampleEvent<{ headers: object }>('http-api-post');
  const rule = sampleEvent<object>('eventbridge-rule');

  test.each(['big.manifest', 'big.progress', 'big.part-000001', 'big.redrive-1'])(
    '%s is refused, whoever asks for it',
    (runId) => {
      const form = { ids: [1], runId };
      const headers = { ...http.headers, 'idempotency-key': runId };
      expect(() => requestOf(form)).toThrow(refused('runId', runId));
      expect(() => requestOf({ ...rule, detail: form })).toThrow(refused('detail.runId', runId));
      expect(() => requestOf({ ...http, body: JSON.stringify(form) })).toThrow(refused('body.runId', runId));
      expect(() => requestOf({ ...http, headers, body: '{"ids":[1]}' })).toThrow(
        refused('headers.idempotency-key', runId),
      );
      expect(() => requestOf({ ...rule, id: runId })).toThrow(refused('id', `20261123T060000Z-${runId}`));
      expect(() =>
        requestOf({ ...sampleEvent<object>('http-api-get'), rawQueryString: `ids=1&runId=${runId}` }),
      ).toThrow(refused('query.runId', runId));
    },
  );

  test('is that of a part where the invocation says which', () => {
    expect(requestOf({ part: 17, ids: [1], runId: 'big.part-000017' })).toStrictEqual({
      trigger: 'direct',
      form: idsForm([1], true, 'big.part-000017'),
      runId: 'big.part-000017',
      isIdempotencyKey: false,
      requestId: 'request-1',
    });
  });

  const learned = { perSecond: 97.5, inFlight: 40, told: null, at: '2026-11-23T06:00:00.000Z' };

  test.each([
    [
      { partsInFlight: 10, learned },
      { partsInFlight: 10, learned },
    ],
    [
      { partsInFlight: 10, learned: null },
      { partsInFlight: 10, learned: undefined },
    ],
    [{ partsInFlight: 10_000 }, { partsInFlight: 10_000, learned: undefined }],
    [
      { partsInFlight: 1, learned: { ...learned, at: '2026-11-23T08:00:00+02:00' } },
      { partsInFlight: 1, learned },
    ],
  ])('a part, and a redrive, may come with its share of the origin: %j', (given, share) => {
    expect(requestOf({ part: 17, ids: [1], runId: 'big.part-000017', ...given }).form).toStrictEqual({
      ...idsForm([1], true, 'big.part-000017'),
      share,
    });
    expect(requestOf({ redrive: 'big.part-000017', ...given }).form).toStrictEqual({
      kind: 'redrive',
      earlierRunId: 'big.part-000017',
      returnExceptions: true,
      runId: undefined,
      share,
    });
  });

  const inFlightExpected = '`partsInFlight` to be an integer from 1 to 10000';
  test.each([
    [{ learned }, `${inFlightExpected}, got nothing`],
    [{ learned: null }, `${inFlightExpected}, got nothing`],
    [{ partsInFlight: null }, `${inFlightExpected}, got null`],
    [{ partsInFlight: '10' }, `${inFlightExpected}, got "10"`],
    [{ partsInFlight: 0 }, `${inFlightExpected}, got 0`],
    [{ partsInFlight: 1.5 }, `${inFlightExpected}, got 1.5`],
    [{ partsInFlight: 10_001 }, `${inFlightExpected}, got 10001`],
    [
      { partsInFlight: 1, learned: [] },
      '`learned` to be null, or an object with no keys but perSecond, inFlight, told, at, got an array of 0',
    ],
    [
      { partsInFlight: 1, learned: { ...learned, concurrency: 500 } },
      '`learned` to be null, or an object with no keys but perSecond, inFlight, told, at, got {"concurrency":500}',
    ],
    [
      { partsInFlight: 1, learned: { ...learned, perSecond: 0 } },
      '`learned.perSecond` to be a number above 0, or null, got 0',
    ],
    [
      { partsInFlight: 1, learned: { ...learned, inFlight: '40' } },
      '`learned.inFlight` to be a number above 0, or null, got "40"',
    ],
    [
      { partsInFlight: 1, learned: { ...learned, told: undefined } },
      '`learned.told` to be a number above 0, or null, got nothing',
    ],
    [
      { partsInFlight: 1, learned: { ...learned, at: 'today' } },
      '`learned.at` to be an ISO 8601 time, got "today"',
    ],
  ])('the share of the origin %j is refused', (given, message) => {
    for (const form of [{ part: 17, ids: [1], runId: 'big.part-000017' }, { redrive: 'big.part-000017' }])
      expect(() => requestOf({ ...form, ...given })).toThrow(`Expected ${message}`);
  });

  test.each(['partsInFlight', 'learned'])('%s goes with no other form, and comes by no other way', (key) => {
    const form = { ids: [1], [key]: 1 };
    const message = `to be an object with no keys but ids, manifest, redrive, returnExceptions, runId, got {"${key}":1}`;
    expect(() => requestOf(form)).toThrow(`Expected \`event\` ${message}`);
    const redrive = { redrive: 'big.part-000017', [key]: 1 };
    expect(() => requestOf({ ...http, body: JSON.stringify(redrive) })).toThrow(
      `Expected \`body\` ${message}`,
    );
    expect(() => requestOf({ ...rule, detail: redrive })).toThrow(`Expected \`detail\` ${message}`);
  });

  test.each<[form: object, message: string]>([
    [{ part: 1, ids: [1] }, '`runId` to be the id of a run and .part-000001, as `part` says, got nothing'],
    [
      { part: 1, ids: [1], runId: 'big.part-000002' },
      '`runId` to be the id of a run and .part-000001, as `part` says, got "big.part-000002"',
    ],
    [{ part: '1', ids: [1], runId: 'big.part-000001' }, '`part` to be the number of a part, from 0, got "1"'],
    [{ part: 0.5, ids: [1], runId: 'big.part-000001' }, '`part` to be the number of a part, from 0, got 0.5'],
    [{ part: -1, ids: [1], runId: 'big.part-000001' }, '`part` to be the number of a part, from 0, got -1'],
    [
      { part: 1, redrive: 'big.part-000001', runId: 'big.part-000001' },
      '`event` to be an object with no keys but ids, runId, part, got {"redrive":"big.part-000001"}',
    ],
  ])('%j is no part', (form, message) => {
    expect(() => requestOf(form)).toThrow(new BadInputError(`Expected ${message}`));
  });

  test('cannot be asked for as a part over HTTP, or by a schedule', () => {
    const form = { part: 1, ids: [1], runId: 'big.part-000001' };
    const message =
      'to be an object with no keys but ids, manifest, redrive, returnExceptions, runId, got {"part":1}';
    expect(() => requestOf({ ...http, body: JSON.stringify(form) })).toThrow(`Expected \`body\` ${message}`);
    expect(() => requestOf({ ...rule, detail: form })).toThrow(`Expected \`detail\` ${message}`);
  });
});

test('an event that lacks a field, or has another value there, is a batch or bad input, never a crash', () => {
  const others = ['null', '0', 'true', '""', '"x"', '"/x"', '[]', '[[1]]', '[null]', '{}', '{"a":[null]}'];
  let events = 0;
  for (const name of sampleNames())
    for (const path of pathsIn(sampleEvent(name)))
      for (const other of [undefined, ...others]) {
        const event = sampleEvent<Record<string, unknown>>(name);
        const last = path.at(-1) ?? '';
        // The paths are those of the event itself.
        const target = path.slice(0, -1).reduce((object, key) => object[key] as typeof event, event);
        if (other === undefined) delete target[last];
        else target[last] = JSON.parse(other);
        events += 1;
        try {
          requestOf(event);
        } catch (error) {
          if (!(error instanceof BadInputError))
            throw new Error(`${name}: ${path} = ${other}`, { cause: error });
        }
      }
  expect(events).toBeGreaterThan(5_000);
});

test('there are three triggers', () => {
  expectTypeOf<Trigger>().toEqualTypeOf<'direct' | 'schedule' | 'api'>();
});

function pathsIn(value: unknown): string[][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [
    [key],
    ...pathsIn(inner).map((path) => [key, ...path]),
  ]);
}
