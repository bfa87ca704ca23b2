import { nodeOptions } from '../support/node-options.ts';
import { spread } from '../support/spread.ts';
import { type Invocation, startFunction } from './function.ts';

/*
 * Does memory grow with the batch? The peak RSS of the built function, with the heap that it has when deployed, for
 * batches of growing size of 300-byte posts: the sizes in turn, and the medians.
 */
const SIZES = [1_000, 10_000, 100_000];
const ROUNDS = 5;
const POST_BYTES = 300;

const benchFunction = await startFunction();
try {
  const rounds = new Map<number, Invocation[]>(SIZES.map((size) => [size, []]));
  for (let round = 0; round < ROUNDS; round++)
    for (const [size, invocations] of rounds) invocations.push(await benchFunction.invoke(size, POST_BYTES));
  const medians = [...rounds].map(([posts, invocations]) => ({
    posts,
    peakRssMb: spread(invocations.map(({ peakRssBytes }) => peakRssBytes)).median / 1e6,
    postsPerSecond: posts / spread(invocations.map(({ seconds }) => seconds)).median,
    cpuMicrosPerPost: (spread(invocations.map(({ cpuSeconds }) => cpuSeconds)).median / posts) * 1e6,
  }));
  const [base] = medians;
  console.table(
    medians.map(({ posts, peakRssMb, postsPerSecond, cpuMicrosPerPost }) => ({
      posts,
      'peak RSS, MB': Math.round(peakRssMb),
      [`above ${base?.posts} posts, MB`]: Math.round(peakRssMb - (base?.peakRssMb ?? Number.NaN)),
      'posts/s': Math.round(postsPerSecond),
      'CPU µs a post': Math.round(cpuMicrosPerPost),
    })),
  );
  console.log(`Node ${process.version}, ${nodeOptions()}; median of ${ROUNDS} rounds, start-up included`);
} finally {
  await benchFunction.close();
}
