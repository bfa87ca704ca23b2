import { type Spread, spread } from '../support/spread.ts';
import { OURS, OURS_HEDGED, type Sample } from './contenders.ts';
import type { Outcome, Results } from './rounds.ts';

export interface ThroughputPart {
  readonly posts: number;
  readonly bytes: number;
  readonly results: Results;
}

export interface LatencyPart {
  readonly posts: number;
  readonly stalls: boolean;
  /** Of each round: the ideal list schedule without stalls, and with those that there are. */
  readonly ideals: readonly { readonly plainMs: number; readonly stalledMs: number }[];
  readonly results: Results;
}

export interface MemoryPart {
  readonly posts: number;
  readonly results: Results;
}

/** All that was measured; parts that were not are empty. */
export interface Measurements {
  readonly date: string;
  readonly machine: string;
  readonly upstream: string;
  readonly versions: readonly string[];
  readonly missing: readonly string[];
  readonly concurrency: number;
  readonly rounds: number;
  readonly throughput: readonly ThroughputPart[];
  readonly latency: readonly LatencyPart[];
  readonly memory: readonly MemoryPart[];
}

/** The measured part of docs/benchmarks.md. */
export function report(measurements: Measurements): string {
  const { date, machine, upstream, versions, missing, concurrency, rounds } = measurements;
  const { throughput, latency, memory } = measurements;
  return `${[
    `Measured on ${date}: ${machine}. Upstream: ${upstream}. ${versions.join(', ')}. At ${concurrency} in flight; medians of ${times(rounds)} where nothing else is said, the least and the most in brackets.`,
    ...missing.map((reason) => `Left out: ${reason}.`),
    ...ratios(measurements),
    ...throughput.flatMap(throughputSection),
    ...latency.flatMap(latencySection),
    ...memorySection(memory),
  ].join('\n\n')}\n`;
}

/** Of two contenders in the same round, so that what the machine did to both goes away. */
function ratioOf(
  results: Results | undefined,
  ours: string,
  theirs: string,
  figure: (sample: Sample) => number,
): Spread | undefined {
  const own = samples(results?.get(ours));
  const other = samples(results?.get(theirs));
  if (!own || !other) return undefined;
  return spread(own.map((sample, round) => figure(sample) / figure(other[round] as Sample)));
}

const perSecond = ({ posts, seconds }: Sample): number => posts / seconds;
const cpuMicros = ({ posts, cpuSeconds }: Sample): number => (cpuSeconds / posts) * 1e6;
const makespan = ({ seconds }: Sample): number => seconds;
const rss = ({ peakRssBytes }: Sample): number => peakRssBytes / 1e6;

function ratios({ throughput, latency, memory }: Measurements): string[] {
  const [first] = throughput;
  const stalled = latency.find(({ stalls }) => stalls);
  const largest = memory.at(-1);
  const columns = [
    ...throughput.map(({ posts, bytes, results }) => ({
      head: `posts/s, ${count(posts)} of ${size(bytes)}: more is better`,
      of: (name: string) => ratioOf(results, OURS, name, perSecond),
    })),
    ...(first
      ? [
          {
            head: `CPU a post of ${size(first.bytes)}: less is better`,
            of: (name: string) => ratioOf(first.results, OURS, name, cpuMicros),
          },
        ]
      : []),
    ...(stalled
      ? [
          {
            head: 'makespan with stalls, ours with HEDGE=on: less is better',
            of: (name: string) => ratioOf(stalled.results, OURS_HEDGED, name, makespan),
          },
        ]
      : []),
    ...(largest
      ? [
          {
            head: `peak RSS, ${count(largest.posts)} posts: less is better`,
            of: (name: string) => ratioOf(largest.results, OURS, name, rss),
          },
        ]
      : []),
  ];
  const names = new Set(
    [...throughput, ...latency, ...memory]
      .flatMap(({ results }) => [...results.keys()])
      .filter((name) => !name.startsWith(OURS)),
  );
  const rows = [...names].map((name) => [name, ...columns.map(({ of }) => show(of(name), ratio))]);
  return [
    '### Our handler ÷ theirs',
    table(
      ['our handler, from the event to the stored document, ÷', ...columns.map(({ head }) => head)],
      rows,
    ),
  ];
}

function throughputSection({ posts, bytes, results }: ThroughputPart): string[] {
  return [
    `### Throughput: ${count(posts)} posts of ${size(bytes)}`,
    table(
      ['', 'our handler ÷ it', 'posts/s', 'CPU µs a post', 'peak RSS, MB', 'start-up, ms'],
      eachRow(results, (name, own) => [
        show(ratioOf(results, OURS, name, perSecond), ratio),
        show(spread(own.map(perSecond)), count),
        show(spread(own.map(cpuMicros)), count),
        show(spread(own.map(rss)), count),
        startUp(own),
      ]),
    ),
  ];
}

function startUp(own: readonly Sample[]): string {
  const times = own.flatMap(({ startUpMs }) => startUpMs ?? []);
  return times.length === 0 ? 'within' : show(spread(times), count);
}

function latencySection({ posts, stalls, ideals, results }: LatencyPart): string[] {
  const overIdeal = (own: readonly Sample[], ideal: 'plainMs' | 'stalledMs') =>
    show(
      spread(own.map(({ seconds }, round) => (seconds * 1_000) / (ideals[round]?.[ideal] ?? Number.NaN))),
      ratio,
    );
  const ideal = (which: 'plainMs' | 'stalledMs') =>
    `${show(spread(ideals.map((round) => round[which] / 1_000)), seconds)} s`;
  return [
    `### Bound by latency: ${count(posts)} posts, log-normal around 50 ms, ${stalls ? '2 % of them stalled for 2 s' : 'without stalls'}`,
    `Ideal list schedule: ${ideal('plainMs')}${stalls ? ` if nothing stalled, ${ideal('stalledMs')} if every stall is waited for` : ''}.`,
    table(
      [
        '',
        'makespan, s',
        ...(stalls ? ['÷ ideal, stalls waited for', '÷ ideal, nothing stalls'] : ['÷ ideal']),
        'CPU µs a post',
      ],
      eachRow(results, (_name, own) => [
        show(spread(own.map(makespan)), seconds),
        ...(stalls ? [overIdeal(own, 'stalledMs')] : []),
        overIdeal(own, 'plainMs'),
        show(spread(own.map(cpuMicros)), count),
      ]),
    ),
  ];
}

function memorySection(memory: readonly MemoryPart[]): string[] {
  const [first] = memory;
  if (!first) return [];
  const rows = [...first.results.keys()].map((name) => [
    name,
    ...memory.map(({ results }) => {
      const own = samples(results.get(name));
      return own ? show(spread(own.map(rss)), count) : failure(results.get(name));
    }),
  ]);
  return [
    '### Memory: peak RSS in MB',
    table(
      [
        '',
        ...memory.map(
          ({ posts, results }) =>
            `${count(posts)} posts, ${times(results.values().next().value?.length ?? 0)}`,
        ),
      ],
      rows,
    ),
  ];
}

function eachRow(
  results: Results,
  cells: (name: string, own: readonly Sample[]) => readonly string[],
): string[][] {
  return [...results].map(([name, outcomes]) => {
    const own = samples(outcomes);
    return own ? [name, ...cells(name, own)] : [name, failure(outcomes)];
  });
}

/** Undefined unless the contender came through in every round. */
export function samples(outcomes: readonly Outcome[] | undefined): Sample[] | undefined {
  const own = outcomes?.flatMap((outcome) => ('failed' in outcome ? [] : outcome));
  return own && own.length > 0 && own.length === outcomes?.length ? own : undefined;
}

function failure(outcomes: readonly Outcome[] | undefined): string {
  if (!outcomes) return '–';
  const failures = outcomes.flatMap((outcome) => ('failed' in outcome ? outcome.failed : []));
  const last = (failures[0] ?? '').trim().split('\n').at(-1) ?? '';
  return `failed in ${failures.length} of ${times(outcomes.length)}: ${last.replaceAll('|', '\\|').slice(0, 160)}`;
}

function show(values: Spread | undefined, format: (value: number) => string): string {
  if (!values) return '–';
  const { median, least, most } = values;
  return least === most ? format(median) : `${format(median)} (${format(least)}–${format(most)})`;
}

const times = (rounds: number): string => `${rounds} ${rounds === 1 ? 'round' : 'rounds'}`;
const ratio = (value: number): string => value.toFixed(2);
const seconds = (value: number): string => value.toFixed(2);
const count = (value: number): string => Math.round(value).toLocaleString('en-US');
const size = (bytes: number): string => (bytes < 1_000 ? `${bytes} bytes` : `${bytes / 1_000} KB`);

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const padded = rows.map((row) => [
    ...row,
    ...new Array<string>(Math.max(0, heads.length - row.length)).fill(''),
  ]);
  return [
    line(heads),
    line(heads.map((_, column) => (column === 0 ? '---' : '---:'))),
    ...padded.map(line),
  ].join('\n');
}
