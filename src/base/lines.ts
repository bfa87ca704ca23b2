const LINE_BREAK = 0x0a;

/**
 * The lines of a text that comes in chunks, cut anywhere, without their line breaks. A last line without one is a line
 * as well. Throws what `chunks` throws.
 */
export async function* eachLine(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  let started: Buffer[] = [];
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(LINE_BREAK); end >= 0; end = chunk.indexOf(LINE_BREAK, from)) {
      const rest = chunk.subarray(from, end);
      from = end + 1;
      if (started.length === 0) yield rest;
      else {
        yield Buffer.concat([...started, rest]);
        started = [];
      }
    }
    if (from < chunk.length) started.push(chunk.subarray(from));
  }
  if (started.length > 0) yield Buffer.concat(started);
}
