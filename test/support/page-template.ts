import { gunzipSync } from 'node:zlib';
import { expect } from 'vitest';
import type { PartsPage, PostColumns, RunPage } from '../../src/report/page-data.ts';
import type { PageTemplate } from '../../src/report/template.ts';

/** What stands for the page of the browser: the same places, and nothing that draws. */
export const templateText = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'sha256-abc='; img-src data:">
<title>A run</title>
<script>const place = '<script type="application/json" id="run"><\\/script>';</script>
</head>
<body>
<script type="application/json" id="run"></script>
<script type="text/plain" id="posts"></script>
</body>
</html>
`;
export const template: PageTemplate = {
  text: templateText,
  policy: "default-src 'none'; script-src 'sha256-abc='; img-src data:; frame-ancestors 'none'",
  tag: '0123456789abcdef',
};

/** What a page shows, as its script reads it. */
export interface ReadPage<T> {
  readonly run: T;
  /** undefined where it has none. */
  readonly posts: PostColumns | undefined;
}

export function readRunPage(html: string): ReadPage<RunPage> {
  return { run: JSON.parse(elementOf(html, 'application/json', 'run')), posts: postsOf(html) };
}

export function readPartsPage(html: string): ReadPage<PartsPage> {
  return { run: JSON.parse(elementOf(html, 'application/json', 'run')), posts: postsOf(html) };
}

function postsOf(html: string): PostColumns | undefined {
  const base64 = elementOf(html, 'text/plain', 'posts');
  return base64 === '' ? undefined : JSON.parse(gunzipSync(Buffer.from(base64, 'base64')).toString());
}

/** The text of an element, as an HTML parser sees it: up to the first end of a script. */
function elementOf(html: string, type: string, id: string): string {
  const tag = `<script type="${type}" id="${id}">`;
  const start = html.lastIndexOf(tag) + tag.length;
  if (start < tag.length) expect.fail(`There is no element ${id}`);
  return html.slice(start, html.toLowerCase().indexOf('</script', start));
}
