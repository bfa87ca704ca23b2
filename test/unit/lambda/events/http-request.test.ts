import type { ALBEvent, APIGatewayProxyEvent, APIGatewayProxyEventV2 } from 'aws-lambda';
import { describe, expect, test } from 'vitest';
import {
  BadInputError,
  MethodNotAllowedError,
  TooLargeError,
  UnknownRouteError,
  UnsupportedMediaTypeError,
} from '../../../../src/base/errors.ts';
import type { IdList } from '../../../../src/batch/ids.ts';
import { parseManifestLocation } from '../../../../src/batch/manifest/location.ts';
import {
  type ApiRequest,
  fromAlb,
  fromPayloadV1,
  fromPayloadV2,
  idempotencyKey,
  MAX_REQUEST_BYTES,
  parseApiForm,
} from '../../../../src/lambda/events/http-request.ts';
import { sampleEvent } from '../../../support/sample-events.ts';

const v2 = (name: string) => sampleEvent<APIGatewayProxyEventV2>(name);
const v1 = (name: string) => sampleEvent<APIGatewayProxyEvent>(name);
const alb = (name: string) => sampleEvent<ALBEvent>(name);
const nameExpected = '1 to 128 characters out of A-Z a-z 0-9 . _ ~ - (not "." or "..")';

describe('a request in payload 2.0', () => {
  test('has its route, query, headers and body', () => {
    const event = v2('http-api-post');
    expect(fromPayloadV2({ ...event, rawQueryString: 'a=1&b=x+y%2Cz&a=2&c' })).toStrictEqual({
      dialect: 'http-api',
      method: 'POST',
      path: '/batches',
      query: [
        ['a', '1'],
        ['b', 'x y,z'],
        ['a', '2'],
        ['c', ''],
      ],
      headers: new Map(Object.entries(event.headers)),
      body: '{"ids":[1,99999,3]}',
      isBase64Encoded: false,
    });
  });

  test.each<[what: string, change: object, path: string]>([
    ['the route that matched', { routeKey: 'GET /batches', rawPath: '/prod/batches' }, '/batches'],
    ['a route for any method', { routeKey: 'ANY /batches', rawPath: '/prod/batches' }, '/batches'],
    [
      'a greedy route, filled in',
      { routeKey: 'ANY /{proxy+}', rawPath: '/prod/batches', pathParameters: { proxy: 'batches' } },
      '/batches',
    ],
    [
      'a route with a parameter, filled in',
      { routeKey: 'GET /{kind}', rawPath: '/prod/batches', pathParameters: { kind: 'batches' } },
      '/batches',
    ],
    ['a greedy route whose parameter is lost', { routeKey: 'ANY /{proxy+}', rawPath: '/batches' }, '/'],
    ['the path', { routeKey: '$default', rawPath: '/batches' }, '/batches'],
    ['the path without the stage', { routeKey: '$default', rawPath: '/prod/batches' }, '/batches'],
    ['the path that only starts like the stage', { routeKey: '$default', rawPath: '/products' }, '/products'],
    ['the path that has its slash', { routeKey: '$default', rawPath: '/batches/' }, '/batches/'],
    ['the path where there is no route', { routeKey: undefined, rawPath: '/batches' }, '/batches'],
    ['the path where the route is null', { routeKey: null, rawPath: '/batches' }, '/batches'],
    ['the path of the context where there is no other', { routeKey: null, rawPath: null }, '/batches'],
    [
      'nothing where there is no path at all',
      { routeKey: null, rawPath: undefined, requestContext: { http: { method: 'GET' } } },
      '',
    ],
  ])('has for its path %s', (_, change, path) => {
    const event = { ...v2('http-api-get'), ...change };
    expect(fromPayloadV2(event).path).toBe(path);
  });

  test('may lack, or have as null, what only some senders leave out', () => {
    const { requestContext } = v2('function-url-post');
    for (const missing of [undefined, null]) {
      const event = {
        version: '2.0',
        rawPath: '/batches',
        requestContext,
        rawQueryString: missing,
        headers: missing,
        body: missing,
        isBase64Encoded: false,
      };
      expect(fromPayloadV2(event as unknown as APIGatewayProxyEventV2)).toStrictEqual({
        dialect: 'http-api',
        method: 'POST',
        path: '/batches',
        query: [],
        headers: new Map(),
        body: undefined,
        isBase64Encoded: false,
      });
    }
  });
});

describe('a request in payload 1.0', () => {
  test('has its route, query, headers in lower case, and body', () => {
    const event = v1('rest-api-post');
    expect(
      fromPayloadV1({
        ...event,
        path: '/mapped/batches',
        multiValueHeaders: { Accept: ['a', 'b'], 'Content-Type': ['application/json'] },
        multiValueQueryStringParameters: { ids: ['1,2', '3'], 'a b': ['c+d%'] },
      }),
    ).toStrictEqual({
      dialect: 'rest-api',
      method: 'POST',
      path: '/batches',
      query: [
        ['ids', '1,2'],
        ['ids', '3'],
        // Decoded already.
        ['a b', 'c+d%'],
      ],
      headers: new Map([
        ['accept', 'a, b'],
        ['content-type', 'application/json'],
      ]),
      body: '{"ids":[100,101],"returnExceptions":true}',
      isBase64Encoded: false,
    });
  });

  test('is read without its multi-value fields where it has none', () => {
    const event = { ...v1('rest-api-get'), multiValueQueryStringParameters: null, multiValueHeaders: null };
    const request = fromPayloadV1(event as unknown as APIGatewayProxyEvent);
    expect(request.query).toStrictEqual([
      ['ids', '3,3,1'],
      ['runId', 'rest-get'],
    ]);
    expect(request.headers.get('host')).toBe('z9y8x7w6v5.execute-api.us-east-1.amazonaws.com');
  });

  test("may have null for all that it does not have, as the console's test sends it", () => {
    const event = {
      resource: '/{proxy+}',
      path: '/mapped/batches',
      httpMethod: 'GET',
      headers: null,
      multiValueHeaders: null,
      queryStringParameters: { ids: null },
      multiValueQueryStringParameters: null,
      pathParameters: { proxy: 'batches' },
      stageVariables: null,
      requestContext: {},
      body: null,
      isBase64Encoded: false,
    };
    expect(fromPayloadV1(event as unknown as APIGatewayProxyEvent)).toStrictEqual({
      dialect: 'rest-api',
      method: 'GET',
      path: '/batches',
      query: [],
      headers: new Map(),
      body: undefined,
      isBase64Encoded: false,
    });
  });

  test.each([undefined, null])('has its own path where the resource is %s', (resource) => {
    const event = { ...v1('rest-api-get'), resource, path: '/other' };
    expect(fromPayloadV1(event as unknown as APIGatewayProxyEvent).path).toBe('/other');
  });
});

describe('a request from a load balancer', () => {
  test('has a query that is still to be decoded', () => {
    const event = {
      ...alb('alb-get'),
      queryStringParameters: { ids: '1%2C2,+3%20', 'a%26b': 'c%3Dd', e: '' },
    };
    expect(fromAlb(event)).toStrictEqual({
      dialect: 'alb',
      method: 'GET',
      path: '/batches',
      query: [
        ['ids', '1,2, 3 '],
        ['a&b', 'c=d'],
        ['e', ''],
      ],
      headers: new Map(Object.entries(event.headers ?? {})),
      body: '',
      isBase64Encoded: false,
    });
  });

  test('may have all fields with several values', () => {
    const event = {
      ...alb('alb-post'),
      multiValueHeaders: { 'Content-Type': ['application/json'], cookie: ['a=1', 'b=2'] },
      multiValueQueryStringParameters: { ids: ['1%2C2', '3'] },
    };
    expect(fromAlb(event)).toStrictEqual({
      dialect: 'alb-multi-value',
      method: 'POST',
      path: '/batches',
      query: [
        ['ids', '1,2'],
        ['ids', '3'],
      ],
      headers: new Map([
        ['content-type', 'application/json'],
        ['cookie', 'a=1, b=2'],
      ]),
      body: '{"ids":[5,"6"]}',
      isBase64Encoded: false,
    });
  });

  test('may lack headers, query and body', () => {
    const { requestContext } = alb('alb-get');
    expect(
      fromAlb({ requestContext, httpMethod: 'GET', path: '/', body: null, isBase64Encoded: false }),
    ).toStrictEqual({
      dialect: 'alb',
      method: 'GET',
      path: '/',
      query: [],
      headers: new Map(),
      body: undefined,
      isBase64Encoded: false,
    });
  });
});

const idsForm = (ids: IdList, returnExceptions: boolean, runId: string | undefined) => ({
  kind: 'ids',
  ids,
  returnExceptions,
  runId,
});

describe('GET /batches', () => {
  const get = (query: string): ApiRequest => requestOf({ query: [...new URLSearchParams(query)] });

  test.each([
    ['ids=1,2,7-9', idsForm([1, 2, { from: 7, to: 9 }], true, undefined)],
    ['ids=1%2C2', idsForm([1, 2], true, undefined)],
    ['ids=1,+2,%203', idsForm([1, 2, 3], true, undefined)],
    ['ids=a-slug&returnExceptions=false&runId=r-1', idsForm(['a-slug'], false, 'r-1')],
    ['runId=7&returnExceptions=true&ids=1', idsForm([1], true, '7')],
  ])('?%s is a batch', (query, batch) => {
    expect(parseApiForm(get(query), 10)).toStrictEqual(batch);
  });

  test.each([
    ['manifest=s3://bucket/a+b.csv', 's3://bucket/a b.csv', true, undefined],
    ['manifest=s3%3A%2F%2Fbucket%2F%C3%A4.json&runId=r', 's3://bucket/ä.json', true, 'r'],
    ['returnExceptions=false&manifest=s3://bucket/a.csv', 's3://bucket/a.csv', false, undefined],
  ])('?%s is a manifest', (query, url, returnExceptions, runId) => {
    const location = parseManifestLocation(url, 'manifest');
    expect(parseApiForm(get(query), 10)).toStrictEqual({
      kind: 'manifest',
      location,
      returnExceptions,
      runId,
    });
  });

  test('?redrive=nightly is a redrive', () => {
    expect(parseApiForm(get('redrive=nightly'), 10)).toStrictEqual({
      kind: 'redrive',
      earlierRunId: 'nightly',
      returnExceptions: true,
      runId: undefined,
    });
  });

  test.each([
    ['manifest=https://bucket/a.csv', /^Expected `query.manifest` to be s3:.*, got "https:/],
    ['manifest=', /^Expected `query.manifest` to be s3:.*, got ""$/],
    ['manifest=s3://bucket/a.csv&ids=1', /^Expected `query` to have one of .*, got ids and manifest$/],
    ['redrive=r&redrive=s', /^Expected `query.redrive` to be given once, got "r, then s"$/],
    ['redrive=a+b', /^Expected `query.redrive` to be 1 to 128 .*, got "a b"$/],
    ['redrive=r&returnExceptions=true', /^Expected `query.returnExceptions` to be left out .*, got true$/],
    ['redrive=r&runId=s', /^Expected `query.runId` to be left out of a redrive, got "s"$/],
  ])('?%s is refused as it is in JSON', (query, message) => {
    const parse = () => parseApiForm(get(query), 10);
    expect(parse).toThrow(BadInputError);
    expect(parse).toThrow(message);
  });

  test.each([
    ['', '`query.ids` to be comma-separated ids and ranges, got nothing'],
    ['runId=r', '`query.ids` to be comma-separated ids and ranges, got nothing'],
    ['ids=', '`query.ids` to be comma-separated ids and ranges, got ""'],
    ['ids', '`query.ids` to be comma-separated ids and ranges, got ""'],
    ['ids=1,,2', `\`query.ids[1]\` to be ${nameExpected}, got ""`],
    ['ids=../admin', `\`query.ids[0]\` to be ${nameExpected}, got "../admin"`],
    ['ids=a+b', `\`query.ids[0]\` to be ${nameExpected}, got "a b"`],
    ['ids=9-7', '`query.ids[0]` to be a range whose "from" is not above its "to", got "9-7"'],
    ['ids=1&ids=2', '`query.ids` to be given once, got "1, then 2"'],
    [
      'ids=1&returnExceptions=true&returnExceptions=true',
      '`query.returnExceptions` to be given once, got "true, then true"',
    ],
    ['ids=1&runId=a&runId=a', '`query.runId` to be given once, got "a, then a"'],
    ['ids=1&runId=', `\`query.runId\` to be ${nameExpected}, got ""`],
    ['ids=1&runId=..', `\`query.runId\` to be ${nameExpected}, got ".."`],
    ['ids=1&returnExceptions=0', '`query.returnExceptions` to be true or false, got "0"'],
    ['ids=1&returnExceptions=', '`query.returnExceptions` to be true or false, got ""'],
    [
      'ids=1&Ids=2',
      '`query` to be no parameters but ids, manifest, redrive, returnExceptions, runId, got "Ids"',
    ],
    [
      '__proto__=1',
      '`query` to be no parameters but ids, manifest, redrive, returnExceptions, runId, got "__proto__"',
    ],
    [
      'ids[]=1',
      '`query` to be no parameters but ids, manifest, redrive, returnExceptions, runId, got "ids[]"',
    ],
  ])('?%s is refused with the place, what was expected and what came', (query, message) => {
    expect(() => parseApiForm(get(query), 10)).toThrow(new BadInputError(`Expected ${message}`));
  });

  test('more ids than are allowed are too many', () => {
    expect(() => parseApiForm(get('ids=1-11'), 10)).toThrow(
      new TooLargeError('Expected `query.ids` to hold at most 10 ids (MAX_IDS), got 11'),
    );
  });

  test('a body is not looked at', () => {
    const request = { ...get('ids=1'), body: 'no JSON', headers: new Map([['content-type', 'text/plain']]) };
    expect(parseApiForm(request, 10)).toStrictEqual(idsForm([1], true, undefined));
  });
});

describe('POST /batches', () => {
  const post = (body: unknown, type?: string, isBase64Encoded = false): ApiRequest =>
    requestOf({
      method: 'POST',
      headers: new Map(type === undefined ? [] : [['content-type', type]]),
      body,
      isBase64Encoded,
    });
  const good = '{"ids":[1,{"from":5,"to":7}]}';
  const batch = idsForm([1, { from: 5, to: 7 }], true, undefined);
  const oneId = idsForm([1], true, undefined);

  test.each([
    undefined,
    'application/json',
    'application/json; charset=utf-8',
    'application/json ;charset=utf-8',
    'APPLICATION/JSON',
    'application/vnd.example.batch+json',
    'application/vnd.example-2.batch+json; profile="x"',
    'application/problem+json',
  ])('takes a body of the type %s', (type) => {
    expect(parseApiForm(post(good, type), 10)).toStrictEqual(batch);
    expect(parseApiForm(post(Buffer.from(good).toString('base64'), type, true), 10)).toStrictEqual(batch);
  });

  test.each([
    '',
    'text/plain',
    'text/json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=json',
    'application/jsonp',
    'application/json-seq',
    'application/xml; type=application/json',
    'application/+json',
    'application/json, text/plain',
    'json',
  ])('refuses a body of the type %j', (type) => {
    expect(() => parseApiForm(post(good, type), 10)).toThrow(
      new UnsupportedMediaTypeError(
        `Expected \`headers.content-type\` to be application/json, got ${JSON.stringify(type)}`,
      ),
    );
  });

  test('takes the keys of the query for none of its business', () => {
    expect(parseApiForm({ ...post(good), query: [['ids', '9']] }, 10)).toStrictEqual(batch);
  });

  test.each<[what: string, body: unknown, got: string]>([
    ['no body', undefined, 'nothing'],
    ['an empty body', '', '""'],
    ['a body that is no text', { ids: [1] }, '{"ids":[1]}'],
    ['a number for a body', 7, '7'],
  ])('refuses %s', (_, body, got) => {
    expect(() => parseApiForm(post(body), 10)).toThrow(
      new BadInputError(`Expected \`body\` to be the text of a JSON object, got ${got}`),
    );
  });

  test.each([
    '{',
    '{"ids":[1]}}',
    "{'ids':[1]}",
    'ids=1',
    '{"ids":[01]}',
    '{"ids":[NaN]}',
    '\u00a0',
    '{"ids":[1],}',
  ])('refuses %j, which is not JSON', (body) => {
    const parse = () => parseApiForm(post(body), 10);
    expect(parse).toThrow(BadInputError);
    expect(parse).toThrow(/^Expected `body` to be JSON: \S/);
  });

  test.each([
    'eyJpZHMiOlsxXX0*',
    'eyJpZHMiOls xXX0=',
    'eyJpZHMiOlsxXX0=\n',
    'eyJpZHMiOlsxXX0===',
    '=eyJpZHMiOlsxXX0',
    'e',
    '{"ids":[1]}',
    `${'='.repeat(6_000_000)}x`,
  ])('refuses %.20j, which is not base64', (body) => {
    expect(() => parseApiForm(post(body, undefined, true), 10)).toThrow(
      new BadInputError('Expected `body` to be base64, as `isBase64Encoded` says, got something else'),
    );
  });

  test('takes base64 with its padding and without', () => {
    for (const [body, id] of [
      ['eyJpZHMiOlsxXX0=', 1],
      ['eyJpZHMiOlsxXX0', 1],
      ['eyJpZHMiOlsxMl19', 12],
      ['eyJpZHMiOlsgMV19IA==', 1],
    ] as const)
      expect(parseApiForm(post(body, undefined, true), 10)).toStrictEqual(idsForm([id], true, undefined));
  });

  test('refuses a body that is not UTF-8', () => {
    const bytes = Buffer.from('{"ids":["\xff"]}', 'latin1');
    expect(() => parseApiForm(post(bytes.toString('base64'), undefined, true), 10)).toThrow(
      new BadInputError('Expected `body` to be JSON in UTF-8, got bytes that are not UTF-8'),
    );
  });

  test('names the place in the body', () => {
    expect(() => parseApiForm(post('{"ids":[1,"a/b"]}'), 10)).toThrow(
      new BadInputError(`Expected \`body.ids[1]\` to be ${nameExpected}, got "a/b"`),
    );
    expect(() => parseApiForm(post('[1]'), 10)).toThrow(
      new BadInputError(
        'Expected `body` to be an object with "ids", "manifest" or "redrive", got an array of 1',
      ),
    );
  });

  test('takes exactly as many bytes as are allowed, counted decoded and in UTF-8', () => {
    const padded = `{"ids":[1]${' '.repeat(MAX_REQUEST_BYTES - '{"ids":[1]}'.length)}}`;
    expect(parseApiForm(post(padded), 10)).toStrictEqual(oneId);
    const encoded = Buffer.from(padded).toString('base64');
    expect(parseApiForm(post(encoded, undefined, true), 10)).toStrictEqual(oneId);
    expect(() => parseApiForm(post(`${padded} `), 10)).toThrow(
      new TooLargeError('Expected `body` to have at most 6291456 bytes, got 6291457'),
    );
    expect(() => parseApiForm(post(`"${'ä'.repeat(MAX_REQUEST_BYTES / 2)}"`), 10)).toThrow(
      new TooLargeError('Expected `body` to have at most 6291456 bytes, got 6291458'),
    );
  });
});

test.each(['/', '', '/batches/', '/Batches', '/batches/1', '//batches', '/batches;x', '/%62atches'])(
  'there is no route %j',
  (path) => {
    expect(() => parseApiForm(requestOf({ path, method: 'PUT' }), 10)).toThrow(
      new UnknownRouteError(`Expected the path /batches, got ${path}`),
    );
  },
);

test.each(['HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'get', ''])(
  'the method %j is not allowed',
  (method) => {
    expect(() => parseApiForm(requestOf({ method }), 10)).toThrow(
      new MethodNotAllowedError(`Expected the method GET or POST, got ${method}`, 'GET, POST'),
    );
  },
);

describe('an Idempotency-Key', () => {
  const keyOf = (value?: string) =>
    idempotencyKey(requestOf({ headers: new Map(value === undefined ? [] : [['idempotency-key', value]]) }));

  test.each([
    [undefined, undefined],
    ['8e03978e-40d5-43e8-bc93-6894a57f9324', '8e03978e-40d5-43e8-bc93-6894a57f9324'],
    ['"8e03978e"', '8e03978e'],
  ])('%j is the key %s', (value, key) => {
    expect(keyOf(value)).toBe(key);
  });

  test.each([
    ['', '""'],
    ['""', '""'],
    ['"', String.raw`"\""`],
    ['"a', String.raw`"\"a"`],
    ['"a"; b=1', String.raw`"\"a\"; b=1"`],
    ['a, b', '"a, b"'],
    ['../a', '"../a"'],
    ['a b', '"a b"'],
    ['x'.repeat(129), `"${'x'.repeat(80)}…"`],
  ])('%j is refused', (value, got) => {
    expect(() => keyOf(value)).toThrow(
      new BadInputError(`Expected \`headers.idempotency-key\` to be ${nameExpected}, got ${got}`),
    );
  });
});

function requestOf(parts: Partial<ApiRequest>): ApiRequest {
  return {
    dialect: 'http-api',
    method: 'GET',
    path: '/batches',
    query: [],
    headers: new Map(),
    body: undefined,
    isBase64Encoded: false,
    ...parts,
  };
}
