import { createHash, randomBytes } from 'node:crypto';
import { getEventListeners } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type S3Store, startS3Store } from '../../../local/world/s3.ts';
import { RunConflictError, StoreError } from '../../../src/base/errors.ts';
import type { RunReport } from '../../../src/document/run-head.ts';
import { createRunStore, type RunStore } from '../../../src/store/run-store.ts';
import { createS3Client } from '../../../src/store/s3.ts';
import { eventually } from '../../support/eventually.ts';
import { quiet, watch } from '../../support/manual-mapper.ts';
import {
  accessDenied,
  conflict,
  cutShort,
  hold,
  internalError,
  loseAnswer,
  type MisbehavingS3,
  noSuchBucket,
  noSuchUpload,
  POLICY_TEXT,
  reset,
  type S3Fault,
  type S3Operation,
  slowDown,
  stall,
  startMisbehavingS3,
} from '../../support/misbehaving-s3.ts';
import { plainReport } from '../../support/plain-traffic.ts';

const MIB = 1024 ** 2;
const bucket = 'results';

let real: S3Store;
let s3: MisbehavingS3;
let store: RunStore;
let runs = 0;
const warnings: Error[] = [];
const onWarning = (warning: Error): void => {
  warnings.push(warning);
};
const clients: ReturnType<typeof createS3Client>[] = [];

beforeAll(async () => {
  process.on('warning', onWarning);
  real = await startS3Store({ buckets: [bucket] });
  s3 = await startMisbehavingS3(real.endpoint);
});
beforeEach(() => {
  // A client of its own for each test: its quota of retries would not do for all of them.
  store = storeAt(s3.endpoint);
  // The SDK backs off with full jitter: with nothing to wait for, tests take no time.
  vi.spyOn(Math, 'random').mockReturnValue(0);
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const client of clients.splice(0)) client.destroy();
  s3.behave();
  await eventually(() => real.openUploads() === 0);
});
afterAll(async () => {
  await s3.stop();
  await real.close();
  process.off('warning', onWarning);
  expect(warnings).toStrictEqual([]);
});

function clientAt(endpoint: string) {
  const client = createS3Client({
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  });
  clients.push(client);
  return client;
}

function storeAt(endpoint: string): RunStore {
  return createRunStore({ client: clientAt(endpoint), bucket, prefix: 'runs/' });
}

function newRunId(): string {
  return `run-${++runs}`;
}

const FOREVER = new Promise<never>(() => {});
const never = (): AbortSignal => new AbortController().signal;

/** Puts an object there behind the back of the store under test. */
async function put(runId: string, body: string | Buffer): Promise<void> {
  const response = await fetch(`${real.endpoint}/${bucket}/runs/${runId}.json`, {
    method: 'PUT',
    body: new Uint8Array(Buffer.from(body)),
  });
  expect(response.status).toBe(200);
}

/** What stands there; undefined where nothing does. */
async function stored(runId: string): Promise<Buffer | undefined> {
  const response = await fetch(`${real.endpoint}/${bucket}/runs/${runId}.json`);
  const body = Buffer.from(await response.arrayBuffer());
  return response.ok ? body : undefined;
}

async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  const [settled] = await Promise.allSettled([promise]);
  return settled.status === 'rejected' ? settled.reason : expect.fail('It was not rejected');
}

/** A StoreError, as plain values. */
async function storeErrorOf(promise: Promise<unknown>) {
  const error = await rejectionOf(promise);
  if (!(error instanceof StoreError)) throw error;
  return { code: error.code, message: error.message };
}

const failure = (runId: string, verb: 'read' | 'written', why: string) => ({
  code: 'STORE_FAILED',
  message: `s3://results/runs/${runId}.json could not be ${verb}: ${why}`,
});

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

describe('find', () => {
  test('there is nothing where no document stands', async () => {
    expect(await store.find(newRunId(), never())).toBeUndefined();
    expect(s3.operations).toStrictEqual(['GetObject bytes=-65536']);
  });

  const tail = 'GetObject bytes=-65536';
  const head = 'GetObject bytes=0-16383';
  test.each([
    ['a small document is read at once', documentOf(report), [tail]],
    ['one of 64 KiB as well', documentOf(report, 65_536), [tail]],
    ['of a larger one the head and the tail are read', documentOf(report, 65_537), [tail, head]],
    ['of one of 9 MB no more', documentOf(report, 9 * MIB), [tail, head]],
    [
      'where the errors take more than 64 KiB, a longer tail is read',
      documentOf(withErrorsOf(66_000), 9 * MIB),
      [tail, head, 'GetObject bytes=-524288', head],
    ],
    [
      'a still longer one where they take more than 512 KiB',
      documentOf(withErrorsOf(525_000), 9 * MIB),
      [tail, head, 'GetObject bytes=-524288', head, 'GetObject bytes=-4194304', head],
    ],
    ['up to the whole document', documentOf(withErrorsOf(66_000)), [tail, head, 'GetObject bytes=-524288']],
  ])('%s', async (_, text, operations) => {
    const runId = newRunId();
    await put(runId, text);
    const { errors } = JSON.parse(text) as RunReport;
    expect(await store.find(runId, never())).toStrictEqual({
      ...report,
      errors,
      documentBytes: Buffer.byteLength(text),
      etag: `"${createHash('md5').update(text).digest('hex')}"`,
    });
    expect(s3.operations).toStrictEqual(operations);
  });

  test.each([
    ['an empty object', ''],
    ['some text', 'hello'],
    ['another JSON object', '{"version":1,"run":{}}'],
    ['a document that was cut', documentOf(report).slice(0, -20)],
    ['a large object', Buffer.alloc(600_000, 'x')],
  ])('%s is no document of a run', async (_, body) => {
    const runId = newRunId();
    await put(runId, body);
    const error = await rejectionOf(store.find(runId, never()));
    expect(error).toStrictEqual(
      new RunConflictError(`s3://results/runs/${runId}.json exists, and is no document of a run`),
    );
  });

  test('a store that knows no ranges will do', async () => {
    const runId = newRunId();
    const body = Buffer.from(documentOf(report, 70_000));
    s3.always('GetObject', ({ answer }) => answer({ status: 200, headers: { etag: '"x"' }, body }));
    expect(await store.find(runId, never())).toStrictEqual({
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
    const runId = newRunId();
    await put(runId, documentOf(report));
    s3.next('GetObject', ...faults);
    expect(await store.find(runId, never())).toMatchObject(report);
    expect(s3.operations).toHaveLength(faults.length + 1);
  });
});

describe('read', () => {
  test('the text of a document, its bytes untouched', async () => {
    const runId = newRunId();
    const text = documentOf(report, 100_000);
    await put(runId, text);
    expect(await store.read(runId, never())).toBe(text);
    expect(s3.operations).toStrictEqual(['GetObject']);
  });

  test('the text of an empty object is empty, even where S3 sends no body', async () => {
    const client = clientAt(s3.endpoint);
    client.send = async () => ({});
    expect(await createRunStore({ client, bucket, prefix: '' }).read('x', never())).toBe('');
  });

  test('a document that has gone is a StoreError', async () => {
    const runId = newRunId();
    expect(await storeErrorOf(store.read(runId, never()))).toStrictEqual(failure(runId, 'read', 'NoSuchKey'));
  });
});

describe('stream', () => {
  async function textOf(runId: string, signal = never()): Promise<Buffer> {
    const blocks: Buffer[] = [];
    for await (const block of store.stream(runId, undefined, signal)) blocks.push(block);
    return Buffer.concat(blocks);
  }

  test('has the text of a document in blocks, each asked for when it is needed', async () => {
    const runId = newRunId();
    const text = randomBytes(9 * MIB);
    await put(runId, text);
    const blocks = store.stream(runId, undefined, never())[Symbol.asyncIterator]();
    const next = async () => sha256((await blocks.next()).value ?? undefined);
    expect(await next()).toBe(sha256(text.subarray(0, 4 * MIB)));
    expect(s3.operations).toStrictEqual(['GetObject bytes=0-4194303']);
    expect(await next()).toBe(sha256(text.subarray(4 * MIB, 8 * MIB)));
    expect(await next()).toBe(sha256(text.subarray(8 * MIB)));
    expect(await blocks.next()).toStrictEqual({ done: true, value: undefined });
    expect(s3.operations).toHaveLength(3);
  });

  test('asks again for a block that breaks off', async () => {
    const runId = newRunId();
    const text = randomBytes(5 * MIB);
    await put(runId, text);
    s3.next('GetObject', cutShort, cutShort);
    expect(sha256(await textOf(runId))).toBe(sha256(text));
    expect(s3.operations).toHaveLength(4);
  });

  test('gives up on a block that breaks off for the third time', async () => {
    const runId = newRunId();
    await put(runId, randomBytes(MIB));
    s3.always('GetObject', cutShort);
    expect(await storeErrorOf(textOf(runId))).toStrictEqual(failure(runId, 'read', 'ECONNRESET'));
    expect(s3.operations).toHaveLength(3);
  });

  test('gives up on a block that does not come to its end in 20 s, three times', async () => {
    const runId = newRunId();
    await put(runId, randomBytes(MIB));
    const timeouts: number[] = [];
    vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => {
      timeouts.push(ms);
      const timeout = new AbortController();
      void s3
        .asked('GetObject', timeouts.length)
        .then(() => timeout.abort(new DOMException('Time is out', 'TimeoutError')));
      return timeout.signal;
    });
    s3.always('GetObject', stall);
    expect(await storeErrorOf(textOf(runId))).toStrictEqual(failure(runId, 'read', 'TimeoutError'));
    expect(timeouts).toStrictEqual([20_000, 20_000, 20_000]);
  });

  test('fails where the document changes in the meantime', async () => {
    const runId = newRunId();
    await put(runId, randomBytes(9 * MIB));
    const blocks = store.stream(runId, undefined, never())[Symbol.asyncIterator]();
    await blocks.next();
    await put(runId, randomBytes(9 * MIB));
    expect(await storeErrorOf(blocks.next())).toStrictEqual(failure(runId, 'read', 'PreconditionFailed'));
  });

  test('ends with the reason of the signal in the middle of a block', async () => {
    const runId = newRunId();
    await put(runId, randomBytes(MIB));
    const stopping = new AbortController();
    s3.always('GetObject', stall);
    const result = rejectionOf(textOf(runId, stopping.signal));
    await s3.asked('GetObject');
    const reason = new Error('enough');
    stopping.abort(reason);
    expect(await result).toBe(reason);
  });

  test('fails where there is no document', async () => {
    expect(await storeErrorOf(textOf('none'))).toStrictEqual(failure('none', 'read', 'NoSuchKey'));
  });
});

describe.each(['find', 'read'] as const)('%s, when S3 fails', (method) => {
  test.each<[string, S3Fault, string, number]>([
    ['refuses', accessDenied, 'AccessDenied', 1],
    ['has no such bucket', noSuchBucket, 'NoSuchBucket', 1],
    ['answers 500 for good', internalError, 'InternalError', 5],
    ['answers SlowDown for good', slowDown, 'SlowDown', 5],
    ['resets every connection', reset, 'ECONNRESET', 5],
  ])('is a StoreError where it %s', async (_, fault, why, tries) => {
    const runId = newRunId();
    s3.always('GetObject', fault);
    expect(await storeErrorOf(store[method](runId, never()))).toStrictEqual(failure(runId, 'read', why));
    expect(s3.operations).toHaveLength(tries);
  });

  test('where it is not there at all, the message has the code of the system', async () => {
    const brief = await startMisbehavingS3(real.endpoint);
    await brief.stop();
    expect(await storeErrorOf(storeAt(brief.endpoint)[method]('x', never()))).toStrictEqual(
      failure('x', 'read', 'ECONNREFUSED'),
    );
  });

  test('the policy is in the cause, for the log, and not in the message', async () => {
    s3.always('GetObject', accessDenied);
    const error = (await rejectionOf(store[method]('x', never()))) as StoreError;
    expect(error.cause).toMatchObject({ name: 'AccessDenied', message: POLICY_TEXT });
    expect(error.message).not.toContain('arn:aws');
  });

  test('ends with the reason of the signal, while S3 holds the request', async () => {
    const stopping = new AbortController();
    s3.always('GetObject', hold(FOREVER));
    const result = rejectionOf(store[method]('x', stopping.signal));
    await s3.asked('GetObject');
    const reason = new Error('enough');
    stopping.abort(reason);
    expect(await result).toBe(reason);
    expect(getEventListeners(stopping.signal, 'abort')).toStrictEqual([]);
  });
});

/** Chunks of random bytes, and whether their source has ended. */
function source(...sizes: readonly number[]) {
  const chunks = sizes.map((size) => randomBytes(size));
  const state = { ended: false, taken: 0 };
  const iterate = async function* (): AsyncGenerator<Buffer> {
    try {
      for (const chunk of chunks) {
        state.taken += 1;
        yield chunk;
      }
    } finally {
      state.ended = true;
    }
  };
  return { chunks: iterate(), bytes: Buffer.concat(chunks), state };
}

/** A source that never ends by itself: it gives chunks until `stopping` aborts, and throws its reason. */
function endlessSource(stopping: AbortController, size = MIB) {
  const state = { ended: false, taken: 0 };
  const iterate = async function* (): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        await setImmediate();
        stopping.signal.throwIfAborted();
        state.taken += 1;
        yield Buffer.alloc(size, 'x');
      }
    } finally {
      state.ended = true;
    }
  };
  return { chunks: iterate(), state };
}

/** How often each operation was asked for. */
function counts(): Partial<Record<S3Operation, number>> {
  const found: Record<string, number> = {};
  for (const operation of s3.operations) found[operation] = (found[operation] ?? 0) + 1;
  return found;
}

const sha256 = (bytes: Buffer | undefined) =>
  createHash('sha256')
    .update(bytes ?? 'nothing')
    .digest('hex');

describe('write', () => {
  test.each([
    ['nothing', []],
    ['one byte', [1]],
    ['some chunks', [65_536, 1, 65_536, 20_000]],
    ['exactly 5 MiB', [4 * MIB, MIB]],
  ])('%s goes as one PutObject', async (_, sizes) => {
    const runId = newRunId();
    const { chunks, bytes, state } = source(...sizes);
    const stopping = new AbortController();
    expect(await store.write(runId, chunks, stopping)).toBe(true);
    expect(sha256(await stored(runId))).toBe(sha256(bytes));
    expect(counts()).toStrictEqual({ PutObject: 1 });
    expect(state.ended).toBe(true);
    expect(stopping.signal.aborted).toBe(false);
  });

  test.each([
    ['a byte more than 5 MiB', [5 * MIB, 1], 2],
    ['12 MiB', [5 * MIB, 7 * MIB], 3],
    ['many chunks that fit no part', Array.from({ length: 170 }, () => 65_521), 3],
  ])('%s goes in parts, and comes out as it went in', async (_, sizes, parts) => {
    const runId = newRunId();
    const { chunks, bytes } = source(...sizes);
    const stopping = new AbortController();
    expect(await store.write(runId, chunks, stopping)).toBe(true);
    expect(sha256(await stored(runId))).toBe(sha256(bytes));
    expect(counts()).toStrictEqual({
      CreateMultipartUpload: 1,
      UploadPart: parts,
      CompleteMultipartUpload: 1,
    });
    expect(stopping.signal.aborted).toBe(false);
    expect(getEventListeners(stopping.signal, 'abort')).toStrictEqual([]);
  });

  test.each([
    ['WHEN_SUPPORTED', 'CRC32'],
    ['WHEN_REQUIRED', undefined],
  ] as const)('parts have checksums where the client is to calculate them %s', async (when, algorithm) => {
    const client = clientAt(s3.endpoint);
    client.config.requestChecksumCalculation = async () => when;
    const { write } = createRunStore({ client, bucket, prefix: 'runs/' });
    const runId = newRunId();
    const { chunks, bytes } = source(6 * MIB);
    let asked: unknown;
    s3.next('CreateMultipartUpload', async (exchange) => {
      asked = exchange.headers['x-amz-checksum-algorithm'];
      await hold(Promise.resolve())(exchange);
    });
    expect(await write(runId, chunks, new AbortController())).toBe(true);
    expect([asked, sha256(await stored(runId))]).toStrictEqual([algorithm, sha256(bytes)]);
  });

  test('while a part is sent the next one fills, and then its source waits', async () => {
    const runId = newRunId();
    const { promise: held, resolve } = Promise.withResolvers<void>();
    s3.next('UploadPart', hold(held));
    const { chunks, bytes, state } = source(...Array.from({ length: 16 }, () => MIB));
    const written = store.write(runId, chunks, new AbortController());
    await s3.asked('UploadPart');
    // Ten in two parts, and the one that shows that the second is not the last.
    await eventually(() => state.taken >= 11);
    await quiet();
    expect(state.taken).toBe(11);
    resolve();
    expect(await written).toBe(true);
    expect(sha256(await stored(runId))).toBe(sha256(bytes));
  });

  test('is JSON', async () => {
    const runId = newRunId();
    for (const sizes of [[10], [6 * MIB]]) {
      await store.write(`${runId}-${sizes[0]}`, source(...sizes).chunks, new AbortController());
      const response = await fetch(`${real.endpoint}/${bucket}/runs/${runId}-${sizes[0]}.json`);
      expect(response.headers.get('content-type')).toBe('application/json');
      await response.arrayBuffer();
    }
  });

  test.each([
    ['as one PutObject', 10],
    ['in parts', 6 * MIB],
  ])('what stands there stays, and the second write says so, %s', async (_, size) => {
    const runId = newRunId();
    const first = source(size);
    const second = source(size);
    expect(await store.write(runId, first.chunks, new AbortController())).toBe(true);
    const stopping = new AbortController();
    expect(await store.write(runId, second.chunks, stopping)).toBe(false);
    expect(sha256(await stored(runId))).toBe(sha256(first.bytes));
    expect([second.state.ended, stopping.signal.aborted]).toStrictEqual([true, true]);
  });

  test('of two writes at once, exactly one writes', async () => {
    for (const size of [10, 6 * MIB]) {
      const runId = newRunId();
      const sources = [source(size), source(size)];
      const wrote = await Promise.all(
        sources.map(({ chunks }) => store.write(runId, chunks, new AbortController())),
      );
      expect(wrote.filter(Boolean)).toHaveLength(1);
      expect(sha256(await stored(runId))).toBe(sha256(sources[wrote.indexOf(true)]?.bytes));
    }
  });
});

describe('write, when the source throws', () => {
  test.each([
    ['at once', []],
    ['before a part is full', [MIB]],
    ['while parts are on their way', [5 * MIB, 5 * MIB, 5 * MIB]],
  ])('%s, rejects with that very error, and leaves nothing', async (_, sizes) => {
    const runId = newRunId();
    const thrown = new TypeError('the source');
    const chunks = async function* (): AsyncGenerator<Buffer> {
      yield* source(...sizes).chunks;
      throw thrown;
    };
    const stopping = new AbortController();
    expect(await rejectionOf(store.write(runId, chunks(), stopping))).toBe(thrown);
    expect(await stored(runId)).toBeUndefined();
    expect(real.openUploads()).toBe(0);
    expect(stopping.signal.reason).toBe(thrown);
    expect(getEventListeners(stopping.signal, 'abort')).toStrictEqual([]);
  });

  test('undefined, of all things, rejects with undefined', async () => {
    const chunks = async function* (): AsyncGenerator<Buffer> {
      yield Buffer.from('x');
      throw undefined;
    };
    const result = Promise.allSettled([store.write(newRunId(), chunks(), new AbortController())]);
    expect(await result).toStrictEqual([{ status: 'rejected', reason: undefined }]);
  });

  test.each<[string, S3Fault, number]>([
    ['is refused', accessDenied, 1],
    // It is tried again, and answered NoSuchUpload: that is no sign of another document.
    ['succeeds unheard', loseAnswer, 0],
  ])('and its cleanup %s, rejects with the error of the source all the same', async (_, fault, left) => {
    await using stack = new AsyncDisposableStack();
    const other = stack.adopt(await startS3Store({ buckets: [bucket] }), (it) => it.close());
    const proxy = stack.adopt(await startMisbehavingS3(other.endpoint), (it) => it.stop());
    proxy.next('AbortMultipartUpload', fault);
    const thrown = new Error('the source');
    const chunks = async function* (): AsyncGenerator<Buffer> {
      yield* source(6 * MIB).chunks;
      throw thrown;
    };
    const written = storeAt(proxy.endpoint).write(newRunId(), chunks(), new AbortController());
    expect(await rejectionOf(written)).toBe(thrown);
    expect(other.openUploads()).toBe(left);
  });
});

describe('write, when S3 fails', () => {
  const operations = ['PutObject', 'CreateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload'] as const;
  const sizesFor = (operation: S3Operation) => (operation === 'PutObject' ? [10] : [5 * MIB, 1000]);

  describe.each(operations)('at %s', (operation) => {
    test.each<[string, S3Fault, string, number]>([
      ['refuses', accessDenied, 'AccessDenied', 1],
      ['has no such bucket', noSuchBucket, 'NoSuchBucket', 1],
      ['answers 500 for good', internalError, 'InternalError', 5],
    ])('and %s, stops the source, and leaves nothing', async (_, fault, why, tries) => {
      const runId = newRunId();
      s3.always(operation, fault);
      const { chunks, state } = source(...sizesFor(operation));
      const stopping = new AbortController();
      const error = await rejectionOf(store.write(runId, chunks, stopping));
      expect(error).toBeInstanceOf(StoreError);
      expect(error).toMatchObject(failure(runId, 'written', why));
      expect((error as Error).message).not.toContain('arn:aws');
      expect(stopping.signal.reason).toBe(error);
      expect(state.ended).toBe(true);
      expect(counts()[operation]).toBe(tries);
      expect([await stored(runId), real.openUploads()]).toStrictEqual([undefined, 0]);
      expect(getEventListeners(stopping.signal, 'abort')).toStrictEqual([]);
    });

    test.each<[string, S3Fault[]]>([
      ['a reset', [reset]],
      ['a 500', [internalError]],
      ['a SlowDown, twice', [slowDown, slowDown]],
    ])('%s is tried again', async (_, faults) => {
      const runId = newRunId();
      s3.next(operation, ...faults);
      const { chunks, bytes } = source(...sizesFor(operation));
      expect(await store.write(runId, chunks, new AbortController())).toBe(true);
      expect(sha256(await stored(runId))).toBe(sha256(bytes));
    });
  });

  test.each(['CreateMultipartUpload', 'UploadPart'] as const)(
    'at %s, a source that would never end is stopped',
    async (operation) => {
      const runId = newRunId();
      s3.next(operation, accessDenied);
      const stopping = new AbortController();
      const { chunks, state } = endlessSource(stopping);
      expect(await storeErrorOf(store.write(runId, chunks, stopping))).toStrictEqual(
        failure(runId, 'written', 'AccessDenied'),
      );
      expect(state.ended).toBe(true);
    },
  );

  test('the source is stopped before the parts are cleaned up, and has ended before it rejects', async () => {
    const held = Promise.withResolvers<void>();
    s3.next('UploadPart', accessDenied);
    s3.next('AbortMultipartUpload', hold(held.promise));
    const stopping = new AbortController();
    const cleaningUp = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    const chunks = async function* (): AsyncGenerator<Buffer> {
      try {
        for (;;) yield Buffer.alloc(MIB);
      } finally {
        cleaningUp.resolve();
        await ended.promise;
      }
    };
    const result = storeErrorOf(store.write(newRunId(), chunks(), stopping));
    const state = watch(result);
    await s3.asked('AbortMultipartUpload');
    expect(stopping.signal.aborted).toBe(true);
    held.resolve();
    await cleaningUp.promise;
    await eventually(() => real.openUploads() === 0);
    await quiet();
    expect(state.settled).toBe(false);
    ended.resolve();
    expect(await result).toMatchObject({ code: 'STORE_FAILED' });
  });

  test('an answer that lacks what it must have is a StoreError too', async () => {
    const runId = newRunId();
    s3.next('UploadPart', ({ answer }) => answer({ status: 200, headers: {}, body: Buffer.alloc(0) }));
    expect(
      await storeErrorOf(store.write(runId, source(6 * MIB).chunks, new AbortController())),
    ).toStrictEqual(failure(runId, 'written', 'S3 gave no ETag for part 1'));
  });

  test('a connection that is refused is one, also where several addresses were tried', async () => {
    const brief = await startMisbehavingS3(real.endpoint);
    await brief.stop();
    const written = storeAt(brief.endpoint).write('x', source(10).chunks, new AbortController());
    expect(await storeErrorOf(written)).toStrictEqual(failure('x', 'written', 'ECONNREFUSED'));

    const client = clientAt(brief.endpoint);
    client.send = async () => {
      throw Object.assign(new AggregateError([], ''), { code: 'ECONNREFUSED' });
    };
    const { write } = createRunStore({ client, bucket, prefix: 'runs/' });
    expect(await storeErrorOf(write('x', source(10).chunks, new AbortController()))).toStrictEqual(
      failure('x', 'written', 'ECONNREFUSED'),
    );
  });

  test('what is thrown and is no Error has a name as well', async () => {
    const client = clientAt(s3.endpoint);
    client.send = () => Promise.reject('gone');
    const { write } = createRunStore({ client, bucket, prefix: 'runs/' });
    expect(await storeErrorOf(write('x', source(10).chunks, new AbortController()))).toStrictEqual(
      failure('x', 'written', 'gone'),
    );
  });
});

describe('write, when conditional writes run into each other', () => {
  test.each([
    ['PutObject', 10],
    ['CompleteMultipartUpload', 6 * MIB],
  ] as const)('a 409 to %s is tried again', async (operation, size) => {
    const runId = newRunId();
    s3.next(operation, conflict);
    const { chunks, bytes } = source(size);
    expect(await store.write(runId, chunks, new AbortController())).toBe(true);
    expect(counts()[operation]).toBe(2);
    expect(sha256(await stored(runId))).toBe(sha256(bytes));
  });

  test.each([
    ['PutObject', 10],
    ['CompleteMultipartUpload', 6 * MIB],
  ] as const)('five of them to %s are another document', async (operation, size) => {
    s3.always(operation, conflict);
    expect(await store.write(newRunId(), source(size).chunks, new AbortController())).toBe(false);
    expect(counts()[operation]).toBe(5);
  });

  test.each([
    ['PutObject', 10],
    ['CompleteMultipartUpload', 6 * MIB],
  ] as const)('a lost answer to %s is a document that is there already: our own', async (operation, size) => {
    const runId = newRunId();
    s3.next(operation, loseAnswer);
    const { chunks, bytes } = source(size);
    expect(await store.write(runId, chunks, new AbortController())).toBe(false);
    expect(sha256(await stored(runId))).toBe(sha256(bytes));
  });

  test('an upload that is not there any more, when it is to be completed, may be one as well', async () => {
    s3.next('CompleteMultipartUpload', noSuchUpload);
    expect(await store.write(newRunId(), source(6 * MIB).chunks, new AbortController())).toBe(false);
  });

  test('a lost answer to a part is no loss: it is sent again', async () => {
    const runId = newRunId();
    s3.next('UploadPart', loseAnswer);
    const { chunks, bytes } = source(6 * MIB);
    expect(await store.write(runId, chunks, new AbortController())).toBe(true);
    expect(sha256(await stored(runId))).toBe(sha256(bytes));
  });
});

describe('write, when it is to stop', () => {
  test.each([
    ['PutObject', 10],
    ['CreateMultipartUpload', 6 * MIB],
    ['UploadPart', 6 * MIB],
    ['CompleteMultipartUpload', 6 * MIB],
  ] as const)('gives up at once while S3 holds a %s, and leaves nothing', async (operation, size) => {
    const runId = newRunId();
    s3.always(operation, hold(FOREVER));
    const stopping = new AbortController();
    const { chunks, state } = source(size);
    const result = rejectionOf(store.write(runId, chunks, stopping));
    await s3.asked(operation);
    const reason = new Error('enough');
    stopping.abort(reason);
    expect(await result).toBe(reason);
    expect(state.ended).toBe(true);
    expect(getEventListeners(stopping.signal, 'abort')).toStrictEqual([]);
    expect(real.openUploads()).toBe(0);
    expect(await stored(runId)).toBeUndefined();
  });

  test('gives up while the SDK waits to try again', async () => {
    vi.mocked(Math.random).mockReturnValue(0.999);
    const stopping = new AbortController();
    const answered = Promise.withResolvers<void>();
    s3.always('PutObject', async (exchange) => {
      await slowDown(exchange);
      answered.resolve();
    });
    const result = rejectionOf(store.write(newRunId(), source(10).chunks, stopping));
    await answered.promise;
    const reason = new Error('enough');
    stopping.abort(reason);
    expect(await result).toBe(reason);
  });

  test('gives up with the source between two parts', async () => {
    const stopping = new AbortController();
    const { chunks, state } = endlessSource(stopping);
    const result = rejectionOf(store.write(newRunId(), chunks, stopping));
    await s3.asked('UploadPart', 3);
    const reason = new Error('enough');
    stopping.abort(reason);
    expect(await result).toBe(reason);
    expect(state.ended).toBe(true);
    expect(real.openUploads()).toBe(0);
  });

  test('does nothing where it was to stop from the start', async () => {
    const runId = newRunId();
    const reason = new Error('enough');
    expect(await rejectionOf(store.write(runId, source(10).chunks, abortedController(reason)))).toBe(reason);
    expect(await rejectionOf(store.write(runId, source(6 * MIB).chunks, abortedController(reason)))).toBe(
      reason,
    );
    expect(s3.operations).toStrictEqual([]);
  });

  test('many requests later, nothing listens to its signal any more', async () => {
    const stopping = new AbortController();
    let most = 0;
    for (let i = 0; i < 20; i++) {
      s3.next('PutObject', async (exchange) => {
        most = Math.max(most, getEventListeners(stopping.signal, 'abort').length);
        const answer = await exchange.forward();
        if (answer) exchange.answer(answer);
      });
      expect(await store.write(newRunId(), source(10).chunks, stopping)).toBe(true);
    }
    expect(most).toBeLessThan(5);
    expect(getEventListeners(stopping.signal, 'abort')).toStrictEqual([]);
  });
});

function abortedController(reason: unknown): AbortController {
  const controller = new AbortController();
  controller.abort(reason);
  return controller;
}

describe('outcomes by themselves', () => {
  const keyOf = (runId: string) => `${real.endpoint}/${bucket}/runs/${runId}.ndjson`;
  async function textOf(runId: string): Promise<string> {
    return (await fetch(keyOf(runId))).text();
  }

  const write = (
    runId: string,
    unfinished: Awaited<ReturnType<RunStore['findOutcomes']>>,
    { writer = 'me', chunks = source(10).chunks, stopping = new AbortController() } = {},
  ) => store.writeOutcomes(runId, unfinished, writer, chunks, stopping);

  test.each([[10], [6 * MIB]])('of %d bytes are written, and found, and read', async (bytes) => {
    const runId = newRunId();
    expect(await store.findOutcomes(runId, never())).toBeUndefined();
    const { chunks, bytes: content } = source(bytes);
    const outcomes = await write(runId, undefined, { chunks });
    const response = await fetch(keyOf(runId));
    expect(outcomes).toStrictEqual({
      location: `s3://results/runs/${runId}.ndjson`,
      bytes,
      etag: response.headers.get('etag'),
    });
    expect(response.headers.get('content-type')).toBe('application/x-ndjson');
    expect(sha256(Buffer.from(await response.arrayBuffer()))).toBe(sha256(content));
    expect(await store.findOutcomes(runId, never())).toStrictEqual({ etag: outcomes?.etag });
    const blocks: Buffer[] = [];
    for await (const block of store.stream(runId, outcomes, never())) blocks.push(block);
    expect(sha256(Buffer.concat(blocks))).toBe(sha256(content));
  });

  test('of none are an empty object, of which nothing is read', async () => {
    const runId = newRunId();
    const outcomes = await write(runId, undefined, { chunks: source().chunks });
    expect(outcomes?.bytes).toBe(0);
    expect((await store.stream(runId, outcomes, never()).next()).done).toBe(true);
  });

  test.each([[10], [6 * MIB]])('of %d bytes are not written over those of others', async (bytes) => {
    const runId = newRunId();
    await write(runId, undefined);
    const before = await textOf(runId);
    const { chunks } = source(bytes);
    expect(await write(runId, undefined, { writer: 'another', chunks })).toBeUndefined();
    expect(await textOf(runId)).toBe(before);
    expect(real.openUploads()).toBe(0);
  });

  test.each([[10], [6 * MIB]])('of %d bytes take the place of those that were found', async (bytes) => {
    const runId = newRunId();
    await write(runId, undefined);
    const unfinished = await store.findOutcomes(runId, never());
    const { chunks } = source(bytes);
    expect((await write(runId, unfinished, { writer: 'another', chunks }))?.bytes).toBe(bytes);
    // The same found twice: the second comes too late.
    const late = source(bytes).chunks;
    expect(await write(runId, unfinished, { writer: 'a third', chunks: late })).toBeUndefined();
    expect(real.openUploads()).toBe(0);
  });

  test('are our own where the answer to their write was lost', async () => {
    const runId = newRunId();
    s3.next('PutObject', loseAnswer);
    const outcomes = await write(runId, undefined);
    expect(outcomes).toStrictEqual({ ...(await store.findOutcomes(runId, never())), ...outcomes });
    expect(outcomes?.bytes).toBe(10);
  });

  test('have gone by the time that they are asked for', async () => {
    const runId = newRunId();
    await write(runId, undefined);
    const unfinished = { etag: '"of others"' };
    s3.next('HeadObject', async ({ forward, answer }) => {
      await fetch(keyOf(runId), { method: 'DELETE' });
      const answered = await forward();
      if (answered) answer(answered);
    });
    expect(await write(runId, unfinished)).toBeUndefined();
  });

  test('that changed are not read', async () => {
    const runId = newRunId();
    const outcomes = await write(runId, undefined);
    await write(runId, await store.findOutcomes(runId, never()), { writer: 'another' });
    const error = await rejectionOf(store.stream(runId, outcomes, never()).next());
    expect(error).toMatchObject({
      message: `s3://results/runs/${runId}.ndjson could not be read: PreconditionFailed`,
    });
  });

  test('are a StoreError where S3 refuses', async () => {
    const runId = newRunId();
    s3.always('HeadObject', accessDenied);
    await expect(store.findOutcomes(runId, never())).rejects.toMatchObject({ code: 'STORE_FAILED' });
    s3.always('PutObject', accessDenied);
    await expect(write(runId, undefined)).rejects.toMatchObject({
      message: `s3://results/runs/${runId}.ndjson could not be written: AccessDenied`,
    });
  });
});

describe('the S3 client', () => {
  test('does not wait for an answer longer than 20 s, five times', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      s3.always('GetObject', hold(FOREVER));
      const result = storeErrorOf(store.find('x', never()));
      for (let tries = 1; tries <= 5; tries++) {
        await soon(s3.asked('GetObject', tries));
        vi.advanceTimersByTime(19_999);
        await quiet();
        expect(s3.operations).toHaveLength(tries);
        vi.advanceTimersByTime(1);
      }
      expect(await soon(result)).toStrictEqual(failure('x', 'read', 'ETIMEDOUT'));
    } finally {
      vi.useRealTimers();
    }
  });

  /** Settles as `promise` does, while the delays between tries go by, which are none. */
  async function soon<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const settle = (): void => {
      settled = true;
    };
    promise.then(settle, settle);
    while (!settled) {
      vi.advanceTimersByTime(0);
      await setImmediate();
    }
    return promise;
  }

  test('says where documents are', () => {
    expect(createRunStore({ client: createS3Client(), bucket: 'b', prefix: '' }).location('r')).toBe(
      's3://b/r.json',
    );
    expect(store.location('r')).toBe('s3://results/runs/r.json');
  });
});
