import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { type S3Store, startS3Store } from '../../../local/world/s3.ts';
import { RunConflictError, StoreError } from '../../../src/base/errors.ts';
import { createPlanStore, type PlanStore } from '../../../src/store/plan-store.ts';
import { createS3Client } from '../../../src/store/s3.ts';
import {
  accessDenied,
  hold,
  loseAnswer,
  type MisbehavingS3,
  noSuchUpload,
  stall,
  startMisbehavingS3,
} from '../../support/misbehaving-s3.ts';

const never = new AbortController().signal;
let real: S3Store;
let s3: MisbehavingS3;
let store: PlanStore;
let client: ReturnType<typeof createS3Client>;
let runs = 0;
let runId: string;

beforeAll(async () => {
  real = await startS3Store({ buckets: ['results'] });
  s3 = await startMisbehavingS3(real.endpoint);
});
beforeEach(() => {
  client = createS3Client({
    endpoint: s3.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  });
  store = createPlanStore({ client, bucket: 'results', prefix: 'runs/' });
  runId = `run-${++runs}`;
  // No one waits for the SDK's retries.
  vi.spyOn(Math, 'random').mockReturnValue(0);
});
afterEach(() => {
  vi.restoreAllMocks();
  client.destroy();
  s3.behave();
});
afterAll(async () => {
  await s3.stop();
  await real.close();
});

const lines = ['{"part":0}\n', '{"part":1,"ids":["é"]}\n'];

async function written(): Promise<string[] | undefined> {
  const stored = await store.readPlan(runId, never);
  return stored && Array.fromAsync(stored);
}

test('what is kept of a run stands under its run id, apart from documents', () => {
  expect(store.placeOf('run')).toStrictEqual({
    bucket: 'results',
    key: 'runs/plans/run.jsonl',
    mapResultsPrefix: 'runs/map-results/run',
    runManifestKey: 'runs/run.manifest.json',
    documentKey: 'runs/run.json',
  });
});

test('parts are read as they were written, line by line', async () => {
  await expect(written()).resolves.toBeUndefined();
  await store.writePlan(runId, () => lines, never);
  await expect(written()).resolves.toStrictEqual(lines);
});

test('a last line without an end is a line', async () => {
  await store.writePlan(runId, () => ['a\n', 'b'], never);
  await expect(written()).resolves.toStrictEqual(['a\n', 'b']);
});

test('parts of many megabytes are written as they come, and read line by line across chunks', async () => {
  const many = Array.from({ length: 27 }, (_, i) => `${String(i).padStart(200_000, 'x')}\n`);
  await store.writePlan(runId, () => many, never);
  await expect(written()).resolves.toStrictEqual(many);
  await store.writePlan(runId, () => many, never);
  await expect(store.writePlan(runId, () => many.toReversed(), never)).rejects.toThrow(RunConflictError);
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
  s3.next('PutObject', loseAnswer);
  await store.writePlan(runId, () => lines, never);
  await expect(written()).resolves.toStrictEqual(lines);
});

test('a write that is said to be there already, where nothing is, is a conflict', async () => {
  s3.next('PutObject', noSuchUpload);
  await expect(store.writePlan(runId, () => lines, never)).rejects.toThrow(RunConflictError);
});

test('where S3 refuses, each operation says which object and why, and nothing of its policy', async () => {
  s3.always('PutObject', accessDenied);
  s3.always('GetObject', accessDenied);
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

test('a body that is cut short is a failure to read', async () => {
  await store.writePlan(runId, () => lines, never);
  s3.next('GetObject', async ({ forward, answer }) => {
    const whole = await forward();
    if (whole) answer({ ...whole, body: whole.body.subarray(0, 5) });
  });
  await expect(written()).rejects.toThrow(/^s3:\/\/results\/runs\/plans\/.+ could not be read: /);
});

test('an abort ends a write with its reason, before it starts and while it lasts', async () => {
  const reason = new Error('The time is over');
  await expect(store.writePlan(runId, () => lines, AbortSignal.abort(reason))).rejects.toBe(reason);
  const stopping = new AbortController();
  s3.next('PutObject', hold(new Promise(() => {})));
  const writing = store.writePlan(runId, () => lines, stopping.signal);
  const rejected = expect(writing).rejects.toBe(reason);
  await s3.asked('PutObject', 1);
  stopping.abort(reason);
  await rejected;
});

test('a manifest is read as it was written, and gives way to one whose writer knew it', async () => {
  await expect(store.readRunManifest(runId, never)).resolves.toBeUndefined();
  await expect(store.writeRunManifest(runId, '{\n}\n', undefined, never)).resolves.toBe(true);
  const first = await store.readRunManifest(runId, never);
  expect(first?.text).toBe('{\n}\n');
  await expect(store.writeRunManifest(runId, '1', undefined, never)).resolves.toBe(false);
  await expect(store.writeRunManifest(runId, '{\n"é":1}\n', first?.etag, never)).resolves.toBe(true);
  await expect(store.writeRunManifest(runId, '2', first?.etag, never)).resolves.toBe(false);
  expect((await store.readRunManifest(runId, never))?.text).toBe('{\n"é":1}\n');
});

test('a write of a manifest ends with the reason of its signal', async () => {
  const reason = new Error('The time is over');
  const stopping = new AbortController();
  s3.next('PutObject', hold(new Promise(() => {})));
  const rejected = expect(store.writeRunManifest(runId, '{}', undefined, stopping.signal)).rejects.toBe(
    reason,
  );
  await s3.asked('PutObject', 1);
  stopping.abort(reason);
  await rejected;
});

test('a body that stalls is left when the signal aborts', async () => {
  await store.writeRunManifest(runId, '{}'.repeat(1_000), undefined, never);
  const reason = new Error('The time is over');
  const stopping = new AbortController();
  s3.next('GetObject', stall);
  const rejected = expect(store.readRunManifest(runId, stopping.signal)).rejects.toBe(reason);
  await s3.asked('GetObject', 1);
  stopping.abort(reason);
  await rejected;
});
