import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BadInputError, TooLargeError } from '../../../src/base/errors.ts';
import type { IdList } from '../../../src/batch/ids.ts';
import {
  parseEarlierRunId,
  parseId,
  parseIds,
  parseIdsText,
  parseName,
  parsePlainId,
  parseRunId,
} from '../../../src/batch/parse-ids.ts';

const nameExpected = '1 to 128 characters out of A-Z a-z 0-9 . _ ~ - (not "." or "..")';
const integerExpected = 'an integer from 0 to 9007199254740991';
const idExpected = `${integerExpected}, a range {"from", "to"}, or ${nameExpected}`;

const tooMany = (got: number) =>
  new TooLargeError(`Expected \`ids\` to hold at most 10 ids (MAX_IDS), got ${got}`);

describe('ids in JSON', () => {
  test.each<[json: string, ids: IdList]>([
    ['[]', []],
    ['[1, 99999, 3]', [1, 99999, 3]],
    ['[0, -0, 1e3, 1.0, 9007199254740991]', [0, 0, 1000, 1, 9007199254740991]],
    ['["1", "007", "7-9", "-", "~", "...", "a.b_c~d-e"]', ['1', '007', '7-9', '-', '~', '...', 'a.b_c~d-e']],
    ['["__proto__", "constructor"]', ['__proto__', 'constructor']],
    [`["${'x'.repeat(128)}"]`, ['x'.repeat(128)]],
    [
      '[{"from": 1, "to": 3}, {"to": 5, "from": 5}]',
      [
        { from: 1, to: 3 },
        { from: 5, to: 5 },
      ],
    ],
    ['[{"from": -0, "to": 9}]', [{ from: 0, to: 9 }]],
    ['[{"from": 9007199254740990, "to": 9007199254740991}]', [{ from: 2 ** 53 - 2, to: 2 ** 53 - 1 }]],
  ])('%s are good', (json, ids) => {
    expect(parseIds(JSON.parse(json), 'ids', 10)).toStrictEqual(ids);
  });

  test.each<[json: string, path: string, expected: string, got: string]>([
    ['null', 'ids', 'an array of ids', 'null'],
    ['{}', 'ids', 'an array of ids', '{}'],
    ['"1"', 'ids', 'an array of ids', '"1"'],
    ['1', 'ids', 'an array of ids', '1'],
    ['{"length": 1, "0": 1}', 'ids', 'an array of ids', '{"0":1,"length":1}'],
    ['[1, null]', 'ids[1]', idExpected, 'null'],
    ['[true]', 'ids[0]', idExpected, 'true'],
    ['[[1]]', 'ids[0]', idExpected, 'an array of 1'],
    ['[1.5]', 'ids[0]', idExpected, '1.5'],
    ['[-1]', 'ids[0]', idExpected, '-1'],
    ['[9007199254740993]', 'ids[0]', idExpected, '9007199254740992'],
    ['[1e999]', 'ids[0]', idExpected, 'Infinity'],
    ['[""]', 'ids[0]', nameExpected, '""'],
    ['["."]', 'ids[0]', nameExpected, '"."'],
    ['[".."]', 'ids[0]', nameExpected, '".."'],
    ['["../admin"]', 'ids[0]', nameExpected, '"../admin"'],
    ['["a/b"]', 'ids[0]', nameExpected, '"a/b"'],
    ['["a b"]', 'ids[0]', nameExpected, '"a b"'],
    ['["a\\n"]', 'ids[0]', nameExpected, '"a\\n"'],
    ['["%2e%2e"]', 'ids[0]', nameExpected, '"%2e%2e"'],
    ['["ä"]', 'ids[0]', nameExpected, '"ä"'],
    ['["a?b"]', 'ids[0]', nameExpected, '"a?b"'],
    [`["${'x'.repeat(129)}"]`, 'ids[0]', nameExpected, `"${'x'.repeat(80)}…"`],
    ['[{}]', 'ids[0].from', integerExpected, 'nothing'],
    ['[{"from": 1}]', 'ids[0].to', integerExpected, 'nothing'],
    ['[{"from": "1", "to": 2}]', 'ids[0].from', integerExpected, '"1"'],
    ['[{"from": 1, "to": 2.5}]', 'ids[0].to', integerExpected, '2.5'],
    ['[{"from": -5, "to": 2}]', 'ids[0].from', integerExpected, '-5'],
    ['[{"from": 1, "to": 9007199254740992}]', 'ids[0].to', integerExpected, '9007199254740992'],
    ['[{"from": 5, "to": 1}]', 'ids[0]', 'a range whose "from" is not above its "to"', '{"from":5,"to":1}'],
    [
      '[{"from": 1, "to": 9, "step": 2}]',
      'ids[0]',
      'a range with "from" and "to" alone',
      '{"from":1,"to":9,"step":2}',
    ],
    [
      '[{"from": 1, "__proto__": {"to": 3}}]',
      'ids[0]',
      'a range with "from" and "to" alone',
      '{"from":1,"__proto__":{…}}',
    ],
  ])('%s are refused with the place, what was expected and what came', (json, path, expected, got) => {
    expect(() => parseIds(JSON.parse(json), 'ids', 10)).toThrow(
      new BadInputError(`Expected \`${path}\` to be ${expected}, got ${got}`),
    );
  });

  test('exactly as many ids as are allowed are good, ranges counted out', () => {
    const ids = [0, { from: 1, to: 8 }, 'a'];
    expect(parseIds(ids, 'ids', 10)).toStrictEqual(ids);
  });

  test.each<[ids: unknown[], count: number]>([
    [Array.from({ length: 11 }, (_, i) => i), 11],
    [[0, { from: 1, to: 10 }], 11],
    [[{ from: 1, to: 1_000_000_000_000 }], 1_000_000_000_000],
    [[{ from: 0, to: Number.MAX_SAFE_INTEGER }], 2 ** 53],
    // The array alone is too long: what is in it is not looked at.
    [Array.from({ length: 1_000_000 }, () => null), 1_000_000],
  ])('%# more ids than are allowed are too many, without being listed', (ids, count) => {
    expect(() => parseIds(ids, 'ids', 10)).toThrow(tooMany(count));
  });
});

describe('ids in text', () => {
  test.each<[text: string, ids: IdList]>([
    ['1', [1]],
    ['1,2,7-9', [1, 2, { from: 7, to: 9 }]],
    [' 1 ,\t2 , 7-9\n', [1, 2, { from: 7, to: 9 }]],
    ['007', [7]],
    ['a-slug,1a,7-,-7,7-9-11,1.5,1e3', ['a-slug', '1a', '7-', '-7', '7-9-11', '1.5', '1e3']],
    ['0-0', [{ from: 0, to: 0 }]],
    ['9007199254740991', [9007199254740991]],
  ])('%j are good', (text, ids) => {
    expect(parseIdsText(text, 'ids', 10)).toStrictEqual(ids);
  });

  test.each<[text: string, path: string, expected: string, got: string]>([
    ['', 'ids', 'comma-separated ids and ranges', '""'],
    [' \n', 'ids', 'comma-separated ids and ranges', '" \\n"'],
    [',', 'ids[0]', nameExpected, '""'],
    ['1,,2', 'ids[1]', nameExpected, '""'],
    ['1,2,', 'ids[2]', nameExpected, '""'],
    ['1;2', 'ids[0]', nameExpected, '"1;2"'],
    ['1 2', 'ids[0]', nameExpected, '"1 2"'],
    ['7 - 9', 'ids[0]', nameExpected, '"7 - 9"'],
    ['a/b', 'ids[0]', nameExpected, '"a/b"'],
    ['..', 'ids[0]', nameExpected, '".."'],
    ['[1,2]', 'ids[0]', nameExpected, '"[1"'],
    ['٣', 'ids[0]', nameExpected, '"٣"'],
    ['9-7', 'ids[0]', 'a range whose "from" is not above its "to"', '"9-7"'],
    // What came is the text: as a number it has lost its last digits.
    ['9007199254740993', 'ids[0]', integerExpected, '"9007199254740993"'],
    ['1-9007199254740993', 'ids[0]', integerExpected, '"1-9007199254740993"'],
    ['9007199254740993-9007199254740994', 'ids[0]', integerExpected, '"9007199254740993-9007199254740994"'],
    ['9'.repeat(400), 'ids[0]', integerExpected, `"${'9'.repeat(80)}…"`],
  ])('%j are refused with the place, what was expected and what came', (text, path, expected, got) => {
    expect(() => parseIdsText(text, 'ids', 10)).toThrow(
      new BadInputError(`Expected \`${path}\` to be ${expected}, got ${got}`),
    );
  });

  test('more ids than are allowed are too many, without being listed', () => {
    expect(() => parseIdsText('0,1-10', 'ids', 10)).toThrow(tooMany(11));
    expect(() => parseIdsText('1-1000000000000', 'ids', 10)).toThrow(tooMany(1_000_000_000_000));
    expect(() => parseIdsText(','.repeat(1_000_000), 'ids', 10)).toThrow(tooMany(11));
  });

  test('as many are read as are given, however many are allowed', () => {
    for (const maxIds of [2 ** 32 - 2, 2 ** 32 - 1, 2 ** 32, 10_000_000_000, Infinity])
      expect(parseIdsText('1,2,a', 'ids', maxIds)).toStrictEqual([1, 2, 'a']);
  });

  test('ids that are written as text are read as what they were', () => {
    const name = fc.stringMatching(/^[A-Za-z_~][A-Za-z0-9._~-]{0,20}$/);
    const range = fc.tuple(fc.nat(), fc.nat(1_000)).map(([from, length]) => ({ from, to: from + length }));
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.maxSafeNat(), name, range), { minLength: 1 }), (ids) => {
        const text = ids.map((id) => (typeof id === 'object' ? `${id.from}-${id.to}` : id)).join();
        expect(parseIdsText(text, 'ids', 1_000_000)).toStrictEqual(ids);
      }),
    );
  });
});

test('one id is read as it is in a list, and names the place that it is told', () => {
  expect([parseId(-0, 'a'), parseId('7', 'a'), parseId({ from: 1, to: 2 }, 'a')]).toStrictEqual([
    0,
    '7',
    { from: 1, to: 2 },
  ]);
  expect(() => parseId(1.5, 'line 7')).toThrow(
    new BadInputError(`Expected \`line 7\` to be ${idExpected}, got 1.5`),
  );
});

test('one id in text is a number or a name, and never a range', () => {
  expect(['007', '7-9', 'a'].map((text) => parsePlainId(text, 'line 7'))).toStrictEqual([7, '7-9', 'a']);
  for (const [text, expected] of [
    ['', nameExpected],
    ['7,9', nameExpected],
    ['9007199254740993', integerExpected],
  ] as const)
    expect(() => parsePlainId(text, 'line 7')).toThrow(
      new BadInputError(`Expected \`line 7\` to be ${expected}, got "${text}"`),
    );
});

test('a name is given back as it is, and refused with its place', () => {
  expect(parseName('nightly-2026.11_23~', 'runId')).toBe('nightly-2026.11_23~');
  for (const [value, got] of [
    [null, 'null'],
    [7, '7'],
    ['2026-11-23T06:00:00Z', '"2026-11-23T06:00:00Z"'],
  ])
    expect(() => parseName(value, 'runId')).toThrow(
      new BadInputError(`Expected \`runId\` to be ${nameExpected}, got ${got}`),
    );
});

describe('a run id of a caller', () => {
  test.each([
    'nightly-2026.11_23~',
    'manifest',
    'big.manifests',
    'big.Manifest',
    'big.manifest.2',
    'big.part-',
    'big.part-1a',
    'part-000001',
    'big.redrive-1x',
    'redrive-1',
    'x'.repeat(116),
  ])('may be %s', (runId) => {
    expect(parseRunId(runId, 'runId')).toBe(runId);
  });

  test.each([
    'big.manifest',
    '.manifest',
    'big.progress',
    'big.part-000001',
    'big.part-1',
    'big.redrive-1',
    'big.redrive-007',
    'big.part-000001.redrive-2',
    'x'.repeat(117),
    'x'.repeat(128),
  ])('is none that is derived from one, and leaves room for these: %s', (runId) => {
    const got = runId.length > 80 ? `${runId.slice(0, 80)}…` : runId;
    expect(() => parseRunId(runId, 'body.runId')).toThrow(
      new BadInputError(
        `Expected \`body.runId\` to be at most 116 characters that end in none of .manifest, .progress, .part-<digits> and .redrive-<digits>, got "${got}"`,
      ),
    );
  });

  test.each([7, 'a/b', ''])('is a name: %j', (value) => {
    expect(() => parseRunId(value, 'runId')).toThrow(
      new BadInputError(`Expected \`runId\` to be ${nameExpected}, got ${JSON.stringify(value)}`),
    );
  });
});

test('the run id of a run that is there may be derived, but from no object that is no run', () => {
  for (const runId of ['big', 'big.part-000001', 'big.part-000001.redrive-2', 'x'.repeat(128)])
    expect(parseEarlierRunId(runId, 'redrive')).toBe(runId);
  for (const runId of ['big.manifest', 'big.progress', 'big.redrive-1.manifest'])
    expect(() => parseEarlierRunId(runId, 'redrive')).toThrow(
      new BadInputError(
        `Expected \`redrive\` to be the id of a run, which ends neither in .manifest nor in .progress, got "${runId}"`,
      ),
    );
  expect(() => parseEarlierRunId('a/b', 'redrive')).toThrow(
    new BadInputError(`Expected \`redrive\` to be ${nameExpected}, got "a/b"`),
  );
});
