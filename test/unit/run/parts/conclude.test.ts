import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BadInputError, RunConflictError, StoreError } from '../../../../src/base/errors.ts';
import { countIds, hashIds, type IdList } from '../../../../src/batch/ids.ts';
import type { RunReport } from '../../../../src/document/run-head.ts';
import { type ConcludePorts, conclude } from '../../../../src/run/parts/conclude.ts';
import { cutIntoParts, partLine, readPart } from '../../../../src/run/parts/parts.ts';
import { nothingLearned, plainReport } from '../../../support/plain-traffic.ts';
import { runManifestFaults } from '../../../support/schemas.ts';
import { SkippingClock } from '../../../support/skipping-clock.ts';
import { type PartsInMemory, partsInMemory } from '../../../system/scale/parts-in-memory.ts';

const never = new AbortController().signal;

let parts: PartsInMemory;
/** What stands under the run id of a part: a report, or what reading it rejects with. */
let stored: Map<string, RunReport | Error>;
let ports: ConcludePorts;
let clock: SkippingClock;

afterEach(() => {
  for (const text of parts.manifests.values())
    if (text.startsWith('{"version":1,\n')) expect(runManifestFaults(JSON.parse(text))).toStrictEqual([]);
});
beforeEach(() => {
  parts = partsInMemory();
  stored = new Map();
  clock = new SkippingClock();
  ports = {
    parts,
    clock,
    random: () => 1,
    runs: {
      async find(runId) {
        const found = stored.get(runId);
        if (found instanceof Error) throw found;
        return found && { ...found, documentBytes: 1_234, etag: `"etag of ${runId}"` };
      },
    },
  };
});

/** Plans a run in parts of ten, and stores a report for each but those left out. */
function planned(ids: IdList, leftOut: readonly number[] = []): void {
  const lines = [...cutIntoParts('run', ids, 10)].map(partLine);
  parts.plans.set('run', lines.join(''));
  for (const [number, line] of lines.entries()) {
    const { part, runId, ids: own } = readPart(line, 'run', number);
    if (!leftOut.includes(part)) stored.set(runId, reportOf(part, runId, own));
  }
}

/** All fulfilled but the first two, of which one is worth another try. */
function reportOf(part: number, runId: string, ids: IdList): RunReport {
  const requested = countIds(ids);
  const minute = String(part).padStart(2, '0');
  const error = (index: number) => ({ index, id: index, code: 'TIMEOUT', message: `Of ${runId}` }) as const;
  return {
    run: {
      id: runId,
      trigger: 'direct',
      requestId: 'request',
      startedAt: `2026-11-23T06:${minute}:00.000Z`,
      urlTemplate: 'https://example.com/posts/{id}',
      returnExceptions: true,
      requested,
      idsSha256: hashIds(ids),
    },
    errors: {
      total: 2,
      byCode: { TIMEOUT: 1, NOT_FOUND: 1 },
      first: [error(0), error(1)],
      retryableIds: [1],
    },
    summary: {
      finishedAt: `2026-11-23T06:${minute}:30.000Z`,
      durationMs: 30_000,
      requested,
      fulfilled: requested - 2,
      rejected: 2,
      attempts: requested + 1,
      complete: true,
      latencyMs: { p50: 40 + part, p90: 90 - part, p99: 99, max: 100 + part },
      ...plainReport(1, 10, 10),
    },
  };
}

const wholeSummary = {
  startedAt: '2026-11-23T06:00:00.000Z',
  finishedAt: '2026-11-23T06:02:30.000Z',
  requested: 25,
  fulfilled: 19,
  rejected: 6,
  failed: 0,
  attempts: 28,
  complete: true,
  parts: { total: 3, stored: 3, failed: 0, incomplete: 0 },
  latencyMs: { p50: { min: 40, max: 42 }, p90: { min: 88, max: 90 }, p99: { min: 99, max: 99 }, max: 102 },
  learned: nothingLearned,
};

const manifest = () => JSON.parse(parts.manifests.get('run') ?? '');

describe('concluding a run', () => {
  test('whose parts all have their documents writes a manifest of them, in order, and adds them up', async () => {
    planned([{ from: 1, to: 25 }]);
    await expect(conclude('run', ports, never)).resolves.toStrictEqual({
      runId: 'run',
      location: 's3://results/runs/run.manifest.json',
      errors: { total: 6, byCode: { TIMEOUT: 3, NOT_FOUND: 3 }, retryable: 3 },
      summary: wholeSummary,
      cause: 'All parts have their documents: s3://results/runs/run.manifest.json',
    });
    const part = (number: number, requested: number) => ({
      part: number,
      runId: `run.part-00000${number}`,
      status: 'stored',
      key: `runs/run.part-00000${number}.json`,
      etag: `"etag of run.part-00000${number}"`,
      bytes: 1_234,
      firstIndex: 10 * number,
      requested,
      fulfilled: requested - 2,
      rejected: 2,
      retryable: 1,
      attempts: requested + 1,
      complete: true,
      startedAt: `2026-11-23T06:0${number}:00.000Z`,
      durationMs: 30_000,
    });
    expect(manifest()).toStrictEqual({
      version: 1,
      run: { id: 'run', requested: 25, parts: 3, plan: 'runs/plans/run.jsonl' },
      parts: [part(0, 10), part(1, 10), part(2, 5)],
      errors: {
        total: 6,
        byCode: { TIMEOUT: 3, NOT_FOUND: 3 },
        first: [0, 1, 2].flatMap((number) =>
          [0, 1].map((index) => ({
            index: 10 * number + index,
            id: index,
            code: 'TIMEOUT',
            message: `Of run.part-00000${number}`,
          })),
        ),
        retryable: 3,
      },
      summary: wholeSummary,
    });
    expect(parts.manifests.get('run')?.split('\n')).toHaveLength(10);
  });

  test('shows the first ten errors, whichever parts they are of', async () => {
    planned([{ from: 1, to: 100 }]);
    await conclude('run', ports, never);
    expect(manifest().errors.first.map(({ index }: { index: number }) => index)).toStrictEqual([
      0, 1, 10, 11, 20, 21, 30, 31, 40, 41,
    ]);
  });

  test('names a part without a document, with its ids and the event that has them fetched', async () => {
    planned([{ from: 1, to: 25 }], [1]);
    await expect(conclude('run', ports, never)).resolves.toMatchObject({
      summary: {
        ...wholeSummary,
        fulfilled: 11,
        rejected: 4,
        failed: 10,
        attempts: 17,
        complete: false,
        parts: { total: 3, stored: 2, failed: 1, incomplete: 0 },
      },
      cause:
        '1 of 3 parts have no document (part-000001). s3://results/runs/run.manifest.json has their events; the input {"redrive":"run"} has them all fetched',
    });
    expect(manifest().parts[1]).toStrictEqual({
      part: 1,
      runId: 'run.part-000001',
      status: 'failed',
      code: 'NO_DOCUMENT',
      firstIndex: 10,
      requested: 10,
      redrive: { ids: [{ from: 11, to: 20 }], runId: 'run.part-000001', part: 1 },
    });
  });

  test.each([
    ['is of other ids', () => reportOf(1, 'run.part-000001', [{ from: 12, to: 21 }])],
    ['is no document', () => new RunConflictError('It exists, and is no document of a run')],
  ])('takes a part for failed whose document %s', async (_, found) => {
    planned([{ from: 1, to: 25 }]);
    stored.set('run.part-000001', found());
    await conclude('run', ports, never);
    expect(manifest().parts[1]).toMatchObject({ status: 'failed', code: 'RUN_CONFLICT' });
    expect(manifest().summary.parts).toStrictEqual({ total: 3, stored: 2, failed: 1, incomplete: 0 });
  });

  test('of which nothing is there accounts for every id, and names ten of its parts in the cause', async () => {
    planned([{ from: 1, to: 120 }], [...Array(12).keys()]);
    const { cause, summary } = await conclude('run', ports, never);
    expect(cause).toContain('12 of 12 parts have no document (part-000000, part-000001, ');
    expect(cause).toContain(', part-000009, …). s3://');
    expect(summary).toStrictEqual({
      startedAt: null,
      finishedAt: null,
      requested: 120,
      fulfilled: 0,
      rejected: 0,
      failed: 120,
      attempts: 0,
      complete: false,
      parts: { total: 12, stored: 0, failed: 12, incomplete: 0 },
      latencyMs: { p50: null, p90: null, p99: null, max: null },
      learned: nothingLearned,
    });
  });

  test('says what the origin takes in all, as its parts found one after the other, or do not say', async () => {
    planned([{ from: 1, to: 25 }]);
    for (const [part, perSecond] of [30, 20, null].entries()) {
      const { run, errors, summary } = stored.get(`run.part-00000${part}`) as RunReport; // all are there
      const { learned, pauses: _, ...rest } = summary;
      const known = perSecond === null ? rest : { ...rest, learned: { ...learned, perSecond } };
      stored.set(run.id, { run, errors, summary: known as typeof summary }); // as of an older document
    }
    const learned = { perSecond: 20, inFlight: null, told: null };
    await expect(conclude('run', ports, never)).resolves.toMatchObject({ summary: { learned } });
    expect(manifest().summary).toStrictEqual({ ...wholeSummary, learned });
  });

  test('is not complete where a part left posts unfetched, though each has its document', async () => {
    planned([{ from: 1, to: 25 }]);
    const report = reportOf(2, 'run.part-000002', [{ from: 21, to: 25 }]);
    const latencyMs = { p50: null, p90: null, p99: null, max: null };
    stored.set('run.part-000002', { ...report, summary: { ...report.summary, complete: false, latencyMs } });
    const { summary } = await conclude('run', ports, never);
    expect(summary).toMatchObject({
      complete: false,
      parts: { total: 3, stored: 3, failed: 0, incomplete: 1 },
      latencyMs: { p50: { min: 40, max: 41 }, max: 101 },
    });
  });

  test('takes the time stamps of the first part that started and the last that finished', async () => {
    planned([{ from: 1, to: 20 }]);
    const [first, second] = ['run.part-000000', 'run.part-000001'].map(
      (runId) => stored.get(runId) as RunReport,
    );
    if (first && second) {
      stored.set('run.part-000000', { ...second, run: { ...second.run, idsSha256: first.run.idsSha256 } });
      stored.set('run.part-000001', { ...first, run: { ...first.run, idsSha256: second.run.idsSha256 } });
    }
    const { summary } = await conclude('run', ports, never);
    expect([summary.startedAt, summary.finishedAt]).toStrictEqual([
      '2026-11-23T06:00:00.000Z',
      '2026-11-23T06:01:30.000Z',
    ]);
  });
});

describe('concluding a run again', () => {
  test('writes nothing where nothing has changed', async () => {
    planned([{ from: 1, to: 25 }], [1]);
    const first = await conclude('run', ports, never);
    await expect(conclude('run', ports, never)).resolves.toStrictEqual(first);
    expect(parts.writes()).toBe(1);
  });

  test('replaces a manifest that was made of fewer documents', async () => {
    planned([{ from: 1, to: 25 }], [1]);
    await conclude('run', ports, never);
    planned([{ from: 1, to: 25 }]);
    await conclude('run', ports, never);
    expect(manifest().summary).toStrictEqual(wholeSummary);
  });

  test('leaves a manifest alone that was made of more documents', async () => {
    planned([{ from: 1, to: 25 }]);
    await conclude('run', ports, never);
    stored.delete('run.part-000001');
    await conclude('run', ports, never);
    expect(manifest().summary).toStrictEqual(wholeSummary);
  });

  test('takes the latest redrive of a part, and counts what that has', async () => {
    planned([{ from: 1, to: 25 }]);
    await conclude('run', ports, never);
    const ids = [{ from: 11, to: 20 }];
    const redriven = (number: number, retryableIds: number[]): void => {
      const redriveOf = number === 1 ? 'run.part-000001' : `run.part-000001.redrive-${number - 1}`;
      const runId = `run.part-000001.redrive-${number}`;
      const report = reportOf(1, runId, ids);
      const summary = { ...report.summary, fulfilled: 9, rejected: 1 };
      const errors = { ...report.errors, total: 1, byCode: { NOT_FOUND: 1 }, retryableIds };
      stored.set(runId, { ...report, run: { ...report.run, redriveOf }, errors, summary });
    };
    redriven(1, [1]);
    redriven(2, []);
    await expect(conclude('run', ports, never)).resolves.toMatchObject({
      errors: { total: 5, byCode: { TIMEOUT: 2, NOT_FOUND: 3 }, retryable: 2 },
      summary: { fulfilled: 20, rejected: 5 },
    });
    expect(manifest().parts[1]).toMatchObject({
      runId: 'run.part-000001.redrive-2',
      key: 'runs/run.part-000001.redrive-2.json',
      etag: '"etag of run.part-000001.redrive-2"',
      firstIndex: 10,
      retryable: 0,
    });
    stored.delete('run.part-000001.redrive-2');
    await conclude('run', ports, never);
    expect(manifest().parts[1].runId).toBe('run.part-000001.redrive-2');
  });

  test('looks for no redrive of a part that has nothing to fetch again', async () => {
    planned([{ from: 1, to: 10 }]);
    const report = stored.get('run.part-000000') as RunReport;
    stored.set('run.part-000000', { ...report, errors: { ...report.errors, retryableIds: [] } });
    stored.set('run.part-000000.redrive-1', new StoreError('It was read'));
    await conclude('run', ports, never);
    expect(manifest().parts[0]).toMatchObject({ status: 'stored', retryable: 0 });
  });

  test.each<[what: string, ids: IdList, redriveOf: string | undefined]>([
    ['a run of other ids', [7], 'run.part-000001'],
    ['a run of the same ids', [{ from: 11, to: 20 }], undefined],
    ['a redrive of another run', [{ from: 11, to: 20 }], 'run.part-000002'],
  ])('leaves out what is no redrive of the part, though it has its name: %s', async (_, ids, redriveOf) => {
    planned([{ from: 1, to: 25 }]);
    const report = reportOf(1, 'run.part-000001.redrive-1', ids);
    stored.set('run.part-000001.redrive-1', {
      ...report,
      run: { ...report.run, ...(redriveOf !== undefined && { redriveOf }) },
    });
    await conclude('run', ports, never);
    expect(manifest().parts[1]).toMatchObject({ status: 'stored', runId: 'run.part-000001' });
  });

  test('at once with another leaves the manifest that was made of more documents', async () => {
    planned([{ from: 1, to: 25 }], [1]);
    const { writeRunManifest } = parts;
    // The other one, of all documents, is written between this one's look and its write.
    parts.writeRunManifest = async (...args) => {
      parts.writeRunManifest = writeRunManifest;
      planned([{ from: 1, to: 25 }]);
      await conclude('run', ports, never);
      return writeRunManifest(...args);
    };
    await conclude('run', ports, never);
    expect(manifest().summary).toStrictEqual(wholeSummary);
    expect(parts.writes()).toBe(1);
  });

  const entry = {
    part: 0,
    runId: 'run.part-000000',
    status: 'failed',
    code: 'NO_DOCUMENT',
    firstIndex: 0,
    requested: 10,
  };
  const manifestOf = (entries: unknown, more: object = {}) =>
    JSON.stringify({ version: 1, run: { id: 'run' }, parts: entries, ...more });

  test('replaces a manifest whose failed parts have no number in their events, as older ones have none', async () => {
    planned([{ from: 1, to: 25 }]);
    parts.manifests.set('run', manifestOf([{ ...entry, redrive: { ids: [], runId: entry.runId } }]));
    await conclude('run', ports, never);
    expect(manifest().summary).toStrictEqual(wholeSummary);
  });

  test('while others keep writing pauses longer and longer, and gives up after ten times', async () => {
    planned([{ from: 1, to: 25 }]);
    const writtenMs: number[] = [];
    parts.writeRunManifest = async () => {
      writtenMs.push(clock.now());
      return false;
    };
    await expect(conclude('run', ports, never)).rejects.toStrictEqual(
      new StoreError(
        's3://results/runs/run.manifest.json could not be written: others wrote it 10 times in the meantime',
      ),
    );
    expect(writtenMs).toStrictEqual([0, 100, 300, 700, 1_500, 3_100, 6_300, 11_300, 16_300, 21_300]);
  });

  test.each([
    'no JSON',
    '{"version":1}',
    'null',
    '{"version":1,"run":{"id":"run"},"parts":"all"}',
    manifestOf([entry], { version: 2 }),
    manifestOf([entry], { run: { id: 'another' } }),
    manifestOf([entry], { run: null }),
    manifestOf([null]),
    manifestOf([7, entry]),
    manifestOf([{ ...entry, status: 'lost' }]),
    manifestOf([{ ...entry, status: 'stored' }]),
    manifestOf([{ ...entry, runId: 7 }]),
    manifestOf([{ ...entry, requested: '10' }]),
    '{"parts":[]}',
    '{"version":2,"parts":[]}',
    '{"version":1,"parts":[1]}',
    '{"version":1,"parts":[{"status":"stored","firstIndex":0,"requested":1}]}',
    '{"version":1,"parts":[{"runId":"run.part-000000","status":"lost","firstIndex":0,"requested":1}]}',
    '{"version":1,"parts":[{"runId":"run.part-000000","status":"failed","firstIndex":"0","requested":1}]}',
  ])('does not write over %j, which is no manifest', async (text) => {
    planned([{ from: 1, to: 25 }]);
    parts.manifests.set('run', text);
    await expect(conclude('run', ports, never)).rejects.toStrictEqual(
      new RunConflictError('What stands in the place of the manifest of run is none'),
    );
    expect(parts.manifests.get('run')).toBe(text);
  });
});

test.each([
  '',
  'no JSON\n',
  'null\n',
  '{"part":0}\n',
  '{"part":0,"runId":"another.part-000000","firstIndex":0,"ids":[1]}\n',
  '{"part":1,"runId":"run.part-000001","firstIndex":0,"ids":[1]}\n',
  '{"part":0,"runId":"run.part-000000","firstIndex":"0","ids":[1]}\n',
  '{"part":0,"runId":"run.part-000000","firstIndex":0,"ids":{}}\n',
  '{"part":0,"runId":"run.part-000000","firstIndex":0,"ids":["a/b"]}\n',
  '{"part":0,"runId":"run.part-000000","firstIndex":0,"ids":[{"from":1}]}\n',
])('%j in the place of its plan is a conflict', async (text) => {
  parts.plans.set('run', text);
  await expect(conclude('run', ports, never)).rejects.toStrictEqual(
    new RunConflictError('What stands in the place of the plan of run is none'),
  );
  expect(parts.writes()).toBe(0);
});

test('an object without a line in the place of its plan is a conflict', async () => {
  parts.readPlan = async () => (async function* () {})();
  await expect(conclude('run', ports, never)).rejects.toStrictEqual(
    new RunConflictError('What stands in the place of the plan of run is none'),
  );
  expect(parts.writes()).toBe(0);
});

test('a run that was not planned is bad input', async () => {
  await expect(conclude('run', ports, never)).rejects.toStrictEqual(
    new BadInputError('Expected the run run to have been planned'),
  );
});

test('where a document cannot be read, no manifest is written', async () => {
  planned([{ from: 1, to: 25 }]);
  stored.set('run.part-000002', new StoreError('It could not be read'));
  await expect(conclude('run', ports, never)).rejects.toThrow('It could not be read');
  expect(parts.writes()).toBe(0);
});

test('the schema of manifests refuses what is none', async () => {
  planned([{ from: 1, to: 25 }], [1]);
  await conclude('run', ports, never);
  const good = manifest();
  const [stored, failed] = good.parts;
  const bad = [
    { ...good, version: 2 },
    { ...good, parts: [] },
    { ...good, extra: 1 },
    { ...good, parts: [{ ...stored, status: 'failed' }] },
    { ...good, parts: [{ ...stored, etag: '' }] },
    { ...good, parts: [{ ...failed, code: 'GONE' }] },
    { ...good, parts: [{ ...failed, redrive: { redrive: 'run' } }] },
    { ...good, errors: { ...good.errors, retryableIds: [] } },
    { ...good, summary: { ...good.summary, failed: -1 } },
    { ...good, summary: { ...good.summary, startedAt: 'today' } },
  ];
  expect(bad.filter((it) => runManifestFaults(it).length === 0)).toStrictEqual([]);
});
