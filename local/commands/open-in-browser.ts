import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { CommandFailedError } from './command.ts';

/** What opens a URL as the desktop would, by the name of the platform. */
const OPENERS: Partial<Record<NodeJS.Platform, readonly string[]>> = {
  darwin: ['open'],
  win32: ['cmd', '/c', 'start', ''],
};
const ELSEWHERE = ['xdg-open'];
/** Where an opener is still there, the browser is its child. */
const OPENS_MS = 2_000;

/** Has the desktop open a URL. Rejects with CommandFailedError where it cannot, or there is none. */
export async function openInBrowser(
  url: string,
  platform: NodeJS.Platform = process.platform,
): Promise<void> {
  const [command = '', ...args] = OPENERS[platform] ?? ELSEWHERE;
  const child = spawn(command, [...args, url], { detached: true, stdio: 'ignore' });
  child.unref();
  try {
    const [code] = await once(child, 'exit', { signal: AbortSignal.timeout(OPENS_MS) });
    if (code !== 0) throw new CommandFailedError(`${command} could not open it (exit code ${code})`);
  } catch (error) {
    if (error instanceof CommandFailedError) throw error;
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      throw new CommandFailedError(`--open needs ${command}, which is not here: open it in a browser`);
    if (!(error instanceof Error && error.name === 'AbortError')) throw error;
  }
}
