import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Cubic, cubicAt } from '../../../../src/fetch/politeness/cubic.ts';

describe('a curve', () => {
  const curve: Cubic = { most: 128, fromMs: 5_000, recoveryMs: 10_000, backOff: 0.25 };

  test('begins as far below the most as it backs off, comes back, stays near to it, and goes past', () => {
    const afterMs = [0, 2_500, 5_000, 7_500, 10_000, 12_500, 15_000, 20_000, 30_000];
    expect(afterMs.map((ms) => cubicAt(curve, 5_000 + ms))).toStrictEqual([
      96, 114.5, 124, 127.5, 128, 128.5, 132, 160, 384,
    ]);
  });

  test('that backs off from nothing stays at the most', () => {
    const flat = { ...curve, backOff: 0 };
    expect([5_000, 15_000, 1e9].map((atMs) => cubicAt(flat, atMs))).toStrictEqual([128, 128, 128]);
  });
});

test('for any most and any back-off of less than 1, the curve begins above 0, and time alone never lowers it', () => {
  const curves = fc.record({
    most: fc.double({ min: 1e-6, max: 1e6, noNaN: true }),
    fromMs: fc.integer({ min: 0, max: 1e13 }),
    recoveryMs: fc.integer({ min: 1, max: 1e9 }),
    backOff: fc.double({ min: 0, max: 0.999_999, noNaN: true }),
  });
  const times = fc.array(fc.integer({ min: 0, max: 1e9 }), { minLength: 1 });
  fc.assert(
    fc.property(curves, times, (curve, times) => {
      const { most, fromMs, recoveryMs, backOff } = curve;
      const start = cubicAt(curve, fromMs);
      expect(start).toBeGreaterThan(0);
      expect(start / most).toBeCloseTo(1 - backOff, 9);
      expect(cubicAt(curve, fromMs + recoveryMs)).toBe(most);
      const seen = times.sort((a, b) => a - b).map((ms) => cubicAt(curve, fromMs + ms));
      expect(seen).toStrictEqual([...seen].sort((a, b) => a - b));
      expect(seen[0]).toBeGreaterThanOrEqual(start);
    }),
  );
});
