import { pipeline } from 'node:stream/promises';
import { crc32, createDeflateRaw } from 'node:zlib';
import { RunConflictError } from '../base/errors.ts';
import { gunzip } from '../base/gunzip.ts';
import type { LinePlace } from './outcome-line.ts';

/** docs/adr/0008-outcomes-by-themselves.md says how these were chosen. */
const MEMBER_BYTES = 5 * 1024 * 1024;
const LEVEL = 5;
/** Of long lines, most is text of the posts, which costs more to compress than to fetch. */
const LONG_LINE_BYTES = 2_048;
const LEVEL_OF_LONG_LINES = 1;
/** A chunk is compressed while the next one is filled. */
const BUFFERS = { highWaterMark: 131_072, chunkSize: 65_536 };
const LINE_BREAK = 0x0a;
const BRACE = 0x7b;

/**
 * The header of a member (RFC 1952) up to its own field of 16 bytes, `BF`, as every reader of gzip passes over it: the
 * index of its first outcome, and where the member starts, in little-endian numbers of 8 bytes. No time is in it, so
 * that the same lines are the same bytes.
 */
const HEADER_START = Buffer.from('1f8b08040000000000ff140042461000', 'hex');
const HEADER_BYTES = 32;
const TRAILER_BYTES = 8;

/**
 * Lines of outcomes, cut anywhere, as gzip: in members that begin and end with whole lines, so that a reader may start
 * at any. What has no lines is one member. It is compressed in libuv's threads, and few chunks are held at a time.
 * Throws what `lines` throws.
 *
 * `memberBytes`: the text of a member, from which on it ends with its line. @default 5 MiB
 */
export async function* gzipMembers(
  lines: AsyncIterable<Buffer>,
  memberBytes = MEMBER_BYTES,
): AsyncGenerator<Buffer, void, undefined> {
  const chunks = lines[Symbol.asyncIterator]();
  const take = async (): Promise<Buffer | undefined> => (await chunks.next()).value ?? undefined;
  try {
    let next = await take();
    let lineBytes = next ? next.length / (linesIn(next) + 1) : 0;
    let firstIndex = 0;
    let offset = 0;
    do {
      const member = { checksum: 0, bytes: 0, lines: 0 };
      const text = async function* (): AsyncGenerator<Buffer, void, undefined> {
        for (let isFull = false; next && !isFull; ) {
          const end = endOfMember(next, memberBytes - member.bytes);
          isFull = end !== undefined;
          const piece = next.subarray(0, end);
          member.checksum = crc32(piece, member.checksum);
          member.bytes += piece.length;
          member.lines += linesIn(piece);
          yield piece;
          next = piece.length < next.length ? next.subarray(piece.length) : await take();
        }
      };
      yield headerOf(firstIndex, offset);
      offset += HEADER_BYTES + TRAILER_BYTES;
      const deflate = createDeflateRaw({
        ...BUFFERS,
        level: lineBytes < LONG_LINE_BYTES ? LEVEL : LEVEL_OF_LONG_LINES,
      });
      // What fails, fails in the loop below.
      pipeline(text, deflate).catch(() => {});
      for await (const block of deflate) {
        offset += block.length;
        yield block;
      }
      yield trailerOf(member);
      firstIndex += member.lines;
      lineBytes = member.bytes / member.lines;
    } while (next);
  } finally {
    await chunks.return?.();
  }
}

/** Where a member ends in a chunk, of which it takes so many bytes at least; undefined where it does not. */
function endOfMember(chunk: Buffer, leastBytes: number): number | undefined {
  if (chunk.length < leastBytes) return undefined;
  const lineBreak = chunk.indexOf(LINE_BREAK, Math.max(0, leastBytes - 1));
  return lineBreak < 0 ? undefined : lineBreak + 1;
}

function linesIn(text: Buffer): number {
  let count = 0;
  for (let at = text.indexOf(LINE_BREAK); at >= 0; at = text.indexOf(LINE_BREAK, at + 1)) count += 1;
  return count;
}

function headerOf(firstIndex: number, offset: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  HEADER_START.copy(header);
  header.writeBigUInt64LE(BigInt(firstIndex), HEADER_START.length);
  header.writeBigUInt64LE(BigInt(offset), HEADER_START.length + 8);
  return header;
}

function trailerOf({ checksum, bytes }: { readonly checksum: number; readonly bytes: number }): Buffer {
  const trailer = Buffer.alloc(TRAILER_BYTES);
  trailer.writeUInt32LE(checksum, 0);
  // RFC 1952 has the rest of a length that takes more.
  trailer.writeUInt32LE(bytes >>> 0, 4);
  return trailer;
}

/**
 * The first member that starts in a piece of what `gzipMembers` made, `start` bytes into that; its offset counts from
 * there. Undefined where none does.
 */
export function firstMemberIn(piece: Buffer, start: number): LinePlace | undefined {
  for (
    let offset = piece.indexOf(HEADER_START);
    offset >= 0;
    offset = piece.indexOf(HEADER_START, offset + 1)
  ) {
    if (offset + HEADER_BYTES > piece.length) return undefined;
    const numbers = offset + HEADER_START.length;
    // What is compressed may look like a header, and does not know where it stands.
    if (Number(piece.readBigUInt64LE(numbers + 8)) === start + offset)
      return { index: Number(piece.readBigUInt64LE(numbers)), offset };
  }
  return undefined;
}

/** Above the longest line that there can be: MAX_BODY_BYTES is 100 MiB at most. */
const MAX_LINE_BYTES = 101 * 1024 * 1024;

/**
 * The text of gzip members of outcomes, from the start of one, in small pieces. Throws RunConflictError, which names
 * `location`, where it is not whole, or no text of outcomes: so a line that goes on for ever is not waited for. Throws
 * what `bytes` throws, and the reason of `signal` when that aborts.
 *
 * `maxLineBytes`: the most of a line. @default 101 MiB
 */
export async function* readMembers(
  bytes: AsyncIterable<Buffer>,
  location: string,
  signal: AbortSignal,
  maxLineBytes = MAX_LINE_BYTES,
): AsyncGenerator<Buffer, void, undefined> {
  const broken = (reason: string): RunConflictError =>
    new RunConflictError(`${location} is not as it was written: ${reason}`);
  let lineBytes = 0;
  for await (const piece of gunzip(bytes, broken, signal)) {
    if (lineBytes === 0 && piece.readUInt8(0) !== BRACE) throw broken('it has lines that are no outcomes');
    const lastBreak = piece.lastIndexOf(LINE_BREAK);
    lineBytes = lastBreak < 0 ? lineBytes + piece.length : piece.length - lastBreak - 1;
    if (lineBytes > maxLineBytes) throw broken('it has a line without an end');
    yield piece;
  }
}
