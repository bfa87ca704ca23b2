import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { BadInputError, TooLargeError } from '../../../src/base/errors.ts';
import { batchOf, parseBaseForm } from '../../../src/batch/base-form.ts';
import type { IdList } from '../../../src/batch/ids.ts';
import { parseManifestLocation } from '../../../src/batch/manifest/location.ts';
import { parseIdsText } from '../../../src/batch/parse-ids.ts';

const parse = (form: unknown) => parseBaseForm(form, { place: 'event', maxIds: 10 });
const idsForm = (ids: IdList, returnExceptions = true, runId?: string) => ({
  kind: 'ids',
  ids,
  returnExceptions,
  runId,
});
const nameExpected = '1 to 128 characters out of A-Z a-z 0-9 . _ ~ - (not "." or "..")';

test('a form has its ids, and what else the event says', () => {
  const ids = [1, { from: 5, to: 7 }, 'a'];
  expect(parse({ ids, returnExceptions: false, runId: 'nightly' })).toStrictEqual(
    idsForm(ids, false, 'nightly'),
  );
});

test('exceptions are returned and the run id is open unless the event says otherwise', () => {
  expect(parse({ ids: [] })).toStrictEqual(idsForm([]));
});

test('a batch has the number of its ids and their hash', () => {
  expect(batchOf([1, { from: 5, to: 7 }, 'a'], false)).toStrictEqual({
    ids: [1, { from: 5, to: 7 }, 'a'],
    requested: 5,
    idsSha256: createHash('sha256').update('[1,5,6,7,"a"]').digest('hex'),
    returnExceptions: false,
  });
});

test('the default ids stand in where the event names none, and only there', () => {
  const defaultIds = [{ from: 1, to: 3 }];
  const parseDetail = (detail: unknown) => parseBaseForm(detail, { place: 'detail', maxIds: 10, defaultIds });
  expect(parseDetail({ runId: 'r' })).toStrictEqual(idsForm(defaultIds, true, 'r'));
  expect(parseDetail({ ids: [] })).toStrictEqual(idsForm([]));
  for (const form of [{ manifest: 's3://bucket/ids.csv' }, { redrive: 'nightly' }])
    expect(parseDetail(form).kind).toBe(Object.keys(form)[0]);
  expect(() => parseDetail({ ids: null })).toThrow(
    new BadInputError('Expected `detail.ids` to be an array of ids, got null'),
  );
});

test('ids are read in the way that the form is written', () => {
  expect(
    parseBaseForm({ ids: '1,7-9' }, { place: 'query', maxIds: 10, parseIds: parseIdsText }),
  ).toStrictEqual(idsForm([1, { from: 7, to: 9 }]));
});

test('a form has the keys that it may have, the values of others being for its reader to check', () => {
  const keys = ['ids', 'manifest', 'redrive', 'color'];
  const parseColored = (form: unknown) => parseBaseForm(form, { place: 'input', maxIds: 10, keys });
  expect(parseColored({ ids: [1], color: 7 })).toStrictEqual(idsForm([1]));
  expect(() => parseColored({ redrive: 'r', color: 7 })).toThrow(
    new BadInputError('Expected `color` to be left out of a redrive, got 7'),
  );
  expect(() => parseColored({ ids: [1], runId: 'r' })).toThrow(
    new BadInputError(
      'Expected `input` to be an object with no keys but ids, manifest, redrive, color, got {"runId":"r"}',
    ),
  );
});

test('what Step Functions adds to a nested start is passed over, whatever the form is', () => {
  const linked = { AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID: 'arn:aws:states:us-east-1:1:execution:a:b' };
  for (const form of [
    { ids: [1], runId: 'r' },
    { manifest: 's3://bucket/ids.csv', returnExceptions: false },
    { redrive: 'r' },
  ])
    expect(parse({ ...linked, ...form })).toStrictEqual(parse(form));
  expect(() => parse(linked)).toThrow(new BadInputError('Expected `ids` to be an array of ids, got nothing'));
});

test('more ids than are allowed are too many', () => {
  expect(() => parseBaseForm({ ids: [{ from: 1, to: 11 }] }, { place: 'body', maxIds: 10 })).toThrow(
    new TooLargeError('Expected `body.ids` to hold at most 10 ids (MAX_IDS), got 11'),
  );
});

test('a manifest stands for the ids that it lists, in either mode and under any name', () => {
  const manifest = 's3://bucket/ids.csv.gz';
  const location = parseManifestLocation(manifest, 'manifest');
  expect(parse({ manifest })).toStrictEqual({
    kind: 'manifest',
    location,
    returnExceptions: true,
    runId: undefined,
  });
  expect(parse({ manifest, returnExceptions: false, runId: 'nightly' })).toStrictEqual({
    kind: 'manifest',
    location,
    returnExceptions: false,
    runId: 'nightly',
  });
});

test('a redrive names the run that it is of, and nothing else', () => {
  expect(parse({ redrive: 'nightly' })).toStrictEqual({
    kind: 'redrive',
    earlierRunId: 'nightly',
    returnExceptions: true,
    runId: undefined,
  });
});

describe.each([
  ['event', ''],
  ['input', ''],
  ['body', 'body.'],
] as const)('a form that is the %s', (place, prefix) => {
  test.each<[json: string, message: string]>([
    ['null', `\`${place}\` to be an object with "ids", "manifest" or "redrive", got null`],
    ['[1,2]', `\`${place}\` to be an object with "ids", "manifest" or "redrive", got an array of 2`],
    ['"1,2"', `\`${place}\` to be an object with "ids", "manifest" or "redrive", got "1,2"`],
    ['5', `\`${place}\` to be an object with "ids", "manifest" or "redrive", got 5`],
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
      `\`${place}\` to be an object with no keys but ids, manifest, redrive, returnExceptions, runId, got {"Ids":[…]}`,
    ],
    [
      '{"__proto__":{"ids":[1]}}',
      `\`${place}\` to be an object with no keys but ids, manifest, redrive, returnExceptions, runId, got {"__proto__":{…}}`,
    ],
    [
      '{"ids":[1],"constructor":1}',
      `\`${place}\` to be an object with no keys but ids, manifest, redrive, returnExceptions, runId, got {"constructor":1}`,
    ],
    [
      '{"ids":[1],"manifest":"s3://bucket/ids.csv"}',
      `\`${place}\` to have one of ids, manifest, redrive, got ids and manifest`,
    ],
    ['{"ids":null,"redrive":"r"}', `\`${place}\` to have one of ids, manifest, redrive, got ids and redrive`],
    [
      '{"redrive":"r","manifest":"","ids":[]}',
      `\`${place}\` to have one of ids, manifest, redrive, got ids and manifest and redrive`,
    ],
    ['{"manifest":null}', `\`${prefix}manifest\` to be s3://bucket/key, with a key that ends in `],
    ['{"manifest":"s3://bucket/ids.csv","runId":7}', `\`${prefix}runId\` to be ${nameExpected}, got 7`],
    [
      '{"manifest":"s3://bucket/ids.csv","returnExceptions":1}',
      `\`${prefix}returnExceptions\` to be true or false, got 1`,
    ],
    ['{"redrive":null}', `\`${prefix}redrive\` to be ${nameExpected}, got null`],
    ['{"redrive":"../r"}', `\`${prefix}redrive\` to be ${nameExpected}, got "../r"`],
    ['{"redrive":"r","runId":"s"}', `\`${prefix}runId\` to be left out of a redrive, got "s"`],
    [
      '{"redrive":"r","returnExceptions":true}',
      `\`${prefix}returnExceptions\` to be left out of a redrive, got true`,
    ],
  ])('%s is refused with the place, what was expected and what came', (json, message) => {
    const parsing = () => parseBaseForm(JSON.parse(json), { place, maxIds: 10 });
    expect(parsing).toThrow(BadInputError);
    expect(parsing).toThrow(`Expected ${message}`);
  });
});
