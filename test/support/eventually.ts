import { setImmediate } from 'node:timers/promises';

/**
 * Resolves once `isTrue`, which is looked at each time that the event loop turns: however slow the machine is, and at
 * once where it is quick. What never comes true ends with the time of the test.
 */
export async function eventually(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await setImmediate();
}
