import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type ParameterStore, startParameterStore } from '../../../local/world/parameters.ts';
import { ConfigError, ConfigUnavailableError } from '../../../src/base/errors.ts';
import { readPostHeaders } from '../../../src/lambda/post-headers.ts';
import { eventually } from '../../support/eventually.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { quiet } from '../../support/manual-mapper.ts';

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

function readHeaders(clock = new FakeClock()) {
  return readPostHeaders('/headers', { remainingMs: 30_000 }, { clock });
}

/** The ConfigError's message, once nothing of it is known to hold the secret. */
function refusalOf(reading: Promise<unknown>): Promise<string> {
  return messageOf(reading, ConfigError);
}

/** The same of a ConfigUnavailableError. */
function unavailableOf(reading: Promise<unknown>): Promise<string> {
  return messageOf(reading, ConfigUnavailableError);
}

async function messageOf(
  reading: Promise<unknown>,
  kind: typeof ConfigError | typeof ConfigUnavailableError,
): Promise<string> {
  const error = await reading.then(
    (headers) => expect.fail(`It was not refused: ${inspect(headers)}`),
    (reason: unknown) => reason,
  );
  if (!(error instanceof kind)) throw error;
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
    expect(await readHeaders()).toStrictEqual({
      authorization: `Bearer ${secret}`,
      'x-team': 'Zürich\tblue',
      "x!#$%&'*+.^_`|~9": '"q"',
    });
  });

  test('may have 32 headers and 8192 characters', async () => {
    const headers = Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`x-${i}`, 'v']));
    write({ ...headers, 'x-0': 'v'.repeat(8_193 - JSON.stringify(headers).length) });
    expect(Object.keys(await readHeaders())).toHaveLength(32);
  });

  test('is asked for again at each call', async () => {
    write({ 'x-key': 'before' });
    await readHeaders();
    write({ 'x-key': 'after' });
    expect(await readHeaders()).toStrictEqual({ 'x-key': 'after' });
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
    expect(await refusalOf(readHeaders())).toBe(
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
    expect(await refusalOf(readHeaders())).toBe(
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
    expect(await refusalOf(readHeaders())).toBe(
      `Expected \`authorization\` in ${place} to be visible Latin-1 characters with blanks only between them, got ${got}`,
    );
  });

  test.each(['', ':path', `Bearer ${secret}`, `${secret}:`, 'x\n', 'ä', '\u212aey', 'x'.repeat(129)])(
    'cannot have %j for a name, which is not quoted',
    async (name) => {
      write({ 'x-fine': 'yes', [name]: secret });
      expect(await refusalOf(readHeaders())).toBe(
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
    expect(await refusalOf(readHeaders())).toBe(
      `Expected \`${name.toLowerCase()}\` not to be in ${place}: it is the request's own`,
    );
  });

  test('may have what only looks like the request’s own', async () => {
    write({ hostname: 'a', 'x-te': 'b', teapot: 'c', proxy: 'd' });
    expect(Object.keys(await readHeaders())).toHaveLength(4);
  });

  test('is refused with every mistake at once', async () => {
    write({ 'X-Key': secret, 'x-key': secret, te: secret, 'x y': secret, 'x-empty': '' });
    expect(await refusalOf(readHeaders())).toBe(
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
  let server: Server | undefined;
  let requests: number;

  /** An SSM that answers every request so; `nth` counts them from 1. */
  async function startSsm(answer: (response: ServerResponse, nth: number) => unknown): Promise<void> {
    requests = 0;
    server = createServer((_, response) => {
      requests += 1;
      answer(response, requests);
    });
    await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo; // a TCP server has no other kind
    vi.stubEnv('AWS_ENDPOINT_URL_SSM', `http://127.0.0.1:${port}`);
  }

  const fail = (response: ServerResponse, name: string, status: number) =>
    response.writeHead(status).end(JSON.stringify({ __type: name, message: secret }));
  const give = (response: ServerResponse) =>
    response.end(JSON.stringify({ Parameter: { Value: '{"x-key":"v"}' } }));

  beforeEach(() => {
    // The SDK backs off with full jitter: with nothing to wait for, tests take no time.
    vi.spyOn(Math, 'random').mockReturnValue(0);
  });
  afterEach(() => {
    vi.restoreAllMocks();
    server?.closeAllConnections();
    server?.close();
  });

  const refused = (got: string) =>
    `Expected ${place} to be one that the function may read and decrypt, got ${got}`;

  test('for want of the parameter names it, and is asked again by the next call', async () => {
    rmSync(join(directory, 'headers.json'), { force: true });
    expect(await refusalOf(readHeaders())).toBe(refused('ParameterNotFound'));
    write({ 'x-key': secret });
    expect(await readHeaders()).toStrictEqual({ 'x-key': secret });
  });

  test.each([
    ['AccessDeniedException', 400, 'AccessDeniedException'],
    ['InvalidKeyId', 400, 'com.amazonaws.ssm#InvalidKeyId'],
    ['UnrecognizedClientException', 403, 'UnrecognizedClientException'],
    ['an error', 400, `no name ${secret}`],
  ])('because the operator has to mend something says %s, without the message', async (got, status, name) => {
    await startSsm((response) => fail(response, name, status));
    expect(await refusalOf(readHeaders())).toBe(refused(got));
    expect(requests).toBe(1);
  });

  test('for want of a region has to be mended, too', async () => {
    vi.stubEnv('AWS_REGION', undefined);
    expect(await refusalOf(readHeaders())).toMatch(
      /^Expected .* to be one that the function may read .*, got Error$/,
    );
  });

  test('but answers without a value is refused as one that gives nothing', async () => {
    await startSsm((response) => response.end('{"Parameter":{}}'));
    expect(await refusalOf(readHeaders())).toBe(
      `Expected ${place} to be a JSON object of 1 to 32 headers in at most 8192 characters, got nothing`,
    );
  });

  test('at first, as it fails, is asked again', async () => {
    await startSsm((response, nth) =>
      nth <= 20 ? fail(response, 'InternalServerError', 500) : give(response),
    );
    expect(await readHeaders()).toStrictEqual({ 'x-key': 'v' });
    expect(requests).toBe(21);
  });

  test('at first, as it is throttled, is asked again, and not at once', async () => {
    await startSsm((response, nth) =>
      nth === 1 ? fail(response, 'ThrottlingException', 400) : give(response),
    );
    expect(await readHeaders()).toStrictEqual({ 'x-key': 'v' });
    expect(requests).toBe(2);
  });

  test('at first, as it hangs, before its answer or in it, is asked again', async () => {
    await startSsm((response, nth) => {
      if (nth === 2) response.write(`{"Parameter":{"Value":"${secret}`);
      else if (nth === 3) give(response);
    });
    expect(await readHeaders()).toStrictEqual({ 'x-key': 'v' });
    expect(requests).toBe(3);
  }, 20_000);

  /** What is thrown once half of the time is over, at which the first request has come. */
  async function failureAtHalfTime(isReady: () => boolean): Promise<unknown> {
    const clock = new FakeClock();
    const reading = readHeaders(clock);
    let isSettled = false;
    reading.catch(() => {
      isSettled = true;
    });
    await eventually(isReady);
    clock.advance(14_999);
    await quiet();
    expect(isSettled).toBe(false);
    clock.advance(1);
    return unavailableOf(reading);
  }

  test('as it is throttled for half of the time says so, and may be asked later', async () => {
    let isAnswered = false;
    await startSsm((response) => {
      fail(response, 'ThrottlingException', 400).on('close', () => {
        isAnswered = true;
      });
    });
    // The answer is on its way when the server is done with it.
    expect(await failureAtHalfTime(() => isAnswered)).toMatch(
      /^Expected .* to be given in time, got (ThrottlingException|no answer)$/,
    );
  });

  test('as it says nothing for half of the time says that', async () => {
    await startSsm(() => {});
    expect(await failureAtHalfTime(() => requests > 0)).toBe(
      `Expected ${place} to be given in time, got no answer`,
    );
  });

  test('until the quota of retries is used up says why, and may be asked later', async () => {
    await startSsm((response) => fail(response, 'InternalServerError', 500));
    expect(await unavailableOf(readHeaders())).toBe(`Expected ${place} to be given, got InternalServerError`);
    expect(requests).toBeGreaterThan(20);
  });

  test.each([['which cannot be read', `{"Parameter":{"Value":"${secret}`, 'SyntaxError']])(
    'but an answer %s may give it later',
    async (_, body, got) => {
      await startSsm((response) => response.end(body));
      expect(await unavailableOf(readHeaders())).toBe(`Expected ${place} to be given, got ${got}`);
    },
  );

  test.each([
    ['ExpiredTokenException', 400],
    ['UnknownError', 429],
  ])('for %s (%i) may give it later', async (name, status) => {
    await startSsm((response) => fail(response, name, status));
    const clock = new FakeClock();
    const reading = readHeaders(clock);
    reading.catch(() => {});
    await eventually(() => requests > 0);
    await quiet();
    clock.advance(15_000);
    expect(await unavailableOf(reading)).toMatch(/^Expected .* to be given/);
  });

  test('and refuses connections is given up with the system’s code', async () => {
    await startSsm(() => {});
    server?.close();
    expect(await unavailableOf(readHeaders())).toBe(`Expected ${place} to be given, got Error ECONNREFUSED`);
  });
});
