import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import type { Id } from '../../../../src/batch/ids.ts';
import type { AttemptResult, RequestPost } from '../../../../src/fetch/origin/attempt.ts';
import { Circuit } from '../../../../src/fetch/politeness/circuit.ts';
import { openGate } from '../../../../src/fetch/politeness/gate.ts';
import { Hedger } from '../../../../src/fetch/politeness/hedger.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { ANY_SLOT, DEADLINE_MS, type LimiterGiven, limiterWith } from '../../../support/limiter-world.ts';
import { quiet } from '../../../support/manual-mapper.ts';

const NEVER = new AbortController().signal;

const response = (
  status: number,
  fields: Partial<Extract<AttemptResult, { kind: 'response' }>> = {},
): AttemptResult => ({
  kind: 'response',
  status,
  body: Buffer.alloc(0),
  ...fields,
});
const failed = (code = 'ECONNREFUSED'): AttemptResult => ({ kind: 'failed', code, isReachable: false });

interface Request {
  readonly id: Id;
  readonly atMs: number;
  readonly timeoutMs: number;
  readonly onOtherConnection: boolean;
}

type Answer = (request: Request) => { readonly lastsMs?: number; readonly result: AttemptResult };

interface WorldOptions extends LimiterGiven {
  readonly answer?: Answer;
  readonly attemptTimeoutMs?: number;
  readonly hedge?: boolean;
}

/** An origin that answers as it is told to, and what attempts posts there. */
function worldWith(options: WorldOptions = {}) {
  const { attemptTimeoutMs = 5_000, hedge = false } = options;
  const answer: Answer = options.answer ?? (() => ({ result: response(200) }));
  const { deadlineMs = DEADLINE_MS } = options;
  const { clock, limiter } = limiterWith({ random: () => 0, ...options });
  const circuit = new Circuit(clock);
  const requests: Request[] = [];
  const requestPost: RequestPost = (id, timeoutMs, signal, onOtherConnection = false) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const request = { id, atMs: clock.now(), timeoutMs, onOtherConnection };
      requests.push(request);
      const { lastsMs = 0, result } = answer(request);
      const onAbort = (): void => {
        cancel();
        reject(signal.reason);
      };
      const cancel = clock.after(Math.min(lastsMs, timeoutMs), () => {
        signal.removeEventListener('abort', onAbort);
        resolve(lastsMs < timeoutMs ? result : { kind: 'timed-out' });
      });
      signal.addEventListener('abort', onAbort, { once: true });
    });
  const hedger = hedge ? new Hedger(clock, limiter) : undefined;
  const ports = { requestPost, clock, limiter, circuit, hedger };
  const gate = openGate({ attemptTimeoutMs }, ports, deadlineMs);
  const attempt = (id: Id, isRetry = false) => clock.runUntil(gate.attempt(id, isRetry, isRetry, NEVER));
  return { clock, limiter, circuit, requests, gate, attempt, hedger };
}

describe('an attempt', () => {
  test('is one request, and tells when it started', async () => {
    const world = worldWith({ answer: () => ({ lastsMs: 30, result: response(404) }) });
    world.clock.advance(1_000);
    expect(await world.attempt('a')).toStrictEqual({
      result: response(404),
      startedMs: 1_000,
      cutShort: false,
      hedged: false,
    });
    expect(world.requests).toStrictEqual([
      { id: 'a', atMs: 1_000, timeoutMs: 5_000, onOtherConnection: false },
    ]);
    expect([world.clock.now(), world.clock.pending, world.gate.refusal()]).toStrictEqual([
      1_030,
      0,
      undefined,
    ]);
  });

  test('has its timeout from when its turn comes, and no time past the deadline', async () => {
    const world = worldWith({
      concurrency: 1,
      deadlineMs: 12_000,
      answer: () => ({ lastsMs: Infinity, result: response(200) }),
    });
    const made = await world.clock.runUntil(
      Promise.all([1, 2, 3, 4].map((id) => world.gate.attempt(id, false, false, NEVER))),
    );
    expect(world.requests.map(({ id, atMs, timeoutMs }) => [id, atMs, timeoutMs])).toStrictEqual([
      [1, 0, 5_000],
      [2, 5_000, 5_000],
      [3, 10_000, 2_000],
    ]);
    expect(made.map((each) => (typeof each === 'string' ? each : each.result))).toStrictEqual([
      { kind: 'timed-out' },
      { kind: 'timed-out' },
      { kind: 'timed-out' },
      'deadline',
    ]);
    // Whether the deadline left less than the timeout.
    expect(made.map((each) => (typeof each === 'string' ? undefined : each.cutShort))).toStrictEqual([
      false,
      false,
      true,
      undefined,
    ]);
    expect([world.gate.refusal(), world.clock.pending]).toStrictEqual(['deadline', 0]);
  });

  test('that is urgent goes before those of posts that wait; a retry by itself does not', async () => {
    const world = worldWith({
      concurrency: 1,
      answer: () => ({ lastsMs: 10, result: response(200) }),
    });
    const attempts = [
      world.gate.attempt('first', false, false, NEVER),
      world.gate.attempt('second', false, false, NEVER),
      world.gate.attempt('retry', true, false, NEVER),
      world.gate.attempt('urgent retry', true, true, NEVER),
    ];
    await world.clock.runUntil(Promise.all(attempts));
    expect(world.requests.map(({ id }) => id)).toStrictEqual(['first', 'urgent retry', 'second', 'retry']);
  });

  test('that rejects with the reason of an abort gives its place back', async () => {
    const world = worldWith({
      concurrency: 1,
      answer: () => ({ lastsMs: 1_000, result: response(200) }),
    });
    const stopping = new AbortController();
    const inFlight = world.gate.attempt('in flight', false, false, stopping.signal);
    const waiting = world.gate.attempt('waiting', false, false, stopping.signal);
    await quiet();
    const reason = new Error('stopped');
    stopping.abort(reason);
    await expect(inFlight).rejects.toBe(reason);
    await expect(waiting).rejects.toBe(reason);
    expect([world.clock.pending, getEventListeners(stopping.signal, 'abort')]).toStrictEqual([0, []]);
    expect(await world.attempt('next')).toMatchObject({ result: response(200) });
    expect(world.requests.map(({ id }) => id)).toStrictEqual(['in flight', 'next']);
  });

  test('that fails for a reason of its own gives its place back, too', async () => {
    const world = worldWith({
      concurrency: 1,
      answer: () => {
        throw new Error('a mistake');
      },
    });
    await expect(world.attempt('a')).rejects.toThrow('a mistake');
    await expect(world.attempt('b')).rejects.toThrow('a mistake');
  });
});

describe('what comes back', () => {
  test.each<[name: string, result: AttemptResult, final: number]>([
    ['HTTP 429', response(429), 1],
    ['HTTP 503', response(503), 1],
    ['HTTP 403 with Retry-After', response(403, { retryAfter: '0' }), 1],
    ['HTTP 403', response(403), 11],
    ['HTTP 200', response(200), 11],
    ['HTTP 404', response(404), 11],
    ['HTTP 200, and too many over HTTP/2', { ...response(200), isThrottled: true } as AttemptResult, 1],
    ['a body that is too large', { kind: 'too-large', status: 200 }, 11],
    ['a coding that is not known', { kind: 'unknown-coding', status: 200, coding: 'x' }, 11],
    ['a failure, as too many came over HTTP/2', { kind: 'failed', code: 'x', isThrottled: true }, 1],
    ['HTTP 500', response(500), 10],
    ['HTTP 504', response(504), 10],
    ['a failure of the network', failed(), 10],
    ['a timeout', { kind: 'timed-out' }, 1],
  ])('moves the limit of requests in flight: %s', async (_name, result, final) => {
    const world = worldWith({
      adaptive: true,
      concurrency: 11,
      answer: ({ id }) => ({ lastsMs: 100 + Number(id), result }),
    });
    const attempts = Array.from({ length: 20 }, (_, id) => world.gate.attempt(id, false, false, NEVER));
    await quiet();
    for (let i = 0; i < 10; i++) {
      world.clock.advance(i === 0 ? 100 : 1);
      await quiet();
    }
    expect(world.limiter.summary().concurrency.final).toBe(final);
    await world.clock.runUntil(Promise.all(attempts));
  });

  test.each<[name: string, result: AttemptResult, startMs: number]>([
    ['Retry-After with HTTP 429', response(429, { retryAfter: '2' }), 2_000],
    ['Retry-After with HTTP 503', response(503, { retryAfter: 'Mon, 23 Nov 2026 06:00:03 GMT' }), 3_000],
    ['a quota that is used up', response(200, { rateLimit: { ratelimit: '"default";r=0;t=4' } }), 4_000],
    ['Retry-After with HTTP 403', response(403, { retryAfter: '1.5' }), 2_000],
    ['Retry-After with HTTP 200', response(200, { retryAfter: '2' }), 0],
    ['Retry-After of nothing', response(429, { retryAfter: '0' }), 0],
  ])('pauses the whole origin where it asks for that: %s', async (_name, result, startMs) => {
    const world = worldWith({ answer: ({ id }) => ({ result: id === 'asks' ? result : response(200) }) });
    await world.attempt('asks');
    await world.attempt('another');
    expect(world.requests.map(({ id, atMs }) => [id, atMs])).toStrictEqual([
      ['asks', 0],
      ['another', startMs],
    ]);
  });

  test('does not let another request start between the answer that asks for a pause and the pause', async () => {
    const world = worldWith({
      concurrency: 1,
      answer: () => ({ result: response(429, { retryAfter: '2' }) }),
    });
    const attempts = [1, 2].map((id) => world.gate.attempt(id, false, false, NEVER));
    await world.clock.runUntil(Promise.all(attempts));
    expect(world.requests.map(({ atMs }) => atMs)).toStrictEqual([0, 2_000]);
  });

  test('ends the run where it asks for more than there is time', async () => {
    const world = worldWith({
      concurrency: 1,
      answer: () => ({ result: response(429, { retryAfter: '60' }) }),
    });
    const attempts = [1, 2, 3].map((id) => world.gate.attempt(id, false, false, NEVER));
    const [first, ...others] = await world.clock.runUntil(Promise.all(attempts));
    expect(first).toMatchObject({ result: { status: 429 } });
    expect(others).toStrictEqual(['rate-limited', 'rate-limited']);
    expect([await world.attempt(4, true), world.gate.refusal()]).toStrictEqual([
      'rate-limited',
      'rate-limited',
    ]);
    expect([world.clock.now(), world.requests.length]).toStrictEqual([0, 1]);
  });
});

describe('a quota that is told', () => {
  const policy = { 'ratelimit-policy': '"default";q=10;w=1' };
  const startsOf = async (fields: Partial<Extract<AttemptResult, { kind: 'response' }>>, adaptive = true) => {
    const world = worldWith({
      adaptive,
      concurrency: 2,
      answer: () => ({ lastsMs: 10, result: response(200, fields) }),
    });
    const attempts = [1, 2, 3, 4].map((id) => world.gate.attempt(id, false, false, NEVER));
    await world.clock.runUntil(Promise.all(attempts));
    return world.requests.map(({ atMs }) => Math.round(atMs));
  };

  test('sets the pace from the first answer on, whatever is left of it', async () => {
    const left = { rateLimit: { ratelimit: '"default";r=9;t=1', ...policy } };
    expect(await startsOf(left)).toStrictEqual([0, 0, 206, 309]);
    const date = new Date(FakeClock.startDate).toUTCString();
    expect(await startsOf({ ...left, date })).toStrictEqual([0, 0, 206, 309]);
  });

  test('that is used up for a moment sets the pace as well, and pauses nothing', async () => {
    const usedUp = { rateLimit: { ratelimit: '"default";r=0;t=1', ...policy } };
    expect(await startsOf(usedUp)).toStrictEqual([0, 0, 206, 309]);
  });

  test('is nothing but a reason for pauses where the concurrency is fixed', async () => {
    const left = { rateLimit: { ratelimit: '"default";r=9;t=1', ...policy } };
    expect(await startsOf(left, false)).toStrictEqual([0, 0, 10, 10]);
    const usedUp = { rateLimit: { ratelimit: '"default";r=0;t=1', ...policy } };
    expect(await startsOf(usedUp, false)).toStrictEqual([0, 0, 1_010, 2_020]);
  });

  test('counts its time by the clock of the origin, to the part of a second that its Date leaves out', async () => {
    // By its clock, 3 s are left; by ours, an hour.
    const date = new Date(FakeClock.startDate.getTime() + 3_597_000).toUTCString();
    const reset = String((FakeClock.startDate.getTime() + 3_600_000) / 1_000);
    const rateLimit = {
      'x-ratelimit-limit': '4',
      'x-ratelimit-remaining': '3',
      'x-ratelimit-reset': reset,
    };
    const [, , third = 0, fourth = 0] = await startsOf({ rateLimit, date });
    expect(fourth - third).toBeGreaterThan(500);
    expect(fourth).toBeLessThan(3_000);
  });
});

test('a body that is not taken tells of a quota all the same', async () => {
  const rateLimit = { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '3' };
  for (const result of [
    { kind: 'too-large', status: 200, rateLimit },
    { kind: 'unknown-coding', status: 200, coding: 'x', rateLimit },
  ] as const) {
    const world = worldWith({ answer: () => ({ result }) });
    await world.attempt(1);
    await world.attempt(2);
    expect(world.requests.map(({ atMs }) => atMs)).toStrictEqual([0, 3_000]);
  }
});

describe('an origin that cannot be reached', () => {
  test('is asked twenty times, and once a second from then on', async () => {
    const world = worldWith({ concurrency: 1, answer: () => ({ lastsMs: 1, result: failed() }) });
    for (let id = 0; id < 20; id++)
      expect(await world.attempt(id)).toMatchObject({ result: { kind: 'failed' } });
    expect([world.gate.refusal(), await world.attempt(20), await world.attempt(21)]).toStrictEqual([
      'circuit-open',
      'circuit-open',
      'circuit-open',
    ]);
    expect(world.clock.now()).toBe(20);
    world.clock.advance(1_000);
    expect(world.gate.refusal()).toBe(undefined);
    const probes = await world.clock.runUntil(
      Promise.all([22, 23, 24].map((id) => world.gate.attempt(id, false, false, NEVER))),
    );
    expect(probes.map((made) => typeof made)).toStrictEqual(['object', 'string', 'string']);
    expect(world.requests.length).toBe(21);
  });

  test.each<[name: string, result: AttemptResult]>([
    ['HTTP 200', response(200)],
    ['HTTP 404', response(404)],
    ['HTTP 500', response(500)],
    ['a body that is too large', { kind: 'too-large', status: 200 }],
  ])('is reachable again once a probe has an answer: %s', async (_name, result) => {
    const world = worldWith({
      answer: ({ atMs }) => ({ result: atMs < 5_000 ? failed() : result }),
    });
    for (let id = 0; id < 20; id++) await world.attempt(id);
    world.clock.advance(5_000);
    await world.attempt('probe');
    for (let id = 0; id < 30; id++) await world.attempt(id);
    expect([world.requests.length, world.gate.refusal()]).toStrictEqual([51, undefined]);
  });

  test('is not one that answers too late: a timeout neither counts nor shows that it is there', async () => {
    const world = worldWith({
      answer: ({ id }) => ({ result: id === 'late' ? { kind: 'timed-out' } : failed() }),
    });
    for (let i = 0; i < 100; i++) await world.attempt('late');
    for (let id = 0; id < 19; id++) await world.attempt(id);
    await world.attempt('late');
    expect(world.gate.refusal()).toBe(undefined);
    await world.attempt(20);
    expect(world.gate.refusal()).toBe('circuit-open');
  });

  test('is not one whose answers fail behind their status, or that failed where it says nothing', async () => {
    const failures: readonly AttemptResult[] = [
      { kind: 'failed', code: 'ECONNRESET', isReachable: undefined },
      { kind: 'failed', code: 'Z_DATA_ERROR', isReachable: true },
    ];
    const world = worldWith({
      answer: ({ id }) => ({ result: failures[Number(id) % 2] as AttemptResult }),
    });
    for (let id = 0; id < 100; id += 2) await world.attempt(id);
    expect(world.gate.refusal()).toBe(undefined);
    await world.attempt(1);
    const { circuit } = world;
    for (let i = 0; i < 30; i++) circuit.failed();
    expect(world.gate.refusal()).toBe(undefined);
  });

  test('dismisses who waits for a turn', async () => {
    const world = worldWith({ concurrency: 20, answer: () => ({ lastsMs: 5, result: failed() }) });
    const made = await world.clock.runUntil(
      Promise.all(Array.from({ length: 50 }, (_, id) => world.gate.attempt(id, false, false, NEVER))),
    );
    expect(made.filter((each) => each === 'circuit-open')).toHaveLength(30);
    expect([world.requests.length, world.clock.now()]).toStrictEqual([20, 5]);
  });

  test('takes no places: those that are refused give theirs back', async () => {
    const world = worldWith({ concurrency: 2, answer: () => ({ result: failed() }) });
    for (let id = 0; id < 20; id++) await world.attempt(id);
    for (let id = 0; id < 10; id++) expect(await world.attempt(id)).toBe('circuit-open');
    expect(world.limiter.start(NEVER)).toStrictEqual(ANY_SLOT);
    expect(world.limiter.start(NEVER)).toStrictEqual(ANY_SLOT);
  });
});

describe('a hedge', () => {
  const slowPost: Answer = ({ id, onOtherConnection }) => ({
    lastsMs: id === 'slow' && !onOtherConnection ? 4_000 : 100,
    result: response(200),
  });

  test('is sent for a first attempt that is late, on another connection and with the time that is left', async () => {
    const world = worldWith({ hedge: true, answer: slowPost });
    for (let id = 0; id < 40; id++) await world.attempt(id);
    expect(await world.attempt('slow')).toMatchObject({
      result: response(200),
      startedMs: 4_000,
      hedged: true,
    });
    expect(world.requests.slice(40)).toStrictEqual([
      { id: 'slow', atMs: 4_000, timeoutMs: 5_000, onOtherConnection: false },
      { id: 'slow', atMs: 4_150, timeoutMs: 4_850, onOtherConnection: true },
    ]);
    expect([world.clock.now(), world.clock.pending]).toStrictEqual([4_250, 0]);
  });

  test('is not sent for a retry, whose post has failed', async () => {
    const world = worldWith({ hedge: true, answer: slowPost });
    for (let id = 0; id < 40; id++) await world.attempt(id);
    expect(await world.attempt('slow', true)).toMatchObject({ hedged: false, startedMs: 4_000 });
    expect([world.requests.length, world.clock.now()]).toStrictEqual([41, 8_000]);
  });

  test('pauses the origin as any request does', async () => {
    const world = worldWith({
      hedge: true,
      answer: (request) =>
        request.onOtherConnection
          ? { lastsMs: 1, result: response(429, { retryAfter: '9' }) }
          : slowPost(request),
    });
    for (let id = 0; id < 40; id++) await world.attempt(id);
    await world.attempt('slow');
    await world.attempt('next');
    expect(world.requests.slice(40).map(({ id, atMs }) => [id, atMs])).toStrictEqual([
      ['slow', 4_000],
      ['slow', 4_150],
      ['next', 13_151],
    ]);
  });
});
