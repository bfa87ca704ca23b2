import { badInput } from '../../base/errors.ts';
import { extend, type OpenReader, parseJsonId, placeOf } from './reader.ts';

const ARRAY_EXPECTED = 'a JSON array of ids';
const OUTSIDE_EXPECTED = { before: ARRAY_EXPECTED, after: 'white space after the JSON array' };
const END_EXPECTED = { before: ARRAY_EXPECTED, inside: 'the end of the JSON array' };

/**
 * The elements of one JSON array: what stands between its commas. Brackets and quotes are only counted, to find
 * those commas; whether an element is JSON is for JSON.parse to say.
 */
export const readJsonArray: OpenReader = (url, take) => {
  let part: 'before' | 'inside' | 'after' = 'before';
  let line = 1;
  let index = 0;
  let text = '';
  let textLine = 1;
  let depth = 0;
  let isString = false;
  let isEscaped = false;

  const endElement = (): void => {
    const startLine = text === '' ? line : textLine;
    take(parseJsonId(text, placeOf(url, startLine, index)), startLine);
    text = '';
    index += 1;
  };

  return {
    push(chunk) {
      let start = 0;
      const keep = (end: number): void => {
        text = extend(text, chunk.slice(start, end), placeOf(url, textLine, index));
        start = end + 1;
      };
      for (let i = 0; i < chunk.length; i++) {
        const char = chunk[i] as string;
        if (char === '\n') line += 1;
        if (isString) {
          if (isEscaped) isEscaped = false;
          else if (char === '\\') isEscaped = true;
          else if (char === '"') isString = false;
        } else if (part === 'inside' && depth === 0 && (char === ',' || char === ']')) {
          keep(i);
          // Of all elements, only the first of none may be empty.
          if (char === ',' || index > 0 || text !== '') endElement();
          if (char === ']') part = 'after';
        } else if (char === ' ' || char === '\n' || char === '\t' || char === '\r') {
          if (start === i && text === '') start = i + 1;
        } else if (part === 'inside') {
          if (start === i && text === '') textLine = line;
          if (char === '"') isString = true;
          else if (char === '[' || char === '{') depth += 1;
          else if ((char === ']' || char === '}') && depth > 0) depth -= 1;
        } else if (part === 'before' && char === '[') {
          part = 'inside';
          start = i + 1;
        } else throw badInput(placeOf(url, line), OUTSIDE_EXPECTED[part], char);
      }
      if (part === 'inside') keep(chunk.length);
    },
    end() {
      if (part !== 'after') throw badInput(placeOf(url, line), END_EXPECTED[part], undefined);
    },
  };
};
