import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { IdempotencyKeyReusedError, RunConflictError, StoreError } from '../../../src/base/errors.ts';
import type { Id } from '../../../src/batch/ids.ts';
import { ValueSpool } from '../../../src/fetch/value-spool.ts';
import type { RunObserver } from '../../../src/run/observer.ts';
import type { Run } from '../../../src/run/replay.ts';
import { runBatch } from '../../../src/run/run-batch.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { quiet } from '../../support/manual-mapper.ts';
import { MemoryClaims } from '../../support/memory-claims.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { silentObserver } from '../../support/observer.ts';
import { plainReport } from '../../support/plain-traffic.ts';
import { answer, notFound, originOf, post } from '../../support/scripted-origin.ts';

import {
  earlierDocument,
  earlierErrors,
  earlierRun,
  earlierSummary,
  errorOf,
  lesson,
  noFetch,
  requestFor,
  runOf,
  settings,
  sha256,
  start,
  storeWith,
} from './world.ts';

describe('a batch', () => {
  test('is fetched, and its outcomes are one document, in the order of the ids', async () => {
    const store = new MemoryStore();
    const { run } = await runOf(
      lesson,
      (id) => ({ ...(id === 99999 ? notFound : post(id)), tookMs: id === 1 ? 30 : 10 }),
      { store },
    );
    const errors = earlierErrors;
    const summary = {
      finishedAt: '2026-11-23T06:00:00.030Z',
      durationMs: 30,
      requested: 3,
      fulfilled: 2,
      rejected: 1,
      attempts: 3,
      complete: true,
      latencyMs: { p50: 10, p90: 30, p99: 30, max: 30 },
      ...plainReport(3, 5, 67),
    };
    const head = { ...earlierRun, requestId: 'request-1', startedAt: '2026-11-23T06:00:00.000Z' };
    const document = `{"version":1,
"run":${JSON.stringify(head)},
"results":[
{"index":0,"id":1,"status":"fulfilled","httpStatus":200,"attempts":1,"startedMs":0,"durationMs":30,"waitedMs":0,"value":{"id":1}},
{"index":1,"id":99999,"status":"rejected","httpStatus":404,"attempts":1,"startedMs":0,"durationMs":10,"waitedMs":0,"reason":{"code":"NOT_FOUND","message":"No data for post 99999","retryable":false}},
{"index":2,"id":3,"status":"fulfilled","httpStatus":200,"attempts":1,"startedMs":0,"durationMs":10,"waitedMs":0,"value":{"id":3}}
],
"errors":${JSON.stringify(errors)},
"summary":${JSON.stringify(summary)}}
`;
    expect(store.documents.get('run-1')).toBe(document);
    expect(run).toStrictEqual({
      runId: 'run-1',
      location: 's3://results/runs/run-1.json',
      replayed: false,
      run: head,
      errors,
      summary,
    });
    expect(store.asked).toStrictEqual(['find', 'write']);
  });

  test('of no ids is an empty document', async () => {
    const store = new MemoryStore();
    const { run } = await runOf(requestFor({ ids: [], runId: 'run-1' }), noFetch, { store });
    const head = {
      ...earlierRun,
      requestId: 'request-1',
      startedAt: '2026-11-23T06:00:00.000Z',
      requested: 0,
      idsSha256: sha256('[]'),
    };
    const errors = { total: 0, byCode: {}, first: [], retryableIds: [] };
    const summary = {
      finishedAt: '2026-11-23T06:00:00.000Z',
      durationMs: 0,
      requested: 0,
      fulfilled: 0,
      rejected: 0,
      attempts: 0,
      complete: true,
      latencyMs: { p50: null, p90: null, p99: null, max: null },
      ...plainReport(0, 5, 10),
    };
    expect(run).toStrictEqual({
      runId: 'run-1',
      location: 's3://results/runs/run-1.json',
      replayed: false,
      run: head,
      errors,
      summary,
    });
    expect(JSON.parse(store.documents.get('run-1') ?? '')).toStrictEqual({
      version: 1,
      run: head,
      results: [],
      errors,
      summary,
    });
  });

  test('keeps its order whatever finishes first, and has at most `concurrency` posts in flight', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(fc.record({ id: fc.integer({ min: 1, max: 12 }), fails: fc.boolean() }), { maxLength: 20 }),
        fc.integer({ min: 1, max: 6 }),
        fc.boolean(),
        async (scheduler, posts, concurrency, asText) => {
          const failing = new Set(posts.filter(({ fails }) => fails).map(({ id }) => id));
          const ids = posts.map(({ id, fails }) => (asText && fails ? `${id}` : id));
          const store = new MemoryStore();
          let inFlight = 0;
          let most = 0;
          const running = runBatch(
            requestFor({ ids, runId: 'run-1' }),
            { ...settings, concurrency },
            {
              store,
              clock: new FakeClock(),
              random: () => 0,
              observer: silentObserver,
              newWriter: () => 'writer',
              claims: new MemoryClaims(),
              origin: originOf(async (id) => {
                most = Math.max(most, ++inFlight);
                await scheduler.schedule(Promise.resolve(), `post ${id}`);
                inFlight -= 1;
                return failing.has(Number(id)) ? notFound : answer(`{"id":${id}}`);
              }),
            },
            { remainingMs: 30_000 },
          );
          await scheduler.waitFor(running);
          const { results } = JSON.parse(store.documents.get('run-1') ?? '');
          expect(
            results.map(({ index, id, value, reason }: Record<string, unknown>) => [
              index,
              id,
              value,
              reason,
            ]),
          ).toStrictEqual(
            ids.map((id, index) =>
              failing.has(Number(id))
                ? [
                    index,
                    id,
                    undefined,
                    { code: 'NOT_FOUND', message: `No data for post ${firstOf(ids, id)}`, retryable: false },
                  ]
                : [index, id, { id: Number(id) }, undefined],
            ),
          );
          expect(most).toBeLessThanOrEqual(concurrency);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('fetches an id that is repeated once, and has its outcome at each of its positions', async () => {
    const store = new MemoryStore();
    const { run, origin } = await runOf(
      requestFor({ ids: [7, { from: 6, to: 8 }, '7', 404, '404', 7] }),
      (id) => (id === 404 ? notFound : post(id)),
      { store, settings: { concurrency: 1 } },
    );
    const { results } = JSON.parse(store.documents.get('request-1') ?? '');
    expect(
      results.map(({ id, value, reason }: Record<string, unknown>) => [id, value ?? reason]),
    ).toStrictEqual([
      [7, { id: 7 }],
      [6, { id: 6 }],
      [7, { id: 7 }],
      [8, { id: 8 }],
      ['7', { id: 7 }],
      [404, { code: 'NOT_FOUND', message: 'No data for post 404', retryable: false }],
      ['404', { code: 'NOT_FOUND', message: 'No data for post 404', retryable: false }],
      [7, { id: 7 }],
    ]);
    expect(origin.requested).toStrictEqual([7, 6, 8, 404]);
    expect(run.summary).toMatchObject({ requested: 8, fulfilled: 6, rejected: 2, attempts: 4 });
  });

  test('whose posts are many and large, all of them repeated, comes through whole', async () => {
    const store = new MemoryStore();
    const close = vi.spyOn(ValueSpool.prototype, 'close');
    const value = (id: Id): string => `{"id":${id},"text":"${'é'.repeat(100_000)}"}`;
    const ids = { from: 1, to: 60 };
    // What does not fit into memory goes through a file, which no fake clock waits for.
    const { running, origin, clock } = start(
      requestFor({ ids: [ids, ids] }),
      (id) => ({ ...answer(value(id)), tookMs: 0 }),
      { store, settings: { concurrency: 60 } },
    );
    await quiet();
    clock.advance(0);
    await running;
    expect([clock.pending, close.mock.calls.length]).toStrictEqual([0, 1]);
    close.mockRestore();
    const { results } = JSON.parse(store.documents.get('request-1') ?? '');
    expect(results.map((outcome: { value: { id: number } }) => outcome.value.id)).toStrictEqual(
      [...Array(120).keys()].map((i) => (i % 60) + 1),
    );
    expect(new Set(results.map((outcome: { value: { text: string } }) => outcome.value.text)).size).toBe(1);
    expect(origin.requested).toHaveLength(60);
  });
});

function firstOf(ids: readonly Id[], id: Id): Id {
  return ids.find((other) => `${other}` === `${id}`) ?? id;
}

describe('a run whose document is there already', () => {
  const replay: Run = {
    runId: 'run-1',
    location: 's3://results/runs/run-1.json',
    replayed: true,
    run: earlierRun,
    errors: earlierErrors as unknown as Run['errors'],
    summary: earlierSummary,
  };

  test('is replayed: nothing is fetched, read or written', async () => {
    const store = storeWith(earlierDocument());
    expect((await runOf(lesson, noFetch, { store })).run).toStrictEqual(replay);
    expect(store.asked).toStrictEqual(['find']);
  });

  test.each([
    ['of other ids', { ids: [1, 2, 3] }],
    ['of other ids', { ids: [99999, 1, 3] }],
    ['of other ids', { ids: ['1', 99999, 3] }],
    ['of other ids', { ids: [1, 2, 3], returnExceptions: false }],
    ['in another mode', { ids: [1, 99999, 3], returnExceptions: false }],
  ])('is a conflict where it is one %s: %j', async (what, form) => {
    const store = storeWith(earlierDocument());
    for (const [isIdempotencyKey, expected] of [
      [false, new RunConflictError(`The runId run-1 names an earlier run ${what}`)],
      [true, new IdempotencyKeyReusedError(`The Idempotency-Key run-1 was used before for a batch ${what}`)],
    ] as const) {
      const request = requestFor({ ...form, runId: 'run-1' }, { isIdempotencyKey });
      expect((await errorOf(request, noFetch, { store })).error).toStrictEqual(expected);
    }
    expect(store.asked).toStrictEqual(['find', 'find']);
  });

  test('is replayed whatever wrote the ids: a range is the ids that it stands for', async () => {
    const store = storeWith(earlierDocument({ idsSha256: sha256('[1,2,3]') }));
    const { run } = await runOf(requestFor({ ids: [{ from: 1, to: 3 }], runId: 'run-1' }), noFetch, {
      store,
    });
    expect(run.replayed).toBe(true);
  });
});

describe('a run whose document appears while it runs', () => {
  const appearing = (store: MemoryStore, document: string) => (id: Id) => {
    store.documents.set('run-1', document);
    return post(id);
  };

  test.each([
    ['by another invocation', {}],
    ['by an earlier try of the same request', { requestId: 'request-1' }],
    ['by another that started in the same millisecond', { startedAt: '2026-11-23T06:00:00.000Z' }],
    [
      'by another delivery of the same request in the same millisecond',
      { requestId: 'request-1', startedAt: '2026-11-23T06:00:00.000Z' },
    ],
  ])('is replayed where it was written %s', async (_, more) => {
    const store = new MemoryStore();
    const document = earlierDocument(more);
    const { run } = await runOf(lesson, appearing(store, document), { store });
    expect(run).toStrictEqual({
      runId: 'run-1',
      location: 's3://results/runs/run-1.json',
      replayed: true,
      run: { ...earlierRun, ...more },
      errors: earlierErrors,
      summary: earlierSummary,
    });
  });

  test('is not, where it is its own, of which it had not heard', async () => {
    const store = new MemoryStore();
    const { write } = store;
    store.write = async (...args) => {
      await write.apply(store, args);
      return false;
    };
    const { run } = await runOf(lesson, post, { store });
    expect(run).toMatchObject({
      replayed: false,
      run: { requestId: 'request-1' },
      summary: { fulfilled: 3 },
    });
  });

  test("is a conflict where it is another batch's", async () => {
    const store = new MemoryStore();
    const document = earlierDocument({ idsSha256: sha256('[1]') });
    expect((await errorOf(lesson, appearing(store, document), { store })).error).toStrictEqual(
      new RunConflictError('The runId run-1 names an earlier run of other ids'),
    );
  });

  test('fails where there is nothing after all', async () => {
    const store = new MemoryStore();
    store.write = async () => false;
    expect((await errorOf(lesson, post, { store })).error).toStrictEqual(
      new StoreError('s3://results/runs/run-1.json could not be written: another write ran into it'),
    );
  });
});

describe('the observer of a run', () => {
  /** Writes down what it is told. */
  function scribe() {
    const told: unknown[] = [];
    const observer: RunObserver = {
      runStarted: (run) => void told.push(['started', run.id]),
      postRejected: (...post) => void told.push(['rejected', ...post]),
      runEnded: ({ run, location, errors }) => void told.push(['ended', run.id, location, errors.total]),
      runReplayed: ({ run, location }) => void told.push(['replayed', run.requestId, location]),
      runInProgress: (run, { requestId }) => void told.push(['in progress', run.id, requestId]),
      runFailed: (run, error) => void told.push(['failed', run.id, error]),
    };
    return { told, observer };
  }
  const location = 's3://results/runs/run-1.json';

  test('hears of its start, of each rejected post where it stands, and of its end', async () => {
    const { told, observer } = scribe();
    await runOf(
      requestFor({ ids: [99999, 1, 99999], runId: 'run-1' }),
      (id) => (id === 1 ? post(id) : notFound),
      {
        observer,
      },
    );
    expect(told).toStrictEqual([
      ['started', 'run-1'],
      ['rejected', 0, 99999, 'NOT_FOUND'],
      ['rejected', 2, 99999, 'NOT_FOUND'],
      ['ended', 'run-1', location, 2],
    ]);
  });

  test('hears that a run is replayed, and whose it was', async () => {
    const { told, observer } = scribe();
    await runOf(lesson, noFetch, { observer, store: storeWith(earlierDocument()) });
    expect(told).toStrictEqual([
      ['started', 'run-1'],
      ['replayed', 'request-0', location],
    ]);
  });

  test('hears of a failure, with what is thrown', async () => {
    const { told, observer } = scribe();
    const request = requestFor({ ids: [99999], runId: 'run-1', returnExceptions: false });
    const { error } = await errorOf(request, () => notFound, { observer });
    expect(told).toStrictEqual([
      ['started', 'run-1'],
      ['failed', 'run-1', error],
    ]);
  });
});
