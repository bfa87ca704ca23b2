import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Answer, Schedule } from './schedules.ts';

const oracle = fileURLToPath(new URL('gather_oracle.py', import.meta.url));
const versionScript = 'import sys; print(*sys.version_info[:2])';

/** The version of the `python3` on the PATH, or why it cannot be the oracle. */
export function findPython(
  environment: NodeJS.ProcessEnv,
): { readonly version: string } | { readonly missing: string } {
  const { error, stdout, stderr } = spawnSync('python3', ['-I', '-c', versionScript], {
    env: environment,
    encoding: 'utf8',
  });
  if (error) return { missing: `python3 could not be run (${error.message})` };
  const [major = 0, minor = 0] = stdout.split(' ').map(Number);
  if (major === 3 && minor >= 11) return { version: `${major}.${minor}` };
  const found = stdout ? `${major}.${minor}` : stderr.trim();
  return { missing: `it needs a python3 of 3.11 or newer, for asyncio.TaskGroup, and found ${found}` };
}

/** What CPython does with each schedule; one process for all of them. */
export function askPython(schedules: readonly Schedule[]): Answer[] {
  const { status, error, stdout, stderr } = spawnSync('python3', ['-I', oracle], {
    input: JSON.stringify(schedules),
    encoding: 'utf8',
    maxBuffer: Infinity,
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`Expected the oracle to exit with 0, got ${status}: ${stderr}`);
  return JSON.parse(stdout);
}
