import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { missingOf, testsNamedIn } from '../support/named-tests.ts';

const page = join(import.meta.dirname, '../../docs/security.md');
const markdown = await readFile(page, 'utf8');

describe('docs/security.md', () => {
  test.each([...testsNamedIn(markdown)])('names only tests that stand in %s', async (path, named) => {
    expect(await missingOf(page, path, named)).toStrictEqual([]);
  });

  test('says of each threat who, what, what stands against it, which test shows that, and what is left', () => {
    const rows = markdown
      .split('\n')
      .filter((line) => /^\| \d+ \|/.test(line))
      .map((line) =>
        line
          .split(/(?<!\\)\|/)
          .slice(1, -1)
          .map((cell) => cell.trim()),
      );
    expect(rows.map(([number]) => number)).toStrictEqual(rows.map((_, i) => String(i + 1)));
    expect(rows.length).toBeGreaterThanOrEqual(20);
    for (const row of rows) {
      expect(row).toHaveLength(6);
      expect(row.filter((cell) => cell === '')).toStrictEqual([]);
      expect(row[4]).toMatch(/\.test\.ts\)/);
    }
  });
});
