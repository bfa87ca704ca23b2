import { randomBytes } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BadInputError, TooLargeError } from '../../../../src/base/errors.ts';
import { eachId, type IdList } from '../../../../src/batch/ids.ts';
import { parseManifestLocation } from '../../../../src/batch/manifest/location.ts';
import { readManifest } from '../../../../src/batch/manifest/read.ts';
import { parseIds } from '../../../../src/batch/parse-ids.ts';
import { eventually } from '../../../support/eventually.ts';

const nameExpected = '1 to 128 characters out of A-Z a-z 0-9 . _ ~ - (not "." or "..")';
const integerExpected = 'an integer from 0 to 9007199254740991';
const idExpected = `${integerExpected}, a range {"from", "to"}, or ${nameExpected}`;

type Ending = 'json' | 'jsonl' | 'csv';

const never = new AbortController().signal;

const read = (source: AsyncIterable<Uint8Array>, name: string, maxIds = 1_000): Promise<IdList> =>
  readManifest(
    source,
    parseManifestLocation(`s3://bucket/${name}`, 'manifest'),
    { maxIds, maxManifestBytes: 100_000_000 },
    never,
  );

const readText = (content: string | Buffer, name: string, maxIds?: number): Promise<IdList> =>
  read(chunksOf([Buffer.from(content)]), name, maxIds);

async function* chunksOf(chunks: Iterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  yield* chunks;
}

/** A source that counts what was taken from it, and knows when it was left. */
function watched(chunks: Iterable<Uint8Array>) {
  const seen = { chunks: 0, isClosed: false };
  const source = async function* () {
    try {
      for (const chunk of chunks) {
        seen.chunks += 1;
        yield chunk;
      }
    } finally {
      seen.isClosed = true;
    }
  };
  return { seen, source: source() };
}

function* repeated(chunk: Buffer, limit: number): Generator<Buffer, void, undefined> {
  for (let i = 0; i < limit; i++) yield chunk;
}

describe('a manifest', () => {
  test.each<[name: string, content: string, ids: IdList]>([
    ['ids.json', '[]', []],
    ['ids.json', ' \r\n[\t]\n ', []],
    ['ids.json', '[1,"a",{"from":5,"to":6}]', [1, 'a', 5, 6]],
    ['ids.json', '\ufeff[\n  1,\n  "a" ,\n  {\n    "from": 7,\n    "to": 9\n  }\n]\n', [1, 'a', 7, 8, 9]],
    ['ids.json', String.raw`["\u0061", "7-9", 1e3, -0, 1.0]`, ['a', '7-9', 1000, 0, 1]],
    ['ids.jsonl', '', []],
    ['ids.jsonl', '\ufeff\n \r\n\t', []],
    ['ids.jsonl', '1\n"1"\n\n{"from":7,"to":9}\n', [1, '1', 7, 8, 9]],
    ['ids.jsonl', ' 1 \r\n\r\n"a"\r\n  2', [1, 'a', 2]],
    ['ids.ndjson', '\ufeff3\n1', [3, 1]],
    ['ids.csv', '', []],
    ['ids.csv', '\ufeff\r\n \n', []],
    ['ids.csv', 'id', []],
    ['ids.csv', '1,One\r\n007,Seven\r\na-slug,"A, slug"\r\n', [1, 7, 'a-slug']],
    ['ids.csv', '\ufeffID,title\n1\n2', [1, 2]],
    ['ids.csv', '\n"iD","title"\n"1","x"\n', [1]],
    // Only a header is one.
    ['ids.csv', 'a\nid\n', ['a', 'id']],
    ['ids.csv', 'id\nid\n', ['id']],
    // The header says which column the ids are in.
    ['ids.csv', 'name,id\nx,1\ny,2\n', [1, 2]],
    ['ids.csv', 'name, ID ,id\r\nx,1,7\r\n\r\n"y, z","a-slug",\r\n', [1, 'a-slug']],
    ['ids.csv', '\n \n"na""me\n","text, ""id""","Id"\n,,3\n\t\n[,"\n",4,\n', [3, 4]],
    ['ids.csv', 'x," id "\nid,1\n', [1]],
    ['ids.csv', 'x," id \ny,2\n"\nid,1\n', ['x', 'id']],
    ['ids.csv', 'x,"id"2\nid,id\n', ['x', 'id']],
    ['ids.csv', `x,id${' '.repeat(100)}y\n1,2\n`, ['x', 1]],
    ['ids.csv', `x,id${' '.repeat(100)}\n1,2\n`, ['x', 1]],
    // A cell is one id, whatever it looks like.
    ['ids.csv', '7-9\n"7-9"\n-\n', ['7-9', '7-9', '-']],
    ['ids.csv', ' 1 ,x\n\t2\t\n"3" ,x\n', [1, 2, 3]],
    ['ids.csv', '1,"two\nlines, ""quoted""",x\n2,"",\n3,5" pipe\n4,"a"b"c\n5,""""\n', [1, 2, 3, 4, 5]],
    // What other columns hold is nobody's business.
    ['ids.csv', '1,Tromsø\n2,[{\n3,"]\u0000"\n', [1, 2, 3]],
  ])('%s of %j has its ids', async (name, content, ids) => {
    expect([...eachId(await readText(content, name))]).toStrictEqual(ids);
    expect([...eachId(await readText(gzipSync(content), `${name}.gz`))]).toStrictEqual(ids);
    const bytes = [...Buffer.from(content)].map((byte) => Uint8Array.of(byte));
    expect([...eachId(await read(chunksOf(bytes), name))]).toStrictEqual(ids);
  });

  test('may have bytes that are no UTF-8 where no ids are', async () => {
    expect(await readText(Buffer.from('1,Troms\xf8\n2,x\n', 'latin1'), 'ids.csv')).toStrictEqual([1, 2]);
  });

  test('that is gzip in several members is one', async () => {
    const members = Buffer.concat([gzipSync('1\n'), gzipSync('2\n')]);
    expect(await readText(members, 'ids.csv.gz')).toStrictEqual([1, 2]);
  });

  test('has ranges for long runs of integers, and gives them back as what they stand for', async () => {
    const runs = [5, 0, 1, 2, 3, 4, 5, 6, 7, 7, 8, 9];
    expect(await readText(runs.join('\n'), 'ids.csv')).toStrictEqual([5, { from: 0, to: 7 }, 7, 8, 9]);
    const listed = Array.from({ length: 10_000 }, (_, i) => i + 1);
    expect(await readText(JSON.stringify(listed), 'ids.json', 10_000)).toStrictEqual([
      { from: 1, to: 10_000 },
    ]);
    const ranges = '[{"from":1,"to":20},21,{"from":22,"to":30},"31",32,{"from":32,"to":32}]';
    expect(await readText(ranges, 'ids.json')).toStrictEqual([{ from: 1, to: 30 }, '31', 32, 32]);
    const { MAX_SAFE_INTEGER: max } = Number;
    expect(await readText(`${max - 1}\n${max}\n0\n`, 'ids.csv')).toStrictEqual([max - 1, max, 0]);
  });

  const names = fc.stringMatching(/^[A-Za-z0-9_~][A-Za-z0-9._~-]{0,20}$/);
  const integers = fc.oneof(fc.nat(20), fc.maxSafeNat());
  const ranges = fc.tuple(fc.nat(), fc.nat(50)).map(([from, length]) => ({ from, to: from + length }));
  const runs = fc
    .tuple(fc.nat(30), fc.nat(20))
    .map(([from, length]) => Array.from({ length }, (_, i) => from + i));
  const lists = fc
    .array(fc.oneof(integers, names, ranges, runs))
    .map((parts) => parts.flat() as Exclude<(typeof parts)[number], number[]>[]);
  const notation = fc.record({
    newline: fc.constantFrom('\n', '\r\n'),
    mark: fc.constantFrom('', '\ufeff'),
    gzip: fc.boolean(),
    indent: fc.nat(3),
    isQuoted: fc.boolean(),
    before: fc.constantFrom('', 'x,', '"a,\n""b""",', ',,', 'Tromsø,7,'),
    rest: fc.constantFrom('', ',x', ',"a,\n""b"""', ',,', ',Tromsø'),
    lastNewline: fc.boolean(),
  });
  type Notation = typeof notation extends fc.Arbitrary<infer T> ? T : never;

  const written: Readonly<Record<Ending, (ids: IdList, how: Notation) => string>> = {
    json: (ids, { indent, newline }) => JSON.stringify(ids, null, indent).replaceAll('\n', newline),
    jsonl: (ids, { newline, lastNewline }) =>
      ids.map((id) => JSON.stringify(id)).join(newline) + (lastNewline ? newline : ''),
    csv: (ids, { newline, isQuoted, before, rest, lastNewline }) => {
      const cells = ['id', ...ids].map((id) => before + (isQuoted ? `"${id}"` : id) + rest);
      return cells.join(newline) + (lastNewline ? newline : '');
    },
  };

  test.each(['json', 'jsonl', 'csv'] as const)(
    'in %s has the ids of the same list in an event, wherever its bytes are cut',
    async (ending) => {
      await fc.assert(
        fc.asyncProperty(
          lists,
          notation,
          fc.infiniteStream(fc.integer({ min: 1, max: 40 })),
          async (ids, how, cuts) => {
            // A table has neither ranges nor numbers in quotes.
            const list =
              ending === 'csv'
                ? [...eachId(ids)].map((id) => (/^\d+$/.test(`${id}`) ? Number(id) : id))
                : ids;
            if (list.some((id) => typeof id === 'number' && !Number.isSafeInteger(id))) return;
            const text = Buffer.from(how.mark + written[ending](list, how));
            const bytes = how.gzip ? gzipSync(text) : text;
            const manifest = await read(
              chunksOf(cut(bytes, cuts)),
              `ids.${ending}${how.gzip ? '.gz' : ''}`,
              100_000,
            );
            expect([...eachId(manifest)]).toStrictEqual([...eachId(parseIds(list, 'ids', 100_000))]);
          },
        ),
        { numRuns: 100 },
      );
    },
  );

  const scraps = fc.array(
    fc.oneof(
      fc.constantFrom(...'[]{}",:\n\r\t \\0123456789-.eaid', '\ufeff', 'ä', '"a"', '1,', '{"from":1,"to":2}'),
      fc.constantFrom('\xff', '\xc3'),
    ),
    { maxLength: 12 },
  );

  test.each(['json', 'jsonl', 'csv'] as const)(
    'in %s ends the same wherever its bytes are cut, also where it is bad',
    async (ending) => {
      const outcomeOf = async (chunks: Iterable<Uint8Array>) => {
        try {
          return [...eachId(await read(chunksOf(chunks), `ids.${ending}`))];
        } catch (error) {
          if (!(error instanceof BadInputError)) throw error;
          return error.message;
        }
      };
      await fc.assert(
        fc.asyncProperty(scraps, fc.boolean(), async (parts, isOpened) => {
          const text = [...(isOpened ? ['['] : []), ...parts];
          const bytes = Buffer.concat(
            text.map((part) => Buffer.from(part, /^[\xff\xc3]$/.test(part) ? 'latin1' : 'utf8')),
          );
          const whole = await outcomeOf([bytes]);
          expect(await outcomeOf([...bytes].map((byte) => Uint8Array.of(byte)))).toStrictEqual(whole);
          if (ending === 'json' && Array.isArray(whole))
            expect(whole).toStrictEqual([
              ...eachId(parseIds(JSON.parse(bytes.toString().replace(/^\ufeff/, '')), '', 1_000)),
            ]);
        }),
        { numRuns: 500 },
      );
    },
  );

  test('in JSON is refused where JSON.parse or an event would refuse it', async () => {
    await fc.assert(
      fc.asyncProperty(scraps, async (parts) => {
        const text = `[${parts.join('').replaceAll(/[\xff\xc3\ufeff]/g, '')}]`;
        const isGood = await readText(text, 'ids.json').then(
          () => true,
          () => false,
        );
        let isExpected = true;
        try {
          parseIds(JSON.parse(text), 'ids', 1_000);
        } catch {
          isExpected = false;
        }
        expect(isGood).toBe(isExpected);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('a manifest that is bad is refused with its line, what was expected and what came:', () => {
  test.each<[name: string, content: string, place: string, message: string]>([
    ['ids.json', '', ' line 1', 'a JSON array of ids, got nothing'],
    ['ids.json', '\n \n', ' line 3', 'a JSON array of ids, got nothing'],
    ['ids.json', '\n{"ids":[1]}', ' line 2', 'a JSON array of ids, got "{"'],
    ['ids.json', '1\n2\n', ' line 1', 'a JSON array of ids, got "1"'],
    ['ids.json', '[\n1,\n2', ' line 3', 'the end of the JSON array, got nothing'],
    ['ids.json', '[1,{"from":1,', ' line 1', 'the end of the JSON array, got nothing'],
    ['ids.json', '["a\\"]', ' line 1', 'the end of the JSON array, got nothing'],
    ['ids.json', '[1]\n\n[2]', ' line 3', 'white space after the JSON array, got "["'],
    ['ids.json', '[1]\u0000', ' line 1', String.raw`white space after the JSON array, got "\u0000"`],
    ['ids.json', '[,1]', ' line 1 [0]', 'JSON, got ""'],
    ['ids.json', '[1,\n\n,2]', ' line 3 [1]', 'JSON, got ""'],
    ['ids.json', '[1,\n2,\n]', ' line 3 [2]', 'JSON, got ""'],
    ['ids.json', '[1 2]', ' line 1 [0]', 'JSON, got "1 2"'],
    ['ids.json', '[01]', ' line 1 [0]', 'JSON, got "01"'],
    ['ids.json', '[1}]', ' line 1 [0]', 'JSON, got "1}"'],
    ['ids.json', "[1,'a']", ' line 1 [1]', `JSON, got "'a'"`],
    ['ids.json', '["a\nb"]', ' line 1 [0]', String.raw`JSON, got "\"a\nb\""`],
    ['ids.json', '[1,\n  "a/b"\n]', ' line 2 [1]', `${nameExpected}, got "a/b"`],
    ['ids.json', '[1,[2,3],4]', ' line 1 [1]', `${idExpected}, got an array of 2`],
    ['ids.json', '["a,]", null]', ' line 1 [0]', `${nameExpected}, got "a,]"`],
    ['ids.json', '[1,2,3.5]', ' line 1 [2]', `${idExpected}, got 3.5`],
    ['ids.json', '[\n{"from":1},\n2]', ' line 2 [0].to', `${integerExpected}, got nothing`],
    [
      'ids.jsonl',
      '1\n2\n\n{"from":5,"to":1}\n',
      ' line 4',
      'a range whose "from" is not above its "to", got {"from":5,"to":1}',
    ],
    [
      'ids.jsonl',
      '1\n{"from":5,"till":7}',
      ' line 2',
      'a range with "from" and "to" alone, got {"from":5,"till":7}',
    ],
    ['ids.jsonl', '1\r\n[2]\r\n', ' line 2', `${idExpected}, got an array of 1`],
    ['ids.jsonl', '1,\n2', ' line 1', 'JSON, got "1,"'],
    ['ids.jsonl', '1\n"a', ' line 2', String.raw`JSON, got "\"a"`],
    ['ids.jsonl', '1\n\u0000\n', ' line 2', String.raw`JSON, got "\u0000"`],
    ['ids.jsonl', '"ä"\n', ' line 1', `${nameExpected}, got "ä"`],
    ['ids.jsonl', '1\n9007199254740993\n', ' line 2', `${idExpected}, got 9007199254740992`],
    ['ids.csv', '1\n2\n,x\n', ' line 3', `${nameExpected}, got ""`],
    ['ids.csv', '""\n', ' line 1', `${nameExpected}, got ""`],
    ['ids.csv', 'id;title\n2;x\n', ' line 1', `${nameExpected}, got "id;title"`],
    ['ids.csv', '1\r2\r3', ' line 1', `${nameExpected}, got ${String.raw`"1\r2\r3"`}`],
    ['ids.csv', '1\u0000\n', ' line 1', `${nameExpected}, got ${String.raw`"1\u0000"`}`],
    ['ids.csv', '9007199254740993\n', ' line 1', `${integerExpected}, got "9007199254740993"`],
    ['ids.csv', '1,"x\ny"\n2,x\na b,x\n', ' line 4', `${nameExpected}, got "a b"`],
    ['ids.csv', '"1\n2"\n', ' line 1', `${nameExpected}, got ${String.raw`"1\n2"`}`],
    ['ids.csv', '1\n"a""\n', ' line 2', 'a record whose quotes are closed, got nothing'],
    ['ids.csv', '1\n2,"x\n3\n4\n', ' line 2', 'a record whose quotes are closed, got nothing'],
    ['ids.csv', '"1"2\n', ' line 1', `a cell with its quotes as in RFC 4180, got ${String.raw`"\"1\"2"`}`],
    [
      'ids.csv',
      'name,id\nx,1\n\ny\n',
      ' line 4',
      'a row of at least 2 cells, as the header has its `id` there, got 1',
    ],
    [
      'ids.csv',
      'a,"b\nc",id\n1,2\n',
      ' line 3',
      'a row of at least 3 cells, as the header has its `id` there, got 2',
    ],
    [
      'ids.csv',
      'a,id\n""\n',
      ' line 2',
      'a row of at least 2 cells, as the header has its `id` there, got 1',
    ],
    ['ids.csv', 'name,id\nx,\n', ' line 2', `${nameExpected}, got ""`],
    ['ids.csv', 'name,id\nx,a b\n', ' line 2', `${nameExpected}, got "a b"`],
    ['ids.csv', '1"2\n', ' line 1', `${nameExpected}, got ${String.raw`"1\"2"`}`],
  ])('%s of %j', async (name, content, place, message) => {
    await expect(readText(content, name)).rejects.toThrow(
      new BadInputError(`Expected \`s3://bucket/${name}${place}\` to be ${message}`),
    );
  });

  test.each(['json', 'jsonl'])('a key that is twice in a range of %s', async (ending) => {
    const range = '{"from":1,"to":2,"to":9}';
    const place = ending === 'json' ? 'line 1 [0]' : 'line 1';
    await expect(readText(ending === 'json' ? `[${range}]` : range, `ids.${ending}`)).rejects.toThrow(
      new BadInputError(
        `Expected \`s3://bucket/ids.${ending} ${place}\` to have each key of an object once, got "to" twice`,
      ),
    );
  });

  test.each(['json', 'jsonl'])('what is nested as deep as its bytes allow in %s', async (ending) => {
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
    ] as const) {
      const deep = `${open.repeat(600)}1${close.repeat(600)}`;
      await expect(readText(ending === 'json' ? `[${deep}]` : deep, `ids.${ending}`)).rejects.toThrow(
        expect.objectContaining({ code: 'BAD_INPUT' }),
      );
    }
  });

  test('under the longest key there is, in less than a kilobyte', async () => {
    const name = `${'€'.repeat(338)}.json`;
    for (const id of [
      `"${String.raw`\u0001`.repeat(400)}"`,
      `{"from":"${String.raw`\u0001`.repeat(400)}"}`,
    ]) {
      const failure = await readText(`[1,${id}]`, name).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(BadInputError);
      expect(Buffer.byteLength((failure as BadInputError).message)).toBeLessThan(1_024);
    }
  });

  test.each([
    ['ids.json', '[1,\n"', '"]', ' line 2 [1]'],
    ['ids.jsonl', '1\n"', '"\n', ' line 2'],
    ['ids.csv', '1\n', ',x\n', ' line 2'],
  ])('%s with bytes that are no UTF-8', async (name, before, after, place) => {
    const bytes = Buffer.concat([Buffer.from(before), Buffer.from([0x61, 0xc3, 0x28]), Buffer.from(after)]);
    await expect(readText(bytes, name)).rejects.toThrow(
      `Expected \`s3://bucket/${name}${place}\` to be text in UTF-8, got`,
    );
  });

  test('what is UTF-16', async () => {
    await expect(readText(Buffer.from('\ufeff1\n', 'utf16le'), 'ids.csv')).rejects.toThrow(
      'Expected `s3://bucket/ids.csv line 1` to be text in UTF-8, got',
    );
    await expect(readText(Buffer.from('[1]', 'utf16le'), 'ids.json')).rejects.toThrow(
      'Expected `s3://bucket/ids.json line 1 [0]` to be JSON, got',
    );
  });

  test.each<[what: string, bytes: Buffer, why: string]>([
    ['what is not gzip', Buffer.from('1\n2\n'), 'incorrect header check'],
    ['nothing where gzip should be', Buffer.alloc(0), 'unexpected end of file'],
    ['gzip that is cut short', gzipSync('1\n2\n').subarray(0, -9), 'unexpected end of file'],
    ['gzip whose checksum is wrong', flipped(gzipSync('1\n2\n'), -8), 'incorrect data check'],
    ['gzip that is broken', flipped(gzipSync('1\n2\n'), 10), expect.any(String)],
  ])('%s', async (_, bytes, why) => {
    await expect(readText(bytes, 'ids.csv.gz')).rejects.toThrow(
      expect.objectContaining({
        code: 'BAD_INPUT',
        message:
          typeof why === 'string'
            ? `Expected \`s3://bucket/ids.csv.gz\` to be whole and gzip, as its key says: ${why}`
            : why,
      }),
    );
  });
});

describe('of a manifest, no more is held than its ids:', () => {
  const maxPiece = 64 * 1024;

  test.each([
    ['ids.json', '["', 'a', ' line 1 [0]'],
    ['ids.json', '[{', ' ', ' line 1 [0]'],
    ['ids.jsonl', '1\n', '7', ' line 2'],
    ['ids.jsonl', '\n', ' ', ' line 2'],
    ['ids.csv', '1,x\n', '7', ' line 2'],
    ['ids.csv', '1,x\n"', '\n', ' line 2'],
    ['ids.csv', 'name,id\nx,', '7', ' line 2'],
  ])(
    'reading %s ends soon in an endless id that starts %j and goes on with %j',
    async (name, start, more, place) => {
      const { seen, source } = watched(chain([Buffer.from(start)], repeated(Buffer.alloc(100, more), 1_000)));
      await expect(read(source, name)).rejects.toThrow(
        `Expected \`s3://bucket/${name}${place}\` to be at most 4096 bytes long, got `,
      );
      expect(seen).toStrictEqual({ chunks: expect.closeTo(43, -1), isClosed: true });
    },
  );

  test('white space and cells of other columns may go on for long', async () => {
    const spaces = [...repeated(Buffer.alloc(maxPiece, ' '), 5)];
    const texts = [...repeated(Buffer.alloc(maxPiece, 'x'), 5)];
    const blanks = [...repeated(Buffer.alloc(maxPiece, '\n'), 5)];
    const some = (text: string) => [Buffer.from(text)];
    expect(
      await read(
        chunksOf([...some('['), ...spaces, ...some('1,'), ...blanks, ...some('2]'), ...spaces]),
        'ids.json',
      ),
    ).toStrictEqual([1, 2]);
    expect(await read(chunksOf([...some('1'), ...blanks, ...some('2')]), 'ids.jsonl')).toStrictEqual([1, 2]);
    expect(
      await read(
        chunksOf([...some('1,'), ...texts, ...some('\n2,"'), ...blanks, ...some('"\n3')]),
        'ids.csv',
      ),
    ).toStrictEqual([1, 2, 3]);
  });

  test.each([
    ['ids.json', '[1,1,1,1,1,1,1,1,1', ',1,\n1', 2],
    ['ids.jsonl', '1\n1\n1\n1\n1\n1\n1\n1\n', '1\n1\n', 11],
    ['ids.csv', 'id\n1\n1\n1\n1\n1\n1\n1\n1\n', '1\n1\n', 12],
  ])('%s is not read past one id too many', async (name, start, more, line) => {
    const { seen, source } = watched(chain([Buffer.from(start)], repeated(Buffer.from(more), 1_000)));
    await expect(read(source, name, 10)).rejects.toThrow(
      new TooLargeError(
        `Expected \`s3://bucket/${name}\` to hold at most 10 ids (MAX_IDS), got more by line ${line}`,
      ),
    );
    expect(seen).toStrictEqual({ chunks: 3, isClosed: true });
  });

  test('exactly as many ids as are allowed are good, and ranges are counted without being listed', async () => {
    expect(await readText('0\n{"from":1,"to":8}\n"a"', 'ids.jsonl', 10)).toStrictEqual([
      { from: 0, to: 8 },
      'a',
    ]);
    for (const range of ['{"from":0,"to":10}', '{"from":0,"to":9007199254740991}'])
      await expect(readText(`\n${range}`, 'ids.jsonl', 10)).rejects.toThrow(
        new TooLargeError(
          'Expected `s3://bucket/ids.jsonl` to hold at most 10 ids (MAX_IDS), got more by line 2',
        ),
      );
  });

  test('more ids and ranges than memory is to hold are refused, however few of either are allowed', async () => {
    const location = parseManifestLocation('s3://bucket/ids.csv', 'manifest');
    const hold = (lines: string, maxEntries: number) =>
      readManifest(
        chunksOf([Buffer.from(lines)]),
        location,
        { maxIds: 1_000, maxManifestBytes: 1_000, maxEntries },
        never,
      );
    const consecutive = Array.from({ length: 100 }, (_, i) => i).join('\n');
    expect(await hold(consecutive, 5)).toStrictEqual([{ from: 0, to: 99 }]);
    await expect(hold('a\nb\nc\nd\n', 3)).rejects.toThrow(
      new TooLargeError(
        'Expected `s3://bucket/ids.csv` to hold at most 3 ids and ranges, got more by line 4',
      ),
    );
  });

  test('what gzip has packed is not unpacked past one id too many', async () => {
    const packed = gzipSync(randomBytes(200_000).toString('hex').replaceAll(/.{20}/g, '$&\n'));
    const { seen, source } = watched(cut(packed, repeatedly(1_000)));
    await expect(read(source, 'ids.csv.gz', 100)).rejects.toThrow(TooLargeError);
    await eventually(() => seen.isClosed);
    // What fits into the buffer of a stream.
    expect(seen.chunks).toBeLessThan(100);
    expect(packed.length).toBeGreaterThan(200_000);
  });

  test.each(['ids.csv', 'ids.csv.gz'])('%s is not read past the bytes that it may have', async (name) => {
    const quotes = Buffer.alloc(1_000_000, '""\n');
    const bytes = name.endsWith('.gz') ? gzipSync(quotes) : quotes;
    const { seen, source } = watched(cut(bytes, repeatedly(100)));
    const location = parseManifestLocation(`s3://bucket/${name}`, 'manifest');
    const readUpTo = (maxManifestBytes: number) =>
      readManifest(source, location, { maxIds: 10, maxManifestBytes }, never);
    await expect(readUpTo(99)).rejects.toThrow(
      new TooLargeError(
        `Expected \`s3://bucket/${name}\` to have at most 99 bytes, decompressed (MAX_MANIFEST_BYTES), got more`,
      ),
    );
    await eventually(() => seen.isClosed);
    if (name.endsWith('.csv')) expect(seen.chunks).toBe(1);
  });

  test('exactly as many bytes as are allowed are good', async () => {
    const location = parseManifestLocation('s3://bucket/ids.csv.gz', 'manifest');
    const rows = '1\n2\n3\n';
    const limits = { maxIds: 10, maxManifestBytes: rows.length };
    expect(await readManifest(chunksOf([gzipSync(rows)]), location, limits, never)).toStrictEqual([1, 2, 3]);
  });

  test.each([
    ['ids.csv', Buffer.from('7,""\n'.repeat(100_000))],
    ['ids.csv.gz', gzipSync('7,""\n'.repeat(2_000_000))],
  ])('%s that takes long ends in the midst of a chunk when the signal says', async (name, bytes) => {
    const stopping = new AbortController();
    const reason = new Error('Enough');
    const location = parseManifestLocation(`s3://bucket/${name}`, 'manifest');
    const limits = { maxIds: Infinity, maxManifestBytes: Infinity };
    setImmediate(() => stopping.abort(reason));
    await expect(readManifest(chunksOf([bytes]), location, limits, stopping.signal)).rejects.toBe(reason);
  });

  test.each(['ids.csv', 'ids.csv.gz'])('%s ends between two chunks when the signal says', async (name) => {
    const stopping = new AbortController();
    const reason = new Error('Enough');
    const rows = Buffer.from('1\n2\n');
    const source = async function* () {
      yield name.endsWith('.gz') ? gzipSync(rows).subarray(0, 10) : rows;
      stopping.abort(reason);
      yield rows;
    };
    const location = parseManifestLocation(`s3://bucket/${name}`, 'manifest');
    const limits = { maxIds: 10, maxManifestBytes: 100 };
    await expect(readManifest(source(), location, limits, stopping.signal)).rejects.toBe(reason);
  });

  test.each(['ids.csv', 'ids.csv.gz'])('%s whose source fails fails with that very error', async (name) => {
    const failure = new Error('The connection went away');
    const source = async function* () {
      yield gzipSync('1\n').subarray(0, 12);
      throw failure;
    };
    const plain = async function* () {
      yield Buffer.from('1\n');
      throw failure;
    };
    await expect(read(name.endsWith('.gz') ? source() : plain(), name)).rejects.toBe(failure);
  });

  test('50,000 names take little more room than they are long', async () => {
    setFlagsFromString('--expose-gc');
    const gc: () => void = runInNewContext('gc');
    const name = (i: number): string => `a-name-of-a-post-that-is-long-${i}`;
    function* rows() {
      for (let i = 0; i < 50_000; i += 500)
        yield Buffer.from(
          Array.from({ length: 500 }, (_, j) => `${name(i + j)},${'x'.repeat(200)}\n`).join(''),
        );
    }
    gc();
    const before = process.memoryUsage().heapUsed;
    const ids = await read(chunksOf(rows()), 'ids.csv', 50_000);
    gc();
    const heldBytes = process.memoryUsage().heapUsed - before;
    expect([ids.length, ids[0], ids.at(-1)]).toStrictEqual([50_000, name(0), name(49_999)]);
    // The text of the manifest has 12 MB.
    expect(heldBytes).toBeLessThan(6_000_000);
  });
});

function* cut(bytes: Buffer, lengths: Iterable<number>): Generator<Buffer, void, undefined> {
  let start = 0;
  for (const length of lengths) {
    if (start >= bytes.length) return;
    yield bytes.subarray(start, start + length);
    start += length;
  }
}

function* repeatedly(length: number): Generator<number, void, undefined> {
  for (;;) yield length;
}

function* chain<T>(...parts: Iterable<T>[]): Generator<T, void, undefined> {
  for (const part of parts) yield* part;
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  const i = at < 0 ? copy.length + at : at;
  copy[i] = 0xff ^ (copy[i] ?? 0);
  return copy;
}
