import { LearnedPace, type Sent } from '../../src/fetch/politeness/pace.ts';

/** From one time to before another, at even distances. */
export function times(fromMs: number, toMs: number, everyMs: number): number[] {
  return Array.from({ length: Math.ceil((toMs - fromMs) / everyMs) }, (_, i) => fromMs + i * everyMs);
}

/** Requests that are sent at these times, and answered at once. */
export function take(pace: LearnedPace, timesMs: readonly number[]): void {
  for (const atMs of timesMs) pace.answered(pace.sent(atMs), atMs);
}

/** A request that is sent then, and turned away. */
export function turnAway(pace: LearnedPace, atMs: number): Sent {
  const sent = pace.sent(atMs);
  pace.turnedAway(sent);
  return sent;
}

/** A request that is sent then, and turned away at once, and the pace learns from it. It tells to wait for `toldMs`. */
export function refuse(pace: LearnedPace, atMs: number, toldMs = 0): Sent {
  const sent = pace.sent(atMs);
  if (toldMs > 0) pace.pause(atMs, atMs + toldMs);
  pace.turnedAway(sent);
  pace.slowDown(atMs, toldMs, sent);
  return sent;
}

/** To a millionth. */
export const rounded = (figure: number | undefined) => figure && Math.round(figure * 1e6) / 1e6;
/** The pace at each of these times. */
export const pacesAt = (pace: LearnedPace, ...timesMs: number[]) =>
  timesMs.map((atMs) => rounded(pace.perSecond(atMs)));

/**
 * The pace of a run that was known to be taken twice as many requests a second, of an origin that took every other one
 * from 1,000 ms on: so many a second from the first refusal to the last, from which the pace learned at 2,000 ms.
 */
export function keepingTo(perSecond: number, toldMs = 0): LearnedPace {
  const pace = new LearnedPace(0, 2 * perSecond);
  const everyMs = 500 / perSecond;
  take(pace, times(0, 1_000, everyMs));
  let last: Sent | undefined;
  for (const atMs of times(1_000, 2_000, 2 * everyMs)) {
    take(pace, [atMs]);
    last = turnAway(pace, atMs + everyMs);
  }
  if (toldMs > 0) pace.pause(2_000, 2_000 + toldMs);
  if (last) pace.slowDown(2_000, toldMs, last);
  return pace;
}

/** The least of a curve of 100 a second: 97 % of the most. */
export const LOW = 94.09;
/** The most of such a curve. */
export const HIGH = 97;
