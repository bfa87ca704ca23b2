import { lookup } from 'node:dns/promises';
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Clock } from '../../../src/base/clock.ts';
import type { Id } from '../../../src/batch/ids.ts';
import { makeCertificate } from '../../support/certificate.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { http2Frames, startHttp2Server, startRawHttp2Server } from '../../support/http2-server.ts';
import {
  httpResponse,
  type MisbehavingServer,
  type RawRequest,
  startMisbehavingServer,
} from '../../support/misbehaving-server.ts';
import { SkippingClock } from '../../support/skipping-clock.ts';
import {
  ATTEMPT_TIMEOUT_MS,
  Attempts,
  attemptClock,
  type Given,
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

/** What the post at fault is answered with each time: bytes, or what is done with its socket. */
type Answer = Buffer | string | ((socket: Socket, times: number, request: RawRequest, clock: Clock) => void);
interface More {
  /** Where its attempts have no end and it has not timed out all the same. */
  readonly hangs?: true;
  /** How many answers that nobody asked for the run is to have seen. @default 0 */
  readonly unsolicited?: number;
}
type Row = [name: string, answer: Answer, outcome: Outcome, more?: More];

const healthy = httpResponse(200, HEALTHY);

/** Serves healthy posts, and the one at fault as `answer` says, by the clock of the attempts. */
async function serve(answer: Answer, clock: Clock) {
  let times = 0;
  return startMisbehavingServer((request) => {
    const { path, socket } = request;
    if (path !== '/posts/bad') socket.write(healthy);
    else if (typeof answer === 'function') answer(socket, ++times, request, clock);
    else socket.write(answer);
  });
}

/** Runs the batch, one post of which is answered so; that often its attempts have no end. */
async function runWith(answer: Answer, more: Partial<Given> = {}, hangs = 0) {
  const clock = attemptClock();
  const attempts = new Attempts(clock);
  const upstream = await serve(answer, clock);
  const running = world.run({ origin: upstream.origin, attempts, ...more });
  try {
    const asked = (attempt: number) => upstream.requested(5 + attempt);
    const [ran] = await Promise.all([running, timeOut(upstream, { clock, attempts, asked, times: hangs })]);
    await upstream.idle();
    return ran;
  } finally {
    await upstream.stop();
    // One that failed a test is not to run into the next.
    await Promise.allSettled([running]);
  }
}

interface Hanging {
  readonly clock: SkippingClock;
  readonly attempts: Attempts;
  /** Resolves once the server has got what comes of an attempt. */
  readonly asked: (attempt: number) => Promise<void>;
  readonly times: number;
  /** How many hang at once. @default 1 */
  readonly count?: number;
}

/** An attempt may have had to wait for so long for a connection that rests behind its first answer. */
const REST_MS = 10;

/** Lets attempts time out when they are the only ones left, and what the server has sent has come; not sooner. */
async function timeOut(upstream: MisbehavingServer, { clock, attempts, asked, times, count = 1 }: Hanging) {
  for (let attempt = 0; attempt < times; attempt++) {
    await asked(attempt);
    await attempts.inFlight(count);
    await upstream.taken();
    for (let tenth = 1; tenth < 10; tenth++) {
      clock.advance(ATTEMPT_TIMEOUT_MS / 10);
      await upstream.taken();
    }
    clock.advance(ATTEMPT_TIMEOUT_MS / 10 - REST_MS - 1);
    await setImmediate();
    expect(attempts.count).toBe(count);
    clock.advance(REST_MS + 1);
    await attempts.inFlight(0);
  }
}

/** Misbehaves the first time, and is healthy the second. */
const once =
  (first: Buffer): Answer =>
  (socket, times) =>
    socket.write(times === 1 ? first : healthy);
const thenReset =
  (text: string): Answer =>
  (socket) =>
    socket.write(text, () => socket.resetAndDestroy());
const thenEnd =
  (text: string): Answer =>
  (socket) =>
    socket.end(text);

const bad = (
  httpStatus: number,
  code: 'HTTP_ERROR' | 'RATE_LIMITED',
  message: string,
  retryable: boolean,
  attempts: number,
): Outcome => ({ attempts, httpStatus, reason: { code, message: `Post bad ${message}`, retryable } });
const httpError = (status: number, rest = ''): Outcome =>
  bad(status, 'HTTP_ERROR', `answered HTTP ${status}${rest}`, isRetried(status), isRetried(status) ? 2 : 1);
const isRetried = (status: number): boolean => status >= 500 || status < 100;
const limited = (status: number, attempts: number): Outcome =>
  bad(status, 'RATE_LIMITED', `was rate limited: HTTP ${status}`, true, attempts);
const httpErrorOf = (id: Id): Outcome => ({
  attempts: 1,
  httpStatus: 500,
  reason: { code: 'HTTP_ERROR', message: `Post ${id} answered HTTP 500`, retryable: true },
});
const notAskedFor = (id: Id): Outcome => ({
  attempts: 0,
  httpStatus: null,
  reason: {
    code: 'RATE_LIMITED',
    message: `Post ${id} was not asked for: the origin wants a longer wait than there is time`,
    retryable: true,
  },
});
const circuitOpen = (id: Id): Outcome => ({
  attempts: 0,
  httpStatus: null,
  reason: {
    code: 'NETWORK',
    message: `Post ${id} was not asked for: the origin cannot be reached`,
    retryable: true,
    cause: 'CIRCUIT_OPEN',
  },
});
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
  ['429 without Retry-After, each time', httpResponse(429), limited(429, 2)],
  ['429 without Retry-After, once', once(httpResponse(429)), well(HEALTHY, 2)],
  ['429 with Retry-After 0, once', once(retryAfter(429, '0')), well(HEALTHY, 2)],
  ['429 with Retry-After 0, each time', retryAfter(429, '0'), limited(429, 2)],
  ['429 with a date that has passed, once', once(retryAfter(429, dateIn(-9_000))), well(HEALTHY, 2)],
  ...['soon', '-1', '1e3', 'Mon, 99 Foo 2026 99:99:99 GMT'].map(
    (nonsense): Row => [
      `429 with Retry-After ${nonsense}`,
      once(retryAfter(429, nonsense)),
      well(HEALTHY, 2),
    ],
  ),
  ['401 with Retry-After', retryAfter(401, '1'), httpError(401)],
  ['403 without Retry-After', httpResponse(403), httpError(403)],
  ['403 with nonsense as Retry-After', retryAfter(403, 'soon'), httpError(403)],
  [
    '403 with a time in Retry-After that has passed, once',
    once(retryAfter(403, '1700000000')),
    well(HEALTHY, 2),
  ],
  ['420 with Retry-After 0, each time', retryAfter(420, '0'), limited(420, 2)],
  ['430 with Retry-After 0, once', once(retryAfter(430, '0')), well(HEALTHY, 2)],
  ['403 with some of its quota left', githubs(403, 1, 3_600), httpError(403)],
  [
    '403 with a quota that a cache kept',
    httpResponse(403, '', { ...githubFields(0, 3_600), age: 1 }),
    httpError(403),
  ],
  ['a quota that a cache kept', httpResponse(200, HEALTHY, { ...githubFields(0, 3_600), age: 7 }), well()],
  ['503 without Retry-After', httpResponse(503), httpError(503)],
  ['503 with Retry-After 0, once', once(retryAfter(503, '0')), well(HEALTHY, 2)],
  ['503 with Retry-After 0, each time', retryAfter(503, '0'), limited(503, 2)],
  ['503 with nonsense as Retry-After', retryAfter(503, 'soon'), httpError(503)],
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
  async (_name, answer, outcome, { hangs, unsolicited = 0 } = {}) => {
    const hasTimedOut = 'reason' in outcome && outcome.reason.code === 'TIMEOUT';
    const ran = await runWith(answer, { unsolicited }, hangs || hasTimedOut ? outcome.attempts : 0);
    await world.expectDocument(ran, outcome);
    expect('polluted' in {}).toBe(false);
  },
);

test.each<[string, number, (clock: Clock) => string, number]>([
  ['429 with Retry-After 1', 429, () => '1', 1_000],
  ['429 with an HTTP date', 429, (clock) => dateIn(4_000, clock.date()), 4_000],
  ['503 with Retry-After 2', 503, () => '2', 2_000],
  ['429 with Retry-After 2.0', 429, () => '2.0', 2_000],
  ['429 with Retry-After 1.5', 429, () => '1.5', 2_000],
  ['429 with Retry-After 2, twice', 429, () => '2\r\nretry-after: "2"', 2_000],
  ['429 with a time since 1970', 429, (clock) => String(clock.date().getTime() / 1_000 + 2), 2_000],
  ['403 with Retry-After 1', 403, () => '1', 1_000],
  ['420 with Retry-After 1', 420, () => '1', 1_000],
  ['430 with Retry-After 1.0', 430, () => '1.0', 1_000],
])('%s is asked again when that is over, not sooner or later', async (_name, status, header, waitMs) => {
  const clock = new SkippingClock();
  const askedMs: number[] = [];
  const answer: Answer = (socket, times) => {
    askedMs.push(clock.now());
    socket.write(times === 1 ? retryAfter(status, header(clock)) : healthy);
  };
  await world.expectDocument(await runWith(answer, { clock }), well(HEALTHY, 2));
  expect(askedMs).toStrictEqual([0, waitMs]);
});

test.each<[string, Buffer, Outcome]>([
  ['429 with Retry-After 3600', retryAfter(429, '3600'), limited(429, 1)],
  ['429 with a Retry-After beyond all numbers', retryAfter(429, '9'.repeat(400)), limited(429, 1)],
  ['429 with a date in an hour', retryAfter(429, dateIn(3_600_000)), limited(429, 1)],
  ['503 with Retry-After 3600', retryAfter(503, '3600'), limited(503, 1)],
  ['403 with Retry-After 3600', retryAfter(403, '3600'), limited(403, 1)],
  ["GitHub's 403", githubs(403, 0, 3_600), limited(403, 1)],
  ["GitHub's 503", githubs(503, 0, 3_600), limited(503, 1)],
  ['200 and nothing left for an hour', githubs(200, 0, 3_600), well()],
  ['429 and a quota that is given again in an hour', quota(429, '"hourly";r=0;t=3600'), limited(429, 1)],
  ['200 and a quota that is given again in an hour', quota(200, 'remaining=0, reset=3600'), well()],
])(
  '%s ends the run: what is in flight comes, and nothing else is asked for',
  async (_name, answer, outcome) => {
    const held: Socket[] = [];
    const upstream = await startMisbehavingServer(({ path, socket }) => {
      if (path !== '/posts/bad') return void held.push(socket);
      socket.write(answer);
    });
    const attempts = new Attempts(attemptClock());
    const running = world.run({ origin: upstream.origin, attempts });
    await upstream.requested(3);
    await attempts.inFlight(2);
    // What a pause that is over would let through has gone out by now.
    await upstream.taken();
    await setImmediate();
    for (const socket of held) socket.write(healthy);
    const ran = await running;
    await upstream.stop();
    expect(upstream.requests).toHaveLength(3);
    await world.expectDocument(ran, [well(), well(), outcome, notAskedFor(3), notAskedFor(4)]);
  },
);

test('a quota that is used up holds the others back until it is given again', async () => {
  const clock = new SkippingClock();
  const askedMs: number[] = [];
  const upstream = await startMisbehavingServer(({ socket }, index) => {
    askedMs.push(clock.now());
    socket.write(index === 0 ? quota(200, '"burst";r=0;t=3, "daily";r=12;t=40000') : healthy);
  });
  const ran = await world.run({
    origin: upstream.origin,
    ids: [1, 2, 3],
    settings: { concurrency: 1 },
    clock,
  });
  await upstream.stop();
  await world.expectDocument(ran, [well(), well(), well()]);
  const [firstMs = 0, secondMs = 0] = askedMs;
  expect(secondMs - firstMs).toBe(3_000);
});

test.each([
  ['with what is left beside each', (left: number) => left],
  ['without a word before', () => 9],
])('an origin that takes 50 in each 3 s, and then answers 403, gets all of 100, %s', async (_name, told) => {
  const clock = new SkippingClock();
  const ids = Array.from({ length: 100 }, (_, index) => index + 1);
  const startsMs: number[] = [];
  const attempts = new Map<string, number>();
  let [taken, refused] = [0, 0];
  const upstream = await startMisbehavingServer(({ path, socket }) => {
    const now = clock.date().getTime();
    const startMs = startsMs.at(-1) ?? -Infinity;
    if (now >= startMs + 3_000) {
      startsMs.push(now);
      taken = 0;
    }
    const resetMs = (startsMs.at(-1) ?? 0) + 3_000;
    attempts.set(path, (attempts.get(path) ?? 0) + 1);
    const fields = (left: number) => ({
      'x-ratelimit-limit': 50,
      'x-ratelimit-remaining': left,
      'x-ratelimit-reset': Math.ceil(resetMs / 1_000),
    });
    if (taken < 50) socket.write(httpResponse(200, HEALTHY, fields(told(50 - ++taken))));
    else {
      refused += 1;
      socket.write(httpResponse(403, 'slow down', fields(0)));
    }
  });
  const settings = { concurrency: 10, adaptive: true, retryBudgetPercent: 20, attemptTimeoutMs: 12_000 };
  const ran = await world.run({ origin: upstream.origin, ids, settings, clock });
  await upstream.stop();
  // One pause.
  expect(startsMs).toHaveLength(2);
  expect(refused).toBeLessThanOrEqual(10);
  await world.expectDocument(
    ran,
    ids.map((id) => well(HEALTHY, attempts.get(`/posts/${id}`))),
  );
});

test('a burst of 500 costs each post an attempt', async () => {
  // Held until all have come: the burst is the first attempt of each.
  const first: Socket[] = [];
  const upstream = await startMisbehavingServer(({ socket }, index) => {
    if (index >= 5) socket.write(healthy);
    else if (first.push(socket) === 5) for (const each of first) each.write(httpResponse(500, 'oops'));
  });
  const ids = [1, 2, 3, 4, 5];
  const settings = { concurrency: 5 };
  const ran = await world.run({ origin: upstream.origin, ids, settings });
  await upstream.stop();
  await world.expectDocument(
    ran,
    ids.map(() => well(HEALTHY, 2)),
  );
});

test('a keep-alive that closes under a reused connection costs no attempt', async () => {
  const answer: Answer = (socket, times, { connection }) => {
    if (times === 1) socket.end();
    else socket.write(httpResponse(200, `{"connection":${connection}}`));
  };
  const ran = await runWith(answer, { settings: { concurrency: 1 } });
  await world.expectDocument(ran, well('{"connection":1}'));
});

describe('an origin', () => {
  const ids = [1, 2, 3];
  const each = (outcome: (id: Id) => Outcome) => ids.map(outcome);

  test('that refuses from the third post on has given the first two', async () => {
    const upstream = await startMisbehavingServer(({ path, socket }) => {
      if (path === '/posts/1') socket.write(healthy);
      else socket.end(httpResponse(200, HEALTHY, { connection: 'close' }), () => void upstream.stop());
    });
    const ran = await world.run({ origin: upstream.origin, ids, settings: { concurrency: 1 } });
    await world.expectDocument(ran, [well(), well(), network('ECONNREFUSED', 3)]);
  });

  test('that refuses every connection is given up after 20 of them', async () => {
    const upstream = await startMisbehavingServer(() => {});
    await upstream.stop();
    const many = Array.from({ length: 100 }, (_, index) => index + 1);
    const ran = await world.run({
      origin: upstream.origin,
      ids: many,
      settings: { concurrency: 1, maxAttempts: 1, adaptive: true },
    });
    await world.expectDocument(
      ran,
      many.map((id) => (id <= 20 ? { ...network('ECONNREFUSED', id), attempts: 1 } : circuitOpen(id))),
    );
  });

  test('that answers 500 to everything is asked for little more than each post', async () => {
    const upstream = await startMisbehavingServer(
      ({ socket }) => void socket.write(httpResponse(500, 'oops')),
    );
    const many = Array.from({ length: 50 }, (_, index) => index + 1);
    const ran = await world.run({
      origin: upstream.origin,
      ids: many,
      settings: { concurrency: 1, maxAttempts: 4, retryBudgetPercent: 20 },
    });
    await upstream.stop();
    expect(upstream.requests).toHaveLength(70);
    // 20 % of 50, and 10: three each for the first six posts, and two for the seventh.
    await world.expectDocument(
      ran,
      many.map((id) => ({ ...httpErrorOf(id), attempts: id <= 6 ? 4 : id === 7 ? 3 : 1 })),
    );
  });

  test('that stalls one of many: a second request gets the post, and the first is aborted', async () => {
    const many = Array.from({ length: 40 }, (_, index) => index + 1);
    const clock = new FakeClock();
    const attempts = new Attempts(attemptClock());
    const first: Socket[] = [];
    const upstream = await startMisbehavingServer(({ path, socket, connection }) => {
      // Three of 40 make the 95th percentile.
      if (/\/[123]$/.test(path)) return void first.push(socket);
      if (path !== '/posts/25') return void socket.write(healthy);
      const earlier = upstream.requests.find((request) => request.path === path);
      if (earlier?.connection !== connection) socket.write(httpResponse(200, '"the second"'));
    });
    const running = world.run({
      origin: upstream.origin,
      ids: many,
      settings: { concurrency: 3, hedge: true },
      clock,
      attempts,
    });
    const stalled = () => upstream.requests.filter(({ path }) => path === '/posts/25').length;
    await upstream.requested(3);
    clock.advance(300);
    for (const socket of first) socket.write(healthy);
    await upstream.requested(40);
    await attempts.inFlight(1);
    clock.advance(299);
    await setImmediate();
    expect([attempts.count, stalled()]).toStrictEqual([1, 1]);
    clock.advance(1);
    const ran = await running;
    await upstream.idle();
    await upstream.stop();
    expect(stalled()).toBe(2);
    await world.expectDocument(
      ran,
      many.map((id) => (id === 25 ? { ...well('"the second"'), hedged: true } : well())),
    );
  });

  test('that never shakes hands', async () => {
    const clock = attemptClock();
    const attempts = new Attempts(clock);
    const upstream = await startMisbehavingServer(() => {});
    const asked = () => upstream.connected(upstream.connections + 1);
    const [ran] = await Promise.all([
      world.run({ origin: upstream.origin.replace('http', 'https'), ids, attempts }),
      timeOut(upstream, { clock, attempts, asked, times: 2, count: 3 }),
    ]);
    await upstream.idle();
    await upstream.stop();
    await world.expectDocument(ran, each(timedOut));
  });

  test('whose name does not exist', async () => {
    // EAI_AGAIN where there is no DNS server to ask.
    const { code } = await lookup('posts.invalid').catch((error) => error);
    const ran = await world.run({ origin: 'http://posts.invalid', ids });
    await world.expectDocument(
      ran,
      each((id) => network(code, id)),
    );
  });

  test.each([
    ['expired', { notAfter: new Date(Date.now() - 60_000) }, true, 'CERT_HAS_EXPIRED'],
    ['self-signed', {}, false, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ["another host's", { dnsName: 'other.test' }, true, 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ])('whose certificate is %s gets no request', async (_name, options, trusted, code) => {
    const tls = makeCertificate(options);
    const upstream = await startMisbehavingServer(({ socket }) => void socket.write(healthy), { tls });
    const ran = await world.run({ origin: upstream.origin, ids, ...(trusted && { ca: tls.cert }) });
    await upstream.stop();
    expect(upstream.requests).toStrictEqual([]);
    await world.expectDocument(
      ran,
      each((id) => network(code, id)),
    );
  });
});

describe('over HTTP/2', () => {
  const certificate = makeCertificate();
  const { headers, data, end, reset, goAway } = http2Frames;
  const [NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM] = [0, 2, 7];
  type Frames = (stream: number) => readonly (Buffer | 'end')[];

  test.each<[string, Frames, Outcome]>([
    ['a stream that is reset', (stream) => [reset(stream, INTERNAL_ERROR)], well(HEALTHY, 2)],
    ['a stream that is refused', (stream) => [reset(stream, REFUSED_STREAM)], well()],
    [
      'a stream that is reset within the body',
      (stream) => [headers(stream), data(stream, '{"half"'), reset(stream, INTERNAL_ERROR)],
      well(HEALTHY, 2),
    ],
    ['GOAWAY with an error', (stream) => [goAway(stream, INTERNAL_ERROR), 'end'], well()],
    ['GOAWAY that says the request was not looked at', () => [goAway(0, NO_ERROR), 'end'], well()],
    ['a connection that ends', () => ['end'], well()],
  ])('%s, once: the post comes all the same, and the others are untouched', async (_name, fault, outcome) => {
    const upstream = await startRawHttp2Server(certificate, (stream, index) =>
      index === 2 ? fault(stream) : [headers(stream), data(stream, HEALTHY), end(stream)],
    );
    // One at a time: a connection that ends takes those in flight with it.
    const settings = { concurrency: 1 };
    const ran = await world.run({ origin: upstream.origin, ca: certificate.cert, settings });
    await upstream.stop();
    await world.expectDocument(ran, outcome);
  });

  test('a stream that is reset each time has failed, and those beside it on the connection have not', async () => {
    const upstream = await startHttp2Server(certificate, (stream, path) => {
      if (path === '/posts/bad') return stream.close(INTERNAL_ERROR);
      stream.respond({ ':status': 200 });
      stream.end(HEALTHY);
    });
    const ran = await world.run({ origin: upstream.origin, ca: certificate.cert });
    await upstream.stop();
    expect(upstream.sessions).toHaveLength(1);
    await world.expectDocument(ran, network('ECONNRESET'));
  });
});

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

function retryAfter(status: number, value: string): Buffer {
  return httpResponse(status, 'wait', { 'retry-after': value });
}

/** The fields of GitHub's quota, of which so much is left until so many seconds from now. */
function githubFields(remaining: number, seconds: number): Readonly<Record<string, number>> {
  return {
    'x-ratelimit-limit': 60,
    'x-ratelimit-remaining': remaining,
    'x-ratelimit-reset': Math.ceil(Date.now() / 1_000) + seconds,
  };
}

function githubs(status: number, remaining: number, seconds: number): Buffer {
  return httpResponse(status, HEALTHY, githubFields(remaining, seconds));
}

function quota(status: number, limit: string): Buffer {
  return httpResponse(status, HEALTHY, { ratelimit: limit });
}

function dateIn(ms: number, from = new Date()): string {
  return new Date(from.getTime() + ms).toUTCString();
}
