import { describe, expect, test } from 'vitest';
import { backoffMs, retryAfterMs } from '../src/retry.ts';

const ALMOST_ONE = 1 - Number.EPSILON / 2;

describe('backoffMs', () => {
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

describe('retryAfterMs', () => {
  const date = new Date('1994-11-06T08:49:30Z');

  test.each([
    ['0', 0],
    ['1', 1_000],
    ['120', 120_000],
    ['007', 7_000],
    ['86400000', 86_400_000_000],
  ])('seconds: %s', (header, expected) => {
    expect(retryAfterMs(header, date)).toBe(expected);
  });

  test('more seconds than a number can hold never end', () => {
    expect(retryAfterMs('9'.repeat(400), date)).toBe(Infinity);
  });

  test.each([
    ['the form of today', 'Sun, 06 Nov 1994 08:49:37 GMT'],
    ["RFC 850's", 'Sunday, 06-Nov-94 08:49:37 GMT'],
    ["asctime's, which means GMT wherever this runs", 'Sun Nov  6 08:49:37 1994'],
  ])('a date: %s', (_name, header) => {
    expect(retryAfterMs(header, date)).toBe(7_000);
  });

  test('a date that has passed asks for no wait', () => {
    expect(retryAfterMs('Sun, 06 Nov 1994 08:49:29 GMT', date)).toBe(0);
  });

  test.each([
    undefined,
    '',
    '-1',
    '1.5',
    '+3',
    '1e3',
    '0x10',
    'soon',
    '1, 2',
    '2026-11-23T06:00:00Z',
    'Sun, 06 Nov 1994 08:49:37',
    'Sun, 06 Nov 1994 08:49:37 CET',
    'Sun, 99 Foo 1994 08:49:37 GMT',
    'Sun Foo  6 08:49:37 1994',
  ])('nonsense is no wait that was asked for: %s', (header) => {
    expect(retryAfterMs(header, date)).toBeUndefined();
  });
});
