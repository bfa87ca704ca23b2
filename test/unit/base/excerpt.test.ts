import { expect, test } from 'vitest';
import { excerpt, shorten, shortenInside } from '../../../src/base/excerpt.ts';

test.each([
  [undefined, 'nothing'],
  [null, 'null'],
  [true, 'true'],
  [-1.5, '-1.5'],
  ['', '""'],
  ['1', '"1"'],
  ['say "ö"\n', String.raw`"say \"ö\"\n"`],
  [[1, 2], 'an array of 2'],
  [{}, '{}'],
  [{ from: 5, to: 1 }, '{"from":5,"to":1}'],
  [{ ids: [1, 2], detail: { a: 1 }, runId: null }, '{"ids":[…],"detail":{…},"runId":null}'],
  ['x'.repeat(80), `"${'x'.repeat(80)}"`],
  ['x'.repeat(10_000_000), `"${'x'.repeat(80)}…"`],
  [{ key: 'x'.repeat(200) }, `{"key":"${'x'.repeat(72)}…`],
  [{ ['x'.repeat(10_000_000)]: 1 }, `{"${'x'.repeat(78)}…`],
  [{ a: 'x'.repeat(60), b: 'y'.repeat(60) }, `{"a":"${'x'.repeat(60)}","b":"${'y'.repeat(7)}…`],
  // Cut in two, a character outside of the basic plane stays legible.
  [`${'x'.repeat(79)}😀`, String.raw`"${'x'.repeat(79)}\ud83d…"`],
  [JSON.parse('{"__proto__":1}'), '{"__proto__":1}'],
  [JSON.parse('{"toString":1,"toJSON":2,"length":3}'), '{"toString":1,"toJSON":2,"length":3}'],
])('%# what came is shown as JSON, shortened to what a log line can take', (value, shown) => {
  expect(excerpt(value)).toBe(shown);
});

test('what is deep is shown no deeper, and what is wide no wider', () => {
  const deep = JSON.parse(`${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`);
  expect(excerpt(deep)).toBe('{"a":{…}}');
  expect(excerpt([deep])).toBe('an array of 1');
  const wide = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`key${i}`, 'x'.repeat(9)]));
  expect(excerpt(wide)).toBe(
    '{"key0":"xxxxxxxxx","key1":"xxxxxxxxx","key2":"xxxxxxxxx","key3":"xxxxxxxxx","ke…',
  );
});

test('what takes the most room when it is quoted still leaves some in a kilobyte', () => {
  for (const value of ['\u0000', '\ud800', '€'].map((char) => char.repeat(1_000)))
    for (const came of [value, { [value]: value }])
      expect(Buffer.byteLength(excerpt(came))).toBeLessThanOrEqual(500);
});

test('a text keeps its start, and a place both of its ends', () => {
  expect([shorten('x'.repeat(80)), shorten('x'.repeat(81))]).toStrictEqual([
    'x'.repeat(80),
    `${'x'.repeat(80)}…`,
  ]);
  const place = `s3://bucket/${'x'.repeat(88)}`;
  expect([shortenInside(place), shortenInside(`${place}/ids.csv`)]).toStrictEqual([
    place,
    `s3://bucket/${'x'.repeat(38)}…${'x'.repeat(42)}/ids.csv`,
  ]);
});
