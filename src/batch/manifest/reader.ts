import { isUtf8 } from 'node:buffer';
import { badInput } from '../../base/errors.ts';
import { isRecord } from '../../base/is-record.ts';
import { parseJsonText } from '../../base/json-text.ts';
import type { IdList } from '../ids.ts';
import { parseId } from '../parse-ids.ts';

/** Takes the text of a manifest, a character a byte, in pieces that are cut anywhere. */
interface Reader {
  push(piece: string): void;
  /** To be called once there is no more text. */
  end(): void;
}

/**
 * Makes the reader of a format, which hands each id or range that it finds to `take`, with its line from 1 on.
 * The reader throws BadInputErrors, which name the manifest by `url`, and what `take` throws.
 */
export type OpenReader = (url: string, take: (id: IdList[number], line: number) => void) => Reader;

/** Many times what an id can take: whatever the manifest is, no more of it is held at once. */
const MAX_ID_BYTES = 4_096;
const BLANK = /^[ \t\r]*$/;

export function isBlank(text: string): boolean {
  return BLANK.test(text);
}

/** What messages call a line of a manifest, or an element of its array; `index` is from 0. */
export function placeOf(url: string, line: number, index?: number): string {
  return `${url} line ${line}${index === undefined ? '' : ` [${index}]`}`;
}

/** The text of an id with more of it. Throws BadInputError where that is longer than any id. */
export function extend(text: string, piece: string, place: string): string {
  const longer = text + piece;
  if (longer.length > MAX_ID_BYTES) throw badInput(place, `at most ${MAX_ID_BYTES} bytes long`, longer);
  return longer;
}

/**
 * The text of bytes that stand for a character each. Throws BadInputError where they are no UTF-8.
 * A copy: a slice would keep all of the manifest around it.
 */
export function decode(text: string, place: string): string {
  const bytes = Buffer.from(text, 'latin1');
  if (!isUtf8(bytes)) throw badInput(place, 'text in UTF-8', bytes.toString());
  return bytes.toString();
}

/** Reads an id or a range that is written as JSON, a character a byte. Throws BadInputError. */
export function parseJsonId(bytes: string, place: string): IdList[number] {
  const text = decode(bytes, place);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw badInput(place, 'JSON', text);
  }
  // Of all that is an id, a range alone has keys, which may be there twice.
  return parseId(isRecord(value) ? parseJsonText(text, place) : value, place);
}
