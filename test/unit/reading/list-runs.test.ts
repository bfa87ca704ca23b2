import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { claimOf } from '../../../src/document/claim.ts';
import { listRuns, type RunsPage, type RunsRequest } from '../../../src/reading/list-runs.ts';
import { accessDenied } from '../../support/misbehaving-s3.ts';
import { storedRun } from '../../support/stored-run.ts';
import { never } from '../store/world.ts';
import { readingWorld } from './world.ts';

const world = readingWorld();

// Each test lists all that there is.
beforeEach(() => world.s3.clear());

const { report } = await storedRun('run', []);
const brief = { startedAt: report.run.startedAt, summary: report.summary };

async function list({ after, limit = 50 }: { after?: string; limit?: number } = {}, maxKeys?: number) {
  return listRuns({ after, limit }, world.ports(maxKeys), never());
}

/** The run ids of each page, one after the other. */
async function pagesOf(
  listAfter: (from: Pick<RunsRequest, 'after'>) => Promise<RunsPage>,
): Promise<string[][]> {
  const found: string[][] = [];
  for (let after: string | undefined; ; ) {
    const { runs, next } = await listAfter({ after });
    found.push(runs.map(({ runId }) => runId));
    if (next === undefined) return found;
    // Whoever follows a list has to come to its end.
    expect(next).not.toBe(after);
    after = next;
  }
}

const pages = (limit: number, maxKeys?: number): Promise<string[][]> =>
  pagesOf(({ after }) => list({ ...(after !== undefined && { after }), limit }, maxKeys));

/** Objects of these names, which hold what they should. */
function portsInMemory(names: readonly string[], maxKeys: number) {
  const ports = world.ports();
  const has = (name: string): boolean => names.includes(name);
  return {
    ...ports,
    names: {
      async page(after: string | undefined) {
        const behind = names.filter((name) => after === undefined || name > `${after}.json`);
        const page = behind.slice(0, maxKeys);
        return { names: page, last: behind.length > maxKeys ? page.at(-1) : undefined };
      },
    },
    pieces: { findBrief: async (runId: string) => (has(`${runId}.json`) ? brief : undefined) },
    store: { ...ports.store, find: async () => undefined },
    plans: { readPlanEnd: async () => undefined, readRunManifestEnds: async () => undefined },
    claims: {
      async read(runId: string) {
        const claim = { ...claimOf(report.run, 'running', ports.clock.date()), runId };
        return has(`${runId}.progress.json`) || has(`${runId}.manifest.json`)
          ? { claim, etag: '"e"' }
          : undefined;
      },
    },
  };
}

describe('the list of runs', () => {
  test('is empty where there are none', async () => {
    expect(await list()).toStrictEqual({ runs: [] });
  });

  test('has each run once, with its state, in the order of the documents', async () => {
    const { report } = await world.putDocument('b', [{ value: '1' }]);
    await world.putClaim('b', 'running', 1);
    await world.putOutcomesApart('b.redrive-1', [{ value: '1' }]);
    const { startedAt } = await world.putClaim('a', 'running', 1);
    await world.putClaim('c', 'running', 100);
    const { summary } = JSON.parse(await world.putRunManifest('d'));
    await world.putPlan('d');
    await world.putDocument('d.part-000000', [{ value: '1' }]);
    await world.putDocument('d.part-000000.redrive-1', [{ value: '1' }]);
    expect(await list()).toStrictEqual({
      runs: [
        { runId: 'a', state: 'running', startedAt },
        { runId: 'b', state: 'succeeded', startedAt: report.run.startedAt, summary: report.summary },
        {
          runId: 'b.redrive-1',
          state: 'succeeded',
          startedAt: report.run.startedAt,
          summary: report.summary,
        },
        { runId: 'c', state: 'failed', startedAt },
        { runId: 'd', state: 'succeeded', startedAt: summary.startedAt, summary },
      ],
    });
  });

  test('reads one page of names and, of each document, its ends', async () => {
    const long = { value: JSON.stringify('x'.repeat(100_000)) };
    await world.putDocument('long', [long]);
    await world.putDocument('short', [{ value: '1' }]);
    world.s3.s3.behave();
    await list();
    expect([...world.s3.s3.operations].sort()).toStrictEqual([
      'GetObject bytes=-16384',
      'GetObject bytes=-16384',
      'GetObject bytes=0-16383',
      'ListObjectsV2',
    ]);
  });

  test('goes on behind the last run of a page', async () => {
    for (const runId of ['a', 'b', 'c']) await world.putDocument(runId, []);
    expect(await pages(2)).toStrictEqual([['a', 'b'], ['c']]);
    expect(await pages(3)).toStrictEqual([['a', 'b', 'c']]);
    expect((await list({ after: 'b' })).runs).toMatchObject([{ runId: 'c' }]);
    expect(await list({ after: 'c' })).toStrictEqual({ runs: [] });
    expect((await list({ after: 'aa' })).runs).toMatchObject([{ runId: 'b' }, { runId: 'c' }]);
  });

  test('goes on behind a page of which no run is left: of the parts of the last one', async () => {
    for (const runId of ['a.part-000000', 'a.part-000001', 'b']) await world.putDocument(runId, []);
    expect(await list({ after: 'a' }, 1)).toStrictEqual({ runs: [], next: 'a.part-000000' });
  });

  test.each(['ndjson', 'ndjson.gz'])(
    'goes on behind the last run, where the last name is of outcomes whose document comes before (%s)',
    async (ending) => {
      await world.s3.put(`runs/a.${ending}`, '');
      for (const runId of ['a.k', 'b']) await world.putDocument(runId, []);
      const { runs, next } = await list({}, 2);
      expect([runs.map(({ runId }) => runId), next]).toStrictEqual([['a.k'], 'a.k']);
      expect((await pages(50, 2)).flat()).toStrictEqual(['a.k', 'b']);
    },
  );

  test('passes over what no run has left there', async () => {
    await world.putDocument('run', []);
    for (const name of [
      'note.txt',
      'a b.json',
      'foreign.json',
      'alien.progress.json',
      'folder/x.json',
      '...json',
    ])
      await world.s3.put(`runs/${name}`, '{}');
    await world.s3.put(`runs/${'x'.repeat(129)}.json`, '{}');
    expect(await pages(50)).toStrictEqual([['run']]);
    expect((await pages(50, 1)).flat()).toStrictEqual(['run']);
  });

  test('passes over outcomes that are the only thing of a run', async () => {
    await world.s3.put('runs/begun.ndjson', '');
    await world.s3.put('runs/begun-too.ndjson.gz', '');
    expect(await pages(50)).toStrictEqual([[]]);
  });

  test('has a run that has no document where that would be, however far behind its claim is', async () => {
    await world.putClaim('a', 'running', 1);
    for (const runId of ['a-b', 'a.b', 'a.k', 'a.part-x', 'a.z', 'b']) await world.putDocument(runId, []);
    const order = ['a-b', 'a.b', 'a', 'a.k', 'a.part-x', 'a.z', 'b'];
    for (const maxKeys of [1, 2, 3, 4, 5, 100])
      expect((await pages(50, maxKeys)).flat()).toStrictEqual(order);
    for (const limit of [1, 2, 3]) expect((await pages(limit)).flat()).toStrictEqual(order);
  });

  test('has every run once, in order, whatever is kept of them and wherever its pages end', async () => {
    const ids = fc
      .stringMatching(/^[ab.](?:[ab.-]|\.part-1|\.redrive-1){0,4}$/)
      .filter((id) => !/^\.{1,2}$/.test(id));
    const kept = fc.dictionary(ids, fc.subarray(['', '.manifest', '.progress'], { minLength: 1 }), {
      maxKeys: 9,
    });
    const size = fc.integer({ min: 1, max: 4 });
    await fc.assert(
      fc.asyncProperty(kept, size, size, async (runs, limit, maxKeys) => {
        const names = Object.entries(runs).flatMap(([id, kinds]) => kinds.map((kind) => `${id}${kind}.json`));
        const expected = Object.keys(runs)
          .filter((id) => !/\.part-1(\.redrive-1)?$/.test(id))
          .sort((one, other) => (`${one}.json` < `${other}.json` ? -1 : 1));
        const ports = portsInMemory(names.sort(), maxKeys);
        const found = await pagesOf((request) => listRuns({ ...request, limit }, ports, never()));
        expect(found.flat()).toStrictEqual(expected);
      }),
      { numRuns: 2_000 },
    );
  });

  test('passes over a document that is gone when it is read', async () => {
    const ports = portsInMemory(['a.json', 'b.json'], 9);
    const pieces = { findBrief: async (runId: string) => (runId === 'b' ? brief : undefined) };
    expect(await listRuns({ after: undefined, limit: 50 }, { ...ports, pieces }, never())).toStrictEqual({
      runs: [{ runId: 'b', state: 'succeeded', ...brief }],
    });
  });

  test('fails as S3 does', async () => {
    await world.putDocument('run', []);
    world.s3.s3.always('GetObject', accessDenied);
    await expect(list()).rejects.toMatchObject({ code: 'STORE_FAILED' });
    world.s3.s3.always('ListObjectsV2', accessDenied);
    await expect(list()).rejects.toMatchObject({
      message: 's3://results/runs/ could not be read: AccessDenied',
    });
  });
});
