import { describe, expect, test } from 'vitest';
import { TokenBucket } from '../../../../src/fetch/politeness/token-bucket.ts';

describe('a token bucket', () => {
  test('has a token at first, and then one in each turn of its rate', () => {
    const bucket = new TokenBucket();
    expect(bucket.waitMs(0, 10)).toBe(0);
    bucket.take();
    expect([0, 40, 100].map((atMs) => Math.round(bucket.waitMs(atMs, 10)))).toStrictEqual([100, 60, 0]);
  });

  test('saves up no more than a token and 10 ms of its rate', () => {
    const bucket = new TokenBucket();
    bucket.waitMs(60_000, 200);
    expect(bucket.tokens).toBe(3);
  });

  test('is full where there is no rate', () => {
    const bucket = new TokenBucket();
    bucket.fill(-5, 0);
    expect([bucket.waitMs(1, Infinity), bucket.tokens]).toStrictEqual([0, 1]);
  });

  test('gets nothing before the time from which it is filled', () => {
    const bucket = new TokenBucket();
    bucket.fill(0.5, 1_000);
    expect([500, 1_000, 1_050].map((atMs) => Math.round(bucket.waitMs(atMs, 10)))).toStrictEqual([50, 50, 0]);
  });

  test('gives back what was not used', () => {
    const bucket = new TokenBucket();
    bucket.take();
    bucket.putBack();
    expect(bucket.waitMs(0, 1)).toBe(0);
  });
});
