import { describe, expect, test } from 'vitest';
import { IdempotencyKeyReusedError, RunConflictError, StoreError } from '../../../src/base/errors.ts';
import type { Id } from '../../../src/batch/ids.ts';
import { type Claim, claimOf, failed, RunInProgressError } from '../../../src/document/claim.ts';
import { problem } from '../../../src/document/problem.ts';
import type { RunHead } from '../../../src/document/run-head.ts';
import { acquireClaim } from '../../../src/run/acquire-claim.ts';
import type { RunRequest } from '../../../src/run/run-batch.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { quiet } from '../../support/manual-mapper.ts';
import { MemoryClaims } from '../../support/memory-claims.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { silentObserver } from '../../support/observer.ts';
import { notFound, post } from '../../support/scripted-origin.ts';
import {
  earlierDocument,
  earlierRun,
  errorOf,
  lesson,
  noFetch,
  requestFor,
  runOf,
  sha256,
  start,
  storeWith,
} from './world.ts';

const location = 's3://results/runs/run-1.json';
const head: RunHead = { ...earlierRun, requestId: 'request-0', startedAt: '2026-11-23T05:59:30.000Z' };
/** The claim of another invocation of the lesson, which holds until 06:00:30. */
const running = claimOf(head, 'running', new Date('2026-11-23T05:59:30.000Z'));
const accepted = claimOf(head, 'accepted', new Date('2026-11-23T05:59:30.000Z'));
const lapsed: Claim = { ...running, until: '2026-11-23T06:00:00.000Z' };
const failedOne = failed(
  running,
  problem(502, 'No data for post 7', 'NOT_FOUND'),
  new Date('2026-11-23T05:59:50.000Z'),
);
const otherIds = { idsSha256: sha256('[1]') };

function claimsWith(claim: Claim): MemoryClaims {
  const claims = new MemoryClaims();
  claims.put(claim);
  return claims;
}

/** A run of posts that take 10 s each, one after the other. */
const slowly = (id: Id) => ({ ...post(id), tookMs: 10_000 });
const oneByOne = { concurrency: 1, attemptTimeoutMs: 20_000 };
const long = { settings: oneByOne, time: { remainingMs: 900_000 } };

describe('a run', () => {
  test('claims its id side by side with the look for its document, before anything is fetched', async () => {
    const asked: string[] = [];
    const looked = Promise.withResolvers<void>();
    const claimed = Promise.withResolvers<void>();
    const store = new MemoryStore();
    const claims = new MemoryClaims();
    const { find } = store;
    const { write } = claims;
    store.find = async (runId) => {
      asked.push('look');
      await looked.promise;
      return find.call(store, runId);
    };
    claims.write = async (...args) => {
      asked.push('claim');
      await claimed.promise;
      return write.apply(claims, args);
    };
    const { running, origin, clock } = start(lesson, post, { store, claims });
    expect(asked.toSorted()).toStrictEqual(['claim', 'look']);
    looked.resolve();
    await quiet();
    expect(origin.requested).toStrictEqual([]);
    claimed.resolve();
    await clock.runUntil(running);
    expect(origin.requested).toStrictEqual([1, 99999, 3]);
  });

  test('leaves its claim as it was, and does not write it again once it is done', async () => {
    const claims = new MemoryClaims();
    await runOf(lesson, post, { claims });
    const now = new FakeClock().date();
    const run = { ...head, requestId: 'request-1', startedAt: now.toISOString() };
    expect([claims.claimOf('run-1'), claims.asked]).toStrictEqual([claimOf(run, 'running', now), ['write']]);
  });

  test('renews its claim each 15 s with how far it is', async () => {
    const claims = new MemoryClaims();
    const clock = new FakeClock();
    const told: unknown[] = [];
    const { replace } = watchClaims(claims, (claim) =>
      told.push([
        clock.now(),
        claim.beatAt,
        claim.until,
        claim.done,
        claim.fulfilled,
        claim.rejected,
        claim.perSecond,
        claim.etaSeconds,
      ]),
    );
    await runOf(
      requestFor({ ids: [1, 2, 3, 404, 5], runId: 'run-1' }),
      (id) => (id === 404 ? { ...notFound, tookMs: 10_000 } : slowly(id)),
      { claims, clock, ...long },
    );
    expect(replace()).toBe(3);
    expect(told).toStrictEqual([
      [0, '2026-11-23T06:00:00.000Z', '2026-11-23T06:01:00.000Z', null, null, null, null, null],
      [15_000, '2026-11-23T06:00:15.000Z', '2026-11-23T06:01:15.000Z', 1, 1, 0, 0.1, 40],
      [30_000, '2026-11-23T06:00:30.000Z', '2026-11-23T06:01:30.000Z', 2, 2, 0, 0.1, 30],
      [45_000, '2026-11-23T06:00:45.000Z', '2026-11-23T06:01:45.000Z', 4, 3, 1, 0.1, 10],
    ]);
  });

  test('of a part makes no claim, nor does its redrive', async () => {
    for (const runId of ['big.part-000001', 'big.part-000001.redrive-2']) {
      const claims = new MemoryClaims();
      const store = new MemoryStore();
      const request = { ...lesson, runId };
      const { run } = await runOf(request, post, { claims, store });
      expect(run.replayed).toBe(false);
      expect((await runOf(request, noFetch, { claims, store })).run.replayed).toBe(true);
      expect(claims.asked).toStrictEqual([]);
    }
  });

  test('that is stored is replayed, and its old claim stays', async () => {
    const claims = claimsWith(lapsed);
    const { run } = await runOf(lesson, noFetch, { claims, store: storeWith(earlierDocument()) });
    expect([run.replayed, claims.claimOf('run-1')]).toStrictEqual([true, lapsed]);
  });

  test('that is stored is replayed without its claim, which is not waited for', async () => {
    const claims = new MemoryClaims();
    claims.write = (_claim, _replaced, signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    const { run } = await runOf(lesson, noFetch, { claims, store: storeWith(earlierDocument()) });
    expect(run.replayed).toBe(true);
  });

  test('that is stored is replayed where no claim can be written', async () => {
    const claims = new MemoryClaims();
    claims.write = async () => {
      throw new StoreError('AccessDenied');
    };
    const { run } = await runOf(lesson, noFetch, { claims, store: storeWith(earlierDocument()) });
    expect(run.replayed).toBe(true);
  });

  test('is a failure of the store where its first claim cannot be written, and nothing is fetched', async () => {
    const claims = new MemoryClaims();
    const error = new StoreError('s3://results/runs/run-1.progress.json could not be written: AccessDenied');
    claims.write = async () => {
      throw error;
    };
    expect((await errorOf(lesson, noFetch, { claims })).error).toBe(error);
  });
});

/** Hears of each claim that is written; counts those in the place of another. */
function watchClaims(claims: MemoryClaims, onWrite: (claim: Claim) => void) {
  const { write } = claims;
  let replaced = 0;
  claims.write = async (claim, etag, signal) => {
    onWrite(claim);
    if (etag !== undefined) replaced += 1;
    return write.call(claims, claim, etag, signal);
  };
  return { replace: () => replaced };
}

describe('a run whose id is claimed', () => {
  test.each([
    ['running', running],
    ['accepted', accepted],
  ])('is in progress where the claim holds: one that is %s', async (_, claim) => {
    const claims = claimsWith(claim);
    const { error } = await errorOf(lesson, noFetch, { claims });
    expect(error).toStrictEqual(new RunInProgressError(claim, location, new FakeClock().date()));
    expect(error).toMatchObject({ claim, location, retryAfterSeconds: 15 });
    expect(claims.claimOf('run-1')).toStrictEqual(claim);
  });

  test.each([
    ['of other ids', otherIds],
    ['in another mode', { returnExceptions: false }],
  ])('is a conflict at once where the claim is that of a batch %s', async (what, more) => {
    for (const [isIdempotencyKey, expected] of [
      [false, new RunConflictError(`The runId run-1 names an earlier run ${what}`)],
      [true, new IdempotencyKeyReusedError(`The Idempotency-Key run-1 was used before for a batch ${what}`)],
    ] as const) {
      const claims = claimsWith({ ...running, ...more });
      const request: RunRequest = { ...lesson, isIdempotencyKey };
      expect((await errorOf(request, noFetch, { claims })).error).toStrictEqual(expected);
      expect(claims.claimOf('run-1')).toStrictEqual({ ...running, ...more });
    }
  });

  test.each<[string, Claim]>([
    ['has lapsed', lapsed],
    ['has lapsed, and was that of another batch', { ...lapsed, ...otherIds }],
    ['failed', failedOne],
    ['failed, and was that of another batch', { ...failedOne, ...otherIds }],
    ['is of an earlier try of the same request', { ...running, requestId: 'request-1' }],
    ['was accepted and is of the same request', { ...accepted, requestId: 'request-1' }],
  ])('takes it over where the claim %s', async (_, claim) => {
    const claims = claimsWith(claim);
    const { run } = await runOf(lesson, post, { claims });
    expect(run.replayed).toBe(false);
    expect(claims.claimOf('run-1')).toMatchObject({
      state: 'running',
      requestId: 'request-1',
      idsSha256: head.idsSha256,
      beatAt: '2026-11-23T06:00:00.000Z',
    });
    expect(claims.claimOf('run-1')).not.toHaveProperty('problem');
    expect(claims.asked).toStrictEqual(['write', 'read', 'replace']);
  });

  test('is replayed where the document has come in the meantime', async () => {
    const store = new MemoryStore();
    const claims = claimsWith(running);
    const { read } = claims;
    claims.read = async (runId) => {
      store.documents.set('run-1', earlierDocument());
      return read.call(claims, runId);
    };
    const { run } = await runOf(lesson, noFetch, { claims, store });
    expect(run.replayed).toBe(true);
  });

  test('is that of the first of two that take it over', async () => {
    const claims = claimsWith(lapsed);
    const { read } = claims;
    let reads = 0;
    claims.read = async (runId) => {
      const found = await read.call(claims, runId);
      if (++reads === 1) claims.put(running);
      return found;
    };
    expect((await errorOf(lesson, noFetch, { claims })).error).toStrictEqual(
      new RunInProgressError(running, location, new FakeClock().date()),
    );
  });

  test('is claimed anew where the claim has gone in the meantime', async () => {
    const claims = claimsWith(running);
    const { write } = claims;
    claims.write = async (...args) => {
      const etag = await write.apply(claims, args);
      claims.remove('run-1');
      return etag;
    };
    const { run } = await runOf(lesson, post, { claims });
    expect([run.replayed, claims.asked]).toStrictEqual([false, ['write', 'read', 'write']]);
  });

  test('is a failure of the store where the claim changes again and again', async () => {
    const claims = claimsWith(lapsed);
    const { read } = claims;
    claims.read = async (runId) => {
      const found = await read.call(claims, runId);
      claims.put(lapsed);
      return found;
    };
    expect((await errorOf(lesson, noFetch, { claims })).error).toStrictEqual(
      new StoreError('The run run-1 could not be claimed: its claim changed 3 times'),
    );
  });

  test('is a conflict where something else stands in the place of the claim', async () => {
    const claims = claimsWith(running);
    const conflict = new RunConflictError('What stands in the place of the progress of run-1 is none');
    claims.read = async () => {
      throw conflict;
    };
    expect((await errorOf(lesson, noFetch, { claims })).error).toBe(conflict);
  });
});

describe('of ten deliveries of one event at the same time', () => {
  test('one fetches the posts, and nine hear that the run is running', async () => {
    const claims = new MemoryClaims();
    const store = new MemoryStore();
    const clock = new FakeClock();
    const ids = { ids: [{ from: 1, to: 4_000 }], runId: 'run-1' };
    const deliveries = Array.from({ length: 10 }, (_, i) =>
      start(requestFor(ids, { requestId: `request-${i}` }), post, {
        claims,
        store,
        clock,
        settings: { concurrency: 50 },
      }),
    );
    const settled = await clock.runUntil(Promise.allSettled(deliveries.map(({ running }) => running)));
    expect(deliveries.reduce((sum, { origin }) => sum + origin.requested.length, 0)).toBe(4_000);
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const errors = settled.flatMap((it) => (it.status === 'rejected' ? [it.reason] : []));
    expect(errors.map(({ code }) => code)).toStrictEqual(Array(9).fill('RUN_IN_PROGRESS'));
    expect(clock.pending).toBe(0);
  });
});

describe('the end of a run that fails', () => {
  test('is in its claim, and the next delivery does the whole', async () => {
    const claims = new MemoryClaims();
    const request = requestFor({ ids: [1, 99999, 3], runId: 'run-1', returnExceptions: false });
    await errorOf(request, (id) => (id === 99999 ? { ...notFound, tookMs: 15_000 } : slowly(id)), {
      claims,
      ...long,
    });
    expect(claims.claimOf('run-1')).toMatchObject({
      state: 'failed',
      beatAt: '2026-11-23T06:00:25.000Z',
      until: '2026-11-23T06:00:25.000Z',
      etaSeconds: null,
      problem: {
        type: 'about:blank',
        title: 'Bad Gateway',
        status: 502,
        detail: 'No data for post 99999',
        code: 'NOT_FOUND',
        id: 99999,
      },
    });
    const again = { ...request, requestId: 'request-2' };
    const { run } = await runOf(again, post, { claims });
    expect(run.summary.fulfilled).toBe(3);
    expect(claims.claimOf('run-1')).toMatchObject({ state: 'running', requestId: 'request-2' });
  });

  test('tells nothing of what is wrong inside', async () => {
    const claims = new MemoryClaims();
    const store = new MemoryStore();
    store.write = async () => {
      throw new TypeError('secret');
    };
    await errorOf(lesson, post, { claims, store });
    expect(claims.claimOf('run-1')?.problem).toStrictEqual(
      problem(500, 'The function failed; its log says why', 'INTERNAL_ERROR'),
    );
  });

  test('is in a claim that was written before its document could not be looked for', async () => {
    const claims = new MemoryClaims();
    const store = new MemoryStore();
    const error = new StoreError(`${location} could not be read: SlowDown`);
    store.find = async () => {
      await quiet();
      throw error;
    };
    expect((await errorOf(lesson, noFetch, { claims, store })).error).toBe(error);
    expect(claims.claimOf('run-1')).toMatchObject({ state: 'failed', problem: { code: 'STORE_FAILED' } });
  });

  test('is in no claim of others', async () => {
    const claims = claimsWith(running);
    const store = new MemoryStore();
    store.find = async () => {
      throw new StoreError('SlowDown');
    };
    await errorOf(lesson, noFetch, { claims, store });
    expect(claims.claimOf('run-1')).toStrictEqual(running);
  });

  test('may not be told, where the claim cannot be written', async () => {
    const claims = new MemoryClaims();
    const store = new MemoryStore();
    store.write = async () => {
      claims.write = async () => {
        throw new StoreError('AccessDenied');
      };
      throw new StoreError('SlowDown');
    };
    expect((await errorOf(lesson, post, { claims, store })).error).toStrictEqual(new StoreError('SlowDown'));
  });
});

describe('a run that is taken over', () => {
  const other: Claim = { ...running, requestId: 'request-2', until: '2026-11-23T06:05:00.000Z' };

  test('stops at its next renewal: nothing of it goes on, and it writes no document', async () => {
    const claims = new MemoryClaims();
    const store = new MemoryStore();
    const clock = new FakeClock();
    const heard: unknown[] = [];
    const observer = {
      ...silentObserver,
      runInProgress: ({ id }: RunHead, claim: Claim) => heard.push(['in progress', id, claim]),
      runFailed: () => heard.push('failed'),
    };
    const { running, origin } = start(requestFor({ ids: [1, 2, 3], runId: 'run-1' }), slowly, {
      claims,
      store,
      clock,
      observer,
      ...long,
    });
    clock.after(12_000, () => claims.put(other));
    const [settled] = await clock.runUntil(Promise.allSettled([running]));
    expect(settled).toStrictEqual({
      status: 'rejected',
      reason: new RunInProgressError(other, location, clock.date()),
    });
    expect([clock.now(), clock.pending, origin.inFlight, origin.requested]).toStrictEqual([
      15_000,
      0,
      0,
      [1, 2],
    ]);
    expect([store.documents.size, claims.claimOf('run-1'), heard]).toStrictEqual([
      0,
      other,
      [['in progress', 'run-1', other]],
    ]);
  });

  test('by another delivery of its own request stops as well', async () => {
    const claims = new MemoryClaims();
    const clock = new FakeClock();
    const { running } = start(lesson, slowly, { claims, clock, ...long });
    clock.after(12_000, () => {
      const claim = claims.claimOf('run-1');
      if (claim)
        claims.put({ ...claim, startedAt: '2026-11-23T06:00:12.000Z', beatAt: '2026-11-23T06:00:12.000Z' });
    });
    const [settled] = await clock.runUntil(Promise.allSettled([running]));
    expect(settled).toMatchObject({ status: 'rejected', reason: { code: 'RUN_IN_PROGRESS' } });
  });

  test('while it fails leaves the claim to the other', async () => {
    const claims = new MemoryClaims();
    const request = requestFor({ ids: [99999], runId: 'run-1', returnExceptions: false });
    const { error } = await errorOf(
      request,
      () => {
        claims.put(other);
        return notFound;
      },
      { claims },
    );
    expect([error, claims.claimOf('run-1')]).toMatchObject([{ code: 'NOT_FOUND' }, other]);
  });
});

describe('a renewal', () => {
  async function runWith(
    onRenewal: (
      renewal: number,
      claims: MemoryClaims,
      write: MemoryClaims['write'],
      args: Parameters<MemoryClaims['write']>,
    ) => Promise<string | undefined>,
  ) {
    const claims = new MemoryClaims();
    const clock = new FakeClock();
    const write = claims.write.bind(claims);
    const beats: string[] = [];
    let renewals = 0;
    claims.write = async (...args) => {
      if (clock.now() === 0) return write(...args);
      beats.push(args[0].beatAt.slice(14, 19));
      return onRenewal(++renewals, claims, write, args);
    };
    const ended = await runOf(requestFor({ ids: [1, 2, 3, 4, 5], runId: 'run-1' }), slowly, {
      claims,
      clock,
      ...long,
    });
    return { ...ended, beats, claim: claims.claimOf('run-1') };
  }

  test('that fails is passed over', async () => {
    const { run, beats, claim } = await runWith(async (renewal, _, write, args) => {
      if (renewal < 3) throw new StoreError('AccessDenied');
      return write(...args);
    });
    expect([run.summary.fulfilled, beats, claim?.done]).toStrictEqual([5, ['00:15', '00:30', '00:45'], 4]);
  });

  test('that hangs is given up when the next one is due', async () => {
    const { run, beats, claim } = await runWith((renewal, _, write, args) => {
      const [, , signal] = args;
      if (renewal > 1) return write(...args);
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    });
    expect([run.summary.fulfilled, beats, claim?.done]).toStrictEqual([5, ['00:15', '00:30', '00:45'], 4]);
  });

  test('whose answer was lost is no take-over', async () => {
    const { run, beats, claim } = await runWith(async (renewal, _, write, args) => {
      const etag = await write(...args);
      return renewal === 1 ? undefined : etag;
    });
    // The first is written again, in the place of itself.
    expect([run.summary.fulfilled, beats, claim?.done]).toStrictEqual([
      5,
      ['00:15', '00:15', '00:30', '00:45'],
      4,
    ]);
  });

  test('whose answer was lost while it was given up is no take-over', async () => {
    const { run, claim } = await runWith(async (renewal, _, write, args) => {
      const etag = await write(...args);
      if (renewal === 1) throw new StoreError('S3 did not answer in time');
      return etag;
    });
    expect([run.summary.fulfilled, claim?.done]).toStrictEqual([5, 4]);
  });

  test('writes a claim anew that has gone', async () => {
    const { run, claim } = await runWith(async (renewal, claims, write, args) => {
      if (renewal === 1) claims.remove('run-1');
      return write(...args);
    });
    expect([run.summary.fulfilled, claim?.done]).toStrictEqual([5, 4]);
  });

  test('that others keep from writing a claim anew is passed over', async () => {
    const { run, beats } = await runWith(async (_, claims) => {
      claims.remove('run-1');
      return undefined;
    });
    expect([run.summary.fulfilled, beats]).toStrictEqual([
      5,
      ['00:15', '00:15', '00:30', '00:30', '00:45', '00:45'],
    ]);
  });

  test('that S3 refuses for no reason is a take-over', async () => {
    await expect(runWith(async () => undefined)).rejects.toMatchObject({ code: 'RUN_IN_PROGRESS' });
  });

  test('that is on its way when the run ends is given up', async () => {
    const claims = new MemoryClaims();
    const clock = new FakeClock();
    const write = claims.write.bind(claims);
    claims.write = (...args) => {
      const [, , signal] = args;
      if (clock.now() === 0) return write(...args);
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    };
    const { run } = await runOf(requestFor({ ids: [1, 2], runId: 'run-1' }), slowly, {
      claims,
      clock,
      ...long,
    });
    expect([run.summary.fulfilled, clock.now()]).toStrictEqual([2, 20_000]);
  });
});

describe('an id that is accepted', () => {
  const clock = new FakeClock();
  const never = new AbortController().signal;
  const acquire = (claims: MemoryClaims, more: object) =>
    acquireClaim(
      { ...head, requestId: 'request-2' },
      { state: 'running', findStored: async () => undefined, requireSame: () => {}, ...more },
      { claims, clock, store: new MemoryStore() },
      never,
    );

  test('is claimed so', async () => {
    const claims = new MemoryClaims();
    await acquire(claims, { state: 'accepted' });
    expect(claims.claimOf('run-1')).toStrictEqual({
      ...claimOf(head, 'accepted', clock.date()),
      requestId: 'request-2',
    });
  });

  test.each([
    ['in time', accepted],
    ['after it has lapsed', { ...accepted, until: '2026-11-23T05:00:00.000Z' }],
  ])('is taken over by the run that was handed over, %s', async (_, claim) => {
    const claims = claimsWith(claim);
    await acquire(claims, { isHandedOver: true });
    expect(claims.claimOf('run-1')).toMatchObject({ state: 'running', requestId: 'request-2' });
  });

  test.each([
    ['another run', accepted, false],
    ['the run that was handed over twice', running, true],
  ])('is not by %s', async (_, claim, isHandedOver) => {
    const acquiring = acquire(claimsWith(claim), { isHandedOver });
    await expect(acquiring).rejects.toStrictEqual(new RunInProgressError(claim, location, clock.date()));
  });
});
