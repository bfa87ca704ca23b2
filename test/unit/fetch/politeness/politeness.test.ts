import { describe, expect, test } from 'vitest';
import type { AttemptResult, RequestPost } from '../../../../src/fetch/origin/attempt.ts';
import { startTraffic, type TrafficOptions } from '../../../../src/fetch/politeness/politeness.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { originOf } from '../../../support/scripted-origin.ts';

const NEVER = new AbortController().signal;
const GOOD: AttemptResult = { kind: 'response', status: 200, body: Buffer.from('{}') };

/** Traffic to an origin that answers every request after 100 ms, but each 40th, which is not a hedge, after 3 s. */
function trafficWith(options: Partial<TrafficOptions> = {}) {
  const clock = new FakeClock();
  let requests = 0;
  const requestPost: RequestPost = (id, _timeoutMs, signal, onOtherConnection) => {
    requests += 1;
    const lastsMs = Number(id) % 40 === 39 && !onOtherConnection ? 3_000 : 100;
    return new Promise((resolve, reject) => {
      const cancel = clock.after(lastsMs, () => resolve(GOOD));
      signal.addEventListener('abort', () => {
        cancel();
        reject(signal.reason);
      });
    });
  };
  const traffic = startTraffic({
    origin: originOf(requestPost).startRun(),
    clock,
    random: () => 0.5,
    concurrency: 20,
    adaptive: true,
    ratePerSecond: Infinity,
    retryBudgetPercent: 20,
    hedge: false,
    attemptTimeoutMs: 5_000,
    deadlineMs: 60_000,
    requested: 80,
    ...options,
  });
  const attemptAll = async (count: number): Promise<void> => {
    for (let id = 0; id < count; id++)
      await clock.runUntil(traffic.attemptPost.attempt(id, false, new AbortController().signal));
  };
  return { clock, traffic, attemptAll, requests: () => requests };
}

describe('the traffic of a run', () => {
  test('reports nothing before there is any', () => {
    expect(trafficWith().traffic.report()).toStrictEqual({
      throttledMs: 0,
      peakInFlight: 0,
      concurrency: { min: 10, max: 10, final: 10 },
      retries: 0,
      retryBudgetLeft: 26,
      hedges: 0,
      hedgesWon: 0,
    });
  });

  test('has hedges where they are asked for', async () => {
    const { clock, traffic, attemptAll, requests } = trafficWith({ hedge: true });
    await attemptAll(80);
    expect([requests(), clock.pending, clock.now()]).toStrictEqual([82, 0, 8_200]);
    expect(traffic.report()).toStrictEqual({
      throttledMs: 0,
      peakInFlight: 2,
      concurrency: { min: 10, max: 10, final: 10 },
      retries: 0,
      retryBudgetLeft: 26,
      hedges: 2,
      hedgesWon: 2,
    });
  });

  test('has none where they are not', async () => {
    const { traffic, attemptAll, requests } = trafficWith();
    await attemptAll(80);
    const { hedges, hedgesWon, peakInFlight } = traffic.report();
    expect([requests(), hedges, hedgesWon, peakInFlight]).toStrictEqual([80, 0, 0, 1]);
  });

  test('keeps to its rate, its fixed concurrency and its deadline', async () => {
    const { clock, traffic } = trafficWith({
      adaptive: false,
      ratePerSecond: 5,
      concurrency: 3,
      deadlineMs: 1_000,
    });
    const attempts = Array.from({ length: 10 }, (_, id) => traffic.attemptPost.attempt(id, false, NEVER));
    const made = await clock.runUntil(Promise.all(attempts));
    expect(made.map((each) => (typeof each === 'string' ? each : each.startedMs))).toStrictEqual([
      0,
      200,
      400,
      600,
      800,
      ...Array(5).fill('deadline'),
    ]);
    expect(traffic.report().concurrency).toStrictEqual({ min: 3, max: 3, final: 3 });
  });

  test('counts the retries that were taken out of the budget of the run', () => {
    const { traffic } = trafficWith({ requested: 5, retryBudgetPercent: 40 });
    traffic.retryBudget.take();
    traffic.retryBudget.take();
    const { retries, retryBudgetLeft } = traffic.report();
    expect([retries, retryBudgetLeft]).toStrictEqual([2, 10]);
  });
});

test('answers that nobody asked for are told of where there were any', async () => {
  const requestPost = originOf(() => expect.unreachable()).startRun().requestPost;
  const report = (unsolicited: number) =>
    trafficWith({ origin: { requestPost, unsolicited: () => unsolicited } }).traffic.report();
  expect('unsolicited' in report(0)).toBe(false);
  expect(report(3)).toMatchObject({ unsolicited: 3 });
});
