import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildPage, type PageTemplate } from '../../scripts/build/page.ts';

describe('the template of the page of a run', () => {
  let template: PageTemplate;
  beforeAll(async () => {
    template = await buildPage();
  });

  const textOf = (tag: string) =>
    [...template.html.matchAll(new RegExp(`<${tag}>([^]*?)</${tag}>`, 'g'))].map(([, text]) => text);

  it('is one file below 150 KB, with uPlot in it, the same of the same sources', async () => {
    const { html, metafile } = template;
    expect(Buffer.byteLength(html)).toBeLessThan(150_000);
    expect(Object.keys(metafile.inputs)).toContain('node_modules/uplot/dist/uPlot.esm.js');
    expect(Object.keys(metafile.outputs)).toStrictEqual(['dist/page.html']);
    expect((await buildPage()).html).toBe(html);
  });

  it('lets its own script and style run, and nothing else', () => {
    const policy = /http-equiv="Content-Security-Policy" content="([^"]+)"/.exec(template.html)?.[1];
    const hashes = [textOf('script'), textOf('style')].map((texts) =>
      texts.map(
        (text) =>
          `'sha256-${createHash('sha256')
            .update(text ?? '')
            .digest('base64')}'`,
      ),
    );
    expect(policy?.split('; ')).toStrictEqual([
      "default-src 'none'",
      `script-src ${hashes[0]}`,
      `style-src ${hashes[1]}`,
      'img-src data:',
      "base-uri 'none'",
      "form-action 'none'",
    ]);
    expect(template.html).not.toMatch(/\b(?:src|href)="(?!data:)/);
  });

  it('has two places for what it shows, at its end', () => {
    expect(template.html.endsWith(PLACES)).toBe(true);
  });
});

const PLACES = `<script type="application/json" id="run"></script>
<script type="text/plain" id="posts"></script>
</body>
</html>
`;
