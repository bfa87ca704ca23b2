import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
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
export async function askPython(schedules: readonly Schedule[]): Promise<Answer[]> {
  const python = spawn('python3', ['-I', oracle], { stdio: ['pipe', 'pipe', 'inherit'] });
  // What it says of a process that ended too early is said by its exit.
  python.stdin.on('error', () => {});
  python.stdin.end(JSON.stringify(schedules));
  const [answers, [status]] = await Promise.all([text(python.stdout), once(python, 'close')]);
  if (status !== 0) throw new Error(`Expected the oracle to exit with 0, got ${status}`);
  return JSON.parse(answers);
}
