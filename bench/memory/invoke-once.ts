/** Invokes the built function once, as Lambda would, and prints what that took: run in a process of its own. */
import type { DirectReply } from '../../src/lambda/events/reply.ts';
import { invokeBuilt } from '../support/built-function.ts';
import { readPeakRssBytes } from '../support/peak-rss.ts';

const posts = Number(process.argv[2]);
const startMs = performance.now();
const reply = (await invokeBuilt({ ids: [{ from: 1, to: posts }] })) as DirectReply;
const seconds = (performance.now() - startMs) / 1000;
const { userCPUTime, systemCPUTime } = process.resourceUsage();
const cpuSeconds = (userCPUTime + systemCPUTime) / 1e6;
console.log(JSON.stringify({ ...reply, seconds, cpuSeconds, peakRssBytes: readPeakRssBytes() }));
