import { expect } from 'vitest';
import { batchOf } from '../../../src/batch/base-form.ts';
import type { Id } from '../../../src/batch/ids.ts';
import type { Output } from '../../../src/document/run-head.ts';
import { parseUrlTemplate, type UrlTemplate } from '../../../src/fetch/origin/url-template.ts';
import type { RunSettings } from '../../../src/run/fetch-and-store.ts';
import { redriveBatch } from '../../../src/run/redrive.ts';
import { runBatch } from '../../../src/run/run-batch.ts';
import type { RunStore } from '../../../src/store/run-store.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryClaims } from '../../support/memory-claims.ts';
import type { MemoryStore } from '../../support/memory-store.ts';
import { silentObserver } from '../../support/observer.ts';
import { plainTraffic } from '../../support/plain-traffic.ts';
import { answer, notFound, originOf, ScriptedOrigin, type Step } from '../../support/scripted-origin.ts';

export type Script = (id: Id, index: number) => Step | Promise<Step>;

export const settings: RunSettings & { maxIds: number } = {
  ...plainTraffic,
  postUrl: parseUrlTemplate('https://example.com/posts/{id}') as UrlTemplate, // a good template
  concurrency: 5,
  maxAttempts: 1,
  attemptTimeoutMs: 5_000,
  maxBodyBytes: 1_000,
  writeReserveMs: 1_000,
  maxIds: 1_000,
};

export const busy = answer('', 500);
export const noFetch = (): never => expect.fail('Something was fetched');

interface Given {
  readonly store: RunStore;
  readonly settings?: Partial<typeof settings>;
  readonly remainingMs?: number;
  readonly observer?: typeof silentObserver;
}

/** A first run, by a script; its document is in the store. */
export async function runFirst(
  store: RunStore,
  ids: readonly Id[],
  script: Script,
  { remainingMs = 30_000, output = 'json' }: { remainingMs?: number; output?: Output } = {},
) {
  const clock = new FakeClock();
  const origin = new ScriptedOrigin(clock, script);
  const running = runBatch(
    {
      trigger: 'direct',
      batch: batchOf(ids, true),
      runId: 'run-1',
      isIdempotencyKey: false,
      requestId: 'request-1',
    },
    { ...settings, output },
    { ...portsOf(clock, origin), store },
    { remainingMs },
  );
  return clock.runUntil(running);
}

export function portsOf(clock: FakeClock, { requestPost }: ScriptedOrigin) {
  return {
    origin: originOf(requestPost),
    clock,
    random: () => 0,
    observer: silentObserver,
    newWriter: () => 'writer',
    claims: new MemoryClaims(),
  };
}

/** Redrives a run to its end, whichever that is; nothing of it is left then. */
async function redrive(
  sourceRunId: string,
  script: Script,
  { store, settings: more, remainingMs = 30_000, observer = silentObserver }: Given,
  requestId = 'request-2',
) {
  const clock = new FakeClock();
  const origin = new ScriptedOrigin(clock, script);
  const running = redriveBatch(
    { trigger: 'direct', requestId, sourceRunId },
    { ...settings, ...more },
    { ...portsOf(clock, origin), store, observer },
    { remainingMs },
  );
  const [settled] = await clock.runUntil(Promise.allSettled([running]));
  expect([clock.pending, origin.inFlight]).toStrictEqual([0, 0]);
  return { settled, requested: origin.requested };
}

export async function redriven(...args: Parameters<typeof redrive>) {
  const { settled, requested } = await redrive(...args);
  if (settled.status === 'rejected') throw settled.reason;
  return { run: settled.value, requested };
}

export async function errorOf(...args: Parameters<typeof redrive>) {
  const { settled, requested } = await redrive(...args);
  if (settled.status === 'fulfilled') expect.fail('The redrive did not fail');
  return { error: settled.reason as unknown, requested };
}

export const textOf = (store: MemoryStore, runId: string): string =>
  store.documents.get(runId) ?? expect.fail(`There is no document of ${runId}`);

/** The lines of the outcomes, as they stand in the document. */
export function linesOf(store: MemoryStore, runId: string): string[] {
  const text = textOf(store, runId);
  const from = text.indexOf('"results":[\n') + '"results":[\n'.length;
  return text.slice(from, text.indexOf('\n],\n"errors"')).split(',\n');
}

/** Posts 2 and 4 of six are worth another try; 5 is not there. */
export const flaky: Script = (id) => {
  if (id === 2 || id === 4) return busy;
  return id === 5 ? notFound : answer(`{"id":${id},"views":9007199254740993,"price":1.10}`);
};
export const six = [1, 2, 3, 4, 5, 6];
