import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RateLimitFields } from '../../../../src/fetch/origin/attempt.ts';
import {
  isUsedUp,
  mayBeUsedUp,
  retryAfterMs,
  untilGivenMs,
} from '../../../../src/fetch/politeness/asked-pause.ts';
import { type Quota, quotasOf } from '../../../../src/fetch/politeness/quotas.ts';

const DATE = new Date('2026-11-23T06:00:00.000Z');

const quota = (given: Partial<Quota> = {}): Quota => ({
  limit: undefined,
  remaining: undefined,
  resetMs: undefined,
  windowMs: undefined,
  ...given,
});
const read = (fields: RateLimitFields): readonly Quota[] => quotasOf(fields, DATE);

describe('the wait that Retry-After asks for', () => {
  const date = new Date('1994-11-06T08:49:30Z');

  test.each([
    ['0', 0],
    ['1', 1_000],
    ['120', 120_000],
    ['007', 7_000],
    ['86400000', 86_400_000_000],
    ['999999999', 999_999_999_000],
  ])('seconds: %s', (header, expected) => {
    expect(retryAfterMs(header, date)).toBe(expected);
  });

  test.each([
    ['2.0', 2_000],
    ['1.5', 2_000],
    ['0.1', 1_000],
    ['.5', 1_000],
    ['3.', 3_000],
    ['0.0', 0],
    ['1.000000001', 2_000],
  ])('fractions of a second are rounded up: %s', (header, expected) => {
    expect(retryAfterMs(header, date)).toBe(expected);
  });

  test.each(['"120"', "'120'", ' 120\t', '"120', ' " 120 " '])(
    'quotes and white space around it say nothing: %s',
    (header) => {
      expect(retryAfterMs(header, date)).toBe(120_000);
    },
  );

  test('more seconds than a number can hold never end', () => {
    expect(retryAfterMs('9'.repeat(400), date)).toBe(Infinity);
  });

  test.each([
    ['seconds', '1795413605', 5_000],
    ['fractions of them are rounded up', '1795413604.2', 5_000],
    ['milliseconds', '1795413605250', 5_250],
    ['one that has passed means now', '1795413595', 0],
    ['one that has long passed', '1000000000', 0],
    ['milliseconds that have passed', '1795413595000', 0],
    [
      'too many digits for any time that matters',
      '1795413605000000000',
      1_795_413_605_000_000_000 - DATE.getTime(),
    ],
  ])('a number that is no delay is a time since 1970: %s', (_name, header, expected) => {
    expect(retryAfterMs(header, DATE)).toBe(expected);
  });

  test.each([
    ['the form of today', 'Sun, 06 Nov 1994 08:49:37 GMT'],
    ["RFC 850's", 'Sunday, 06-Nov-94 08:49:37 GMT'],
    ["asctime's, which means GMT wherever this runs", 'Sun Nov  6 08:49:37 1994'],
    ['that says so', 'Sun Nov  6 08:49:37 1994 GMT'],
    ['that says so as date(1) does', 'Sun Nov  6 08:49:37 UTC 1994'],
    ['UTC', 'Sun, 06 Nov 1994 08:49:37 UTC'],
    ["UTC in RFC 850's", 'Sunday, 06-Nov-94 08:49:37 UTC'],
    ['an offset', 'Sun, 06 Nov 1994 08:49:37 +0000'],
    ['another offset', 'Sun, 06 Nov 1994 09:49:37 +0100'],
    ['lower case', 'sun, 06 nov 1994 08:49:37 gmt'],
    ['upper case', 'SUNDAY, 06-NOV-94 08:49:37 GMT'],
    ['a day of one digit', 'Sun, 6 Nov 1994 08:49:37 GMT'],
    ['hyphens and the whole year', 'Sun, 06-Nov-1994 08:49:37 GMT'],
    ['no weekday', '06 Nov 1994 08:49:37 GMT'],
    ['in quotes', '"Sun, 06 Nov 1994 08:49:37 GMT"'],
    ['with white space', '  Sun,  06 Nov 1994\t08:49:37  GMT '],
  ])('a date: %s', (_name, header) => {
    expect(retryAfterMs(header, date)).toBe(7_000);
  });

  test('a date that has passed asks for no wait', () => {
    expect(retryAfterMs('Sun, 06 Nov 1994 08:49:29 GMT', date)).toBe(0);
  });

  test.each([
    ['the same twice', '120, 120', 120_000],
    ['in other words', '120,120.0, "0120"', 120_000],
    ['a date twice', 'Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT', 7_000],
    [
      "a date twice, in quotes, once in RFC 850's form",
      '"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT"',
      7_000,
    ],
    ['seconds and the date that they lead to', '7, Sun, 06 Nov 1994 08:49:37 GMT', 7_000],
    ['the longer of two', '1, 30', 30_000],
    ['the longer of two, the other way round', '30, 1', 30_000],
    ['the longer of seconds and a date', 'Sun, 06 Nov 1994 08:49:37 GMT, 8', 8_000],
    ['nonsense beside it', 'soon, 120', 120_000],
    ['nothing beside it', ', 120,', 120_000],
  ])('several values: %s', (_name, header, expected) => {
    expect(retryAfterMs(header, date)).toBe(expected);
  });

  test.each([
    undefined,
    '',
    ' ',
    '""',
    ',',
    '.',
    '-1',
    '-1.5',
    '1.2.3',
    '1 2',
    '+3',
    '1e3',
    '0x10',
    'NaN',
    'Infinity',
    '٣',
    'soon',
    '120 seconds',
    '2026-11-23T06:00:00Z',
    'Sun',
    'Sun, 06 Nov 1994 08:49:37',
    'Sun, 06 Nov 1994 08:49:37 CET',
    'Sun, 99 Foo 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 99:49:37 GMT',
    'Sun Foo  6 08:49:37 1994',
  ])('nonsense is no wait that was asked for: %s', (header) => {
    expect(retryAfterMs(header, date)).toBeUndefined();
  });

  test('whatever it holds, it is a time of at least 0, or nothing', () => {
    const text = fc.oneof(
      fc.string(),
      fc.string({ unit: 'binary' }),
      fc
        .array(
          fc.constantFrom('1', '9', '.', ',', ' ', '"', '-', 'Sun', 'Nov', '1994', ':', 'GMT', '06', '\t'),
        )
        .map((parts) => parts.join('')),
      fc.double().map(String),
      fc.date({ noInvalidDate: true }).map((each) => each.toUTCString()),
    );
    fc.assert(
      fc.property(text, (header) => {
        const asked = retryAfterMs(header, DATE);
        if (asked !== undefined) expect(asked).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 2_000 },
    );
  });

  test('a header as long as they come costs no time', () => {
    const long = [' ', ',', '"', '1', '1,', 'Sun,', 'Sun, 06 Nov 1994 08:49:37 GMT,', 'm', '.'].map((each) =>
      each.repeat(65_536 / each.length),
    );
    const startedMs = performance.now();
    for (const header of long) retryAfterMs(header, date);
    expect(performance.now() - startedMs).toBeLessThan(2_000);
  });
});

test('a quota is used up when less than a request is left of it', () => {
  const left = [undefined, 1, 0.5, 0, -3];
  expect(left.map((remaining) => isUsedUp(quota({ remaining })))).toStrictEqual([
    false,
    false,
    true,
    true,
    true,
  ]);
});

describe('whether one may be used up', () => {
  test.each<[name: string, fields: RateLimitFields, expected: boolean]>([
    [
      'X-RateLimit',
      { 'x-ratelimit-limit': '5000', 'x-ratelimit-remaining': '4990', 'x-ratelimit-reset': '60' },
      false,
    ],
    ['with a fraction', { 'x-ratelimit-remaining': '10.0', 'x-ratelimit-reset': '1795413600.05' }, false],
    ['RateLimit', { ratelimit: '"default";r=50;t=30', 'ratelimit-policy': '"default";q=100;w=60' }, false],
    ['none', {}, false],
    [
      'a reset that is due',
      { 'x-ratelimit-remaining': '7', 'x-ratelimit-reset': '0', 'x-ratelimit-used': '0' },
      false,
    ],
    ['one in RateLimit', { ratelimit: '"default";r=5;t=0', 'ratelimit-policy': '"default";q=0;w=0' }, false],
    ['nothing left, in quotes', { ratelimit: 'limit=5, remaining="0"' }, true],
    ['nothing left, as a display string', { ratelimit: 'a;r=%"0"' }, true],
    ['nothing left, the other way round', { 'x-ratelimit-requests-remaining': '0' }, true],
    ['nothing left', { ratelimit: '"default";r=0;t=30' }, true],
    ['less than nothing', { 'x-ratelimit-remaining': '-1' }, true],
    ['less than one', { 'x-ratelimit-remaining': '0.5' }, true],
    ['nothing left of the second', { 'ratelimit-limit': '9', 'ratelimit-remaining': '5, 00;w=60' }, true],
  ])('is seen before anything is parsed: %s', (_name, fields, expected) => {
    expect(mayBeUsedUp(fields)).toBe(expected);
  });

  test('is never denied where one is', () => {
    const number = fc.oneof(
      fc.integer({ min: -9, max: 9 }).map(String),
      fc.double({ min: -2, max: 2, noNaN: true }).map((each) => each.toFixed(3)),
      fc.string({ unit: fc.constantFrom(...'019.-"; ,') }),
    );
    const fields = fc.oneof(
      fc.record({ 'x-ratelimit-remaining': number, 'x-ratelimit-limit': number }),
      fc.array(number).map((numbers) => ({ ratelimit: numbers.map((r) => `"a";r=${r}`).join() })),
      fc.array(number).map((numbers) => ({ ratelimit: numbers.map((r) => `remaining = ${r}`).join() })),
    );
    fc.assert(
      fc.property(fields, (each) => {
        if (read(each).some(isUsedUp)) expect(mayBeUsedUp(each)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('how long they ask to be left alone, without and with a request that was refused', () => {
  test.each<
    [name: string, quotas: readonly Quota[], passed: number | undefined, refused: number | undefined]
  >([
    ['no quota', [], undefined, undefined],
    ['one that is used up', [quota({ remaining: 0, resetMs: 5_000 })], 5_000, 5_000],
    ['one that is not', [quota({ remaining: 1, resetMs: 5_000 })], undefined, undefined],
    [
      'the longest of those that are',
      [
        quota({ remaining: 0, resetMs: 1_000 }),
        quota({ remaining: 0, resetMs: 900_000 }),
        quota({ remaining: 5, resetMs: 9_000_000 }),
        quota({ resetMs: 9_000_000 }),
      ],
      900_000,
      900_000,
    ],
    [
      'one of which it is not said whether it is',
      [quota({ resetMs: 5_000 }), quota({ resetMs: 3_000 })],
      undefined,
      5_000,
    ],
    [
      'one beside one that is not',
      [quota({ resetMs: 5_000 }), quota({ remaining: 1 })],
      undefined,
      undefined,
    ],
    [
      'a reset that stands elsewhere',
      [quota({ remaining: 0, windowMs: 60_000 }), quota({ resetMs: 5_000 })],
      5_000,
      5_000,
    ],
    [
      'its window alone',
      [quota({ remaining: 0, windowMs: 60_000 }), quota({ remaining: 0 })],
      60_000,
      60_000,
    ],
    ['a window of one that is not', [quota({ remaining: 1, windowMs: 60_000 })], undefined, undefined],
    ['a limit of nothing', [quota({ limit: 0, remaining: 0, resetMs: 5_000 })], undefined, 5_000],
    ['no time at all', [quota({ remaining: 0 })], undefined, undefined],
    ['a reset that is due', [quota({ remaining: 0, resetMs: 0 })], 0, 1_000],
  ])('%s', (_name, quotas, passed, refused) => {
    expect([untilGivenMs(quotas, false), untilGivenMs(quotas, true)]).toStrictEqual([passed, refused]);
  });
});

test('one of a second or less is no reason to wait where its pace is kept to, but for a request that was refused', () => {
  const second = quota({ remaining: 0, resetMs: 1_000, windowMs: 1_000 });
  const minute = quota({ remaining: 0, resetMs: 7_000, windowMs: 60_000 });
  const waits = [[second], [second, minute]].map((quotas) => [
    untilGivenMs(quotas, false),
    untilGivenMs(quotas, false, true),
    untilGivenMs(quotas, true, true),
  ]);
  expect(waits).toStrictEqual([
    [1_000, undefined, 1_000],
    [7_000, 7_000, 7_000],
  ]);
});

test('a limit below 0 is none', () => {
  const [unlimited] = read({
    'x-ratelimit-limit': '-1',
    'x-ratelimit-remaining': '-1',
    'x-ratelimit-reset': '3600',
  });
  expect(unlimited && isUsedUp(unlimited)).toBe(false);
  const [overdrawn] = read({
    'x-ratelimit-limit': '5',
    'x-ratelimit-remaining': '-1',
    'x-ratelimit-reset': '3600',
  });
  expect(overdrawn && isUsedUp(overdrawn)).toBe(true);
});
