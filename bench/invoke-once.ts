/** Invokes the built function once, as Lambda would, and prints what that took: run in a process of its own. */
import { join } from 'node:path';

const posts = Number(process.argv[2]);
const bundle: typeof import('../src/handler.ts') = await import(
  join(import.meta.dirname, '../dist/handler.js')
);
const startMs = performance.now();
const reply = await bundle.handler(
  { ids: [{ from: 1, to: posts }] },
  // All that the function uses of its context.
  { awsRequestId: crypto.randomUUID(), getRemainingTimeInMillis: () => 900_000 } as never,
);
const seconds = (performance.now() - startMs) / 1000;
const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
const cpuSeconds = (userCPUTime + systemCPUTime) / 1e6;
console.log(JSON.stringify({ ...reply, seconds, cpuSeconds, peakRssBytes: maxRSS * 1024 }));
