import { describe, expect, test } from 'vitest';
import { RunConflictError } from '../../../src/base/errors.ts';
import {
  type Claim,
  claimAsOf,
  claimOf,
  claimText,
  failed,
  holds,
  parseClaim,
  progressIn,
  RunInProgressError,
  renewed,
} from '../../../src/document/claim.ts';
import { problem } from '../../../src/document/problem.ts';

const run = {
  id: 'run-1',
  trigger: 'schedule',
  requestId: 'request-1',
  startedAt: '2026-11-23T06:00:00.000Z',
  urlTemplate: 'https://example.com/posts/{id}',
  returnExceptions: true,
  requested: 40,
  idsSha256: 'a'.repeat(64),
} as const;
const at = (time: string): Date => new Date(`2026-11-23T${time}Z`);
const running = claimOf(run, 'running', at('06:00:00.020'));
const accepted = claimOf(run, 'accepted', at('06:00:00.020'));
const figures = { done: 10, fulfilled: 9, rejected: 1, perSecond: 0.667, etaSeconds: 45 };
const why = problem(502, 'No data for post 7', 'NOT_FOUND');

describe('the claim of a run', () => {
  test('that starts holds for a minute, and knows nothing yet of how far the run is', () => {
    expect(JSON.parse(claimText(running))).toStrictEqual({
      version: 1,
      runId: 'run-1',
      idsSha256: 'a'.repeat(64),
      returnExceptions: true,
      requestId: 'request-1',
      state: 'running',
      startedAt: '2026-11-23T06:00:00.000Z',
      beatAt: '2026-11-23T06:00:00.020Z',
      until: '2026-11-23T06:01:00.020Z',
      requested: 40,
      done: null,
      fulfilled: null,
      rejected: null,
      perSecond: null,
      etaSeconds: null,
    });
  });

  test('that is accepted holds for five minutes', () => {
    expect(accepted).toStrictEqual({ ...running, state: 'accepted', until: '2026-11-23T06:05:00.020Z' });
  });

  test('that is renewed holds for a minute more, and says how far the run is', () => {
    expect(renewed(running, figures, at('06:00:15.020'))).toStrictEqual({
      ...running,
      beatAt: '2026-11-23T06:00:15.020Z',
      until: '2026-11-23T06:01:15.020Z',
      ...figures,
    });
  });

  test('that fails holds no longer, says why, and how far the run was', () => {
    const claim = failed(renewed(running, figures, at('06:00:15.020')), why, at('06:00:17.000'));
    expect(claim).toStrictEqual({
      ...running,
      ...figures,
      state: 'failed',
      beatAt: '2026-11-23T06:00:17.000Z',
      until: '2026-11-23T06:00:17.000Z',
      etaSeconds: null,
      problem: why,
    });
  });

  test.each<[string, Claim, string, boolean]>([
    ['running', running, '06:01:00.019', true],
    ['running, at its end', running, '06:01:00.020', false],
    ['accepted', accepted, '06:05:00.019', true],
    ['accepted, at its end', accepted, '06:05:00.020', false],
    ['failed', { ...running, state: 'failed' }, '06:00:00.000', false],
    ['of a time that is none', { ...running, until: 'soon' }, '06:00:00.000', false],
  ])('holds others off until its time is over: %s', (_, claim, time, expected) => {
    expect(holds(claim, at(time))).toBe(expected);
  });

  test('is read as it stands while it holds, and where it failed', () => {
    expect(claimAsOf(running, at('06:01:00.019'))).toBe(running);
    const ended = failed(running, why, at('06:00:17.000'));
    expect(claimAsOf(ended, at('07:00:00.000'))).toBe(ended);
  });

  test.each([
    ['begun and not ended', running],
    ['accepted and never begun', accepted],
  ])('is that of a lost run where it has lapsed: %s', (what, claim) => {
    const found = renewed(claim, figures, at('06:00:15.020'));
    expect(claimAsOf(found, at('06:30:00.000'))).toStrictEqual({
      ...found,
      state: 'failed',
      etaSeconds: null,
      problem: {
        type: 'about:blank',
        title: 'Internal Server Error',
        status: 500,
        detail: `The run run-1 was ${what}`,
        code: 'RUN_LOST',
      },
    });
  });

  test('says how far the run is', () => {
    expect(progressIn(renewed(running, figures, at('06:00:15.020')))).toStrictEqual({
      requested: 40,
      ...figures,
    });
  });
});

describe('a claim as text', () => {
  test.each([
    ['running', running],
    ['renewed', renewed(running, figures, at('06:00:15.020'))],
    ['accepted', accepted],
    ['failed', failed(running, { ...why, id: 7 }, at('06:00:15.020'))],
    ['of a later version, which says more', { ...running, weather: 'fine' }],
  ])('is read back: %s', (_, claim) => {
    expect(parseClaim(claimText(claim), 'run-1')).toStrictEqual(claim);
  });

  test.each<[string, unknown]>([
    ['no JSON', undefined],
    ['null', null],
    ['of another run', { ...running, runId: 'run-2' }],
    ['of another version', { ...running, version: 2 }],
    ['in no state', { ...running, state: 'done' }],
    ['in a state that every object has', { ...running, state: 'toString' }],
    ['in a state that is no text', { ...running, state: ['running'] }],
    ['of a problem that is none', { ...running, state: 'failed', problem: 'oops' }],
    ['without a mode', { ...running, returnExceptions: undefined }],
    ['of figures in words', { ...running, done: 'all' }],
    ['a document', { version: 1, run, results: [] }],
  ])('is a conflict where it is something else: %s', (_, value) => {
    expect(() => parseClaim(value === undefined ? '<html>' : JSON.stringify(value), 'run-1')).toThrow(
      new RunConflictError('What stands in the place of the progress of run-1 is none'),
    );
  });
});

describe('a run that is in progress elsewhere', () => {
  const location = 's3://results/runs/run-1.json';

  test('is told with its claim, and where its document will be', () => {
    const error = new RunInProgressError(accepted, location, at('06:00:01.000'));
    expect({ ...error, message: error.message }).toStrictEqual({
      name: 'RunInProgressError',
      code: 'RUN_IN_PROGRESS',
      claim: accepted,
      location,
      retryAfterSeconds: 15,
      message: 'The run run-1 is accepted',
    });
  });

  test.each([
    ['when it may be done', { ...running, etaSeconds: 17 }, 7],
    ['in a second, where it should be done', { ...running, etaSeconds: 10 }, 1],
    ['when its claim would lapse, however long it takes', { ...running, etaSeconds: 600 }, 50],
    ['when it is heard of again, where nobody knows', running, 15],
    ['when its claim lapses, where that is sooner', { ...running, until: '2026-11-23T06:00:13.020Z' }, 3],
    ['in a second, where its claim has lapsed', { ...running, until: '2026-11-23T06:00:00.000Z' }, 1],
  ])('is worth asking for %s', (_, claim, seconds) => {
    expect(new RunInProgressError(claim, location, at('06:00:10.020')).retryAfterSeconds).toBe(seconds);
  });
});
