import { csvOf } from './csv.ts';
import { ndjsonOf } from './ndjson.ts';
import { parquetOf } from './parquet.ts';
import type { RunLine } from './rows.ts';

/** Writes outcomes in a form that other programs read, in chunks, with few of them in memory at a time. */
export type Format = (lines: AsyncIterable<RunLine>) => AsyncGenerator<Buffer, void, undefined>;

/** The forms, by what `--format` calls them. */
export const FORMATS = { ndjson: ndjsonOf, csv: csvOf, parquet: parquetOf } as const satisfies Readonly<
  Record<string, Format>
>;
export type FormatName = keyof typeof FORMATS;

export function isFormatName(text: string): text is FormatName {
  return Object.hasOwn(FORMATS, text);
}
