import { isUtf8 } from 'node:buffer';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { BadInputError, badInput, TooLargeError } from '../../base/errors.ts';
import { CompactIds } from '../compact-ids.ts';
import { type IdList, parseId, parsePlainId } from '../ids.ts';

/** An object in S3 that lists ids, and how it does so, by the ending of its key. */
export interface ManifestLocation {
  readonly bucket: string;
  readonly key: string;
  /** `s3://bucket/key`, as it was given. */
  readonly url: string;
  readonly format: 'json' | 'jsonl' | 'csv';
  readonly gzip: boolean;
}

/** One id, range or cell as it stands in a manifest, a character a byte, and where that is. */
interface Token {
  readonly text: string;
  /** From 1. */
  readonly line: number;
  /** Of an array's element, from 0. */
  readonly index?: number;
}

/** Takes the text of a manifest in pieces, cut anywhere, and finds the tokens in it. */
interface Reader {
  push(text: string): void;
  end(): void;
}

const LOCATION =
  /^s3:\/\/(?<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\/(?<key>[^\p{Cc}\p{Cs}]+\.(?<ending>json|jsonl|ndjson|csv)(?<gz>\.gz)?)$/u;
const LOCATION_EXPECTED =
  's3://bucket/key, with a key that ends in .json, .jsonl, .ndjson or .csv, or in one of these and .gz, and has at most 1024 bytes';
const MAX_KEY_BYTES = 1_024;
/** They are held in memory, some 40 bytes each; more for long names. */
const MAX_ENTRIES = 10_000_000;
/** Many times what an id can take: whatever the manifest is, no more of it is held at once. */
const MAX_TOKEN_BYTES = 4_096;
/** U+FEFF in UTF-8, a character a byte. */
const BYTE_ORDER_MARK = '\u00ef\u00bb\u00bf';
const BLANK = /^[ \t\r]*$/;

/** Checks the `manifest` of an event. Throws BadInputError. */
export function parseManifestLocation(value: unknown, path: string): ManifestLocation {
  const { bucket, key, ending, gz } = LOCATION.exec(typeof value === 'string' ? value : '')?.groups ?? {};
  if (typeof value !== 'string' || !bucket || !key || Buffer.byteLength(key) > MAX_KEY_BYTES)
    throw badInput(path, LOCATION_EXPECTED, value);
  const format = ending === 'json' || ending === 'csv' ? ending : 'jsonl';
  return { bucket, key, url: value, format, gzip: gz !== undefined };
}

/**
 * Reads the ids that a manifest lists, holding little more than them: `source`, the bytes as they are stored, is
 * taken in as it comes, and is left as soon as there are more than `maxIds`, or more than `maxEntries` ids and ranges
 * to be held (10 million by default). What stands for the same ids in less room, a range for integers one after the
 * other, may do so.
 *
 * Rejects with BadInputError, which names the line, or TooLargeError, or with what `source` throws.
 */
export async function readManifest(
  source: AsyncIterable<Uint8Array>,
  location: ManifestLocation,
  maxIds: number,
  maxEntries = MAX_ENTRIES,
): Promise<IdList> {
  const { url, format, gzip } = location;
  const list = new CompactIds();
  const take = (token: Token): void => {
    const id = format === 'csv' ? parsePlainId(token.text, placeOf(url, token)) : parseJsonId(url, token);
    list.push(id);
    if (list.size > maxEntries)
      throw new TooLargeError(
        `Expected \`${url}\` to hold at most ${maxEntries} ids and ranges, got more by line ${token.line}`,
      );
    if (list.count > maxIds)
      throw new TooLargeError(
        `Expected \`${url}\` to hold at most ${maxIds} ids (MAX_IDS), got more by line ${token.line}`,
      );
  };
  const reader = READERS[format](url, take);
  for await (const text of textOf(gzip ? gunzipped(source, url) : source)) reader.push(text);
  reader.end();
  return list.end();
}

async function* gunzipped(
  source: AsyncIterable<Uint8Array>,
  url: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const gunzip = createGunzip();
  // What fails, fails in the loop below.
  pipeline(source, gunzip, () => {});
  try {
    yield* gunzip;
  } catch (error) {
    // What is not zlib's is the source's.
    if (!(error instanceof Error && 'code' in error && String(error.code).startsWith('Z_'))) throw error;
    throw new BadInputError(`Expected \`${url}\` to be whole and gzip, as its key says: ${error.message}`);
  }
}

/**
 * The bytes as text of a character each, without a byte order mark: all that tokens are told apart by is ASCII,
 * so that no character is cut, and each token can be checked to be UTF-8 with its line at hand.
 */
async function* textOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
  let start: string | undefined = '';
  for await (const chunk of source) {
    let text = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).toString('latin1');
    if (start !== undefined) {
      start += text;
      if (start.length < BYTE_ORDER_MARK.length) continue;
      text = start.startsWith(BYTE_ORDER_MARK) ? start.slice(BYTE_ORDER_MARK.length) : start;
      start = undefined;
    }
    yield text;
  }
  if (start !== undefined) yield start;
}

const READERS = { json: arrayReader, jsonl: lineReader, csv: csvReader };

/**
 * The elements of one JSON array: what stands between its commas. Brackets and quotes are only counted, to find
 * those commas; whether an element is JSON is for JSON.parse to say.
 */
function arrayReader(url: string, take: (token: Token) => void): Reader {
  let part: 'before' | 'inside' | 'after' = 'before';
  let line = 1;
  let index = 0;
  let text = '';
  let textLine = 1;
  let depth = 0;
  let isString = false;
  let isEscaped = false;

  const endElement = (): void => {
    take({ text, line: text === '' ? line : textLine, index });
    text = '';
    index += 1;
  };

  return {
    push(chunk) {
      let start = 0;
      const keep = (end: number): void => {
        text = extended(text, chunk.slice(start, end), placeOf(url, { line: textLine, index }));
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
        } else throw badInput(placeOf(url, { line }), OUTSIDE_EXPECTED[part], char);
      }
      if (part === 'inside') keep(chunk.length);
    },
    end() {
      if (part !== 'after') throw badInput(placeOf(url, { line }), END_EXPECTED[part], undefined);
    },
  };
}

const ARRAY_EXPECTED = 'a JSON array of ids';
const OUTSIDE_EXPECTED = { before: ARRAY_EXPECTED, after: 'white space after the JSON array' };
const END_EXPECTED = { before: ARRAY_EXPECTED, inside: 'the end of the JSON array' };

/** The lines that are not blank. */
function lineReader(url: string, take: (token: Token) => void): Reader {
  let line = 1;
  let text = '';
  const keep = (piece: string): void => {
    text = extended(text, piece, placeOf(url, { line }));
  };
  const endLine = (): void => {
    if (!BLANK.test(text)) take({ text, line });
    text = '';
    line += 1;
  };
  return {
    push(chunk) {
      let start = 0;
      for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', start)) {
        keep(chunk.slice(start, end));
        endLine();
        start = end + 1;
      }
      keep(chunk.slice(start));
    },
    end: endLine,
  };
}

/**
 * The first cells of a table as in RFC 4180, without blank lines, and without a header where that is `id`. Other
 * cells are passed over whatever they hold; only that a quote is never closed, which would hide the ids behind it,
 * is refused.
 */
function csvReader(url: string, take: (token: Token) => void): Reader {
  let line = 1;
  let recordLine = 1;
  let isFirstRecord = true;
  let isFirstCell = true;
  let isCellEmpty = true;
  let cell = '';
  let quote: 'none' | 'open' | 'closed' = 'none';

  const keep = (piece: string): void => {
    if (piece === '') return;
    isCellEmpty = false;
    if (isFirstCell) cell = extended(cell, piece, placeOf(url, { line: recordLine }));
  };
  const endRecord = (): void => {
    const place = placeOf(url, { line: recordLine });
    if (quote === 'open') throw badInput(place, 'a record whose quotes are closed', undefined);
    if (!isFirstCell || !BLANK.test(cell)) {
      const text = unquoted(decoded(cell, place), place);
      if (!isFirstRecord || text.toLowerCase() !== 'id') take({ text, line: recordLine });
      isFirstRecord = false;
    }
    cell = '';
    recordLine = line;
    isFirstCell = true;
  };

  return {
    push(chunk) {
      let start = 0;
      for (const { 0: char, index } of chunk.matchAll(/[",\n]/g)) {
        if (char === '\n') line += 1;
        if (index > start && quote === 'closed') quote = 'none';
        keep(chunk.slice(start, index));
        start = index + 1;
        if (char === '"') {
          // A quote inside of quotes is written twice; within a cell without them, it is a character.
          if (quote === 'open') quote = 'closed';
          else if (quote === 'closed' || isCellEmpty) quote = 'open';
          keep(char);
        } else if (quote === 'open') keep(char);
        else {
          if (char === ',') isFirstCell = false;
          else endRecord();
          isCellEmpty = true;
          quote = 'none';
        }
      }
      if (chunk.length > start && quote === 'closed') quote = 'none';
      keep(chunk.slice(start));
    },
    end: endRecord,
  };
}

function unquoted(cell: string, place: string): string {
  if (!cell.startsWith('"')) return cell.trim();
  const quoted = /^"((?:[^"]|"")*)"[ \t\r]*$/.exec(cell);
  if (!quoted) throw badInput(place, 'a cell with its quotes as in RFC 4180', cell);
  return (quoted[1] as string).replaceAll('""', '"');
}

function parseJsonId(url: string, token: Token): IdList[number] {
  const place = placeOf(url, token);
  const text = decoded(token.text, place);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw badInput(place, 'JSON', text);
  }
  return parseId(value, place);
}

/** The text of bytes that stand for a character each. A copy: a slice would keep all of the manifest around it. */
function decoded(text: string, place: string): string {
  const bytes = Buffer.from(text, 'latin1');
  if (!isUtf8(bytes)) throw badInput(place, 'text in UTF-8', bytes.toString());
  return bytes.toString();
}

function extended(text: string, piece: string, place: string): string {
  const longer = text + piece;
  if (longer.length > MAX_TOKEN_BYTES) throw badInput(place, `at most ${MAX_TOKEN_BYTES} bytes long`, longer);
  return longer;
}

function placeOf(url: string, { line, index }: Omit<Token, 'text'>): string {
  return `${url} line ${line}${index === undefined ? '' : ` [${index}]`}`;
}
