import { describe, expect, test } from 'vitest';
import { BadInputError, MethodNotAllowedError } from '../../../../src/base/errors.ts';
import type { ApiRequest } from '../../../../src/lambda/events/http-request.ts';
import { hasEntityTag, parseReadRequest } from '../../../../src/lambda/events/read-request.ts';

const nameExpected = '1 to 128 characters out of A-Z a-z 0-9 . _ ~ - (not "." or "..")';

function parse(url: string, more: Partial<ApiRequest> = {}, apiBasePath = '') {
  const [path = '', query = ''] = url.split('?');
  const request: ApiRequest = {
    dialect: 'http-api',
    method: 'GET',
    path,
    query: [...new URLSearchParams(query)],
    headers: new Map(),
    body: undefined,
    isBase64Encoded: false,
    caller: undefined,
    ...more,
  };
  return parseReadRequest(request, { apiBasePath });
}

describe('GET /batches/{runId}', () => {
  test.each([
    ['/batches/nightly', 'nightly'],
    ['/batches/a%2Db', 'a-b'],
    ['/batches/big.part-000001.redrive-2', 'big.part-000001.redrive-2'],
    [`/batches/${'x'.repeat(128)}`, 'x'.repeat(128)],
  ])('%s is that run', (path, runId) => {
    expect(parse(path)).toStrictEqual({ kind: 'run', runId, ifNoneMatch: '', asPage: false });
  });

  test('has the tags that the caller knows', () => {
    const headers = new Map([['if-none-match', '"a", "b"']]);
    expect(parse('/batches/r', { headers })).toStrictEqual({
      kind: 'run',
      runId: 'r',
      ifNoneMatch: '"a", "b"',
      asPage: false,
    });
  });

  test('is a page where the caller wants HTML rather than JSON', () => {
    const asked = (accept: string) => parse('/batches/r', { headers: new Map([['accept', accept]]) });
    expect(asked('text/html,*/*;q=0.8')).toStrictEqual({
      kind: 'run',
      runId: 'r',
      ifNoneMatch: '',
      asPage: true,
    });
    expect(asked('*/*')).toMatchObject({ asPage: false });
  });

  test('may stand behind a base path', () => {
    expect(parse('/api/batches/r', {}, '/api')).toMatchObject({ kind: 'run', runId: 'r' });
  });

  test.each([
    ['/batches/..', `\`path.runId\` to be ${nameExpected}, got ".."`],
    ['/batches/a%2Fb', `\`path.runId\` to be ${nameExpected}, got "a/b"`],
    ['/batches/%zz', `\`path.runId\` to be ${nameExpected}, got "%zz"`],
    [`/batches/${'x'.repeat(129)}`, `\`path.runId\` to be ${nameExpected}, got "${'x'.repeat(80)}…"`],
    [
      '/batches/big.manifest',
      '`path.runId` to be the id of a run, which ends neither in .manifest nor in .progress, got "big.manifest"',
    ],
    ['/batches/r?limit=1', '`query` to be empty, got "limit"'],
  ])('%s is refused', (url, message) => {
    expect(() => parse(url)).toThrow(new BadInputError(`Expected ${message}`));
  });

  test.each(['HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'get'])(
    'takes no %s, and neither do its outcomes',
    (method) => {
      for (const path of ['/batches/r', '/batches/r/outcomes'])
        expect(() => parse(path, { method })).toThrow(
          expect.objectContaining({ message: `Expected the method GET, got ${method}`, allow: 'GET' }),
        );
      expect(() => parse('/batches/r', { method })).toThrow(MethodNotAllowedError);
    },
  );
});

describe('GET /batches/{runId}/outcomes', () => {
  const all = { status: undefined, code: undefined, after: undefined, limit: 100 };

  test.each([
    ['', all],
    ['limit=1', { ...all, limit: 1 }],
    ['limit=1000', { ...all, limit: 1_000 }],
    ['after=0', { ...all, after: 0 }],
    ['after=9007199254740991', { ...all, after: Number.MAX_SAFE_INTEGER }],
    ['status=fulfilled', { ...all, status: 'fulfilled' }],
    ['code=TIMEOUT&status=rejected', { ...all, status: 'rejected', code: 'TIMEOUT' }],
    ['AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID=arn', all],
  ])('?%s asks for those', (query, expected) => {
    expect(parse(`/batches/r/outcomes?${query}`)).toStrictEqual({
      kind: 'outcomes',
      runId: 'r',
      ...expected,
    });
  });

  test.each([
    ['limit=0', '`query.limit` to be an integer from 1 to 1000, got "0"'],
    ['limit=1001', '`query.limit` to be an integer from 1 to 1000, got "1001"'],
    ['limit=', '`query.limit` to be an integer from 1 to 1000, got ""'],
    ['limit=1e2', '`query.limit` to be an integer from 1 to 1000, got "1e2"'],
    ['limit=+1', '`query.limit` to be an integer from 1 to 1000, got " 1"'],
    ['limit=1.0', '`query.limit` to be an integer from 1 to 1000, got "1.0"'],
    ['limit=1&limit=1', '`query.limit` to be given once, got "1, then 1"'],
    ['after=-1', '`query.after` to be an integer from 0 to 9007199254740991, got "-1"'],
    [
      'after=9007199254740992',
      '`query.after` to be an integer from 0 to 9007199254740991, got "9007199254740992"',
    ],
    ['status=ok', '`query.status` to be one of fulfilled, rejected, got "ok"'],
    ['status=', '`query.status` to be one of fulfilled, rejected, got ""'],
    ['status=rejected&status=rejected', '`query.status` to be given once, got "rejected, then rejected"'],
    [
      'code=timeout',
      '`query.code` to be one of NOT_FOUND, NO_DATA, HTTP_ERROR, RATE_LIMITED, TIMEOUT, NETWORK, BAD_JSON, TOO_LARGE, DEADLINE, got "timeout"',
    ],
    ['ids=1', '`query` to be no parameters but status, code, after, limit, got "ids"'],
  ])('?%s is refused', (query, message) => {
    expect(() => parse(`/batches/r/outcomes?${query}`)).toThrow(new BadInputError(`Expected ${message}`));
  });
});

describe('GET /batches', () => {
  test.each([
    ['', { after: undefined, limit: 50 }],
    ['limit=1', { after: undefined, limit: 1 }],
    ['after=nightly&limit=50', { after: 'nightly', limit: 50 }],
    ['after=nightly.progress', { after: 'nightly.progress', limit: 50 }],
    [`after=${'x'.repeat(145)}`, { after: 'x'.repeat(145), limit: 50 }],
  ])('?%s is the list', (query, expected) => {
    expect(parse(`/batches?${query}`)).toStrictEqual({ kind: 'list', ...expected });
  });

  test.each([
    ['limit=0', '`query.limit` to be an integer from 1 to 50, got "0"'],
    ['limit=51', '`query.limit` to be an integer from 1 to 50, got "51"'],
    ['after=', '`query.after` to be the `next` of an earlier page, or a run id, got ""'],
    ['after=a/b', '`query.after` to be the `next` of an earlier page, or a run id, got "a/b"'],
    [
      `after=${'x'.repeat(146)}`,
      `\`query.after\` to be the \`next\` of an earlier page, or a run id, got "${'x'.repeat(80)}…"`,
    ],
    ['after=a&after=a', '`query.after` to be given once, got "a, then a"'],
    ['runId=r', '`query` to be no parameters but after, limit, got "runId"'],
  ])('?%s is refused', (query, message) => {
    expect(() => parse(`/batches?${query}`)).toThrow(new BadInputError(`Expected ${message}`));
  });

  test.each(['ids=1', 'ids=', 'manifest=s3://b/a.csv', 'redrive=r', 'limit=1&ids=1'])(
    '?%s is no list, but asks for a batch',
    (query) => {
      expect(parse(`/batches?${query}`)).toBeUndefined();
    },
  );

  test('is a list as a GET alone', () => {
    for (const method of ['POST', 'HEAD', 'DELETE']) expect(parse('/batches', { method })).toBeUndefined();
  });
});

test.each([
  '/',
  '/batches/',
  '/batches//',
  '/batches/r/',
  '/batches/r/outcomes/',
  '/batches/r/x',
  '/Batches/r',
  '/x/batches/r',
])('%j reads nothing', (path) => {
  expect(parse(path)).toBeUndefined();
});

describe('If-None-Match', () => {
  test.each([
    ['*', true],
    [' * ', true],
    ['"abc"', true],
    ['W/"abc"', true],
    ['"x", "abc"', true],
    ['"x",W/"abc" , "y"', true],
    ['"a,b","abc"', true],
    ['', false],
    ['abc', false],
    ['"x"', false],
    ['"x", *', false],
    ['"ABC"', false],
    ['", abc, "', false],
  ])('%j says whether the caller has "abc": %s', (list, has) => {
    expect(hasEntityTag(list, '"abc"')).toBe(has);
  });
});
