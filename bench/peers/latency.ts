import { drawLatencies, listSchedule, logNormal } from '../support/latency.ts';

export const MEDIAN_MS = 50;
export const SIGMA = 0.5;
export const STALLS = { share: 0.02, stallMs: 2_000 };

/**
 * How long the origin takes for the `request`th request for a post, from 0 on, in whole milliseconds, as timers have
 * them. Only first requests stall: whoever asks again, or twice, is served.
 */
export function latencyMs(seed: number, post: number, request: number, stalls: boolean): number {
  const draw = drawLatencies(seed, logNormal(MEDIAN_MS, SIGMA), stalls && request === 0 ? STALLS : undefined);
  return Math.round(draw(post, request));
}

/** The makespan of the greedy list schedule: each post in its order, where one of the slots is free first. */
export function idealMs(seed: number, posts: number, slots: number, stalls: boolean): number {
  const latenciesMs = Array.from({ length: posts }, (_, index) => latencyMs(seed, index + 1, 0, stalls));
  return Math.max(...listSchedule(latenciesMs, slots));
}
