import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type FetchRecord, outcomeHead, PostError, type Reason } from '../../../src/fetch/outcome.ts';

const RECORD: FetchRecord = { httpStatus: 200, attempts: 1, startedMs: 3, durationMs: 41 };
const REASON: Reason = { code: 'NOT_FOUND', message: 'No data for post 99999', retryable: false };

describe('outcomeHead', () => {
  test('is the line of an outcome up to its value, in the order of the contract', () => {
    expect(outcomeHead(0, 1, 'fulfilled', RECORD)).toBe(
      '{"index":0,"id":1,"status":"fulfilled","httpStatus":200,"attempts":1,"startedMs":3,"durationMs":41,',
    );
  });

  test('keeps an id as it was given: text stays text, also where it is all digits', () => {
    const idOf = (id: number | string) => JSON.parse(`${outcomeHead(7, id, 'fulfilled', RECORD)}"x":0}`).id;
    expect(['1', 1, 'a-slug.2_~', Number.MAX_SAFE_INTEGER].map(idOf)).toStrictEqual([
      '1',
      1,
      'a-slug.2_~',
      Number.MAX_SAFE_INTEGER,
    ]);
  });

  test('says null for what there was not', () => {
    const record: FetchRecord = { httpStatus: null, attempts: 0, startedMs: null, durationMs: null };
    expect(outcomeHead(1, 'two', 'rejected', record)).toBe(
      '{"index":1,"id":"two","status":"rejected","httpStatus":null,"attempts":0,"startedMs":null,"durationMs":null,',
    );
  });
});

describe('PostError', () => {
  test('is an Error with the id, the reason and the record of the post', () => {
    const error = new PostError(99999, REASON, RECORD);
    const { name, message, id, code, reason, record, cause } = error;
    expect(error).toBeInstanceOf(Error);
    expect({ name, message, id, code, reason, record, cause }).toStrictEqual({
      name: 'PostError',
      message: 'No data for post 99999',
      id: 99999,
      code: 'NOT_FOUND',
      reason: REASON,
      record: RECORD,
      cause: undefined,
    });
  });

  test('may have a message of its own: what is printed of it has none of the reason', () => {
    const error = new PostError(1, { ...REASON, message: 'as received' }, RECORD, 'as known');
    const { message, reason } = error;
    expect({ message, reason }).toStrictEqual({
      message: 'as known',
      reason: { ...REASON, message: 'as received' },
    });
    for (const printed of [inspect(error, { depth: 10 }), JSON.stringify(error), `${error.stack}`])
      expect(printed).not.toContain('received');
    expect(JSON.parse(JSON.stringify(error))).toStrictEqual({
      name: 'PostError',
      id: 1,
      code: 'NOT_FOUND',
      record: RECORD,
    });
  });
});
