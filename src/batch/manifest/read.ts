import { setImmediate as nextTurn } from 'node:timers/promises';
import { BadInputError, TooLargeError } from '../../base/errors.ts';
import { gunzip } from '../../base/gunzip.ts';
import { CompactIds } from '../compact-ids.ts';
import type { IdList } from '../ids.ts';
import { readCsv } from './csv.ts';
import { readJsonArray } from './json-array.ts';
import { readJsonLines } from './json-lines.ts';
import type { ManifestLocation } from './location.ts';

const READERS = { json: readJsonArray, jsonl: readJsonLines, csv: readCsv };
/** Ids and ranges are held in memory, some 40 bytes each; more for long names. */
export const MAX_ENTRIES = 10_000_000;
/** What is read without a look at the clock: some milliseconds' worth, whatever the bytes are. */
const PIECE_BYTES = 65_536;
/** U+FEFF in UTF-8, a character a byte. */
const BYTE_ORDER_MARK = '\u00ef\u00bb\u00bf';

/** What bounds the reading of a manifest, whatever it holds. */
export interface ManifestLimits {
  /** Most ids, ranges counted out. */
  readonly maxIds: number;
  /** Most bytes, decompressed. */
  readonly maxManifestBytes: number;
  /** Most ids and ranges to be held. @default 10,000,000 */
  readonly maxEntries?: number;
}

/**
 * Reads the ids that a manifest lists, holding little more than them: `bytes`, as they are stored, are taken in as
 * they come, and are left as soon as there is more than a limit allows. What stands for the same ids in less room, a
 * range for integers one after the other, may do so.
 *
 * Rejects with BadInputError, which names the line, or TooLargeError, with what `bytes` throws, or with the signal's
 * reason as soon as that aborts.
 */
export async function readManifest(
  bytes: AsyncIterable<Uint8Array>,
  { url, format, gzip }: ManifestLocation,
  { maxIds, maxManifestBytes, maxEntries = MAX_ENTRIES }: ManifestLimits,
  signal: AbortSignal,
): Promise<IdList> {
  const list = new CompactIds();
  const requireAtMost = (max: number, count: number, what: string, line: number): void => {
    if (count > max)
      throw new TooLargeError(`Expected \`${url}\` to hold at most ${max} ${what}, got more by line ${line}`);
  };
  const reader = READERS[format](url, (id, line) => {
    list.push(id);
    requireAtMost(maxEntries, list.size, 'ids and ranges', line);
    requireAtMost(maxIds, list.count, 'ids (MAX_IDS)', line);
  });
  const broken = (reason: string): BadInputError =>
    new BadInputError(`Expected \`${url}\` to be whole and gzip, as its key says: ${reason}`);
  const limited = atMost(maxManifestBytes, gzip ? gunzip(bytes, broken, signal) : bytes, url, signal);
  for await (const text of textOf(limited)) reader.push(text);
  reader.end();
  return list.end();
}

/**
 * The same bytes, in pieces that may be smaller, until there are too many or the signal aborts: what is packed well is
 * long, however few ids it has.
 */
async function* atMost(
  maxBytes: number,
  bytes: AsyncIterable<Uint8Array>,
  url: string,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  let count = 0;
  for await (const chunk of bytes) {
    count += chunk.length;
    if (count > maxBytes)
      throw new TooLargeError(
        `Expected \`${url}\` to have at most ${maxBytes} bytes, decompressed (MAX_MANIFEST_BYTES), got more`,
      );
    for (let from = 0; from < chunk.length; from += PIECE_BYTES) {
      // Between the pieces of a block, timers come due, that of the abort among them.
      if (from > 0) await nextTurn();
      signal.throwIfAborted();
      yield chunk.subarray(from, from + PIECE_BYTES);
    }
  }
}

/**
 * The bytes as text of a character each, without a byte order mark: all that ids are told apart by is ASCII, so that
 * no character is cut, and each id can be checked to be UTF-8 with its line at hand.
 */
async function* textOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
  let start: string | undefined = '';
  for await (const chunk of bytes) {
    const text = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).toString('latin1');
    if (start === undefined) yield text;
    else {
      start += text;
      if (start.length < BYTE_ORDER_MARK.length) continue;
      yield start.startsWith(BYTE_ORDER_MARK) ? start.slice(BYTE_ORDER_MARK.length) : start;
      start = undefined;
    }
  }
  if (start !== undefined) yield start;
}
