import { beforeEach, expect, test } from 'vitest';
import { RunConflictError, StoreError } from '../../../src/base/errors.ts';
import { createPlanStore, type PlanStore } from '../../../src/store/plan-store.ts';
import { accessDenied, hold, loseAnswer, noSuchUpload } from '../../support/misbehaving-s3.ts';
import { bucket, MIB, storeWorld } from './world.ts';

const never = new AbortController().signal;
const world = storeWorld();
let store: PlanStore;
let runId: string;

beforeEach(() => {
  store = createPlanStore({ client: world.client, bucket, prefix: 'runs/' });
  runId = world.newRunId();
});

const lines = ['{"part":0}\n', '{"part":1,"ids":["é"]}\n'];

/** The lines that stand there, with their ends. */
async function written(): Promise<string[] | undefined> {
  const stored = await store.readPlan(runId, never);
  return stored && (await Array.fromAsync(stored)).map((line) => `${line}\n`);
}

test('what is kept of a run stands under its run id, apart from documents', () => {
  expect(store.placeOf('run')).toStrictEqual({
    bucket: 'results',
    document: 'runs/run.json',
    outcomes: 'runs/run.ndjson',
    gzipOutcomes: 'runs/run.ndjson.gz',
    page: 'runs/run.html',
    plan: 'runs/plans/run.jsonl',
    progress: 'runs/run.progress.json',
    runManifest: 'runs/run.manifest.json',
    mapResultsPrefix: 'runs/map-results/run',
  });
});

test('parts are read as they were written, line by line', async () => {
  await expect(written()).resolves.toBeUndefined();
  await store.writePlan(runId, () => lines, never);
  await expect(written()).resolves.toStrictEqual(lines);
});

test('a last line without an end is a line', async () => {
  await store.writePlan(runId, () => ['a\n', 'b'], never);
  await expect(written()).resolves.toStrictEqual(['a\n', 'b\n']);
});

test('parts of many megabytes are written as they come, and read line by line across chunks', async () => {
  const many = Array.from({ length: 27 }, (_, i) => `${String(i).padStart(200_000, 'x')}\n`);
  await store.writePlan(runId, () => many, never);
  await expect(written()).resolves.toStrictEqual(many);
  await store.writePlan(runId, () => many, never);
  await expect(store.writePlan(runId, () => many.toReversed(), never)).rejects.toThrow(RunConflictError);
});

test('lines are gone through once, and once more where they are to be compared', async () => {
  let times = 0;
  const counted = function* (): Generator<string> {
    times += 1;
    yield* lines;
  };
  await store.writePlan(runId, counted, never);
  expect(times).toBe(1);
  await store.writePlan(runId, counted, never);
  expect(times).toBe(3);
});

test('the same parts may be written twice, others may not', async () => {
  await store.writePlan(runId, () => lines, never);
  await store.writePlan(runId, () => lines, never);
  await expect(store.writePlan(runId, () => lines.slice(1), never)).rejects.toStrictEqual(
    new RunConflictError(`The runId ${runId} names an earlier run of other ids, or in parts of another size`),
  );
  await expect(written()).resolves.toStrictEqual(lines);
});

test('parts whose write was answered to nobody are their own', async () => {
  world.s3.next('PutObject', loseAnswer);
  await store.writePlan(runId, () => lines, never);
  await expect(written()).resolves.toStrictEqual(lines);
});

test('a write that is said to be there already, where nothing is, is a conflict', async () => {
  world.s3.next('PutObject', noSuchUpload);
  await expect(store.writePlan(runId, () => lines, never)).rejects.toThrow(RunConflictError);
});

test('where S3 refuses, each operation says which object and why, and nothing of its policy', async () => {
  world.s3.always('PutObject', accessDenied);
  world.s3.always('GetObject', accessDenied);
  const failed = (key: string, verb: string) =>
    new StoreError(`s3://results/runs/${key} could not be ${verb}: AccessDenied`);
  await expect(store.writePlan(runId, () => lines, never)).rejects.toThrow(
    failed(`plans/${runId}.jsonl`, 'written'),
  );
  await expect(store.readPlan(runId, never)).rejects.toThrow(failed(`plans/${runId}.jsonl`, 'read'));
  await expect(store.writeRunManifest(runId, '{}', undefined, never)).rejects.toThrow(
    failed(`${runId}.manifest.json`, 'written'),
  );
  await expect(store.readRunManifest(runId, never)).rejects.toThrow(failed(`${runId}.manifest.json`, 'read'));
});

test('an abort ends a write with its reason, before it starts and while it lasts', async () => {
  const reason = new Error('The time is over');
  await expect(store.writePlan(runId, () => lines, AbortSignal.abort(reason))).rejects.toBe(reason);
  const stopping = new AbortController();
  world.s3.next('PutObject', hold(new Promise(() => {})));
  const writing = store.writePlan(runId, () => lines, stopping.signal);
  const rejected = expect(writing).rejects.toBe(reason);
  await world.s3.asked('PutObject', 1);
  stopping.abort(reason);
  await rejected;
});

test('a run manifest is read as it was written, and gives way to one whose writer knew it', async () => {
  await expect(store.readRunManifest(runId, never)).resolves.toBeUndefined();
  await expect(store.writeRunManifest(runId, '{\n}\n', undefined, never)).resolves.toBe(true);
  const first = await store.readRunManifest(runId, never);
  expect(first?.text).toBe('{\n}\n');
  await expect(store.writeRunManifest(runId, '1', undefined, never)).resolves.toBe(false);
  await expect(store.writeRunManifest(runId, '{\n"é":1}\n', first?.etag, never)).resolves.toBe(true);
  await expect(store.writeRunManifest(runId, '2', first?.etag, never)).resolves.toBe(false);
  expect((await store.readRunManifest(runId, never))?.text).toBe('{\n"é":1}\n');
});

test('a write of a run manifest ends with the reason of its signal', async () => {
  const reason = new Error('The time is over');
  const stopping = new AbortController();
  world.s3.next('PutObject', hold(new Promise(() => {})));
  const rejected = expect(store.writeRunManifest(runId, '{}', undefined, stopping.signal)).rejects.toBe(
    reason,
  );
  await world.s3.asked('PutObject', 1);
  stopping.abort(reason);
  await rejected;
});

test('a run manifest of many megabytes is one object like any other', async () => {
  const text = 'é'.repeat(3 * MIB);
  await expect(store.writeRunManifest(runId, text, undefined, never)).resolves.toBe(true);
  const stored = await store.readRunManifest(runId, never);
  expect(stored?.text === text).toBe(true);
  await expect(store.writeRunManifest(runId, text, '"another"', never)).resolves.toBe(false);
});

test('of a run manifest, the end can be read by itself', async () => {
  await expect(store.readRunManifestEnd(runId, never)).resolves.toBeUndefined();
  await store.writeRunManifest(runId, '{\n}\n', undefined, never);
  await expect(store.readRunManifestEnd(runId, never)).resolves.toBe('{\n}\n');
  const long = world.newRunId();
  await store.writeRunManifest(long, `${'x'.repeat(100_000)}the end`, undefined, never);
  const end = await store.readRunManifestEnd(long, never);
  expect([end?.length, end?.slice(-8)]).toStrictEqual([16_384, 'xthe end']);
});

test('the last part is read alone, however long it is', async () => {
  await expect(store.readPlanEnd(runId, never)).resolves.toBeUndefined();
  const long = 'x'.repeat(240_000);
  await store.writePlan(runId, () => [`${'y'.repeat(500_000)}\n`, 'short\n', `${long}\n`], never);
  await expect(store.readPlanEnd(runId, never)).resolves.toBe(long);
});

test('a run manifest is read by its ends, which are one where it is short', async () => {
  await expect(store.readRunManifestEnds(runId, never)).resolves.toBeUndefined();
  for (const text of ['short', `start${'x'.repeat(100_000)}end`]) {
    await world.put(`runs/${runId}.manifest.json`, text);
    const ends = await store.readRunManifestEnds(runId, never);
    const etag = (await store.readRunManifest(runId, never))?.etag;
    expect(ends).toStrictEqual({
      start: text.slice(0, text.length > 32_768 ? 2_048 : undefined),
      end: text.slice(-32_768),
      etag,
      bytes: text.length,
    });
  }
});
