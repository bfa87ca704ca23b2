import { join } from 'node:path';
import fc from 'fast-check';
import { anyInvocation } from '../../test/system/fuzz/events.ts';
import { openFuzzWorld } from '../../test/system/fuzz/world.ts';

/*
 * 100,000 events of every kind and of none, for each of the built functions: none may crash one, or make it ask for
 * what is not its own (see test/system/fuzz/world.ts).
 *
 * npm run soak, or node bench/soak/fuzz.ts [<seed>]
 */
const RUNS = 100_000;

const world = await openFuzzWorld();
Object.assign(process.env, world.env);
// What a failed post costs a caller over HTTP is logged.
console.error = () => {};
const built = async (file: string) => (await import(join(import.meta.dirname, '../../dist', file))).handler;
const handlers = {
  fetch: await built('handler.js'),
  plan: await built('plan.js'),
  conclude: await built('conclude.js'),
};

const seed = process.argv[2];
const startMs = performance.now();
const {
  failed,
  seed: usedSeed,
  counterexample,
  errorInstance,
} = await fc.check(
  fc.asyncProperty(anyInvocation, async (invocation) => {
    const faults = await world.faultsOf(invocation, handlers);
    if (faults.length > 0) throw new Error(faults.join('\n'));
  }),
  { numRuns: RUNS, ...(seed !== undefined && { seed: Number(seed) }) },
);
const seconds = Math.round((performance.now() - startMs) / 1_000);
await world.close();
console.log(
  `${RUNS} events in ${seconds} s, seed ${usedSeed}: ${failed ? 'failed' : 'all as they have to be'}`,
);
if (failed) {
  console.log(JSON.stringify(counterexample).slice(0, 10_000));
  console.log(errorInstance);
  process.exitCode = 1;
}
