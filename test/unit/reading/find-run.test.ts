import { describe, expect, test } from 'vitest';
import { RunConflictError, RunNotFoundError } from '../../../src/base/errors.ts';
import { problem } from '../../../src/document/problem.ts';
import { findRun, stateOf } from '../../../src/reading/find-run.ts';
import { accessDenied } from '../../support/misbehaving-s3.ts';
import { never } from '../store/world.ts';
import { readingWorld } from './world.ts';

const world = readingWorld();
const find = (runId: string) => findRun(runId, world.ports(), never());
const unknown = { done: null, fulfilled: null, rejected: null, perSecond: null, etaSeconds: null };

describe('a run', () => {
  test('that has its document is what that says, whatever its claim does', async () => {
    const runId = world.s3.newRunId();
    const { report } = await world.putDocument(runId, [{ value: '1' }]);
    await world.putClaim(runId, 'running', 1);
    const found = await find(runId);
    expect(found).toMatchObject({ kind: 'document', stored: report });
    const { startedAt } = report.run;
    expect(stateOf(found)).toStrictEqual({ state: 'succeeded', startedAt, summary: report.summary });
  });

  test.each(['accepted', 'running'] as const)('that is %s is as far as its claim says', async (state) => {
    const runId = world.s3.newRunId();
    const figures = { done: 40, fulfilled: 38, rejected: 2, perSecond: 20, etaSeconds: 7 };
    const claim = await world.putClaim(runId, state, 2, { requested: 100, ...figures });
    const found = await find(runId);
    expect(found).toStrictEqual({
      kind: 'under-way',
      claim,
      state,
      startedAt: claim.startedAt,
      progress: { requested: 100, ...figures },
      retryAfterSeconds: 5,
    });
    expect(stateOf(found)).toStrictEqual({ state, startedAt: claim.startedAt });
  });

  test.each([
    ['accepted', 300, 'accepted and never begun'],
    ['running', 60, 'begun and not ended'],
  ] as const)('that was %s, and of which nothing was heard for %d s, is lost', async (state, ago, what) => {
    const runId = world.s3.newRunId();
    const { startedAt } = await world.putClaim(runId, state, ago);
    const found = await find(runId);
    expect(found).toStrictEqual({
      kind: 'failed',
      startedAt,
      problem: problem(500, `The run ${runId} was ${what}`, 'RUN_LOST'),
      etag: expect.stringMatching(/^"[0-9a-f]{32}"$/),
    });
    expect(stateOf(found)).toStrictEqual({ state: 'failed', startedAt });
  });

  test('that failed has the problem of its claim, and one in any case', async () => {
    const runId = world.s3.newRunId();
    const why = problem(503, 'S3 failed', 'STORE_FAILED');
    await world.putClaim(runId, 'running', 1, { state: 'failed', problem: why });
    expect(await find(runId)).toMatchObject({ kind: 'failed', problem: why });
    await world.putClaim(runId, 'running', 1, { state: 'failed' });
    expect(await find(runId)).toMatchObject({
      kind: 'failed',
      problem: problem(500, `The run ${runId} failed`, 'INTERNAL_ERROR'),
    });
  });

  test('of which nothing is kept is none', async () => {
    await expect(find('none')).rejects.toThrow(new RunNotFoundError('There is no run none'));
  });

  test('that cannot be read is an error of S3', async () => {
    world.s3.s3.always('GetObject', accessDenied);
    await expect(find('denied')).rejects.toMatchObject({ code: 'STORE_FAILED' });
  });
});

describe('a run of parts', () => {
  test('is what its run manifest says, and has failed where a part has no document', async () => {
    for (const [failed, state] of [
      [0, 'succeeded'],
      [2, 'failed'],
    ] as const) {
      const runId = world.s3.newRunId();
      await world.putPlan(runId);
      const { run, errors, summary } = JSON.parse(await world.putRunManifest(runId, { failed }));
      const found = await find(runId);
      expect(found).toMatchObject({ kind: 'run-manifest', run, errors, summary });
      expect(stateOf(found)).toStrictEqual({ state, startedAt: summary.startedAt, summary });
    }
  });

  test('of many parts is read by either end of its run manifest', async () => {
    const runId = world.s3.newRunId();
    const text = await world.putRunManifest(runId, { parts: 1_000 });
    expect(await find(runId)).toMatchObject({ bytes: text.length, run: { parts: 1_000 } });
    expect(world.s3.s3.operations).toStrictEqual([
      'GetObject bytes=-65536',
      'GetObject bytes=-32768',
      'GetObject bytes=0-2047',
    ]);
  });

  test.each([
    ['nobody claimed', undefined],
    ['was handed over a moment ago', 1],
    ['was handed over long ago', 1_000],
  ])('that %s runs as long as it has a plan and no run manifest', async (_, ago) => {
    const runId = world.s3.newRunId();
    await world.putPlan(runId);
    const claim = ago === undefined ? undefined : await world.putClaim(runId, 'accepted', ago);
    expect(await find(runId)).toStrictEqual({
      kind: 'under-way',
      claim: undefined,
      state: 'running',
      startedAt: claim?.startedAt ?? null,
      progress: { requested: 25, ...unknown },
      retryAfterSeconds: 15,
    });
  });

  test('whose claim says that it failed has failed, plan or not', async () => {
    const runId = world.s3.newRunId();
    await world.putPlan(runId);
    await world.putClaim(runId, 'accepted', 1, { state: 'failed' });
    expect(await find(runId)).toMatchObject({ kind: 'failed' });
  });
});

describe('what stands in the place of', () => {
  test.each([
    ['a document', '.json', 'exists, and is no document of a run'],
    ['a claim', '.progress.json', 'progress'],
    ['a run manifest', '.manifest.json', 'manifest'],
  ])('%s, and is none, is a conflict', async (_, ending, words) => {
    for (const body of [
      '{}',
      'no JSON',
      '{"version":1,\n"run":{},\n"parts":[],\n"errors":{},\n"summary":{}}',
    ]) {
      const runId = world.s3.newRunId();
      await world.s3.put(`runs/${runId}${ending}`, body);
      const error = await find(runId).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(RunConflictError);
      expect(String(error)).toContain(words);
    }
  });

  test('a plan is a conflict as well', async () => {
    const runId = world.s3.newRunId();
    await world.s3.put(`runs/plans/${runId}.jsonl`, '{"part":0}\n');
    await expect(find(runId)).rejects.toThrow(RunConflictError);
  });

  test('a run manifest may be that of another run', async () => {
    const runId = world.s3.newRunId();
    await world.s3.put(`runs/${runId}.manifest.json`, await world.putRunManifest('another'));
    await expect(find(runId)).rejects.toThrow(RunConflictError);
  });
});
