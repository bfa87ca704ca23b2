import { isUtf8 } from 'node:buffer';

const TAB = 0x09;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** From there on, its end is looked for by the runtime, which is four times as fast; for short strings, it is not. */
const LONG_STRING = 64;
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf] as const;

/**
 * The JSON text of a body, token for token: only white space between tokens goes, so that it fits on one line.
 * A byte order mark before it goes as well (RFC 8259, 8.1). Numbers, key order and duplicate keys stay as they are.
 *
 * A body of white space alone gives an empty text. Throws SyntaxError where the body is not JSON or not UTF-8.
 * The text is a copy: it does not hold on to the body's memory.
 */
export function postJson(body: Buffer): Buffer {
  if (!isUtf8(body)) throw new SyntaxError('Not UTF-8');
  const marked = BYTE_ORDER_MARK.every((byte, i) => body[i] === byte);
  const json = marked ? body.subarray(BYTE_ORDER_MARK.length) : body;
  const text = withoutWhiteSpace(json);
  // The body is parsed, not the text, in which `1 2` has become a number; and only to be checked: what
  // JSON.parse makes of numbers beyond 2^53 or of duplicate keys is not what was sent.
  if (text.length > 0) JSON.parse(json.toString());
  return text;
}

/** Whether the text says that there is no post: nothing, `null`, `{}`, `[]` or `""`. */
export function isNoData(text: Buffer): boolean {
  return text.length <= 4 && ['', 'null', '{}', '[]', '""'].includes(text.toString());
}

function withoutWhiteSpace(json: Buffer): Buffer {
  const text = Buffer.allocUnsafe(json.length);
  let length = 0;
  /** How far it is into a string; 0 outside of one. */
  let inString = 0;
  for (let i = 0; i < json.length; i++) {
    const byte = json[i] as number;
    if (inString > 0) {
      text[length++] = byte;
      if (byte === QUOTE) inString = 0;
      else if (byte === BACKSLASH) {
        text[length++] = json[++i] as number;
        inString += 1;
      } else if (++inString === LONG_STRING) {
        const end = endOfString(json, i + 1);
        length += json.copy(text, length, i + 1, end);
        i = end - 1;
      }
    } else if (byte !== SPACE && byte !== LINE_FEED && byte !== CARRIAGE_RETURN && byte !== TAB) {
      text[length++] = byte;
      if (byte === QUOTE) inString = 1;
    }
  }
  return text.subarray(0, length);
}

/** Where the quote is that ends the string around `from`, before which there is no lone backslash; else the end. */
function endOfString(json: Buffer, from: number): number {
  for (let start = from; ; ) {
    const end = json.indexOf(QUOTE, start);
    if (end < 0) return json.length;
    let backslashes = 0;
    while (end - backslashes > from && json[end - backslashes - 1] === BACKSLASH) backslashes += 1;
    if (backslashes % 2 === 0) return end;
    start = end + 1;
  }
}
