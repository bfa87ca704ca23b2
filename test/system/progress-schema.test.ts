import { describe, expect, test } from 'vitest';
import { StoreError } from '../../src/base/errors.ts';
import {
  type Claim,
  claimAsOf,
  claimOf,
  claimText,
  failed,
  parseClaim,
  renewed,
} from '../../src/document/claim.ts';
import { problemOf } from '../../src/document/problem.ts';
import { PostError } from '../../src/fetch/outcome.ts';
import { claimFaults } from '../support/schemas.ts';

const now = new Date('2026-11-23T06:00:15.000Z');
const run = {
  id: 'run-1',
  trigger: 'api',
  requestId: '8f5f3cba-6a9f-4f0d-9f56-6c3f0c1d2e3f',
  startedAt: '2026-11-23T06:00:00.000Z',
  urlTemplate: 'https://example.com/posts/{id}',
  returnExceptions: false,
  requested: 40,
  idsSha256: 'a'.repeat(64),
} as const;
const running = claimOf(run, 'running', now);
const accepted = claimOf(run, 'accepted', now);
const figures = { done: 10, fulfilled: 9, rejected: 1, perSecond: 0.667, etaSeconds: 45 };
const reason = { code: 'NOT_FOUND', message: 'No data for post a', retryable: false } as const;
const postError = new PostError('a', reason, {
  httpStatus: 404,
  attempts: 1,
  startedMs: 0,
  durationMs: 1,
  waitedMs: 0,
});
const broken = failed(running, problemOf(new StoreError('oops')), now);

describe('the schema of a claim', () => {
  test.each<[string, Claim]>([
    ['running', running],
    ['renewed', renewed(running, figures, now)],
    ['that stands still', renewed(running, { ...figures, perSecond: 0, etaSeconds: null }, now)],
    ['accepted', accepted],
    ['failed', broken],
    ['failed by a post', failed(renewed(running, figures, now), problemOf(postError), now)],
    ['failed inside', failed(running, problemOf(new TypeError('oops')), now)],
    ['lost', claimAsOf(running, new Date('2026-11-23T07:00:00.000Z'))],
    ['never begun', claimAsOf(accepted, new Date('2026-11-23T07:00:00.000Z'))],
  ])('takes what the code writes, which the code reads: one that is %s', (_, claim) => {
    const text = claimText(claim);
    expect(claimFaults(JSON.parse(text))).toStrictEqual([]);
    expect(parseClaim(text, 'run-1')).toStrictEqual(claim);
  });

  test('takes the claim of a later version of the code, which says more', () => {
    expect(claimFaults({ ...running, weather: 'fine' })).toStrictEqual([]);
  });

  test.each(Object.keys(running))('and the code want the field %s', (field) => {
    const { [field]: _, ...rest } = { ...running } as Record<string, unknown>;
    expect(claimFaults(rest)).not.toStrictEqual([]);
    expect(() => parseClaim(JSON.stringify(rest), 'run-1')).toThrow(
      'What stands in the place of the progress',
    );
  });

  test.each(Object.keys(broken.problem ?? {}))('and the code want the field %s of a problem', (field) => {
    const { [field]: _, ...problem } = { ...broken.problem } as Record<string, unknown>;
    const claim = { ...broken, problem };
    expect(claimFaults(claim)).not.toStrictEqual([]);
    expect(() => parseClaim(JSON.stringify(claim), 'run-1')).toThrow(
      'What stands in the place of the progress',
    );
  });

  test.each<[string, object]>([
    ['a version', { version: 2 }],
    ['a state', { state: 'done' }],
    ['a mode', { returnExceptions: 'false' }],
    ['a count', { requested: -1 }],
    ['an outcome', { done: '10' }],
    ['a rate', { perSecond: '10' }],
    ['a problem', { state: 'failed', problem: 'oops' }],
  ])('and the code take no other %s', (_, more) => {
    expect(claimFaults({ ...running, ...more })).not.toStrictEqual([]);
    expect(() => parseClaim(JSON.stringify({ ...running, ...more }), 'run-1')).toThrow();
  });

  test.each<[string, object]>([
    ['a failed run without its problem', { state: 'failed' }],
    ['a running run with one', { problem: broken.problem }],
    ['a time of another form', { until: '2026-11-23' }],
    ['a hash that is none', { idsSha256: 'x' }],
  ])('takes no %s', (_, more) => {
    expect(claimFaults({ ...running, ...more })).not.toStrictEqual([]);
  });
});
