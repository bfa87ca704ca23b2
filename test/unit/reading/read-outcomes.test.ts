import { randomBytes } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NoDocumentError, RunConflictError, TooLargeError } from '../../../src/base/errors.ts';
import { RunInProgressError } from '../../../src/document/claim.ts';
import { documentWithout } from '../../../src/document/document.ts';
import { type OutcomesRequest, type PageBounds, readOutcomes } from '../../../src/reading/read-outcomes.ts';
import { createObjects } from '../../../src/store/objects.ts';
import type { Result } from '../../support/stored-run.ts';
import { never } from '../store/world.ts';
import { readingWorld } from './world.ts';

const world = readingWorld();

const all = { status: undefined, code: undefined, after: undefined, limit: 1_000 } as const;
const unbounded: PageBounds = { takes: () => true, untilMs: Infinity };

async function read(runId: string, request: Partial<OutcomesRequest> = {}, bounds: Partial<PageBounds> = {}) {
  const ports = world.ports();
  const page = await readOutcomes({ runId, ...all, ...request }, { ...unbounded, ...bounds }, ports, never());
  return { lines: page.lines.map(String), next: page.next };
}

const value = { value: '{"id":12345678901234567890,"price":1.10}' };
const missing = { code: 'NOT_FOUND' } as const;
const late = { code: 'TIMEOUT' } as const;
const results: readonly Result[] = [value, missing, value, late, missing, value];

async function storedBytes(key: string): Promise<Buffer> {
  return (await createObjects(world.s3.optionsOf(world.s3.client)).get(key, never())).bytes;
}

/** Whether this is a read of 4 MiB. */
function isOfBlock(operation: string): boolean {
  const [, from, to] = /bytes=(\d+)-(\d+)$/.exec(operation) ?? [];
  return Number(to) - Number(from) > 4_000_000;
}

describe.each(['putDocument', 'putOutcomesApart', 'putOlder', 'putGzipOutcomes'] as const)(
  'the outcomes of a run (%s)',
  (put) => {
    test.each<[query: object, indexes: readonly number[], next: number | undefined]>([
      [{}, [0, 1, 2, 3, 4, 5], undefined],
      [{ limit: 6 }, [0, 1, 2, 3, 4, 5], undefined],
      [{ limit: 2 }, [0, 1], 1],
      [{ limit: 2, after: 1 }, [2, 3], 3],
      [{ limit: 2, after: 3 }, [4, 5], undefined],
      [{ after: 0 }, [1, 2, 3, 4, 5], undefined],
      [{ after: 5 }, [], undefined],
      [{ after: Number.MAX_SAFE_INTEGER }, [], undefined],
      [{ status: 'fulfilled' }, [0, 2, 5], undefined],
      [{ status: 'rejected' }, [1, 3, 4], undefined],
      [{ status: 'rejected', limit: 1 }, [1], 1],
      [{ status: 'rejected', limit: 1, after: 1 }, [3], 3],
      [{ status: 'rejected', limit: 1, after: 3 }, [4], undefined],
      [{ code: 'NOT_FOUND' }, [1, 4], undefined],
      [{ code: 'NOT_FOUND', status: 'rejected', after: 1 }, [4], undefined],
      [{ code: 'NOT_FOUND', status: 'fulfilled' }, [], undefined],
      [{ code: 'DEADLINE' }, [], undefined],
    ])('that match %o are those of the document, token for token', async (query, indexes, next) => {
      const runId = world.s3.newRunId();
      const { lines } = await world[put](runId, results);
      expect(await read(runId, query)).toStrictEqual({ lines: indexes.map((index) => lines[index]), next });
    });

    test('are not read where the document says that none matches', async () => {
      const runId = world.s3.newRunId();
      await world[put](runId, [value]);
      world.s3.s3.behave();
      expect(await read(runId, { status: 'rejected' })).toStrictEqual({ lines: [], next: undefined });
      expect(world.s3.s3.operations).toStrictEqual(['GetObject bytes=-65536']);
    });

    test('of a large run are found without what comes long before them', async () => {
      const runId = world.s3.newRunId();
      const big = Array.from({ length: 400 }, () => ({
        value: JSON.stringify(randomBytes(25_000).toString('hex')),
      }));
      const { lines } = await world[put](runId, big);
      for (const after of [0, 150, 397, 399]) {
        world.s3.s3.behave();
        const expected = {
          lines: lines.slice(after + 1, after + 3),
          next: after < 397 ? after + 2 : undefined,
        };
        expect(await read(runId, { after, limit: 2 })).toStrictEqual(expected);
        // There are five blocks in all, or three of those that are compressed; two of the requests are for the report.
        const blocks = world.s3.s3.operations.filter((operation) => isOfBlock(operation));
        expect(blocks.length).toBeLessThan(4);
      }
    });

    test('are found behind a line that is longer than what is looked into', async () => {
      const runId = world.s3.newRunId();
      const long = { value: JSON.stringify('x'.repeat(12_000_000)) };
      const { lines } = await world[put](runId, [value, long, missing]);
      expect(await read(runId, { after: 1 })).toStrictEqual({ lines: [lines[2]], next: undefined });
      expect((await read(runId, { after: 0 })).lines).toStrictEqual(lines.slice(1));
    });

    test('come page by page as they would at once, whatever the pages and the filter', async () => {
      const runId = world.s3.newRunId();
      const { lines } = await world[put](runId, results);
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 1, max: 4 }),
          fc.constantFrom({}, { status: 'rejected' }, { status: 'fulfilled' }, { code: 'NOT_FOUND' }),
          async (limit, filter) => {
            const filtered = filter as Partial<OutcomesRequest>;
            const read1 = async (after: number | undefined): Promise<string[]> => {
              const page = await read(runId, { ...filtered, limit, after });
              return page.next === undefined ? page.lines : [...page.lines, ...(await read1(page.next))];
            };
            const whole = await read(runId, filtered);
            expect(lines).toStrictEqual(expect.arrayContaining(whole.lines));
            expect(await read1(undefined)).toStrictEqual(whole.lines);
          },
        ),
        { numRuns: 20 },
      );
    });
  },
);

test('compressed outcomes are read from a member on that starts not long before them', async () => {
  const runId = world.s3.newRunId();
  const many = Array.from({ length: 2_000 }, (_, id) => ({
    value: JSON.stringify(`${id}${randomBytes(500).toString('hex')}`),
  }));
  const { lines, report } = await world.putGzipOutcomes(runId, many);
  const bytes = report.outcomes?.bytes ?? 0;
  expect(bytes).toBeGreaterThan(1_000_000);
  for (const after of [0, 700, 1_900]) {
    world.s3.s3.behave();
    expect((await read(runId, { after, limit: 5 })).lines).toStrictEqual(lines.slice(after + 1, after + 6));
    const [, start] = /bytes=(\d+)-/.exec(world.s3.s3.operations.at(-1) ?? '') ?? [];
    const place = (bytes * after) / 2_000;
    expect(Number(start)).toBeLessThanOrEqual(place);
    expect(Number(start)).toBeGreaterThan(place - 300_000);
  }
});

test.each([
  ['torn', (object: Buffer) => object.subarray(0, -10), 'unexpected end of file'],
  ['not compressed', (object: Buffer) => gunzipSync(object), 'incorrect header check'],
])('outcomes that are %s by now are a conflict', async (_, damage, reason) => {
  const runId = world.s3.newRunId();
  const { report } = await world.putGzipOutcomes(runId, results);
  const key = `runs/${runId}.ndjson.gz`;
  const object = damage(await storedBytes(key));
  await world.s3.put(key, object);
  const { headers } = await fetch(`${world.s3.real.endpoint}/results/${key}`, { method: 'HEAD' });
  const etag = headers.get('etag') ?? '';
  const outcomes = { location: `s3://results/${key}`, bytes: object.length, etag };
  await world.s3.put(`runs/${runId}.json`, documentWithout({ ...report, outcomes }));
  await expect(read(runId)).rejects.toThrow(
    new RunConflictError(`s3://results/${key} is not as it was written: ${reason}`),
  );
});

describe('a page', () => {
  test('ends where there is no room for the next line', async () => {
    const runId = world.s3.newRunId();
    const { lines } = await world.putDocument(runId, results);
    let room = 2;
    const takes = () => room-- > 0;
    expect(await read(runId, {}, { takes })).toStrictEqual({ lines: lines.slice(0, 2), next: 1 });
  });

  test('that has no room for its first line is too large', async () => {
    const runId = world.s3.newRunId();
    const { lines } = await world.putDocument(runId, results);
    await expect(read(runId, { after: 2 }, { takes: () => false })).rejects.toThrow(
      new TooLargeError(
        `Expected the outcome 3 of ${runId} to fit into a reply, got ${lines[3]?.length} bytes: read it by the \`resultsUrl\` of the run, and go on with \`after=3\``,
      ),
    );
  });

  test('ends when its time does, and says how far it looked, matches or not', async () => {
    const runId = world.s3.newRunId();
    const { lines } = await world.putDocument(runId, results);
    const late = { untilMs: -1 };
    expect(await read(runId, {}, late)).toStrictEqual({ lines: [lines[0]], next: 0 });
    expect(await read(runId, { code: 'TIMEOUT', after: 0 }, late)).toStrictEqual({ lines: [], next: 1 });
  });
});

describe('there are no outcomes', () => {
  test('of a run that is not there', async () => {
    await expect(read('none')).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });
  });

  test('of a run that is running yet', async () => {
    const runId = world.s3.newRunId();
    await world.putClaim(runId, 'running', 1);
    const error = await read(runId).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RunInProgressError);
    expect(error).toMatchObject({ location: `s3://results/runs/${runId}.json`, retryAfterSeconds: 15 });
  });

  test('of a run that failed', async () => {
    const runId = world.s3.newRunId();
    await world.putClaim(runId, 'running', 100);
    await expect(read(runId)).rejects.toThrow(
      new NoDocumentError(`The run ${runId} has no outcomes: The run ${runId} was begun and not ended`),
    );
  });

  test.each(['putPlan', 'putRunManifest'] as const)('of a run of parts but by these (%s)', async (put) => {
    const runId = world.s3.newRunId();
    await world[put](runId);
    await expect(read(runId)).rejects.toThrow(
      new NoDocumentError(`The run ${runId} has its outcomes in its parts, which have run ids of their own`),
    );
  });
});
