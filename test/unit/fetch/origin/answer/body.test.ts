import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Body } from '../../../../../src/fetch/origin/answer/body.ts';

test('has the bytes of its chunks, in their order', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 10_000 }), { maxLength: 20 }), (chunks) => {
      const body = new Body();
      for (const chunk of chunks) body.add(Buffer.from(chunk));
      expect(body.length).toBe(chunks.reduce((sum, { length }) => sum + length, 0));
      expect(body.bytes()).toStrictEqual(Buffer.concat(chunks));
    }),
  );
});

test('of one chunk is that chunk', () => {
  const chunk = Buffer.from('{"id":1}');
  const body = new Body();
  body.add(chunk);
  expect(body.bytes().buffer).toBe(chunk.buffer);
});

test('of many chunks does not change what they were read with, and keeps none of it', () => {
  const slab = Buffer.alloc(65_536, 'x');
  const body = new Body();
  for (let i = 0; i < 100_000; i++) body.add(slab.subarray(i % slab.length, (i % slab.length) + 1));
  const bytes = body.bytes();
  expect([bytes.length, bytes.buffer === slab.buffer, slab.every((byte) => byte === 0x78)]).toStrictEqual([
    100_000,
    false,
    true,
  ]);
  expect(bytes.buffer.byteLength).toBeLessThan(3 * 100_000);
});
