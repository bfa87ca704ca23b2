import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { missingOf, testsNamedIn } from '../../support/named-tests.ts';

const page = join(import.meta.dirname, '../../../docs/gather.md');
const markdown = await readFile(page, 'utf8');

describe('docs/gather.md', () => {
  test.each([...testsNamedIn(markdown)])('names only tests that stand in %s', async (path, named) => {
    expect(await missingOf(page, path, named)).toStrictEqual([]);
  });

  test('names in each row of its tables a test, or says why there is none', () => {
    const rows = markdown.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| ---'));
    const silent = rows.filter((row) => !/\.test\.ts\)|no counterpart/.test(row));
    // What is left are the heads.
    expect(silent.every((row) => row.endsWith('| shown by |'))).toBe(true);
    expect(rows.length).toBeGreaterThan(50);
  });
});
