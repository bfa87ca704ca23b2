import { describe, expect, test } from 'vitest';
import { RunConflictError } from '../../../src/base/errors.ts';
import type { Id } from '../../../src/batch/ids.ts';
import { type Claim, RunInProgressError } from '../../../src/document/claim.ts';
import { redriveBatch } from '../../../src/run/redrive.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { quiet } from '../../support/manual-mapper.ts';
import { MemoryClaims } from '../../support/memory-claims.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { silentObserver } from '../../support/observer.ts';
import {
  answer,
  notFound,
  originOf,
  post,
  ScriptedOrigin,
  type Step,
} from '../../support/scripted-origin.ts';
import { noFetch, requestFor, runOf, settings } from './world.ts';

/** A run of which posts 2 and 4 are worth another try, and 5 is not there. */
async function firstRun(): Promise<MemoryStore> {
  const store = new MemoryStore();
  const flaky = (id: Id): Step => {
    if (id === 2 || id === 4) return answer('', 500);
    return id === 5 ? notFound : post(id);
  };
  await runOf(requestFor({ ids: [1, 2, 3, 4, 5, 6], runId: 'run-1' }), flaky, {
    store,
    settings: { maxAttempts: 1 },
  });
  return store;
}

function redrive(
  store: MemoryStore,
  claims: MemoryClaims,
  script: (id: Id) => Step,
  clock = new FakeClock(),
) {
  const origin = new ScriptedOrigin(clock, script);
  const running = redriveBatch(
    { trigger: 'direct', requestId: 'request-2', sourceRunId: 'run-1' },
    { ...settings, concurrency: 1, maxAttempts: 1, attemptTimeoutMs: 60_000, maxIds: 100 },
    {
      store,
      claims,
      clock,
      origin: originOf(origin.requestPost),
      random: () => 0,
      observer: silentObserver,
      newWriter: () => 'writer',
    },
    { remainingMs: 900_000 },
  );
  return { origin, clock, settled: clock.runUntil(Promise.allSettled([running])) };
}

describe('a redrive', () => {
  test('claims its own id, and counts what stands and what it fetches', async () => {
    const store = await firstRun();
    const claims = new MemoryClaims();
    const { settled } = redrive(store, claims, (id) => ({ ...post(id), tookMs: 16_000 }));
    const [ended] = await settled;
    expect(ended).toMatchObject({
      status: 'fulfilled',
      value: { runId: 'run-1.redrive-1', replayed: false },
    });
    expect(claims.claimOf('run-1.redrive-1')).toMatchObject({
      state: 'running',
      requestId: 'request-2',
      beatAt: '2026-11-23T06:00:30.000Z',
      requested: 6,
      done: 5,
      fulfilled: 4,
      rejected: 1,
      perSecond: 0.0625,
      etaSeconds: 16,
    });
    expect(claims.claimOf('run-1')).toBeUndefined();
  });

  test('of two at the same time fetches nothing where it comes second', async () => {
    const store = await firstRun();
    const claims = new MemoryClaims();
    const first = redrive(store, claims, (id) => ({ ...post(id), tookMs: 20_000 }));
    await quiet();
    const claim = claims.claimOf('run-1.redrive-1') ?? expect.fail('There is no claim');
    const other = { ...claim, requestId: 'request-3' };
    claims.put(other);
    const [second] = await redrive(store, claims, noFetch).settled;
    expect(second).toStrictEqual({
      status: 'rejected',
      reason: new RunInProgressError(other, 's3://results/runs/run-1.redrive-1.json', new FakeClock().date()),
    });
    // Its claim is that of another now.
    expect(await first.settled).toMatchObject([{ status: 'rejected', reason: { code: 'RUN_IN_PROGRESS' } }]);
  });

  test('is a conflict where its id is claimed for other ids', async () => {
    const store = await firstRun();
    const claims = new MemoryClaims();
    await redrive(store, claims, post).settled;
    const claim = claims.claimOf('run-1.redrive-1') ?? expect.fail('There is no claim');
    store.documents.delete('run-1.redrive-1');
    claims.put({ ...claim, requestId: 'request-3', idsSha256: 'b'.repeat(64) } satisfies Claim);
    expect(await redrive(store, claims, noFetch).settled).toStrictEqual([
      {
        status: 'rejected',
        reason: new RunConflictError('The runId run-1.redrive-1 names a run that is no redrive of run-1'),
      },
    ]);
  });
});
