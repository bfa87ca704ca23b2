import type { Socket } from 'node:net';
import { brotliCompressSync, constants, deflateRawSync, gzipSync, zstdCompressSync } from 'node:zlib';
import type { ReasonCode } from '../../src/fetch/outcome.ts';
import { httpResponse } from '../../test/support/misbehaving-server.ts';

/** How an answer goes wrong, and what the attempt comes to: the post all the same, another try, or a final code. */
export interface Fault {
  readonly name: string;
  readonly answer: (socket: Socket, id: number) => void;
  readonly leadsTo: 'post' | 'retry' | ReasonCode;
  /** Whether it ends reuse for the rest of its run, and is so left to the last of the runs. */
  readonly endsReuse?: true;
  /** Whether the connection is about to end: what comes on it meanwhile is not looked at. */
  readonly endsConnection?: true;
}

const SHARE = 0.05;
const MAX_BODY_BYTES = 1_048_576;

const bytes =
  (response: Buffer | string) =>
  (socket: Socket): void =>
    void socket.write(response);
const thenReset =
  (text: string) =>
  (socket: Socket): void =>
    void socket.write(text, () => socket.resetAndDestroy());
const thenEnd =
  (text: string | Buffer) =>
  (socket: Socket): void =>
    void socket.end(text);

const OK = 'HTTP/1.1 200 OK\r\n';
const gzip = { 'content-encoding': 'gzip' };
const zipped = gzipSync('{"zipped":true}');
/** RFC 8878, 3.1.2: a frame that says nothing, of four bytes. */
const SKIPPABLE = Buffer.from('502a4d180400000000000000', 'hex');
const WIDE_BOMB = brotliCompressSync(Buffer.alloc(16_777_216, ' '), {
  params: { [constants.BROTLI_PARAM_LGWIN]: 24 },
});
const compressed =
  (coding: string, compress: (post: Buffer) => Buffer) =>
  (socket: Socket, id: number): void =>
    void socket.write(httpResponse(200, compress(Buffer.from(postOf(id))), { 'content-encoding': coding }));

export const postOf = (id: number): string => `{"id":${id},"text":"${'x'.repeat(280)}"}`;

export const faults: readonly Fault[] = [
  { name: 'no answer', answer: () => {}, leadsTo: 'retry' },
  { name: 'reset before the headers', answer: (socket) => socket.resetAndDestroy(), leadsTo: 'retry' },
  { name: 'reset within the headers', answer: thenReset(`${OK}content-`), leadsTo: 'retry' },
  { name: 'reset after the headers', answer: thenReset(`${OK}content-length: 9\r\n\r\n`), leadsTo: 'retry' },
  {
    name: 'half a body, then the end',
    answer: thenEnd(`${OK}content-length: 9\r\n\r\n{"a`),
    leadsTo: 'retry',
  },
  { name: 'half a body, then nothing', answer: bytes(`${OK}content-length: 9\r\n\r\n{"a`), leadsTo: 'retry' },
  {
    name: 'a broken chunk',
    answer: bytes(`${OK}transfer-encoding: chunked\r\n\r\nzz\r\n`),
    leadsTo: 'retry',
  },
  { name: 'no HTTP', answer: bytes('SSH-2.0-OpenSSH_9.2\r\n'), leadsTo: 'retry' },
  {
    name: 'a header of 64 KB',
    answer: bytes(httpResponse(200, '1', { 'x-long': 'x'.repeat(65_536) })),
    leadsTo: 'retry',
  },
  {
    name: 'gzip that ends early',
    answer: bytes(httpResponse(200, zipped.subarray(0, 12), gzip)),
    leadsTo: 'retry',
  },
  { name: '500', answer: bytes(httpResponse(500, 'oops')), leadsTo: 'retry' },
  { name: '503', answer: bytes(httpResponse(503, 'later')), leadsTo: 'retry' },
  { name: '429', answer: bytes(httpResponse(429, 'slower')), leadsTo: 'retry' },
  {
    name: '429 with Retry-After 0',
    answer: bytes(httpResponse(429, 'slower', { 'retry-after': 0 })),
    leadsTo: 'retry',
  },
  { name: '404', answer: bytes(httpResponse(404, '{}')), leadsTo: 'NOT_FOUND' },
  { name: 'an empty body', answer: bytes(httpResponse(200)), leadsTo: 'NO_DATA' },
  { name: 'a login page', answer: bytes(httpResponse(200, '<html>Sign in</html>')), leadsTo: 'BAD_JSON' },
  {
    name: 'no UTF-8',
    answer: bytes(httpResponse(200, Buffer.from([0x22, 0xc3, 0x28, 0x22]))),
    leadsTo: 'BAD_JSON',
  },
  {
    name: '1 MB + 1 byte',
    answer: bytes(httpResponse(200, `"${'x'.repeat(MAX_BODY_BYTES - 1)}"`)),
    leadsTo: 'TOO_LARGE',
  },
  {
    name: 'a bomb',
    answer: bytes(httpResponse(200, gzipSync(Buffer.alloc(30_000_000, ' ')), gzip)),
    leadsTo: 'TOO_LARGE',
  },
  {
    name: 'a redirect elsewhere',
    answer: bytes(httpResponse(302, '', { location: 'http://169.254.169.254/latest/meta-data/' })),
    leadsTo: 'HTTP_ERROR',
  },
  {
    name: 'a redirect without end',
    answer: bytes(httpResponse(302, '', { location: '/loop' })),
    leadsTo: 'HTTP_ERROR',
  },
  {
    name: '1xx before the answer',
    answer: (socket, id) =>
      socket.write(
        Buffer.concat([Buffer.from('HTTP/1.1 103 Early Hints\r\n\r\n'), httpResponse(200, postOf(id))]),
      ),
    leadsTo: 'post',
  },
  {
    name: 'a connection that closes after its answer',
    answer: (socket, id) => socket.end(httpResponse(200, postOf(id))),
    leadsTo: 'post',
  },
  {
    name: 'a connection that is reset behind its answer',
    answer: (socket, id) => socket.write(httpResponse(200, postOf(id)), () => socket.resetAndDestroy()),
    leadsTo: 'post',
    endsConnection: true,
  },
  {
    name: 'a connection that closes 1 ms behind its answer',
    answer(socket, id) {
      socket.write(httpResponse(200, postOf(id)));
      setTimeout(() => socket.end(), 1);
    },
    leadsTo: 'post',
    endsConnection: true,
  },
  {
    name: 'a body that ends with its connection, which is reset',
    answer: thenReset(`${OK}\r\n123`),
    leadsTo: 'retry',
  },
  {
    name: 'two Content-Lengths',
    answer: bytes(`${OK}content-length: 2\r\ncontent-length: 2\r\n\r\n[]`),
    leadsTo: 'retry',
  },
  { name: 'status 042', answer: bytes('HTTP/1.1 042 Odd\r\ncontent-length: 0\r\n\r\n'), leadsTo: 'retry' },
  {
    name: '403 with Retry-After 0',
    answer: bytes(httpResponse(403, '', { 'retry-after': 0 })),
    leadsTo: 'retry',
  },
  {
    name: 'zstd in three frames',
    answer: compressed('zstd', (post) =>
      Buffer.concat([zstdCompressSync(post.subarray(0, 9)), SKIPPABLE, zstdCompressSync(post.subarray(9))]),
    ),
    leadsTo: 'post',
  },
  {
    name: 'two codings',
    answer: compressed('deflate, gzip', (post) => gzipSync(deflateRawSync(post))),
    leadsTo: 'post',
  },
  {
    name: 'an unknown coding',
    answer: compressed('compress', (post) => post),
    leadsTo: 'BAD_JSON',
  },
  {
    name: 'a bomb with a window of 16 MB',
    answer: bytes(httpResponse(200, WIDE_BOMB, { 'content-encoding': 'br' })),
    leadsTo: 'TOO_LARGE',
  },
  {
    name: '1,000 nested arrays',
    answer: bytes(httpResponse(200, '['.repeat(1_000) + ']'.repeat(1_000))),
    leadsTo: 'TOO_LARGE',
  },
  {
    name: 'a redirect elsewhere of 15 KB',
    answer: bytes(httpResponse(302, '', { location: `http://${'x'.repeat(60)}.test/${'y'.repeat(15_000)}` })),
    leadsTo: 'HTTP_ERROR',
  },
  {
    name: 'two answers at once',
    answer: (socket, id) =>
      socket.write(Buffer.concat([httpResponse(200, postOf(id)), httpResponse(200, '"another post"')])),
    leadsTo: 'post',
    endsReuse: true,
  },
  {
    name: 'a 408 behind the answer',
    answer: (socket, id) => socket.end(Buffer.concat([httpResponse(200, postOf(id)), httpResponse(408, '')])),
    leadsTo: 'post',
    endsReuse: true,
  },
];

/** From this post on, the origin also sends what nobody asked for. */
export const STRAYS_FROM_ID = 160_001;

/** What the `times`th request for a post meets, if it is not well: always the same for the same seed. */
export function faultOf(seed: number, id: number, times: number): Fault | undefined {
  const draw = unit(seed, id, times);
  const fault = draw < SHARE ? faults[Math.floor((draw / SHARE) * faults.length)] : undefined;
  return fault?.endsReuse && id < STRAYS_FROM_ID ? undefined : fault;
}

/** A number from 0 to 1 for each triple, by the finalizer of MurmurHash3. */
function unit(seed: number, id: number, times: number): number {
  let hash = Math.imul(seed, 0x9e3779b1) ^ Math.imul(id, 0x85ebca6b) ^ Math.imul(times, 0xc2b2ae35);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
