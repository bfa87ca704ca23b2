import { expect, test } from 'vitest';
import type { Claim } from '../../../src/document/claim.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryClaims } from '../../support/memory-claims.ts';
import { post } from '../../support/scripted-origin.ts';
import { requestFor, runOf } from './world.ts';

test.each([
  [500, 4, false],
  [1_000, 50, false],
  [1_000, 50, true],
  [4_000, 50, false],
])(
  'the claim of a run of even latency, %i ms with %i at once, says from a quarter of it on when it will end (adaptive: %o)',
  async (tookMs, concurrency, adaptive) => {
    const clock = new FakeClock();
    const claims = new MemoryClaims();
    const write = claims.write.bind(claims);
    const beats: Claim[] = [];
    claims.write = (claim, ...rest) => {
      beats.push(claim);
      return write(claim, ...rest);
    };
    const requested = Math.ceil((240_000 / tookMs) * concurrency);
    await runOf(
      requestFor({ ids: [{ from: 1, to: requested }], runId: 'run-1' }),
      (id) => ({ ...post(id), tookMs }),
      { claims, clock, settings: { concurrency, adaptive }, time: { remainingMs: 900_000 } },
    );
    const endMs = FakeClock.startDate.getTime() + clock.now();
    const after = beats.filter(({ done }) => Number(done) >= requested / 4);
    expect(after.length).toBeGreaterThan(8);
    for (const { beatAt, etaSeconds } of after.slice(0, -2)) {
      const leftMs = endMs - Date.parse(beatAt);
      expect(Math.abs((1_000 * Number(etaSeconds)) / leftMs - 1)).toBeLessThan(0.1);
    }
  },
);
