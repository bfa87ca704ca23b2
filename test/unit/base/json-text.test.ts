import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BadInputError } from '../../../src/base/errors.ts';
import { parseJsonText } from '../../../src/base/json-text.ts';

const parse = (text: string) => parseJsonText(text, 'body');

test.each([
  ['{"ids":[1]}', { ids: [1] }],
  ['\ufeff{"ids":[1]}', { ids: [1] }],
  ['\ufeff \n7\n', 7],
  // The same key in several objects, and as a value, is not there twice.
  ['[{"a":1},{"a":{"a":"a"}},["a","a"]]', [{ a: 1 }, { a: { a: 'a' } }, ['a', 'a']]],
  ['{"a":{"b":1},"b":[{"b":2}]}', { a: { b: 1 }, b: [{ b: 2 }] }],
  // Neither what looks like JSON in a text is any.
  [String.raw`{"a":"{\"a\":1,\\","b":"]}:"}`, { a: '{"a":1,\\', b: ']}:' }],
  [`${'['.repeat(64)}${']'.repeat(64)}`, JSON.parse(`${'['.repeat(64)}${']'.repeat(64)}`)],
])('%j is what it is in JSON', (text, value) => {
  expect(parse(text)).toStrictEqual(value);
});

test('__proto__ is a key like any other', () => {
  expect(Object.entries(parse('{"__proto__":{"ids":[1]}}') as object)).toStrictEqual([
    ['__proto__', { ids: [1] }],
  ]);
});

test.each([
  ['{"ids":[1],"ids":[2]}', '"ids"'],
  ['{"ids":[{"from":1,"to":2,"from":0}]}', '"from"'],
  ['{"a":{"b":1,"c":{},"b":1}}', '"b"'],
  ['{"__proto__":1,"__proto__":2}', '"__proto__"'],
  ['{"":1,"":2}', '""'],
  [String.raw`{"ids":1,"\u0069ds":2}`, '"ids"'],
  [String.raw`{"a\/":1,"a/":2}`, '"a/"'],
  [String.raw`{"\"":1,"\u0022":2}`, String.raw`"\""`],
  [`{"${'x'.repeat(100)}":1,"${'x'.repeat(100)}":2}`, `"${'x'.repeat(80)}…"`],
])('%.60s has a key twice', (text, key) => {
  expect(() => parse(text)).toThrow(
    new BadInputError(`Expected \`body\` to have each key of an object once, got ${key} twice`),
  );
});

test.each([65, 4_481, 100_000, 3_000_000])('%i levels are too many, be they closed or not', (levels) => {
  for (const open of ['[', '{"a":', ' [ "]]" ,'])
    for (const text of [open.repeat(levels), `{"ids":${open.repeat(levels)}`])
      expect(() => parse(text)).toThrow(
        new BadInputError('Expected `body` to be nested at most 64 deep, got more'),
      );
});

test.each([
  '',
  '\ufeff\ufeff1',
  '{',
  '{"ids":[1]}}',
  "{'ids':[1]}",
  '{"ids":[01]}',
  '{"a',
  '{"a\\',
  String.raw`{"\x":1}`,
  '"a":1',
  ':',
  ']',
  '\u00a0',
  '{"ids":[1],}',
])('%j is not JSON', (text) => {
  const parsing = () => parse(text);
  expect(parsing).toThrow(BadInputError);
  expect(parsing).toThrow(/^Expected `body` to be JSON: \S/);
});

test('what is long and no JSON is refused in a message that is short', () => {
  for (const text of ['x', '"', '\\', '"\\', '€'].map((part) => part.repeat(1_000_000)))
    expect(() => parse(text)).toThrow(
      expect.objectContaining({ message: expect.stringMatching(/^.{1,300}$/s) }),
    );
});

test('any JSON whose keys are there once comes to what JSON.parse makes of it', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 5 }), fc.boolean(), (json, hasMark) => {
      expect(parse((hasMark ? '\ufeff' : '') + json)).toStrictEqual(JSON.parse(json));
    }),
  );
});

test('any text ends as JSON or as bad input', () => {
  const scraps = fc.constantFrom(...'{}[]":,\\a1 ', '\\u0061', '"a":', 'null', '\ufeff');
  fc.assert(
    fc.property(fc.array(scraps, { maxLength: 30 }), (parts) => {
      const text = parts.join('');
      let expected: unknown;
      try {
        expected = JSON.parse(text.replace(/^\ufeff/, ''));
      } catch {
        expect(() => parse(text)).toThrow(BadInputError);
        return;
      }
      try {
        expect(parse(text)).toStrictEqual(expected);
      } catch (error) {
        if (!(error instanceof BadInputError)) throw error;
        expect(error.message).toMatch(/ twice$/);
      }
    }),
    { numRuns: 2_000 },
  );
});
