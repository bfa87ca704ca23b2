import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RunConflictError } from '../../../src/base/errors.ts';
import type { Id } from '../../../src/batch/ids.ts';
import { countRepeats } from '../../../src/batch/repeats.ts';
import { writeDocument, writeOutcomes } from '../../../src/document/document.ts';
import {
  firstLineIn,
  type OutcomeLine,
  outcomeStart,
  readOutcomeLines,
} from '../../../src/document/outcome-line.ts';
import type { Output } from '../../../src/document/run-head.ts';
import { Tally } from '../../../src/document/tally.ts';
import { type FetchRecord, type Post, PostError, type Reason } from '../../../src/fetch/outcome.ts';
import { olderText } from '../../support/older-text.ts';
import { plainReport } from '../../support/plain-traffic.ts';

const record = fc.record({
  httpStatus: fc.option(fc.integer({ min: 100, max: 599 })),
  attempts: fc.nat(20),
  startedMs: fc.option(fc.nat()),
  durationMs: fc.option(fc.nat()),
  waitedMs: fc.option(fc.nat()),
  hedged: fc.constantFrom(undefined, true as const),
});
const id = fc.oneof(fc.maxSafeNat(), fc.stringMatching(/^[A-Za-z0-9_~-]{1,128}$/));
const value = fc.json().map((text) => Buffer.from(text.replaceAll('\n', '')));
const reason = fc.record(
  {
    code: fc.constantFrom('NETWORK' as const, 'NOT_FOUND' as const),
    message: fc.string(),
    retryable: fc.boolean(),
  },
  { noNullPrototype: true },
);
interface Given {
  readonly id: Id;
  readonly record: FetchRecord;
  readonly result: Buffer | Reason;
}
const outcomes: fc.Arbitrary<Given[]> = fc.array(
  fc
    .record({ id, record, result: fc.oneof(value, reason) })
    .map(({ record: { hedged, ...rest }, ...given }) => ({
      ...given,
      record: { ...rest, ...(hedged && { hedged }) },
    })),
);

const RUN_1 = { runId: 'run-1', location: 's3://b/run-1.json' };

async function textOf(given: readonly Given[], format: Output): Promise<Buffer> {
  const run = {
    id: 'run-1',
    trigger: 'direct',
    requestId: 'request-1',
    startedAt: '2026-11-23T06:00:00.000Z',
    urlTemplate: 'https://posts.test/posts/{id}',
    returnExceptions: true,
    requested: given.length,
    idsSha256: 'ab'.repeat(32),
  } as const;
  const ids = given.map((each) => each.id);
  const tally = new Tally(countRepeats(ids));
  const settled = Readable.from(
    given.map(
      (each): PromiseSettledResult<Post> =>
        Buffer.isBuffer(each.result)
          ? { status: 'fulfilled', value: { ...each.record, value: each.result } }
          : { status: 'rejected', reason: new PostError(each.id, each.result, each.record) },
    ),
  );
  const conclude = () => ({
    run,
    errors: tally.errors(),
    summary: { ...tally.summary(new Date(0), 1), ...plainReport(1, 5, 10) },
  });
  const text =
    format === 'json'
      ? writeDocument(run, ids, settled, tally, conclude)
      : writeOutcomes('run-1', ids, settled, tally);
  const chunks: Buffer[] = [];
  for await (const chunk of text) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const documentOf = (given: readonly Given[]): Promise<Buffer> => textOf(given, 'json');

async function* cut(text: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  let from = 0;
  for (const size of sizes) {
    yield text.subarray(from, from + size);
    from += size;
  }
  yield text.subarray(from);
}

async function linesOf(
  text: Buffer,
  sizes: readonly number[] = [],
  format: Output = 'json',
): Promise<OutcomeLine[]> {
  const lines: OutcomeLine[] = [];
  for await (const line of readOutcomeLines(cut(text, sizes), RUN_1, format)) lines.push(line);
  return lines;
}

test('the outcomes of a document are those that were written, to the byte, wherever its text is cut', async () => {
  await fc.assert(
    fc.asyncProperty(outcomes, fc.array(fc.nat(300)), async (given, sizes) => {
      const text = await documentOf(given);
      const lines = await linesOf(text, sizes);
      expect(
        lines.map(({ line, ...rest }) => ({ ...rest, line: JSON.parse(line.toString()) })),
      ).toStrictEqual(
        given.map((each, index) => ({
          index,
          id: each.id,
          record: each.record,
          reason: Buffer.isBuffer(each.result) ? undefined : each.result,
          line: JSON.parse(text.toString()).results[index],
        })),
      );
      const results = Buffer.concat(lines.flatMap(({ line }, i) => [Buffer.from(i ? ',\n' : '\n'), line]));
      expect(text.includes(results)).toBe(true);
    }),
  );
});

test('so are those that are an object by themselves, whose lines are the same behind the id of the run', async () => {
  await fc.assert(
    fc.asyncProperty(outcomes, fc.array(fc.nat(300)), async (given, sizes) => {
      const text = await textOf(given, 'ndjson');
      const lines = await linesOf(text, sizes, 'ndjson');
      expect(lines).toStrictEqual(await linesOf(await documentOf(given)));
      const owned = lines.map(({ line }) => line.toString().replace('{', '{"runId":"run-1",'));
      expect(owned.map((line) => `${line}\n`).join('')).toBe(text.toString());
    }),
  );
});

const older = (text: Buffer): Buffer => Buffer.from(olderText(text.toString()));

test.each(['json', 'ndjson'] as const)(
  'older ones, which say neither what was waited nor of which run they are, are read all the same (%s)',
  async (format) => {
    const plain = outcomes.map((all) => all.map((each) => ({ ...each, result: Buffer.from('{"x":1}') })));
    await fc.assert(
      fc.asyncProperty(plain, fc.array(fc.nat(300)), async (given, sizes) => {
        const lines = await linesOf(older(await textOf(given, format)), sizes, format);
        const texts = older(await documentOf(given))
          .toString()
          .split('\n')
          .slice(3, -3);
        expect(lines).toStrictEqual(
          given.map((each, index) => ({
            index,
            id: each.id,
            record: { ...each.record, waitedMs: null },
            reason: undefined,
            line: Buffer.from(texts[index]?.replace(/,$/, '') ?? ''),
          })),
        );
      }),
    );
  },
);

describe('a text of before there were limits', () => {
  const record = { httpStatus: 200, attempts: 1, startedMs: 0, durationMs: 5, waitedMs: 0 };

  test('has values nested deeper than any that are taken now, as they are', async () => {
    const value = Buffer.from('['.repeat(10_000) + ']'.repeat(10_000));
    const [line, ...more] = await linesOf(await documentOf([{ id: 1, record, result: value }]));
    expect([line?.reason, more]).toStrictEqual([undefined, []]);
    expect(line?.line.includes(value)).toBe(true);
  });

  test('has messages longer than any that are made now: a line is as it was, its reason shorter', async () => {
    const reason: Reason = { code: 'HTTP_ERROR', message: 'x'.repeat(15_000), retryable: false };
    const text = await documentOf([{ id: 1, record: { ...record, httpStatus: 302 }, result: reason }]);
    const [line] = await linesOf(text);
    expect(line?.reason).toStrictEqual({ ...reason, message: `${'x'.repeat(299)}…` });
    expect(line?.line.includes(JSON.stringify(reason))).toBe(true);
  });
});

describe('a text that is not as it was written', () => {
  const two: Given[] = ['a', 'b'].map((name) => ({
    id: name,
    record: { httpStatus: 200, attempts: 1, startedMs: 0, durationMs: 5, waitedMs: 0 },
    result: Buffer.from('{"x":1}'),
  }));
  const failed: Given = {
    id: 1,
    record: { httpStatus: 404, attempts: 1, startedMs: 0, durationMs: 5, waitedMs: 0 },
    result: { code: 'NOT_FOUND', message: 'No data for post 1', retryable: false },
  };

  test.each<[string, (text: string) => string, number]>([
    ['a comma is missing', (text) => text.replace('}},\n{"index":1', '}}\n{"index":1'), 1],
    ['there is a comma behind the last', (text) => text.replace('}}\n],', '}},\n],'), 2],
    ['a line is missing', (text) => text.replace(/\{"index":0.*\n/, ''), 0],
    ['a line is empty', (text) => text.replace('\n{"index":1', '\n\n{"index":1'), 1],
    ['a line is cut short', (text) => text.replace('"x":1}},', '"x":1'), 0],
    ['a rejected post has a value', (text) => text.replace('"fulfilled"', '"rejected"'), 0],
    ['a reason is no JSON', (text) => text.replace('"value":{"x":1}', '"reason":{"x":1'), 0],
    [
      'a reason has no code',
      (text) => text.replace('"fulfilled"', '"rejected"').replace('"value":{"x":1}', '"reason":{"x":1}'),
      0,
    ],
  ])('is refused where %s', async (_, damaged, index) => {
    const text = Buffer.from(damaged((await documentOf(two)).toString()));
    await expect(linesOf(text)).rejects.toStrictEqual(
      new RunConflictError(`s3://b/run-1.json is not as it was written: its outcome ${index} cannot be read`),
    );
  });

  test.each([
    ['{"code":7', '{"code":"NOT_FOUND"'],
    ['"message":null', '"message":"No data for post 1"'],
    ['"retryable":0', '"retryable":false'],
    ['nul', '{"code":"NOT_FOUND","message":"No data for post 1","retryable":false}'],
  ])('is refused where a reason has %s', async (bad, good) => {
    const text = Buffer.from((await documentOf([failed])).toString().replace(good, bad));
    await expect(linesOf(text)).rejects.toThrow('its outcome 0 cannot be read');
  });

  test.each([
    ['a line is missing', (text: string) => text.replace(/^.*\n/, ''), 0],
    ['the last line is cut short', (text: string) => text.slice(0, -5), 1],
    ['there is a line too many', (text: string) => `${text}\n`, 2],
    ['a line is of another run', (text: string) => text.replace(/"run-1"(?=,"index":1)/, '"run-10"'), 1],
    ['a line says twice of which run it is', (text: string) => text.replace('{', '{"runId":"run-1",'), 0],
  ])('is refused, of outcomes by themselves, where %s', async (_, damaged, index) => {
    const text = Buffer.from(damaged((await textOf(two, 'ndjson')).toString()));
    await expect(linesOf(text, [], 'ndjson')).rejects.toThrow(`its outcome ${index} cannot be read`);
  });

  test('is refused where a line of a document says of which run it is', async () => {
    const text = (await documentOf(two)).toString().replace('{"index":1', '{"runId":"run-1","index":1');
    await expect(linesOf(Buffer.from(text))).rejects.toThrow('its outcome 1 cannot be read');
  });

  test.each([['{"version":1,\n'], ['{"version":1,\n"results":[\n'], ['']])(
    'is refused where it is %j',
    async (text) => {
      await expect(linesOf(Buffer.from(text))).rejects.toStrictEqual(
        new RunConflictError('s3://b/run-1.json ends before its results do'),
      );
    },
  );
});

const RECORD: FetchRecord = { httpStatus: 200, attempts: 1, startedMs: 3, durationMs: 41, waitedMs: 0 };

describe('outcomeStart', () => {
  test('is the line of an outcome from behind its brace to its value, in the order of the contract', () => {
    expect(outcomeStart(0, 1, 'fulfilled', RECORD)).toBe(
      '"index":0,"id":1,"status":"fulfilled","httpStatus":200,"attempts":1,"startedMs":3,"durationMs":41,"waitedMs":0,',
    );
  });

  test('keeps an id as it was given: text stays text, also where it is all digits', () => {
    const idOf = (id: number | string) => JSON.parse(`{${outcomeStart(7, id, 'fulfilled', RECORD)}"x":0}`).id;
    expect(['1', 1, 'a-slug.2_~', Number.MAX_SAFE_INTEGER].map(idOf)).toStrictEqual([
      '1',
      1,
      'a-slug.2_~',
      Number.MAX_SAFE_INTEGER,
    ]);
  });

  test('says null for what there was not', () => {
    const record: FetchRecord = {
      httpStatus: null,
      attempts: 0,
      startedMs: null,
      durationMs: null,
      waitedMs: null,
    };
    expect(outcomeStart(1, 'two', 'rejected', record)).toBe(
      '"index":1,"id":"two","status":"rejected","httpStatus":null,"attempts":0,"startedMs":null,"durationMs":null,"waitedMs":null,',
    );
  });
});

test.each(['json', 'ndjson'] as const)(
  'the outcomes from any line on are read from where a piece of the text shows that it starts (%s)',
  async (format) => {
    await fc.assert(
      fc.asyncProperty(outcomes, fc.nat(3_000), async (given, at) => {
        const text = await textOf(given, format);
        const all = await linesOf(text, [], format);
        const line = firstLineIn(text.subarray(at));
        const expected = all.filter(
          ({ line }) => text.lastIndexOf('\n', text.indexOf(line.subarray(1))) >= at,
        );
        expect(line?.index).toBe(expected[0]?.index);
        if (!line) return;
        const rest = readOutcomeLines(cut(text.subarray(at + line.offset), []), RUN_1, format, line.index);
        expect(await Array.fromAsync(rest)).toStrictEqual(all.slice(line.index));
      }),
    );
  },
);
