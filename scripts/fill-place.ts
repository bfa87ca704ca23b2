/** The text with `content` between two marks, in lines of its own. Throws an Error where the marks are not there. */
export function fillPlace(text: string, begin: string, end: string, content: string): string {
  const [before, rest] = splitAt(text, begin);
  const [, after] = splitAt(rest, end);
  return `${before}${begin}\n${content}\n${end}${after}`;
}

function splitAt(text: string, mark: string): [before: string, after: string] {
  const at = text.indexOf(mark);
  if (at < 0) throw new Error(`Expected ${mark}, as the place of what is computed`);
  return [text.slice(0, at), text.slice(at + mark.length)];
}
