import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ChunkWriter } from '../../../src/document/chunk-writer.ts';

const CHUNK_BYTES = 65_536;
const lengthsOf = (chunks: readonly Buffer[]) => chunks.map((chunk) => chunk.length);

describe('ChunkWriter', () => {
  test('holds what is small back until it is asked for all', () => {
    const writer = new ChunkWriter();
    writer.text('{"a":');
    writer.bytes(Buffer.from('1'));
    writer.text('}');
    expect(writer.isFull).toBe(false);
    expect(writer.take()).toStrictEqual([]);
    expect(Buffer.concat(writer.take(true)).toString()).toBe('{"a":1}');
    expect(writer.take(true)).toStrictEqual([]);
  });

  test('hands chunks over as soon as they are full, none above 64 KiB', () => {
    const writer = new ChunkWriter();
    for (let i = 0; i < 20; i++) writer.bytes(Buffer.alloc(10_000, 65 + i));
    expect(writer.isFull).toBe(true);
    const full = writer.take();
    expect(lengthsOf(full)).toStrictEqual([60_000, 60_000, 60_000]);
    expect(lengthsOf(writer.take(true))).toStrictEqual([20_000]);
  });

  test('a chunk that was taken is not written to any more', () => {
    const writer = new ChunkWriter();
    writer.text('first');
    const [first] = writer.take(true);
    writer.text('other');
    writer.take(true);
    expect(first?.toString()).toBe('first');
  });

  test('fills a chunk to its last byte', () => {
    const writer = new ChunkWriter();
    writer.bytes(Buffer.alloc(CHUNK_BYTES));
    expect(writer.take()).toStrictEqual([]);
    writer.bytes(Buffer.alloc(1));
    expect(lengthsOf(writer.take(true))).toStrictEqual([CHUNK_BYTES, 1]);
  });

  test('a value above 64 KiB is passed on without a copy, behind what came before it', () => {
    const writer = new ChunkWriter();
    const large = Buffer.alloc(CHUNK_BYTES + 1, 'x');
    writer.text('before');
    writer.bytes(large);
    writer.text('after');
    const [before, value, after] = writer.take(true);
    expect([before?.toString(), after?.toString()]).toStrictEqual(['before', 'after']);
    expect(value).toBe(large);
  });

  test('a text above 64 KiB comes whole', () => {
    const text = '€'.repeat(100_000);
    const writer = new ChunkWriter();
    writer.text('<');
    writer.text(text);
    writer.text('>');
    expect(Buffer.concat(writer.take(true)).toString()).toBe(`<${text}>`);
  });

  test('whatever is written, in whatever pieces, comes out in order and in full', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.tuple(fc.constantFrom('a', 'é', '€', '😀'), fc.nat(30_000)).map(([char, n]) => char.repeat(n)),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(piece, fc.boolean(), fc.boolean()), { maxLength: 20 }), (pieces) => {
        const writer = new ChunkWriter();
        const chunks: Buffer[] = [];
        for (const [text, asBytes, take] of pieces) {
          if (asBytes) writer.bytes(Buffer.from(text));
          else writer.text(text);
          if (take) chunks.push(...writer.take());
        }
        chunks.push(...writer.take(true));
        expect(Buffer.concat(chunks).equals(Buffer.from(pieces.map(([text]) => text).join('')))).toBe(true);
        expect(chunks.every((chunk) => chunk.length > 0)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});
