import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { UNKNOWN_FIGURES } from '../../../src/document/claim.ts';
import { problem } from '../../../src/document/problem.ts';
import { makeStatePage, STATE_POLICY } from '../../../src/report/state-page.ts';

const main = (html: string) =>
  html.slice(html.indexOf('<main>'), html.indexOf('</main>')).split('\n').slice(1, -1);
const running = (progress: object) =>
  makeStatePage({
    runId: 'nightly',
    state: 'running',
    progress: { requested: 1_000, ...UNKNOWN_FIGURES, ...progress },
    retryAfterSeconds: 7,
  });

describe('the page of a run under way', () => {
  test('says how far it is, and loads itself anew', () => {
    const html = running({ done: 400, fulfilled: 390, rejected: 10, perSecond: 20.5, etaSeconds: 30 });
    expect(html).toContain('<meta http-equiv="refresh" content="7">\n');
    expect(main(html)).toStrictEqual([
      '<h1>Run nightly: running</h1>',
      '<p>400 of 1,000 posts, 10 rejected, 20.5 a second, 30 s left</p>',
      '<progress aria-label="Posts that have an outcome" max="1000" value="400"></progress>',
    ]);
  });

  test('says no more than is known', () => {
    expect(main(running({}))).toStrictEqual(['<h1>Run nightly: running</h1>', '<p>1,000 posts</p>']);
    expect(main(running({ requested: 0, done: 0, rejected: 0 }))).toStrictEqual([
      '<h1>Run nightly: running</h1>',
      '<p>0 of 0 posts</p>',
      '<progress aria-label="Posts that have an outcome" max="1" value="0"></progress>',
    ]);
  });
});

describe('the page of a run that failed', () => {
  const detail = `</p><script>alert("1" & '2')</script>`;
  const html = makeStatePage({
    runId: 'nightly',
    state: 'failed',
    problem: problem(502, detail, 'HTTP_ERROR'),
  });

  test('says why, in text that is nothing else', () => {
    expect(main(html)).toStrictEqual([
      '<h1>Run nightly: failed</h1>',
      '<p><code>HTTP_ERROR</code></p>',
      '<p>&#60;/p&#62;&#60;script&#62;alert(&#34;1&#34; &#38; &#39;2&#39;)&#60;/script&#62;</p>',
    ]);
    expect(html).not.toContain('refresh');
  });

  test('may show its own style, and neither run nor load anything', () => {
    const style = /<style>(.*)<\/style>/.exec(html)?.[1] ?? '';
    const hash = createHash('sha256').update(style).digest('base64');
    const policy = `default-src 'none'; style-src 'sha256-${hash}'; img-src data:; base-uri 'none'; form-action 'none'`;
    expect(html).toContain(`<meta http-equiv="Content-Security-Policy" content="${policy}">`);
    expect(STATE_POLICY).toBe(`${policy}; frame-ancestors 'none'`);
  });
});
