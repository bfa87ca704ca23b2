import { describe, expect, test } from 'vitest';
import { waitFieldsOf } from '../../../../../src/fetch/origin/answer/wait-fields.ts';

const date = 'Mon, 23 Nov 2026 06:00:00 GMT';

test('most responses have none of them', () => {
  const headers = {
    date,
    'content-type': 'application/json',
    'x-request-id': '1',
    'retry-policy': 'x',
    age: '5',
  };
  expect(waitFieldsOf(headers)).toStrictEqual({ retryAfter: undefined });
});

test('Retry-After comes with the Date; where it came twice, it is a list', () => {
  expect(waitFieldsOf({ date, 'retry-after': '7' })).toStrictEqual({ retryAfter: '7', date });
  expect(waitFieldsOf({ 'retry-after': ['7', '8'] })).toStrictEqual({ retryAfter: '7, 8' });
});

test('the fields of quotas come under all their names, each a list where it came twice', () => {
  const rateLimit = {
    ratelimit: '"default";r=0;t=5',
    'ratelimit-policy': '"default";q=9;w=60',
    'ratelimit-remaining': '0',
    'x-ratelimit-reset': '5',
    'x-ratelimit-remaining-minute': '0',
    'x-rate-limit-remaining': '0',
    'rate-limit-reset': '5',
  };
  const others = {
    'x-ratelimited': '1',
    'x-ratings': '5',
    'my-ratelimit-remaining': '0',
    'x-rate-limit': undefined,
  };
  expect(waitFieldsOf({ ...others, ...rateLimit, date })).toStrictEqual({
    retryAfter: undefined,
    rateLimit,
    date,
  });
  expect(waitFieldsOf({ ratelimit: ['"a";r=1', '"b";r=2'] })).toStrictEqual({
    retryAfter: undefined,
    rateLimit: { ratelimit: '"a";r=1, "b";r=2' },
  });
});

describe('of a response that was in a cache', () => {
  const headers = { date, 'retry-after': '7', 'ratelimit-remaining': '0' };

  test.each([
    ['5'],
    ['1'],
    ['0.5'],
    [' 5 '],
    ['"5"'],
    ['5, 5'],
    ['0, 5'],
    ['5s'],
    ['9'.repeat(400)],
    [['0', '5']],
  ])('Retry-After alone is left, without the Date: Age %s', (age) => {
    expect(waitFieldsOf({ ...headers, age })).toStrictEqual({ retryAfter: '7' });
  });

  test.each([['0'], ['00'], ['0, 0'], [''], ['-5'], ['none']])('it was not: Age %s', (age) => {
    expect(waitFieldsOf({ ...headers, age })).toStrictEqual({
      retryAfter: '7',
      rateLimit: { 'ratelimit-remaining': '0' },
      date,
    });
  });
});

test('fields that are longer than any quota has use for say nothing', () => {
  const name = `x-ratelimit-${'a'.repeat(60)}`;
  expect(
    waitFieldsOf({ [name]: '0', ratelimit: `a;r=0${' '.repeat(1_020)}`, 'retry-after': '1'.repeat(1_025) }),
  ).toStrictEqual({
    retryAfter: undefined,
  });
});
