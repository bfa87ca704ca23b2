/** How long the `request`th request for a post takes, from 0 on; the same whoever asks, and whenever. */
export type LatencyMs = (post: number, request: number) => number;

/** Draws a latency from numbers from 0 to 1. */
export type Distribution = (random: () => number) => number;

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function uniform(minMs: number, maxMs: number): Distribution {
  return (random) => minMs + (maxMs - minMs) * random();
}

export function logNormal(medianMs: number, sigma: number): Distribution {
  return (random) => {
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    return medianMs * Math.exp(sigma * normal);
  };
}

/** Latencies that are drawn for each request on its own, a `share` of which are stalls of `stallMs` instead. */
export function drawLatencies(
  seed: number,
  distribution: Distribution,
  stalls: { readonly share: number; readonly stallMs: number } = { share: 0, stallMs: 0 },
): LatencyMs {
  return (post, request) => {
    const random = seeded(
      Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(post + 1, 0x85ebca6b) ^ (request << 24),
    );
    // Drawn before, so that a batch with stalls differs from the one without in nothing else.
    const ms = distribution(random);
    return random() < stalls.share ? stalls.stallMs : ms;
  };
}

/** When each post of a list schedule ends (Graham, 1966): in their order, each where a slot is free first. */
export function listSchedule(latenciesMs: readonly number[], slots: number): number[] {
  const freeAtMs = new Array<number>(Math.min(slots, latenciesMs.length)).fill(0);
  return latenciesMs.map((ms) => {
    const slot = freeAtMs.indexOf(Math.min(...freeAtMs));
    const endMs = (freeAtMs[slot] as number) + ms;
    freeAtMs[slot] = endMs;
    return endMs;
  });
}
