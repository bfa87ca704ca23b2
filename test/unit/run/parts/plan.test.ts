import { describe, expect, test } from 'vitest';
import { BadInputError, StoreError } from '../../../../src/base/errors.ts';
import type { IdList } from '../../../../src/batch/ids.ts';
import { type PlanPorts, type PlanRequest, parsePlanRequest, plan } from '../../../../src/run/parts/plan.ts';
import type { PartsStore } from '../../../../src/store/plan-store.ts';
import { partsInMemory } from '../../../system/scale/parts-in-memory.ts';

const never = new AbortController().signal;

describe('the input of an execution', () => {
  const parse = (input: unknown, execution: unknown = 'execution-1') =>
    parsePlanRequest(input, execution, 1_000);

  test('has ids, and takes the name of the execution for the run', () => {
    expect(parse({ ids: [1, { from: 3, to: 9 }] })).toStrictEqual({
      runId: 'execution-1',
      partSize: 5_000,
      source: [1, { from: 3, to: 9 }],
    });
  });

  test('has a manifest, a run id and a part size', () => {
    expect(parse({ manifest: 's3://lists/ids.csv', runId: 'run', partSize: 10 })).toStrictEqual({
      runId: 'run',
      partSize: 10,
      source: { bucket: 'lists', key: 'ids.csv', url: 's3://lists/ids.csv', format: 'csv', gzip: false },
    });
  });

  test('has the run id of a run that is to be redriven', () => {
    expect(parse({ redrive: 'run' })).toStrictEqual({ runId: 'run', partSize: 5_000, source: undefined });
  });

  test.each([
    [null, 'Expected `input` to be an object with "ids", "manifest" or "redrive", got null'],
    [[1], 'Expected `input` to be an object with "ids", "manifest" or "redrive", got an array of 1'],
    [{}, 'Expected `input` to be an object with one of "ids", "manifest" and "redrive", got {}'],
    [
      { runId: 'run' },
      'Expected `input` to be an object with one of "ids", "manifest" and "redrive", got {"runId":"run"}',
    ],
    [
      { ids: [], redrive: 'run' },
      'Expected `input` to be an object with one of "ids", "manifest" and "redrive", got {"ids":[],"redrive":"run"}',
    ],
    [{ redrive: 'run', runId: 'again' }, 'Expected `runId` to be left out of a redrive, got "again"'],
    [{ redrive: 'run', partSize: 7 }, 'Expected `partSize` to be left out of a redrive, got 7'],
    [
      { redrive: 7 },
      'Expected `redrive` to be 1 to 128 characters out of A-Z a-z 0-9 . _ ~ - (not "." or ".."), got 7',
    ],
    [
      { ids: [], returnExceptions: true },
      'Expected `input` to be an object with no keys but ids, manifest, redrive, runId, partSize, got {"returnExceptions":true}',
    ],
    [
      { ids: [], manifest: 's3://lists/ids.csv' },
      'Expected `input` to be an object with one of "ids", "manifest" and "redrive", got {"ids":[],"manifest":"s3://lists/ids.csv"}',
    ],
    [{ ids: 7 }, 'Expected `ids` to be an array of ids, got 7'],
    [{ ids: [{ from: 1, to: 1_001 }] }, 'Expected `ids` to hold at most 1000 ids (MAX_IDS), got 1001'],
    [{ ids: [], partSize: 0 }, 'Expected `partSize` to be an integer from 1 to 100000, got 0'],
    [{ ids: [], partSize: 1.5 }, 'Expected `partSize` to be an integer from 1 to 100000, got 1.5'],
    [{ ids: [], partSize: '9' }, 'Expected `partSize` to be an integer from 1 to 100000, got "9"'],
    [{ ids: [], partSize: 100_001 }, 'Expected `partSize` to be an integer from 1 to 100000, got 100001'],
    [
      { ids: [], runId: 'a/b' },
      'Expected `runId` to be 1 to 128 characters out of A-Z a-z 0-9 . _ ~ - (not "." or ".."), got "a/b"',
    ],
    [
      { ids: [], runId: 'x'.repeat(104) },
      `Expected \`runId\` to be at most 103 characters long, got "${'x'.repeat(80)}…"`,
    ],
  ])('%j is refused with the place, what was expected and what came', (input, message) => {
    const parsing = () => parse(input);
    expect(parsing).toThrow(BadInputError);
    expect(parsing).toThrow(message);
  });

  test('the name of an execution that cannot be a run id asks for one', () => {
    expect(() => parse({ ids: [] }, 'a+b')).toThrow('Expected `the name of the execution` to be 1 to 128');
  });
});

describe('planning', () => {
  const request = (source: PlanRequest['source'], partSize = 10): PlanRequest => ({
    runId: 'run',
    partSize,
    source,
  });
  const portsOf = (store: PartsStore, ids?: IdList): PlanPorts => ({
    store,
    readIds: () => (ids ? Promise.resolve(ids) : Promise.reject(new StoreError('No manifest here'))),
  });
  const settings = { concurrency: 50, originConcurrency: 500 };

  test('writes the parts, and hands on where they are and how many', async () => {
    const store = partsInMemory();
    await expect(
      plan(request([{ from: 1, to: 25 }]), settings, portsOf(store), never),
    ).resolves.toStrictEqual({
      runId: 'run',
      bucket: 'results',
      key: 'runs/plans/run.jsonl',
      redrive: false,
      mapResultsPrefix: 'runs/map-results/run',
      parts: 3,
      requested: 25,
      partsInFlight: 3,
      toleratedFailurePercentage: 100,
    });
    expect(store.plans.get('run')?.split('\n')).toStrictEqual([
      '{"part":0,"runId":"run.part-000000","firstIndex":0,"ids":[{"from":1,"to":10}]}',
      '{"part":1,"runId":"run.part-000001","firstIndex":10,"ids":[{"from":11,"to":20}]}',
      '{"part":2,"runId":"run.part-000002","firstIndex":20,"ids":[{"from":21,"to":25}]}',
      '',
    ]);
  });

  test('takes the ids of a manifest', async () => {
    const store = partsInMemory();
    const location = {
      bucket: 'lists',
      key: 'ids.csv',
      url: 's3://lists/ids.csv',
      format: 'csv',
      gzip: false,
    } as const;
    await expect(plan(request(location), settings, portsOf(store, ['a', 'b']), never)).resolves.toMatchObject(
      {
        parts: 1,
        requested: 2,
      },
    );
    expect(store.plans.get('run')).toBe(
      '{"part":0,"runId":"run.part-000000","firstIndex":0,"ids":["a","b"]}\n',
    );
    await expect(plan(request(location), settings, portsOf(store), never)).rejects.toThrow(
      'No manifest here',
    );
  });

  test('a redrive has the parts that the run has', async () => {
    const store = partsInMemory();
    const first = await plan(request([{ from: 1, to: 25 }]), settings, portsOf(store), never);
    await expect(plan(request(undefined, 5_000), settings, portsOf(store), never)).resolves.toStrictEqual({
      ...first,
      redrive: true,
    });
  });

  test('a redrive of a run that has none is bad input', async () => {
    await expect(plan(request(undefined), settings, portsOf(partsInMemory()), never)).rejects.toStrictEqual(
      new BadInputError('Expected `redrive` to name a run of parts, got "run", of which there is no plan'),
    );
  });

  test('what is handed on does not grow with the ids', async () => {
    const ten = await plan(
      request([{ from: 1, to: 10_000_000 }], 5_000),
      settings,
      portsOf(partsInMemory()),
      never,
    );
    expect(ten).toMatchObject({ parts: 2_000, requested: 10_000_000, partsInFlight: 10 });
    expect(JSON.stringify(ten).length).toBeLessThan(210);
  });

  test.each([
    [1, 100],
    [10, 100],
    [11, 91],
    [20, 50],
    [100, 10],
    [2_000, 10],
  ])('of %i parts, %i in a hundred may fail', async (parts, toleratedFailurePercentage) => {
    await expect(
      plan(request([{ from: 1, to: parts }], 1), settings, portsOf(partsInMemory()), never),
    ).resolves.toMatchObject({ parts, toleratedFailurePercentage });
  });

  test('more than a million parts are too many', async () => {
    await expect(
      plan(request([{ from: 1, to: 10_000_000 }], 9), settings, portsOf(partsInMemory()), never),
    ).rejects.toThrow('Expected `partSize` to be at least 10 for that many ids, got 9');
  });

  test.each([
    [500, 50, 10],
    [549, 50, 10],
    [50, 50, 1],
    [999_999_999, 1, 10_000],
  ])(
    'for an origin that is to see %i requests, %i a part, starts %i parts at once',
    async (originConcurrency, concurrency, partsInFlight) => {
      const many = request([{ from: 1, to: 20_000 }], 1);
      await expect(
        plan(many, { originConcurrency, concurrency }, portsOf(partsInMemory()), never),
      ).resolves.toMatchObject({ partsInFlight });
    },
  );
});
