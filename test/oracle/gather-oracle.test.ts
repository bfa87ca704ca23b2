import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compare, everyKind } from './comparison.ts';
import { askPython, findPython } from './python.ts';
import { sampleSchedules } from './schedules.ts';

const count = Number(process.env.GATHER_ORACLE_SCHEDULES ?? 1_000);
const seed = Number(process.env.GATHER_ORACLE_SEED ?? Date.now() % 2 ** 31);
const python = findPython(process.env);
if ('missing' in python) console.warn(`Skipped: gather beside CPython's asyncio; ${python.missing}`);

describe('gather beside CPython', () => {
  test.skipIf('missing' in python)(
    `does with ${count} schedules of delays, failures and cancellations what asyncio does`,
    { timeout: 20_000 + count * 5 },
    async () => {
      const schedules = sampleSchedules(count, seed);
      const answers = await askPython(schedules);
      const kinds = new Set<string>();
      for (const [index, schedule] of schedules.entries()) {
        const { actual, expected, kinds: met } = await compare(schedule, answers[index]);
        const where = `GATHER_ORACLE_SEED=${seed} GATHER_ORACLE_SCHEDULES=${count}, schedule ${index}: ${JSON.stringify(schedule)}`;
        expect(actual, where).toStrictEqual(expected);
        for (const kind of met) kinds.add(kind);
      }
      if (count >= 1_000) expect(kinds).toStrictEqual(new Set(everyKind));
    },
  );
});

describe('where CPython is missing', () => {
  test('a PATH without python3 is the reason to skip', () => {
    expect(findPython({ PATH: '' })).toStrictEqual({
      missing: 'python3 could not be run (spawnSync python3 ENOENT)',
    });
  });

  test.each([
    ['echo 3 10', 'it needs a python3 of 3.11 or newer, for asyncio.TaskGroup, and found 3.10'],
    [
      'echo broken >&2; exit 1',
      'it needs a python3 of 3.11 or newer, for asyncio.TaskGroup, and found broken',
    ],
  ])('a python3 that answers `%s` is the reason to skip', async (script, missing) => {
    const folder = await mkdtemp(join(tmpdir(), 'old-python-'));
    try {
      await writeFile(join(folder, 'python3'), `#!/bin/sh\n${script}\n`);
      await chmod(join(folder, 'python3'), 0o755);
      expect(findPython({ PATH: folder })).toStrictEqual({ missing });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
