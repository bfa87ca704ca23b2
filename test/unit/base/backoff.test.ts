import { describe, expect, test } from 'vitest';
import { backoffMs } from '../../../src/base/backoff.ts';

const ALMOST_ONE = 1 - Number.EPSILON / 2;

describe('a backoff', () => {
  test('its bound doubles from 100 ms on, to at most 5 s', () => {
    const bounds = [1, 2, 3, 4, 5, 6, 7, 8, 100].map((failures) => backoffMs(failures, () => 1));
    expect(bounds).toStrictEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
  });

  test('jitter is full: it goes from nothing to the bound, evenly', () => {
    expect(backoffMs(3, () => 0)).toBe(0);
    expect(backoffMs(3, () => 0.5)).toBe(200);
    expect(backoffMs(3, () => ALMOST_ONE)).toBeLessThan(400);
  });
});
