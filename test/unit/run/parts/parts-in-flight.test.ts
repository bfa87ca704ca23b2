import { expect, test } from 'vitest';
import { ConfigError } from '../../../../src/base/errors.ts';
import { readPartsInFlight } from '../../../../src/run/parts/parts-in-flight.ts';

test.each([
  [undefined, 50, 10],
  ['500', 50, 10],
  ['549', 50, 10],
  ['50', 50, 1],
  ['999999999', 1, 10_000],
])(
  'an origin that is to see %s requests gets, at %i a part, %i parts at once',
  (total, concurrency, parts) => {
    expect(readPartsInFlight(total === undefined ? {} : { ORIGIN_CONCURRENCY: total }, concurrency)).toBe(
      parts,
    );
  },
);

test.each(['49', '0', '-1', '1e3', '', '5000000000'])('%j, where a part takes 50, is refused', (total) => {
  expect(() => readPartsInFlight({ ORIGIN_CONCURRENCY: total }, 50)).toThrow(
    new ConfigError(
      `Expected \`ORIGIN_CONCURRENCY\` to be an integer of at least CONCURRENCY, 50, got "${total}"`,
    ),
  );
});
