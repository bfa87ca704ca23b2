import type { RunLine } from '../../local/commands/formats/rows.ts';

/** JSON texts of which no token may change, by what is special about them. */
export const exactValues: Readonly<Record<string, string>> = {
  'numbers beyond what a parser keeps': '{"id":9007199254740993,"price":1.10,"far":1e999,"none":-0.0}',
  'a key twice': '{"a":1,"a":2,"A":3}',
  'more than ASCII': '{"é":"日本 😀","half":"\\ud800","zero":"\\u0000"}',
  'what CSV has to quote': '{"text":"a,b;\\"c\\"\\r\\n=1+1","list":[1,2]}',
  'a number by itself': '123456789012345678901234567890.10',
  'text by itself': '"=HYPERLINK(\\"https://example.com\\")"',
  'a megabyte': `"${'é'.repeat(524_287)}"`,
  'what looks like a member of ours': '{"value":{"value":"\\"value\\":"}}',
};

const fulfilledLine = (index: number, id: number | string, value: string): string =>
  `{"index":${index},"id":${JSON.stringify(id)},"status":"fulfilled","httpStatus":200,"attempts":1,"startedMs":3,"durationMs":41,"value":${value}}`;
export const rejectedLine = (index: number, id: number | string, message: string): string =>
  `{"index":${index},"id":${JSON.stringify(id)},"status":"rejected","httpStatus":null,"attempts":0,"startedMs":null,"durationMs":null,"reason":{"code":"DEADLINE","message":${JSON.stringify(message)},"retryable":true}}`;

/** A line for each of `exactValues`, and two that have no value. */
export const sampleLines: readonly string[] = [
  ...Object.values(exactValues).map((value, index) =>
    fulfilledLine(index, index % 2 ? `p-${index}` : index, value),
  ),
  rejectedLine(8, '-1', 'Post -1, "late"; time ran out'),
  rejectedLine(9, '007', ' '),
];

/** The rows that these lines make, all of them of the run `run-1`. */
export const sampleRows = sampleLines.map((line, index) => {
  const { id, status, httpStatus, attempts, startedMs, durationMs, reason } = JSON.parse(line);
  return {
    index,
    id: String(id),
    status,
    http_status: httpStatus,
    attempts,
    started_ms: startedMs,
    duration_ms: durationMs,
    waited_ms: null,
    code: reason?.code ?? null,
    message: reason?.message ?? null,
    run_id: 'run-1',
    value: Object.values(exactValues)[index] ?? null,
  };
});

/** Lines of a run as they are read: pieces of one block. */
export async function* read(lines: readonly string[]): AsyncGenerator<RunLine, void, undefined> {
  const block = Buffer.from(lines.join(''));
  let start = 0;
  for (const text of lines) {
    const end = start + Buffer.byteLength(text);
    const line = block.subarray(start, end);
    start = end;
    const { index, id, status: _, reason, value: __, ...record } = JSON.parse(text);
    yield { index, id, record, reason, line, runId: 'run-1' };
  }
}
