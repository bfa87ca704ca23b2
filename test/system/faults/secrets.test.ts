import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ParameterStore, startParameterStore } from '../../../local/world/parameters.ts';
import { projectDirectory } from '../../../local/world/places.ts';
import { type S3Store, startS3Store } from '../../../local/world/s3.ts';
import { makeCertificate } from '../../support/certificate.ts';
import { type HandlerProcess, startHandler } from '../../support/handler-process.ts';
import { http2Frames, startHttp2Server, startRawHttp2Server } from '../../support/http2-server.ts';
import { httpResponse, startMisbehavingServer } from '../../support/misbehaving-server.ts';
import { sampleEvent } from '../../support/sample-events.ts';

/** In small letters, as hosts and schemes come to be, of which it may be one. */
const SECRET = 'k3y-5f0c29d1b7e84a66';
/** As text, as the bytes of a printed Buffer, and in base64. */
const TRACES = [
  SECRET,
  Buffer.from(SECRET)
    .toString('hex')
    .replace(/..(?=.)/g, '$& '),
  btoa(SECRET).slice(0, -4),
];
const HANDLER = join(projectDirectory, 'src/lambda/fetch.ts');
const BUCKET = 'results';
const MAX_BODY_BYTES = 2_000;
const ENHANCE_YOUR_CALM = 11;
const certificate = makeCertificate();

let home: string;
let store: S3Store;
let parameters: ParameterStore;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'batch-fetcher-secrets-'));
  store = await startS3Store({ directory: home, buckets: [BUCKET] });
  parameters = await startParameterStore({ directory: join(home, 'parameters') });
  await mkdir(join(home, 'parameters'));
  await writeFile(join(home, 'parameters/headers.json'), JSON.stringify({ 'X-Api-Key': SECRET }));
  await writeFile(join(home, 'ca.pem'), certificate.cert);
});
afterAll(async () => {
  await parameters.close();
  await store.close();
  await rm(home, { recursive: true });
});

const HEAD = 'HTTP/1.1 200 OK\r\n';
const CHUNKED = `${HEAD}transfer-encoding: chunked\r\n\r\n`;

/** What is not good of the values of header fields, by the id of the post. */
const fieldsOf = (secret: string): Readonly<Record<string, readonly [number, Record<string, string>]>> => ({
  'location-host': [302, { location: `http://${secret}.evil.test/` }],
  'location-scheme': [302, { location: `${secret}:/` }],
  'location-user': [302, { location: `http://${secret}:${secret}@evil.test/${secret}` }],
  'location-no-url': [302, { location: `http://[${secret}` }],
  'location-here': [302, { location: `/missing?${secret}` }],
  'content-encoding': [200, { 'content-encoding': secret }],
  'content-encodings': [200, { 'content-encoding': `gzip, ${secret}` }],
  gzip: [200, { 'content-encoding': 'gzip' }],
  'retry-after': [429, { 'retry-after': secret }],
  'retry-after-unavailable': [503, { 'retry-after': secret }],
  'rate-limit': [429, { ratelimit: `"${secret}";r=${secret};t=1`, 'ratelimit-policy': secret }],
  'rate-limit-remaining': [403, { 'ratelimit-remaining': secret, 'ratelimit-reset': secret }],
  'x-rate-limit': [403, { 'x-ratelimit-remaining': secret, 'x-ratelimit-reset': secret }],
  'any-field': [500, { server: secret, [`x-${secret}`]: secret, 'set-cookie': secret }],
  'error-body': [500, {}],
  'not-found-body': [404, {}],
  'not-json': [200, {}],
});

/** Answers that are no HTTP/1.1, or end too early. */
const bytesOf = (secret: string): Readonly<Record<string, string>> => ({
  'header-token': `${HEAD}${secret} x: 1\r\n\r\n`,
  'header-value': `${HEAD}x: \0${secret}\r\n\r\n`,
  'header-line-feed': `${HEAD}x: ${secret}\n${secret}\r\n\r\n`,
  'header-overflow': `${HEAD}x: ${secret.repeat(4_000)}\r\n\r\n`,
  'content-length': `${HEAD}content-length: ${secret}\r\n\r\n`,
  'content-lengths': `${HEAD}content-length: 3\r\ncontent-length: 3${secret}\r\n\r\n123`,
  'transfer-encoding': `${HEAD}transfer-encoding: chunked, ${secret}\r\n\r\n${secret}`,
  'chunk-size': `${CHUNKED}${secret}\r\n`,
  'chunk-extension': `${CHUNKED}3;${secret}=\0\r\n123\r\n`,
  'chunk-end': `${CHUNKED}3\r\n123${secret}`,
  trailer: `${CHUNKED}3\r\n123\r\n0\r\n${secret} x: 1\r\n\r\n`,
  'status-line': `HTTP/1.1 ${secret} OK\r\n\r\n`,
  'status-text': `HTTP/1.1 500 ${secret}\r\ncontent-length: 0\r\n\r\n`,
  'status-zero': `HTTP/1.1 000 ${secret}\r\ncontent-length: 0\r\n\r\n`,
  version: `HTTP/${secret} 200 OK\r\n\r\n`,
  'no-http': `${secret}\r\n${secret}`,
  early: `HTTP/1.1 103 ${secret}\r\nx: ${secret}\r\n\r\n`,
  upgrade: `HTTP/1.1 101 ${secret}\r\nupgrade: ${secret}\r\nconnection: upgrade\r\n\r\n`,
  'cut-head': `${HEAD}x: ${secret}`,
  'cut-body': `${HEAD}content-length: 100\r\n\r\n"${secret}`,
});

/** Bodies that are answered with 200. */
const bodiesOf = (secret: string): Readonly<Record<string, string>> => ({
  large: `"${secret.repeat(MAX_BODY_BYTES)}"`,
  deep: `${'['.repeat(300)}"${secret}"`,
  'no-json': `{"a":"${secret}"`,
});

/** Answers the post of a path with what there is of it, and with the secret wherever that can be. */
function answerHttp1(socket: Socket, path: string, secret: string): void {
  const id = path.slice('/posts/'.length);
  const [status, fields] = fieldsOf(secret)[id] ?? [];
  const bytes = bytesOf(secret)[id];
  const body = bodiesOf(secret)[id];
  if (status !== undefined) socket.write(httpResponse(status, secret, fields));
  // No connection outlives these.
  else if (bytes !== undefined) socket.end(bytes);
  else if (body !== undefined) socket.write(httpResponse(200, body));
  else if (id === 'value') socket.write(httpResponse(200, JSON.stringify({ echo: secret })));
  else socket.write(httpResponse(404, secret));
}

/** The same over HTTP/2, as far as a server of Node's may misbehave. */
function answerHttp2(stream: ServerHttp2Stream, path: string, secret: string): void {
  const id = path.slice('/posts/'.length);
  const [status, fields] = fieldsOf(secret)[id] ?? [];
  const body = bodiesOf(secret)[id];
  if (id === 'trailer') {
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-secret': secret }));
    stream.end(secret);
  } else if (id === 'reset') {
    stream.respond({ ':status': 200, 'x-secret': secret });
    stream.write(secret, () => stream.close(ENHANCE_YOUR_CALM));
  } else if (id === 'value') {
    stream.end(JSON.stringify({ echo: secret }));
  } else if (status !== undefined) {
    stream.respond({ ':status': status, ...fields });
    stream.end(secret);
  } else if (body !== undefined) {
    stream.end(body);
  } else {
    stream.respond({ ':status': 404 });
    stream.end(secret);
  }
}

const triggers: Readonly<Record<string, (form: object) => unknown>> = {
  direct: (form) => form,
  schedule: (form) => ({ ...sampleEvent<object>('eventbridge-custom'), detail: form }),
  api: (form) => ({
    ...sampleEvent<object>('http-api-post'),
    body: JSON.stringify(form),
    isBase64Encoded: false,
  }),
};

/** Runs a batch of all the ids, and one of each that ends with its failure, by every trigger. */
async function runEach(lambda: HandlerProcess, ids: readonly string[]): Promise<void> {
  for (const [trigger, eventOf] of Object.entries(triggers)) {
    const runId = `all-${trigger}`;
    const answer = await lambda.invoke(eventOf({ ids: [...ids, 'value'], runId }), runId);
    expect(answer).toHaveProperty('returned');
    expectQuotedAtMost(await readFile(join(home, BUCKET, `runs/${runId}.json`), 'utf8'), ids.length + 1);

    for (const id of ids) {
      const failed = await lambda.invoke(
        eventOf({ ids: ['value', id], returnExceptions: false, runId: `${id}-${trigger}` }),
        `${id}-${trigger}`,
      );
      const told = JSON.stringify(failed);
      expect(told).toMatch(trigger === 'api' ? '"statusCode":502' : 'PostError: ');
      expectNone(told, `${id} by ${trigger}`);
    }
  }
}

/** Of a document: the value that was asked for has it, and a message where it quotes what the origin named. */
function expectQuotedAtMost(document: string, count: number): void {
  const { results, errors } = JSON.parse(document);
  expect(results).toHaveLength(count);
  for (const { id, status, reason } of results)
    if (status === 'rejected' && !/^location-|^content-encoding/.test(id))
      expectNone(JSON.stringify(reason), `the reason of ${id}`);
    else if (status === 'fulfilled') expect(id).toBe('value');
  for (const { message } of errors.first) expect(message.length).toBeLessThanOrEqual(300);
}

function expectNone(text: string, where: string): void {
  for (const trace of TRACES) if (text.includes(trace)) expect.fail(`The secret is in ${where}: ${text}`);
}

/** A function with the secret header, whose log is as talkative as it can be, and what it has logged. */
async function logOf(origin: string, ids: readonly string[]): Promise<string> {
  await rm(join(home, BUCKET, 'runs'), { recursive: true, force: true });
  const lambda = startHandler(HANDLER, {
    RESULTS_BUCKET: BUCKET,
    POST_URL: `${origin}/posts/{id}`,
    POST_HEADERS_PARAMETER: '/headers',
    ...store.environment,
    AWS_ENDPOINT_URL_SSM: parameters.endpoint,
    NODE_EXTRA_CA_CERTS: join(home, 'ca.pem'),
    POWERTOOLS_LOG_LEVEL: 'DEBUG',
    MAX_ATTEMPTS: '1',
    MAX_BODY_BYTES: String(MAX_BODY_BYTES),
    ADAPTIVE: 'off',
  });
  try {
    await runEach(lambda, ids);
    const { stdout, stderr } = await lambda.leave();
    return stdout + stderr;
  } finally {
    lambda.kill();
  }
}

/** What was logged tells of each run that failed and of each post, and has nothing of the secret. */
function expectLogged(log: string, ids: readonly string[]): void {
  for (const line of log.split('\n')) expectNone(line, 'the log');
  const entries = log.split('\n').flatMap((line) => (line.startsWith('{"level"') ? [JSON.parse(line)] : []));
  const runsOf = (message: string): string[] =>
    entries.flatMap((entry) => (entry.message === message ? [entry.runId] : []));
  const failing = Object.keys(triggers).flatMap((trigger) => ids.map((id) => `${id}-${trigger}`));
  expect(runsOf('Run failed')).toStrictEqual(failing);
  expect(runsOf('Post rejected').length).toBeGreaterThanOrEqual(3 * ids.length);
  // What the API logs of its 5xx.
  expect(log.match(/PostError: /g)).toHaveLength(ids.length);
}

const pathsOf = (ids: readonly string[]): Set<string> =>
  new Set([...ids, 'value'].map((id) => `/posts/${id}`));

describe('a secret header that the origin sends back in all that it can is in no log, error or reply', () => {
  test('over HTTP/1.1', { timeout: 30_000 }, async () => {
    const ids = [fieldsOf, bytesOf, bodiesOf].flatMap((kinds) => Object.keys(kinds('')));
    const upstream = await startMisbehavingServer(({ socket, path, head }) => {
      answerHttp1(socket, path, /^x-api-key: (.*)$/im.exec(head)?.[1] ?? 'none');
    });
    try {
      expectLogged(await logOf(upstream.origin, ids), ids);
      const asked = upstream.requests.filter(({ head }) => head.includes(`x-api-key: ${SECRET}`));
      expect(new Set(asked.map(({ path }) => path))).toStrictEqual(pathsOf(ids));
    } finally {
      await upstream.stop();
    }
  });

  test('over HTTP/2', { timeout: 30_000 }, async () => {
    const ids = [...Object.keys(fieldsOf('')), ...Object.keys(bodiesOf('')), 'trailer', 'reset'];
    const upstream = await startHttp2Server(certificate, (stream, path, index) => {
      answerHttp2(stream, path, String(upstream.requests[index]?.['x-api-key'] ?? 'none'));
    });
    try {
      expectLogged(await logOf(upstream.origin, ids), ids);
      const asked = upstream.requests.filter((headers) => headers['x-api-key'] === SECRET);
      expect(new Set(asked.map((headers) => headers[':path']))).toStrictEqual(pathsOf(ids));
    } finally {
      await upstream.stop();
    }
  });

  test('over HTTP/2, in the last words of a connection', { timeout: 30_000 }, async () => {
    const upstream = await startRawHttp2Server(certificate, (stream) => [
      http2Frames.goAway(stream, ENHANCE_YOUR_CALM, SECRET),
      'end',
    ]);
    try {
      expectLogged(await logOf(upstream.origin, ['gone']), ['gone']);
    } finally {
      await upstream.stop();
    }
  });
});
