import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isNoData, postJson } from '../src/post-json.ts';

const textOf = (body: string | Buffer): string =>
  postJson(typeof body === 'string' ? Buffer.from(body) : body).toString();

describe('the text of a post is what was sent, token for token', () => {
  test.each([
    ['integers beyond 2^53', '{"id":12345678901234567890}'],
    ['fractions with zeros at the end', '[1.10,0.0,100e0]'],
    ['a minus zero', '-0'],
    ['numbers beyond a double', '[1E400,-1e-400]'],
    ['duplicate keys', '{"a":1,"a":2}'],
    ['the order of keys, those that look like integers too', '{"b":1,"2":2,"a":3,"1":4}'],
    ['a key named __proto__', '{"__proto__":{"x":1}}'],
    ['escapes', String.raw`"\"\\\/\b\f\n\r\t\u0041\u00e9"`],
    ['line separators, raw', '"\u2028\u2029"'],
    ['line separators, escaped', String.raw`"\u2028\u2029"`],
    ['surrogates, escaped, paired or alone', String.raw`"\ud83d\ude00 \ud83d"`],
    ['an emoji', '"😀"'],
    ['an escaped NUL', String.raw`"\u0000"`],
    ['spaces in strings, and after an escaped quote', String.raw`{"a  b":"c \" d\\","e":" "}`],
    ['the literals', '[true,false,null]'],
  ])('%s', (_name, json) => {
    expect(textOf(json)).toBe(json);
    expect(textOf(` \n${json}\r\n\t`)).toBe(json);
  });

  test('only white space between tokens goes', () => {
    expect(textOf('\r\n{\t"a" :\n[ 1 , 2.0 ,\r"b c" ] , "d" : { } }\n')).toBe('{"a":[1,2.0,"b c"],"d":{}}');
  });

  test('a byte order mark before it goes', () => {
    expect(textOf('\ufeff {"a":1}')).toBe('{"a":1}');
  });

  test('10,000 nested arrays are no trouble', () => {
    const json = '['.repeat(10_000) + ']'.repeat(10_000);
    expect(textOf(json)).toBe(json);
  });

  test('a body of nothing, white space or a byte order mark alone gives an empty text', () => {
    expect(['', ' \r\n\t ', '\ufeff', '\ufeff\n'].map(textOf)).toStrictEqual(['', '', '', '']);
  });

  test("it is a copy, which does not share the body's memory", () => {
    const body = Buffer.from('{"a":1}');
    const text = postJson(body);
    body.fill('x');
    expect(text.toString()).toBe('{"a":1}');
  });

  test('any JSON value, with any white space between its tokens, gives the text without', () => {
    const space = fc.string({ unit: fc.constantFrom(' ', '\n', '\r', '\t'), maxLength: 3 });
    fc.assert(
      fc.property(fc.jsonValue(), fc.infiniteStream(space), (value, spaces) => {
        const json = JSON.stringify(value);
        const spaced = tokensOf(json).flatMap((token) => [spaces.next().value, token]);
        expect(textOf(spaced.join('') + spaces.next().value)).toBe(json);
      }),
      { numRuns: 500 },
    );
  });
});

test('long strings are what was sent, wherever in them quotes, backslashes and spaces stand', () => {
  const text = fc.string({ unit: fc.constantFrom('"', '\\', ' ', 'a', 'é'), minLength: 50, maxLength: 200 });
  fc.assert(
    fc.property(fc.array(text), (texts) => {
      const json = JSON.stringify(texts);
      expect(textOf(json)).toBe(json);
      expect(textOf(JSON.stringify(texts, null, 2))).toBe(json);
    }),
    { numRuns: 500 },
  );
});

test.each(['"', String.raw`\"`, '\\'])(
  'a long string that does not end, but for %s, is a SyntaxError',
  (end) => {
    const open = `"${'x'.repeat(100)}${end === '"' ? '' : end}`;
    expect(() => postJson(Buffer.from(open))).toThrow(SyntaxError);
    expect(() => postJson(Buffer.from(`[${open} , 1`))).toThrow(SyntaxError);
  },
);

describe('what is no JSON in UTF-8 is a SyntaxError', () => {
  test.each([
    ['two numbers with a space between them', '1 2'],
    ['a literal with a space in it', 'tru e'],
    ['a number with a space in it', '1. 5'],
    ['two values', '{}{}'],
    ['two byte order marks', '\ufeff\ufeff{}'],
    ['a byte order mark inside', '{\ufeff}'],
    ['a NUL outside of strings', '{"a":1}\0'],
    ['a NUL inside of a string', '"\0"'],
    ['a line feed inside of a string', '"a\nb"'],
    ['other white space', '\u00a0{}'],
    ['a form feed', '\f1'],
    ['NaN', 'NaN'],
    ['Infinity', '[Infinity]'],
    ['a comma at the end', '[1,]'],
    ['single quotes', "{'a':1}"],
    ['a comment', '{}/**/'],
    ['a number with a zero before it', '01'],
    ['a text cut short', '{"title":"A po'],
    ['a string cut short after a backslash', '"a\\'],
    ['white space, then a string cut short after a backslash', '  "a\\'],
    ['a page of HTML', '<!DOCTYPE html>'],
  ])('%s', (_name, body) => {
    expect(() => textOf(body)).toThrow(SyntaxError);
  });

  test.each([
    ['a lone continuation byte', [0x22, 0x80, 0x22]],
    ['a sequence cut short', [0x22, 0xe2, 0x82, 0x22]],
    ['an overlong form', [0x22, 0xc0, 0xaf, 0x22]],
    ['a surrogate encoded', [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ['Latin-1', [0x22, 0xe9, 0x22]],
    ['UTF-16', [0xff, 0xfe, 0x31, 0x00]],
  ])('invalid UTF-8: %s', (_name, bytes) => {
    expect(() => textOf(Buffer.from(bytes))).toThrow(new SyntaxError('Not UTF-8'));
  });
});

describe('isNoData', () => {
  test.each(['', 'null', '{}', '[]', '""'])('%j says that there is no post', (text) => {
    expect(isNoData(Buffer.from(text))).toBe(true);
  });

  test.each(['0', 'true', 'false', '[0]', '{"":0}', '" "', '[[]]', '"null"', '-0'])(
    '%j is a post',
    (text) => {
      expect(isNoData(Buffer.from(text))).toBe(false);
    },
  );
});

/** Strings, numbers and literals, and each mark by itself. */
function tokensOf(json: string): string[] {
  return json.match(/"(?:[^"\\]|\\.)*"|[[\]{}:,]|[^[\]{}:,"]+/g) ?? [];
}
