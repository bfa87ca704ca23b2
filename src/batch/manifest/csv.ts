import { badInput } from '../../base/errors.ts';
import { parsePlainId } from '../parse-ids.ts';
import { decode, extend, isBlank, type OpenReader, placeOf } from './reader.ts';

/** A heading `id`, in quotes or not. */
const ID_HEADING = /^[ \t\r]*("?)[ \t\r]*id[ \t\r]*\1[ \t\r]*$/i;
/** No more of a cell is looked at to tell whether it is that heading. */
const MAX_HEADING_CHARS = 64;

/**
 * The cells of one column of a table as in RFC 4180, without blank lines. A first row with a cell `id` is a header:
 * the column is that cell's. Without a header, it is the first. Other cells are passed over whatever they hold; only
 * that a quote is never closed, which would hide the ids behind it, and that a row is too short for the column are
 * refused.
 */
export const readCsv: OpenReader = (url, take) => {
  let line = 1;
  let recordLine = 1;
  let column = 0;
  let isFirstRecord = true;
  /** Of the first record, the place of the cell `id`, and the start of the cell that is read. */
  let idColumn: number | undefined;
  let heading = '';
  /** Of any record. */
  let index = 0;
  let isCellEmpty = true;
  let isRecordBlank = true;
  let cell = '';
  let quote: 'none' | 'open' | 'closed' = 'none';

  const keep = (piece: string): void => {
    if (piece === '') return;
    isCellEmpty = false;
    isRecordBlank &&= isBlank(piece);
    if (index === column) cell = extend(cell, piece, placeOf(url, recordLine));
    if (isFirstRecord) heading += piece.slice(0, MAX_HEADING_CHARS + 1 - heading.length);
  };
  const endCell = (): void => {
    if (isFirstRecord && heading.length <= MAX_HEADING_CHARS && ID_HEADING.test(heading)) idColumn ??= index;
    heading = '';
    index += 1;
    isCellEmpty = true;
    quote = 'none';
  };
  const takeRecord = (): void => {
    if (index === 1 && isRecordBlank) return;
    if (isFirstRecord) {
      isFirstRecord = false;
      if (idColumn !== undefined) {
        column = idColumn;
        return;
      }
    }
    const place = placeOf(url, recordLine);
    if (index <= column)
      throw badInput(
        place,
        `a row of at least ${column + 1} cells, as the header has its \`id\` there`,
        index,
      );
    take(parsePlainId(unquote(decode(cell, place), place), place), recordLine);
  };
  const endRecord = (): void => {
    if (quote === 'open')
      throw badInput(placeOf(url, recordLine), 'a record whose quotes are closed', undefined);
    endCell();
    takeRecord();
    cell = '';
    recordLine = line;
    index = 0;
    isRecordBlank = true;
  };

  return {
    push(chunk) {
      let start = 0;
      for (const { 0: char, index: at } of chunk.matchAll(/[",\n]/g)) {
        if (char === '\n') line += 1;
        if (at > start && quote === 'closed') quote = 'none';
        keep(chunk.slice(start, at));
        start = at + 1;
        if (char === '"') {
          // A quote inside of quotes is written twice; within a cell without them, a quote is a character.
          if (quote === 'open') quote = 'closed';
          else if (quote === 'closed' || isCellEmpty) quote = 'open';
          keep(char);
        } else if (quote === 'open') keep(char);
        else if (char === ',') endCell();
        else endRecord();
      }
      if (chunk.length > start && quote === 'closed') quote = 'none';
      keep(chunk.slice(start));
    },
    end: endRecord,
  };
};

function unquote(cell: string, place: string): string {
  if (!cell.startsWith('"')) return cell.trim();
  const quoted = /^"((?:[^"]|"")*)"[ \t\r]*$/.exec(cell);
  if (!quoted) throw badInput(place, 'a cell with its quotes as in RFC 4180', cell);
  return (quoted[1] as string).replaceAll('""', '"');
}
