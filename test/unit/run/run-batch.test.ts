import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { startS3Store } from '../../../local/world/s3.ts';
import { IdempotencyKeyReusedError, RunConflictError, StoreError } from '../../../src/base/errors.ts';
import { batchOf } from '../../../src/batch/base-form.ts';
import type { Id } from '../../../src/batch/ids.ts';
import type { AttemptResult, RequestPost } from '../../../src/fetch/origin/attempt.ts';
import { parseUrlTemplate, type UrlTemplate } from '../../../src/fetch/origin/url-template.ts';
import { PostError } from '../../../src/fetch/outcome.ts';
import { ValueSpool } from '../../../src/fetch/value-spool.ts';
import { parseEvent } from '../../../src/lambda/events/event.ts';
import type { RunObserver } from '../../../src/run/observer.ts';
import type { RunRequest } from '../../../src/run/run-batch.ts';
import { type Run, type RunSettings, type RunTime, runBatch } from '../../../src/run/run-batch.ts';
import { createRunStore, type RunStore } from '../../../src/store/run-store.ts';
import { createS3Client } from '../../../src/store/s3.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { quiet, watch } from '../../support/manual-mapper.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import {
  accessDenied,
  loseAnswer,
  type MisbehavingS3,
  startMisbehavingS3,
} from '../../support/misbehaving-s3.ts';
import { silentObserver } from '../../support/observer.ts';
import { plainReport, plainTraffic } from '../../support/plain-traffic.ts';
import { documentFaults } from '../../support/schemas.ts';
import {
  answer,
  notFound,
  originOf,
  post,
  ScriptedOrigin,
  type Step,
} from '../../support/scripted-origin.ts';

const MIB = 1024 ** 2;

const settings: RunSettings = {
  ...plainTraffic,
  postUrl: parseUrlTemplate('https://example.com/posts/{id}') as UrlTemplate, // a good template
  concurrency: 5,
  maxAttempts: 4,
  attemptTimeoutMs: 5_000,
  maxBodyBytes: MIB,
  writeReserveMs: 3_000,
};

function requestFor(form: object, more: Partial<RunRequest> = {}): RunRequest {
  const parsed = parseEvent({ trigger: 'direct', form }, { maxIds: 100_000, postIds: [] }, 'request-1');
  if (parsed.form.kind !== 'ids') expect.fail('A batch was expected');
  return { ...parsed, batch: batchOf(parsed.form.ids, parsed.form.returnExceptions), ...more };
}

interface Given {
  readonly store?: RunStore;
  readonly clock?: FakeClock;
  readonly observer?: RunObserver;
  readonly settings?: Partial<RunSettings>;
  readonly time?: Partial<RunTime>;
}

/** Starts a run against a script, on a clock that only the test moves. */
function start(
  request: RunRequest,
  script: (id: Id, index: number) => Step | Promise<Step>,
  { clock = new FakeClock(), ...given }: Given = {},
) {
  const origin = new ScriptedOrigin(clock, script);
  return { origin, ...startWith(request, origin.requestPost, { clock, ...given }) };
}

/** The same, against any origin. */
function startWith(
  request: RunRequest,
  requestPost: RequestPost,
  {
    store = new MemoryStore(),
    clock = new FakeClock(),
    observer = silentObserver,
    settings: more,
    time,
  }: Given = {},
) {
  const running = runBatch(
    request,
    { ...settings, ...more },
    { store, origin: originOf(requestPost), clock, random: () => 0, observer },
    { remainingMs: 30_000, maxReplyBytes: 0, ...time },
  );
  return { running, clock, store };
}

/** Runs a batch to its end, whichever that is; nothing of it is left then. */
async function run(
  request: RunRequest,
  script: (id: Id, index: number) => Step | Promise<Step>,
  given: Given = {},
) {
  const { running, origin, clock } = start(request, script, given);
  const [settled] = await clock.runUntil(Promise.allSettled([running]));
  expect([clock.pending, origin.inFlight]).toStrictEqual([0, 0]);
  return { settled, origin, clock };
}

async function runOf(...given: Parameters<typeof run>) {
  const { settled, ...rest } = await run(...given);
  if (settled.status === 'rejected') throw settled.reason;
  return { run: settled.value, ...rest };
}

async function errorOf(...given: Parameters<typeof run>) {
  const { settled, ...rest } = await run(...given);
  if (settled.status === 'fulfilled') expect.fail('The run did not fail');
  const error: unknown = settled.reason;
  return { error, ...rest };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** The document of an earlier delivery of the batch [1,99999,3]. */
const earlierRun = {
  id: 'run-1',
  trigger: 'direct',
  requestId: 'request-0',
  startedAt: '2026-11-23T05:00:00.000Z',
  urlTemplate: 'https://example.com/posts/{id}',
  returnExceptions: true,
  requested: 3,
  idsSha256: sha256('[1,99999,3]'),
} as const;
const earlierErrors = {
  total: 1,
  byCode: { NOT_FOUND: 1 },
  first: [{ index: 1, id: 99999, code: 'NOT_FOUND', message: 'No data for post 99999' }],
  retryableIds: [],
} as const;
const earlierSummary = {
  finishedAt: '2026-11-23T05:00:00.100Z',
  durationMs: 100,
  requested: 3,
  fulfilled: 2,
  rejected: 1,
  attempts: 3,
  complete: true,
  latencyMs: { p50: 10, p90: 10, p99: 10, max: 10 },
  ...plainReport(3, 5, 67),
} as const;

function earlierDocument(more: object = {}): string {
  return `{"version":1,\n"run":${JSON.stringify({ ...earlierRun, ...more })},\n"results":[\n"what they were"\n],\n"errors":${JSON.stringify(earlierErrors)},\n"summary":${JSON.stringify(earlierSummary)}}\n`;
}

function storeWith(document: string): MemoryStore {
  const store = new MemoryStore();
  store.documents.set('run-1', document);
  return store;
}

const lesson = requestFor({ ids: [1, 99999, 3], runId: 'run-1' });
const noFetch = (): never => expect.fail('Something was fetched');

describe('a batch', () => {
  test('is fetched, and its outcomes are one document, in the order of the ids', async () => {
    const store = new MemoryStore();
    const { run } = await runOf(
      lesson,
      (id) => ({ ...(id === 99999 ? notFound : post(id)), tookMs: id === 1 ? 30 : 10 }),
      { store, time: { maxReplyBytes: 10_000 } },
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
{"index":0,"id":1,"status":"fulfilled","httpStatus":200,"attempts":1,"startedMs":0,"durationMs":30,"value":{"id":1}},
{"index":1,"id":99999,"status":"rejected","httpStatus":404,"attempts":1,"startedMs":0,"durationMs":10,"reason":{"code":"NOT_FOUND","message":"No data for post 99999","retryable":false}},
{"index":2,"id":3,"status":"fulfilled","httpStatus":200,"attempts":1,"startedMs":0,"durationMs":10,"value":{"id":3}}
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
      document,
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
      document: undefined,
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
              origin: originOf(async (id) => {
                most = Math.max(most, ++inFlight);
                await scheduler.schedule(Promise.resolve(), `post ${id}`);
                inFlight -= 1;
                return failing.has(Number(id)) ? notFound : answer(`{"id":${id}}`);
              }),
            },
            { remainingMs: 30_000, maxReplyBytes: 0 },
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

describe('the document comes back with the run', () => {
  async function bytesOf(): Promise<number> {
    const store = new MemoryStore();
    await runOf(lesson, post, { store });
    return Buffer.byteLength(store.documents.get('run-1') ?? '');
  }

  test.each([
    ['where it is as large as may be', 0, true],
    ['not where it is a byte larger', -1, false],
  ])('%s', async (_, more, comes) => {
    const store = new MemoryStore();
    const time = { maxReplyBytes: (await bytesOf()) + more };
    const first = await runOf(lesson, post, { store, time });
    expect(first.run.document).toBe(comes ? store.documents.get('run-1') : undefined);
    const second = await runOf(lesson, noFetch, { store, time });
    expect(second.run).toStrictEqual({ ...first.run, replayed: true });
    expect(store.asked).toStrictEqual(['find', 'write', 'find', ...(comes ? ['read'] : [])]);
  });

  test('not where it comes in many chunks that are too much together', async () => {
    const { run } = await runOf(
      requestFor({ ids: [{ from: 1, to: 40 }] }),
      (id) => answer(`"${id}${'x'.repeat(20_000)}"`),
      { time: { maxReplyBytes: 200_000 } },
    );
    expect([run.document, run.summary.fulfilled]).toStrictEqual([undefined, 40]);
  });
});

describe('a run whose document is there already', () => {
  const replay: Run = {
    runId: 'run-1',
    location: 's3://results/runs/run-1.json',
    replayed: true,
    run: earlierRun,
    errors: earlierErrors as unknown as Run['errors'],
    summary: earlierSummary,
    document: undefined,
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
  ])('is replayed where it was written %s', async (_, more) => {
    const store = new MemoryStore();
    const document = earlierDocument(more);
    const { run } = await runOf(lesson, appearing(store, document), {
      store,
      time: { maxReplyBytes: 10_000 },
    });
    expect(run).toStrictEqual({
      runId: 'run-1',
      location: 's3://results/runs/run-1.json',
      replayed: true,
      run: { ...earlierRun, ...more },
      errors: earlierErrors,
      summary: earlierSummary,
      document,
    });
  });

  test('is not, where it is its own, of which it had not heard', async () => {
    const store = new MemoryStore();
    const document = earlierDocument({ requestId: 'request-1', startedAt: '2026-11-23T06:00:00.000Z' });
    const { run } = await runOf(lesson, appearing(store, document), { store });
    expect(run.replayed).toBe(false);
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

describe('the observer of a run', () => {
  /** Writes down what it is told. */
  function scribe() {
    const told: unknown[] = [];
    const observer: RunObserver = {
      runStarted: (run) => void told.push(['started', run.id]),
      postRejected: (...post) => void told.push(['rejected', ...post]),
      runEnded: ({ run, location, errors }) => void told.push(['ended', run.id, location, errors.total]),
      runReplayed: ({ run, location }) => void told.push(['replayed', run.requestId, location]),
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
      { id: 3, httpStatus: null, attempts: 0, startedMs: null, durationMs: null, reason: notAskedFor(3) },
      { id: 4, httpStatus: null, attempts: 0, startedMs: null, durationMs: null, reason: notAskedFor(4) },
    ]);
    expect(origin.requested).toStrictEqual([1, 2]);
    expect(clock.now()).toBe(500);
    expect(run.errors.retryableIds).toStrictEqual([1, 3, 4]);
    expect(run.summary).toMatchObject({ complete: false, attempts: 2, retries: 0 });
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
      record: { httpStatus: 410, attempts: 1, startedMs: 0, durationMs: 20 },
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
    store.write = (_runId, _chunks, stopping) => untilAborted(stopping.signal);
    const { error, clock } = await errorOf(lesson, post, { store, time: { remainingMs: 10_000 } });
    expect(error).toStrictEqual(givenUp);
    expect(clock.now()).toBe(9_750);
  });

  test.each(['find', 'read'] as const)('so does the look for an earlier document, at %s', async (method) => {
    const store = storeWith(earlierDocument());
    store[method] = (_runId: string, signal?: AbortSignal) =>
      untilAborted(signal ?? expect.fail('No signal'));
    const time = { remainingMs: 10_000, maxReplyBytes: 10_000 };
    const { error, clock } = await errorOf(lesson, noFetch, { store, time });
    expect(error).toStrictEqual(givenUp);
    expect(clock.now()).toBe(9_750);
  });

  test('so does the look for the document that came in between', async () => {
    const store = new MemoryStore();
    let looks = 0;
    store.find = async (_runId: string, signal?: AbortSignal) =>
      looks++ === 0 ? undefined : untilAborted(signal ?? expect.fail('No signal'));
    store.write = async (_runId, _chunks, stopping) => {
      stopping.abort(new Error('There is a document already'));
      return false;
    };
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

describe('with S3', () => {
  async function withS3(
    body: (world: { s3: MisbehavingS3; store: RunStore; stored(): Promise<string[]> }) => Promise<void>,
  ): Promise<void> {
    await using stack = new AsyncDisposableStack();
    const real = stack.adopt(await startS3Store({ buckets: ['results'] }), (it) => it.close());
    const s3 = stack.adopt(await startMisbehavingS3(real.endpoint), (it) => it.stop());
    const client = stack.adopt(
      createS3Client({
        endpoint: s3.endpoint,
        region: 'us-east-1',
        credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
      }),
      (it) => it.destroy(),
    );
    const stored = async (): Promise<string[]> => {
      const listing = await fetch(`${real.endpoint}/results?list-type=2`);
      return [...(await listing.text()).matchAll(/<Key>(.*?)<\/Key>/g)].map(([, key]) => key ?? '');
    };
    const random = vi.spyOn(Math, 'random').mockReturnValue(0);
    stack.defer(() => random.mockRestore());
    await body({ s3, store: createRunStore({ client, bucket: 'results', prefix: 'runs/' }), stored });
    expect(real.openUploads()).toBe(0);
  }

  /** An origin that answers at once, without a clock. */
  const atOnce = (script: (id: Id) => AttemptResult | Promise<AttemptResult>) => {
    const origin = { requests: 0, inFlight: 0 };
    const requestPost: RequestPost = async (id, _timeoutMs, signal) => {
      origin.requests += 1;
      origin.inFlight += 1;
      try {
        const attempt = await script(id);
        signal.throwIfAborted();
        return attempt;
      } finally {
        origin.inFlight -= 1;
      }
    };
    return { origin, requestPost };
  };
  const time = { remainingMs: 30_000, maxReplyBytes: 10_000 };
  const large = (id: Id): AttemptResult => answer(`"${id}${'x'.repeat(MIB / 2)}"`);

  test('a write whose answer was lost is our own, and no replay', async () => {
    await withS3(async ({ s3, store, stored }) => {
      s3.next('PutObject', loseAnswer);
      const clock = new FakeClock();
      const { requestPost } = atOnce(post);
      const run = await runBatch(
        lesson,
        settings,
        { store, clock, origin: originOf(requestPost), random: () => 0, observer: silentObserver },
        time,
      );
      expect(run).toMatchObject({ replayed: false, summary: { fulfilled: 3 } });
      expect(JSON.parse(run.document ?? '').results).toHaveLength(3);
      expect(s3.operations).toStrictEqual([
        'GetObject bytes=-65536',
        'PutObject',
        'PutObject',
        'GetObject bytes=-65536',
        'GetObject',
      ]);
      expect(await stored()).toStrictEqual(['runs/run-1.json']);
      expect(clock.pending).toBe(0);
    });
  });

  test('outcomes whose answer was lost are our own, and get their document', async () => {
    await withS3(async ({ s3, store, stored }) => {
      s3.next('PutObject', loseAnswer);
      const { requestPost } = atOnce(post);
      const run = await runBatch(
        lesson,
        { ...settings, output: 'ndjson' },
        {
          store,
          clock: new FakeClock(),
          origin: originOf(requestPost),
          random: () => 0,
          observer: silentObserver,
        },
        time,
      );
      expect(run).toMatchObject({ replayed: false, summary: { fulfilled: 3 } });
      expect(s3.operations).toStrictEqual([
        'GetObject bytes=-65536',
        'HeadObject',
        'PutObject',
        'PutObject',
        'HeadObject',
        'PutObject',
      ]);
      expect(await stored()).toStrictEqual(['runs/run-1.json', 'runs/run-1.ndjson']);
    });
  });

  test('of two deliveries at once, one stores the document, and the other replays it', async () => {
    await withS3(async ({ store, stored }) => {
      const both = Promise.withResolvers<void>();
      const deliver = (startedAfterMs: number, requests: { count: number }) => {
        const clock = new FakeClock();
        clock.advance(startedAfterMs);
        const { requestPost } = atOnce(async (id) => {
          requests.count += 1;
          if (requests.count === 6) both.resolve();
          await both.promise;
          return post(id);
        });
        return runBatch(
          lesson,
          settings,
          { store, clock, origin: originOf(requestPost), random: () => 0, observer: silentObserver },
          time,
        );
      };
      const requests = { count: 0 };
      const [first, second] = await Promise.all([deliver(0, requests), deliver(1, requests)]);
      const [own, replay] = first.replayed ? [second, first] : [first, second];
      expect(own.replayed).toBe(false);
      expect(replay).toStrictEqual({ ...own, replayed: true });
      expect(await stored()).toStrictEqual(['runs/run-1.json']);
    });
  });

  test('a failure in fail-fast mode, after parts were sent, leaves no part behind', async () => {
    await withS3(async ({ s3, store, stored }) => {
      const clock = new FakeClock();
      const { origin, requestPost } = atOnce(async (id) => {
        if (id !== 20) return large(id);
        await s3.asked('UploadPart');
        return notFound;
      });
      const request = requestFor({ ids: [{ from: 1, to: 100 }], returnExceptions: false });
      const running = runBatch(
        request,
        settings,
        { store, clock, origin: originOf(requestPost), random: () => 0, observer: silentObserver },
        time,
      );
      await expect(running).rejects.toMatchObject({ name: 'PostError', id: 20, code: 'NOT_FOUND' });
      expect(s3.operations).toContain('AbortMultipartUpload');
      expect(s3.operations).not.toContain('CompleteMultipartUpload');
      expect([await stored(), origin.inFlight, clock.pending]).toStrictEqual([[], 0, 0]);
    });
  });

  test('a write that fails in the middle stops the fetching', async () => {
    await withS3(async ({ s3, store, stored }) => {
      s3.next('UploadPart', accessDenied);
      const clock = new FakeClock();
      const { origin, requestPost } = atOnce(large);
      const request = requestFor({ ids: [{ from: 1, to: 50_000 }], runId: 'run-1' });
      const running = runBatch(
        request,
        settings,
        { store, clock, origin: originOf(requestPost), random: () => 0, observer: silentObserver },
        time,
      );
      await expect(running).rejects.toStrictEqual(
        new StoreError('s3://results/runs/run-1.json could not be written: AccessDenied'),
      );
      expect(origin.requests).toBeLessThan(200);
      expect([await stored(), origin.inFlight, clock.pending]).toStrictEqual([[], 0, 0]);
    });
  });

  test('the end of the time, while parts are sent, leaves nothing', async () => {
    await withS3(async ({ s3, store, stored }) => {
      const clock = new FakeClock();
      s3.always('CompleteMultipartUpload', ({ gone }) => gone.then(() => {}));
      const { origin, requestPost } = atOnce(large);
      const request = requestFor({ ids: [{ from: 1, to: 14 }], runId: 'run-1' });
      const running = runBatch(
        request,
        settings,
        { store, clock, origin: originOf(requestPost), random: () => 0, observer: silentObserver },
        time,
      );
      const result = expect(running).rejects.toStrictEqual(
        new StoreError(
          "s3://results/runs/run-1.json could not be written before the function's time ran out",
        ),
      );
      await s3.asked('CompleteMultipartUpload');
      clock.advance(29_750);
      await result;
      expect([await stored(), origin.inFlight, clock.pending]).toStrictEqual([[], 0, 0]);
    });
  });
});

describe('a batch whose outcomes are an object by themselves', () => {
  const apart = { output: 'ndjson' } as const;
  const outcomesOf = (text: string) => ({
    location: 's3://results/runs/run-1.ndjson',
    bytes: Buffer.byteLength(text),
    etag: '"outcomes"',
  });

  test('has the lines that the document would have, and a document that names them, written last', async () => {
    const whole = new MemoryStore();
    await runOf(lesson, (id) => (id === 99999 ? notFound : post(id)), { store: whole });
    const store = new MemoryStore();
    const { run } = await runOf(lesson, (id) => (id === 99999 ? notFound : post(id)), {
      store,
      settings: apart,
      time: { maxReplyBytes: 10_000 },
    });
    const lines = store.outcomes.get('run-1') ?? '';
    const { results, ...rest } = JSON.parse(whole.documents.get('run-1') ?? '');
    expect(lines).toMatch(/^(\{.*\}\n){3}$/);
    expect(
      lines
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toStrictEqual(results);
    const text = store.documents.get('run-1') ?? '';
    const outcomes = outcomesOf(lines);
    expect(JSON.parse(text)).toStrictEqual({ ...rest, outcomes });
    expect(documentFaults(JSON.parse(text))).toStrictEqual([]);
    expect(text.split('\n')).toHaveLength(6);
    expect(run).toMatchObject({
      runId: 'run-1',
      location: 's3://results/runs/run-1.json',
      outcomes,
      document: text,
    });
    expect(store.asked).toStrictEqual(['find', 'findOutcomes', 'writeOutcomes', 'write']);
  });

  test('of no ids has none', async () => {
    const store = new MemoryStore();
    const { run } = await runOf(requestFor({ ids: [], runId: 'run-1' }), noFetch, { store, settings: apart });
    expect(store.outcomes.get('run-1')).toBe('');
    expect(run.outcomes).toStrictEqual(outcomesOf(''));
  });

  test('is replayed when it is delivered again, whatever the output is to be by then', async () => {
    const store = new MemoryStore();
    const { run: first } = await runOf(lesson, post, { store, settings: apart });
    for (const output of ['json', 'ndjson'] as const) {
      const { run } = await runOf(lesson, noFetch, { store, settings: { output } });
      expect(run).toStrictEqual({ ...first, replayed: true });
    }
  });

  test('takes the place of outcomes that an earlier delivery left without a document', async () => {
    const store = new MemoryStore();
    store.outcomes.set('run-1', 'what it had\n');
    await runOf(lesson, post, { store, settings: apart });
    expect(store.outcomes.get('run-1')).not.toContain('what it had');
    expect(store.documents.has('run-1')).toBe(true);
  });

  test('is the run of another delivery where that was first, and an error where it is still to end', async () => {
    const { run: other } = await runOf(lesson, post, { settings: apart });
    for (const isDone of [true, false]) {
      const store = new MemoryStore();
      store.writeOutcomes = async (_runId, _unfinished, _writer, chunks) => {
        for await (const _ of chunks);
        const { runId, location, replayed, document, ...report } = other;
        const run = { ...report.run, requestId: 'of the other' };
        const text = JSON.stringify({ version: 1, ...report, run }).replace(
          /,(?="(outcomes|errors|summary)":)/g,
          ',\n',
        );
        if (isDone) store.documents.set('run-1', text);
        return undefined;
      };
      const { settled } = await run(lesson, post, { store, settings: apart });
      expect(settled).toMatchObject(
        isDone
          ? { value: { replayed: true, run: { requestId: 'of the other' } } }
          : {
              reason: { code: 'STORE_FAILED', message: expect.stringContaining('another write ran into it') },
            },
      );
    }
  });

  test('is the run of another delivery, too, whose document is there first', async () => {
    const store = storeWith(earlierDocument());
    let asked = 0;
    const find = store.find.bind(store);
    store.find = async (runId) => (asked++ === 0 ? undefined : find(runId));
    const { run } = await runOf(lesson, post, { store, settings: apart });
    expect(run).toMatchObject({ replayed: true, run: { requestId: 'request-0' } });
  });

  test('writes neither object in the default mode where a post fails', async () => {
    const store = new MemoryStore();
    const request = requestFor({ ids: [1, 99999, 3], runId: 'run-1', returnExceptions: false });
    const { error } = await errorOf(request, (id) => (id === 99999 ? notFound : post(id)), {
      store,
      settings: apart,
    });
    expect(error).toMatchObject({ code: 'NOT_FOUND', id: 99999 });
    expect([store.outcomes.size, store.documents.size]).toStrictEqual([0, 0]);
  });

  test('whose time is over between the two writes fails, and leaves its outcomes to the next delivery', async () => {
    const store = new MemoryStore();
    const clock = new FakeClock();
    store.write = async (_runId, _chunks, stopping) => {
      stopping.signal.throwIfAborted();
      return new Promise((_, reject) =>
        stopping.signal.addEventListener('abort', () => reject(stopping.signal.reason), { once: true }),
      );
    };
    const { error } = await errorOf(lesson, post, { store, clock, settings: apart });
    expect(error).toMatchObject({ code: 'STORE_FAILED', message: expect.stringContaining('time ran out') });
    expect(store.outcomes.size).toBe(1);
    const { write, writeOutcomes } = MemoryStore.prototype;
    // The same, where the time was over by the end of the first write.
    store.writeOutcomes = async (...args) => {
      const outcomes = await writeOutcomes.apply(store, args);
      clock.advance(30_000);
      return outcomes;
    };
    expect(await errorOf(lesson, post, { store, clock, settings: apart })).toMatchObject({ error });
    Object.assign(store, { write, writeOutcomes });
    const { run } = await runOf(lesson, post, { store, settings: apart });
    expect(run).toMatchObject({ replayed: false, summary: { fulfilled: 3 } });
  });
});
