import type { Learned } from '../../src/fetch/politeness/learned.ts';
import {
  Limiter,
  type LimiterPorts,
  type LimiterSettings,
  type Slot,
} from '../../src/fetch/politeness/limiter.ts';
import { FakeClock } from './fake-clock.ts';
import { quiet } from './manual-mapper.ts';

export type LimiterGiven = Partial<
  LimiterSettings &
    LimiterPorts & {
      readonly startMs: number;
      readonly deadlineMs: number;
      readonly requested: number;
      readonly learned: Learned;
    }
>;

/** When requests through the limiter must have ended, unless a test says otherwise. */
export const DEADLINE_MS = 60_000;

/** A limiter that does not adapt, has no rate, and lets 10 requests be in flight, but for what is given. */
export function limiterWith(given: LimiterGiven = {}) {
  const clock = new FakeClock();
  const all = {
    clock,
    random: () => 0.5,
    concurrency: 10,
    adaptive: false,
    ratePerSecond: Infinity,
    startMs: 0,
    deadlineMs: DEADLINE_MS,
    requested: Infinity,
    ...given,
  };
  return { clock, limiter: new Limiter(all, all, all) };
}

/** A signal that does not abort. */
export const NEVER = new AbortController().signal;

/** The slot of each request, where the limiter does not adapt. */
export const ANY_SLOT: Slot = { seq: 0, activeMs: 0, resumedMs: 0, sentMs: 0, inFlight: 0 };

/** The slot of a request that need not wait for it. */
export function slotOf(limiter: Limiter): Slot {
  const slot = limiter.start(NEVER);
  if (slot === undefined || slot instanceof Promise) throw new Error('Expected a slot at once');
  return slot;
}

export const slotsOf = (limiter: Limiter, count: number): Slot[] =>
  Array.from({ length: count }, () => slotOf(limiter));

/** Asks for a start, and notes by its name when it came, or `null` where it was refused. */
export function ask(
  { clock, limiter }: { clock: FakeClock; limiter: Limiter },
  starts: [name: string, atMs: number | null][],
  name: string,
  isUrgent = false,
): void {
  void Promise.resolve(limiter.start(NEVER, isUrgent)).then((slot) =>
    starts.push([name, slot === undefined ? null : clock.now()]),
  );
}

/** When each of so many requests starts that are all asked for now, and last so long; `null` where it does not. */
export async function startTimes(
  { clock, limiter }: { clock: FakeClock; limiter: Limiter },
  count: number,
  lastsMs = 0,
): Promise<(number | null)[]> {
  const request = async (): Promise<number | null> => {
    const slot = await limiter.start(NEVER);
    if (slot === undefined) return null;
    const atMs = clock.now();
    if (lastsMs > 0) await new Promise<void>((resolve) => clock.after(lastsMs, resolve));
    limiter.release(slot, 'answered');
    return atMs;
  };
  const times = await clock.runUntil(Promise.all(Array.from({ length: count }, request)));
  return times.map((atMs) => (atMs === null ? null : Math.round(atMs)));
}

/** Moves on to a time, and lets everything happen that is due by then. */
export async function moveTo(clock: FakeClock, atMs: number): Promise<void> {
  clock.advance(atMs - clock.now());
  await quiet();
}
