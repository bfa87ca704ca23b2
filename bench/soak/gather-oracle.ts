import { isDeepStrictEqual } from 'node:util';
import { compare, everyKind } from '../../test/oracle/comparison.ts';
import { askPython, findPython } from '../../test/oracle/python.ts';
import { sampleSchedules } from '../../test/oracle/schedules.ts';

/*
 * What `npm test` does with 1,000 generated schedules, with 100,000: runs each through CPython's asyncio and through
 * our gather, and compares who was started, cancelled and waited for, when it ended, and with what. Python works on
 * the next batch while ours runs this one.
 *
 * node bench/soak/gather-oracle.ts; GATHER_ORACLE_SCHEDULES for another number, GATHER_ORACLE_SEED for the same again.
 */
const BATCH = 2_000;
const count = Number(process.env.GATHER_ORACLE_SCHEDULES ?? 100_000);
const seed = Number(process.env.GATHER_ORACLE_SEED ?? Date.now() % 2 ** 31);

const python = findPython(process.env);
if ('missing' in python) console.warn(`Skipped: gather beside CPython's asyncio; ${python.missing}`);
else await soak(python.version);

async function soak(version: string): Promise<void> {
  const startMs = performance.now();
  const tally = new Map<string, number>(everyKind.map((kind) => [kind, 0]));
  const differences: string[] = [];
  let compared = 0;
  const batches = batchesOf(count);
  for (let next = batches.next(); !next.done; ) {
    const { schedules, answers, where } = next.value;
    const answered = await answers;
    next = batches.next();
    for (const [index, schedule] of schedules.entries()) {
      const { actual, expected, kinds } = await compare(schedule, answered[index]);
      compared += 1;
      for (const kind of kinds) tally.set(kind, (tally.get(kind) ?? 0) + 1);
      if (!isDeepStrictEqual(actual, expected))
        differences.push(
          `${where}, schedule ${index}: ${JSON.stringify({ schedule, expected, actual }, undefined, 1)}`,
        );
    }
  }
  const seconds = (performance.now() - startMs) / 1_000;
  console.log(`seed ${seed}: ${compared} schedules beside CPython ${version} in ${seconds.toFixed(0)} s`);
  console.log(JSON.stringify(Object.fromEntries(tally)));
  for (const difference of differences.slice(0, 5)) console.error(difference);
  const unmet = [...tally].filter(([, times]) => times === 0).map(([kind]) => kind);
  if (unmet.length > 0) console.error(`no schedule brought about: ${unmet.join(', ')}`);
  console.log(differences.length === 0 ? 'the same in each' : `${differences.length} differences`);
  process.exitCode = differences.length + unmet.length === 0 ? 0 : 1;
}

/** Each batch has a seed of its own, with which the test runs that batch alone. */
function* batchesOf(total: number) {
  for (let start = 0; start < total; start += BATCH) {
    const batchSeed = seed + start / BATCH;
    const size = Math.min(BATCH, total - start);
    const schedules = sampleSchedules(size, batchSeed);
    const answers = askPython(schedules);
    // Awaited a batch later; until then nobody else would hear of it.
    answers.catch(() => {});
    yield { schedules, answers, where: `GATHER_ORACLE_SEED=${batchSeed} GATHER_ORACLE_SCHEDULES=${size}` };
  }
}
