import { vi } from 'vitest';
import { eventually } from './eventually.ts';
import { watch } from './manual-mapper.ts';
import type { SkippingClock } from './skipping-clock.ts';

/**
 * Settles as `promise` does, when the 60 s of its request go by, which fails again and again: in steps between two
 * tries that none of them takes for silence.
 */
export async function outlast<T>(promise: Promise<T>, clock: SkippingClock): Promise<T> {
  const state = watch(promise);
  const after = vi.spyOn(clock, 'after');
  const pauses = (): number => after.mock.calls.filter(([ms]) => ms === 0).length;
  for (let leftMs = 60_000; !state.settled; ) {
    const before = pauses();
    await eventually(() => state.settled || pauses() > before);
    const stepMs = Math.max(200, 0.3 * leftMs);
    clock.advance(stepMs);
    leftMs -= stepMs;
  }
  return promise;
}
