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
  type ApiSettings,
  idempotencyKey,
  MAX_REQUEST_BYTES,
  parseApiForm,
} from '../../../../src/lambda/events/api-form.ts';
import type { ApiRequest } from '../../../../src/lambda/events/http-request.ts';

const nameExpected = '1 to 128 characters out of A-Z a-z 0-9 . _ ~ - (not "." or "..")';
const settings: ApiSettings = { maxIds: 10, apiBasePath: '' };
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
    ['AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID=arn&ids=1', idsForm([1], true, undefined)],
    ['ids=a-slug&returnExceptions=false&runId=r-1', idsForm(['a-slug'], false, 'r-1')],
    ['runId=7&returnExceptions=true&ids=1', idsForm([1], true, '7')],
  ])('?%s is a batch', (query, batch) => {
    expect(parseApiForm(get(query), settings)).toStrictEqual(batch);
  });

  test.each([
    ['manifest=s3://bucket/a+b.csv', 's3://bucket/a b.csv', true, undefined],
    ['manifest=s3%3A%2F%2Fbucket%2F%C3%A4.json&runId=r', 's3://bucket/ä.json', true, 'r'],
    ['returnExceptions=false&manifest=s3://bucket/a.csv', 's3://bucket/a.csv', false, undefined],
  ])('?%s is a manifest', (query, url, returnExceptions, runId) => {
    const location = parseManifestLocation(url, 'manifest');
    expect(parseApiForm(get(query), settings)).toStrictEqual({
      kind: 'manifest',
      location,
      returnExceptions,
      runId,
    });
  });

  test('?redrive=nightly is a redrive', () => {
    expect(parseApiForm(get('redrive=nightly'), settings)).toStrictEqual({
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
    const parse = () => parseApiForm(get(query), settings);
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
    [`ids=${'1,'.repeat(2_000)}1&ids=2`, `\`query.ids\` to be given once, got "${'1,'.repeat(40)}…"`],
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
    expect(() => parseApiForm(get(query), settings)).toThrow(new BadInputError(`Expected ${message}`));
  });

  test('more ids than are allowed are too many', () => {
    expect(() => parseApiForm(get('ids=1-11'), settings)).toThrow(
      new TooLargeError('Expected `query.ids` to hold at most 10 ids (MAX_IDS), got 11'),
    );
  });

  test('a body is not looked at', () => {
    const request = { ...get('ids=1'), body: 'no JSON', headers: new Map([['content-type', 'text/plain']]) };
    expect(parseApiForm(request, settings)).toStrictEqual(idsForm([1], true, undefined));
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
    'application/json, application/json',
    'application/json; charset=utf-8,application/json; charset="a,b"',
    'application/json; profile="a, b"',
  ])('takes a body of the type %s', (type) => {
    expect(parseApiForm(post(good, type), settings)).toStrictEqual(batch);
    expect(parseApiForm(post(Buffer.from(good).toString('base64'), type, true), settings)).toStrictEqual(
      batch,
    );
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
    'application/json,',
    'application/json; profile="a, b',
    'json',
  ])('refuses a body of the type %j', (type) => {
    expect(() => parseApiForm(post(good, type), settings)).toThrow(
      new UnsupportedMediaTypeError(
        `Expected \`headers.content-type\` to be application/json, got ${JSON.stringify(type)}`,
      ),
    );
  });

  const encoded = (body: string, coding: string): ApiRequest => ({
    ...post(body),
    headers: new Map([['content-encoding', coding]]),
  });

  test.each(['gzip', 'br', 'aws-chunked', 'identity, gzip', 'GZIP', 'identity2', 'x'.repeat(10_000)])(
    'refuses a body in the encoding %.20s',
    (coding) => {
      const shown = coding.length > 80 ? `${'x'.repeat(80)}…` : coding;
      expect(() => parseApiForm(encoded(good, coding), settings)).toThrow(
        new UnsupportedMediaTypeError(
          `Expected \`headers.content-encoding\` to be left out, as a body is taken as it is, got "${shown}"`,
        ),
      );
    },
  );

  test.each(['', 'identity', 'Identity', ' identity , identity'])(
    'takes a body in the encoding %j, which is none',
    (coding) => {
      expect(parseApiForm(encoded(good, coding), settings)).toStrictEqual(batch);
    },
  );

  test('takes a body with a byte order mark, as text and in base64', () => {
    const marked = `\ufeff${good}`;
    expect(parseApiForm(post(marked), settings)).toStrictEqual(batch);
    const base64 = Buffer.from(marked).toString('base64');
    expect(parseApiForm(post(base64, undefined, true), settings)).toStrictEqual(batch);
  });

  test.each([
    ['{"ids":[1],"ids":[2]}', 'to have each key of an object once, got "ids" twice'],
    [String.raw`{"ids":[1],"\u0069ds":[2]}`, 'to have each key of an object once, got "ids" twice'],
    ['{"ids":[{"from":1,"to":2,"to":9}]}', 'to have each key of an object once, got "to" twice'],
    [`{"ids":${'{"a":'.repeat(4_481)}`, 'to be nested at most 64 deep, got more'],
    [`{"ids":[${'['.repeat(100_000)}${']'.repeat(100_000)}]}`, 'to be nested at most 64 deep, got more'],
  ])('refuses %.40s', (body, message) => {
    expect(() => parseApiForm(post(body), settings)).toThrow(
      new BadInputError(`Expected \`body\` ${message}`),
    );
  });

  test('takes the keys of the query for none of its business', () => {
    expect(parseApiForm({ ...post(good), query: [['ids', '9']] }, settings)).toStrictEqual(batch);
  });

  test.each<[what: string, body: unknown, got: string]>([
    ['no body', undefined, 'nothing'],
    ['an empty body', '', '""'],
    ['a body that is no text', { ids: [1] }, '{"ids":[…]}'],
    ['a number for a body', 7, '7'],
  ])('refuses %s', (_, body, got) => {
    expect(() => parseApiForm(post(body), settings)).toThrow(
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
    const parse = () => parseApiForm(post(body), settings);
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
    expect(() => parseApiForm(post(body, undefined, true), settings)).toThrow(
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
      expect(parseApiForm(post(body, undefined, true), settings)).toStrictEqual(
        idsForm([id], true, undefined),
      );
  });

  test('refuses a body that is not UTF-8', () => {
    const bytes = Buffer.from('{"ids":["\xff"]}', 'latin1');
    expect(() => parseApiForm(post(bytes.toString('base64'), undefined, true), settings)).toThrow(
      new BadInputError('Expected `body` to be JSON in UTF-8, got bytes that are not UTF-8'),
    );
  });

  test('names the place in the body', () => {
    expect(() => parseApiForm(post('{"ids":[1,"a/b"]}'), settings)).toThrow(
      new BadInputError(`Expected \`body.ids[1]\` to be ${nameExpected}, got "a/b"`),
    );
    expect(() => parseApiForm(post('[1]'), settings)).toThrow(
      new BadInputError(
        'Expected `body` to be an object with "ids", "manifest" or "redrive", got an array of 1',
      ),
    );
  });

  test('takes exactly as many bytes as are allowed, counted decoded and in UTF-8', () => {
    const padded = `{"ids":[1]${' '.repeat(MAX_REQUEST_BYTES - '{"ids":[1]}'.length)}}`;
    expect(parseApiForm(post(padded), settings)).toStrictEqual(oneId);
    const encoded = Buffer.from(padded).toString('base64');
    expect(parseApiForm(post(encoded, undefined, true), settings)).toStrictEqual(oneId);
    expect(() => parseApiForm(post(`${padded} `), settings)).toThrow(
      new TooLargeError('Expected `body` to have at most 6291456 bytes, got 6291457'),
    );
    expect(() => parseApiForm(post(`"${'ä'.repeat(MAX_REQUEST_BYTES / 2)}"`), settings)).toThrow(
      new TooLargeError('Expected `body` to have at most 6291456 bytes, got 6291458'),
    );
  });
});

test.each(['/', '', '/batches/', '/Batches', '/batches/1', '//batches', '/batches;x', '/%62atches'])(
  'there is no route %j',
  (path) => {
    expect(() => parseApiForm(requestOf({ path, method: 'PUT' }), settings)).toThrow(
      new UnknownRouteError(
        `Expected the path /batches, /batches/{runId} or /batches/{runId}/outcomes, got ${path}`,
      ),
    );
  },
);

test.each(['HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'get', ''])(
  'the method %j is not allowed',
  (method) => {
    expect(() => parseApiForm(requestOf({ method }), settings)).toThrow(
      new MethodNotAllowedError(`Expected the method GET or POST, got ${method}`, 'GET, POST'),
    );
  },
);

test('a path or a method that is long is shortened', () => {
  const long = '/x'.repeat(4_500);
  expect(() => parseApiForm(requestOf({ path: long }), settings)).toThrow(
    new UnknownRouteError(
      `Expected the path /batches, /batches/{runId} or /batches/{runId}/outcomes, got ${'/x'.repeat(40)}…`,
    ),
  );
  expect(() => parseApiForm(requestOf({ method: long }), settings)).toThrow(
    new MethodNotAllowedError(`Expected the method GET or POST, got ${'/x'.repeat(40)}…`, 'GET, POST'),
  );
});

describe('behind a base path', () => {
  const query: ApiRequest['query'] = [['ids', '1']];
  const based = { ...settings, apiBasePath: '/api/v1' };

  test.each(['/api/v1/batches', '/batches'])('%s is the route', (path) => {
    expect(parseApiForm(requestOf({ path, query }), based)).toStrictEqual(idsForm([1], true, undefined));
  });

  test.each([
    ['/api/v1batches', '/api/v1batches'],
    ['/api/batches', '/api/batches'],
    ['/api/v1/api/v1/batches', '/api/v1/batches'],
    ['/api/v1', '/api/v1'],
  ])('%s is none', (path, shown) => {
    expect(() => parseApiForm(requestOf({ path, query }), based)).toThrow(
      new UnknownRouteError(
        `Expected the path /batches, /batches/{runId} or /batches/{runId}/outcomes, got ${shown}`,
      ),
    );
  });
});

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
    caller: undefined,
    ...parts,
  };
}
