import { extend, isBlank, type OpenReader, parseJsonId, placeOf } from './reader.ts';

/** An id or a range as JSON on each line that is not blank. */
export const readJsonLines: OpenReader = (url, take) => {
  let line = 1;
  let text = '';
  const keep = (piece: string): void => {
    text = extend(text, piece, placeOf(url, line));
  };
  const endLine = (): void => {
    if (!isBlank(text)) take(parseJsonId(text, placeOf(url, line)), line);
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
};
