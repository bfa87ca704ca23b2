import { createHash } from 'node:crypto';
import type { ProgressReport } from '../document/claim.ts';
import type { Problem } from '../document/problem.ts';
import { headerOf } from './template.ts';

/** A run that has no document, or not yet. */
export type StatedRun = { readonly runId: string } & (
  | {
      readonly state: 'accepted' | 'running';
      readonly progress: ProgressReport;
      /** When the page loads itself anew. */
      readonly retryAfterSeconds: number;
    }
  | { readonly state: 'failed'; readonly problem: Problem }
);

const STYLE =
  ':root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}body{max-width:40rem;margin:4rem auto;padding:0 1rem}h1{font-size:1.25rem;overflow-wrap:anywhere}progress{width:100%}';
const POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; img-src data:; base-uri 'none'; form-action 'none'`;

/** The Content-Security-Policy of these pages, as a header. */
export const STATE_POLICY: string = headerOf(POLICY);

/** The page of a run under way, which loads itself anew, or of one that failed. */
export function makeStatePage(run: StatedRun): string {
  const title = escaped(`Run ${run.runId}: ${run.state}`);
  const refresh =
    run.state === 'failed' ? '' : `<meta http-equiv="refresh" content="${run.retryAfterSeconds}">\n`;
  const lines = run.state === 'failed' ? problemLines(run.problem) : progressLines(run.progress);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
${refresh}<title>${title}</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${title}</h1>
${lines.join('\n')}
</main>
</body>
</html>
`;
}

function progressLines({ requested, done, rejected, perSecond, etaSeconds }: ProgressReport): string[] {
  if (done === null) return [`<p>${figure(requested)} posts</p>`];
  const words = [
    `${figure(done)} of ${figure(requested)} posts`,
    ...(rejected ? [`${figure(rejected)} rejected`] : []),
    ...(perSecond === null ? [] : [`${figure(perSecond)} a second`]),
    ...(etaSeconds === null ? [] : [`${figure(etaSeconds)} s left`]),
  ];
  const bar = `<progress aria-label="Posts that have an outcome" max="${Math.max(1, requested)}" value="${done}"></progress>`;
  return [`<p>${words.join(', ')}</p>`, bar];
}

function problemLines({ code, detail }: Problem): string[] {
  return [`<p><code>${escaped(code)}</code></p>`, `<p>${escaped(detail)}</p>`];
}

function figure(number: number): string {
  return number.toLocaleString('en');
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
