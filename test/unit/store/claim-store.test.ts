import { beforeEach, describe, expect, test } from 'vitest';
import { RunConflictError, StoreError } from '../../../src/base/errors.ts';
import { type Claim, claimOf, claimText } from '../../../src/document/claim.ts';
import { type ClaimStore, createClaimStore } from '../../../src/store/claim-store.ts';
import {
  accessDenied,
  internalError,
  loseAnswer,
  noSuchBucket,
  slowDown,
} from '../../support/misbehaving-s3.ts';
import { FOREVER, MIB, never, storeWorld } from './world.ts';

const world = storeWorld();
let claims: ClaimStore;
let runId: string;

beforeEach(() => {
  claims = createClaimStore(world.optionsOf(world.client));
  runId = world.newRunId();
});

function claimBy(requestId: string): Claim {
  const run = {
    id: runId,
    trigger: 'direct',
    requestId,
    startedAt: '2026-11-23T06:00:00.000Z',
    urlTemplate: 'https://example.com/posts/{id}',
    returnExceptions: true,
    requested: 3,
    idsSha256: 'a'.repeat(64),
  } as const;
  return claimOf(run, 'running', new Date('2026-11-23T06:00:00.000Z'));
}

const stored = async (): Promise<string | undefined> =>
  (await world.stored(`runs/${runId}.progress.json`))?.toString();

describe('a claim', () => {
  test('is none at first, is written, and is read with its ETag', async () => {
    await expect(claims.read(runId, never())).resolves.toBeUndefined();
    const etag = await claims.write(claimBy('first'), undefined, never());
    expect(await claims.read(runId, never())).toStrictEqual({ claim: claimBy('first'), etag });
    expect(await stored()).toBe(claimText(claimBy('first')));
  });

  test('that is there is not written over by a first one', async () => {
    await claims.write(claimBy('first'), undefined, never());
    await expect(claims.write(claimBy('second'), undefined, never())).resolves.toBeUndefined();
    expect(await stored()).toBe(claimText(claimBy('first')));
  });

  test('of ten at the same time is that of one', async () => {
    const etags = await Promise.all(
      Array.from({ length: 10 }, (_, i) => claims.write(claimBy(`request-${i}`), undefined, never())),
    );
    expect(etags.filter((etag) => etag !== undefined)).toHaveLength(1);
    expect(await stored()).toBe(claimText(claimBy(`request-${etags.findIndex(Boolean)}`)));
  });

  test('gives way to the one that replaces it, and of ten at the same time to one', async () => {
    const etag = await claims.write(claimBy('first'), undefined, never());
    const etags = await Promise.all(
      Array.from({ length: 10 }, (_, i) => claims.write(claimBy(`request-${i}`), etag, never())),
    );
    expect(etags.filter((it) => it !== undefined)).toHaveLength(1);
    const next = await claims.write(claimBy('next'), etags.find(Boolean), never());
    expect(await claims.read(runId, never())).toStrictEqual({ claim: claimBy('next'), etag: next });
  });

  test('that is gone is replaced by none', async () => {
    await expect(claims.write(claimBy('late'), '"0123456789abcdef"', never())).resolves.toBeUndefined();
    expect(await stored()).toBeUndefined();
  });

  test('whose answer was lost is there, and its ETag is to be asked for', async () => {
    world.s3.next('PutClaim', loseAnswer);
    await expect(claims.write(claimBy('first'), undefined, never())).resolves.toBeUndefined();
    const found = await claims.read(runId, never());
    expect(found?.claim).toStrictEqual(claimBy('first'));
    world.s3.next('PutClaim', loseAnswer);
    await expect(claims.write(claimBy('second'), found?.etag, never())).resolves.toBeUndefined();
    expect(await stored()).toBe(claimText(claimBy('second')));
  });

  test('is asked for again where S3 fails for a moment', async () => {
    world.s3.next('PutClaim', slowDown, internalError);
    world.s3.next('GetClaim', slowDown);
    await claims.write(claimBy('first'), undefined, never());
    expect((await claims.read(runId, never()))?.claim).toStrictEqual(claimBy('first'));
    expect(world.s3.claimOperations).toStrictEqual([
      'PutClaim',
      'PutClaim',
      'PutClaim',
      'GetClaim',
      'GetClaim',
    ]);
  });

  test('is a failure of the store where S3 refuses it', async () => {
    const place = `s3://results/runs/${runId}.progress.json`;
    world.s3.next('PutClaim', accessDenied, noSuchBucket);
    world.s3.next('GetClaim', accessDenied);
    for (const why of ['AccessDenied', 'NoSuchBucket'])
      await expect(claims.write(claimBy('first'), undefined, never())).rejects.toStrictEqual(
        new StoreError(`${place} could not be written: ${why}`),
      );
    await expect(claims.read(runId, never())).rejects.toStrictEqual(
      new StoreError(`${place} could not be read: AccessDenied`),
    );
  });

  test('is a conflict where something else stands there, of which little is read', async () => {
    for (const text of ['{"version":1}', 'x'.repeat(MIB)]) {
      await world.put(`runs/${runId}.progress.json`, text);
      await expect(claims.read(runId, never())).rejects.toStrictEqual(
        new RunConflictError(`What stands in the place of the progress of ${runId} is none`),
      );
    }
  });

  test('is not waited for any longer once the signal aborts', async () => {
    world.s3.always('PutClaim', ({ gone }) => gone.then(() => {}));
    const stopping = new AbortController();
    const writing = claims.write(claimBy('first'), undefined, stopping.signal);
    await world.s3.asked('PutClaim');
    stopping.abort('enough');
    await expect(writing).rejects.toBe('enough');
  });
});

describe('what is done last', () => {
  test('is waited for, and may fail', async () => {
    let isDone = false;
    await claims.lastly(async () => {
      isDone = true;
      throw new Error('oops');
    });
    expect([isDone, world.clock.pending]).toStrictEqual([true, 0]);
  });

  test.each([
    ['2 s', undefined, 2_000],
    ['what is left of the time before the end is told', 1_000, 800],
  ])('has %s', async (_, endMs, ms) => {
    const limited = createClaimStore({
      ...world.optionsOf(world.client),
      ...(endMs !== undefined && { endMs }),
    });
    let limit: AbortSignal | undefined;
    const ended = limited.lastly((signal) => {
      limit = signal;
      return Promise.race([
        FOREVER,
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      ]);
    });
    world.clock.advance(ms - 1);
    expect(limit?.aborted).toBe(false);
    world.clock.advance(1);
    expect(limit?.aborted).toBe(true);
    await ended;
  });
});
