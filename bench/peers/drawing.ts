import { type Bar, type BarPanel, barChart } from '../support/bar-chart.ts';
import { spread } from '../support/spread.ts';
import type { Sample } from './contenders.ts';
import { type Measurements, samples } from './report.ts';
import type { Results } from './rounds.ts';

/** The figures of docs/benchmarks.md as bars. wrk is left out: it would make all others short. */
export function drawPeers({ throughput, latency, memory }: Measurements): string {
  const largest = memory.at(-1);
  const stalled = latency.find(({ stalls }) => stalls);
  const count = (value: number): string => Math.round(value).toLocaleString('en-US');
  const panels: BarPanel[] = throughput.map(({ posts, bytes, results }) => ({
    title: `Posts a second, ${count(posts)} posts of ${count(bytes)} bytes`,
    format: count,
    bars: bars(results, (sample) => sample.posts / sample.seconds),
  }));
  if (stalled) {
    const ideal = spread(stalled.ideals.map(({ stalledMs }) => stalledMs / 1_000)).median;
    panels.push({
      title: `Seconds for ${count(stalled.posts)} posts around 50 ms, 2 % stalled for 2 s: less is better`,
      format: (value) => value.toFixed(2),
      bars: bars(stalled.results, ({ seconds }) => seconds),
      mark: { name: 'ideal, stalls waited for', value: ideal },
    });
  }
  if (largest)
    panels.push({
      title: `Peak RSS in MB, ${count(largest.posts)} posts of 300 bytes: less is better`,
      format: count,
      bars: bars(largest.results, ({ peakRssBytes }) => peakRssBytes / 1e6),
    });
  return barChart('Our handler and its peers', panels);
}

function bars(results: Results, figure: (sample: Sample) => number): Bar[] {
  return [...results].flatMap(([name, outcomes]) => {
    const own = samples(outcomes);
    if (!own || name.startsWith('wrk')) return [];
    const { median, least, most } = spread(own.map(figure));
    return { name: name.replaceAll('`', ''), value: median, least, most, isOurs: name.startsWith('our ') };
  });
}
