import { getEventListeners } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { StoreError } from '../../../src/base/errors.ts';
import { createRunStore } from '../../../src/store/run-store.ts';
import { eventually } from '../../support/eventually.ts';
import { quiet, unhandledRejectionsIn, watch } from '../../support/manual-mapper.ts';
import {
  accessDenied,
  conflict,
  hold,
  internalError,
  loseAnswer,
  noSuchBucket,
  noSuchUpload,
  operationAborted,
  reset,
  type S3Fault,
  type S3Operation,
  slowDown,
  startMisbehavingS3,
  status,
} from '../../support/misbehaving-s3.ts';
import { outlast } from '../../support/outlast.ts';
import { completesTwice, startStore } from '../../support/start-store.ts';
import {
  bucket,
  FOREVER,
  failure,
  MIB,
  never,
  rejectionOf,
  sha256,
  source,
  storeErrorOf,
  storeWorld,
} from './world.ts';

const world = storeWorld();
const stored = (runId: string) => world.stored(`runs/${runId}.json`);

/** A source that never ends by itself. */
function endlessSource() {
  const state = { ended: false };
  const iterate = async function* (): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        await setImmediate();
        yield Buffer.alloc(MIB, 'x');
      }
    } finally {
      state.ended = true;
    }
  };
  return { chunks: iterate(), state };
}

/** A source that, after some MiB, neither goes on nor returns. */
function deafSource(mebibytes: number) {
  const { promise: waiting, resolve } = Promise.withResolvers<void>();
  let returned = false;
  const iterate = async function* (): AsyncGenerator<Buffer> {
    try {
      for (let i = 0; i < mebibytes; i++) yield Buffer.alloc(MIB, 'x');
      resolve();
      await FOREVER;
    } finally {
      returned = true;
    }
  };
  return { chunks: iterate(), waiting, returned: () => returned };
}

describe('write', () => {
  test.each([
    ['nothing', []],
    ['one byte', [1]],
    ['some chunks', [65_536, 1, 65_536, 20_000]],
    ['exactly 5 MiB', [4 * MIB, MIB]],
  ])('%s goes as one PutObject', async (_, sizes) => {
    const runId = world.newRunId();
    const { chunks, bytes, state } = source(...sizes);
    const signal = never();
    expect(await world.store.write(runId, chunks, signal)).toBe(true);
    expect(sha256(await stored(runId))).toBe(sha256(bytes));
    expect(world.counts()).toStrictEqual({ PutObject: 1 });
    expect(state.ended).toBe(true);
    expect(getEventListeners(signal, 'abort')).toStrictEqual([]);
  });

  test.each([
    ['a byte more than 5 MiB', [5 * MIB, 1], 2],
    ['12 MiB', [5 * MIB, 7 * MIB], 3],
    ['many chunks that fit no part', Array.from({ length: 170 }, () => 65_521), 3],
  ])('%s goes in parts, and comes out as it went in', async (_, sizes, parts) => {
    const runId = world.newRunId();
    const { chunks, bytes } = source(...sizes);
    const signal = never();
    expect(await world.store.write(runId, chunks, signal)).toBe(true);
    expect(sha256(await stored(runId))).toBe(sha256(bytes));
    expect(world.counts()).toStrictEqual({
      CreateMultipartUpload: 1,
      UploadPart: parts,
      CompleteMultipartUpload: 1,
    });
    expect(getEventListeners(signal, 'abort')).toStrictEqual([]);
  });

  test.each([
    ['WHEN_SUPPORTED', 'CRC32'],
    ['WHEN_REQUIRED', undefined],
  ] as const)('parts have checksums where the client is to calculate them %s', async (when, algorithm) => {
    const client = world.clientAt(world.s3.endpoint);
    client.config.requestChecksumCalculation = async () => when;
    const { write } = createRunStore(world.optionsOf(client));
    const runId = world.newRunId();
    const { chunks, bytes } = source(6 * MIB);
    let asked: unknown;
    world.s3.next('CreateMultipartUpload', async (exchange) => {
      asked = exchange.headers['x-amz-checksum-algorithm'];
      await hold(Promise.resolve())(exchange);
    });
    expect(await write(runId, chunks, never())).toBe(true);
    expect([asked, sha256(await stored(runId))]).toStrictEqual([algorithm, sha256(bytes)]);
  });

  test('while a part is sent the next one fills, and then its source waits', async () => {
    const runId = world.newRunId();
    const { promise: held, resolve } = Promise.withResolvers<void>();
    world.s3.next('UploadPart', hold(held));
    const { chunks, bytes, state } = source(...Array.from({ length: 16 }, () => MIB));
    const written = world.store.write(runId, chunks, never());
    await world.s3.asked('UploadPart');
    // Ten in two parts, and the one that shows that the second is not the last.
    await eventually(() => state.taken >= 11);
    await quiet();
    expect(state.taken).toBe(11);
    resolve();
    expect(await written).toBe(true);
    expect(sha256(await stored(runId))).toBe(sha256(bytes));
  });

  test('is JSON', async () => {
    const runId = world.newRunId();
    for (const sizes of [[10], [6 * MIB]]) {
      await world.store.write(`${runId}-${sizes[0]}`, source(...sizes).chunks, never());
      const response = await fetch(`${world.real.endpoint}/${bucket}/runs/${runId}-${sizes[0]}.json`);
      expect(response.headers.get('content-type')).toBe('application/json');
      await response.arrayBuffer();
    }
  });

  test.each([
    ['as one PutObject', 10],
    ['in parts', 6 * MIB],
  ])('what stands there stays, and the second write says so, %s', async (_, size) => {
    const runId = world.newRunId();
    const first = source(size);
    const second = source(size);
    expect(await world.store.write(runId, first.chunks, never())).toBe(true);
    expect(await world.store.write(runId, second.chunks, never())).toBe(false);
    expect([sha256(await stored(runId)), second.state.ended]).toStrictEqual([sha256(first.bytes), true]);
  });

  test('of two writes at once, exactly one writes', async () => {
    for (const size of [10, 6 * MIB]) {
      const runId = world.newRunId();
      const sources = [source(size), source(size)];
      const wrote = await Promise.all(sources.map(({ chunks }) => world.store.write(runId, chunks, never())));
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
    const runId = world.newRunId();
    const thrown = new TypeError('the source');
    const chunks = async function* (): AsyncGenerator<Buffer> {
      yield* source(...sizes).chunks;
      throw thrown;
    };
    const signal = never();
    expect(await rejectionOf(world.store.write(runId, chunks(), signal))).toBe(thrown);
    expect(await stored(runId)).toBeUndefined();
    expect(world.real.openUploads()).toBe(0);
    expect(getEventListeners(signal, 'abort')).toStrictEqual([]);
  });

  test('undefined, of all things, rejects with undefined', async () => {
    const chunks = async function* (): AsyncGenerator<Buffer> {
      yield Buffer.from('x');
      throw undefined;
    };
    const result = Promise.allSettled([world.store.write(world.newRunId(), chunks(), never())]);
    expect(await result).toStrictEqual([{ status: 'rejected', reason: undefined }]);
  });

  test.each<[string, S3Fault, number]>([
    ['is refused', accessDenied, 1],
    // It is tried again, and answered NoSuchUpload: that is no sign of another document.
    ['succeeds unheard', loseAnswer, 0],
  ])('and its cleanup %s, rejects with the error of the source all the same', async (_, fault, left) => {
    await using stack = new AsyncDisposableStack();
    const other = stack.adopt(await startStore({ buckets: [bucket] }), (it) => it.close());
    const proxy = stack.adopt(await startMisbehavingS3(other.endpoint), (it) => it.stop());
    proxy.next('AbortMultipartUpload', fault);
    const thrown = new Error('the source');
    const chunks = async function* (): AsyncGenerator<Buffer> {
      yield* source(6 * MIB).chunks;
      throw thrown;
    };
    const written = world.storeAt(proxy.endpoint).write(world.newRunId(), chunks(), never());
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
      ['is no S3', status(404, 'Not here'), "HTTP status 404 without an error of S3's", 1],
      ['answers 500 for good', internalError, 'InternalError', 10],
      [
        'is behind a gateway that lost it',
        status(502, '<html>'),
        "HTTP status 502 without an error of S3's",
        10,
      ],
    ])('and %s, stops the source, and leaves nothing', async (_, fault, why, tries) => {
      const runId = world.newRunId();
      world.s3.always(operation, fault);
      const { chunks, state } = source(...sizesFor(operation));
      const signal = never();
      const rejected = rejectionOf(world.store.write(runId, chunks, signal));
      const error = await (tries === 1 ? rejected : outlast(rejected, world.clock));
      expect(error).toBeInstanceOf(StoreError);
      expect(error).toMatchObject(failure(runId, 'written', why));
      expect((error as Error).message).not.toContain('arn:aws');
      await eventually(() => state.ended);
      if (tries === 1) expect(world.counts()[operation]).toBe(1);
      else expect(world.counts()[operation]).toBeGreaterThan(tries);
      expect([await stored(runId), world.real.openUploads()]).toStrictEqual([undefined, 0]);
      expect(getEventListeners(signal, 'abort')).toStrictEqual([]);
    });

    test.each<[string, S3Fault[]]>([
      ['a reset', [reset]],
      ['a 500', [internalError]],
      ['a SlowDown, twice', [slowDown, slowDown]],
    ])('%s is tried again', async (_, faults) => {
      const runId = world.newRunId();
      world.s3.next(operation, ...faults);
      const { chunks, bytes } = source(...sizesFor(operation));
      expect(await world.store.write(runId, chunks, never())).toBe(true);
      expect(sha256(await stored(runId))).toBe(sha256(bytes));
    });
  });

  test.each(['CreateMultipartUpload', 'UploadPart'] as const)(
    'at %s, a source that would never end is told to return',
    async (operation) => {
      const runId = world.newRunId();
      world.s3.next(operation, accessDenied);
      const { chunks, state } = endlessSource();
      expect(await storeErrorOf(world.store.write(runId, chunks, never()))).toStrictEqual(
        failure(runId, 'written', 'AccessDenied'),
      );
      await eventually(() => state.ended);
    },
  );

  test('rejects once its upload parts are cleaned up, whether the source has ended or not', async () => {
    const held = Promise.withResolvers<void>();
    world.s3.next('UploadPart', accessDenied);
    world.s3.next('AbortMultipartUpload', hold(held.promise));
    const { chunks, returned } = deafSource(6);
    const result = storeErrorOf(world.store.write(world.newRunId(), chunks, never()));
    const state = watch(result);
    await world.s3.asked('AbortMultipartUpload');
    await quiet();
    expect(state.settled).toBe(false);
    held.resolve();
    expect(await result).toMatchObject({ code: 'STORE_FAILED' });
    expect([world.real.openUploads(), returned()]).toStrictEqual([0, false]);
  });

  test('what the source throws when it is told to return is nobody’s error', async () => {
    world.s3.always('CreateMultipartUpload', accessDenied);
    const chunks = async function* (): AsyncGenerator<Buffer> {
      try {
        for (;;) yield Buffer.alloc(MIB);
      } finally {
        await Promise.reject(new Error('The end of the source'));
      }
    };
    const rejections = await unhandledRejectionsIn(async () => {
      expect(await storeErrorOf(world.store.write('x', chunks(), never()))).toStrictEqual(
        failure('x', 'written', 'AccessDenied'),
      );
    });
    expect(rejections).toStrictEqual([]);
  });

  test.each([
    ['PutObject', 10, '', 'S3 gave no ETag'],
    ['UploadPart', 6 * MIB, '', 'S3 gave no ETag'],
    ['CompleteMultipartUpload', 6 * MIB, '<html><p>Sign in</p></html>', 'S3 gave no ETag'],
    ['CompleteMultipartUpload', 6 * MIB, '<Complete', "HTTP status 200 without an error of S3's"],
  ] as const)(
    'an answer to %s that lacks what it must have is no success: %i bytes, %j',
    async (operation, size, text, why) => {
      const runId = world.newRunId();
      world.s3.always(operation, status(200, text));
      const error = storeErrorOf(world.store.write(runId, source(size).chunks, never()));
      expect(await outlast(error, world.clock)).toStrictEqual(failure(runId, 'written', why));
      expect(await stored(runId)).toBeUndefined();
    },
  );

  test('a connection that is refused is one, also where several addresses were tried', async () => {
    const brief = await startMisbehavingS3(world.real.endpoint);
    await brief.stop();
    const written = world.storeAt(brief.endpoint).write('x', source(10).chunks, never());
    expect(await outlast(storeErrorOf(written), world.clock)).toStrictEqual(
      failure('x', 'written', 'ECONNREFUSED'),
    );

    const client = world.clientAt(brief.endpoint);
    client.send = async () => {
      throw Object.assign(new AggregateError([], ''), { code: 'ECONNREFUSED' });
    };
    const { write } = createRunStore(world.optionsOf(client));
    const again = storeErrorOf(write('x', source(10).chunks, never()));
    expect(await outlast(again, world.clock)).toStrictEqual(failure('x', 'written', 'ECONNREFUSED'));
  });

  test('what is thrown and is no Error has a name as well', async () => {
    const client = world.clientAt(world.s3.endpoint);
    client.send = () => Promise.reject('gone');
    const { write } = createRunStore(world.optionsOf(client));
    expect(await storeErrorOf(write('x', source(10).chunks, never()))).toStrictEqual(
      failure('x', 'written', 'gone'),
    );
  });
});

describe('write, when conditional writes run into each other', () => {
  const atTheEnd = [
    ['PutObject', 10],
    ['CompleteMultipartUpload', 6 * MIB],
  ] as const;
  const conflicts: [string, S3Fault][] = [
    ['ConditionalRequestConflict', conflict],
    ['OperationAborted', operationAborted],
    ['409 alone', status(409)],
    ['409 with some text', status(409, 'Conflict')],
  ];

  describe.each(atTheEnd)('at %s', (operation, size) => {
    test.each(conflicts)('%s is tried again', async (_, fault) => {
      const runId = world.newRunId();
      world.s3.next(operation, fault, fault);
      const { chunks, bytes } = source(size);
      expect(await world.store.write(runId, chunks, never())).toBe(true);
      expect(world.counts()[operation]).toBe(3);
      expect(sha256(await stored(runId))).toBe(sha256(bytes));
    });

    test.each(conflicts)('%s as long as there is time is another document', async (_, fault) => {
      world.s3.always(operation, fault);
      const written = world.store.write(world.newRunId(), source(size).chunks, never());
      expect(await outlast(written, world.clock)).toBe(false);
      expect(world.counts()[operation]).toBeGreaterThan(10);
    });

    test.each<[string, S3Fault]>([
      ['412 alone', status(412)],
      ['412 with some text', status(412, 'Precondition Failed')],
    ])('%s is another document', async (_, fault) => {
      world.s3.always(operation, fault);
      expect(await world.store.write(world.newRunId(), source(size).chunks, never())).toBe(false);
      expect(world.counts()[operation]).toBe(1);
    });

    test('a lost answer is a document that is there already: our own', async () => {
      const runId = world.newRunId();
      world.s3.next(operation, loseAnswer);
      const { chunks, bytes } = source(size);
      const answersTwice = operation === 'CompleteMultipartUpload' && completesTwice;
      expect(await world.store.write(runId, chunks, never())).toBe(answersTwice);
      expect(sha256(await stored(runId))).toBe(sha256(bytes));
    });
  });

  test('an upload that is not there any more, when it is to be completed, may be one as well', async () => {
    world.s3.next('CompleteMultipartUpload', noSuchUpload);
    expect(await world.store.write(world.newRunId(), source(6 * MIB).chunks, never())).toBe(false);
  });

  test('a lost answer to a part is no loss: it is sent again', async () => {
    const runId = world.newRunId();
    world.s3.next('UploadPart', loseAnswer);
    const { chunks, bytes } = source(6 * MIB);
    expect(await world.store.write(runId, chunks, never())).toBe(true);
    expect(sha256(await stored(runId))).toBe(sha256(bytes));
  });
});

describe('write, when the time of the function ends', () => {
  const endMs = 12_000;

  test.each(['PutObject', 'CreateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload'] as const)(
    'and %s hangs, tells so in time, though nothing can be cleaned up',
    async (operation) => {
      await using stack = new AsyncDisposableStack();
      const other = stack.adopt(await startStore({ buckets: [bucket] }), (it) => it.close());
      const proxy = stack.adopt(await startMisbehavingS3(other.endpoint), (it) => it.stop());
      const options = world.optionsOf(world.clientAt(proxy.endpoint));
      const store = createRunStore({ ...options, endMs });
      proxy.always(operation, hold(FOREVER));
      proxy.always('AbortMultipartUpload', hold(FOREVER));
      const size = operation === 'PutObject' ? 10 : 6 * MIB;
      const written = storeErrorOf(store.write('x', source(size).chunks, never()));
      const state = watch(written);
      await proxy.asked(operation);
      while (!state.settled) {
        world.clock.advance(50);
        await eventually(() => state.settled || (world.clock.pending > 0 && proxy.open > 0));
      }
      expect(await written).toStrictEqual(failure('x', 'written', 'S3 did not answer in time'));
      expect(world.clock.now()).toBeLessThan(endMs);
      expect(proxy.operations.filter((it) => it === operation).length).toBeGreaterThan(3);
    },
  );

  test('and its completion hangs once, has time for another', async () => {
    const store = createRunStore({ ...world.optionsOf(world.client), endMs });
    world.s3.next('CompleteMultipartUpload', hold(FOREVER));
    const written = store.write(world.newRunId(), source(6 * MIB).chunks, never());
    await world.s3.asked('CompleteMultipartUpload');
    world.clock.advance(3_800);
    expect(await written).toBe(true);
    expect(world.counts().CompleteMultipartUpload).toBe(2);
  });
});

describe('write, when it is to stop', () => {
  test.each([
    ['PutObject', 10],
    ['CreateMultipartUpload', 6 * MIB],
    ['UploadPart', 6 * MIB],
    ['CompleteMultipartUpload', 6 * MIB],
  ] as const)('gives up at once while S3 holds a %s, and leaves nothing', async (operation, size) => {
    const runId = world.newRunId();
    world.s3.always(operation, hold(FOREVER));
    const stopping = new AbortController();
    const { chunks, state } = source(size);
    const result = rejectionOf(world.store.write(runId, chunks, stopping.signal));
    await world.s3.asked(operation);
    const reason = new Error('enough');
    stopping.abort(reason);
    expect(await result).toBe(reason);
    expect(world.real.openUploads()).toBe(0);
    expect(getEventListeners(stopping.signal, 'abort')).toStrictEqual([]);
    await eventually(() => state.ended);
    expect(await stored(runId)).toBeUndefined();
  });

  test('gives up while it waits to try again', async () => {
    const store = createRunStore({ ...world.optionsOf(world.client), random: () => 0.999 });
    const stopping = new AbortController();
    const answered = Promise.withResolvers<void>();
    world.s3.always('PutObject', async (exchange) => {
      await slowDown(exchange);
      answered.resolve();
    });
    const result = rejectionOf(store.write(world.newRunId(), source(10).chunks, stopping.signal));
    await answered.promise;
    await eventually(() => world.clock.pending === 1 && world.s3.open === 0);
    const reason = new Error('enough');
    stopping.abort(reason);
    expect(await result).toBe(reason);
  });

  test('gives up between two upload parts, and tells the source to return', async () => {
    const stopping = new AbortController();
    const { chunks, state } = endlessSource();
    const result = rejectionOf(world.store.write(world.newRunId(), chunks, stopping.signal));
    await world.s3.asked('UploadPart', 3);
    const reason = new Error('enough');
    stopping.abort(reason);
    expect(await result).toBe(reason);
    expect(world.real.openUploads()).toBe(0);
    await eventually(() => state.ended);
  });

  test.each([
    ['first bytes', 0, []],
    ['first upload part', 3, []],
    ['last upload part', 6, ['CreateMultipartUpload', 'UploadPart', 'AbortMultipartUpload']],
  ])('does not wait for a source that does not give its %s', async (_, mebibytes, operations) => {
    const stopping = new AbortController();
    const { chunks, waiting } = deafSource(mebibytes);
    const result = rejectionOf(world.store.write(world.newRunId(), chunks, stopping.signal));
    await waiting;
    if (operations.length > 0) await world.s3.asked('UploadPart');
    const reason = new Error('enough');
    stopping.abort(reason);
    expect(await result).toBe(reason);
    expect(world.s3.operations).toStrictEqual(operations);
    expect(world.real.openUploads()).toBe(0);
    expect(getEventListeners(stopping.signal, 'abort')).toStrictEqual([]);
  });

  test.each([10, 6 * MIB])('does nothing where it was to stop from the start, of %i bytes', async (size) => {
    const reason = new Error('enough');
    const { chunks, state } = source(size);
    expect(await rejectionOf(world.store.write('x', chunks, AbortSignal.abort(reason)))).toBe(reason);
    expect([world.s3.operations, state.taken]).toStrictEqual([[], 0]);
  });

  test('many requests later, nothing listens to its signal any more', async () => {
    const stopping = new AbortController();
    let most = 0;
    for (let i = 0; i < 20; i++) {
      world.s3.next('PutObject', async (exchange) => {
        most = Math.max(most, getEventListeners(stopping.signal, 'abort').length);
        const answer = await exchange.forward();
        if (answer) exchange.answer(answer);
      });
      expect(await world.store.write(world.newRunId(), source(10).chunks, stopping.signal)).toBe(true);
    }
    expect(most).toBeLessThan(5);
    expect(getEventListeners(stopping.signal, 'abort')).toStrictEqual([]);
  });
});
