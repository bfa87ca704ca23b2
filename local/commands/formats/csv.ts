import { ChunkWriter } from '../../../src/document/chunk-writer.ts';
import { COLUMNS, type RunLine, rowOf } from './rows.ts';

const LINE_END = '\r\n';
/** What a cell cannot have outside of quotes, and spaces around it, which some readers take off. */
const TO_QUOTE = /[",\r\n]|^\s|\s$|^$/;

/** Outcomes as CSV (RFC 4180) in UTF-8, with a header. An empty cell is null. */
export async function* csvOf(lines: AsyncIterable<RunLine>): AsyncGenerator<Buffer, void, undefined> {
  const writer = new ChunkWriter();
  writer.text(COLUMNS.join(',') + LINE_END);
  for await (const line of lines) {
    const row = rowOf(line);
    COLUMNS.forEach((name, i) => {
      const cell = row[name];
      if (i > 0) writer.text(',');
      if (Buffer.isBuffer(cell)) writer.bytes(quote(cell));
      else writer.text(cellOf(cell));
    });
    writer.text(LINE_END);
    if (writer.isFull) yield* writer.take();
  }
  yield* writer.take(true);
}

function cellOf(value: string | number | null): string {
  if (typeof value !== 'string') return String(value ?? '');
  return TO_QUOTE.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

/** A value in quotes, its bytes otherwise untouched: each of them is a character of latin1. */
function quote(value: Buffer): Buffer {
  return Buffer.from(`"${value.toString('latin1').replaceAll('"', '""')}"`, 'latin1');
}
