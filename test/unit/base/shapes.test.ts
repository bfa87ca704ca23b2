import { describe, expect, test } from 'vitest';
import {
  isCount,
  isFlag,
  isListOf,
  isMapOf,
  isNumberOrNull,
  isRecordOf,
  isText,
  type Shape,
} from '../../../src/base/shapes.ts';

/** What JSON can hold, and a little more. */
const values = [
  null,
  true,
  0,
  -1,
  0.5,
  2 ** 53,
  '',
  'a',
  [],
  [1],
  ['a'],
  {},
  { a: 1 },
  { a: 1, b: '' },
  undefined,
];

describe('a shape takes exactly', () => {
  test.each<[name: string, shape: Shape, taken: unknown[]]>([
    ['text', isText, ['', 'a']],
    ['a flag', isFlag, [true]],
    ['a count', isCount, [0]],
    ['a number or null', isNumberOrNull, [null, 0, -1, 0.5, 2 ** 53]],
    ['a list of counts', isListOf(isCount), [[], [1]]],
    ['a map of counts', isMapOf(isCount), [{}, { a: 1 }]],
    [
      'a record, and what else it has',
      isRecordOf<{ a: number }>({ a: isCount }),
      [{ a: 1 }, { a: 1, b: '' }],
    ],
  ])('%s', (_, shape, taken) => {
    expect(values.filter(shape)).toStrictEqual(taken);
  });
});
