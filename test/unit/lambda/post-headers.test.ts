import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type ParameterStore, startParameterStore } from '../../../local/world/parameters.ts';
import { ConfigError } from '../../../src/base/errors.ts';
import { readPostHeaders } from '../../../src/lambda/post-headers.ts';

const secret = 's3cr3t-0f-th3-0r1g1n';
const directory = mkdtempSync(join(tmpdir(), 'post-headers-test-'));
const place = 'the SSM parameter /headers (POST_HEADERS_PARAMETER)';
let store: ParameterStore;

beforeAll(async () => {
  store = await startParameterStore({ directory });
});
beforeEach(() => {
  vi.stubEnv('AWS_REGION', 'us-east-1');
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'local');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'local');
  vi.stubEnv('AWS_ENDPOINT_URL_SSM', store.endpoint);
});
afterEach(() => {
  vi.unstubAllEnvs();
});
afterAll(async () => {
  await store.close();
  rmSync(directory, { recursive: true });
});

function write(value: unknown): void {
  writeFileSync(join(directory, 'headers.json'), typeof value === 'string' ? value : JSON.stringify(value));
}

/** The ConfigError's message, once nothing of it is known to hold the secret. */
async function refusalOf(reading: Promise<unknown>): Promise<string> {
  const error = await reading.then(
    (headers) => expect.fail(`It was not refused: ${inspect(headers)}`),
    (reason: unknown) => reason,
  );
  if (!(error instanceof ConfigError)) throw error;
  const shown = [
    inspect(error, { depth: Infinity, showHidden: true }),
    JSON.stringify(error, Object.getOwnPropertyNames(error)),
    error.stack,
  ];
  expect(shown.join('\n')).not.toContain(secret);
  expect(error.cause).toBeUndefined();
  return error.message;
}

describe('a parameter that SSM gives', () => {
  test('is read as headers, under lower-case names', async () => {
    write({ Authorization: `Bearer ${secret}`, 'X-Team': 'Zürich\tblue', "x!#$%&'*+.^_`|~9": '"q"' });
    expect(await readPostHeaders('/headers')).toStrictEqual({
      authorization: `Bearer ${secret}`,
      'x-team': 'Zürich\tblue',
      "x!#$%&'*+.^_`|~9": '"q"',
    });
  });

  test('may have 32 headers and 8192 characters', async () => {
    const headers = Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`x-${i}`, 'v']));
    write({ ...headers, 'x-0': 'v'.repeat(8_193 - JSON.stringify(headers).length) });
    expect(Object.keys(await readPostHeaders('/headers'))).toHaveLength(32);
  });

  test('is asked for again at each call', async () => {
    write({ 'x-key': 'before' });
    await readPostHeaders('/headers');
    write({ 'x-key': 'after' });
    expect(await readPostHeaders('/headers')).toStrictEqual({ 'x-key': 'after' });
  });

  test.each<[got: string, value: unknown]>([
    ['no JSON', `{"authorization":"${secret}`],
    ['no JSON', secret],
    ['no JSON', ''],
    ['a string', JSON.stringify(secret)],
    ['an array', [secret]],
    ['null', 'null'],
    ['a number', '7'],
    ['0 headers', '{}'],
    ['33 headers', Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`x-${i}`, secret]))],
    ['8193 characters', JSON.stringify({ 'x-key': secret }).padEnd(8_193)],
  ])('is refused as %s', async (got, value) => {
    write(value);
    expect(await refusalOf(readPostHeaders('/headers'))).toBe(
      `Expected ${place} to be a JSON object of 1 to 32 headers in at most 8192 characters, got ${got}`,
    );
  });

  test.each([
    ['empty', ''],
    ['with a line break', `${secret}\r\nx-other: 1`],
    ['that ends with a line break', `${secret}\n`],
    ['with a NUL', `${secret}\0`],
    ['with a DEL', `${secret}\x7f`],
    ['with a control character of Latin-1', `${secret}\x85`],
    ['beyond Latin-1', `${secret}€`],
    ['with white space before it', ` ${secret}`],
    ['with white space behind it', `${secret}\t`],
  ])('cannot hold a value %s', async (_, value) => {
    write({ 'x-fine': 'yes', Authorization: value });
    expect(await refusalOf(readPostHeaders('/headers'))).toBe(
      `Expected \`authorization\` in ${place} to be visible Latin-1 characters with blanks only between them, got another string`,
    );
  });

  test.each([
    ['null', null],
    ['a number', 7],
    ['a boolean', true],
    ['an array', [secret]],
    ['an object', { secret }],
  ])('cannot hold %s for a value', async (got, value) => {
    write({ authorization: value });
    expect(await refusalOf(readPostHeaders('/headers'))).toBe(
      `Expected \`authorization\` in ${place} to be visible Latin-1 characters with blanks only between them, got ${got}`,
    );
  });

  test.each(['', ':path', `Bearer ${secret}`, `${secret}:`, 'x\n', 'ä', '\u212aey', 'x'.repeat(129)])(
    'cannot have %j for a name, which is not quoted',
    async (name) => {
      write({ 'x-fine': 'yes', [name]: secret });
      expect(await refusalOf(readPostHeaders('/headers'))).toBe(
        `Expected header 2 of ${place} to have an HTTP token as its name`,
      );
    },
  );

  test.each([
    'Host',
    'content-length',
    'Transfer-Encoding',
    'connection',
    'keep-alive',
    'upgrade',
    'http2-settings',
    'te',
    'trailer',
    'expect',
    'Accept-Encoding',
    'Proxy-Authorization',
    'proxy-connection',
  ])('cannot have %s, which is the request’s own', async (name) => {
    write({ [name]: secret });
    expect(await refusalOf(readPostHeaders('/headers'))).toBe(
      `Expected \`${name.toLowerCase()}\` not to be in ${place}: it is the request's own`,
    );
  });

  test('may have what only looks like the request’s own', async () => {
    write({ hostname: 'a', 'x-te': 'b', teapot: 'c', proxy: 'd' });
    expect(Object.keys(await readPostHeaders('/headers'))).toHaveLength(4);
  });

  test('is refused with every mistake at once', async () => {
    write({ 'X-Key': secret, 'x-key': secret, te: secret, 'x y': secret, 'x-empty': '' });
    expect(await refusalOf(readPostHeaders('/headers'))).toBe(
      [
        `Expected \`x-key\` to be in ${place} once, whatever its case`,
        `Expected \`te\` not to be in ${place}: it is the request's own`,
        `Expected header 4 of ${place} to have an HTTP token as its name`,
        `Expected \`x-empty\` in ${place} to be visible Latin-1 characters with blanks only between them, got another string`,
      ].join('; '),
    );
  });
});

describe('an SSM that does not give it', () => {
  let server: Server;
  let requests: number;

  /** An SSM that answers every request so. */
  async function startSsm(answer: (response: ServerResponse) => unknown): Promise<void> {
    requests = 0;
    server = createServer((_, response) => {
      requests += 1;
      answer(response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo; // a TCP server has no other kind
    vi.stubEnv('AWS_ENDPOINT_URL_SSM', `http://127.0.0.1:${port}`);
  }

  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });

  const refused = (got: string) =>
    `Expected ${place} to be one that the function may read and decrypt, got ${got}`;

  test('for want of the parameter names it, and is asked again by the next call', async () => {
    rmSync(join(directory, 'headers.json'), { force: true });
    expect(await refusalOf(readPostHeaders('/headers'))).toBe(refused('ParameterNotFound'));
    write({ 'x-key': secret });
    expect(await readPostHeaders('/headers')).toStrictEqual({ 'x-key': secret });
  });

  test.each([
    ['AccessDeniedException', 400, { __type: 'AccessDeniedException', message: secret }, 1],
    ['InvalidKeyId', 400, { __type: 'com.amazonaws.ssm#InvalidKeyId', message: secret }, 1],
    ['ThrottlingException', 400, { __type: 'ThrottlingException' }, 3],
    ['InternalServerError', 500, { __type: 'InternalServerError' }, 3],
    ['an error', 400, { __type: `no name ${secret}` }, 1],
  ])('says %s, without the message', async (got, status, body, attempts) => {
    await startSsm((response) => response.writeHead(status).end(JSON.stringify(body)));
    expect(await refusalOf(readPostHeaders('/headers'))).toBe(refused(got));
    expect(requests).toBe(attempts);
  });

  test.each([
    ['is not JSON', `{"Parameter":{"Value":"${secret}`, refused('SyntaxError')],
    [
      'has no value',
      '{"Parameter":{}}',
      `Expected ${place} to be a JSON object of 1 to 32 headers in at most 8192 characters, got nothing`,
    ],
  ])('is refused where its answer %s', async (_, body, message) => {
    await startSsm((response) => response.end(body));
    expect(await refusalOf(readPostHeaders('/headers'))).toBe(message);
  });

  test('and refuses connections is given up with the system’s code', async () => {
    await startSsm(() => {});
    server.close();
    expect(await refusalOf(readPostHeaders('/headers'))).toBe(refused('Error ECONNREFUSED'));
  });

  test('and hangs, before its answer or in it, is given up within 12 s', async () => {
    await startSsm((response) => requests === 2 && response.write(`{"Parameter":{"Value":"${secret}`));
    const startedMs = performance.now();
    expect(await refusalOf(readPostHeaders('/headers'))).toBe(refused('TimeoutError ETIMEDOUT'));
    expect(requests).toBe(3);
    expect(performance.now() - startedMs).toBeLessThan(12_000);
  });
});
