import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isNoData, NestingError, postJson } from '../../../src/fetch/post-json.ts';

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

  test('a body of nothing, white space or a byte order mark alone gives an empty text', () => {
    expect(['', ' \r\n\t ', '\ufeff', '\ufeff\n'].map(textOf)).toStrictEqual(['', '', '', '']);
  });

  test("it is a copy, which does not share the body's memory", () => {
    const body = Buffer.from('{"a":1}');
    const text = postJson(body);
    body.fill('x');
    expect(text.toString()).toBe('{"a":1}');
  });

  test('a few bytes of a body of blanks do not hold on to the memory of all of them', () => {
    const text = postJson(Buffer.from(`[${' '.repeat(1_000_000)}1]`));
    expect(text.toString()).toBe('[1]');
    expect(text.buffer.byteLength).toBeLessThan(100_000);
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

describe('a post that is nested', () => {
  const levels = (count: number, open = '[', close = ']', inner = ''): string =>
    open.repeat(count) + inner + close.repeat(count);

  test.each([
    ['arrays', levels(256)],
    ['objects', levels(255, '{"a":', '}', '{}')],
    ['arrays and objects in turn', levels(128, '[{"a":', '}]', 'null')],
    ['arrays, beside others', levels(255, '[', ']', '[],[]')],
    ['arrays, time and again', `[${Array(1_000).fill(levels(255)).join()}]`],
    [
      'brackets in strings, which do not count',
      JSON.stringify([levels(300), { [levels(300, '{', '}')]: '\\"[' }]),
    ],
  ])('256 deep is one: %s', (_name, json) => {
    expect(textOf(json)).toBe(json);
    expect(textOf(json.replaceAll(',', ' ,\n'))).toBe(json);
  });

  test.each([
    ['arrays', levels(257)],
    ['objects', levels(257, '{"a":', '}', '1')],
    ['arrays and objects in turn', levels(129, '[{"a":', '}]', '1')],
    ['an array in which nothing is', levels(256, '[', ']', '[]')],
    ['arrays behind shallow ones', `[${levels(200)},${levels(256)}]`],
    ['arrays with blanks between', levels(257, '[ ', ' ]')],
    ['arrays without an end', '['.repeat(10_000)],
    ['arrays, and then what is no JSON', `${'['.repeat(257)}}`],
    ['half a million arrays', levels(500_000)],
  ])('deeper than 256 is none: %s', (_name, json) => {
    expect(() => textOf(json)).toThrow(NestingError);
  });

  test.each([
    ['what only ends', ']'.repeat(1_000)],
    ['an array too few', `${levels(3)}]`],
    ['an array that ends as an object', '[[}'],
    ['what is no JSON, and then many arrays', `[,${'['.repeat(300)}`],
    ['256 arrays without an end', '['.repeat(256)],
    ['many, but not UTF-8', `${'['.repeat(300)}\xff`],
  ])('is no JSON where there is %s', (_name, json) => {
    expect(() => textOf(Buffer.from(json, 'latin1'))).toThrow(SyntaxError);
  });
});

test('what JSON.parse takes is taken, and nothing else', () => {
  const piece = fc.constantFrom(
    ...['[', ']', '{', '}', ',', ':', '"', '\\', ' ', '\n', '-', '0', '12', '.', 'e', 'E', '+', '/'],
    ...['true', 'false', 'nul', 'null', '\\u00e9', '\\u12', '\\b', 'é', '😀', '\0', '\x1f', '\x7f', '\ufeff'],
    ...['"a"', '"a":1', 'x'.repeat(70), `"${'y'.repeat(130)}"`],
  );
  const edit = fc.record({ at: fc.nat(), cut: fc.nat({ max: 2 }), piece });
  const edited = fc.tuple(fc.json({ maxDepth: 4 }), fc.array(edit, { maxLength: 3 })).map(([json, edits]) =>
    edits.reduce((text, { at, cut, piece }) => {
      const from = at % (text.length + 1);
      return text.slice(0, from) + piece + text.slice(from + cut);
    }, json),
  );
  const assembled = fc.array(piece, { minLength: 1, maxLength: 10 }).map((pieces) => pieces.join(''));
  const isTaken = (parse: () => unknown): boolean => {
    try {
      parse();
      return true;
    } catch {
      return false;
    }
  };
  // Words are read where memory has them: the body starts at each byte of one.
  fc.assert(
    fc.property(fc.oneof(edited, assembled), fc.nat({ max: 3 }), (text, offset) => {
      // Those that come before it, and what is nothing, are none of JSON.parse's.
      fc.pre(!text.startsWith('\ufeff') && text.trim() !== '');
      const body = Buffer.from('-'.repeat(offset) + text).subarray(offset);
      expect([text, isTaken(() => postJson(body))]).toStrictEqual([text, isTaken(() => JSON.parse(text))]);
    }),
    { numRuns: 5_000 },
  );
});

test('in a long string, what does not stand for itself is seen wherever it is', () => {
  for (let offset = 0; offset < 4; offset++)
    for (let at = 1; at < 150; at++) {
      const body = Buffer.from(`${'-'.repeat(offset)}"${'x'.repeat(150)}"`).subarray(offset);
      for (const byte of [0x00, 0x1f, 0x22, 0x5c]) {
        body[at] = byte;
        expect(() => postJson(body)).toThrow(SyntaxError);
      }
      for (const byte of [0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f]) {
        body[at] = byte;
        expect(postJson(body).equals(body)).toBe(true);
      }
    }
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
    ['a key that is no string', '{1:2}'],
    ['a key without a value', '{"a"}'],
    ['a comma at the start', '[,1]'],
    ['a comma for a colon', '{"a",1}'],
    ['values without a comma', '["a""b"]'],
    ['an escape that there is not', String.raw`"\x41"`],
    ['an escape cut short', String.raw`"\u12"`],
    ['an escape of other digits', String.raw`"\u00g0"`],
    ['a minus alone', '-'],
    ['a fraction without digits', '1.'],
    ['a power without digits', '1e+'],
    ['a plus before a number', '+1'],
    ['a literal in capitals', 'True'],
    ['a literal cut short', 'tru'],
    ['a literal that goes on', 'nulls'],
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
