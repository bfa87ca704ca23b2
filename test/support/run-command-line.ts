import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { text } from 'node:stream/consumers';

/** Runs what a page shows, by a shell, in a folder without anything of ours. */
export async function runCommandLine(line: string, env: Readonly<Record<string, string>>) {
  const child = spawn('sh', ['-c', line], {
    cwd: tmpdir(),
    env: { ...process.env, NO_PROXY: '127.0.0.1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exit = once(child, 'exit') as Promise<[number | null]>;
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), exit]);
  return { code, out, err };
}
