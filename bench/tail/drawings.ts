import { lineChart } from '../support/line-chart.ts';
import { CONCURRENCY, type Simulated } from './run.ts';
import { type Batch, fetchBatch, fetchFrom, idealCompletedMs } from './scenarios.ts';

export async function drawMakespan(): Promise<string> {
  const batch: Batch = { posts: 10_000, distribution: 'log-normal', seed: 1 };
  const curve = (completedMs: readonly number[]) =>
    Array.from({ length: 201 }, (_, index) => {
      const post = Math.round((index / 200) * (completedMs.length - 1));
      return [(completedMs[post] as number) / 1_000, post + 1] as const;
    });
  const unhedged = await fetchBatch(batch, true, {});
  const hedged = await fetchBatch(batch, true, { hedge: true });
  return lineChart('Posts completed over time, with and without hedging', [
    {
      title: '10,000 posts at 50 in flight, log-normal around 50 ms; 2 % of the requests stall for 2 s',
      yLabel: 'posts completed',
      curves: [
        {
          name: 'ideal, nothing stalls',
          colour: 'grey',
          dashed: true,
          points: curve(idealCompletedMs(batch, false)),
        },
        { name: 'stalls, HEDGE=on', colour: 'blue', points: curve(hedged.completedMs) },
        { name: 'stalls, HEDGE=off', colour: 'orange', points: curve(unhedged.completedMs) },
      ],
    },
  ]);
}

const BIN_MS = 500;

/** A second's worth of what happened, every half second. */
function perSecondOverTime(timesMs: readonly number[], endMs: number) {
  const bins = new Array<number>(Math.ceil(endMs / BIN_MS)).fill(0);
  for (const ms of timesMs) {
    const bin = Math.floor(ms / BIN_MS);
    bins[bin] = (bins[bin] ?? 0) + 1;
  }
  return bins.map((count, bin) => [((bin + 0.5) * BIN_MS) / 1_000, (count * 1_000) / BIN_MS] as const);
}

export async function drawThrottled(): Promise<string> {
  const batch = { posts: 2_000, medianMs: 50, seed: 1 };
  const adaptive = await fetchFrom('token bucket', batch, { adaptive: true });
  const fixed = await fetchFrom('token bucket', batch, {});
  const sent = ({ requests, makespanMs }: Simulated) =>
    perSecondOverTime(
      requests.map(({ startMs }) => startMs),
      makespanMs,
    );
  const throttled = ({ requests, makespanMs }: Simulated) =>
    perSecondOverTime(
      requests.filter((request) => request.throttled).map(({ startMs }) => startMs),
      makespanMs,
    );
  const every = adaptive.allowed.filter((_, index) => index % 2 === 0);
  const endS = adaptive.makespanMs / 1_000;
  const outcome = ({ fulfilled, rejected }: Simulated) =>
    `${fulfilled.toLocaleString('en-US')} posts came, ${rejected.toLocaleString('en-US')} rejected`;
  return lineChart('Requests to an origin that throttles over 100 a second, adaptive and fixed', [
    {
      title: `ADAPTIVE=on, where the origin takes 100 a second: ${outcome(adaptive)}`,
      yLabel: 'requests a second',
      curves: [
        { name: 'sent', colour: 'blue', points: sent(adaptive) },
        { name: 'answered 429', colour: 'orange', points: throttled(adaptive) },
      ],
    },
    {
      title: `ADAPTIVE=off: ${outcome(fixed)}`,
      yLabel: 'requests a second',
      curves: [
        { name: 'sent', colour: 'blue', points: sent(fixed) },
        { name: 'answered 429', colour: 'orange', points: throttled(fixed) },
      ],
    },
    {
      title: 'The limit of requests in flight',
      yLabel: 'requests',
      curves: [
        {
          name: 'ADAPTIVE=on',
          colour: 'blue',
          points: every.map(({ atMs, inFlight }) => [atMs / 1_000, inFlight] as const),
        },
        {
          name: 'ADAPTIVE=off',
          colour: 'grey',
          dashed: true,
          points: [
            [0, CONCURRENCY],
            [endS, CONCURRENCY],
          ],
        },
      ],
    },
  ]);
}
