import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type FetchRecord, PostError, type Reason } from '../../../src/fetch/outcome.ts';

const RECORD: FetchRecord = { httpStatus: 200, attempts: 1, startedMs: 3, durationMs: 41, waitedMs: 0 };
const REASON: Reason = { code: 'NOT_FOUND', message: 'No data for post 99999', retryable: false };

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
