import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { keptText } from '../../../src/base/kept-text.ts';

describe('a text that is kept', () => {
  test('is the text as it is, up to 300 characters', () => {
    for (const text of ['', 'No data for post 7', 'x'.repeat(300), '😀'.repeat(300)])
      expect(keptText(text)).toBe(text);
  });

  test.each([
    ['ends in an ellipsis, which is one of the 300', 'x'.repeat(301), `${'x'.repeat(299)}…`],
    ['is cut between characters, not within one', `x${'😀'.repeat(300)}`, `x${'😀'.repeat(298)}…`],
    ['may be far longer', '😀'.repeat(1_000), `${'😀'.repeat(299)}…`],
  ])('%s', (_name, text, kept) => {
    expect(keptText(text)).toBe(kept);
  });

  test('may be kept shorter', () => {
    expect([keptText('four', 4), keptText('fives', 4)]).toStrictEqual(['four', 'fiv…']);
  });

  test.each([
    ['commands to a terminal', 'a\u001b[31mb\u009b2J', 'a�[31mb�2J'],
    ['line breaks', 'a\r\nb\u0085c\u2028d\u2029e', 'a��b�c�d�e'],
    ['what turns the direction of writing', 'a\u202eb\u2066c\u200fd', 'a�b�c�d'],
    ['NUL, DEL and tabs', '\0a\x7f\t', '�a��'],
    ['halves of characters', 'a\ud83db\ude00', 'a�b�'],
  ])('shows none of %s', (_name, text, kept) => {
    expect(keptText(text)).toBe(kept);
  });

  test('is well-formed, and never longer, whatever it was', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 40 }),
        fc.integer({ min: 1, max: 30 }),
        (text, max) => {
          const kept = keptText(text, max);
          expect([...kept].length).toBe(Math.min([...text].length, max));
          expect(kept.isWellFormed()).toBe(true);
        },
      ),
    );
  });
});
