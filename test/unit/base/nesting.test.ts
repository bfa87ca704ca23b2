import { expect, test } from 'vitest';
import { BadInputError } from '../../../src/base/errors.ts';
import { requireShallow } from '../../../src/base/nesting.ts';

const objects = (levels: number) => JSON.parse(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`);
const arrays = (levels: number) => JSON.parse('['.repeat(levels) + ']'.repeat(levels));
const tooDeep = new BadInputError('Expected `event` to be nested at most 64 deep, got more');

test('what is nested up to 64 deep is taken', () => {
  for (const value of [undefined, null, 'x', 7, [], {}, objects(64), arrays(64), { a: [objects(62)] }])
    expect(() => requireShallow(value, 'event')).not.toThrow();
});

test.each([
  ['objects', objects(65)],
  ['arrays', arrays(65)],
  ['behind others', { ids: [1, null, 'x'], a: {}, b: [[], [arrays(62)]] }],
  ['4,481 levels', objects(4_481)],
  ['100,000 levels', arrays(100_000)],
  ['under __proto__', JSON.parse(`{"__proto__":${'['.repeat(64)}${']'.repeat(64)}}`)],
])('what is nested deeper is refused: %s', (_, value) => {
  expect(() => requireShallow(value, 'event')).toThrow(tooDeep);
});

test('what is wide takes no more than the time to look at each', () => {
  const wide = Array.from({ length: 500_000 }, () => [{}]);
  expect(() => requireShallow(wide, 'event')).not.toThrow();
});
