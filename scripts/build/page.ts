import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build, type Metafile } from 'esbuild';

const projectDir = join(import.meta.dirname, '../..');
const pageDir = join(projectDir, 'page');

/** What the page of a run is made of, before the run is filled in. */
export interface PageTemplate {
  readonly html: string;
  /** Of what is in it. */
  readonly metafile: Metafile;
}

/**
 * Bundles page/ into one page that needs nothing else: its script and its style are in it, and its
 * Content-Security-Policy allows these alone, by their hashes. Its elements `run` and `posts` are empty: the function
 * fills them in. The same sources give the same bytes. Rejects where the sources don't compile.
 */
export async function buildPage(): Promise<PageTemplate> {
  const [script, style, html] = await Promise.all([
    bundle(join(pageDir, 'main.ts')),
    bundle(join(pageDir, 'page.css')),
    readFile(join(pageDir, 'index.html'), 'utf8'),
  ]);
  const parts: Readonly<Record<string, string>> = {
    policy: `<meta http-equiv="Content-Security-Policy" content="${policyOf(script.text, style.text)}">`,
    script: `<script>${script.text}</script>`,
    style: `<style>${style.text}</style>`,
  };
  const filled = html.replaceAll(/<!-- (policy|script|style) -->/g, (_, name) => parts[name] ?? '');
  return { html: filled, metafile: metafileOf(filled, [script.metafile, style.metafile]) };
}

/** As if one build had made the page of all that is in it. */
function metafileOf(html: string, metafiles: readonly Metafile[]): Metafile {
  const outputs = metafiles.flatMap((metafile) => Object.values(metafile.outputs));
  return {
    inputs: Object.assign({}, ...metafiles.map(({ inputs }) => inputs)),
    outputs: {
      'dist/page.html': {
        bytes: Buffer.byteLength(html),
        imports: [],
        exports: [],
        inputs: Object.assign({}, ...outputs.map(({ inputs }) => inputs)),
      },
    },
  };
}

async function bundle(entryPoint: string): Promise<{ readonly text: string; readonly metafile: Metafile }> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: projectDir,
    entryPoints: [entryPoint],
    bundle: true,
    platform: 'browser',
    format: 'iife',
    target: ['chrome115', 'firefox115', 'safari16.4'],
    minify: true,
    charset: 'utf8',
    // THIRD-PARTY-LICENSES has them.
    legalComments: 'none',
    metafile: true,
    write: false,
    logLevel: 'silent',
  });
  const text = outputFiles[0]?.text.trimEnd() ?? '';
  return { text, metafile };
}

/** Whatever stands in the page, nothing else runs, and nothing is asked for. */
function policyOf(script: string, style: string): string {
  return [
    "default-src 'none'",
    `script-src '${hashOf(script)}'`,
    `style-src '${hashOf(style)}'`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
}

function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}
