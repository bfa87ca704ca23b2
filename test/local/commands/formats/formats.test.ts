import { zstdDecompressSync } from 'node:zlib';
import { parquetMetadata, parquetReadObjects, parquetSchema } from 'hyparquet';
import { describe, expect, test } from 'vitest';
import { FORMATS, type FormatName } from '../../../../local/commands/formats/format.ts';
import { type RunLine, rowOf } from '../../../../local/commands/formats/rows.ts';
import { read, rejectedLine, sampleLines, sampleRows } from '../../../support/run-lines.ts';

const bytesOf = async (format: FormatName, lines: AsyncIterable<RunLine>): Promise<Buffer> =>
  Buffer.concat(await Array.fromAsync(FORMATS[format](lines)));
const textOf = async (format: FormatName, lines: readonly string[]): Promise<string> =>
  (await bytesOf(format, read(lines))).toString();

const header =
  'index,id,status,http_status,attempts,started_ms,duration_ms,waited_ms,code,message,run_id,value\r\n';

describe('a row', () => {
  test('has the waits of an outcome that tells them', async () => {
    for await (const line of read(sampleLines.slice(0, 1))) {
      const record = { ...line.record, waitedMs: 7 };
      expect(rowOf({ ...line, record }).waited_ms).toBe(7);
      expect(rowOf({ ...line, record: { ...record, waitedMs: null } }).waited_ms).toBeNull();
    }
  });
});

describe('ndjson', () => {
  test('is the line of each outcome to the byte, with its run first', async () => {
    expect(await textOf('ndjson', sampleLines)).toBe(
      sampleLines.map((line) => `{"runId":"run-1",${line.slice(1)}\n`).join(''),
    );
  });

  test('of no outcomes is nothing', async () => {
    expect(await textOf('ndjson', [])).toBe('');
  });
});

/** The cells of a CSV text, by the grammar of RFC 4180. */
function cellsOf(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  for (const [, quoted, plain = '', end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/gy)) {
    row.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === ',') continue;
    rows.push(row);
    row = [];
  }
  return rows;
}

describe('csv', () => {
  test('has the values token for token, and an empty cell for null', async () => {
    const text = await textOf('csv', sampleLines);
    const [names = [], ...rows] = cellsOf(text);
    const cells = sampleRows.map((row) => Object.values(row).map((value) => String(value ?? '')));
    expect([names, ...rows]).toStrictEqual([Object.keys(sampleRows[0] ?? {}), ...cells]);
  });

  test('ends each row with CRLF, and quotes what has to be', async () => {
    const line = rejectedLine(0, '-1', 'Post -1, "late"; time ran out');
    expect(await textOf('csv', [line])).toBe(
      `${header}0,-1,rejected,,0,,,,DEADLINE,"Post -1, ""late""; time ran out",run-1,\r\n`,
    );
  });

  test('starts no cell with what a spreadsheet takes for a formula, but for ids and numbers', async () => {
    const [, ...rows] = cellsOf(await textOf('csv', sampleLines));
    const starts = rows.flatMap(([, , ...cells]) => cells.filter((cell) => /^[=+\-@\t\r]/.test(cell)));
    expect(starts).toStrictEqual([]);
  });

  test('of no outcomes is its header', async () => {
    expect(await textOf('csv', [])).toBe(header);
  });
});

const compressors = { ZSTD: (input: Uint8Array) => zstdDecompressSync(input) };
const arrayBufferOf = (bytes: Buffer): ArrayBuffer => new Uint8Array(bytes).buffer;

describe('parquet', () => {
  test('has the values token for token', async () => {
    const file = arrayBufferOf(await bytesOf('parquet', read(sampleLines)));
    expect(await parquetReadObjects({ file, compressors })).toStrictEqual(
      sampleRows.map((row) => ({ ...row, index: BigInt(row.index) })),
    );
  });

  test('has the types that docs/data.md says', async () => {
    const { element, children } = parquetSchema(
      parquetMetadata(arrayBufferOf(await bytesOf('parquet', read(sampleLines)))),
    );
    expect(element.num_children).toBe(12);
    const string = 'BYTE_ARRAY UTF8 STRING';
    expect(
      children.map(({ element: { name, type, converted_type, logical_type, repetition_type } }) => [
        name,
        [type, converted_type, logical_type?.type].filter(Boolean).join(' '),
        repetition_type,
      ]),
    ).toStrictEqual([
      ['index', 'INT64', 'REQUIRED'],
      ['id', string, 'REQUIRED'],
      ['status', string, 'REQUIRED'],
      ['http_status', 'INT32', 'OPTIONAL'],
      ['attempts', 'INT32', 'REQUIRED'],
      ['started_ms', 'INT32', 'OPTIONAL'],
      ['duration_ms', 'INT32', 'OPTIONAL'],
      ['waited_ms', 'INT32', 'OPTIONAL'],
      ['code', string, 'OPTIONAL'],
      ['message', string, 'OPTIONAL'],
      ['run_id', string, 'REQUIRED'],
      ['value', string, 'OPTIONAL'],
    ]);
  });

  test('keeps statuses, codes and runs in dictionaries', async () => {
    const { row_groups } = parquetMetadata(arrayBufferOf(await bytesOf('parquet', read(sampleLines))));
    const encodings = (row_groups[0]?.columns ?? []).map(({ meta_data }) => [
      meta_data?.path_in_schema[0],
      meta_data?.encodings,
    ]);
    const dictionary = ['PLAIN', 'RLE_DICTIONARY'];
    expect(Object.fromEntries(encodings)).toMatchObject({
      status: dictionary,
      code: dictionary,
      run_id: dictionary,
    });
  });

  test('of no outcomes has its columns, and no rows', async () => {
    const file = arrayBufferOf(await bytesOf('parquet', read([])));
    expect(await parquetReadObjects({ file, compressors })).toStrictEqual([]);
    expect(parquetSchema(parquetMetadata(file)).children).toHaveLength(12);
  });
});

/** As many outcomes, made when they are asked for, with a value of so many bytes each. */
async function* many(count: number, valueBytes: number, taken: { lines: number }): AsyncGenerator<RunLine> {
  const [line] = await Array.fromAsync(read(sampleLines.slice(0, 1)));
  if (!line) return;
  const text = Buffer.from(`{"index":0,"value":"${'x'.repeat(valueBytes - 2)}"}`);
  for (let index = 0; index < count; index += 1) {
    taken.lines += 1;
    yield { ...line, index, line: text };
  }
}

describe('a long run', () => {
  // What was taken, and is not yet handed on, is what has to be in memory.
  test.each([
    ['ndjson', 65_536, 300],
    ['csv', 65_536, 300],
  ] as const)(
    'is written as %s with no more in memory than a chunk',
    async (format, mostBytes, valueBytes) => {
      const taken = { lines: 0 };
      let written = 0;
      let most = 0;
      for await (const chunk of FORMATS[format](many(100_000, valueBytes, taken))) {
        most = Math.max(most, taken.lines * valueBytes - written);
        written += chunk.length;
      }
      expect(taken.lines).toBe(100_000);
      expect(written).toBeGreaterThan(100_000 * valueBytes);
      expect(most).toBeLessThan(2 * mostBytes);
    },
  );

  test.each([
    ['of small values by rows', 1, 65_536],
    ['of posts by bytes', 300, Math.ceil((8 * 1024 * 1024) / 300)],
    ['of large values by bytes', 1024 * 1024, 8],
  ])('is written as Parquet in row groups, which are bounded %s', async (_, valueBytes, rows) => {
    const taken = { lines: 0 };
    const groups: number[] = [];
    const chunks: Buffer[] = [];
    for await (const chunk of FORMATS.parquet(many(2 * rows + 1, Math.max(2, valueBytes), taken))) {
      chunks.push(chunk);
      groups.push(taken.lines);
    }
    expect(groups).toStrictEqual([rows, 2 * rows, 2 * rows + 1]);
    const { num_rows, row_groups } = parquetMetadata(arrayBufferOf(Buffer.concat(chunks)));
    expect([num_rows, row_groups.map((group) => Number(group.num_rows))]).toStrictEqual([
      BigInt(2 * rows + 1),
      [rows, rows, 1],
    ]);
  });
});
