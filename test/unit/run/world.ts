import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import { batchOf } from '../../../src/batch/base-form.ts';
import type { Id } from '../../../src/batch/ids.ts';
import type { RequestPost } from '../../../src/fetch/origin/attempt.ts';
import { parseUrlTemplate, type UrlTemplate } from '../../../src/fetch/origin/url-template.ts';
import type { OriginMemory } from '../../../src/fetch/politeness/origin-memory.ts';
import { parseEvent } from '../../../src/lambda/events/event.ts';
import type { RunSettings, RunTime } from '../../../src/run/fetch-and-store.ts';
import type { RunObserver } from '../../../src/run/observer.ts';
import type { RunRequest } from '../../../src/run/run-batch.ts';
import { runBatch } from '../../../src/run/run-batch.ts';
import type { ClaimStore } from '../../../src/store/claim-store.ts';
import type { RunStore } from '../../../src/store/run-store.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryClaims } from '../../support/memory-claims.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { silentObserver } from '../../support/observer.ts';
import { plainReport, plainTraffic } from '../../support/plain-traffic.ts';
import { originOf, ScriptedOrigin, type Step } from '../../support/scripted-origin.ts';

let writers = 0;

export const MIB = 1024 ** 2;

export const settings: RunSettings = {
  ...plainTraffic,
  postUrl: parseUrlTemplate('https://example.com/posts/{id}') as UrlTemplate, // a good template
  concurrency: 5,
  maxAttempts: 4,
  attemptTimeoutMs: 5_000,
  maxBodyBytes: MIB,
  writeReserveMs: 3_000,
};

export function requestFor(form: object, more: Partial<RunRequest> = {}): RunRequest {
  const parsed = parseEvent(
    { trigger: 'direct', form },
    { maxIds: 100_000, postIds: [], apiBasePath: '' },
    'request-1',
  );
  if (parsed.form.kind !== 'ids') expect.fail('A batch was expected');
  return { ...parsed, batch: batchOf(parsed.form.ids, parsed.form.returnExceptions), ...more };
}

export interface Given {
  readonly store?: RunStore;
  readonly claims?: ClaimStore;
  readonly clock?: FakeClock;
  readonly observer?: RunObserver;
  readonly settings?: Partial<RunSettings>;
  readonly time?: Partial<RunTime>;
  readonly memory?: OriginMemory;
}

/** Starts a run against a script, on a clock that only the test moves. */
export function start(
  request: RunRequest,
  script: (id: Id, index: number) => Step | Promise<Step>,
  { clock = new FakeClock(), ...given }: Given = {},
) {
  const origin = new ScriptedOrigin(clock, script);
  return { origin, ...startWith(request, origin.requestPost, { clock, ...given }) };
}

/** The same, against any origin. */
export function startWith(
  request: RunRequest,
  requestPost: RequestPost,
  {
    store = new MemoryStore(),
    claims = new MemoryClaims(),
    clock = new FakeClock(),
    observer = silentObserver,
    settings: more,
    time,
    memory,
  }: Given = {},
) {
  const running = runBatch(
    request,
    { ...settings, ...more },
    {
      store,
      claims,
      origin: originOf(requestPost),
      clock,
      random: () => 0,
      observer,
      newWriter: () => `writer-${++writers}`,
      memory,
    },
    { remainingMs: 30_000, ...time },
  );
  return { running, clock, store };
}

/** Runs a batch to its end, whichever that is; nothing of it is left then. */
export async function run(
  request: RunRequest,
  script: (id: Id, index: number) => Step | Promise<Step>,
  given: Given = {},
) {
  const { running, origin, clock } = start(request, script, given);
  const [settled] = await clock.runUntil(Promise.allSettled([running]));
  expect([clock.pending, origin.inFlight]).toStrictEqual([0, 0]);
  return { settled, origin, clock };
}

export async function runOf(...given: Parameters<typeof run>) {
  const { settled, ...rest } = await run(...given);
  if (settled.status === 'rejected') throw settled.reason;
  return { run: settled.value, ...rest };
}

export async function errorOf(...given: Parameters<typeof run>) {
  const { settled, ...rest } = await run(...given);
  if (settled.status === 'fulfilled') expect.fail('The run did not fail');
  const error: unknown = settled.reason;
  return { error, ...rest };
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** The document of an earlier delivery of the batch [1,99999,3]. */
export const earlierRun = {
  id: 'run-1',
  trigger: 'direct',
  requestId: 'request-0',
  startedAt: '2026-11-23T05:00:00.000Z',
  urlTemplate: 'https://example.com/posts/{id}',
  returnExceptions: true,
  requested: 3,
  idsSha256: sha256('[1,99999,3]'),
} as const;
export const earlierErrors = {
  total: 1,
  byCode: { NOT_FOUND: 1 },
  first: [{ index: 1, id: 99999, code: 'NOT_FOUND', message: 'No data for post 99999' }],
  retryableIds: [],
} as const;
export const earlierSummary = {
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

export function earlierDocument(more: object = {}): string {
  return `{"version":1,\n"run":${JSON.stringify({ ...earlierRun, ...more })},\n"results":[\n"what they were"\n],\n"errors":${JSON.stringify(earlierErrors)},\n"summary":${JSON.stringify(earlierSummary)}}\n`;
}

export function storeWith(document: string): MemoryStore {
  const store = new MemoryStore();
  store.documents.set('run-1', document);
  return store;
}

export const lesson = requestFor({ ids: [1, 99999, 3], runId: 'run-1' });
export const noFetch = (): never => expect.fail('Something was fetched');
