import { describe, expect, test } from 'vitest';
import { StoreError } from '../../../src/base/errors.ts';
import type { Id } from '../../../src/batch/ids.ts';
import type { RequestPost } from '../../../src/fetch/origin/attempt.ts';
import { PostError } from '../../../src/fetch/outcome.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { quiet, watch } from '../../support/manual-mapper.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { plainReport } from '../../support/plain-traffic.ts';
import { documentFaults } from '../../support/schemas.ts';
import { answer, notFound, post, type Step } from '../../support/scripted-origin.ts';

import {
  earlierDocument,
  errorOf,
  lesson,
  noFetch,
  requestFor,
  runOf,
  startWith,
  storeWith,
} from './world.ts';

describe('the deadline', () => {
  const outOfTime = (id: Id) => ({
    code: 'DEADLINE',
    message: `The function's time ran out before post ${id} was fetched`,
    retryable: true,
  });

  test('makes DEADLINE outcomes of what is in flight, backing off or queued, and the document is whole', async () => {
    const store = new MemoryStore();
    const { run, clock } = await runOf(
      requestFor({ ids: [1, 2, 3, 4, 5], runId: 'run-1' }),
      (id, index) => {
        if (id === 2) return { ...post(2), tookMs: 60_000 };
        if (id === 3) return { ...answer('', 500), tookMs: index < 3 ? 10 : 3_000 };
        return { ...post(id), tookMs: 6_999 };
      },
      { store, settings: { concurrency: 3, attemptTimeoutMs: 20_000 }, time: { remainingMs: 10_000 } },
    );
    const document = JSON.parse(store.documents.get('run-1') ?? '');
    expect(document.results).toStrictEqual([
      {
        index: 0,
        id: 1,
        status: 'fulfilled',
        httpStatus: 200,
        attempts: 1,
        startedMs: 0,
        durationMs: 6_999,
        waitedMs: 0,
        value: { id: 1 },
      },
      {
        index: 1,
        id: 2,
        status: 'rejected',
        httpStatus: null,
        attempts: 1,
        startedMs: 0,
        durationMs: 7_000,
        waitedMs: 0,
        reason: outOfTime(2),
      },
      {
        index: 2,
        id: 3,
        status: 'rejected',
        httpStatus: null,
        attempts: 4,
        startedMs: 0,
        durationMs: 7_000,
        waitedMs: 0,
        reason: outOfTime(3),
      },
      {
        index: 3,
        id: 4,
        status: 'rejected',
        httpStatus: null,
        attempts: 1,
        startedMs: 6_999,
        durationMs: 1,
        waitedMs: 0,
        reason: outOfTime(4),
      },
      {
        index: 4,
        id: 5,
        status: 'rejected',
        httpStatus: null,
        attempts: 0,
        startedMs: null,
        durationMs: null,
        waitedMs: null,
        reason: outOfTime(5),
      },
    ]);
    const { errors, summary } = document;
    expect(errors).toStrictEqual({
      total: 4,
      byCode: { DEADLINE: 4 },
      first: [2, 3, 4, 5].map((id) => ({
        index: id - 1,
        id,
        code: 'DEADLINE',
        message: outOfTime(id).message,
      })),
      retryableIds: [2, 3, 4, 5],
    });
    expect(summary).toStrictEqual({
      finishedAt: '2026-11-23T06:00:07.000Z',
      durationMs: 7_000,
      requested: 5,
      fulfilled: 1,
      rejected: 4,
      attempts: 7,
      complete: false,
      // The median is 6,999: quantiles are within 0.1 %.
      latencyMs: { p50: 7_000, p90: 7_000, p99: 7_000, max: 7_000 },
      ...plainReport(3, 3, 102),
      retries: 3,
    });
    expect([run.errors, run.summary]).toStrictEqual([errors, summary]);
    expect(clock.now()).toBe(7_000);
  });

  test('that has passed when the run starts leaves a document of DEADLINE outcomes, and fetches nothing', async () => {
    const store = new MemoryStore();
    const { run } = await runOf(requestFor({ ids: [{ from: 1, to: 20_000 }] }), noFetch, {
      store,
      time: { remainingMs: 3_000 },
    });
    const { results } = JSON.parse(store.documents.get('request-1') ?? '');
    expect(results).toStrictEqual(
      Array.from({ length: 20_000 }, (_, index) => ({
        index,
        id: index + 1,
        status: 'rejected',
        httpStatus: null,
        attempts: 0,
        startedMs: null,
        durationMs: null,
        waitedMs: null,
        reason: outOfTime(index + 1),
      })),
    );
    expect(run.summary).toMatchObject({ attempts: 0, rejected: 20_000, complete: false });
  });

  test('counts from the start of the run, the look for an earlier document included', async () => {
    const clock = new FakeClock();
    const store = new MemoryStore();
    store.find = async () => {
      clock.advance(6_000);
      return undefined;
    };
    const { run } = await runOf(lesson, (id) => ({ ...post(id), tookMs: id === 1 ? 999 : 1_001 }), {
      store,
      clock,
      time: { remainingMs: 10_000 },
    });
    expect(run.errors.byCode).toStrictEqual({ DEADLINE: 2 });
    expect(run.summary).toMatchObject({ durationMs: 7_000, fulfilled: 1 });
  });

  test('is the failure, in fail-fast mode', async () => {
    const request = requestFor({ ids: [1, 2], returnExceptions: false });
    const { error } = await errorOf(request, (id) => ({ ...post(id), tookMs: id === 1 ? 10 : 60_000 }), {
      settings: { attemptTimeoutMs: 60_000 },
    });
    expect(error).toMatchObject({ id: 2, reason: outOfTime(2) });
  });
});

describe('an origin', () => {
  const told = (retryAfter: string, status = 429): Step => ({ ...answer('', status), retryAfter }) as Step;
  const notAskedFor = (id: Id) => ({
    code: 'RATE_LIMITED',
    message: `Post ${id} was not asked for: the origin wants a longer wait than there is time`,
    retryable: true,
  });

  test('that wants a wait past the deadline ends the run at once; the posts in flight finish', async () => {
    const store = new MemoryStore();
    const { run, origin, clock } = await runOf(
      requestFor({ ids: [1, 2, 3, 4], runId: 'run-1' }),
      (id) => (id === 1 ? told('3600') : { ...post(id), tookMs: 500 }),
      { store, settings: { concurrency: 2 }, time: { remainingMs: 60_000 } },
    );
    const document = JSON.parse(store.documents.get('run-1') ?? '');
    expect(documentFaults(document)).toStrictEqual([]);
    expect(document.results).toMatchObject([
      { id: 1, httpStatus: 429, attempts: 1, reason: { code: 'RATE_LIMITED' } },
      { id: 2, status: 'fulfilled' },
      {
        id: 3,
        httpStatus: null,
        attempts: 0,
        startedMs: null,
        durationMs: null,
        waitedMs: null,
        reason: notAskedFor(3),
      },
      {
        id: 4,
        httpStatus: null,
        attempts: 0,
        startedMs: null,
        durationMs: null,
        waitedMs: null,
        reason: notAskedFor(4),
      },
    ]);
    expect(origin.requested).toStrictEqual([1, 2]);
    expect(clock.now()).toBe(500);
    expect(run.errors.retryableIds).toStrictEqual([1, 3, 4]);
    // The pause is told of as far as the run went on.
    const pauses = [{ startedMs: 10, durationMs: 490 }];
    expect(run.summary).toMatchObject({ complete: false, attempts: 2, retries: 0, pauses });
  });

  test('that answers with a used-up quota is left alone until it is given again', async () => {
    const rateLimit = { ratelimit: '"default";r=0;t=5' };
    const startedMs: number[] = [];
    const clock = new FakeClock();
    const { run } = await runOf(
      requestFor({ ids: [1, 2, 3] }),
      (id) => {
        startedMs.push(clock.now());
        return id === 1 ? ({ ...post(id), rateLimit } as Step) : post(id);
      },
      { clock, settings: { concurrency: 1 } },
    );
    // One at a time, as one is the limit: in a second.
    expect(startedMs).toStrictEqual([0, 5_010, 6_010]);
    expect(run.summary).toMatchObject({ fulfilled: 3, attempts: 3, throttledMs: 5_990 });
    expect(run.summary.pauses).toStrictEqual([{ startedMs: 10, durationMs: 5_000 }]);
  });

  test('that fails for every post is asked little more than once for each', async () => {
    const { run, origin } = await runOf(requestFor({ ids: [{ from: 1, to: 100 }] }), () => answer('', 500), {
      settings: { retryBudgetPercent: 20 },
    });
    expect(origin.requested).toHaveLength(130);
    expect(run.summary).toMatchObject({ rejected: 100, attempts: 130, retries: 30, retryBudgetLeft: 0 });
    expect(run.errors.byCode).toStrictEqual({ HTTP_ERROR: 100 });
  });

  test('that cannot be reached is not asked for the rest, but for a probe a second', async () => {
    const store = new MemoryStore();
    const refused: Step = { kind: 'failed', code: 'ECONNREFUSED', isReachable: false, tookMs: 100 };
    const { run, origin } = await runOf(
      requestFor({ ids: [{ from: 1, to: 1_000 }], runId: 'run-1' }),
      () => refused,
      { store, settings: { retryBudgetPercent: 0, maxAttempts: 1 } },
    );
    expect(origin.requested).toHaveLength(20);
    const { results } = JSON.parse(store.documents.get('run-1') ?? '');
    expect(results[20]).toStrictEqual({
      index: 20,
      id: 21,
      status: 'rejected',
      httpStatus: null,
      attempts: 0,
      startedMs: null,
      durationMs: null,
      waitedMs: null,
      reason: {
        code: 'NETWORK',
        message: 'Post 21 was not asked for: the origin cannot be reached',
        retryable: true,
        cause: 'CIRCUIT_OPEN',
      },
    });
    expect(run.errors.byCode).toStrictEqual({ NETWORK: 1_000 });
    expect(run.summary).toMatchObject({ attempts: 20, complete: true });
  });
});

describe('without returnExceptions', () => {
  const failFast = requestFor({ ids: [1, 2, 3, 4, 5, 6], runId: 'run-1', returnExceptions: false });

  test('a batch without failures is stored and replayed as any other', async () => {
    const store = new MemoryStore();
    const { run } = await runOf(failFast, post, { store });
    expect([run.run.returnExceptions, run.summary.fulfilled]).toStrictEqual([false, 6]);
    expect((await runOf(failFast, noFetch, { store })).run).toStrictEqual({ ...run, replayed: true });
  });

  test('the first failure in time ends the run: the others are aborted, nothing is stored', async () => {
    const store = new MemoryStore();
    const { error, origin, clock } = await errorOf(
      failFast,
      (id) => {
        if (id === 2) return { ...notFound, tookMs: 50 };
        if (id === 3) return { ...answer('', 410), tookMs: 20 };
        // The fifth backs off at that time, the sixth is queued.
        return id === 5 ? { ...answer('', 500), tookMs: 20 } : { ...post(id), tookMs: 1_000 };
      },
      { store },
    );
    expect(error).toBeInstanceOf(PostError);
    expect(error).toMatchObject({
      id: 3,
      reason: { code: 'NOT_FOUND', message: 'No data for post 3', retryable: false },
      record: { httpStatus: 410, attempts: 1, startedMs: 0, durationMs: 20, waitedMs: 0 },
    });
    expect(clock.now()).toBe(20);
    expect(origin.requested).toStrictEqual([1, 2, 3, 4, 5]);
    expect(store.documents.size).toBe(0);
  });

  test('it rejects once the others have settled, with the error of the post itself', async () => {
    const cleanedUp = Promise.withResolvers<void>();
    let aborted = false;
    const requestPost: RequestPost = async (id, _timeoutMs, signal) => {
      if (id === 3) return { kind: 'failed', code: 'ECONNRESET' };
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      aborted = true;
      await cleanedUp.promise;
      throw signal.reason;
    };
    const store = new MemoryStore();
    const { running, clock } = startWith(failFast, requestPost, { store, settings: { maxAttempts: 1 } });
    const state = watch(running);
    await quiet();
    expect([aborted, state.settled]).toStrictEqual([true, false]);
    cleanedUp.resolve();
    const error = await running.catch((reason: unknown) => reason);
    expect(error).toMatchObject({ name: 'PostError', id: 3, code: 'NETWORK' });
    expect([clock.pending, store.documents.size]).toStrictEqual([0, 0]);
  });
});

test.each([
  ['true', true],
  ['false', false],
])(
  'a rejection that is no post’s failure ends the run, with returnExceptions %s',
  async (_, returnExceptions) => {
    const thrown = new TypeError('a bug');
    const store = new MemoryStore();
    const { error, origin } = await errorOf(
      requestFor({ ids: [{ from: 1, to: 1_000 }], returnExceptions }),
      (id) => {
        if (id === 3) throw thrown;
        return post(id);
      },
      { store },
    );
    expect(error).toBe(thrown);
    expect(store.documents.size).toBe(0);
    expect(origin.requested.length).toBeLessThan(20);
  },
);

test.each([
  ['true', true],
  ['false', false],
])(
  'such a rejection ends the posts in flight, which would take longer, with returnExceptions %s',
  async (_, returnExceptions) => {
    const thrown = new TypeError('a bug');
    const reasons: unknown[] = [];
    const requestPost: RequestPost = async (id, _timeoutMs, signal) => {
      if (id === 1) throw thrown;
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      reasons.push(signal.reason);
      throw signal.reason;
    };
    const { running, clock } = startWith(requestFor({ ids: [1, 2, 3], returnExceptions }), requestPost);
    expect(await running.catch((error: unknown) => error)).toBe(thrown);
    expect([reasons.length, clock.now(), clock.pending]).toStrictEqual([2, 0, 0]);
  },
);

describe('the end of the function’s time', () => {
  const givenUp = new StoreError(
    "s3://results/runs/run-1.json could not be written before the function's time ran out",
  );
  const untilAborted = (signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });

  test('writing gives up 250 ms before it', async () => {
    const store = new MemoryStore();
    store.write = (_runId, _chunks, signal) => untilAborted(signal);
    const { error, clock } = await errorOf(lesson, post, { store, time: { remainingMs: 10_000 } });
    expect(error).toStrictEqual(givenUp);
    expect(clock.now()).toBe(9_750);
  });

  test('so does the look for an earlier document', async () => {
    const store = storeWith(earlierDocument());
    store.find = (_runId: string, signal?: AbortSignal) => untilAborted(signal ?? expect.fail('No signal'));
    const { error, clock } = await errorOf(lesson, noFetch, { store, time: { remainingMs: 10_000 } });
    expect(error).toStrictEqual(givenUp);
    expect(clock.now()).toBe(9_750);
  });

  test('so does the look for the document that came in between', async () => {
    const store = new MemoryStore();
    let looks = 0;
    store.find = async (_runId: string, signal?: AbortSignal) =>
      looks++ === 0 ? undefined : untilAborted(signal ?? expect.fail('No signal'));
    store.write = async () => false;
    const { error, clock } = await errorOf(lesson, post, { store, time: { remainingMs: 10_000 } });
    expect(error).toStrictEqual(givenUp);
    expect(clock.now()).toBe(9_750);
  });

  test('a look that took all of it is followed by nothing', async () => {
    const clock = new FakeClock();
    const store = new MemoryStore();
    store.find = async () => {
      clock.advance(9_800);
      return undefined;
    };
    const { error } = await errorOf(lesson, noFetch, { store, clock, time: { remainingMs: 10_000 } });
    expect(error).toStrictEqual(givenUp);
    expect(store.asked).toStrictEqual([]);
  });
});

test('a store that cannot be read ends the run before anything is fetched', async () => {
  const store = new MemoryStore();
  const thrown = new StoreError('s3://results/runs/run-1.json could not be read: AccessDenied');
  store.find = () => Promise.reject(thrown);
  expect((await errorOf(lesson, noFetch, { store })).error).toBe(thrown);
});

describe('a store that fails before the outcomes have come', () => {
  const thrown = new StoreError('s3://results/runs/run-1.json could not be written: AccessDenied');
  /** Asks for the first chunk, which starts the fetching, and does not wait for it. */
  const refuse = async (chunks: AsyncIterable<Buffer>): Promise<never> => {
    chunks[Symbol.asyncIterator]()
      .next()
      .catch(() => {});
    await quiet();
    throw thrown;
  };

  test.each(['json', 'ndjson', 'ndjson.gz'] as const)(
    'ends the posts in flight, and the run ends once they have settled (%s)',
    async (output) => {
      const cleanedUp = Promise.withResolvers<void>();
      const ended: Id[] = [];
      const requestPost: RequestPost = async (id, _timeoutMs, signal) => {
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
        await cleanedUp.promise;
        ended.push(id);
        throw signal.reason;
      };
      const store = new MemoryStore();
      store.write = (_runId, chunks) => refuse(chunks);
      store.writeOutcomes = (_runId, _format, _unfinished, _writer, chunks) => refuse(chunks);
      const { running, clock } = startWith(requestFor({ ids: [1, 2, 3], runId: 'run-1' }), requestPost, {
        store,
        settings: { output },
      });
      const state = watch(running);
      await quiet();
      await quiet();
      expect([state.settled, ended]).toStrictEqual([false, []]);
      cleanedUp.resolve();
      await expect(running).rejects.toBe(thrown);
      expect([ended, clock.pending]).toStrictEqual([[1, 2, 3], 0]);
    },
  );
});
