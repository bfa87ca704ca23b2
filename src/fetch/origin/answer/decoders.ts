import {
  brotliDecompress,
  constants,
  crc32,
  gunzip,
  gunzipSync,
  inflate,
  inflateRaw,
  inflateRawSync,
  inflateSync,
  zstdDecompress,
  zstdDecompressSync,
} from 'node:zlib';

/** What came of a body that was coded. */
export type Decoded =
  | { readonly kind: 'decoded'; readonly body: Buffer }
  | { readonly kind: 'too-large' }
  /** `coding` names what we do not know; printable ASCII. */
  | { readonly kind: 'unknown-coding'; readonly coding: string };

/** How many decoders run at once: each has a window of up to 16 MiB. */
const MOST_DECODERS = 4;
const MOST_CODINGS = 4;
/** Up to there a body is decoded at once, which holds up nothing else for long. */
const SMALL_BYTES = 16_384;
const SMALL_DECODED_BYTES = 65_536;
/** Frames of zstd that a body may have, and one more for each of so many bytes; each takes a decoder of its own. */
const MOST_FRAMES = 256;
const BYTES_A_FRAME = 4_096;
/** Members of gzip behind which it is looked for what is none. */
const MOST_MEMBERS = 256;
const MOST_CODING_CHARS = 100;
/** What comes through as it is: nothing was done to it, or S3's clients have undone it (and left its name). */
const UNDONE = new Set(['', 'identity', 'aws-chunked']);

/**
 * The codings of a body, in the order in which they were applied (RFC 9110, 8.4), from its Content-Encoding. Undefined
 * where there is none to be undone.
 */
export function codingsOf(field: string | readonly string[] | undefined): readonly string[] | undefined {
  if (field === undefined) return undefined;
  const codings = String(field)
    .split(',')
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => !UNDONE.has(coding));
  return codings.length === 0 ? undefined : codings;
}

/**
 * The most bytes that a coded body may have: what cannot be compressed grows a little, by less than a sixteenth in any
 * coding, and its frame takes its share.
 */
export function mostCodedBytes(maxBytes: number): number {
  return maxBytes + Math.ceil(maxBytes / 16) + 1_024;
}

/**
 * Undoes the codings of a whole body, the last first: gzip, br, zstd, and deflate with or without zlib's frame; four at
 * most. It is too large where it has more than `maxBytes`; what would come behind them is not decoded.
 *
 * A decoder that ends before its input does starts anew (members of gzip, frames of zstd) or fails. The one exception
 * is what stands behind whole members of gzip and is none: it is passed over, as gzip(1) and browsers do.
 *
 * Few bodies are decoded at once. Gives undefined where `isWanted` says no more when its turn comes. Rejects with an
 * error that has zlib's code where the body is not what its codings say.
 */
export async function decode(
  body: Buffer,
  codings: readonly string[],
  maxBytes: number,
  isWanted: () => boolean,
): Promise<Decoded | undefined> {
  const unknown = codings.find((coding) => !DECODERS.has(coding));
  if (unknown !== undefined) return unknownCoding(unknown);
  if (codings.length > MOST_CODINGS) return unknownCoding(`${codings.length} codings, one after the other`);
  const small = codings.length === 1 ? decodeSmall(body, codings[0] as string, maxBytes) : undefined;
  if (small) return { kind: 'decoded', body: small };
  await takeTurn();
  try {
    return isWanted() ? await decodeEach(body, codings, maxBytes) : undefined;
  } finally {
    endTurn();
  }
}

/**
 * What is small is decoded at once: to ask a thread costs several times as much. Undefined where the body is not small,
 * or there is more to it. Not brotli, whose window costs the same however short the body is.
 */
function decodeSmall(body: Buffer, coding: string, maxBytes: number): Buffer | undefined {
  const decompress = SMALL_DECODERS.get(coding);
  if (!decompress || body.length > SMALL_BYTES) return undefined;
  try {
    const maxOutputLength = Math.min(maxBytes, SMALL_DECODED_BYTES);
    const { buffer, read } = outputOf(decompress(body, { maxOutputLength, info: true }));
    return read === body.length ? buffer : undefined;
  } catch {
    return undefined;
  }
}

async function decodeEach(body: Buffer, codings: readonly string[], maxBytes: number): Promise<Decoded> {
  let bytes = body;
  try {
    for (let left = codings.length - 1; left >= 0; left--) {
      const decoder = DECODERS.get(codings[left] as string) as Decoder;
      bytes = await decoder(bytes, left === 0 ? maxBytes : mostCodedBytes(maxBytes));
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === TOO_LARGE) return { kind: 'too-large' };
    throw error;
  }
  return { kind: 'decoded', body: bytes };
}

function unknownCoding(coding: string): Decoded {
  return {
    kind: 'unknown-coding',
    coding: coding.slice(0, MOST_CODING_CHARS).replaceAll(/[^\x20-\x7e]/g, '?'),
  };
}

let running = 0;
const waiting: (() => void)[] = [];

async function takeTurn(): Promise<void> {
  if (running < MOST_DECODERS) running += 1;
  else await new Promise<void>((resolve) => waiting.push(resolve));
}

/** Hands the turn on. */
function endTurn(): void {
  const next = waiting.shift();
  if (next) next();
  else running -= 1;
}

/** A window of at most 8 MB, which RFC 9659 has clients support: a larger one is memory for the asking. */
const ZSTD = { params: { [constants.ZSTD_d_windowLogMax]: 23 } };

/** Rejects with zlib's error, whose code is TOO_LARGE where there are more than `maxBytes`. */
type Decoder = (bytes: Buffer, maxBytes: number) => Promise<Buffer>;

const DECODERS: ReadonlyMap<string, Decoder> = new Map<string, Decoder>([
  ['gzip', decodeGzip],
  ['x-gzip', decodeGzip],
  ['deflate', decodeDeflate],
  ['br', async (bytes, maxBytes) => whole(bytes, await run(brotliDecompress, bytes, maxBytes))],
  ['zstd', decodeZstd],
]);

const SMALL_DECODERS = new Map<string, (body: Buffer, options: DecompressOptions) => Buffer>([
  ['gzip', gunzipSync],
  ['x-gzip', gunzipSync],
  ['deflate', (body, options) => (hasZlibFrame(body) ? inflateSync : inflateRawSync)(body, options)],
  ['zstd', (body, options) => zstdDecompressSync(body, { ...options, ...ZSTD })],
]);

/** Node's code for an output over `maxOutputLength`. */
const TOO_LARGE = 'ERR_BUFFER_TOO_LARGE';

interface Output {
  readonly buffer: Buffer;
  /** How many bytes of the input it was made of. */
  readonly read: number;
}

interface DecompressOptions {
  readonly maxOutputLength: number;
  readonly info: true;
  readonly params?: Record<number, number>;
}

/** One of zlib's functions. */
type Decompress = (
  bytes: Buffer,
  options: DecompressOptions,
  callback: (error: Error | null, result: Buffer) => void,
) => void;

/** Decompresses up to where what is coded ends, and says where that is. */
function run(decompress: Decompress, bytes: Buffer, maxBytes: number, more: object = {}): Promise<Output> {
  return new Promise((resolve, reject) => {
    decompress(bytes, { ...more, maxOutputLength: maxBytes, info: true }, (error, result) => {
      if (error) reject(error);
      else resolve(outputOf(result));
    });
  });
}

/** With `info`, zlib gives this instead of the buffer, which its types do not say. */
function outputOf(result: unknown): Output {
  const { buffer, engine } = result as { buffer: Buffer; engine: { bytesWritten: number } };
  return { buffer, read: engine.bytesWritten };
}

function whole(bytes: Buffer, { buffer, read }: Output): Buffer {
  if (read < bytes.length) throw broken('Z_DATA_ERROR');
  return buffer;
}

function broken(code: string): Error {
  return Object.assign(new Error('The body is not what its coding says'), { code });
}

/** "deflate" is zlib's format (RFC 9110, 8.4.1.2), and some servers send it without zlib's frame. */
async function decodeDeflate(bytes: Buffer, maxBytes: number): Promise<Buffer> {
  const hasFrame = hasZlibFrame(bytes);
  try {
    return whole(bytes, await run(hasFrame ? inflate : inflateRaw, bytes, maxBytes));
  } catch (error) {
    // The first bytes may have looked like a frame by chance.
    if (!hasFrame || (error as NodeJS.ErrnoException).code !== 'Z_DATA_ERROR') throw error;
    return whole(bytes, await run(inflateRaw, bytes, maxBytes));
  }
}

/** RFC 1950, 2.2. */
function hasZlibFrame(bytes: Buffer): boolean {
  return bytes.length > 1 && bytes.readUInt8(0) % 16 === 8 && bytes.readUInt16BE(0) % 31 === 0;
}

/** Node takes the members of gzip together, and fails for what stands behind them and is neither one nor zeros. */
async function decodeGzip(bytes: Buffer, maxBytes: number): Promise<Buffer> {
  try {
    return (await run(gunzip, bytes, maxBytes)).buffer;
  } catch (error) {
    const isBroken = (error as NodeJS.ErrnoException).code !== TOO_LARGE;
    const end = isBroken ? endOfMembers(bytes, maxBytes) : 0;
    if (end === 0) throw error;
    return (await run(gunzip, bytes.subarray(0, end), maxBytes)).buffer;
  }
}

const GZIP_MAGIC = Buffer.from('1f8b', 'hex');

/** Where the whole members end (RFC 1952, 2.3) behind which there is no other; 0 where there are none, or one is broken. */
function endOfMembers(bytes: Buffer, maxBytes: number): number {
  let end = 0;
  let left = maxBytes;
  try {
    for (let members = 0; members < MOST_MEMBERS; members++) {
      if (!bytes.subarray(end, end + 2).equals(GZIP_MAGIC)) return end;
      const flags = bytes.readUInt8(end + 3);
      let at = end + 10;
      // FEXTRA, with its length; FNAME and FCOMMENT, each with a zero at its end; FHCRC.
      if (flags & 4) at += 2 + bytes.readUInt16LE(at);
      for (const flag of [8, 16]) if (flags & flag) at = bytes.indexOf(0, at) + 1;
      if (flags & 2) at += 2;
      const options = { maxOutputLength: left + 1, info: true };
      const { buffer, read } = outputOf(inflateRawSync(bytes.subarray(at), options));
      end = at + read + 8;
      left -= buffer.length;
      if (left < 0 || end > bytes.length || bytes.readUInt32LE(at + read) !== crc32(buffer)) return 0;
    }
  } catch {
    // A member ends too early, or is no deflate.
  }
  return 0;
}

/** Node ends with the first frame (nodejs/node#64741), of which a body may have several (RFC 8878, 3.1). */
async function decodeZstd(bytes: Buffer, maxBytes: number): Promise<Buffer> {
  const outputs: Buffer[] = [];
  let left = maxBytes;
  for (let at = 0, frames = 0; at < bytes.length; ) {
    const skipped = skippableBytes(bytes, at);
    if (skipped > 0) {
      at += skipped;
      continue;
    }
    if (++frames > MOST_FRAMES + bytes.length / BYTES_A_FRAME) throw broken('Z_DATA_ERROR');
    const { buffer, read } = await run(zstdDecompress, bytes.subarray(at), left + 1, ZSTD);
    left -= buffer.length;
    if (left < 0) throw broken(TOO_LARGE);
    outputs.push(buffer);
    at += read;
  }
  const [first = NONE, ...others] = outputs;
  return others.length === 0 ? first : Buffer.concat(outputs);
}

const NONE = Buffer.alloc(0);
const SKIPPABLE_HEAD_BYTES = 8;

/** How long the skippable frame is that begins there (RFC 8878, 3.1.2); 0 where it is another one. */
function skippableBytes(bytes: Buffer, at: number): number {
  const hasMagic = bytes.length - at >= 4 && bytes.readUInt32LE(at) >>> 4 === 0x184d2a5;
  if (!hasMagic) return 0;
  const isWhole =
    bytes.length - at >= SKIPPABLE_HEAD_BYTES &&
    bytes.length - at >= SKIPPABLE_HEAD_BYTES + bytes.readUInt32LE(at + 4);
  if (!isWhole) throw broken('Z_BUF_ERROR');
  return SKIPPABLE_HEAD_BYTES + bytes.readUInt32LE(at + 4);
}
