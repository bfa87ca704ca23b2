import type { ALBEvent, APIGatewayProxyEvent, APIGatewayProxyEventV2 } from 'aws-lambda';
import { describe, expect, test } from 'vitest';
import { fromAlb, fromPayloadV1, fromPayloadV2 } from '../../../../src/lambda/events/http-request.ts';
import { sampleEvent } from '../../../support/sample-events.ts';

const v2 = (name: string) => sampleEvent<APIGatewayProxyEventV2>(name);
const v1 = (name: string) => sampleEvent<APIGatewayProxyEvent>(name);
const alb = (name: string) => sampleEvent<ALBEvent>(name);

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
      caller: 'arn:aws:sts::123456789012:assumed-role/posts-reader/reader',
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
        caller: 'arn:aws:sts::123456789012:assumed-role/posts-reader/reader',
      });
    }
  });
});

test('a request in payload 2.0 without its query has the parameters that a tool made of it', () => {
  for (const rawQueryString of ['', undefined]) {
    const event = {
      ...v2('http-api-get'),
      rawQueryString,
      queryStringParameters: { ids: '1,2', runId: 'r' },
    };
    expect(fromPayloadV2(event as unknown as APIGatewayProxyEventV2).query).toStrictEqual([
      ['ids', '1,2'],
      ['runId', 'r'],
    ]);
  }
});

test.each(['method', 'path'])('a request whose %s is no text has none', (key) => {
  for (const value of [7, null, [['x']], { toString: 1 }]) {
    const { requestContext, ...event } = v2('http-api-get');
    const http = { ...requestContext.http, [key]: value };
    const request = {
      ...event,
      routeKey: '$default',
      rawPath: null,
      requestContext: { ...requestContext, http },
    };
    expect(fromPayloadV2(request as unknown as APIGatewayProxyEventV2)).toMatchObject({ [key]: '' });
  }
});

describe('the caller of a request', () => {
  const inV2 = (authorizer: unknown) => {
    const event = v2('http-api-get');
    const requestContext = { ...event.requestContext, authorizer };
    return fromPayloadV2({ ...event, requestContext } as unknown as APIGatewayProxyEventV2).caller;
  };
  const inV1 = (identity: unknown, authorizer?: unknown) => {
    const event = v1('rest-api-get');
    const requestContext = { ...event.requestContext, identity, authorizer };
    return fromPayloadV1({ ...event, requestContext } as unknown as APIGatewayProxyEvent).caller;
  };

  test('is the ARN that IAM has for it, else the id of a user', () => {
    const userArn = 'arn:aws:iam::123456789012:user/reader';
    expect([
      inV2({ iam: { userArn, userId: 'AIDA' } }),
      inV2({ iam: { userArn: null, userId: 'AIDA' } }),
      inV2({ jwt: { claims: { sub: 'user-1' } } }),
      inV1({ userArn, user: 'AIDA' }),
      inV1({ userArn: null, user: 'AIDA' }),
      inV1({ userArn: '' }, { claims: { sub: 'user-1' } }),
      inV1(null, { principalId: 'me' }),
    ]).toStrictEqual([userArn, 'AIDA', 'user-1', userArn, 'AIDA', 'user-1', 'me']);
  });

  test('is nobody where nobody is named', () => {
    for (const none of [undefined, null, {}, 'x', [], { iam: null }, { iam: { userArn: { a: 1 } } }])
      expect([inV2(none), inV1(none, none)]).toStrictEqual([undefined, undefined]);
    expect(fromAlb(alb('alb-get')).caller).toBeUndefined();
  });

  test('is shortened, and fit for a terminal', () => {
    expect(inV2({ iam: { userArn: `arn:${'x'.repeat(1_000)}` } })).toBe(`arn:${'x'.repeat(251)}…`);
    expect(inV2({ iam: { userArn: 'a\u001b[2J\nb' } })).toBe('a�[2J�b');
  });
});

describe('a request in payload 1.0', () => {
  test('has its route, query, headers in lower case, and body', () => {
    const event = v1('rest-api-post');
    expect(
      fromPayloadV1({
        ...event,
        path: '/mapped/batches',
        headers: { ACCEPT: 'b', Host: 'example.com' },
        multiValueHeaders: { Accept: ['a', 'b'], 'Content-Type': ['application/json'] },
        queryStringParameters: { ids: '3', Ids: '4' },
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
        // Of the map with single values, what the other lacks.
        ['Ids', '4'],
      ],
      headers: new Map([
        ['accept', 'a, b'],
        ['content-type', 'application/json'],
        ['host', 'example.com'],
      ]),
      body: '{"ids":[100,101],"returnExceptions":true}',
      isBase64Encoded: false,
      caller: 'arn:aws:sts::123456789012:assumed-role/posts-reader/reader',
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
      caller: undefined,
    });
  });

  test.each([
    [{}, {}],
    [null, undefined],
    [{ Accept: [], 'Idempotency-Key': null }, { ids: [] }],
  ])(
    'is read without them where they are %j and %j',
    (multiValueHeaders, multiValueQueryStringParameters) => {
      const request = fromPayloadV1({
        ...v1('rest-api-get'),
        headers: { 'Idempotency-Key': 'key-1', 'Content-Length': 15, 'X-Null': null, 'X-Odd': { a: 1 } },
        queryStringParameters: { ids: '1' },
        multiValueHeaders,
        multiValueQueryStringParameters,
      } as unknown as APIGatewayProxyEvent);
      expect(request.query).toStrictEqual([['ids', '1']]);
      expect(request.headers).toStrictEqual(
        new Map([
          ['idempotency-key', 'key-1'],
          ['content-length', '15'],
        ]),
      );
    },
  );

  test.each([{}, null])('is read with them alone where the others are %j', (nothing) => {
    const event = { ...v1('rest-api-get'), headers: nothing, queryStringParameters: nothing };
    expect(fromPayloadV1(event as unknown as APIGatewayProxyEvent)).toStrictEqual(
      fromPayloadV1(v1('rest-api-get')),
    );
  });

  test.each<[resource: string, proxy: unknown, path: string]>([
    ['/{proxy+}', 'batches', '/batches'],
    ['/{proxy+}', '/batches', '/batches'],
    ['/{proxy+}', '//batches', '//batches'],
    ['/api/{proxy+}', '/batches', '/api/batches'],
    ['/{proxy}', '/batches', '/batches'],
    ['/{proxy}', 'batches/1', '/batches%2F1'],
    ['/batches/{proxy}/outcomes', '../a/', '/batches/..%2Fa%2F/outcomes'],
    ['/{proxy+}', { toString: 1 }, '/'],
    ['/{toString}', 'batches', '/'],
  ])('of the route %s with %j has the path %3$s', (resource, proxy, path) => {
    const event = { ...v1('rest-api-get'), resource, path: '/mapped/batches', pathParameters: { proxy } };
    expect(fromPayloadV1(event as unknown as APIGatewayProxyEvent).path).toBe(path);
  });

  test.each([
    ['/live/batches', 'live', '/batches'],
    ['/batches', 'live', '/batches'],
    ['/lively/batches', 'live', '/lively/batches'],
    ['/batches', '$default', '/batches'],
    ['//batches', undefined, '//batches'],
    ['/live/batches', { toString: 1 }, '/live/batches'],
    [{ toString: 1 }, 'live', ''],
  ])('of an HTTP API at its $default route, %j of the stage %j has the path %j', (rawPath, stage, path) => {
    const event = v1('http-api-v1-post');
    expect(
      fromPayloadV1({
        ...event,
        path: rawPath,
        requestContext: { ...event.requestContext, stage },
      } as unknown as APIGatewayProxyEvent).path,
    ).toBe(path);
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
      caller: undefined,
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
      caller: undefined,
    });
  });

  test.each([{}, null, undefined])('has single values where those with several are %j', (nothing) => {
    const event = {
      ...alb('alb-get'),
      multiValueHeaders: nothing,
      multiValueQueryStringParameters: nothing,
    };
    expect(fromAlb(event as unknown as ALBEvent)).toStrictEqual(fromAlb(alb('alb-get')));
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
      caller: undefined,
    });
  });
});
