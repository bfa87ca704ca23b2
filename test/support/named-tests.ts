import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** A test as a page names it: `[suite › test](../test/file.test.ts)`. */
interface NamedTest {
  readonly title: string;
  /** From the page on. */
  readonly path: string;
}

/** The tests that a page in Markdown names, by their file. */
export function testsNamedIn(markdown: string): ReadonlyMap<string, readonly NamedTest[]> {
  const links = markdown.matchAll(/\[(?<title>[^\]]+)\]\((?<path>[^)\s]+\.test\.ts)\)/g);
  const named = [...links].map(({ groups }) => ({ title: groups?.title ?? '', path: groups?.path ?? '' }));
  return Map.groupBy(named, ({ path }) => path);
}

/** The titles among those that a page names in a test file which are not there. */
export async function missingOf(page: string, path: string, named: readonly NamedTest[]): Promise<string[]> {
  const existing = new Set(await titlesIn(join(dirname(page), path)));
  return named.map(({ title }) => title).filter((title) => !existing.has(title));
}

/** The titles in a test file as a reader would write them: `suite › suite › test`, placeholders unfilled. */
async function titlesIn(file: string): Promise<string[]> {
  const source = await readFile(file, 'utf8');
  const suites: { readonly indent: number; readonly title: string }[] = [];
  const titles: string[] = [];
  // The formatter indents what is nested, and puts a title first after the parenthesis.
  const declaration =
    /^(?<indent> *)(?<kind>describe|test|it)\b(?:\(|[\s\S]*?\)\()\s*(?<quote>['"`])(?<title>.*?)\k<quote>,/gm;
  for (const { groups } of source.matchAll(declaration)) {
    const { indent = '', kind, title = '' } = groups ?? {};
    while ((suites.at(-1)?.indent ?? -1) >= indent.length) suites.pop();
    if (kind === 'describe') suites.push({ indent: indent.length, title });
    else titles.push([...suites.map((suite) => suite.title), title].join(' › '));
  }
  return titles;
}
