import { getEventListeners } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { sleep } from '../../../src/base/clock.ts';
import type { RequestPost } from '../../../src/fetch/origin/attempt.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { answer, fetchingFrom, plain, reset, run, START_MS, type Step } from './world.ts';

describe('a post that comes', () => {
  test('is its JSON text, with how it was fetched', async () => {
    const { outcome, requests } = await run([answer(200, ' {"id": 12345678901234567890} \n')]);
    expect(outcome).toStrictEqual({
      value: '{"id":12345678901234567890}',
      httpStatus: 200,
      attempts: 1,
      startedMs: 3,
      durationMs: 10,
      waitedMs: 0,
    });
    expect(requests).toStrictEqual([{ atMs: 3, timeoutMs: 5_000 }]);
  });

  test('may come at the second attempt; its duration counts the wait, which is told by itself', async () => {
    const { outcome, requests } = await run([answer(500), answer(203, '[1]')]);
    expect(outcome).toStrictEqual({
      value: '[1]',
      httpStatus: 203,
      attempts: 2,
      startedMs: 3,
      durationMs: 70,
      waitedMs: 50,
    });
    expect(requests.map(({ atMs }) => atMs)).toStrictEqual([3, 63]);
  });

  test('has whole milliseconds in its record, whatever the clock counts', async () => {
    const { outcome } = await run([{ ...answer(200, '1'), tookMs: 10.6 }], { startMs: START_MS + 0.4 });
    expect(outcome).toStrictEqual({
      value: '1',
      httpStatus: 200,
      attempts: 1,
      startedMs: 3,
      durationMs: 11,
      waitedMs: 0,
    });
  });
});

describe('what is not tried again', () => {
  const noData = { message: 'No data for post 7', retryable: false };
  const httpError = (status: number, more = '') => ({
    code: 'HTTP_ERROR',
    message: `Post 7 answered HTTP ${status}${more}`,
    retryable: false,
  });
  const badJson = { code: 'BAD_JSON', message: 'Post 7 is not JSON in UTF-8', retryable: false };
  const elsewhere = 'a redirect to another origin (http://evil.test)';

  test.each<[string, Step, object]>([
    ['404', answer(404), { code: 'NOT_FOUND', ...noData }],
    ['404 with Retry-After', answer(404, '', { retryAfter: '1' }), { code: 'NOT_FOUND', ...noData }],
    ['410', answer(410), { code: 'NOT_FOUND', ...noData }],
    ['no body', answer(200), { code: 'NO_DATA', ...noData }],
    ['204', answer(204), { code: 'NO_DATA', ...noData }],
    ['white space', answer(200, ' \n'), { code: 'NO_DATA', ...noData }],
    ['null', answer(200, 'null\n'), { code: 'NO_DATA', ...noData }],
    ['{}', answer(200, '{ }'), { code: 'NO_DATA', ...noData }],
    ['[]', answer(201, '[\n]'), { code: 'NO_DATA', ...noData }],
    ['""', answer(200, '""'), { code: 'NO_DATA', ...noData }],
    ['400', answer(400), httpError(400)],
    ['401', answer(401), httpError(401)],
    ['403', answer(403), httpError(403)],
    ['403 with a Retry-After of nonsense', answer(403, '', { retryAfter: 'soon' }), httpError(403)],
    ['401 with Retry-After', answer(401, '', { retryAfter: '1' }), httpError(401)],
    ['304', answer(304), httpError(304)],
    ['302 to another origin', answer(302, '', { redirect: elsewhere }), httpError(302, `, ${elsewhere}`)],
    ['499', answer(499), httpError(499)],
    ['what is not JSON', answer(200, '<html>'), badJson],
    ['what is not UTF-8', { ...answer(200), body: Buffer.from([0x22, 0xff, 0x22]) } as Step, badJson],
    [
      'more than the limit',
      { kind: 'too-large', status: 200 },
      { code: 'TOO_LARGE', message: 'Post 7 is larger than 1048576 bytes', retryable: false },
    ],
    [
      'more than 256 levels',
      answer(200, '['.repeat(257) + ']'.repeat(257)),
      { code: 'TOO_LARGE', message: 'Post 7 is nested more than 256 deep', retryable: false },
    ],
  ])('%s', async (_name, step, reason) => {
    const { outcome, requests } = await run([step]);
    const httpStatus = 'status' in step ? step.status : null;
    expect(outcome).toStrictEqual({
      id: 7,
      reason,
      httpStatus,
      attempts: 1,
      startedMs: 3,
      durationMs: 10,
      waitedMs: 0,
    });
    expect(requests).toHaveLength(1);
  });

  test('a message has at most 300 characters, whatever the origin sent, and shows all that it has', async () => {
    const { outcome } = await run([answer(302, '', { redirect: `\u001b[31m${'😀'.repeat(15_000)}` })]);
    const head = 'Post 7 answered HTTP 302, �[31m';
    expect(outcome).toMatchObject({ reason: { message: `${head}${'😀'.repeat(299 - head.length)}…` } });
  });

  test('the error tells of the status, and of nothing that the origin sent', async () => {
    const { settled } = await run([answer(302, '', { redirect: elsewhere })]);
    const { reason } = settled as PromiseRejectedResult;
    expect(reason.message).toBe('Post 7 answered HTTP 302');
    expect(inspect(reason, { depth: 10, showHidden: true })).not.toContain('evil');
    expect(JSON.stringify(reason)).not.toContain('evil');
  });

  test('the message names the id as it was given', async () => {
    const { outcome } = await run([answer(404)], {}, 'a-slug');
    expect(outcome).toMatchObject({ id: 'a-slug', reason: { message: 'No data for post a-slug' } });
  });
});

describe('what is tried again, up to the most attempts', () => {
  // Backoffs with a random of 0.5: 50, 100, 200 ms.
  const inFourAttempts = { attempts: 4, startedMs: 3, durationMs: 390, waitedMs: 350 };
  const httpError = (status: number) => ({
    code: 'HTTP_ERROR',
    message: `Post 7 answered HTTP ${status}`,
    retryable: true,
  });
  const rateLimited = (status: number) => ({
    code: 'RATE_LIMITED',
    message: `Post 7 was rate limited: HTTP ${status}`,
    retryable: true,
  });

  test.each<[string, Step, object]>([
    ['408', answer(408), httpError(408)],
    ['425', answer(425), httpError(425)],
    ['500', answer(500), httpError(500)],
    ['502', answer(502), httpError(502)],
    ['503 without Retry-After', answer(503), httpError(503)],
    ['503 with a Retry-After of nonsense', answer(503, '', { retryAfter: 'soon' }), httpError(503)],
    ['504', answer(504), httpError(504)],
    ['599', answer(599), httpError(599)],
    ['429', answer(429), rateLimited(429)],
    ['429 with a Retry-After of nonsense', answer(429, '', { retryAfter: '-1' }), rateLimited(429)],
    ['429 with a Retry-After of 0', answer(429, '', { retryAfter: '0' }), rateLimited(429)],
    ['503 with a Retry-After of 0', answer(503, '', { retryAfter: '0' }), rateLimited(503)],
    ...[403, 420, 430].map((status): [string, Step, object] => [
      `${status} with a Retry-After of 0`,
      answer(status, '', { retryAfter: '0' }),
      rateLimited(status),
    ]),
    ...[403, 503].map((status): [string, Step, object] => [
      `${status} with a quota that is used up`,
      answer(status, '', { rateLimit: { 'x-ratelimit-remaining': '0' } }),
      rateLimited(status),
    ]),
    [
      'a connection that is reset',
      reset,
      {
        code: 'NETWORK',
        message: 'Post 7 could not be fetched: ECONNRESET',
        retryable: true,
        cause: 'ECONNRESET',
      },
    ],
  ])('%s', async (_name, step, reason) => {
    const { outcome, requests } = await run([step]);
    const httpStatus = 'status' in step ? step.status : null;
    expect(outcome).toStrictEqual({ id: 7, reason, httpStatus, ...inFourAttempts });
    expect(requests.map(({ atMs }) => atMs)).toStrictEqual([3, 63, 173, 383]);
  });

  test('an attempt that outruns its time', async () => {
    const { outcome, requests } = await run([{ kind: 'timed-out' }]);
    expect(outcome).toStrictEqual({
      id: 7,
      reason: { code: 'TIMEOUT', message: 'Post 7 did not come within 5000 ms', retryable: true },
      httpStatus: null,
      attempts: 4,
      startedMs: 3,
      durationMs: 20_350,
      waitedMs: 350,
    });
    expect(requests.map(({ timeoutMs }) => timeoutMs)).toStrictEqual([5_000, 5_000, 5_000, 5_000]);
  });

  test('the last attempt tells: its status, not that of the one before', async () => {
    const { outcome } = await run([answer(500), reset], { maxAttempts: 2 });
    expect(outcome).toMatchObject({ httpStatus: null, attempts: 2, reason: { code: 'NETWORK' } });
  });

  test('a failure that is final ends it before the most attempts', async () => {
    const { outcome } = await run([reset, answer(503, '', { retryAfter: '1' }), answer(404)]);
    expect(outcome).toMatchObject({ httpStatus: 404, attempts: 3, reason: { code: 'NOT_FOUND' } });
  });

  test('with one attempt there is no second', async () => {
    const { outcome, requests } = await run([answer(500)], { maxAttempts: 1 });
    expect(outcome).toStrictEqual({
      id: 7,
      reason: httpError(500),
      httpStatus: 500,
      attempts: 1,
      startedMs: 3,
      durationMs: 10,
      waitedMs: 0,
    });
    expect(requests).toHaveLength(1);
  });
});

test('a post that was hedged says so, whatever came of it', async () => {
  const clock = new FakeClock();
  const { signal } = new AbortController();
  let status = 200;
  const { fetchPost } = fetchingFrom({
    clock,
    hedge: true,
    concurrency: 2,
    // Each comes sooner than those before, but for the last two, whose second requests are as late.
    requestPost: (id) =>
      new Promise((resolve) =>
        clock.after(Number(id) < 39 ? 100 - Number(id) : 500, () =>
          resolve({ kind: 'response', status, body: Buffer.from('[1]') }),
        ),
      ),
  });
  const fetched: unknown[] = [];
  for (let id = 0; id < 41; id++) {
    if (id === 40) status = 404;
    const [settled] = await clock.runUntil(Promise.allSettled([fetchPost(id, signal)]));
    fetched.push(plain(settled));
  }
  expect(fetched.at(-2)).toMatchObject({ hedged: true, attempts: 1, value: '[1]' });
  expect(fetched.at(-1)).toMatchObject({ hedged: true, attempts: 1, reason: { code: 'NOT_FOUND' } });
  expect(fetched.at(0)).not.toHaveProperty('hedged');
});

test('a post in a coding that is not known names it, but not where errors are printed', async () => {
  const { outcome, settled } = await run([{ kind: 'unknown-coding', status: 200, coding: 'x'.repeat(100) }]);
  expect(outcome).toMatchObject({
    httpStatus: 200,
    attempts: 1,
    reason: {
      code: 'BAD_JSON',
      message: `Post 7 is in a content coding that is not known: ${'x'.repeat(100)}`,
      retryable: false,
    },
  });
  expect(settled).toMatchObject({ reason: { message: 'Post 7 is in a content coding that is not known' } });
});

describe('a run that may not go on asking', () => {
  const httpError = { code: 'HTTP_ERROR', message: 'Post 7 answered HTTP 500', retryable: true };

  test('a failure stands with what it has, where the retry budget is used up', async () => {
    const { outcome } = await run([answer(500)], { requested: 1, retryBudgetPercent: 0, maxAttempts: 20 });
    expect(outcome).toMatchObject({ reason: httpError, attempts: 11 });
  });

  const retryAfter = { retryAfter: '1' };
  const usedUp = answer(403, '', { rateLimit: { ratelimit: '"a";r=0;t=1' } });

  // Of a budget of 10 retries, 19 of refused posts use 6 and a third.
  test.each<[name: string, step: Step, retries: number, left: number]>([
    ['nothing where a refusal tells when to come back, by Retry-After', answer(429, '', retryAfter), 19, 10],
    ['nothing where a quota tells when to come back', usedUp, 19, 10],
    ['nothing where a refusal tells when to come back, with 503', answer(503, '', retryAfter), 19, 10],
    ['a third after a refusal that tells nothing', answer(429), 19, 3],
    ['a third after a refusal whose time is over', answer(429, '', { retryAfter: '0' }), 19, 3],
    ['a third after a 420 whose time is over', answer(420, '', { retryAfter: '0' }), 19, 3],
    ['a third after a 503 that tells nothing', answer(503), 19, 3],
    ['all of it after any other status', answer(502), 10, 0],
    ['all of it after a status that tells when to come back', answer(500, '', retryAfter), 10, 0],
    ['all of it after a connection that is reset', reset, 10, 0],
    ['all of it after a timeout', { kind: 'timed-out' }, 10, 0],
  ])('a retry costs %s', async (_name, step, retries, left) => {
    const clock = new FakeClock();
    const limits = { deadlineMs: 1_000_000, requested: 1, retryBudgetPercent: 0, maxAttempts: 20 };
    const { fetchPost, summary } = fetchingFrom({ requestPost: async () => step, clock, ...limits });
    const fetched = fetchPost(7, new AbortController().signal);
    await expect(clock.runUntil(fetched)).rejects.toMatchObject({ record: { attempts: retries + 1 } });
    expect(summary()).toMatchObject({ retries, retryBudgetLeft: left });
  });

  // What is put back for a refusal is counted in thirds, which one post alone does not show.
  test.each([429, 500])('a retry after %i that is not made costs nothing', async (status) => {
    const clock = new FakeClock();
    const requestPost = async () => answer(status);
    const { fetchPost, summary } = fetchingFrom({ requestPost, clock, deadlineMs: 50.5, requested: 1 });
    const fetched = [7, 8, 9].map((id) => fetchPost(id, new AbortController().signal));
    const tooLate = { reason: { reason: { code: 'DEADLINE' }, record: { attempts: 1 } } };
    expect(await clock.runUntil(Promise.allSettled(fetched))).toMatchObject([tooLate, tooLate, tooLate]);
    expect(summary()).toMatchObject({ retries: 0, retryBudgetLeft: 29 });
  });

  test('nor does one that was told when to come, where another post is told a time past the deadline', async () => {
    const clock = new FakeClock();
    const requestPost: RequestPost = async (id, _timeoutMs, signal) => {
      if (id === 8) await sleep(clock, 20, signal);
      return answer(429, '', { retryAfter: id === 8 ? '60' : '1' });
    };
    const { fetchPost, summary } = fetchingFrom({ requestPost, clock, concurrency: 2, requested: 1 });
    const fetched = [7, 8].map((id) => fetchPost(id, new AbortController().signal));
    const limited = { reason: { reason: { code: 'RATE_LIMITED' }, record: { attempts: 1 } } };
    expect(await clock.runUntil(Promise.allSettled(fetched))).toMatchObject([limited, limited]);
    expect(summary()).toMatchObject({ retries: 0, retryBudgetLeft: 29 });
  });

  test('a failure stands, where the origin cannot be reached', async () => {
    const unreachable: Step = { kind: 'failed', code: 'ECONNRESET', isReachable: false };
    const { outcome } = await run([unreachable], { requested: 100, maxAttempts: 20, random: () => 0 });
    expect(outcome).toMatchObject({ reason: { code: 'NETWORK', cause: 'ECONNRESET' }, attempts: 20 });
    const past = await run([unreachable], { requested: 100, maxAttempts: 22, random: () => 0 });
    expect(past.outcome).toStrictEqual({ ...(outcome as object), attempts: 20 });
  });
});

describe('an abort', () => {
  const never = new Promise<never>(() => {});

  test('during the backoff ends it at once, with the reason, and leaves no timer or listener', async () => {
    const clock = new FakeClock();
    const stopping = new AbortController();
    const { fetchPost } = fetchingFrom({ requestPost: async () => reset, clock });
    const fetched = fetchPost(7, stopping.signal);
    await setImmediate();
    expect(clock.pending).toBe(1);
    const reason = new Error('another post failed');
    stopping.abort(reason);
    await expect(Promise.race([fetched, never])).rejects.toBe(reason);
    expect([clock.now(), clock.pending]).toStrictEqual([0, 0]);
    expect(getEventListeners(stopping.signal, 'abort')).toStrictEqual([]);
  });

  test('during an attempt is what the attempt rejects with', async () => {
    const clock = new FakeClock();
    const reason = new Error('another post failed');
    const { fetchPost } = fetchingFrom({ requestPost: () => Promise.reject(reason), clock });
    await expect(fetchPost(7, new AbortController().signal)).rejects.toBe(reason);
    expect(clock.pending).toBe(0);
  });
});
