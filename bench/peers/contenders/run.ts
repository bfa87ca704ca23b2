/** Has one contender fetch one task, in a process of its own: run.ts <module> <task as JSON>. Prints a Report. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { readPeakRssBytes } from '../../support/peak-rss.ts';
import type { FetchAll, Report, Task } from './contender.ts';

const [, , module = '', taskJson = ''] = process.argv;
const task: Task = JSON.parse(taskJson);
const { fetchAll }: { readonly fetchAll: FetchAll } = await import(pathToFileURL(resolve(module)).href);

const calledAtMs = Date.now();
const cpuBefore = process.cpuUsage();
const startMs = performance.now();
const posts = await fetchAll(task);
const seconds = (performance.now() - startMs) / 1_000;
const { user, system } = process.cpuUsage(cpuBefore);
const peakRssBytes = readPeakRssBytes();

let count = 0;
let sumOfIds = 0;
for await (const { id } of posts) {
  count += 1;
  sumOfIds += id;
}
const report: Report = {
  seconds,
  cpuSeconds: (user + system) / 1e6,
  peakRssBytes,
  calledAtMs,
  count,
  sumOfIds,
};
// The last line: those before are the function's own log. Idle connections would keep the process for a while.
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit());
