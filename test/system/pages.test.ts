import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { projectDirectory } from '../../local/world/places.ts';
import { anchorsOf, linkFaults, scriptsNamedIn } from '../support/markdown.ts';

const read = (name: string): string => readFileSync(join(projectDirectory, name), 'utf8');
const inDocs = readdirSync(join(projectDirectory, 'docs'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.md'))
  .map((name) => `docs/${name}`);
const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...inDocs];

describe('the page', () => {
  test.each(pages)('%s has links that lead somewhere', (page) => {
    expect(linkFaults(projectDirectory, page)).toStrictEqual([]);
  });

  test.each(pages)('%s names scripts that there are', (page) => {
    const { scripts } = JSON.parse(read('package.json'));
    const missing = scriptsNamedIn(read(page)).filter((name) => !(name in scripts));
    expect(missing).toStrictEqual([]);
  });
});

describe('README.md', () => {
  const readme = read('README.md');
  const lines = readme.split('\n');

  test('is short, and has what a newcomer wants on its first screen', () => {
    expect(lines.length).toBeLessThan(220);
    const screen = lines.slice(0, 45).join('\n');
    for (const command of ['npm ci && npm start', 'npm ci && npm test']) expect(screen).toContain(command);
    expect(screen).toMatch(/<source media="\(prefers-color-scheme: dark\)" srcset="docs\/report-dark\.png">/);
    expect(screen).toMatch(/<img src="docs\/report-light\.png" alt="[^"]{50,}">/);
  });

  test('leads to every page of docs/', () => {
    const ofDocs = inDocs.filter((page) => !page.startsWith('docs/adr/'));
    expect(ofDocs.filter((page) => !readme.includes(`](${page})`))).toStrictEqual([]);
  });

  test('has the figures of docs/benchmarks.md', () => {
    const [, table = ''] = read('docs/benchmarks.md').split('### Our handler ÷ theirs\n');
    const ratiosOf = (peer: string): number[] => {
      const row = table.split('\n').find((line) => line.startsWith(`| ${peer} |`)) ?? expect.fail(peer);
      return row.split('|').slice(2).map(Number.parseFloat);
    };
    const [lesson = 0] = ratiosOf('httpx + asyncio.gather (the lesson)');
    const [fetch = 0] = ratiosOf('p-map + global fetch');
    const [loop = 0, loopOfLarge = 0] = ratiosOf('undici `request` loop');
    expect(readme).toContain(
      `${lesson.toFixed()} times the posts a second of the lesson's own program on httpx, ${fetch.toFixed(1)} times those of p-map and fetch, and ${loop.toFixed(2)} times those of a bare undici loop`,
    );
    expect(readme).toContain(`at 20 KB it is ${loopOfLarge.toFixed(2)} times that loop's`);
  });
});

describe('CONTRIBUTING.md', () => {
  const contributing = read('CONTRIBUTING.md');
  const foldersOf = (name: string): string[] =>
    readdirSync(join(projectDirectory, name), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);

  test('says what each folder is for', () => {
    const named = [
      ...foldersOf('src').map((name) => `\`${name}\` (`),
      ...foldersOf('test').map((name) => `\`test/${name}\``),
      ...['page', 'local', 'deploy', 'scripts', 'bench'].map(
        (name) => `\`${name}/\` has|\`${name}/\` the|\`${name}/\` what`,
      ),
    ];
    expect(
      named.filter((names) => !names.split('|').some((name) => contributing.includes(name))),
    ).toStrictEqual([]);
  });

  test('says of each requirements file what it is for', () => {
    const files = readdirSync(projectDirectory).filter((name) => /^requirements.*\.txt$/.test(name));
    expect(files.filter((name) => !contributing.includes(name))).toStrictEqual([]);
  });
});

describe('a link', () => {
  const text = '# A page\n\n## Who, and _why_ `MAX_IDS`?\n\n## Twice\n\n## Twice\n\n<a id="named"></a>\n';
  const faults = (link: string): string[] => linkFaults(projectDirectory, 'docs/page.md', `${text}${link}`);

  test.each([
    '[a](scale.md)',
    '[a](../README.md)',
    '[a](adr/)',
    '[a](adr)',
    '[a](adr/0001-cancel-the-siblings.md "with a title")',
    '[a](#a-page)',
    '[a](page.md#a-page)',
    '[a](#who-and-why-max_ids)',
    '[a](#twice-1)',
    '[a](#named)',
    '[a](scale.md#what-it-costs)',
    '[a](https://example.com/a_(b)#c)',
    '<https://example.com/>',
    '[![a](benchmarks.svg)](benchmarks.md)',
    '[a][B] and [b], [b][]\n\n[b]: scale.md',
    '<img src="benchmarks.svg" srcset="tail-start.svg 1x, tail-hedging.svg 2x">',
    '`[a](gone.md)` and ``[`a`](gone.md)``',
    '```md\n[a](gone.md)\n# Gone\n```',
    '<!-- [a](gone.md) -->',
    '[Unreleased]',
  ])('may be %s', (link) => {
    expect(faults(link)).toStrictEqual([]);
  });

  test.each([
    ['[a](gone.md)', 'gone.md: there is no such file'],
    ['[a](Scale.md)', 'Scale.md: there is no such file'],
    ['![a](gone.svg)', 'gone.svg: there is no such file'],
    ['[![a](gone.svg)](scale.md)', 'gone.svg: there is no such file'],
    ['[`a`](gone.md "with a title")', 'gone.md: there is no such file'],
    ['[a](<gone.md>)', 'gone.md: there is no such file'],
    ['<img src="gone.svg">', 'gone.svg: there is no such file'],
    ['<source srcset="benchmarks.svg 1x, gone.svg 2x">', 'gone.svg: there is no such file'],
    ['[a](../../elsewhere)', '../../elsewhere: it leads out of the project'],
    ['[a](/docs/scale.md)', '/docs/scale.md: it is not relative'],
    ['[a](../node_modules)', '../node_modules: Git ignores this file'],
    ['[a]()', ': it leads nowhere'],
    ['[a](#)', '#: it leads nowhere'],
    ['[a](#gone)', '#gone: there is no such heading'],
    ['[a](#Twice)', '#Twice: there is no such heading'],
    ['[a](#twice-2)', '#twice-2: there is no such heading'],
    ['[a](scale.md#gone)', 'scale.md#gone: there is no such heading'],
    ['[a](benchmarks.svg#top)', 'benchmarks.svg#top: only pages have headings'],
    ['[a](adr/#top)', 'adr/#top: only pages have headings'],
    ['[a](http://example.com/)', 'http://example.com/: it is no https URL'],
    ['[a](https://example)', 'https://example: it is no https URL'],
    ['[a](https://<host>.com/)', 'https://<host>.com/: it is no https URL'],
    ['[a](mailto:a@example.com)', 'mailto:a@example.com: it is no https URL'],
    ['<http://example.com/>', 'http://example.com/: it is no https URL'],
    ['[a][gone]', '[gone]: there is no definition'],
    ['[gone][]', '[gone]: there is no definition'],
    ['[a]: scale.md', '[a]: nothing refers to it'],
    ['[a][a]\n\n[a]: scale.md\n[a]: api.md', '[a]: it is defined twice'],
    ['[a][a]\n\n[a]: gone.md', 'gone.md: there is no such file'],
    ['`a` [a](gone.md) `b`', 'gone.md: there is no such file'],
  ])('is dead as %s', (link, fault) => {
    expect(faults(link)).toStrictEqual([`docs/page.md: ${fault}`]);
  });

  test('is to a heading as GitHub names them', () => {
    const headings =
      '# `a`: b, [c](d.md) – **e** ##\n## Über 5 % (`X_Y`)\n```sh\n# no heading\n```\n### A.b-c_d';
    expect(anchorsOf(headings)).toStrictEqual(['a-b-c--e', 'über-5--x_y', 'ab-c_d']);
  });
});

test('scripts are found in blocks, in sentences and with options', () => {
  const markdown =
    'Run `npm run -s results -- x`, or\n```sh\nnpm ci && npm start\nnpm run check:api # a\n```\nnpm install x';
  expect(scriptsNamedIn(markdown)).toStrictEqual(['results', 'start', 'check:api']);
});
