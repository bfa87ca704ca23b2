import { badInput } from '../../base/errors.ts';
import { parsePlainId } from '../parse-ids.ts';
import { decode, extend, isBlank, type OpenReader, placeOf } from './reader.ts';

/**
 * The first cells of a table as in RFC 4180, without blank lines, and without a header where that is `id`. Other
 * cells are passed over whatever they hold; only that a quote is never closed, which would hide the ids behind it,
 * is refused.
 */
export const readCsv: OpenReader = (url, take) => {
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
    if (isFirstCell) cell = extend(cell, piece, placeOf(url, recordLine));
  };
  const endRecord = (): void => {
    const place = placeOf(url, recordLine);
    if (quote === 'open') throw badInput(place, 'a record whose quotes are closed', undefined);
    if (!isFirstCell || !isBlank(cell)) {
      const text = unquote(decode(cell, place), place);
      if (!isFirstRecord || text.toLowerCase() !== 'id') take(parsePlainId(text, place), recordLine);
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
          // A quote inside of quotes is written twice; within a cell without them, a quote is a character.
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
};

function unquote(cell: string, place: string): string {
  if (!cell.startsWith('"')) return cell.trim();
  const quoted = /^"((?:[^"]|"")*)"[ \t\r]*$/.exec(cell);
  if (!quoted) throw badInput(place, 'a cell with its quotes as in RFC 4180', cell);
  return (quoted[1] as string).replaceAll('""', '"');
}
