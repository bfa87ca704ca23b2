import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * What is wrong with the links of a page, each as `docs/scale.md: api.md#a-run: there is no such heading`. `page` is
 * its path in the project, `markdown` its text, by default that of the file. A link within the project leads to what
 * is there and is not ignored by Git, its anchor to a heading as GitHub names them; one to elsewhere has the form of
 * an https URL, and is not followed. Each reference has one definition, and each definition is used.
 */
export function linkFaults(
  project: string,
  page: string,
  markdown = readFileSync(join(project, page), 'utf8'),
): string[] {
  const { targets, faults } = linksIn(markdown);
  const ofTargets = targets.flatMap((target) => {
    const fault = /^[a-z][a-z\d+.-]*:/i.test(target)
      ? faultElsewhere(target)
      : faultWithin(project, page, markdown, target);
    return fault === undefined ? [] : [`${target}: ${fault}`];
  });
  return [...faults, ...ofTargets].map((fault) => `${page}: ${fault}`);
}

/** Where the links and images of a page lead, in whichever form, and references that are dead. */
function linksIn(markdown: string): { readonly targets: string[]; readonly faults: string[] } {
  const prose = withoutCode(markdown);
  const inline: string[] = [];
  const references = prose
    .replaceAll(/\]\(\s*(<[^>]*>|(?:[^\s()]|\([^\s()]*\))*)(?:\s+"[^"]*")?\s*\)/g, (_, target: string) => {
      inline.push(target.replace(/^<(.*)>$/, '$1'));
      return ']\0';
    })
    .replaceAll(/<(https?:[^>\s]*)>/g, (_, target: string) => {
      inline.push(target);
      return '';
    });
  const inHtml = [...prose.matchAll(/\b(?:href|src|srcset)="([^"]*)"/g)].flatMap(([, value = '']) =>
    value.split(',').map((candidate) => candidate.trim().split(' ')[0] ?? ''),
  );
  const definition = /^ {0,3}\[([^\]]+)\]:\s*(\S+).*$/gm;
  const defined = [...references.matchAll(definition)].map(([, label = '', target = '']) => ({
    label: label.toLowerCase(),
    target,
  }));
  const labels = defined.map(({ label }) => label);
  const uses = references.replaceAll(definition, '');
  const full = [...uses.matchAll(/\[([^[\]]*)\]\[([^[\]]*)\]/g)].map(([, text, label]) =>
    String(label || text).toLowerCase(),
  );
  // What is in brackets alone, and not defined, is text.
  const short = [...uses.matchAll(/\[([^[\]]+)\](?![[\0])/g)].map(([, label = '']) => label.toLowerCase());
  const used = [...full, ...short];
  return {
    targets: [...inline, ...inHtml, ...defined.map(({ target }) => target)],
    faults: [
      ...full.filter((label) => !labels.includes(label)).map((label) => `[${label}]: there is no definition`),
      ...labels.filter((label) => !used.includes(label)).map((label) => `[${label}]: nothing refers to it`),
      ...labels
        .filter((label, i) => labels.indexOf(label) < i)
        .map((label) => `[${label}]: it is defined twice`),
    ],
  };
}

function faultElsewhere(target: string): string | undefined {
  const { protocol, hostname = '' } = URL.parse(target) ?? {};
  const isGood = protocol === 'https:' && /^[\w-]+(\.[\w-]+)+$/.test(hostname) && !/[<>…\\]/.test(target);
  return isGood ? undefined : 'it is no https URL';
}

function faultWithin(project: string, page: string, markdown: string, target: string): string | undefined {
  const [path = '', anchor] = target.split('#');
  if (path === '' && !anchor) return 'it leads nowhere';
  if (path.startsWith('/')) return 'it is not relative';
  const name = path === '' ? page : join(dirname(page), decodeURIComponent(path));
  if (name.startsWith('..')) return 'it leads out of the project';
  const file = join(project, name);
  if (name !== page && !existsSync(file)) return 'there is no such file';
  if (isIgnored(project, name)) return 'Git ignores this file';
  if (anchor === undefined) return undefined;
  if (!name.endsWith('.md')) return 'only pages have headings';
  const text = name === page ? markdown : readFileSync(file, 'utf8');
  return anchorsOf(text).includes(anchor) ? undefined : 'there is no such heading';
}

function isIgnored(project: string, name: string): boolean {
  const ignored = readFileSync(join(project, '.gitignore'), 'utf8').split(/\s+/).filter(Boolean);
  const [first = ''] = name.split('/');
  return ignored.some((entry) => entry.replaceAll(/^\/|\/$/g, '') === first);
}

/** The anchors of a page's headings, as GitHub makes them. */
export function anchorsOf(markdown: string): string[] {
  const headings = withoutBlocks(markdown).matchAll(/^ {0,3}#{1,6} +(.+?)(?: +#+)? *$/gm);
  const slugs: string[] = [];
  for (const [, heading = ''] of headings) {
    const text = heading
      .replaceAll(/!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])/g, '$1')
      .replaceAll(/(?<![\w`])_([^_`]+)_(?![\w`])/g, '$1')
      .trim()
      .toLowerCase();
    slugs.push(text.replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '').replaceAll(' ', '-'));
  }
  const numbered = slugs.map((slug, i) => {
    const before = slugs.slice(0, i).filter((other) => other === slug).length;
    return before === 0 ? slug : `${slug}-${before}`;
  });
  const named = withoutCode(markdown).matchAll(/<a (?:id|name)="([^"]+)"/g);
  return [...numbered, ...[...named].map(([, name = '']) => name)];
}

/** The scripts of package.json that a page has its readers run, in blocks and within sentences, each once. */
export function scriptsNamedIn(markdown: string): string[] {
  const commands = markdown.matchAll(/\bnpm (?:run (?:-s |--silent )?([a-z][\w:-]*)|(start|test)\b)/g);
  return [...new Set([...commands].map(([, script, ofNpm]) => script ?? ofNpm ?? ''))];
}

function withoutCode(markdown: string): string {
  return withoutBlocks(markdown).replaceAll(/(?<!`)(`+)(?!`)[\s\S]*?(?<!`)\1(?!`)/g, 'code');
}

function withoutBlocks(markdown: string): string {
  return markdown.replaceAll(/^ *(`{3,}|~{3,}).*\n[\s\S]*?^ *\1 *$/gm, '').replaceAll(/<!--[\s\S]*?-->/g, '');
}
