import { describe, expect, test } from 'vitest';
import { fillTemplate, jsonInScript } from '../../../src/report/fill-template.ts';
import type { PartsPage } from '../../../src/report/page-data.ts';
import { templateText } from '../../support/page-template.ts';

const run = '<script type="application/json" id="run">';
const posts = '<script type="text/plain" id="posts">';

describe('a filled template', () => {
  test('has what it was given in its places, whatever characters that has, and nothing else', () => {
    const page = fillTemplate(templateText, { run: '{"a":"$& $1 $$"}', posts: 'AAAA' });
    expect(page.startsWith(templateText.slice(0, templateText.lastIndexOf(run)))).toBe(true);
    expect(page.slice(page.lastIndexOf(run))).toBe(
      `${run}{"a":"$& $1 $$"}</script>\n${posts}AAAA</script>\n</body>\n</html>\n`,
    );
  });

  test('needs no posts', () => {
    expect(fillTemplate(templateText, { run: '{}' })).toContain(`${posts}</script>`);
  });

  test('is none where the template has no such place', () => {
    expect(() => fillTemplate('<p></p>', { run: '{}' })).toThrow(
      'Expected the template of the page to have <script type="application/json" id="run"></script>',
    );
  });
});

test.each([
  '</script><script>alert(1)</script>',
  '<!--<script>',
  ']]>',
  '&lt;/script&gt;',
  '\u2028\u2029\ud800',
  '__proto__',
])('JSON with %j in it stays in its element, and is read as it was', (hostile) => {
  const page = { kind: 'parts', location: hostile, redrive: hostile, parts: [] } as unknown as PartsPage;
  const text = jsonInScript(page);
  expect(text).not.toContain('<');
  expect(JSON.parse(text)).toStrictEqual(page);
});
