import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];

/** No network, no first steps, no graphics card: what a page does is all that the browser does. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/**
 * The path of a browser of Chromium's kind: `CHROMIUM_PATH`, or the first on `PATH`. Where there is none, the reason is
 * printed as to why `tests` are left out, and undefined is what comes back; in CI, where `CI` is set, it throws.
 */
export function findChromium(tests: string, env: NodeJS.ProcessEnv): string | undefined {
  const folders = (env.PATH ?? '').split(delimiter);
  const found =
    env.CHROMIUM_PATH ||
    NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find(isExecutable);
  if (found) return found;
  const reason = `no chromium is on PATH, and CHROMIUM_PATH is not set`;
  if (env.CI) throw new Error(`${tests} cannot run: ${reason}`);
  console.warn(`${tests} are left out: ${reason}`);
  return undefined;
}

/** Starts a browser, with a profile of its own that goes with it. */
export function launchChromium(executablePath: string): Promise<Browser> {
  return chromium.launch({ executablePath, args: FLAGS, headless: true });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
