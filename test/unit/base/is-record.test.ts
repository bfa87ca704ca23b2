import { expect, test } from 'vitest';
import { isRecord } from '../../../src/base/is-record.ts';

test.each([[{}], [{ ids: [1] }], [JSON.parse('{"__proto__":1}')], [Object.create(null)]])(
  'an object with fields is a record: %j',
  (value) => {
    expect(isRecord(value)).toBe(true);
  },
);

test.each([[null], [undefined], [[]], [[{}]], ['{}'], [7], [true], [() => ({})]])(
  'anything else is none: %j',
  (value) => {
    expect(isRecord(value)).toBe(false);
  },
);
