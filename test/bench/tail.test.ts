import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { drawLatencies, type LatencyMs, listSchedule, logNormal } from '../../bench/support/latency.ts';
import { lineChart } from '../../bench/support/line-chart.ts';
import { VirtualClock } from '../../bench/support/virtual-clock.ts';
import { openCourt } from '../../bench/tail/judge.ts';
import { simulate } from '../../bench/tail/run.ts';
import {
  type Batch,
  extraRequests,
  fetchBatch,
  fetchFrom,
  idealMs,
  shareOfPossible,
  turnedAway,
} from '../../bench/tail/scenarios.ts';
import { judgeStart } from '../../bench/tail/start.ts';

describe('the tail, in virtual time', () => {
  test('a batch takes hardly longer than the ideal list schedule at fixed concurrency', async () => {
    const batch: Batch = { posts: 2_000, distribution: 'log-normal', seed: 1 };
    const { makespanMs, fulfilled } = await fetchBatch(batch, false, {});
    expect([fulfilled, makespanMs <= 1.05 * idealMs(batch, false)]).toStrictEqual([2_000, true]);
  });

  test('the start of a run is fast, by the verdicts of the bench', async () => {
    const { judge, verdicts } = openCourt();
    await judgeStart(judge);
    expect(verdicts.filter(({ result }) => result === 'missed')).toStrictEqual([]);
    expect(verdicts.length).toBeGreaterThan(0);
  });

  test('a court misses a target by its worst value', () => {
    const { judge, verdicts } = openCourt();
    judge('most', [1, 3], 2, true);
    judge('least', [1, 3], 2, false);
    judge('reached', [2, 2], 2, true);
    expect(verdicts).toStrictEqual([
      { target: 'most', limit: '≤ 2', measured: '3.000', result: 'missed' },
      { target: 'least', limit: '≥ 2', measured: '1.000', result: 'missed' },
      { target: 'reached', limit: '≤ 2', measured: '2.000', result: 'reached' },
    ]);
  });

  test('hedging takes most of what stalls cost, for few more requests', async () => {
    const batch: Batch = { posts: 10_000, distribution: 'log-normal', seed: 1 };
    const plain = await fetchBatch(batch, false, {});
    const hedged = await fetchBatch(batch, true, { hedge: true });
    expect(hedged.fulfilled).toBe(10_000);
    expect(hedged.makespanMs / plain.makespanMs).toBeLessThanOrEqual(1.3);
    expect(extraRequests(hedged)).toBeLessThanOrEqual(0.05);
  });

  test('hedges are at most 5 % of the posts that were asked for by then, and 10 more once none is left', async () => {
    let beyond = 0;
    const batches = fc.record({
      posts: fc.integer({ min: 1, max: 500 }),
      sigma: fc.constantFrom(0.1, 0.5, 1),
      share: fc.constantFrom(0, 0.02, 0.1),
      seed: fc.integer(),
      adaptive: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(batches, async ({ posts, sigma, share, seed, adaptive }) => {
        const draw = drawLatencies(seed, logNormal(50, sigma), { share, stallMs: 2_000 });
        let asked = 0;
        let hedges = 0;
        const latencyMs: LatencyMs = (post, request) => {
          if (request === 0) asked += 1;
          else hedges += 1;
          if (hedges > 0.05 * asked) {
            beyond += 1;
            expect([asked, hedges <= 0.05 * asked + 10]).toStrictEqual([posts, true]);
          }
          return Math.min(draw(post, request), 4_000);
        };
        const { report, fulfilled } = await simulate({ adaptive, hedge: true }, { posts, latencyMs });
        expect([fulfilled, report.hedges]).toStrictEqual([posts, hedges]);
      }),
      { numRuns: 50 },
    );
    // Or nothing of this was seen.
    expect(beyond).toBeGreaterThan(0);
  });

  test('an origin that throttles over a rate is asked at nearly that rate, and seldom over it', async () => {
    const batch = { posts: 2_000, medianMs: 50, seed: 1 };
    const run = await fetchFrom('token bucket', batch, { adaptive: true });
    expect(run.fulfilled).toBe(2_000);
    expect(shareOfPossible('token bucket', batch, run)).toBeGreaterThanOrEqual(0.95);
    expect(turnedAway(run)).toBeLessThan(0.02);
  });

  test('no post is lost by an origin that takes nothing for most of each minute', async () => {
    const run = await fetchFrom(
      '60 in each minute',
      { posts: 150, medianMs: 50, seed: 1 },
      { adaptive: true },
    );
    expect([run.fulfilled, run.rejected]).toStrictEqual([150, 0]);
  });

  test('the same batch gives the same run', async () => {
    const run = () =>
      fetchFrom('100 in each second', { posts: 300, medianMs: 50, seed: 7 }, { adaptive: true, hedge: true });
    expect(await run()).toStrictEqual(await run());
  });
});

describe('what the bench rests on', () => {
  test('a list schedule starts each post, in order, where a slot is free first', () => {
    expect(listSchedule([5, 3, 1, 2, 1], 2)).toStrictEqual([5, 3, 4, 6, 6]);
  });

  test('the clock lets timers go off in the order of their times, each after all that came of the one before', async () => {
    const clock = new VirtualClock();
    const log: string[] = [];
    const at = (name: string) => log.push(`${name} at ${clock.now()}`);
    const times = [40, 10, 30, 10, 20, 50, 5];
    for (const ms of times) clock.after(ms, () => void Promise.resolve().then(() => at(`set for ${ms}`)));
    const cancel = clock.after(15, () => at('cancelled'));
    cancel();
    const last = new Promise<void>((resolve) => clock.after(60.9, resolve));
    await clock.runUntil(last);
    at('end');
    const inOrder = times.toSorted((a, b) => a - b).map((ms) => `set for ${ms} at ${ms}`);
    expect(log).toStrictEqual([...inOrder, 'end at 60']);
  });

  test('the clock says that a promise will never settle', async () => {
    const never = new Promise<never>(() => {});
    await expect(new VirtualClock().runUntil(never)).rejects.toThrow('no timer is left');
  });

  test('a chart has a path a curve and names its axes', () => {
    const svg = lineChart('Nothing much', [
      {
        title: 'A line',
        yLabel: 'posts',
        curves: [
          {
            name: 'up',
            colour: 'blue',
            points: [
              [0, Infinity],
              [1, 5],
              [2, 10],
            ],
          },
        ],
      },
    ]);
    expect(svg.match(/<path class="blue" d="M[\d.]+ [\d.]+L[\d.]+ [\d.]+"\/>/g)).toHaveLength(1);
    expect(svg).toContain('>posts</text>');
    expect(svg).toContain('seconds since the run started');
  });
});
