import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const projectDir = join(import.meta.dirname, '..');

/**
 * Resolves with a virtual environment for Python in .cache/, by its folder, with the packages that a requirements file
 * of the project pins. It is made if need be, in some ten seconds. Where that cannot be, without Python say, the reason
 * is printed as to why `tool` is left out, and undefined is what it resolves with; in CI, where `CI` is set, it rejects.
 */
export async function findVirtualEnvironment(
  tool: string,
  requirements: string,
  env: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  try {
    return await makeVirtualEnvironment(join(projectDir, requirements), env);
  } catch (error) {
    const reason = error instanceof Error ? error.message.trim() : error;
    if (env.CI) throw new Error(`${tool} cannot be installed: ${reason}`, { cause: error });
    console.warn(`${tool} is left out, as it cannot be installed: ${reason}`);
    return undefined;
  }
}

async function makeVirtualEnvironment(requirements: string, env: NodeJS.ProcessEnv): Promise<string> {
  // The environment is of this Python, and of these packages.
  const { stdout: version } = await run('python3', ['--version'], { env });
  const pinned = await readFile(requirements);
  const hash = createHash('sha256').update(version).update(pinned).digest('hex').slice(0, 16);
  const directory = join(projectDir, '.cache/venv', hash);
  if (existsSync(directory)) return directory;
  // By itself until it is whole: tests and checks run side by side.
  const draft = `${directory}.${process.pid}`;
  try {
    await mkdir(draft, { recursive: true });
    await run('python3', ['-m', 'venv', draft], { env });
    await run(join(draft, 'bin/python'), ['-m', 'pip', 'install', '-qr', requirements], { env });
    await rename(draft, directory);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!existsSync(directory)) throw error;
  }
  return directory;
}
