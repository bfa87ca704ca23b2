import { describe, expect, test } from 'vitest';
import type { RateLimitFields } from '../../../../src/fetch/origin/attempt.ts';
import { type Quota, quotasOf } from '../../../../src/fetch/politeness/quotas.ts';

const DATE = new Date('2026-11-23T06:00:00.000Z');
const EPOCH = DATE.getTime() / 1_000;

const quota = (given: Partial<Quota> = {}): Quota => ({
  limit: undefined,
  remaining: undefined,
  resetMs: undefined,
  windowMs: undefined,
  ...given,
});
const read = (fields: RateLimitFields): readonly Quota[] => quotasOf(fields, DATE);

describe('the quotas that a response tells of', () => {
  test.each<[name: string, fields: RateLimitFields, ...quotas: Quota[]]>([
    ['none', {}],
    ['RateLimit since draft 08', { ratelimit: '"default";r=0;t=5' }, quota({ remaining: 0, resetMs: 5_000 })],
    [
      'with its policy',
      { ratelimit: '"default";r=0;t=5', 'ratelimit-policy': '"default";q=100;w=60' },
      quota({ limit: 100, remaining: 0, resetMs: 5_000, windowMs: 60_000 }),
    ],
    [
      'several, with policies in another order',
      {
        ratelimit: '"burst";r=0;t=3, "daily";r=12;t=40000',
        'ratelimit-policy': '"daily";q=1000;w=86400, "burst";q=50;w=10, "other";q=1',
      },
      quota({ limit: 50, remaining: 0, resetMs: 3_000, windowMs: 10_000 }),
      quota({ limit: 1_000, remaining: 12, resetMs: 40_000_000, windowMs: 86_400_000 }),
    ],
    ['a token for a name', { ratelimit: 'default;r=0;t=5' }, quota({ remaining: 0, resetMs: 5_000 })],
    [
      'more parameters, and a name full of signs',
      { ratelimit: '"a, \\"b\\";r=7;t=9";pk=:Y2F0:;t=5;r=0;q=100;x' },
      quota({ limit: 100, remaining: 0, resetMs: 5_000 }),
    ],
    [
      'less than nothing, and parts of a second',
      { ratelimit: '"a";r=-3;t=1.5' },
      quota({ remaining: -3, resetMs: 1_500 }),
    ],
    ['no time', { ratelimit: '"a";r=0' }, quota({ remaining: 0 })],
    ['nothing of what is left', { ratelimit: '"a";t=5' }, quota({ resetMs: 5_000 })],
    ['words for numbers', { ratelimit: '"a";r=none;t=soon' }, quota()],
    ['what is no number', { ratelimit: '"a";r=?0;t=:AA==:, "b";r;t=""' }, quota(), quota()],
    ['an inner list for a name', { ratelimit: '("a" "b");r=0;t=5' }, quota({ remaining: 0, resetMs: 5_000 })],
    [
      'a dictionary, up to draft 07',
      { ratelimit: 'limit=100, remaining=0, reset=5', 'ratelimit-policy': '100;w=60' },
      quota({ limit: 100, remaining: 0, resetMs: 5_000, windowMs: 60_000 }),
    ],
    [
      'the same in any order and case, with blanks and quotes',
      { ratelimit: ' Reset = 5 , limit="100";burst=7, REMAINING=0' },
      quota({ limit: 100, remaining: 0, resetMs: 5_000 }),
    ],
    [
      'semicolons for commas',
      { ratelimit: 'limit=100; remaining=0; reset=5' },
      quota({ limit: 100, remaining: 0, resetMs: 5_000 }),
    ],
    [
      'a dictionary that came in two lines',
      { ratelimit: 'limit=10, remaining=0, reset=1, limit=99, remaining=5, reset=7' },
      quota({ limit: 10, remaining: 0, resetMs: 1_000 }),
      quota({ limit: 99, remaining: 5, resetMs: 7_000 }),
    ],
    [
      'a list with a comma too many',
      { ratelimit: '"a";r=0;t=5, "b";r=3;t=9,' },
      quota({ remaining: 0, resetMs: 5_000 }),
      quota({ remaining: 3, resetMs: 9_000 }),
    ],
    ['no structured field', { ratelimit: 'none left; wait a bit' }, quota()],
    ['an empty field', { ratelimit: '' }],
    [
      'the numbers of RateLimit, up to draft 06',
      { 'ratelimit-limit': '100', 'ratelimit-remaining': '0', 'ratelimit-reset': '5' },
      quota({ limit: 100, remaining: 0, resetMs: 5_000 }),
    ],
    [
      'with the policies behind the limit',
      {
        'ratelimit-limit': '100, 100;w=60;burst=7, 9;w=1',
        'ratelimit-remaining': '0',
        'ratelimit-reset': '5',
      },
      quota({ limit: 100, remaining: 0, resetMs: 5_000, windowMs: 60_000 }),
      quota({ limit: 9, windowMs: 1_000 }),
    ],
    [
      'with the policies of the first drafts',
      {
        'ratelimit-limit': '10, 10;window=1, 50;window=60',
        'ratelimit-remaining': '3',
        'ratelimit-reset': '1',
      },
      quota({ limit: 10, remaining: 3, resetMs: 1_000, windowMs: 1_000 }),
      quota({ limit: 50, windowMs: 60_000 }),
    ],
    [
      'Items with parameters',
      { 'ratelimit-limit': '100;w=60', 'ratelimit-remaining': '0;w=60', 'ratelimit-reset': '5 ; w=60' },
      quota({ limit: 100, remaining: 0, resetMs: 5_000, windowMs: 60_000 }),
    ],
    [
      'X-RateLimit',
      {
        'x-ratelimit-limit': '60',
        'x-ratelimit-remaining': '0',
        'x-ratelimit-reset': `${EPOCH + 3}`,
        'x-ratelimit-used': '60',
      },
      quota({ limit: 60, remaining: 0, resetMs: 3_000 }),
    ],
    [
      'X-Rate-Limit',
      { 'x-rate-limit-limit': '15', 'x-rate-limit-remaining': '0', 'x-rate-limit-reset': `${EPOCH + 900}` },
      quota({ limit: 15, remaining: 0, resetMs: 900_000 }),
    ],
    [
      "Discord's, whose delay goes before its time",
      {
        'x-ratelimit-limit': '5',
        'x-ratelimit-remaining': '0',
        'x-ratelimit-reset': `${EPOCH + 9}.25`,
        'x-ratelimit-reset-after': '1.25',
        'x-ratelimit-bucket': 'abcd',
      },
      quota({ limit: 5, remaining: 0, resetMs: 1_250 }),
    ],
    [
      "Kong's, by their windows",
      {
        'x-ratelimit-limit-second': '5',
        'x-ratelimit-remaining-second': '3',
        'x-ratelimit-limit-hour': '99',
        'x-ratelimit-remaining-hour': '0',
        'ratelimit-limit': '99',
        'ratelimit-remaining': '0',
        'ratelimit-reset': '600',
      },
      quota({ limit: 5, remaining: 3, windowMs: 1_000 }),
      quota({ limit: 99, remaining: 0, windowMs: 3_600_000 }),
      quota({ limit: 99, remaining: 0, resetMs: 600_000 }),
    ],
    [
      'those of models, by what they count',
      {
        'x-ratelimit-limit-requests': '60',
        'x-ratelimit-remaining-requests': '0',
        'x-ratelimit-reset-requests': '1s',
        'x-ratelimit-remaining-tokens': '149984',
        'x-ratelimit-reset-tokens': '6m0s',
      },
      quota({ limit: 60, remaining: 0, resetMs: 1_000 }),
      quota({ remaining: 149_984, resetMs: 360_000 }),
    ],
    [
      'what they count before',
      { 'x-ratelimit-requests-remaining': '0', 'x-ratelimit-requests-reset': '7' },
      quota({ remaining: 0, resetMs: 7_000 }),
    ],
    [
      'several in one field, with as many resets',
      { 'x-ratelimit-remaining': '0, 9', 'x-ratelimit-reset': '5, 70' },
      quota({ remaining: 0, resetMs: 5_000 }),
      quota({ remaining: 9, resetMs: 70_000 }),
    ],
    [
      'with another number of resets: the longest',
      { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '5, 70' },
      quota({ remaining: 0, resetMs: 70_000 }),
    ],
    [
      'quotes and white space',
      { 'x-ratelimit-remaining': ' "0" ', 'x-ratelimit-reset': '"5"' },
      quota({ remaining: 0, resetMs: 5_000 }),
    ],
    [
      'fractions',
      { 'x-ratelimit-remaining': '0.5', 'x-ratelimit-reset': '1.5' },
      quota({ remaining: 0.5, resetMs: 1_500 }),
    ],
    ['words', { 'x-ratelimit-remaining': 'unlimited', 'x-ratelimit-reset': 'never' }, quota()],
    ['what is none of these', { 'x-ratelimit-used': '7', 'ratelimit-policy': '"a";q=1, "b";w=60' }],
    [
      'policies alone',
      { 'ratelimit-policy': '"a";q=10;w=1, "b";q=100;w=60' },
      quota({ limit: 10, windowMs: 1_000 }),
      quota({ limit: 100, windowMs: 60_000 }),
    ],
    [
      'a window in the name, and policies for others',
      { 'x-ratelimit-limit-minute': '60, 60;w=60', 'x-ratelimit-remaining-minute': '9' },
      quota({ limit: 60, remaining: 9, windowMs: 60_000 }),
    ],
  ])('%s', (_name, fields, ...quotas) => {
    expect(read(fields)).toStrictEqual(quotas);
  });
});

describe('a reset', () => {
  test.each<[name: string, reset: string, resetMs: number | undefined]>([
    ['seconds', '5', 5_000],
    ['now', '0', 0],
    ['seconds since 1970', `${EPOCH + 5}`, 5_000],
    ['with a fraction', `${EPOCH + 5}.25`, 5_250],
    ['that have passed', `${EPOCH - 5}`, 0],
    ['milliseconds since 1970', `${DATE.getTime() + 5_250}`, 5_250],
    ['that have passed', `${DATE.getTime() - 5_250}`, 0],
    ['no time in any unit, as it is longer than a number can hold', '9'.repeat(400), undefined],
    ['no time in any unit, as one in microseconds', '1795842030000000', undefined],
    ['an HTTP date', 'Mon, 23 Nov 2026 06:00:05 GMT', 5_000],
    ['in an old form, with UTC', 'Monday, 23-Nov-26 06:00:05 UTC', 5_000],
    ['an ISO date', '2026-11-23T06:00:05Z', 5_000],
    ['with a fraction', '2026-11-23T06:00:05.250Z', 5_250],
    ['with an offset', '2026-11-23T07:00:05+01:00', 5_000],
    ['without a zone, which means UTC', '2026-11-23T06:00:05', 5_000],
    ['with a blank', '2026-11-23 06:00:05 UTC', 5_000],
    ['in lower case, without seconds', '2026-11-23t06:01z', 60_000],
    ['that has passed', '2026-11-23T05:00:00Z', 0],
    ['that is none', '2026-13-23T06:00:05Z', undefined],
    ['a duration', '1s', 1_000],
    ['of minutes', '6m0s', 360_000],
    ['of parts of a second', '250ms', 250],
    ['of all of them', '1d1h2m3.5s', 90_123_500],
    ['of nearly nothing', '500us500ns', 0.5005],
    ['of an unknown unit', '5w', undefined],
    ['a negative number', '-5', undefined],
    ['an offset', '+5', undefined],
    ['an exponent', '1e3', undefined],
    ['a word', 'soon', undefined],
    ['nothing', '', undefined],
  ])('may be %s: %s', (_name, reset, resetMs) => {
    expect(read({ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': reset })).toStrictEqual([
      quota({ remaining: 0, resetMs }),
    ]);
  });

  test('stands in a structured field in any of these forms as well', () => {
    expect(read({ ratelimit: `"a";r=0;t=${EPOCH + 5}, "b";r=0;t="6m0s"` })).toStrictEqual([
      quota({ remaining: 0, resetMs: 5_000 }),
      quota({ remaining: 0, resetMs: 360_000 }),
    ]);
  });
});

test('fields as long as they come cost no time', () => {
  const names = [
    'ratelimit',
    'ratelimit-policy',
    'ratelimit-limit',
    'ratelimit-remaining',
    'x-ratelimit-reset',
  ];
  const parts = [
    ' ',
    ',',
    ';',
    '"',
    '1',
    '1s',
    '1.',
    '1,',
    '"a",',
    '"a";r=0;t=5,',
    'reset=5,',
    'r',
    'r ',
    'r=',
    ';w=1',
    '(',
    '%',
  ];
  const startedMs = performance.now();
  for (const name of names)
    for (const part of parts) read({ [name]: `1${part.repeat(16_384 / part.length)}` });
  read({ [`x-ratelimit${'-limit'.repeat(2_000)}-`]: '1' });
  expect(performance.now() - startedMs).toBeLessThan(10_000);
});
