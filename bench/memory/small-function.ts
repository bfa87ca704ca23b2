import { spread } from '../support/spread.ts';
import { type Invocation, startFunction } from './function.ts';

/*
 * Do large batches fit into small functions? Each under the heap limit that Node gives itself in a function of that
 * memory, with a check of the peak RSS, and 100,000 posts no slower than 10,000. Exits with 1 where one does not.
 */
const CASES = [
  { posts: 10_000, postBytes: 300, memoryMb: 256 },
  { posts: 100_000, postBytes: 300, memoryMb: 256 },
  { posts: 1_000, postBytes: 1_048_000, memoryMb: 512 },
];
const ROUNDS = 3;

const benchFunction = await startFunction();
try {
  const rows = [];
  for (const { posts, postBytes, memoryMb } of CASES) {
    const invocations: Invocation[] = [];
    for (let round = 0; round < ROUNDS; round++)
      invocations.push(await benchFunction.invoke(posts, postBytes, { memoryMb }));
    const peakRssMb = Math.max(...invocations.map(({ peakRssBytes }) => peakRssBytes)) / 2 ** 20;
    const postsPerSecond = Math.round(posts / spread(invocations.map(({ seconds }) => seconds)).median);
    if (peakRssMb > memoryMb) process.exitCode = 1;
    rows.push({
      posts,
      'bytes a post': postBytes,
      'function, MiB': memoryMb,
      'peak RSS, MiB': Math.round(peakRssMb),
      'posts/s': postsPerSecond,
    });
  }
  const [ten, hundred] = rows.map((row) => row['posts/s']);
  if ((hundred ?? 0) < (ten ?? 0)) process.exitCode = 1;
  console.table(rows);
  console.log(
    `${process.exitCode ? 'Missed' : 'Reached'}: all within their memory, and 100,000 posts no slower than 10,000`,
  );
} finally {
  await benchFunction.close();
}
