import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { waitFieldsOf } from '../../../../src/fetch/origin/answer/wait-fields.ts';
import type { AttemptResult, Response } from '../../../../src/fetch/origin/attempt.ts';
import { isRetryable, type Verdict, verdictOf } from '../../../../src/fetch/politeness/verdict.ts';

const DATE = new Date('2026-11-23T06:00:00.400Z');

const response = (status: number, headers: Readonly<Record<string, string>> = {}): Response => ({
  kind: 'response',
  status,
  body: Buffer.alloc(0),
  ...waitFieldsOf(headers),
});

const verdictFor = (status: number, headers?: Readonly<Record<string, string>>): Verdict =>
  verdictOf(response(status, headers), DATE);

const answered: Verdict = {
  isRateLimited: false,
  isRetryable: false,
  feedback: 'answered',
  pauseMs: 0,
  isReachable: true,
};
const mayPass: Verdict = { ...answered, isRetryable: true };
const failed: Verdict = { ...mayPass, feedback: 'unknown' };
const overloaded: Verdict = { ...mayPass, feedback: 'overloaded' };
const throttled: Verdict = { ...mayPass, isRateLimited: true, feedback: 'throttled' };

const told = { 'retry-after': '3' };
const nothingLeft = { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '4' };
const someLeft = { 'x-ratelimit-remaining': '1', 'x-ratelimit-reset': '4' };

test.each<[statuses: readonly number[], plain: Verdict, told: Verdict, nothingLeft: Verdict]>([
  [
    [200, 204, 301, 304, 400, 401, 404, 410, 413, 451, 499],
    answered,
    answered,
    { ...answered, pauseMs: 4_000 },
  ],
  [[408, 425], mayPass, { ...mayPass, pauseMs: 3_000 }, { ...mayPass, pauseMs: 4_000 }],
  [[0, 42, 99, 500, 502, 504, 599], failed, { ...failed, pauseMs: 3_000 }, { ...failed, pauseMs: 4_000 }],
  [[403], answered, { ...throttled, pauseMs: 3_000 }, { ...throttled, pauseMs: 4_000 }],
  [[420, 430], answered, { ...throttled, pauseMs: 3_000 }, { ...answered, pauseMs: 4_000 }],
  [[429], throttled, { ...throttled, pauseMs: 3_000 }, { ...throttled, pauseMs: 4_000 }],
  [
    [503],
    overloaded,
    { ...overloaded, isRateLimited: true, pauseMs: 3_000 },
    { ...throttled, pauseMs: 4_000 },
  ],
])('HTTP %s: alone, with Retry-After, with a quota that is used up', (statuses, ...verdicts) => {
  for (const status of statuses) {
    expect([verdictFor(status), verdictFor(status, told), verdictFor(status, nothingLeft)]).toStrictEqual(
      verdicts,
    );
    const isRetryables = [response(status), response(status, told), response(status, nothingLeft)].map(
      isRetryable,
    );
    expect(isRetryables).toStrictEqual(verdicts.map((verdict) => verdict.isRetryable));
    // What says nothing changes nothing.
    expect(verdictFor(status, { 'retry-after': 'soon', ...someLeft })).toStrictEqual(verdicts[0]);
    expect(verdictFor(status, { age: '7', ...nothingLeft })).toStrictEqual(verdicts[0]);
  }
});

describe('Retry-After', () => {
  test('goes before a quota, as it is about this request', () => {
    expect(verdictFor(429, { 'retry-after': '3', ...nothingLeft }).pauseMs).toBe(3_000);
    expect(verdictFor(429, { 'retry-after': '0', ...nothingLeft }).pauseMs).toBe(0);
    expect(verdictFor(403, { 'retry-after': '60', ...someLeft })).toStrictEqual({
      ...throttled,
      pauseMs: 60_000,
    });
  });

  test('that cannot be read, or comes with a success, leaves the say to the quota', () => {
    expect(verdictFor(429, { 'retry-after': 'soon', ...nothingLeft }).pauseMs).toBe(4_000);
    expect(verdictFor(200, { 'retry-after': '3', ...nothingLeft }).pauseMs).toBe(4_000);
  });

  test('of 0 is a wait that is over', () => {
    expect(verdictFor(403, { 'retry-after': '0' })).toStrictEqual(throttled);
    expect(verdictFor(503, { 'retry-after': '0' })).toStrictEqual({ ...overloaded, isRateLimited: true });
  });

  test('counts of a response from a cache as well: it is never asked again sooner than it was told', () => {
    expect(verdictFor(429, { 'retry-after': '3', age: '2' }).pauseMs).toBe(3_000);
  });
});

describe("GitHub's 403", () => {
  const github = {
    'x-ratelimit-limit': '60',
    'x-ratelimit-remaining': '0',
    'x-ratelimit-used': '60',
    'x-ratelimit-resource': 'core',
  };
  const epoch = (date: string): string => String(Date.parse(date) / 1_000);

  test('is a limit until its reset', () => {
    const headers = { ...github, 'x-ratelimit-reset': epoch('2026-11-23T06:00:03Z') };
    expect(verdictFor(403, headers)).toStrictEqual({ ...throttled, pauseMs: 2_600 });
  });

  test('is one where it is not said for how long', () => {
    expect(verdictFor(403, github)).toStrictEqual(throttled);
  });

  test('is final while something is left', () => {
    const headers = {
      ...github,
      'x-ratelimit-remaining': '59',
      'x-ratelimit-reset': epoch('2026-11-23T06:00:03Z'),
    };
    expect(verdictFor(403, headers)).toStrictEqual(answered);
    expect(verdictFor(403, { 'x-ratelimit-reset': epoch('2026-11-23T06:00:03Z') })).toStrictEqual(answered);
  });

  test('whose reset is this very second, or was, is asked again in a second: it may have been rounded down', () => {
    for (const date of ['2026-11-23T06:00:00Z', '2026-11-23T05:59:50Z']) {
      const headers = { ...github, 'x-ratelimit-reset': epoch(date) };
      expect(verdictFor(403, headers)).toStrictEqual({ ...throttled, pauseMs: 1_000 });
      expect(verdictFor(200, headers)).toStrictEqual(answered);
    }
  });
});

describe("a time is by the origin's clock", () => {
  const until = (date: string | undefined, more: Readonly<Record<string, string>> = {}): number[] => {
    const headers = { ...(date !== undefined && { date }), ...more };
    const reset = String(Date.parse('2026-11-23T06:10:00Z') / 1_000);
    return [
      verdictFor(403, { ...headers, 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': reset }).pauseMs,
      verdictFor(429, { ...headers, 'retry-after': 'Mon, 23 Nov 2026 06:10:00 GMT' }).pauseMs,
    ];
  };

  test.each<[name: string, date: string, expected: number]>([
    ['ten minutes ahead of ours, but for 2 s', 'Mon, 23 Nov 2026 06:09:58 GMT', 2_000],
    ['ten minutes behind ours', 'Mon, 23 Nov 2026 05:50:00 GMT', 1_200_000],
    ['a second ahead', 'Mon, 23 Nov 2026 06:00:01 GMT', 599_000],
    ['a second behind', 'Mon, 23 Nov 2026 05:59:59 GMT', 601_000],
    ['ours, but for the parts of a second, which it leaves out', 'Mon, 23 Nov 2026 06:00:00 GMT', 600_000],
    ['one that is off by days', 'Thu, 01 Jan 1970 00:00:00 GMT', 599_600],
    ['one in other words', '"Monday, 23-Nov-26 06:09:58  UTC"', 2_000],
    ['none that can be read', 'today', 599_600],
  ])('%s', (_name, date, expected) => {
    expect(until(date)).toStrictEqual([expected, expected]);
  });

  test('or by ours, where there is no Date', () => {
    expect(until(undefined)).toStrictEqual([599_600, 599_600]);
  });

  test('a Date from a cache is as old as the response', () => {
    expect(until('Mon, 23 Nov 2026 05:50:00 GMT', { age: '600' })).toStrictEqual([0, 599_600]);
  });
});

test('whatever the fields hold, the pause is a time of at least 0', () => {
  const name = fc.oneof(
    fc.constantFrom(
      'retry-after',
      'date',
      'age',
      'ratelimit',
      'ratelimit-policy',
      'ratelimit-limit',
      'ratelimit-remaining',
      'ratelimit-reset',
      'x-ratelimit-limit',
      'x-ratelimit-remaining',
      'x-ratelimit-reset',
      'x-ratelimit-reset-after',
      'x-rate-limit-remaining',
      'x-rate-limit-reset',
      'x-ratelimit-remaining-minute',
      'x-ratelimit-requests-remaining',
      'x-ratelimit-reset-requests',
    ),
    fc
      .array(
        fc.constantFrom(
          'x-',
          'ratelimit',
          'rate-limit',
          '-',
          'remaining',
          'reset',
          'limit',
          'after',
          'policy',
          '__proto__',
        ),
      )
      .map((parts) => parts.join('')),
  );
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc
      .array(
        fc.constantFrom(
          ...'":%@;=?,()*.- \t0159abdhmnrstuqw',
          'reset=',
          'remaining=',
          '"default"',
          'Mon',
          'GMT',
          '2026-',
        ),
      )
      .map((parts) => parts.join('')),
    fc.integer().map(String),
    fc.double().map(String),
    fc.tuple(fc.integer(), fc.integer()).map(([r, t]) => `"a";r=${r};t=${t}`),
    fc.tuple(fc.integer(), fc.integer()).map(([r, t]) => `limit=1, remaining=${r}, reset=${t}`),
    fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
    fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  );
  const statuses = fc.constantFrom(200, 403, 404, 420, 429, 500, 503);
  fc.assert(
    fc.property(statuses, fc.dictionary(name, text), (status, headers) => {
      expect(verdictFor(status, headers).pauseMs).toBeGreaterThanOrEqual(0);
      expect(isRetryable(response(status, headers))).toBe(verdictFor(status, headers).isRetryable);
    }),
    { numRuns: 3_000 },
  );
});

test.each([
  ['a reset, and not what is left', { 'x-ratelimit-limit': '5000', 'x-ratelimit-reset': '3000' }],
  ['that some is left', { ratelimit: '"d";q=5;t=3000' }],
])('503 that tells of %s asks for no pause', (_name, rateLimit) => {
  const response = { kind: 'response', status: 503, body: Buffer.alloc(0), rateLimit } as const;
  expect(verdictOf(response, new Date())).toStrictEqual(overloaded);
});

test.each<[name: string, result: AttemptResult, verdict: Verdict]>([
  ['no answer in time', { kind: 'timed-out' }, { ...failed, feedback: 'timed-out', isReachable: undefined }],
  ['a failure', { kind: 'failed', code: 'ECONNRESET' }, { ...failed, isReachable: undefined }],
  [
    'a failure of a new connection',
    { kind: 'failed', code: 'ECONNREFUSED', isReachable: false },
    { ...failed, isReachable: false },
  ],
  [
    'a failure, of HTTP/2, that asks for calm',
    { kind: 'failed', code: 'ENHANCE_YOUR_CALM', isThrottled: true },
    { ...failed, feedback: 'throttled', isReachable: undefined },
  ],
  [
    'an answer behind one that asked for calm',
    { ...response(200), isThrottled: true },
    { ...answered, feedback: 'throttled' },
  ],
  ['a body that is too large', { kind: 'too-large', status: 200 }, answered],
  ['a coding that is not known', { kind: 'unknown-coding', status: 200, coding: 'x' }, answered],
])('%s', (_name, result, verdict) => {
  expect(verdictOf(result, DATE)).toStrictEqual(verdict);
  expect(isRetryable(result)).toBe(verdict.isRetryable);
});
