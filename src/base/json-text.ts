import { BadInputError } from './errors.ts';
import { excerpt } from './excerpt.ts';
import { MAX_NESTING, nestedTooDeep } from './nesting.ts';

const BYTE_ORDER_MARK = '\ufeff';

/**
 * Parses JSON as a caller wrote it, with a byte order mark or without. Throws BadInputError for what is no JSON, what is
 * nested more than 64 deep, and an object that has a key twice: of such a key, some readers take the first value and
 * some the last.
 */
export function parseJsonText(text: string, place: string): unknown {
  const json = text.startsWith(BYTE_ORDER_MARK) ? text.slice(BYTE_ORDER_MARK.length) : text;
  requireFit(json, place);
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new BadInputError(`Expected \`${place}\` to be JSON: ${(error as SyntaxError).message}`);
  }
}

/** Looks at brackets and keys alone; whether a text is JSON, of which those are, is for JSON.parse to say. */
function requireFit(json: string, place: string): void {
  /** The keys so far of each object or array that is open. */
  const open: Set<string>[] = [];
  let lastString = '';
  for (let at = 0; at < json.length; at++) {
    const char = json[at];
    if (char === '"') {
      const end = endOfString(json, at);
      lastString = json.slice(at, end);
      at = end - 1;
    } else if (char === '{' || char === '[') {
      if (open.push(NO_KEYS) > MAX_NESTING) throw nestedTooDeep(place);
    } else if (char === '}' || char === ']') open.pop();
    else if (char === ':') {
      const key = decode(lastString);
      const keys = open.pop() ?? NO_KEYS;
      if (keys.has(key))
        throw new BadInputError(
          `Expected \`${place}\` to have each key of an object once, got ${excerpt(key)} twice`,
        );
      open.push(keys === NO_KEYS ? new Set([key]) : keys.add(key));
    }
  }
}

/** Of arrays, and of objects until their first key: most of what is open never needs a set of its own. */
const NO_KEYS: Set<string> = new Set();

function endOfString(json: string, start: number): number {
  let at = start + 1;
  while (at < json.length && json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
  return at + 1;
}

/** What a key is without its escapes; of a key that is no JSON, whatever it is. */
function decode(string: string): string {
  if (!string.includes('\\')) return string.slice(1, -1);
  try {
    return JSON.parse(string);
  } catch {
    return string;
  }
}
