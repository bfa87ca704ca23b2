import { createHash, randomBytes } from 'node:crypto';
import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { RunConflictError, type StoreError } from '../../../src/base/errors.ts';
import type { RunReport } from '../../../src/document/run-head.ts';
import {
  accessDenied,
  cutShort,
  hold,
  internalError,
  noSuchBucket,
  POLICY_TEXT,
  reset,
  type S3Fault,
  s3Error,
  slowDown,
  startMisbehavingS3,
  status,
} from '../../support/misbehaving-s3.ts';
import { outlast } from '../../support/outlast.ts';
import { plainReport } from '../../support/plain-traffic.ts';
import { FOREVER, failure, MIB, never, rejectionOf, sha256, storeErrorOf, storeWorld } from './world.ts';

const world = storeWorld();
const put = (runId: string, body: string | Buffer) => world.put(`runs/${runId}.json`, body);

const report: RunReport = {
  run: {
    id: 'run-1',
    trigger: 'direct',
    requestId: 'request-1',
    startedAt: '2026-11-23T06:00:00.000Z',
    urlTemplate: 'https://example.com/posts/{id}',
    returnExceptions: true,
    requested: 1,
    idsSha256: '80c3cd40fa35f9088b8741bd8be6153de05f661cfeeb4625ffbf5f4a6c3c02c4',
  },
  errors: { total: 0, byCode: {}, first: [], retryableIds: [] },
  summary: {
    finishedAt: '2026-11-23T06:00:00.040Z',
    durationMs: 40,
    requested: 1,
    fulfilled: 1,
    rejected: 0,
    attempts: 1,
    complete: true,
    latencyMs: { p50: 38, p90: 38, p99: 38, max: 38 },
    ...plainReport(1, 10, 10),
  },
};

/** A document of exactly `bytes` bytes, or as few as it takes. */
function documentOf({ run, errors, summary }: RunReport, bytes = 0): string {
  const text = (value: string): string =>
    `{"version":1,\n"run":${JSON.stringify(run)},\n"results":[\n{"value":"${value}"}\n],\n"errors":${JSON.stringify(errors)},\n"summary":${JSON.stringify(summary)}}\n`;
  return text('é'.repeat(Math.max(0, Math.floor((bytes - text('').length) / 2)))).replace(
    '"value":"',
    (bytes - text('').length) % 2 === 1 ? '"value":"x' : '$&',
  );
}

/** A report whose line of errors takes more than `bytes` bytes. */
function withErrorsOf(bytes: number): RunReport {
  const retryableIds = Array.from({ length: Math.ceil(bytes / 11) }, (_, i) => 1_000_000_000 + i);
  return { ...report, errors: { ...report.errors, retryableIds } };
}

const tail = 'GetObject bytes=-65536';
const head = 'GetObject bytes=0-16383';

describe('find', () => {
  test('there is nothing where no document stands', async () => {
    expect(await world.store.find(world.newRunId(), never())).toBeUndefined();
    expect(world.s3.operations).toStrictEqual(['GetObject bytes=-65536']);
  });

  test.each([
    ['a small document is read at once', documentOf(report), [tail]],
    ['one of 64 KiB as well', documentOf(report, 65_536), [tail]],
    ['of a larger one the head and the tail are read', documentOf(report, 65_537), [tail, head]],
    ['of one of 9 MB no more', documentOf(report, 9 * MIB), [tail, head]],
    [
      'where the errors take more than 64 KiB, a longer tail is read',
      documentOf(withErrorsOf(66_000), 9 * MIB),
      [tail, head, 'GetObject bytes=-524288'],
    ],
    [
      'a still longer one where they take more than 512 KiB',
      documentOf(withErrorsOf(525_000), 9 * MIB),
      [tail, head, 'GetObject bytes=-524288', 'GetObject bytes=-4194304'],
    ],
    ['up to the whole document', documentOf(withErrorsOf(66_000)), [tail, head, 'GetObject bytes=-524288']],
  ])('%s', async (_, text, operations) => {
    const runId = world.newRunId();
    await put(runId, text);
    const { errors } = JSON.parse(text) as RunReport;
    expect(await world.store.find(runId, never())).toStrictEqual({
      ...report,
      errors,
      documentBytes: Buffer.byteLength(text),
      etag: `"${createHash('md5').update(text).digest('hex')}"`,
    });
    expect(world.s3.operations).toStrictEqual(operations);
  });

  test.each([
    ['an empty object', '', []],
    ['some text', 'hello', []],
    ['another JSON object', '{"version":1,"run":{}}', []],
    ['a document that was cut', documentOf(report).slice(0, -20), []],
    ['a large object', Buffer.alloc(600_000, 'x'), [head]],
    ['a large object that starts as one', documentOf(report, 600_000).slice(0, -20), [head]],
    ['a large object that ends as one', `x${documentOf(report, 600_000)}`, [head]],
    [
      'a large object with a line before its summary',
      documentOf(report, 600_000).replace('"errors"', '"error"'),
      [head],
    ],
  ])('%s is no document of a run', async (_, body, more) => {
    const runId = world.newRunId();
    await put(runId, body);
    const error = await rejectionOf(world.store.find(runId, never()));
    expect(error).toStrictEqual(
      new RunConflictError(`s3://results/runs/${runId}.json exists, and is no document of a run`),
    );
    // However large it is; of what is empty, a store may give no range.
    const asked = world.s3.operations.filter((it) => it !== 'GetObject');
    expect(asked).toStrictEqual([tail, ...more]);
  });

  test.each<[string, S3Fault]>([
    ['in XML', s3Error(416, 'InvalidRange')],
    ['with nothing else', status(416)],
    ['with some text', status(416, 'Requested Range Not Satisfiable')],
  ])('a store that answers 416 %s to more of a tail than there is will do', async (_, fault) => {
    const runId = world.newRunId();
    await put(runId, documentOf(report));
    world.s3.next('GetObject', fault);
    expect(await world.store.find(runId, never())).toMatchObject(report);
    expect(world.s3.operations).toStrictEqual([tail, 'GetObject']);
  });

  test('a store that knows no ranges will do', async () => {
    const runId = world.newRunId();
    const body = Buffer.from(documentOf(report, 70_000));
    world.s3.always('GetObject', ({ answer }) => answer({ status: 200, headers: { etag: '"x"' }, body }));
    expect(await world.store.find(runId, never())).toStrictEqual({
      ...report,
      documentBytes: 70_000,
      etag: '"x"',
    });
  });

  test.each<[string, S3Fault[]]>([
    ['a reset', [reset]],
    ['a 500', [internalError]],
    ['a SlowDown, twice', [slowDown, slowDown]],
  ])('%s is tried again', async (_, faults) => {
    const runId = world.newRunId();
    await put(runId, documentOf(report));
    world.s3.next('GetObject', ...faults);
    expect(await world.store.find(runId, never())).toMatchObject(report);
    expect(world.s3.operations).toHaveLength(faults.length + 1);
  });
});

describe('read', () => {
  test('the text of a document, its bytes untouched', async () => {
    const runId = world.newRunId();
    const text = documentOf(report, 100_000);
    await put(runId, text);
    expect(await world.store.read(runId, never())).toBe(text);
    expect(world.s3.operations).toStrictEqual(['GetObject']);
  });

  test('the text of an empty object is empty', async () => {
    const runId = world.newRunId();
    await put(runId, '');
    expect(await world.store.read(runId, never())).toBe('');
  });

  test('a document that has gone is a StoreError', async () => {
    const runId = world.newRunId();
    expect(await storeErrorOf(world.store.read(runId, never()))).toStrictEqual(
      failure(runId, 'read', 'NoSuchKey'),
    );
  });
});

describe('stream', () => {
  async function textOf(runId: string, signal = never()): Promise<Buffer> {
    const blocks: Buffer[] = [];
    for await (const block of world.store.stream(runId, undefined, signal)) blocks.push(block);
    return Buffer.concat(blocks);
  }

  test('has the text of a document in blocks, each asked for when it is needed', async () => {
    const runId = world.newRunId();
    const text = randomBytes(9 * MIB);
    await put(runId, text);
    const blocks = world.store.stream(runId, undefined, never())[Symbol.asyncIterator]();
    const next = async () => sha256((await blocks.next()).value ?? undefined);
    expect(await next()).toBe(sha256(text.subarray(0, 4 * MIB)));
    expect(world.s3.operations).toStrictEqual(['GetObject bytes=0-4194303']);
    expect(await next()).toBe(sha256(text.subarray(4 * MIB, 8 * MIB)));
    expect(await next()).toBe(sha256(text.subarray(8 * MIB)));
    expect(await blocks.next()).toStrictEqual({ done: true, value: undefined });
    expect(world.s3.operations).toHaveLength(3);
  });

  test('asks again for a block that breaks off', async () => {
    const runId = world.newRunId();
    const text = randomBytes(5 * MIB);
    await put(runId, text);
    world.s3.next('GetObject', cutShort, cutShort);
    expect(sha256(await textOf(runId))).toBe(sha256(text));
    expect(world.s3.operations).toHaveLength(4);
  });

  test('fails where the document changes in the meantime', async () => {
    const runId = world.newRunId();
    await put(runId, randomBytes(9 * MIB));
    const blocks = world.store.stream(runId, undefined, never())[Symbol.asyncIterator]();
    await blocks.next();
    await put(runId, randomBytes(9 * MIB));
    expect(await storeErrorOf(blocks.next())).toStrictEqual(
      failure(runId, 'read', 'it was replaced in the meantime'),
    );
  });

  test('fails where there is no document', async () => {
    expect(await storeErrorOf(textOf('none'))).toStrictEqual(failure('none', 'read', 'NoSuchKey'));
  });
});

describe.each(['find', 'read'] as const)('%s, when S3 fails', (method) => {
  test.each<[string, S3Fault, string, number]>([
    ['refuses', accessDenied, 'AccessDenied', 1],
    ['has no such bucket', noSuchBucket, 'NoSuchBucket', 1],
    ['is no S3', status(404), "HTTP status 404 without an error of S3's", 1],
    ['answers 500 for good', internalError, 'InternalError', 10],
    ['answers SlowDown for good', slowDown, 'SlowDown', 10],
    ['resets every connection', reset, 'ECONNRESET', 10],
  ])('is a StoreError where it %s', async (_, fault, why, tries) => {
    const runId = world.newRunId();
    world.s3.always('GetObject', fault);
    const error = storeErrorOf(world.store[method](runId, never()));
    expect(await (tries === 1 ? error : outlast(error, world.clock))).toStrictEqual(
      failure(runId, 'read', why),
    );
    if (tries === 1) expect(world.s3.operations).toHaveLength(1);
    else expect(world.s3.operations.length).toBeGreaterThan(tries);
  });

  test('where it is not there at all, the message has the code of the system', async () => {
    const brief = await startMisbehavingS3(world.real.endpoint);
    await brief.stop();
    const store = world.storeAt(brief.endpoint);
    expect(await outlast(storeErrorOf(store[method]('x', never())), world.clock)).toStrictEqual(
      failure('x', 'read', 'ECONNREFUSED'),
    );
  });

  test('the policy is in the cause, for the log, and not in the message', async () => {
    world.s3.always('GetObject', accessDenied);
    const error = (await rejectionOf(world.store[method]('x', never()))) as StoreError;
    expect(error.cause).toMatchObject({ name: 'AccessDenied', message: POLICY_TEXT });
    expect(error.message).not.toContain('arn:aws');
  });

  test('ends with the reason of the signal, while S3 holds the request', async () => {
    const stopping = new AbortController();
    world.s3.always('GetObject', hold(FOREVER));
    const result = rejectionOf(world.store[method]('x', stopping.signal));
    await world.s3.asked('GetObject');
    const reason = new Error('enough');
    stopping.abort(reason);
    expect(await result).toBe(reason);
    expect(getEventListeners(stopping.signal, 'abort')).toStrictEqual([]);
  });
});
