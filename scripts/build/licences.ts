import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BundledPackage } from './packages.ts';

const projectDir = join(import.meta.dirname, '../..');
const textsDir = join(import.meta.dirname, 'licences');

/** What may be in the bundle: licences that ask for no more than to be passed on. A new one is looked at once. */
export const ALLOWED_LICENCES: readonly string[] = [
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'ISC',
  'MIT',
  'MIT-0',
];

/** Texts for what a package has in it of others without passing on their licence: files of licences/, by its name. */
const FOREIGN_CODE: Readonly<Record<string, string>> = { undici: 'llhttp.txt' };

/**
 * Resolves with the text of THIRD-PARTY-LICENSES: of each package its name, version, licence id and licence text, and
 * what it has in NOTICE; one text for all that share it. Rejects with an Error that lists the packages whose licence is
 * not allowed, or whose text is nowhere. The same packages give the same text.
 */
export async function writeLicences(packages: readonly BundledPackage[]): Promise<string> {
  const read = await Promise.all(packages.map(async (one) => ({ one, text: await licenceTextOf(one) })));
  const faults = read.flatMap(({ one, text }) => {
    const named = `${one.name}@${one.version}`;
    if (!ALLOWED_LICENCES.includes(one.license))
      return [`${named}: expected one of ${ALLOWED_LICENCES.join(', ')}, got ${one.license}`];
    return text === '' ? [`${named}: expected the text of ${one.license}, got none`] : [];
  });
  if (faults.length > 0)
    throw new Error(`The licences of the bundle are not in order:\n  ${faults.join('\n  ')}`);
  // Copies of a text differ in how they are indented.
  const sections = Map.groupBy(read, ({ text }) => text.replaceAll(/\s+/g, ' '));
  return [
    'This function has code of these packages in it.',
    ...[...sections.values()].map((shared) => {
      const heads = shared.map(({ one }) => `${one.name} ${one.version} (${one.license})`);
      return `${RULE}\n${heads.join('\n')}\n${RULE}\n\n${shared[0]?.text}`;
    }),
  ]
    .join('\n\n')
    .concat('\n');
}

const RULE = '-'.repeat(80);

/** The licences and notices in the folders of a package that code comes from; else the common text of its licence. */
async function licenceTextOf({ folder, name, license, files }: BundledPackage): Promise<string> {
  const found = await Promise.all([...foldersOf(files, folder)].sort().map(readLicences));
  const own = found.flat();
  const foreign = FOREIGN_CODE[name];
  const common = own.length === 0 ? await readCommonText(license) : [];
  const added = foreign === undefined ? [] : [await readText(join(textsDir, foreign))];
  return [...own, ...common, ...added].join('\n\n');
}

/** The folders from each file up to the package's. */
function foldersOf(files: readonly string[], folder: string): Set<string> {
  const folders = new Set([folder]);
  for (const file of files) {
    for (let parent = dirname(file); parent.length > folder.length; parent = dirname(parent))
      folders.add(parent);
  }
  return folders;
}

async function readLicences(folder: string): Promise<string[]> {
  const directory = join(projectDir, folder);
  const names = (await readdir(directory)).filter((name) =>
    /^(licen[cs]e|copying|notice)(?!.*\.[cm]?[jt]s$)/i.test(name),
  );
  return Promise.all(names.sort().map((name) => readText(join(directory, name))));
}

async function readCommonText(license: string): Promise<string[]> {
  const names = await readdir(textsDir);
  return names.includes(`${license}.txt`) ? [await readText(join(textsDir, `${license}.txt`))] : [];
}

async function readText(file: string): Promise<string> {
  const text = await readFile(file, 'utf8');
  return text.replaceAll('\r\n', '\n').replace(/^\n+/, '').trimEnd();
}
