import { randomBytes } from 'node:crypto';
import { deflateRawSync, gunzipSync, gzipSync, inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RunConflictError } from '../../../src/base/errors.ts';
import { firstMemberIn, gzipMembers, readMembers } from '../../../src/document/gzip-members.ts';

const never = new AbortController().signal;
const line = (index: number, more = ''): string => `{"index":${index},"more":"${more}"}\n`;
const lines = (count: number): string => Array.from({ length: count }, (_, index) => line(index)).join('');

async function* chunksOf(...texts: readonly (string | Buffer)[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text);
}

/** Pieces of these sizes, and what is left. */
function cut(bytes: Buffer, sizes: readonly number[]): readonly Buffer[] {
  let from = 0;
  const pieces = sizes.map((size) => {
    from += size;
    return bytes.subarray(from - size, from);
  });
  return [...pieces, bytes.subarray(from)].filter(({ length }) => length > 0);
}

async function whole(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(chunks));
}

/** Where members start, each as a reader finds it who looks on from behind the start of the one before. */
function placesIn(bytes: Buffer) {
  const places = [];
  for (let from = 0; ; ) {
    const place = firstMemberIn(bytes.subarray(from), from);
    if (!place) return places;
    places.push({ index: place.index, offset: from + place.offset });
    from += place.offset + 1;
  }
}

const textOf = async (bytes: AsyncIterable<Buffer>, maxLineBytes?: number): Promise<string> =>
  (await whole(readMembers(bytes, 's3://results/runs/x.ndjson.gz', never, maxLineBytes))).toString();

describe('members of gzip', () => {
  test('are the same text, whatever its chunks, and each begins and ends with whole lines', async () => {
    const texts = fc.array(fc.string({ unit: fc.constantFrom('x', 'é', '🙂', '\\n'), maxLength: 20 }));
    const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(texts, sizes, fc.integer({ min: 1, max: 100 }), async (each, cuts, memberBytes) => {
        const outcomes = each.map((more, index) => line(index, more));
        const text = outcomes.join('');
        const chunks = chunksOf(...cut(Buffer.from(text), cuts));
        const bytes = await whole(gzipMembers(chunks, memberBytes));
        expect(gunzipSync(bytes).toString()).toBe(text);
        const places = placesIn(bytes);
        const members = places.map(({ offset }, at) =>
          gunzipSync(bytes.subarray(offset, places[at + 1]?.offset)).toString(),
        );
        expect(members.join('')).toBe(text);
        let index = 0;
        for (const [at, member] of members.entries()) {
          expect(places[at]?.index).toBe(index);
          index += member.split('\n').length - 1;
          if (text !== '') expect([member.at(0), member.slice(-2)]).toStrictEqual(['{', '}\n']);
          // A member has no line more than takes it there.
          const last = member.slice(0, -1).lastIndexOf('\n') + 1;
          expect(Buffer.byteLength(member.slice(0, last))).toBeLessThan(memberBytes);
          if (at < members.length - 1) expect(Buffer.byteLength(member)).toBeGreaterThanOrEqual(memberBytes);
        }
        expect(index).toBe(outcomes.length);
        expect(await textOf(chunksOf(...cut(bytes, cuts)))).toBe(text);
      }),
      { numRuns: 200 },
    );
  });

  test('of no lines are one, which is empty', async () => {
    const bytes = await whole(gzipMembers(chunksOf()));
    expect(placesIn(bytes)).toStrictEqual([{ index: 0, offset: 0 }]);
    expect(gunzipSync(bytes)).toStrictEqual(Buffer.alloc(0));
    expect(await textOf(chunksOf(bytes))).toBe('');
  });

  test('are of 5 MiB and a line, and the same bytes each time', async () => {
    const text = Buffer.from(line(0, 'x'.repeat(1_048_559)).repeat(12));
    const bytes = await whole(
      gzipMembers(
        chunksOf(
          ...cut(
            text,
            Array.from({ length: 190 }, () => 65_536),
          ),
        ),
      ),
    );
    expect(placesIn(bytes).map(({ index }) => index)).toStrictEqual([0, 5, 10]);
    expect(await whole(gzipMembers(chunksOf(text)))).toStrictEqual(bytes);
  });

  test.each([
    ['short', 100, 5],
    ['long', 3_000, 1],
  ])('of %s lines are compressed as much as they are worth', async (_, bytes, level) => {
    const words = () => randomBytes(bytes / 2).toString('hex');
    const text = Buffer.from(Array.from({ length: 200 }, (_, index) => line(index, words())).join(''));
    const members = await whole(gzipMembers(chunksOf(text), 100_000));
    for (const { offset } of placesIn(members).slice(0, 2)) {
      const body = members.subarray(offset + 32);
      expect(body.indexOf(deflateRawSync(inflateRawSync(body), { level }))).toBe(0);
    }
  });

  test('end with the very error that their lines throw, in the first chunk or a later one', async () => {
    const thrown = new Error('no more lines');
    const failing = async function* (...chunks: readonly string[]): AsyncGenerator<Buffer> {
      yield* chunksOf(...chunks);
      throw thrown;
    };
    await expect(whole(gzipMembers(failing()))).rejects.toBe(thrown);
    await expect(whole(gzipMembers(failing(lines(2), lines(2))))).rejects.toBe(thrown);
  });

  test('take few more lines than they are asked for, and tell these to return', async () => {
    let taken = 0;
    let hasReturned = false;
    const endless = async function* (): AsyncGenerator<Buffer> {
      try {
        for (; ; taken++) yield Buffer.from(line(taken, randomBytes(30_000).toString('latin1')));
      } finally {
        hasReturned = true;
      }
    };
    const members = gzipMembers(endless());
    let bytes = 0;
    for (let blocks = 0; blocks < 200; blocks++) {
      bytes += ((await members.next()).value as Buffer).length;
      expect(30_000 * taken - bytes).toBeLessThan(1_000_000);
    }
    await members.return();
    expect(hasReturned).toBe(true);
  });

  test('are made of lines that cannot be told to return, too', async () => {
    const next = async () => ({ done: true, value: undefined }) as const;
    expect(await whole(gzipMembers({ [Symbol.asyncIterator]: () => ({ next }) }))).toHaveLength(42);
  });
});

describe('the first member in a piece', () => {
  test('is none where its header is cut off, or in another place than it says', async () => {
    const bytes = await whole(gzipMembers(chunksOf(lines(9)), 40));
    const [, second, third] = placesIn(bytes);
    if (!second || !third) expect.fail('There are too few members');
    const { index, offset } = second;
    expect(firstMemberIn(bytes.subarray(offset, offset + 31), offset)).toBeUndefined();
    expect(firstMemberIn(bytes.subarray(offset, offset + 32), offset)).toStrictEqual({ index, offset: 0 });
    const moved = Buffer.concat([bytes.subarray(offset, third.offset), bytes.subarray(offset)]);
    expect(firstMemberIn(moved, 2 * offset - third.offset)).toStrictEqual({
      index,
      offset: third.offset - offset,
    });
    expect(firstMemberIn(bytes.subarray(offset), 0)).toBeUndefined();
    expect(firstMemberIn(gzipSync(lines(9)), 0)).toBeUndefined();
  });
});

describe('members of gzip are read', () => {
  const broken = (reason: string) =>
    new RunConflictError(`s3://results/runs/x.ndjson.gz is not as it was written: ${reason}`);

  test('whoever has made them, with zeros behind them or not', async () => {
    const foreign = Buffer.concat([gzipSync(line(0)), gzipSync(line(1)), Buffer.alloc(9)]);
    expect(await textOf(chunksOf(foreign))).toBe(lines(2));
  });

  test('to the end, or not at all: torn, cut, followed by something else, changed or no gzip', async () => {
    const bytes = await whole(gzipMembers(chunksOf(lines(9)), 100));
    const starts = new Set(placesIn(bytes).map(({ offset }) => offset));
    for (let end = 0; end < bytes.length; end++)
      if (end === 0 || !starts.has(end))
        await expect(textOf(chunksOf(bytes.subarray(0, end)))).rejects.toThrow(
          broken('unexpected end of file'),
        );
    const changedAt = (place: number): Buffer => {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(255 - changed.readUInt8(bytes.length + place), bytes.length + place);
      return changed;
    };
    const damaged: readonly [bytes: Buffer, reason: string][] = [
      [Buffer.concat([bytes, Buffer.from('more')]), 'incorrect header check'],
      [Buffer.from(lines(2)), 'incorrect header check'],
      [changedAt(-8), 'incorrect data check'],
      [changedAt(-4), 'incorrect length check'],
    ];
    for (const [stored, reason] of damaged)
      await expect(textOf(chunksOf(stored))).rejects.toThrow(broken(reason));
  });

  test('up to a line that is no outcome, and to one without an end', async () => {
    const zeros = gzipSync(Buffer.alloc(10_000_000));
    await expect(textOf(chunksOf(zeros))).rejects.toThrow(broken('it has lines that are no outcomes'));
    const endless = gzipSync(`${line(0)}${line(1, 'x'.repeat(100_000))}`);
    const { length } = line(1, 'x'.repeat(100_000));
    expect(await textOf(chunksOf(endless), length)).toHaveLength(line(0).length + length);
    await expect(textOf(chunksOf(endless), 50_000)).rejects.toThrow(broken('it has a line without an end'));
  });

  test('until their signal aborts, or their bytes fail', async () => {
    const stop = new AbortController();
    const reason = new Error('enough');
    const bytes = gzipSync(lines(100_000));
    const members = readMembers(chunksOf(bytes), 's3://results/runs/x.ndjson.gz', stop.signal);
    await members.next();
    stop.abort(reason);
    await expect(whole(members)).rejects.toBe(reason);
    const thrown = new Error('no more bytes');
    const failing = async function* (): AsyncGenerator<Buffer> {
      yield bytes.subarray(0, 100);
      throw thrown;
    };
    await expect(textOf(failing())).rejects.toBe(thrown);
  });
});
