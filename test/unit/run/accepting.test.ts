import { describe, expect, test } from 'vitest';
import {
  BadInputError,
  ConfigUnavailableError,
  HandoverError,
  RunConflictError,
  StoreError,
} from '../../../src/base/errors.ts';
import { claimOf, failed } from '../../../src/document/claim.ts';
import { problem, problemOf } from '../../../src/document/problem.ts';
import { endAcceptedClaim } from '../../../src/run/end-claim.ts';
import { acceptBatch, type RunRequest } from '../../../src/run/run-batch.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryClaims } from '../../support/memory-claims.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { post } from '../../support/scripted-origin.ts';
import {
  earlierDocument,
  earlierRun,
  errorOf,
  lesson,
  noFetch,
  requestFor,
  runOf,
  settings,
  storeWith,
} from './world.ts';

const now = new FakeClock().date();
const accepted = claimOf(
  { ...earlierRun, requestId: 'api-1', startedAt: now.toISOString() },
  'accepted',
  now,
);
const forApi: RunRequest = { ...lesson, trigger: 'api', requestId: 'api-1' };

interface World {
  readonly claims?: MemoryClaims;
  readonly store?: MemoryStore;
  readonly clock?: FakeClock;
}

/** Accepts a run, and counts how often it is handed over. */
async function accept(
  request: RunRequest,
  { claims = new MemoryClaims(), store = new MemoryStore(), clock = new FakeClock() }: World = {},
  handOver = async (_signal: AbortSignal): Promise<void> => {},
) {
  let times = 0;
  const [settled] = await clock.runUntil(
    Promise.allSettled([
      acceptBatch(
        request,
        (signal) => {
          times += 1;
          return handOver(signal);
        },
        settings,
        { claims, store, clock },
        { remainingMs: 10_000 },
      ),
    ]),
  );
  expect(clock.pending).toBe(0);
  return { settled, times, claims };
}

function claimsWith(claim: typeof accepted): MemoryClaims {
  const claims = new MemoryClaims();
  claims.put(claim);
  return claims;
}

describe('a run that is accepted', () => {
  test('is claimed before it is handed over', async () => {
    const claims = new MemoryClaims();
    const { settled, times } = await accept(forApi, { claims }, async () => {
      expect(claims.claimOf('run-1')).toStrictEqual(accepted);
    });
    expect([settled, times]).toStrictEqual([{ status: 'fulfilled', value: true }, 1]);
    expect(claims.claimOf('run-1')).toStrictEqual(accepted);
  });

  test.each([
    ['accepted', { claims: claimsWith(accepted) }],
    ['running', { claims: claimsWith({ ...accepted, state: 'running' }) }],
    ['stored', { store: storeWith(earlierDocument()) }],
  ])('is not handed over again where it is %s', async (_, world) => {
    const { settled, times } = await accept(forApi, world);
    expect([settled, times]).toStrictEqual([{ status: 'fulfilled', value: false }, 0]);
  });

  test('is handed over once by ten requests at the same time', async () => {
    const world = { claims: new MemoryClaims(), store: new MemoryStore(), clock: new FakeClock() };
    const requests = Array.from({ length: 10 }, (_, i) =>
      accept({ ...forApi, requestId: `api-${i}` }, world),
    );
    const all = await Promise.all(requests);
    expect(all.map(({ times }) => times).toSorted()).toStrictEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
  });

  test.each([
    ['of other ids', { ids: [1], runId: 'run-1' }],
    ['in another mode', { ids: [1, 99999, 3], runId: 'run-1', returnExceptions: false }],
  ])('is a conflict under the id of one %s', async (what, form) => {
    const { settled, times } = await accept(
      { ...requestFor(form), trigger: 'api' },
      { claims: claimsWith(accepted) },
    );
    expect([settled, times]).toStrictEqual([
      { status: 'rejected', reason: new RunConflictError(`The runId run-1 names an earlier run ${what}`) },
      0,
    ]);
  });

  test('fails with what the handing over fails with, and its claim says so', async () => {
    const error = new HandoverError('refused');
    const { settled, claims } = await accept(forApi, {}, async () => {
      throw error;
    });
    expect(settled).toStrictEqual({ status: 'rejected', reason: error });
    expect(claims.claimOf('run-1')).toStrictEqual(
      failed(accepted, problem(503, 'refused', 'HANDOVER_FAILED'), now),
    );
  });

  test('is given up where it cannot be handed over in time, and its claim says so', async () => {
    const { settled, claims } = await accept(
      forApi,
      {},
      (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    );
    const reason = new StoreError("run-1 could not be accepted before the function's time ran out");
    expect(settled).toStrictEqual({ status: 'rejected', reason });
    expect(claims.claimOf('run-1')).toMatchObject({ state: 'failed', problem: problemOf(reason) });
  });
});

describe('the run that was handed over', () => {
  const handedOver: RunRequest = { ...forApi, requestId: 'async-1', isHandedOver: true };

  test('takes its claim over, however late it comes', async () => {
    for (const until of [accepted.until, '2026-11-23T05:00:00.000Z']) {
      const claims = claimsWith({ ...accepted, until });
      const { run } = await runOf(handedOver, post, { claims });
      expect(run.run).toMatchObject({ trigger: 'api', requestId: 'async-1' });
      expect(claims.claimOf('run-1')).toMatchObject({ state: 'running', requestId: 'async-1' });
    }
  });

  test('leaves the claim of another batch, which was accepted later under its id', async () => {
    const other = { ...accepted, idsSha256: 'b'.repeat(64) };
    const claims = claimsWith(other);
    const { error } = await errorOf(handedOver, noFetch, { claims });
    expect(error).toStrictEqual(new RunConflictError('The runId run-1 names an earlier run of other ids'));
    expect(claims.claimOf('run-1')).toStrictEqual(other);
  });

  test('delivered twice at the same time is done once', async () => {
    const claims = claimsWith({ ...accepted, state: 'running', requestId: 'async-0' });
    expect((await errorOf(handedOver, noFetch, { claims })).error).toMatchObject({ code: 'RUN_IN_PROGRESS' });
  });
});

describe('a run that fails before it has a claim of its own', () => {
  const end = async (claims: MemoryClaims, error: unknown) => {
    await endAcceptedClaim('run-1', error, { claims, store: new MemoryStore(), clock: new FakeClock() });
    return claims.claimOf('run-1');
  };

  test('for good ends the claim with which it was accepted', async () => {
    const error = new BadInputError('no such manifest');
    expect(await end(claimsWith(accepted), error)).toStrictEqual(failed(accepted, problemOf(error), now));
  });

  test.each([
    new StoreError('SlowDown'),
    new ConfigUnavailableError('Throttled'),
    new TypeError('a bug'),
    'no error',
  ])('by %o leaves the claim to the next try', async (error) => {
    expect(await end(claimsWith(accepted), error)).toStrictEqual(accepted);
  });

  test('ends no claim of a run that somebody has begun, and none that is not there', async () => {
    const running = { ...accepted, state: 'running' as const };
    expect(await end(claimsWith(running), new BadInputError(''))).toStrictEqual(running);
    expect(await end(new MemoryClaims(), new BadInputError(''))).toBeUndefined();
  });
});
