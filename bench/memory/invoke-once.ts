/** Invokes the built function once, as Lambda would, and prints what that took: run in a process of its own. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const posts = Number(process.argv[2]);
const bundle: typeof import('../../src/lambda/fetch.ts') = await import(
  join(import.meta.dirname, '../../dist/handler.js')
);
const startMs = performance.now();
const reply = await bundle.handler(
  { ids: [{ from: 1, to: posts }] },
  // All that the function uses of its context.
  { awsRequestId: crypto.randomUUID(), getRemainingTimeInMillis: () => 900_000 } as never,
);
const seconds = (performance.now() - startMs) / 1000;
const { userCPUTime, systemCPUTime } = process.resourceUsage();
const cpuSeconds = (userCPUTime + systemCPUTime) / 1e6;
console.log(JSON.stringify({ ...reply, seconds, cpuSeconds, peakRssBytes: peakRssBytes() }));

/** By Linux's own count: `maxRSS` begins with what the parent had when it forked this process. */
function peakRssBytes(): number {
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}
