import { expect, test } from 'vitest';
import { prefersHtml } from '../../../../src/lambda/events/accept.ts';

const firefox = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8';
const chrome =
  'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7';

test.each([
  ['a browser', firefox],
  ['another one', chrome],
  ['HTML alone', 'text/html'],
  ['any text', 'text/*'],
  ['HTML in our charset', 'text/html; charset="UTF-8"'],
  ['other letters and spaces', ' Text/HTML ;Q=0.5 , application/json ; q=0.4'],
  ['HTML before anything', '*/*;q=0.1,text/html;q=0.2'],
  ['anything but JSON', 'application/json;q=0, */*;q=0.001'],
  ['what says most of a type first', 'text/*;q=0.1, text/html;q=0.9, application/*;q=0.5'],
  ['empty members and parameters', ',, text/html;;q=1,'],
  ['quotes around what looks like more', 'text/html, image/x;a="x,application/json;q=1"'],
])('%s wants HTML: %s', (_, accept) => {
  expect(prefersHtml(accept)).toBe(true);
});

test.each([
  ['nobody who says nothing', undefined],
  ['an empty field', ''],
  ['anything', '*/*'],
  ['JSON', 'application/json'],
  ['both as much', 'text/html, application/json'],
  ['both as much, by a range', 'text/html;q=0.8, */*;q=0.8'],
  ['JSON rather', 'text/html;q=0.9, application/json'],
  ['JSON by a range', 'text/html;q=0.5, application/*'],
  ['no HTML', 'text/html;q=0'],
  ['no HTML, whatever other text', 'text/html;q=0.000, text/*'],
  ['neither', 'image/png'],
  ['HTML of a kind that there is not', 'text/html;level=1'],
  ['HTML in another charset', 'text/html;charset=latin1'],
  ['a weight that is none', 'text/html;q=2'],
  ['a weight of too many digits', 'text/html;q=0.0001'],
  ['a weight in words', 'text/html;q=high'],
  ['HTML within quotes alone', 'image/png;a="x, text/html, "'],
  ['an endless quote', `image/png;a="${'\\'.repeat(99)}, text/html`],
  ['a problem', 'application/problem+json'],
])('%s gets JSON: %s', (_, accept) => {
  expect(prefersHtml(accept)).toBe(false);
});

test('a field of any length is read in no time', () => {
  for (const piece of ['"', '\\"', ',', ';', 'text/html;q=0.5,', 'a/b;c="d,'])
    expect(prefersHtml(piece.repeat(20_000))).toBe(piece.startsWith('text'));
});
