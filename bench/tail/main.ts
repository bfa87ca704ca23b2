import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { drawHedging, drawPushback, drawStart, drawThrottled } from './drawings.ts';
import { judgeHedging } from './hedging.ts';
import { type Judge, openCourt, type Row } from './judge.ts';
import { judgePushback } from './pushback.ts';
import { judgeResume } from './resume.ts';
import { judgeStart } from './start.ts';
import { judgeTold } from './told.ts';

/*
 * Is a run fast from the first post, and never pushy? The code of src/ in virtual time, against origins without
 * sockets: how long the start takes, what comes of origins that push back or tell of their quota, of a second run, and
 * of posts that stall. The same seeded latencies each time. Exits with 1 when a target is missed.
 */

const { judge, verdicts } = openCourt();

async function show(title: string, rowsOf: (judge: Judge) => Promise<Row[]>): Promise<void> {
  console.log(title);
  console.table(await rowsOf(judge));
}

const docs = join(import.meta.dirname, '../../docs');
await show('Makespan / ideal at 50 in flight, worst of the seeds', judgeStart);
await show('Origins that push back: share of what is possible, worst of the seeds', judgePushback);
await show(
  'Origins that tell of their quota: worst share of what is possible, requests turned away',
  judgeTold,
);
await show('A second run from the same origin', judgeResume);
await show('Hedging, 2 % of the requests stall for 40 times the median', judgeHedging);
await writeFile(join(docs, 'tail-start.svg'), await drawStart());
await writeFile(join(docs, 'tail-pushback.svg'), await drawPushback());
await writeFile(join(docs, 'tail-hedging.svg'), await drawHedging());
await writeFile(join(docs, 'tail-throttled.svg'), await drawThrottled());
console.log('Targets, over the worst seed of each');
console.table(verdicts);
if (verdicts.some(({ result }) => result === 'missed')) process.exitCode = 1;
