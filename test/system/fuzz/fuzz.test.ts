import fc from 'fast-check';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { anyInvocation } from './events.ts';
import { type FuzzWorld, openFuzzWorld } from './world.ts';

let world: FuzzWorld;

beforeAll(async () => {
  world = await openFuzzWorld();
  for (const [name, value] of Object.entries(world.env)) vi.stubEnv(name, value);
  // What a failed post costs a caller over HTTP is logged.
  vi.spyOn(console, 'error').mockImplementation(() => {});
});
afterAll(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  await world.close();
});

test('whatever the event, nothing crashes, leaks or leaves its place', { timeout: 300_000 }, async () => {
  const handlers = {
    fetch: (await import('../../../src/lambda/fetch.ts')).handler,
    plan: (await import('../../../src/lambda/plan.ts')).handler,
    conclude: (await import('../../../src/lambda/conclude.ts')).handler,
  };
  await fc.assert(
    fc.asyncProperty(anyInvocation, async (invocation) => {
      expect(await world.faultsOf(invocation, handlers)).toStrictEqual([]);
    }),
    { numRuns: 2_000 },
  );
});
