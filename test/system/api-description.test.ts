import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { description, examplesOf, replyFaults } from '../support/api-description.ts';

const root = join(import.meta.dirname, '../..');
const examples = [...examplesOf()];
const [, replies = '', reading = ''] = readFileSync(join(root, 'docs/api.md'), 'utf8').split('\n## ');

describe('the description of the API', () => {
  test('has examples that are as its schemas say, of every body', () => {
    const faults = examples.flatMap(({ place, faults }) => faults.map((fault) => `${place} ${fault}`));
    expect(faults).toStrictEqual([]);
    expect(examples.length).toBeGreaterThan(35);
  });

  test('refers to the schemas of schema/, and has none of their own words', () => {
    const text = readFileSync(join(root, 'openapi.yaml'), 'utf8');
    expect(text.match(/\$ref: schema\/[\w.-]+/g)?.length).toBeGreaterThan(30);
    expect(text).not.toMatch(/idsSha256:\n|latencyMs:\n|retryableIds:\n {10}type/);
  });

  test('has the codes of all problems in its examples', () => {
    const codes = examples.map(({ value }) => (value as { code?: string }).code);
    const rows = replies.matchAll(/^\| \d{3}.*? \| (.*?) \|/gm);
    const named = [...rows].flatMap(([, cell = '']) =>
      [...cell.matchAll(/`([A-Z_]{5,})`/g)].map(([, code]) => code),
    );
    expect(named.length).toBeGreaterThan(10);
    // What wants no example: it reads as others of its status do.
    const alike = ['INTERNAL_ERROR', 'CONFIG_UNAVAILABLE'];
    expect(named.filter((code) => !codes.includes(code) && !alike.includes(String(code)))).toStrictEqual([]);
  });

  test('is what docs/api.md shows of the API', () => {
    const shown = [...reading.matchAll(/```json\n(.*?)```/gs)].map(([, text = '']) => JSON.parse(text));
    expect(shown.length).toBeGreaterThan(2);
    for (const value of shown) expect(examples.map((example) => example.value)).toContainEqual(value);
    const paths = Object.keys(description.paths as object);
    expect(paths.filter((path) => !reading.includes(path))).toStrictEqual([]);
  });
});

describe('a reply is not as described', () => {
  const headers = {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  };
  const good = { statusCode: 200, headers, body: '{"runs":[]}' };

  test('but where it is', () => {
    expect(replyFaults('GET', '/batches', good)).toStrictEqual([]);
    const multiValueHeaders = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, [value]]),
    );
    expect(replyFaults('GET', '/batches', { ...good, headers: undefined, multiValueHeaders })).toStrictEqual(
      [],
    );
  });

  test('of a request whose method is a word of JavaScript, as of any that is none of the API', () => {
    for (const method of ['__proto__', 'constructor', 'BREW'])
      expect(replyFaults(method, '/batches', { ...good, statusCode: 418 })).toStrictEqual([
        `${method} /batches has no reply of status 418`,
      ]);
    const body = JSON.stringify({
      type: 'about:blank',
      title: 'Method Not Allowed',
      status: 405,
      detail: 'd',
      code: 'METHOD_NOT_ALLOWED',
    });
    const refused = {
      statusCode: 405,
      headers: { ...headers, 'content-type': 'application/problem+json', allow: 'GET, POST' },
      body,
    };
    for (const method of ['__proto__', 'constructor', 'BREW'])
      expect(replyFaults(method, '/batches', refused)).toStrictEqual([]);
  });

  test.each([
    ['of another status', { ...good, statusCode: 201 }, 'GET /batches has no reply of status 201'],
    [
      'with another header',
      { ...good, headers: { ...headers, etag: '"a"' } },
      'The header etag is not described',
    ],
    [
      'without a header',
      { ...good, headers: { ...headers, 'x-content-type-options': undefined } },
      'The header X-Content-Type-Options is missing',
    ],
    [
      'with another value of a header',
      { ...good, headers: { ...headers, 'cache-control': 'public' } },
      'Cache-Control:  must be equal to constant',
    ],
    [
      'of another type',
      { ...good, headers: { ...headers, 'content-type': 'text/html' } },
      'The type text/html is not described',
    ],
    ['with another body', { ...good, body: '{"runs":[],"x":1}' }, ' must NOT have additional properties'],
  ])('%s', (_, reply, fault) => {
    const { headers: given, ...rest } = reply;
    const known = Object.entries(given).filter(([, value]) => value !== undefined);
    expect(replyFaults('GET', '/batches', { ...rest, headers: Object.fromEntries(known) })).toContain(fault);
  });

  test('to a method or a path that is none, unless it says so', () => {
    expect(replyFaults('PUT', '/batches', good)).toStrictEqual(['PUT /batches has no reply of status 200']);
    expect(replyFaults('GET', '/posts', good)).toStrictEqual(['GET /posts has no reply of status 200']);
    const problem = {
      type: 'about:blank',
      title: 'Not Found',
      status: 404,
      detail: 'x',
      code: 'UNKNOWN_ROUTE',
    };
    const reply = {
      statusCode: 404,
      headers: { ...headers, 'content-type': 'application/problem+json' },
      body: JSON.stringify(problem),
    };
    expect(replyFaults('GET', '/posts', reply)).toStrictEqual([]);
    expect(replyFaults('GET', '/posts', { ...reply, body: '{}' })).not.toStrictEqual([]);
  });

  test('where it is no page, and says to be one', () => {
    const html = {
      statusCode: 200,
      headers: {
        ...headers,
        'content-type': 'text/html; charset=utf-8',
        vary: 'accept',
        etag: '"a"',
        'content-security-policy': "default-src 'none'; img-src data:",
      },
      body: '<!doctype html>\n<p>',
    };
    expect(replyFaults('GET', '/batches/r', html)).toStrictEqual([]);
    expect(replyFaults('GET', '/batches/r', { ...html, body: '{}' })).toStrictEqual([
      ' must match pattern "^<!doctype html>"',
    ]);
    const { vary: _none, ...others } = html.headers;
    const open = { ...others, 'content-security-policy': 'default-src *' };
    expect(replyFaults('GET', '/batches/r', { ...html, headers: open })).toStrictEqual([
      'The header Vary is missing',
      `Content-Security-Policy:  must match pattern "^default-src 'none';"`,
    ]);
  });

  test('with a body where there is to be none', () => {
    const { 'content-type': _type, ...others } = headers;
    const notModified = { statusCode: 304, headers: { ...others, vary: 'accept', etag: '"a"' }, body: '' };
    expect(replyFaults('GET', '/batches/r', notModified)).toStrictEqual([]);
    expect(replyFaults('GET', '/batches/r', { ...notModified, body: 'x' })).toStrictEqual([
      'There is a body',
    ]);
  });
});
