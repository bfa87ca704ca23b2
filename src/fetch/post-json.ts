import { isUtf8 } from 'node:buffer';

/** The most arrays and objects, one in the other, that a post may have: several readers of documents take no more. */
export const MAX_NESTING = 256;

/** A body is nested more than `MAX_NESTING` deep. */
export class NestingError extends Error {
  override readonly name = 'NestingError';
}

const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf] as const;

/**
 * The JSON text of a body, token for token: only white space between tokens goes, so that it fits on one line.
 * A byte order mark before it goes as well (RFC 8259, 8.1). Numbers, key order and duplicate keys stay as they are.
 *
 * A body of white space alone gives an empty text. Throws SyntaxError where the body is not UTF-8 or, as far as it was
 * read, not JSON, and NestingError at the bracket that opens one level too many, whatever is behind it.
 * The text is a copy: it does not hold on to the body's memory.
 */
export function postJson(body: Buffer): Buffer {
  if (!isUtf8(body)) throw new SyntaxError('Not UTF-8');
  const marked = BYTE_ORDER_MARK.every((byte, i) => body[i] === byte);
  const json = marked ? body.subarray(BYTE_ORDER_MARK.length) : body;
  return withoutBlanks(json);
}

/** Whether the text says that there is no post: nothing, `null`, `{}`, `[]` or `""`. */
export function isNoData(text: Buffer): boolean {
  return text.length <= 4 && ['', 'null', '{}', '[]', '""'].includes(text.toString());
}

const TAB = 0x09;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const PLUS = 0x2b;
const COMMA = 0x2c;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const UPPER_E = 0x45;
const OPENING_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const LOWER_E = 0x65;
const LOWER_U = 0x75;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
/** The difference between an opening bracket or brace and its closing one. */
const TO_CLOSER = 2;

/** By the first byte. */
const LITERALS = new Map(['true', 'false', 'null'].map((word) => [word.charCodeAt(0), Buffer.from(word)]));
/** What may stand behind a backslash, but for `u`. */
const isEscape = isOneOf('"\\/bfnrt');
const isHexDigit = isOneOf('0123456789abcdefABCDEF');
/** What stands for itself in a string; bytes beyond ASCII do, in a body that is UTF-8. */
const isPlain = new Uint8Array(256).fill(1, SPACE);
isPlain[QUOTE] = 0;
isPlain[BACKSLASH] = 0;
/** From there on, a string is looked through by words; for short strings, that would be slower. */
const LONG_STRING = 64;

/** What ends each array and object that is open, the outermost at 1. Shared, as calls do not overlap. */
const closers = new Uint8Array(MAX_NESTING + 1);

/**
 * A JSON text (RFC 8259) without the white space between its tokens, which may be all of it. Throws as `postJson` does.
 * JSON.parse takes longer, and makes what nobody needs: of `[[],[],…` half a million arrays.
 */
function withoutBlanks(json: Buffer): Buffer {
  const text = new Runs(json);
  let depth = 0;
  let i = behindBlanks(json, text, 0);
  if (i === json.length) return text.end();
  for (let isKey = false; ; i = behindBlanks(json, text, i)) {
    const byte = json[i] as number;
    if (isKey) {
      if (byte !== QUOTE) throw notJson();
      i = behindBlanks(json, text, endOfString(json, i + 1));
      if (json[i++] !== COLON) throw notJson();
      isKey = false;
      continue;
    }
    if (byte === OPENING_BRACE || byte === OPENING_BRACKET) {
      if (depth === MAX_NESTING) throw new NestingError();
      closers[++depth] = byte + TO_CLOSER;
      i = behindBlanks(json, text, i + 1);
      isKey = byte === OPENING_BRACE;
      if (json[i] !== closers[depth]) continue;
    } else {
      i = endOfScalar(json, i);
    }
    // Behind a value, or in an array or object that has none.
    for (;;) {
      i = behindBlanks(json, text, i);
      if (depth === 0) {
        if (i < json.length) throw notJson();
        return text.end();
      }
      const separator = json[i++];
      if (separator === COMMA) {
        isKey = closers[depth] === CLOSING_BRACE;
        break;
      }
      if (separator !== closers[depth]) throw notJson();
      depth -= 1;
    }
  }
}

/** Where the next token starts, from `from` on. */
function behindBlanks(json: Buffer, text: Runs, from: number): number {
  return from < json.length && isBlank(json[from] as number) ? text.leaveOutBlanks(from) : from;
}

/** What is left of a text when its blanks are left out. */
class Runs {
  readonly #whole: Buffer;
  #left: Buffer | undefined;
  #length = 0;
  /** Where what has yet to be copied starts. */
  #from = 0;

  constructor(whole: Buffer) {
    this.#whole = whole;
  }

  /** Where the blanks end that start at `from`. To be called in order. */
  leaveOutBlanks(from: number): number {
    const whole = this.#whole;
    let to = from + 1;
    while (to < whole.length && isBlank(whole[to] as number)) to += 1;
    this.#left ??= Buffer.allocUnsafe(whole.length);
    this.#copy(this.#left, from);
    this.#from = to;
    return to;
  }

  /** A copy. */
  end(): Buffer {
    if (!this.#left) return copyOf(this.#whole);
    this.#copy(this.#left, this.#whole.length);
    const text = this.#left.subarray(0, this.#length);
    // A few bytes of a body of blanks may not hold on to the memory of all of them.
    return 2 * text.length < this.#whole.length ? copyOf(text) : text;
  }

  #copy(left: Buffer, to: number): void {
    const whole = this.#whole;
    let from = this.#from;
    if (to - from < LONG_STRING) while (from < to) left[this.#length++] = whole[from++] as number;
    else this.#length += whole.copy(left, this.#length, from, to);
  }
}

/** As `Buffer.from` gives it, which takes longer: each post is copied once. */
function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafe(bytes.length);
  copy.set(bytes);
  return copy;
}

/** Where the string, number or literal ends that starts at `from`. */
function endOfScalar(json: Buffer, from: number): number {
  const byte = json[from] as number;
  if (byte === QUOTE) return endOfString(json, from + 1);
  if (byte === MINUS || isDigit(byte)) return endOfNumber(json, from);
  const literal = LITERALS.get(byte);
  if (!literal) throw notJson();
  for (let i = 1; i < literal.length; i++) if (json[from + i] !== literal[i]) throw notJson();
  return from + literal.length;
}

/** Behind the quote that ends the string in which `from` is the first byte. */
function endOfString(json: Buffer, from: number): number {
  const { length } = json;
  for (let i = from; ; ) {
    const long = i + LONG_STRING;
    while (i < length && i < long && isPlain[json[i] as number] === 1) i += 1;
    if (i === long) i = endOfPlain(json, i);
    const byte = json[i++];
    if (byte === QUOTE) return i;
    // A control character, or the end of the text.
    if (byte !== BACKSLASH) throw notJson();
    const escaped = json[i++] as number;
    if (escaped === LOWER_U) {
      for (const end = i + 4; i < end; i++) if (!isHexDigit[json[i] as number]) throw notJson();
    } else if (!isEscape[escaped]) throw notJson();
  }
}

/** Where what stands for itself in a string ends, at `from` or behind it. */
function endOfPlain(json: Buffer, from: number): number {
  const { buffer, byteOffset, length } = json;
  let i = from;
  // Words start at multiples of four.
  while (i < length && (byteOffset + i) % 4 > 0 && isPlain[json[i] as number] === 1) i += 1;
  if ((byteOffset + i) % 4 === 0) {
    const words = new Int32Array(buffer, byteOffset + i, (length - i) >> 2);
    let read = 0;
    while (read + 4 <= words.length && !hasUnplain(words, read)) read += 4;
    i += 4 * read;
  }
  while (i < length && isPlain[json[i] as number] === 1) i += 1;
  return i;
}

/** Whether one of the 16 bytes of four words does not stand for itself in a string. */
function hasUnplain(words: Int32Array, first: number): boolean {
  const found =
    unplainBits(words[first] as number) |
    unplainBits(words[first + 1] as number) |
    unplainBits(words[first + 2] as number) |
    unplainBits(words[first + 3] as number);
  return (found & 0x80808080) !== 0;
}

/** The highest bit of a byte is set, where all below it in the word stand for themselves, if it does not. */
function unplainBits(word: number): number {
  const quotes = word ^ 0x22222222;
  const backslashes = word ^ 0x5c5c5c5c;
  // Of bytes in ASCII, a subtraction makes those negative that are smaller.
  return (
    ((word - 0x20202020) & ~word) |
    ((quotes - 0x01010101) & ~quotes) |
    ((backslashes - 0x01010101) & ~backslashes)
  );
}

function endOfNumber(json: Buffer, from: number): number {
  let i = json[from] === MINUS ? from + 1 : from;
  i = json[i] === ZERO ? i + 1 : endOfDigits(json, i);
  if (json[i] === POINT) i = endOfDigits(json, i + 1);
  if (json[i] === UPPER_E || json[i] === LOWER_E) {
    const isSigned = json[i + 1] === PLUS || json[i + 1] === MINUS;
    i = endOfDigits(json, isSigned ? i + 2 : i + 1);
  }
  return i;
}

/** Behind the digits from `from` on, of which there is at least one. */
function endOfDigits(json: Buffer, from: number): number {
  let i = from;
  while (i < json.length && isDigit(json[i] as number)) i += 1;
  if (i === from) throw notJson();
  return i;
}

function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= NINE;
}

function isBlank(byte: number): boolean {
  return byte <= SPACE && (byte === SPACE || byte === LINE_FEED || byte === CARRIAGE_RETURN || byte === TAB);
}

/** Has a 1 for each of these characters, by its code. */
function isOneOf(characters: string): Uint8Array {
  const table = new Uint8Array(256);
  for (const byte of Buffer.from(characters)) table[byte] = 1;
  return table;
}

function notJson(): SyntaxError {
  return new SyntaxError('Not JSON');
}
