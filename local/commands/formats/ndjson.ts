import { ChunkWriter } from '../../../src/document/chunk-writer.ts';
import type { RunLine } from './rows.ts';

/** Outcomes as JSON Lines, as they stand in S3 with `OUTPUT=ndjson`: the run that each is of first, then its line. */
export async function* ndjsonOf(lines: AsyncIterable<RunLine>): AsyncGenerator<Buffer, void, undefined> {
  const writer = new ChunkWriter();
  for await (const { runId, line } of lines) {
    writer.text(`{"runId":"${runId}",`);
    writer.bytes(line.subarray(1));
    writer.text('\n');
    if (writer.isFull) yield* writer.take();
  }
  yield* writer.take(true);
}
