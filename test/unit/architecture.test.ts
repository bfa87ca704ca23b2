import { readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';

/** What stands in src/, from the bottom up: each imports only what stands before it, or beside it in its folder. */
const ORDER = [
  'base',
  'gather.ts',
  'batch',
  'fetch/origin',
  'fetch/politeness',
  'fetch',
  'document',
  'store',
  'run',
  'run/parts',
  'reading',
  'report',
  'lambda/events',
  'lambda',
];

/** Where each package may be known. */
const OWNERS: Readonly<Record<string, readonly string[]>> = {
  undici: ['fetch/origin'],
  'structured-headers': ['fetch/politeness', 'lambda/events'],
  '@aws-sdk/client-s3': ['store'],
  '@aws-sdk/client-lambda': ['lambda'],
  '@aws-sdk/client-sfn': ['lambda'],
  '@aws-sdk/s3-request-presigner': ['store'],
  '@aws-sdk/client-ssm': ['lambda'],
  '@aws-lambda-powertools': ['lambda'],
  'aws-lambda': ['lambda', 'lambda/events'],
};

/** Where the environment may be read. */
const ENVIRONMENT = 'lambda';

/** A module of src/: its path there, and its text. */
type Source = readonly [file: string, text: string];

/** What breaks the order of the house, a sentence each. */
function faultsIn(sources: readonly Source[]): string[] {
  return sources.flatMap(([file, text]) => [
    ...importsOf(text).flatMap((specifier) => {
      const fault = specifier.startsWith('.')
        ? orderFault(file, normalize(join(dirname(file), specifier)))
        : ownerFault(file, specifier);
      return fault ?? [];
    }),
    ...(text.includes('process.env') && folderOf(file) !== ENVIRONMENT
      ? [`${file} reads the environment`]
      : []),
  ]);
}

/** All that a module names, types and dynamic imports included. */
function importsOf(text: string): string[] {
  return [...text.matchAll(/(?:\bfrom|\bimport|\bimport\()\s*'([\w@./:-]+)'/g)].map(
    ([, specifier = '']) => specifier,
  );
}

function orderFault(file: string, imported: string): string | undefined {
  if (imported.startsWith('..')) return `${file} imports ${imported}, which is not in src/`;
  const isAbove = rankOf(imported) > rankOf(file);
  return isAbove || file === 'gather.ts' ? `${file} imports ${imported}, which stands above it` : undefined;
}

function ownerFault(file: string, specifier: string): string | undefined {
  if (isBuiltin(specifier) && file !== 'gather.ts') return undefined;
  const owners = Object.entries(OWNERS).find(([name]) => `${specifier}/`.startsWith(`${name}/`))?.[1];
  return owners?.includes(folderOf(file)) ? undefined : `${file} imports ${specifier}`;
}

/** The folder in `ORDER` that a file is in: manifest/ belongs to batch. */
function folderOf(file: string): string {
  const places = ORDER.filter((place) => `${file}/`.startsWith(`${place}/`));
  return places.toSorted((a, b) => b.length - a.length)[0] ?? 'nowhere';
}

function rankOf(file: string): number {
  return ORDER.indexOf(folderOf(file));
}

const src = join(import.meta.dirname, '../../src');
const sources: readonly Source[] = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => [file, readFileSync(join(src, file), 'utf8')]);

test('every module of src/ imports only what stands before it, and the packages that its folder may know', () => {
  expect(faultsIn(sources)).toStrictEqual([]);
});

test('every module of src/ stands in a folder that has its place', () => {
  expect(sources.map(([file]) => file).filter((file) => rankOf(file) < 0)).toStrictEqual([]);
});

describe('what the test above refuses', () => {
  test.each([
    ['a step up', 'batch/ids.ts', `import { conclude } from '../run/parts/conclude.ts';`],
    ['a type from above', 'document/tally.ts', `import type { RunObserver } from '../run/observer.ts';`],
    ['a dynamic import from above', 'base/clock.ts', `const x = await import('../fetch/outcome.ts');`],
    ['the type of a module above', 'base/clock.ts', `type X = typeof import('../fetch/outcome.ts');`],
    ['an import for its effect', 'store/s3.ts', `import '../run/observer.ts';`],
    [
      'a folder above in the same folder',
      'fetch/origin/origin.ts',
      `import { Limiter } from '../politeness/limiter.ts';`,
    ],
    [
      'a file above in the same folder',
      'fetch/politeness/gate.ts',
      `import type { Post } from '../outcome.ts';`,
    ],
    ['what is not in src/', 'store/s3.ts', `import { startS3Store } from '../../local/world/s3.ts';`],
    [
      'a package in a folder that may not know it',
      'run/redrive.ts',
      `import { S3Client } from '@aws-sdk/client-s3';`,
    ],
    [
      'a module of such a package',
      'fetch/fetch-post.ts',
      `import Client from 'undici/lib/dispatcher/client.js';`,
    ],
    ['a package that has no place', 'base/clock.ts', `import pLimit from 'p-limit';`],
    ['anything in gather.ts', 'gather.ts', `import { setImmediate } from 'node:timers';`],
    ['anything of ours in gather.ts', 'gather.ts', `import { sleep } from './base/clock.ts';`],
    ['the environment below the composition', 'lambda/events/event.ts', 'const { POST_IDS } = process.env;'],
  ])('%s', (_, file, text) => {
    expect(faultsIn([[file, text]])).toHaveLength(1);
  });
});
