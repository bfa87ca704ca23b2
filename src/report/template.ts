import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';

/** What pages are made of. */
export interface PageTemplate {
  /** HTML with two places to be filled in. */
  readonly text: string;
  /** The Content-Security-Policy of a page, as a header. */
  readonly policy: string;
  /** Tells pages of this template from those of another. */
  readonly tag: string;
}

/** Where the build puts the template: dist/page.html, as seen from this module, and from the bundle in dist/. */
const FILE = new URL('../../dist/page.html', import.meta.url);
const POLICY = /<meta http-equiv="Content-Security-Policy" content="([^"]+)"/;

let template: Promise<PageTemplate> | undefined;

/** The template of this build, which is read once. Rejects with what the file system says; asked again, it is tried anew. */
export function readTemplate(): Promise<PageTemplate> {
  template ??= readFile(FILE, 'utf8')
    .then(templateOf)
    .catch((error: unknown) => {
      template = undefined;
      throw error;
    });
  return template;
}

/** Throws where the text is no page that says what it may do. */
export function templateOf(text: string): PageTemplate {
  const policy = POLICY.exec(text)?.[1];
  if (policy === undefined)
    throw new Error('Expected the template of the page to have a Content-Security-Policy');
  return {
    text,
    policy: headerOf(policy),
    tag: createHash('sha256').update(text).digest('hex').slice(0, 16),
  };
}

/** The policy as a header, which knows a directive more than the element does. */
export function headerOf(policy: string): string {
  return `${policy}; frame-ancestors 'none'`;
}
