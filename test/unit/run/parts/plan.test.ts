import { describe, expect, test } from 'vitest';
import { BadInputError, RunConflictError, StoreError } from '../../../../src/base/errors.ts';
import { parseBaseForm } from '../../../../src/batch/base-form.ts';
import type { IdList } from '../../../../src/batch/ids.ts';
import { type PlanPorts, type PlanRequest, plan } from '../../../../src/run/parts/plan.ts';
import type { PlanStore } from '../../../../src/store/plan-store.ts';
import { partsInMemory } from '../../../system/scale/parts-in-memory.ts';

const never = new AbortController().signal;

describe('planning', () => {
  const request = (form: { ids: IdList } | { manifest: string }, partSize = 10): PlanRequest => ({
    runId: 'run',
    partSize,
    form: parseBaseForm(form, { place: 'input', maxIds: Infinity }),
  });
  const redrive: PlanRequest = {
    ...request({ ids: [] }),
    form: parseBaseForm({ redrive: 'run' }, { place: 'input', maxIds: 0 }),
  };
  const settings = { concurrency: 50, originConcurrency: 500 };
  const portsOf = (store: PlanStore, ids?: IdList): PlanPorts => ({
    store,
    readIds: () => (ids ? Promise.resolve(ids) : Promise.reject(new StoreError('No manifest here'))),
  });

  test('writes the parts, and hands on where they are and how many', async () => {
    const store = partsInMemory();
    await expect(
      plan(request({ ids: [{ from: 1, to: 25 }] }), settings, portsOf(store), never),
    ).resolves.toStrictEqual({
      runId: 'run',
      bucket: 'results',
      key: 'runs/plans/run.jsonl',
      redrive: false,
      mapResultsPrefix: 'runs/map-results/run',
      parts: 3,
      requested: 25,
      partsInFlight: 3,
      learned: null,
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
    await expect(
      plan(request({ manifest: 's3://lists/ids.csv' }), settings, portsOf(store, ['a', 'b']), never),
    ).resolves.toMatchObject({
      parts: 1,
      requested: 2,
    });
    expect(store.plans.get('run')).toBe(
      '{"part":0,"runId":"run.part-000000","firstIndex":0,"ids":["a","b"]}\n',
    );
    await expect(
      plan(request({ manifest: 's3://lists/ids.csv' }), settings, portsOf(store), never),
    ).rejects.toThrow('No manifest here');
  });

  test('a redrive has the parts that the run has', async () => {
    const store = partsInMemory();
    const first = await plan(request({ ids: [{ from: 1, to: 25 }] }), settings, portsOf(store), never);
    await expect(plan(redrive, settings, portsOf(store), never)).resolves.toStrictEqual({
      ...first,
      redrive: true,
    });
  });

  const manifestWith = (summary: object, more = ''): string =>
    `{"version":1,\n"run":{},\n"parts":[\n${more}\n],\n"errors":{},\n"summary":${JSON.stringify(summary)}}\n`;
  const finishedAt = '2026-11-23T06:02:30.000Z';

  test.each([
    [{ perSecond: 97.5, inFlight: 40, told: 100 }, ''],
    [{ perSecond: null, inFlight: 40, told: null }, ''],
    [{ perSecond: null, inFlight: null, told: 100 }, 'x'.repeat(100_000)],
  ])('a redrive hands on what the run has learned of the origin, and when: %j', async (learned, more) => {
    const store = partsInMemory();
    await plan(request({ ids: [{ from: 1, to: 25 }] }), settings, portsOf(store), never);
    store.manifests.set('run', manifestWith({ finishedAt, learned }, more));
    const planned = await plan(redrive, settings, portsOf(store), never);
    expect(planned.learned).toStrictEqual({ ...learned, at: finishedAt });
    expect(JSON.stringify(planned).length).toBeLessThan(300);
  });

  test.each([
    ['an older version wrote', manifestWith({ finishedAt })],
    [
      'has found nothing',
      manifestWith({ finishedAt, learned: { perSecond: null, inFlight: null, told: null } }),
    ],
    ['has no part with a document', manifestWith({ finishedAt: null, learned: {} })],
    ['has no time', manifestWith({ learned: { perSecond: 97 } })],
    ['is none', 'no JSON'],
    ['is empty', ''],
  ])('a redrive hands on nothing of a manifest that %s', async (_, text) => {
    const store = partsInMemory();
    await plan(request({ ids: [{ from: 1, to: 25 }] }), settings, portsOf(store), never);
    store.manifests.set('run', text);
    await expect(plan(redrive, settings, portsOf(store), never)).resolves.toMatchObject({ learned: null });
  });

  test('a redrive of a run that has none is bad input', async () => {
    await expect(plan(redrive, settings, portsOf(partsInMemory()), never)).rejects.toStrictEqual(
      new BadInputError('Expected `redrive` to name a run of parts, got "run", of which there is no plan'),
    );
  });

  test.each([
    '',
    'no JSON\n',
    '{"part":1}\n',
    '{"part":1,"runId":"run.part-000001","firstIndex":0,"ids":[1]}\n',
  ])('a redrive of a run that has %j in the place of its plan is a conflict', async (text) => {
    const store = partsInMemory();
    store.plans.set('run', text);
    await expect(plan(redrive, settings, portsOf(store), never)).rejects.toStrictEqual(
      new RunConflictError('What stands in the place of the plan of run is none'),
    );
  });

  test('what is handed on does not grow with the ids', async () => {
    const ten = await plan(
      request({ ids: [{ from: 1, to: 10_000_000 }] }, 5_000),
      settings,
      portsOf(partsInMemory()),
      never,
    );
    expect(ten).toMatchObject({ parts: 2_000, requested: 10_000_000, partsInFlight: 10 });
    expect(JSON.stringify(ten).length).toBeLessThan(230);
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
      plan(request({ ids: [{ from: 1, to: parts }] }, 1), settings, portsOf(partsInMemory()), never),
    ).resolves.toMatchObject({ parts, toleratedFailurePercentage });
  });

  test('more than a million parts are too many', async () => {
    await expect(
      plan(request({ ids: [{ from: 1, to: 10_000_000 }] }, 9), settings, portsOf(partsInMemory()), never),
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
      const many = request({ ids: [{ from: 1, to: 20_000 }] }, 1);
      await expect(
        plan(many, { originConcurrency, concurrency }, portsOf(partsInMemory()), never),
      ).resolves.toMatchObject({ partsInFlight });
    },
  );

  test('cuts the parts once, and counts them as they are written', async () => {
    const store = partsInMemory();
    let cuts = 0;
    const { writePlan } = store;
    store.writePlan = (runId, lines, signal) =>
      writePlan(
        runId,
        () => {
          cuts += 1;
          return lines();
        },
        signal,
      );
    const planned = plan(request({ ids: [{ from: 1, to: 25 }] }), settings, portsOf(store), never);
    await expect(planned).resolves.toMatchObject({ parts: 3, requested: 25 });
    expect(cuts).toBe(1);
  });

  test('counts the parts once where they are there and are compared', async () => {
    const store = partsInMemory();
    const { writePlan } = store;
    store.writePlan = async (runId, lines, signal) => {
      for (const _ of lines()) break;
      await writePlan(runId, lines, signal);
    };
    await expect(
      plan(request({ ids: [{ from: 1, to: 25 }] }), settings, portsOf(store), never),
    ).resolves.toMatchObject({ parts: 3, requested: 25 });
  });
});
