import { describe, expect, test } from 'vitest';
import { RunConflictError } from '../../../src/base/errors.ts';
import { createRunPieces } from '../../../src/store/run-pieces.ts';
import { storedRun } from '../../support/stored-run.ts';
import { never, storeErrorOf, storeWorld } from './world.ts';

const world = storeWorld();
const pieces = () => createRunPieces(world.optionsOf(world.client));

describe('a run in a few words', () => {
  test.each([
    ['a small document, which is read at once', 1, ['GetObject bytes=-16384']],
    [
      'a large one, of which the ends are read',
      50_000,
      ['GetObject bytes=-16384', 'GetObject bytes=0-16383'],
    ],
  ])('is that of %s', async (_, length, operations) => {
    const runId = world.newRunId();
    const { report, document } = await storedRun(runId, [{ value: JSON.stringify('x'.repeat(length)) }]);
    await world.put(`runs/${runId}.json`, document);
    const { run, summary } = report;
    const brief = { startedAt: run.startedAt, summary };
    expect(await pieces().findBrief(runId, never())).toStrictEqual(brief);
    expect(world.s3.operations).toStrictEqual(operations);
  });

  test('is that of a document whose errors take more than what is read', async () => {
    const runId = world.newRunId();
    const { report, document } = await storedRun(
      runId,
      Array.from({ length: 9_000 }, () => ({ code: 'TIMEOUT' }) as const),
    );
    await world.put(`runs/${runId}.json`, document);
    expect(JSON.stringify(report.errors).length).toBeGreaterThan(16_384);
    expect(await pieces().findBrief(runId, never())).toStrictEqual({
      startedAt: report.run.startedAt,
      summary: report.summary,
    });
  });

  test('is none where there is no document', async () => {
    expect(await pieces().findBrief('none', never())).toBeUndefined();
  });

  test.each([
    ['{}'],
    ['no JSON'],
    ['{"version":1,\n"run":{},\n"results":[\n],\n"errors":{},\n"summary":{}}\n'],
    ['{"version":1,\n"run":{,\n"results":[\n],\n"errors":{},\n"summary":{}}\n'],
    ['{"version":1,\n"run":{},\n"results":[\n]}\n'],
    ['x'.repeat(100_000)],
  ])('is a conflict where %j stands in its place', async (body) => {
    const runId = world.newRunId();
    await world.put(`runs/${runId}.json`, body);
    await expect(pieces().findBrief(runId, never())).rejects.toThrow(
      new RunConflictError(`s3://results/runs/${runId}.json exists, and is no document of a run`),
    );
  });
});

describe('a piece', () => {
  const outcomes = (etag: string) => ({ location: 's3://results/runs/x.ndjson', bytes: 10, etag });

  test('is so many bytes of a document, or of its outcomes, and fewer where these end', async () => {
    const runId = world.newRunId();
    await world.put(`runs/${runId}.json`, '0123456789');
    await world.put(`runs/${runId}.ndjson`, 'abcdefghij');
    expect(String(await pieces().readPiece(runId, undefined, 2, 3, never()))).toBe('234');
    expect(String(await pieces().readPiece(runId, undefined, 8, 30, never()))).toBe('89');
    const { headers } = await fetch(`${world.real.endpoint}/results/runs/${runId}.ndjson`);
    const etag = String(headers.get('etag'));
    expect(String(await pieces().readPiece(runId, outcomes(etag), 2, 3, never()))).toBe('cde');
  });

  test('is none of outcomes that others have replaced', async () => {
    const runId = world.newRunId();
    await world.put(`runs/${runId}.ndjson`, 'abcdefghij');
    const piece = pieces().readPiece(runId, outcomes('"another"'), 2, 3, never());
    expect(await storeErrorOf(piece)).toMatchObject({
      message: `s3://results/runs/${runId}.ndjson could not be read: it was replaced in the meantime`,
    });
  });
});
