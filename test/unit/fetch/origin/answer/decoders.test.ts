import {
  brotliCompressSync,
  constants,
  deflateRawSync,
  deflateSync,
  gzipSync,
  type ZstdOptions,
  zstdCompressSync,
} from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { codingsOf, decode, mostCodedBytes } from '../../../../../src/fetch/origin/answer/decoders.ts';

const MAX_BYTES = 100_000;
const POST = '{"id":1,"title":"An early train to Lisbon"}';
const wanted = () => true;

/** The text, or the kind of what came instead with what it says. */
async function decoded(body: Buffer, codings: string, maxBytes = MAX_BYTES): Promise<unknown> {
  try {
    const result = await decode(body, codingsOf(codings) ?? [], maxBytes, wanted);
    return result?.kind === 'decoded' ? result.body.toString() : result;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}

const concat = (...parts: readonly (Buffer | string)[]): Buffer =>
  Buffer.concat(parts.map((part) => Buffer.from(part as string)));
const tooLarge = { kind: 'too-large' };

describe('the codings of a body', () => {
  test.each<[string | string[] | undefined, readonly string[] | undefined]>([
    [undefined, undefined],
    ['', undefined],
    ['identity', undefined],
    ['aws-chunked', undefined],
    ['Identity, aws-chunked,', undefined],
    ['gzip', ['gzip']],
    [' GZIP ', ['gzip']],
    ['aws-chunked,gzip', ['gzip']],
    ['deflate, gzip', ['deflate', 'gzip']],
    [
      ['deflate', 'br'],
      ['deflate', 'br'],
    ],
    [',, gzip ,\t,br,', ['gzip', 'br']],
  ])('%j are %j', (field, codings) => {
    expect(codingsOf(field)).toStrictEqual(codings);
  });
});

describe('what is coded', () => {
  const encoders: readonly [string, (bytes: Buffer | string) => Buffer][] = [
    ['gzip', gzipSync],
    ['x-gzip', gzipSync],
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ];

  test.each(encoders)('in %s comes back, and so does nothing', async (coding, encode) => {
    expect(await decoded(encode(POST), coding)).toBe(POST);
    expect(await decoded(encode(''), coding)).toBe('');
  });

  test.each(encoders)('in %s and cut short anywhere is never whole', async (coding, encode) => {
    const whole = encode(POST);
    for (let length = 1; length < whole.length; length++)
      expect(await decoded(whole.subarray(0, length), coding), `${length} bytes`).toMatch(/^Z_BUF_ERROR$/);
  });

  test.each(encoders)('in %s has a limit to the byte', async (coding, encode) => {
    const text = 'x'.repeat(1_000);
    expect(await decoded(encode(text), coding, 1_000)).toBe(text);
    expect(await decoded(encode(text), coding, 999)).toStrictEqual(tooLarge);
  });

  test('in deflate without a frame may begin as if it had one', async () => {
    // A stored block whose padding is not zero, and an empty last one.
    const text = 'x'.repeat(29);
    const stored = concat(Buffer.from([0x08, 29, 0, 226, 255]), text, Buffer.from([3, 0]));
    expect(await decoded(stored, 'deflate')).toBe(text);
    expect(await decoded(concat(stored, 'rubbish'), 'deflate')).toBe('Z_DATA_ERROR');
  });

  test.each(['deflate', 'gzip', 'br', 'zstd'])(
    'in %s and empty before it is read is cut short',
    async (coding) => {
      expect(await decoded(gzipSync(''), `${coding}, gzip`)).toBe(coding === 'zstd' ? '' : 'Z_BUF_ERROR');
    },
  );

  test('twice and more is undone from the last on, up to four times', async () => {
    expect(await decoded(gzipSync(deflateSync(POST)), 'deflate, gzip')).toBe(POST);
    expect(await decoded(gzipSync(gzipSync(gzipSync(gzipSync(POST)))), 'gzip,gzip,gzip,gzip')).toBe(POST);
    expect(await decoded(Buffer.from('x'), 'gzip,gzip,gzip,gzip,gzip')).toStrictEqual({
      kind: 'unknown-coding',
      coding: '5 codings, one after the other',
    });
  });

  test('has a limit at each of its layers', async () => {
    const bomb = gzipSync(gzipSync(Buffer.alloc(50_000_000)));
    expect(await decoded(bomb, 'gzip, gzip')).toStrictEqual(tooLarge);
    expect(await decoded(gzipSync(gzipSync(Buffer.alloc(20_000_000))), 'gzip')).not.toStrictEqual(tooLarge);
  });

  test.each(['compress', 'exi', 'constructor', '__proto__', 'gzip2', 'dcb'])(
    'in %s is not known',
    async (coding) => {
      expect(await decoded(Buffer.from('x'), coding)).toStrictEqual({ kind: 'unknown-coding', coding });
    },
  );

  test('in what nobody knows is named by its first hundred characters, without those that print nothing', async () => {
    expect(await decoded(Buffer.from('x'), `\u{1b}[31m\u{e9}${'y'.repeat(200)}`)).toStrictEqual({
      kind: 'unknown-coding',
      coding: `?[31m?${'y'.repeat(94)}`,
    });
  });

  test('and cannot be compressed fits', () => {
    for (const bytes of [0, 1, 1_000, 1_048_576])
      for (const [, encode] of encoders) {
        const noise = Buffer.from(
          Array.from({ length: Math.min(bytes, 10_000) }, (_, i) => (i * i * 2_654_435_761) >>> 5),
        );
        expect(encode(noise).length).toBeLessThan(mostCodedBytes(noise.length));
      }
  });
});

describe('behind the end of', () => {
  test.each<[string, Buffer, string | RegExp]>([
    ['gzip, zeros are passed over', concat(gzipSync(POST), Buffer.alloc(512)), POST],
    ['gzip, rubbish is passed over', concat(gzipSync(POST), 'rubbish'), POST],
    [
      'gzip, a member of a magic number has failed',
      concat(gzipSync(POST), Buffer.from('1f8b', 'hex')),
      'Z_BUF_ERROR',
    ],
    ['gzip, half a magic number is rubbish', concat(gzipSync(POST), Buffer.from([0x1f])), POST],
    ['gzip, another member belongs to it', concat(gzipSync('{"id":'), gzipSync('1}')), '{"id":1}'],
    ['gzip, empty members are nothing', concat(gzipSync(''), gzipSync(POST), gzipSync('')), POST],
    ['members of gzip, rubbish is passed over', concat(gzipSync('1'), gzipSync('2'), 'x'), '12'],
    [
      'gzip, a member that is cut short has failed',
      concat(gzipSync(POST), gzipSync(POST).subarray(0, 15)),
      'Z_BUF_ERROR',
    ],
    [
      'gzip, a broken member has failed',
      concat(gzipSync(POST), Buffer.from('1f8b0909', 'hex'), 'x'),
      'Z_DATA_ERROR',
    ],
  ])('%s', async (_name, body, expected) => {
    expect(await decoded(body, 'gzip')).toBe(expected);
  });

  test('a member of gzip with every field in its header, rubbish is passed over', async () => {
    const plain = gzipSync(POST);
    const header = Buffer.from(plain.subarray(0, 10));
    header[3] = 4 | 8 | 16;
    const fields = concat(Buffer.from([3, 0]), 'abc', 'name\0', 'comment\0');
    expect(await decoded(concat(header, fields, plain.subarray(10), 'rubbish'), 'gzip')).toBe(POST);
    // zlib checks the sum of the header itself, and refuses one that is wrong, whatever stands behind the member.
    header[3] = 2;
    expect(await decoded(concat(header, 'xx', plain.subarray(10), 'rubbish'), 'gzip')).toBe('Z_DATA_ERROR');
  });

  test('gzip whose sum is wrong, rubbish does not make it right', async () => {
    const wrong = gzipSync(POST);
    wrong[wrong.length - 6] = (wrong[wrong.length - 6] ?? 0) ^ 1;
    expect(await decoded(concat(wrong, 'rubbish'), 'gzip')).toBe('Z_DATA_ERROR');
  });

  test('members of gzip that hold too much together, rubbish is a failure', async () => {
    const half = gzipSync('x'.repeat(600));
    expect(await decoded(concat(half, half, 'rubbish'), 'gzip', 1_200)).toBe('x'.repeat(1_200));
    expect(await decoded(concat(half, half, 'rubbish'), 'gzip', 1_199)).not.toBe('x'.repeat(1_200));
  });

  test('more members of gzip than anybody sends, rubbish is a failure', async () => {
    const members = Buffer.concat(Array<Buffer>(257).fill(gzipSync('')));
    expect(await decoded(members, 'gzip')).toBe('');
    expect(await decoded(concat(members, 'rubbish'), 'gzip')).toBe('Z_DATA_ERROR');
  });

  test.each<[string, Buffer]>([
    ['deflate', deflateSync(POST)],
    ['deflate', deflateRawSync(POST)],
    ['br', brotliCompressSync(POST)],
  ])('%s, there is nothing, or it has failed', async (coding, body) => {
    for (const more of ['x', '\0', body])
      expect(await decoded(concat(body, more), coding)).toBe('Z_DATA_ERROR');
  });
});

describe('zstd', () => {
  const frame = (text: string, options: ZstdOptions = {}) => zstdCompressSync(text, options);
  const checked = { params: { [constants.ZSTD_c_checksumFlag]: 1 } };
  const unsized = { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } };
  const skippable = (content: string, nibble = 0): Buffer => {
    const head = Buffer.alloc(8);
    head.writeUInt32LE(0x184d2a50 + nibble, 0);
    head.writeUInt32LE(content.length, 4);
    return concat(head, content);
  };

  test.each<[string, Buffer, string]>([
    ['two frames', concat(frame('{"id":1,'), frame('"t":2}')), '{"id":1,"t":2}'],
    ['frames that look like a number each', concat(frame('12'), frame('34')), '1234'],
    ['a skippable frame before', concat(skippable('x'), frame(POST)), POST],
    ['an empty skippable frame between', concat(frame('1'), skippable('', 15), frame('2')), '12'],
    ['skippable frames behind', concat(frame(POST), skippable('abc', 7), skippable('')), POST],
    ['nothing but skippable frames', concat(skippable('x'), skippable('y')), ''],
    ['empty frames', concat(frame(''), frame(POST), frame('')), POST],
    ['empty frames with a sum', concat(frame('', checked), frame(POST, checked), frame('', checked)), POST],
    ['frames that do not tell their size', concat(frame('1', unsized), frame('2', unsized)), '12'],
  ])('may be %s', async (_name, body, text) => {
    expect(await decoded(body, 'zstd')).toBe(text);
  });

  test('of two frames cut short anywhere is never more than the first', async () => {
    const [first, second] = [frame('12'), frame('34')];
    for (let length = 1; length < second.length; length++)
      expect(await decoded(concat(first, second.subarray(0, length)), 'zstd')).toBe('Z_BUF_ERROR');
  });

  test.each([
    ['a head that is cut short', skippable('').subarray(0, 5)],
    ['a frame that is cut short', skippable('abc').subarray(0, 10)],
  ])('with a skippable frame with %s has failed', async (_name, rest) => {
    expect(await decoded(concat(frame('1'), rest), 'zstd')).toBe('Z_BUF_ERROR');
  });

  test('with rubbish behind it has failed', async () => {
    expect(await decoded(concat(frame('1'), 'rubbish'), 'zstd')).toBe('ZSTD_error_prefix_unknown');
  });

  test('has one limit for all of its frames', async () => {
    const body = concat(frame('x'.repeat(600)), frame('x'.repeat(400)), frame(''));
    expect(await decoded(body, 'zstd', 1_000)).toBe('x'.repeat(1_000));
    expect(await decoded(body, 'zstd', 999)).toStrictEqual(tooLarge);
  });

  test('has 256 frames at most, and one more for each 4 KB', async () => {
    const many = (count: number) => Buffer.concat(Array<Buffer>(count).fill(frame('')));
    expect(frame('').length).toBe(9);
    expect(await decoded(many(256), 'zstd')).toBe('');
    expect(await decoded(many(257), 'zstd')).toBe('Z_DATA_ERROR');
    expect(await decoded(concat(many(256), frame('x')), 'zstd')).toBe('Z_DATA_ERROR');
  });

  test('that wants a window of more than 8 MB is refused', async () => {
    const wide = zstdCompressSync(Buffer.alloc(20_000_000, 1), {
      params: { [constants.ZSTD_c_windowLog]: 26 },
    });
    expect(await decoded(wide, 'zstd')).toBe('ZSTD_error_frameParameter_windowTooLarge');
  });
});

describe('a large body', () => {
  const noise = Buffer.from(
    Array.from({ length: 90_000 }, (_, i) => 0x20 + (((i * i * 2_654_435_761) >>> 7) % 95)),
  ).toString();

  test.each<[string, (text: string) => Buffer]>([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
    ['zstd', zstdCompressSync],
  ])('in %s comes back as a small one does, and so does one that is small before', async (coding, encode) => {
    expect(encode(noise).length).toBeGreaterThan(16_384);
    expect(await decoded(encode(noise), coding)).toBe(noise);
    expect(await decoded(encode('x'.repeat(90_000)), coding)).toBe('x'.repeat(90_000));
  });
});

describe('many bodies', () => {
  test('are decoded one after the other, each its own', async () => {
    const bodies = Array.from({ length: 50 }, (_, i) => gzipSync(`"${i}"`));
    const results = await Promise.all(bodies.map((body) => decoded(body, 'gzip')));
    expect(results).toStrictEqual(bodies.map((_, i) => `"${i}"`));
  });

  test('that nobody waits for any more are not decoded', async () => {
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, i) => decode(brotliCompressSync(POST), ['br'], MAX_BYTES, () => i < 5)),
    );
    expect(results.map((result) => result?.kind)).toStrictEqual([
      ...Array(5).fill('decoded'),
      ...Array(5).fill(undefined),
    ]);
  });
});
