import { describe, expect, test, vi } from 'vitest';
import type { Id } from '../../../src/batch/ids.ts';
import { countRepeats } from '../../../src/batch/repeats.ts';
import { readReport, writeDocument } from '../../../src/document/document.ts';
import type { RunHead, RunReport } from '../../../src/document/run-head.ts';
import { Tally } from '../../../src/document/tally.ts';
import { type Post, PostError } from '../../../src/fetch/outcome.ts';
import { plainReport } from '../../support/plain-traffic.ts';

const RUN: RunHead = {
  id: 'run-1',
  trigger: 'direct',
  requestId: '8476a536-e9f4-11e8-9739-2dfe598c3fcd',
  startedAt: '2026-11-23T06:00:00.000Z',
  urlTemplate: 'https://posts.test/posts/{id}',
  returnExceptions: true,
  requested: 3,
  idsSha256: 'ab'.repeat(32),
};

const fulfilled = (value: string | Buffer, durationMs = 41): PromiseSettledResult<Post> => ({
  status: 'fulfilled',
  value: { value: Buffer.from(value), httpStatus: 200, attempts: 1, startedMs: 3, durationMs, waitedMs: 0 },
});
const rejected = (id: Id): PromiseSettledResult<Post> => ({
  status: 'rejected',
  reason: new PostError(
    id,
    {
      code: 'NETWORK',
      message: `Post ${id} could not be fetched: ECONNRESET`,
      retryable: true,
      cause: 'ECONNRESET',
    },
    { httpStatus: null, attempts: 4, startedMs: 3, durationMs: 390, waitedMs: 0 },
  ),
});

function write(
  ids: readonly Id[],
  outcomes: Iterable<PromiseSettledResult<Post>> | AsyncIterable<PromiseSettledResult<Post>>,
) {
  const tally = new Tally(countRepeats(ids));
  const conclude = vi.fn(
    (): RunReport => ({
      run: RUN,
      errors: tally.errors(),
      summary: { ...tally.summary(new Date('2026-11-23T06:00:01.000Z'), 1_000), ...plainReport(3, 5, 10) },
    }),
  );
  const each = (async function* () {
    yield* outcomes;
  })();
  return { chunks: writeDocument(RUN, ids, each, tally, conclude), conclude };
}

async function collect(chunks: AsyncIterable<Buffer>): Promise<Buffer[]> {
  const collected: Buffer[] = [];
  for await (const chunk of chunks) collected.push(chunk);
  return collected;
}

async function textOf(chunks: AsyncIterable<Buffer>): Promise<string> {
  return Buffer.concat(await collect(chunks)).toString();
}

describe('writeDocument', () => {
  test('writes the document of the contract, one outcome a line', async () => {
    const ids = [1, 99999, 'three'];
    const { chunks } = write(ids, [
      fulfilled('{"id":1,"x":1.10,"x":2}'),
      rejected(99999),
      fulfilled('"\u2028"', 2),
    ]);
    expect(await textOf(chunks)).toBe(
      [
        '{"version":1,',
        '"run":{"id":"run-1","trigger":"direct","requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd","startedAt":"2026-11-23T06:00:00.000Z","urlTemplate":"https://posts.test/posts/{id}","returnExceptions":true,"requested":3,"idsSha256":"abababababababababababababababababababababababababababababababab"},',
        '"results":[',
        '{"index":0,"id":1,"status":"fulfilled","httpStatus":200,"attempts":1,"startedMs":3,"durationMs":41,"waitedMs":0,"value":{"id":1,"x":1.10,"x":2}},',
        '{"index":1,"id":99999,"status":"rejected","httpStatus":null,"attempts":4,"startedMs":3,"durationMs":390,"waitedMs":0,"reason":{"code":"NETWORK","message":"Post 99999 could not be fetched: ECONNRESET","retryable":true,"cause":"ECONNRESET"}},',
        '{"index":2,"id":"three","status":"fulfilled","httpStatus":200,"attempts":1,"startedMs":3,"durationMs":2,"waitedMs":0,"value":"\u2028"}',
        '],',
        '"errors":{"total":1,"byCode":{"NETWORK":1},"first":[{"index":1,"id":99999,"code":"NETWORK","message":"Post 99999 could not be fetched: ECONNRESET"}],"retryableIds":[99999]},',
        '"summary":{"finishedAt":"2026-11-23T06:00:01.000Z","durationMs":1000,"requested":3,"fulfilled":2,"rejected":1,"attempts":6,"complete":true,"latencyMs":{"p50":41,"p90":390,"p99":390,"max":390},"throttledMs":0,"pauses":[],"peakInFlight":3,"concurrency":{"min":5,"max":5,"final":5},"learned":{"perSecond":null,"inFlight":null,"told":null},"retries":0,"retryBudgetLeft":10,"hedges":0,"hedgesWon":0}}',
        '',
      ].join('\n'),
    );
  });

  test('of no ids has no results', async () => {
    const text = await textOf(write([], []).chunks);
    expect(text).toContain('"results":[\n],\n"errors":{"total":0,');
    expect(JSON.parse(text)).toMatchObject({ results: [], summary: { requested: 0, complete: true } });
  });

  test('is one JSON document, and each line between is an outcome that parses by itself', async () => {
    const ids = Array.from({ length: 1_000 }, (_, i) => i);
    const outcomes = ids.map((id) =>
      id % 3 === 0 ? rejected(id) : fulfilled(JSON.stringify({ id, t: '\n],' })),
    );
    const text = await textOf(write(ids, outcomes).chunks);
    const { results } = JSON.parse(text);
    const lines = text.split('\n').slice(3, -4);
    expect(lines.map((line) => JSON.parse(line.replace(/,$/, '')))).toStrictEqual(results);
    expect(results.map(({ index, id }: { index: number; id: Id }) => [index, id])).toStrictEqual(
      ids.map((id) => [id, id]),
    );
  });

  test('comes in few chunks of at most 64 KiB, but for values that are larger themselves', async () => {
    const ids = Array.from({ length: 2_000 }, (_, i) => i);
    const large = JSON.stringify('x'.repeat(200_000));
    const outcomes = ids.map((id) => fulfilled(id === 1_000 ? large : `"${'y'.repeat(300)}"`));
    const chunks = await collect(write(ids, outcomes).chunks);
    const above = chunks.filter((chunk) => chunk.length > 65_536);
    expect(above.map(String)).toStrictEqual([large]);
    expect(chunks.length).toBeLessThan(20);
    expect(JSON.parse(Buffer.concat(chunks).toString()).results[1_000].value).toBe('x'.repeat(200_000));
  });

  test('asks for outcomes as it is read, and concludes when the last is written', async () => {
    let asked = 0;
    const ids = [1, 2, 3];
    const lazily = (async function* () {
      for (const _ of ids) {
        asked += 1;
        yield fulfilled(JSON.stringify('x'.repeat(70_000)));
      }
    })();
    const { chunks, conclude } = write(ids, lazily);
    expect(asked).toBe(0);
    await chunks.next();
    expect([asked, conclude.mock.calls.length]).toStrictEqual([1, 0]);
    await textOf(chunks);
    expect([asked, conclude.mock.calls.length]).toStrictEqual([3, 1]);
  });

  test('ends with the error of outcomes that end with one', async () => {
    const reason = new Error('stopped');
    const failing = (async function* (): AsyncGenerator<PromiseSettledResult<Post>> {
      yield fulfilled('1');
      throw reason;
    })();
    const { chunks, conclude } = write([1, 2], failing);
    await expect(textOf(chunks)).rejects.toBe(reason);
    expect(conclude).not.toHaveBeenCalled();
  });

  test('ends with a rejection that is no PostError: a fault of ours is not an outcome', async () => {
    const reason = new TypeError('cannot read properties of undefined');
    const { chunks, conclude } = write([1, 2], [{ status: 'rejected', reason }, fulfilled('1')]);
    await expect(textOf(chunks)).rejects.toBe(reason);
    expect(conclude).not.toHaveBeenCalled();
  });

  test('closes the outcomes when its reader leaves', async () => {
    let closed = false;
    const endless = (async function* () {
      try {
        for (;;) yield fulfilled(JSON.stringify('x'.repeat(70_000)));
      } finally {
        closed = true;
      }
    })();
    const { chunks } = write(
      Array.from({ length: 100 }, (_, i) => i),
      endless,
    );
    await chunks.next();
    await chunks.return();
    expect(closed).toBe(true);
  });
});

describe('readReport', () => {
  const stored = async () => {
    const outcomes = [fulfilled('{"errors":"\\n],\\n\\"errors\\":"}'), rejected(2), fulfilled('[1]')];
    return textOf(write([1, 2, 3], outcomes).chunks);
  };

  test('reads the report back from the whole text, as head and tail alike', async () => {
    const text = await stored();
    const { run, errors, summary } = JSON.parse(text);
    expect(run).toStrictEqual(RUN);
    expect(readReport(text, text)).toStrictEqual({ run, errors, summary });
  });

  test('reads it from a head and a tail that hold no results', async () => {
    const text = await stored();
    const head = text.slice(0, text.indexOf('"results":[') + 20);
    const tail = text.slice(text.lastIndexOf('\n],\n"errors":') - 5);
    expect(readReport(head, tail)).toStrictEqual(readReport(text, text));
  });

  test('is undefined where the head or the tail is too short', async () => {
    const text = await stored();
    expect(readReport(text.slice(0, 100), text)).toBeUndefined();
    expect(readReport(text, text.slice(-100))).toBeUndefined();
    expect(readReport('', '')).toBeUndefined();
  });

  describe('passes over what it does not know, and is undefined for', () => {
    const errors = {
      total: 1,
      byCode: { TIMEOUT: 1 },
      first: [{ index: 0, id: 'a', code: 'TIMEOUT', message: 'Late' }],
      retryableIds: ['a', 7],
    };
    const summary = {
      finishedAt: '2026-11-23T06:00:00.123Z',
      durationMs: 123,
      requested: 3,
      fulfilled: 2,
      rejected: 1,
      attempts: 3,
      complete: true,
      latencyMs: { p50: 1, p90: 2, p99: 3, max: null },
    };
    const outcomes = { location: 's3://results/runs/x.ndjson', bytes: 3, etag: '"e"' };
    const good: Stored = { version: 1, run: RUN, errors, summary };

    interface Stored {
      readonly version: unknown;
      readonly run: unknown;
      readonly results?: string;
      readonly outcomes?: unknown;
      readonly errors: unknown;
      readonly summary: unknown;
    }

    function read({ version, run, results = '\n', outcomes, errors, summary }: Stored) {
      const middle =
        outcomes === undefined ? `"results":[${results}]` : `"outcomes":${JSON.stringify(outcomes)}`;
      const text = `{"version":${JSON.stringify(version)},\n"run":${JSON.stringify(run)},\n${middle},\n"errors":${JSON.stringify(errors)},\n"summary":${JSON.stringify(summary)}}\n`;
      return readReport(text, text);
    }

    test('nothing, where all is as it should be', () => {
      expect(read(good)).toStrictEqual({ run: RUN, errors, summary });
      expect(read({ ...good, outcomes })).toStrictEqual({ run: RUN, outcomes, errors, summary });
      const run = { ...RUN, redriveOf: 'x', later: 1 };
      const more = { ...summary, throttledMs: 'long' };
      expect(read({ ...good, run, summary: more })).toStrictEqual({ run, errors, summary: more });
    });

    test.each<[what: string, change: Partial<Stored>]>([
      ['a later version', { version: 2 }],
      ['a version that is text', { version: '1' }],
      ['no run', { run: null }],
      ['a run manifest', { run: { id: 'big', requested: 3, parts: 1, plan: 'runs/plans/big.jsonl' } }],
      ...Object.keys(RUN).map((key): [string, Partial<Stored>] => [
        `a run whose ${key} is none`,
        { run: { ...RUN, [key]: [] } },
      ]),
      ['a redrive of nothing that has a name', { run: { ...RUN, redriveOf: 1 } }],
      ['outcomes that are text', { outcomes: 's3://results/runs/x.ndjson' }],
      ['outcomes without an ETag', { outcomes: { ...outcomes, etag: undefined } }],
      ['outcomes of a negative size', { outcomes: { ...outcomes, bytes: -1 } }],
      ...Object.keys(errors).map((key): [string, Partial<Stored>] => [
        `errors whose ${key} is none`,
        { errors: { ...errors, [key]: 'x' } },
      ]),
      ['a code that is no count', { errors: { ...errors, byCode: { TIMEOUT: '1' } } }],
      ['errors in a list', { errors: [] }],
      ['a first error without a message', { errors: { ...errors, first: [{ index: 0, id: 1, code: 'X' }] } }],
      ['an id that is none', { errors: { ...errors, retryableIds: ['a/b'] } }],
      ['an id that is a range', { errors: { ...errors, retryableIds: [{ from: 1, to: 2 }] } }],
      ...Object.keys(summary).map((key): [string, Partial<Stored>] => [
        `a summary whose ${key} is none`,
        { summary: { ...summary, [key]: {} } },
      ]),
      ['no latency', { summary: { ...summary, latencyMs: null } }],
      ['a latency that is text', { summary: { ...summary, latencyMs: { ...summary.latencyMs, p50: '1' } } }],
    ])('%s', (_, change) => {
      expect(read({ ...good, ...change })).toBeUndefined();
    });
  });

  test.each([
    ['other text', 'hello', 'world'],
    ['a document cut short', '{"version":1,\n"run":{},\n"results":[', '\n],\n"errors":{"total":0}'],
    ['a broken head', '{"run":{,\n"results":[', '\n],\n"errors":{},\n"summary":{}}'],
    ['JSON of something else', '{"a":1,\n"results":[', '\n],\n"errors":{},\n"summary":{}}'],
    ['no summary', '{"version":1,\n"run":{},\n"results":[', '\n],\n"errors":{}}'],
    ['no errors', '{"version":1,\n"run":{},\n"results":[', '\n],\n"errors":null,\n"summary":{}}'],
  ])('is undefined for what is no document: %s', (_name, head, tail) => {
    expect(readReport(head, tail)).toBeUndefined();
  });
});
