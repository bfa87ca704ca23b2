import { type Bar, type BarPanel, barChart } from '../support/bar-chart.ts';
import { lineChart } from '../support/line-chart.ts';
import { spread } from '../support/spread.ts';
import { HEDGED_BEFORE, PERCENT_BEFORE, START_BEFORE } from './before.ts';
import { hedgedMakespans, quantile } from './hedging.ts';
import { fetchCell, MEDIANS_MS } from './pushback.ts';
import { CONCURRENCY, type Simulated } from './run.ts';
import { fetchFrom, type Origin } from './scenarios.ts';
import { startsOf } from './start.ts';

const times = (value: number): string => `${value.toFixed(2)} ×`;
const percent = (value: number): string => `${(100 * value).toFixed(0)} %`;
const count = (value: number): string => value.toLocaleString('en-US');

function before(name: string, value: number, most = value): Bar {
  return { name: `${name}, before`, value, least: value, most };
}

export async function drawStart(): Promise<string> {
  const bars: Bar[] = [];
  for (const [posts, worst] of Object.entries(START_BEFORE)) {
    const { least, most } = spread(
      await startsOf({ posts: Number(posts), distribution: 'log-normal' }, true),
    );
    const name = `${count(Number(posts))} posts`;
    bars.push({ name, value: most, least, most, isOurs: true }, before(name, worst));
  }
  return barChart('How long the start of a run takes', [
    {
      title: 'Makespan ÷ ideal: open origin, log-normal around 50 ms, worst of 5 seeds. Less is better',
      format: times,
      bars,
      mark: { name: 'ideal', value: 1 },
    },
  ]);
}

export async function drawPushback(): Promise<string> {
  const panels: BarPanel[] = [];
  for (const [origin, percents] of Object.entries(PERCENT_BEFORE[5_000]) as [Origin, readonly number[]][]) {
    const bars: Bar[] = [];
    for (const [index, medianMs] of MEDIANS_MS.entries()) {
      const { least, most } = spread((await fetchCell(origin, 5_000, medianMs)).shares);
      const name = `${medianMs} ms`;
      bars.push(
        { name, value: least, least, most, isOurs: true },
        before(name, (percents[index] as number) / 100),
      );
    }
    panels.push({ title: `${origin}: share of what is possible, 5,000 posts`, format: percent, bars });
  }
  return barChart('What a run gets of origins that push back, worst of 5 seeds', panels);
}

export async function drawHedging(): Promise<string> {
  const bars: Bar[] = [];
  for (const [posts, [median, p90]] of Object.entries(HEDGED_BEFORE)) {
    const { overIdeal } = await hedgedMakespans(Number(posts));
    const name = `${count(Number(posts))} posts`;
    bars.push(
      {
        name,
        value: quantile(overIdeal, 0.5),
        least: quantile(overIdeal, 0.5),
        most: quantile(overIdeal, 0.9),
        isOurs: true,
      },
      before(name, median, p90),
    );
  }
  return barChart('What hedging makes of posts that stall', [
    {
      title:
        'Makespan ÷ ideal without stalls, HEDGE=on, 2 % stall 40 × the median: median, and p90 as a line',
      format: times,
      bars,
      mark: { name: 'ideal', value: 1 },
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
  return bins.map((number, bin) => [((bin + 0.5) * BIN_MS) / 1_000, (number * 1_000) / BIN_MS] as const);
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
    `${count(fulfilled)} posts came, ${count(rejected)} rejected`;
  const requests = (run: Simulated) => [
    { name: 'sent', colour: 'blue', points: sent(run) } as const,
    { name: 'answered 429', colour: 'orange', points: throttled(run) } as const,
  ];
  return lineChart('Requests to an origin that throttles over 100 a second, adaptive and fixed', [
    {
      title: `ADAPTIVE=on, where the origin takes 100 a second: ${outcome(adaptive)}`,
      yLabel: 'requests a second',
      curves: requests(adaptive),
    },
    { title: `ADAPTIVE=off: ${outcome(fixed)}`, yLabel: 'requests a second', curves: requests(fixed) },
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
