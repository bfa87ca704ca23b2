import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';

const page = join(import.meta.dirname, '../../../docs/gather.md');
const markdown = await readFile(page, 'utf8');
const links = [...markdown.matchAll(/\[(?<title>[^\]]+)\]\((?<path>[^)\s]+\.test\.ts)\)/g)];
const named = Map.groupBy(links, ({ groups }) => groups?.path ?? '');

/** The titles in a test file as a reader would write them: `suite › suite › test`, placeholders unfilled. */
async function titlesIn(path: string): Promise<string[]> {
  const source = await readFile(join(dirname(page), path), 'utf8');
  const suites: { readonly indent: number; readonly title: string }[] = [];
  const titles: string[] = [];
  // The formatter indents what is nested, and puts a title first after the parenthesis.
  const declaration =
    /^(?<indent> *)(?<kind>describe|test)\b(?:\(|[\s\S]*?\)\()\s*(?<quote>['"`])(?<title>.*?)\k<quote>,/gm;
  for (const { groups } of source.matchAll(declaration)) {
    const { indent = '', kind, title = '' } = groups ?? {};
    while ((suites.at(-1)?.indent ?? -1) >= indent.length) suites.pop();
    if (kind === 'describe') suites.push({ indent: indent.length, title });
    else titles.push([...suites.map((suite) => suite.title), title].join(' › '));
  }
  return titles;
}

describe('docs/gather.md', () => {
  test.each([...named.keys()])('names only tests that stand in %s', async (path) => {
    const existing = new Set(await titlesIn(path));
    const missing = named.get(path)?.filter(({ groups }) => !existing.has(groups?.title ?? ''));
    expect(missing?.map(({ groups }) => groups?.title)).toStrictEqual([]);
  });

  test('names in each row of its tables a test, or says why there is none', () => {
    const rows = markdown.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| ---'));
    const silent = rows.filter((row) => !/\.test\.ts\)|no counterpart/.test(row));
    // What is left are the heads.
    expect(silent.every((row) => row.endsWith('| shown by |'))).toBe(true);
    expect(rows.length).toBeGreaterThan(50);
  });
});
