import { gatherStream } from '../../src/gather.ts';
import { logNormal, seeded } from '../support/latency.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

/*
 * What does the reorder window cost when a post stalls? The makespan of gatherStream in virtual time, against the
 * work divided by the posts in flight: 20,000 posts at 50 in flight, log-normal latency with a median of 50 ms, of
 * which some first run into the attempt timeout of 5 s. The same seeded latencies for every window.
 */
const POSTS = 20_000;
const CONCURRENCY = 50;
const MEDIAN_MS = 50;
const SIGMA = 0.5;
const STALL_MS = 5_000;
const STALLED = [0, 1 / 1_000, 1 / 100];
const WINDOWS = [256, 1_024, 4_096, 8_192, Number.POSITIVE_INFINITY];

function latencies(stalled: number): number[] {
  const random = seeded(7);
  const draw = logNormal(MEDIAN_MS, SIGMA);
  return Array.from({ length: POSTS }, () => {
    const latencyMs = draw(random);
    return random() < stalled ? STALL_MS + latencyMs : latencyMs;
  });
}

async function makespanMs(latenciesMs: readonly number[], window: number): Promise<number> {
  const clock = new VirtualClock();
  const fetched = (ms: number) => new Promise<void>((resolve) => clock.afterExactly(ms, resolve));
  const outcomes = gatherStream(latenciesMs, fetched, { concurrency: CONCURRENCY, window });
  const taken = async () => {
    let posts = 0;
    for await (const _ of outcomes) posts += 1;
    return posts;
  };
  if ((await clock.runUntil(taken())) !== POSTS) throw new Error('Expected every post to come');
  return clock.now();
}

const rows = [];
for (const stalled of STALLED) {
  const latenciesMs = latencies(stalled);
  const idealMs = latenciesMs.reduce((sum, ms) => sum + ms, 0) / CONCURRENCY;
  const row: Record<string, string> = { 'posts that stall': `${stalled * 100} %` };
  for (const window of WINDOWS)
    row[`window ${window}`] = ((await makespanMs(latenciesMs, window)) / idealMs).toFixed(2);
  rows.push(row);
}
console.table(rows);
