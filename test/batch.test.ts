import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { batchOf, parseBatch } from '../src/batch.ts';
import { BadInputError, TooLargeError } from '../src/errors.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const nameExpected = '1 to 128 characters out of A-Z a-z 0-9 . _ ~ - (not "." or "..")';

test('a batch has its ids, their number and hash, and what else the event says', () => {
  expect(
    parseBatch({ ids: [1, { from: 5, to: 7 }, 'a'], returnExceptions: false, runId: 'nightly' }, '', {
      maxIds: 10,
    }),
  ).toStrictEqual({
    ids: [1, { from: 5, to: 7 }, 'a'],
    requested: 5,
    idsSha256: sha256('[1,5,6,7,"a"]'),
    returnExceptions: false,
    runId: 'nightly',
  });
});

test('exceptions are returned and the run id is open unless the event says otherwise', () => {
  expect(parseBatch({ ids: [] }, '', { maxIds: 10 })).toStrictEqual(batchOf([], true, undefined));
});

test('the default ids stand in where the event names none, and only there', () => {
  const limits = { maxIds: 10, defaultIds: [{ from: 1, to: 3 }] };
  expect(parseBatch({ runId: 'r' }, 'detail', limits)).toStrictEqual(batchOf(limits.defaultIds, true, 'r'));
  expect(parseBatch({ ids: [] }, 'detail', limits)).toStrictEqual(batchOf([], true, undefined));
  expect(() => parseBatch({ ids: null }, 'detail', limits)).toThrow(
    new BadInputError('Expected `detail.ids` to be an array of ids, got null'),
  );
});

test('more ids than are allowed are too many', () => {
  expect(() => parseBatch({ ids: [{ from: 1, to: 11 }] }, 'body', { maxIds: 10 })).toThrow(
    new TooLargeError('Expected `body.ids` to hold at most 10 ids (MAX_IDS), got 11'),
  );
});

describe.each([
  ['', 'event', ''],
  ['body', 'body', 'body.'],
])('a form at the path %j', (path, root, prefix) => {
  test.each<[json: string, message: string]>([
    ['null', `\`${root}\` to be an object with "ids", got null`],
    ['[1,2]', `\`${root}\` to be an object with "ids", got an array of 2`],
    ['"1,2"', `\`${root}\` to be an object with "ids", got "1,2"`],
    ['5', `\`${root}\` to be an object with "ids", got 5`],
    ['{}', `\`${prefix}ids\` to be an array of ids, got nothing`],
    ['{"ids":null}', `\`${prefix}ids\` to be an array of ids, got null`],
    ['{"ids":[1,[2]]}', `\`${prefix}ids[1]\` to be an integer from 0 to 9007199254740991, a range`],
    [
      '{"ids":[1],"returnExceptions":"false"}',
      `\`${prefix}returnExceptions\` to be true or false, got "false"`,
    ],
    ['{"ids":[1],"returnExceptions":null}', `\`${prefix}returnExceptions\` to be true or false, got null`],
    ['{"ids":[1],"runId":null}', `\`${prefix}runId\` to be ${nameExpected}, got null`],
    ['{"ids":[1],"runId":"a/../b"}', `\`${prefix}runId\` to be ${nameExpected}, got "a/../b"`],
    [
      '{"ids":[1],"Ids":[2]}',
      `\`${root}\` to be an object with no keys but ids, returnExceptions, runId, got {"Ids":[2]}`,
    ],
    [
      '{"__proto__":{"ids":[1]}}',
      `\`${root}\` to be an object with no keys but ids, returnExceptions, runId, got {"__proto__":{"ids":[1]}}`,
    ],
    [
      '{"ids":[1],"constructor":1}',
      `\`${root}\` to be an object with no keys but ids, returnExceptions, runId, got {"constructor":1}`,
    ],
  ])('%s is refused with the place, what was expected and what came', (json, message) => {
    const parse = () => parseBatch(JSON.parse(json), path, { maxIds: 10 });
    expect(parse).toThrow(BadInputError);
    expect(parse).toThrow(`Expected ${message}`);
  });
});
