import type { PartsPage, PostColumns, RunPage } from '../../src/report/page-data.ts';

/** What the page was given to show. */
export type PageData =
  | { readonly run: RunPage; readonly columns: PostColumns }
  | { readonly parts: PartsPage };

/** Resolves with what stands in the two script elements of the page. Rejects where it is not whole. */
export async function readPage(): Promise<PageData> {
  const run: RunPage | PartsPage = JSON.parse(textOf('run'));
  if (run.kind === 'parts') return { parts: run };
  return { run, columns: JSON.parse(await gunzip(textOf('posts'))) };
}

function textOf(id: string): string {
  return document.getElementById(id)?.textContent ?? '';
}

async function gunzip(base64: string): Promise<string> {
  const binary = atob(base64.trim());
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = binary.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).text();
}
