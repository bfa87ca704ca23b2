import { parseArgs } from 'node:util';
import { type Spread, spread } from '../support/spread.ts';
import { type Invocation, startFunction } from './function.ts';

/*
 * What does it cost to compress outcomes? The built function with OUTPUT=ndjson.gz ÷ the same with ndjson, in turns, each
 * pair one round: posts a second, CPU, the size of what is stored, and memory. Posts have words of their own, or filler.
 * Exits with 1 where compressing costs more than 10 % of the posts a second.
 *
 * node bench/memory/compressed.ts [--rounds <most>]
 */
const CASES = [
  { posts: 2_000, postBytes: 150, hasWords: false, rounds: 9 },
  { posts: 10_000, postBytes: 150, hasWords: true, rounds: 9 },
  { posts: 100_000, postBytes: 150, hasWords: true, rounds: 5 },
  { posts: 2_000, postBytes: 20_000, hasWords: true, rounds: 5 },
];
const LEAST_RATIO = 0.9;

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '9' } } });
const benchFunction = await startFunction();
try {
  const rows = [];
  for (const { posts, postBytes, hasWords, rounds } of CASES) {
    const pairs: { plain: Invocation; packed: Invocation }[] = [];
    for (let round = 0; round < Math.min(rounds, Number(values.rounds)); round++) {
      const invoke = (output: 'ndjson' | 'ndjson.gz') =>
        benchFunction.invoke(posts, postBytes, { hasWords, output });
      // Neither is always the first.
      const packedFirst = round % 2 === 0 ? await invoke('ndjson.gz') : undefined;
      const plain = await invoke('ndjson');
      pairs.push({ plain, packed: packedFirst ?? (await invoke('ndjson.gz')) });
    }
    const ratio = (figure: (invocation: Invocation) => number): Spread =>
      spread(pairs.map(({ plain, packed }) => figure(packed) / figure(plain)));
    const perSecond = ratio(({ seconds }) => 1 / seconds);
    if (perSecond.median < LEAST_RATIO) process.exitCode = 1;
    const plainKb = spread(pairs.map(({ plain }) => plain.outcomesBytes / 1_000)).median;
    const packedKb = spread(pairs.map(({ packed }) => packed.outcomesBytes / 1_000)).median;
    rows.push({
      posts,
      'bytes a post': postBytes,
      title: hasWords ? 'words' : 'filler',
      'posts/s, ndjson': Math.round(posts / spread(pairs.map(({ plain }) => plain.seconds)).median),
      'gz ÷ ndjson: posts/s': show(perSecond),
      CPU: show(ratio(({ cpuSeconds }) => cpuSeconds)),
      'peak RSS': show(ratio(({ peakRssBytes }) => peakRssBytes)),
      'ndjson, KB': Math.round(plainKb),
      'gz, KB': Math.round(packedKb),
    });
  }
  console.table(rows);
  console.log(
    `${process.exitCode ? 'Missed' : 'Reached'}: compressed, not more than 10 % fewer posts a second. Node ${process.version}; medians of rounds in turns, the least and the most in brackets`,
  );
} finally {
  await benchFunction.close();
}

function show({ median, least, most }: Spread): string {
  return `${median.toFixed(2)} (${least.toFixed(2)}–${most.toFixed(2)})`;
}
