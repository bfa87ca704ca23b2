import { getEventListeners } from 'node:events';
import { expect } from 'vitest';
import type { Id } from '../../../src/batch/ids.ts';
import {
  type FetchedRun,
  type FetchPorts,
  type FetchSettings,
  startFetching,
} from '../../../src/fetch/fetching.ts';
import type { AttemptResult, RequestPost } from '../../../src/fetch/origin/attempt.ts';
import { PostError } from '../../../src/fetch/outcome.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { plainTraffic } from '../../support/plain-traffic.ts';
import { originOf } from '../../support/scripted-origin.ts';

/** When the run of `run` starts. */
export const START_MS = 1_000;

/** An answer of the origin, and how long it takes. @default 10 ms */
export type Step = AttemptResult & { readonly tookMs?: number };

export const answer = (
  status: number,
  body = '',
  more: Partial<Extract<AttemptResult, { kind: 'response' }>> = {},
): Step => ({
  kind: 'response',
  status,
  body: Buffer.from(body),
  ...more,
});
export const reset: Step = { kind: 'failed', code: 'ECONNRESET' };

export type Options = FetchSettings & Omit<FetchPorts, 'origin'> & FetchedRun;

/** The fetching of a run's posts from an origin of which requests are made in this way. */
export function fetchingFrom({
  requestPost,
  ...options
}: Pick<Options, 'clock'> & Partial<Options> & { readonly requestPost: RequestPost }) {
  const all = {
    origin: originOf(requestPost),
    ...plainTraffic,
    random: () => 0.5,
    concurrency: 1,
    maxAttempts: 4,
    attemptTimeoutMs: 5_000,
    maxBodyBytes: 1_048_576,
    startMs: 0,
    deadlineMs: 60_000,
    requested: 10,
    ...options,
  };
  return startFetching(all, all, all);
}

/**
 * Fetches post 7 against a script: each attempt takes 10 ms, or `tookMs`, and the last step is repeated.
 * The run started at START_MS, and the post 3 ms later.
 */
export async function run(steps: readonly Step[], options: Partial<Options> = {}, id: Id = 7) {
  const clock = new FakeClock();
  clock.advance(START_MS + 3);
  const requests: { readonly atMs: number; readonly timeoutMs: number }[] = [];
  const { signal } = new AbortController();
  const { fetchPost } = fetchingFrom({
    requestPost: async (asked, timeoutMs, given) => {
      expect([asked, given]).toStrictEqual([id, signal]);
      requests.push({ atMs: clock.now() - START_MS, timeoutMs });
      const { tookMs = 10, ...attempt } = steps[Math.min(requests.length, steps.length) - 1] as Step;
      clock.advance(attempt.kind === 'timed-out' ? timeoutMs : tookMs);
      return attempt;
    },
    clock,
    startMs: START_MS,
    deadlineMs: START_MS + 60_000,
    ...options,
  });
  const [settled] = await clock.runUntil(Promise.allSettled([Promise.try(fetchPost, id, signal)]));
  expect([clock.pending, getEventListeners(signal, 'abort').length]).toStrictEqual([0, 0]);
  return { outcome: plain(settled), requests, settled };
}

/** An outcome as plain values, to be compared whole. */
export function plain(settled: PromiseSettledResult<{ readonly value: Buffer }>): unknown {
  if (settled.status === 'fulfilled') return { ...settled.value, value: settled.value.value.toString() };
  if (!(settled.reason instanceof PostError)) throw settled.reason;
  const { id, reason, record } = settled.reason;
  return { id, reason, ...record };
}
