import type { Metafile } from 'esbuild';
import { expect, test } from 'vitest';
import { overBudget, sizesOf } from '../../scripts/build/bundle-budget.ts';

const output = (bytes: number, inputs: Record<string, number>) => ({
  bytes,
  inputs: Object.fromEntries(
    Object.entries(inputs).map(([path, bytesInOutput]) => [path, { bytesInOutput }]),
  ),
  imports: [],
  exports: [],
});

const metafile: Metafile = {
  inputs: {},
  outputs: {
    'dist/handler.js': output(1_000, {
      'src/lambda/fetch.ts': 100,
      'node_modules/undici/lib/dispatcher/pool.js': 500,
      'node_modules/@aws-sdk/client-s3/dist-es/index.js': 300,
    }),
    'dist/chunks/a.js': output(200, {
      'src/batch/ids.ts': 50,
      'node_modules/@aws-sdk/client-s3/node_modules/undici/index.js': 120,
    }),
    'dist/handler.js.map': output(9_000, {}),
  },
};

test('the code is counted by package, wherever that is nested, and source maps are not', () => {
  expect(sizesOf(metafile)).toStrictEqual({
    total: 1_200,
    packages: { undici: 620, '@aws-sdk/client-s3': 300, src: 150 },
  });
});

test('what is within its budget, or a little above, is no fault', () => {
  const sizes = sizesOf(metafile);
  expect(overBudget(sizes, sizes)).toStrictEqual([]);
  expect(overBudget({ ...sizes, total: 1_400 }, sizes)).toStrictEqual([]);
});

test('what has outgrown it is one, and so is a package that is new', () => {
  const sizes = sizesOf(metafile);
  const budget = { total: 900, packages: { src: 150, undici: 620 } };
  expect(overBudget({ ...sizes, packages: { ...sizes.packages, src: 1_000 } }, budget)).toStrictEqual([
    'total: 1200 bytes, expected at most 900',
    '@aws-sdk/client-s3: 300 bytes, expected at most 0',
    'src: 1000 bytes, expected at most 150',
  ]);
});
