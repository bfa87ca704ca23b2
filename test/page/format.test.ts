import { describe, expect, it } from 'vitest';
import {
  formatInstant,
  formatMs,
  formatNumberOf,
  formatRate,
  formatShare,
  formatTimeMark,
} from '../../page/base/format.ts';

describe('figures of the page', () => {
  it.each([
    [0, '0 ms'],
    [0.25, '0.25 ms'],
    [999, '999 ms'],
    [1_000, '1.00 s'],
    [9_996, '10.0 s'],
    [59_949, '59.9 s'],
    [59_960, '1 min 00 s'],
    [123_400, '2 min 03 s'],
    [3_725_000, '1 h 02 min'],
  ])('have %d ms as %s', (ms, text) => {
    expect(formatMs(ms)).toBe(text);
  });

  it.each([
    [0, 10, '0 %'],
    [1, 10_000, '< 0.1 %'],
    [1, 3, '33.3 %'],
    [99_999, 100_000, '> 99.9 %'],
    [10, 10, '100 %'],
    [0, 0, '0 %'],
  ])('have %d of %d as %s', (part, whole, text) => {
    expect(formatShare(part, whole)).toBe(text);
  });

  it.each([
    [0, 50, '0'],
    [250, 50, '250 ms'],
    [1_250, 50, '1.25 s'],
    [1_500, 500, '1.5 s'],
    [5_000, 5_000, '5 s'],
    [90_000, 30_000, '1:30'],
    [60_000.4, 0.2, '1:00.0004'],
    [3_750_000, 30_000, '1:02:30'],
  ])('mark %d ms, in steps of %d, by %s', (ms, step, text) => {
    expect(formatTimeMark(ms, step)).toBe(text);
  });

  it('have rates, numbers of things, and times', () => {
    expect([
      formatRate(1_234.5),
      formatRate(12.345),
      formatRate(0),
      formatNumberOf(1, 'post'),
      formatNumberOf(1_200, 'post'),
      formatInstant('2026-11-23T06:00:01.204Z'),
      formatInstant('soon'),
    ]).toStrictEqual(['1,235', '12.3', '0', '1 post', '1,200 posts', '2026-11-23 06:00:01 UTC', 'soon']);
  });
});
