import { zstdCompressSync } from 'node:zlib';
import { ByteWriter, type ColumnSource, ParquetWriter, type SchemaElement } from 'hyparquet-writer';
import { COLUMNS, type Row, type RunLine, rowOf } from './rows.ts';

const TEXT = { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } } as const;
const REQUIRED = { repetition_type: 'REQUIRED' } as const;
const OPTIONAL = { repetition_type: 'OPTIONAL' } as const;

const TYPES: Readonly<Record<keyof Row, Omit<SchemaElement, 'name'>>> = {
  // A run of parts may have more posts than 32 bits can count.
  index: { type: 'INT64', ...REQUIRED },
  id: { ...TEXT, ...REQUIRED },
  status: { ...TEXT, ...REQUIRED },
  http_status: { type: 'INT32', ...OPTIONAL },
  attempts: { type: 'INT32', ...REQUIRED },
  started_ms: { type: 'INT32', ...OPTIONAL },
  duration_ms: { type: 'INT32', ...OPTIONAL },
  waited_ms: { type: 'INT32', ...OPTIONAL },
  code: { ...TEXT, ...OPTIONAL },
  message: { ...TEXT, ...OPTIONAL },
  run_id: { ...TEXT, ...REQUIRED },
  // Text, as DuckDB takes Parquet's type for JSON for bytes, and the writer would make the JSON anew.
  value: { ...TEXT, ...OPTIONAL },
};

const DICTIONARY = { encoding: 'RLE_DICTIONARY' } as const;
/** How columns are stored, where the writer is not to find out by itself. */
const STORED: Readonly<Partial<Record<keyof Row, Pick<ColumnSource, 'encoding' | 'statistics'>>>> = {
  status: DICTIONARY,
  code: DICTIONARY,
  run_id: DICTIONARY,
  value: { encoding: 'PLAIN', statistics: false },
};

/** What a row group has at most: whichever comes first. */
const GROUP_ROWS = 65_536;
const GROUP_BYTES = 8 * 1024 * 1024;

/** Outcomes as Parquet, compressed with zstd, with one row group in memory at a time. */
export async function* parquetOf(lines: AsyncIterable<RunLine>): AsyncGenerator<Buffer, void, undefined> {
  const bytes = new ByteWriter();
  const file = new ParquetWriter({
    writer: bytes,
    schema: [
      { name: 'outcomes', num_children: COLUMNS.length },
      ...COLUMNS.map((name) => ({ name, ...TYPES[name] })),
    ],
    codec: 'ZSTD',
    compressors: { ZSTD: (page) => zstdCompressSync(page) },
  });
  const takeBytes = (): Buffer => {
    const taken = Buffer.from(bytes.getBytes());
    bytes.index = 0;
    return taken;
  };
  let group = new RowGroup();
  const writeGroup = () => file.write({ columnData: group.columns, rowGroupSize: group.rows });
  for await (const line of lines) {
    group.add(rowOf(line));
    if (!group.isFull) continue;
    await writeGroup();
    yield takeBytes();
    group = new RowGroup();
  }
  if (group.rows > 0) await writeGroup();
  await file.finish();
  yield takeBytes();
}

class RowGroup {
  readonly columns = COLUMNS.map((name) => ({ name, ...STORED[name], data: [] as unknown[] }));
  rows = 0;
  #bytes = 0;

  add(row: Row): void {
    for (const { name, data } of this.columns) data.push(storedForm(row, name));
    this.rows += 1;
    this.#bytes += (row.value?.length ?? 0) + (row.message?.length ?? 0);
  }

  get isFull(): boolean {
    return this.rows === GROUP_ROWS || this.#bytes >= GROUP_BYTES;
  }
}

function storedForm(row: Row, name: keyof Row): unknown {
  switch (name) {
    case 'index':
      return BigInt(row.index);
    case 'value':
      // A copy: a piece would hold the whole block that it was read in.
      return row.value && Buffer.from(row.value);
    default:
      return row[name];
  }
}
