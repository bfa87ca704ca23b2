import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { gunzip } from '../../../src/base/gunzip.ts';

const never = new AbortController().signal;
const broken = (reason: string): Error => new Error(`It is broken: ${reason}`);

async function* bytewise(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (const byte of bytes) yield Uint8Array.of(byte);
}

const textOf = async (pieces: AsyncIterable<Buffer>): Promise<string> =>
  Buffer.concat(await Array.fromAsync(pieces)).toString();

describe('gunzip', () => {
  test('gives what all members were made of', async () => {
    const members = Buffer.concat([gzipSync('some '), gzipSync(''), gzipSync('text')]);
    expect(await textOf(gunzip(bytewise(members), broken, never))).toBe('some text');
  });

  test('gives small pieces, however much comes of a few bytes', async () => {
    const pieces = gunzip(bytewise(gzipSync(Buffer.alloc(10_000_000))), broken, never);
    let bytes = 0;
    for await (const { length } of pieces) {
      expect(length).toBeLessThanOrEqual(65_536);
      bytes += length;
    }
    expect(bytes).toBe(10_000_000);
  });

  test.each([
    ['cut', gzipSync('text').subarray(0, -1), 'unexpected end of file'],
    ['nothing', Buffer.alloc(0), 'unexpected end of file'],
    ['something else', Buffer.from('text'), 'incorrect header check'],
  ])('throws the error of its reader where it is %s', async (_, bytes, reason) => {
    await expect(textOf(gunzip(bytewise(bytes), broken, never))).rejects.toThrow(broken(reason));
  });
});
