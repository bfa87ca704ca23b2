/** The most characters that are kept of a text which has words of an origin's in it. */
const MAX_CHARS = 300;

/** Commands to a terminal, line breaks, what turns the direction of writing, halves of characters. */
const NOT_TEXT = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * A text that has words of an origin's in it, as it may be kept and shown: no longer than `maxChars` characters, which
 * are code points, as JSON Schema counts them, with `…` for what was cut off, and `�` for each that is not to be seen.
 * What was cut off is not held on to.
 */
export function keptText(text: string, maxChars = MAX_CHARS): string {
  // Enough code units for one character too many, of which half may be missing.
  const chars = text.length > maxChars ? [...text.slice(0, 2 * maxChars + 1)] : undefined;
  const kept = chars && chars.length > maxChars ? `${chars.slice(0, maxChars - 1).join('')}…` : text;
  return kept.replace(NOT_TEXT, '�');
}
