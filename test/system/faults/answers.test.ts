import { brotliCompressSync, gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { httpResponse } from '../../support/misbehaving-server.ts';
import { type Answer, expectOutcome, healthy, httpError, once, type Row } from './upstream.ts';
import {
  ATTEMPT_TIMEOUT_MS,
  HEALTHY,
  MAX_BODY_BYTES,
  network,
  type Outcome,
  startWorld,
  timedOut,
  type World,
  well,
} from './world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterEach(() => world.reset());
afterAll(() => world.close());

const thenReset =
  (text: string): Answer =>
  (socket) =>
    socket.write(text, () => socket.resetAndDestroy());
const thenEnd =
  (text: string): Answer =>
  (socket) =>
    socket.end(text);

const notJson: Outcome = {
  attempts: 1,
  httpStatus: 200,
  reason: { code: 'BAD_JSON', message: 'Post bad is not JSON in UTF-8', retryable: false },
};
const noData: Outcome = {
  attempts: 1,
  httpStatus: 200,
  reason: { code: 'NO_DATA', message: 'No data for post bad', retryable: false },
};
const tooLarge: Outcome = {
  attempts: 1,
  httpStatus: 200,
  reason: { code: 'TOO_LARGE', message: `Post bad is larger than ${MAX_BODY_BYTES} bytes`, retryable: false },
};

const tooDeep: Outcome = {
  attempts: 1,
  httpStatus: 200,
  reason: { code: 'TOO_LARGE', message: 'Post bad is nested more than 256 deep', retryable: false },
};

const HEAD = 'HTTP/1.1 200 OK\r\n';
const LONG = `${HEAD}content-length: 100\r\n\r\n`;
const CHUNKED = `${HEAD}transfer-encoding: chunked\r\n\r\n`;
const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
const proto = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}';
const compressed = (encoding: string, body: Buffer): Buffer =>
  httpResponse(200, body, { 'content-encoding': encoding });
const stringOf = (bytes: number): string => `"${'x'.repeat(bytes - 2)}"`;
const redirect = (location: string): Buffer => httpResponse(302, '', { location });
const elsewhere = (target: string): Outcome => httpError(302, `, a redirect to another origin (${target})`);

const rows: readonly Row[] = [
  ['a request that is never answered has timed out', () => {}, timedOut()],
  ['a reset before the headers', (socket) => socket.resetAndDestroy(), network('ECONNRESET')],
  ['a reset within the headers', thenReset(`${HEAD}content-le`), network('ECONNRESET')],
  ['a reset after the headers', thenReset(LONG), network('ECONNRESET')],
  ['a reset within the body', thenReset(`${LONG}{"half"`), network('ECONNRESET')],
  [
    'one reset is passed by the second attempt',
    (socket, times) => (times === 1 ? socket.resetAndDestroy() : socket.write(healthy)),
    well(HEALTHY, 2),
  ],
  ['an end before the headers', (socket) => socket.end(), network('ECONNRESET')],
  ['half the headers, then nothing', `${HEAD}content-le`, timedOut()],
  ['half the body, then the end', thenEnd(`${LONG}{"half"`), network('ECONNRESET')],
  ['half the body, then nothing', `${LONG}{"half"`, timedOut()],
  ['a byte of the body now and then', drip(LONG), timedOut()],
  ['a header line a byte at a time that has no end', drip(`${HEAD}x-slow: `), timedOut()],
  ['a chunk whose length is no number', `${CHUNKED}zz\r\n{"half"\r\n`, network('HPE_INVALID_CHUNK_SIZE')],
  ['a chunk that is longer than its length', `${CHUNKED}2\r\n{"half"\r\n`, network('HPE_LF_EXPECTED')],
  ['an end within a chunk', thenEnd(`${CHUNKED}64\r\n{"half"`), network('ECONNRESET')],
  ['an end before the last chunk', thenEnd(`${CHUNKED}7\r\n{"half"\r\n`), network('ECONNRESET')],
  ['chunks without the last one', `${CHUNKED}7\r\n{"half"\r\n`, timedOut()],
  ['a Content-Length too large', httpResponse(200, HEALTHY, { 'content-length': 99 }), timedOut()],
  [
    'a Content-Length too large, and the end',
    (socket) => socket.end(httpResponse(200, HEALTHY, { 'content-length': 99 })),
    network('ECONNRESET'),
  ],
  [
    'a Content-Length too small ends the body there',
    httpResponse(200, `${HEALTHY}garbage`, { 'content-length': HEALTHY.length }),
    well(),
    { unsolicited: 1 },
  ],
  [
    'a Content-Length too small for the JSON',
    httpResponse(200, HEALTHY, { 'content-length': 9 }),
    notJson,
    { unsolicited: 1 },
  ],
  [
    'two Content-Lengths',
    `${HEAD}content-length: 3\r\ncontent-length: 4\r\n\r\n[1]`,
    network('INVALID_HEADER'),
  ],
  ['what is no HTTP', thenEnd('SSH-2.0-OpenSSH_9.6\r\n'), network('HPE_INVALID_CONSTANT')],
  ['102 and 103 before the answer', `${early(102)}${early(103)}${healthy}`, well()],
  ['103, and no answer', early(103), timedOut()],
  // undici has it so, though RFC 9110, 15.2.1 lets a client that expected no 100 discard it.
  ['100, which nobody asked for', `${early(100)}${healthy}`, network('UNEXPECTED_CONTINUE')],
  [
    '101, which nobody asked for',
    `${early(101, 'upgrade: x\r\nconnection: upgrade\r\n')}`,
    network('UNEXPECTED_UPGRADE'),
  ],
  ['500 each time', httpResponse(500, 'oops'), httpError(500)],
  ['a status that is none of HTTP', 'HTTP/1.1 042 Odd\r\ncontent-length: 2\r\n\r\n[]', httpError(42)],
  ['500 once', once(httpResponse(500, 'oops')), well(HEALTHY, 2)],
  [
    '500 whose body has no end',
    'HTTP/1.1 500 Oops\r\ncontent-length: 9\r\n\r\noops',
    httpError(500),
    { hangs: true },
  ],
  ['a redirect to itself', redirect('/posts/bad'), httpError(302, ', more than 3 redirects')],
  ['a redirect to another host', redirect('http://evil.invalid/'), elsewhere('http://evil.invalid')],
  ['a redirect to a file', redirect('file:///etc/passwd'), elsewhere('file:')],
  [
    'a redirect to a private address',
    redirect('http://169.254.169.254/latest/meta-data/'),
    elsewhere('http://169.254.169.254'),
  ],
  [
    'a redirect to a host of 15 KB',
    redirect(`http://${'x'.repeat(15_000)}/`),
    elsewhere(`http://${'x'.repeat(92)}…`),
  ],
  ['a redirect to nowhere', redirect(''), httpError(302)],
  ['a redirect to another port', redirect('http://127.0.0.1:1/'), elsewhere('http://127.0.0.1:1')],
  ['gzip is undone', compressed('gzip', gzipSync(HEALTHY)), well()],
  ['br is undone', compressed('br', brotliCompressSync(HEALTHY)), well()],
  ['a truncated gzip', compressed('gzip', gzipSync(HEALTHY).subarray(0, -6)), network('ECONNRESET')],
  ['what is no gzip', compressed('gzip', Buffer.from(HEALTHY)), network('Z_DATA_ERROR')],
  ['a gzip bomb', compressed('gzip', gzipSync(Buffer.alloc(50_000_000, ' '))), tooLarge],
  ['a br bomb', compressed('br', brotliCompressSync(Buffer.alloc(5_000_000, ' '))), tooLarge],
  ['1 MiB and a byte', httpResponse(200, stringOf(MAX_BODY_BYTES + 1)), tooLarge],
  ['1 MiB', httpResponse(200, stringOf(MAX_BODY_BYTES)), well(stringOf(MAX_BODY_BYTES))],
  ['invalid UTF-8', httpResponse(200, Buffer.from([0x22, 0xc3, 0x28, 0x22])), notJson],
  ['a byte order mark goes', httpResponse(200, `\u{feff}${HEALTHY}`), well()],
  ['nothing but a byte order mark', httpResponse(200, '\u{feff}'), noData],
  ['a NUL byte in a string', httpResponse(200, '"a\0b"'), notJson],
  ['NUL bytes after the JSON', httpResponse(200, `${HEALTHY}\0\0`), notJson],
  ['an escaped NUL stays', httpResponse(200, '"a\\u0000b"'), well('"a\\u0000b"')],
  ['256 nested arrays', httpResponse(200, nested(256)), well(nested(256))],
  ['257 nested arrays', httpResponse(200, nested(257)), tooDeep],
  ['10,000 nested arrays', httpResponse(200, nested(10_000)), tooDeep],
  // What is read first says what is wrong.
  ['10,000 nested arrays without an end', httpResponse(200, '['.repeat(10_000)), tooDeep],
  ['256 nested arrays without an end', httpResponse(200, '['.repeat(256)), notJson],
  ['10,000 arrays that only end', httpResponse(200, ']'.repeat(10_000)), notJson],
  ['1 MB of nested objects', httpResponse(200, '{"a":'.repeat(200_000)), tooDeep],
  ['__proto__ as a key', httpResponse(200, proto), well(proto)],
  ['NaN', httpResponse(200, '{"a":NaN}'), notJson],
  [
    'headers of 64 KB',
    httpResponse(200, HEALTHY, { 'x-large': 'x'.repeat(65_536) }),
    network('HPE_HEADER_OVERFLOW'),
  ],
  [
    'a login page',
    httpResponse(200, '<!doctype html><title>Log in</title>', { 'content-type': 'text/html' }),
    notJson,
  ],
];

test.each<Row>(rows)(
  '%s: the post has its outcome, and the others are untouched',
  async (_name, answer, outcome, more) => {
    await expectOutcome(world, answer, outcome, more);
    expect('polluted' in {}).toBe(false);
  },
);

function drip(text: string): Answer {
  return (socket, _times, _request, clock) => {
    const dripOn = (): void => {
      clock.after(ATTEMPT_TIMEOUT_MS / 10, () => {
        if (socket.destroyed) return;
        socket.write('x');
        dripOn();
      });
    };
    socket.write(text);
    dripOn();
  };
}

function early(status: number, headers = ''): string {
  return `HTTP/1.1 ${status} Early\r\n${headers}\r\n`;
}
