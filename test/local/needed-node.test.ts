import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { projectDirectory } from '../../local/world/places.ts';

const root = mkdtempSync(join(tmpdir(), 'batch-fetcher-old-node-'));

/** A copy of the project as `npm ci --ignore-scripts` leaves it: without the Node that comes with the install. */
const withoutNode = join(root, 'without-node');
/** The same before any install. */
const bare = join(root, 'bare');
/** A Node that says that it is version 20 stands here. */
const oldNode = join(root, 'bin');

beforeAll(() => {
  for (const copy of [withoutNode, bare])
    for (const path of ['package.json', 'serverless.yml', 'scripts', 'local', 'deploy'])
      cpSync(join(projectDirectory, path), join(copy, path), { recursive: true });
  linkAll('node_modules');
  linkAll('node_modules/.bin');
  mkdirSync(join(withoutNode, 'node_modules/node'));

  mkdirSync(oldNode);
  const pretend = join(oldNode, 'pretend.cjs');
  writeFileSync(
    pretend,
    `Object.defineProperty(process, 'version', { value: 'v20.20.2' });
Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } });`,
  );
  const script = `#!/bin/sh\nexec '${process.execPath}' -r '${pretend}' "$@"\n`;
  writeFileSync(join(oldNode, 'node'), script, { mode: 0o755 });
});
afterAll(() => rmSync(root, { recursive: true }));

function linkAll(folder: string): void {
  mkdirSync(join(withoutNode, folder), { recursive: true });
  for (const name of readdirSync(join(projectDirectory, folder)))
    if (name !== 'node' && name !== '.bin' && !name.startsWith('.vite'))
      symlinkSync(join(projectDirectory, folder, name), join(withoutNode, folder, name));
}

async function run(cwd: string, command: string, ...args: string[]) {
  const path = (process.env.PATH ?? '').split(':').filter((folder) => !folder.includes('node_modules'));
  const child = spawn(command, args, {
    cwd,
    env: { PATH: [oldNode, ...path].join(':'), HOME: root, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exit = once(child, 'exit') as Promise<[number | null]>;
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), exit]);
  return { code, out, err };
}

const commands = ['start', 'redrive', 'results', 'scale', 'test', 'check', 'build', 'offline', 'package'];

describe.concurrent('on a Node that is too old', { timeout: 60_000 }, () => {
  test.each(commands)('npm run %s says in one line what to do', async (command) => {
    expect(await run(withoutNode, 'npm', 'run', '-s', command)).toStrictEqual({
      code: 1,
      out: '',
      err: 'This runs on Node 24 or later, and not on v20.20.2. npm ci installs one, unless scripts are ignored (--ignore-scripts). Run: npm rebuild node --ignore-scripts=false\n',
    });
  });

  test('serverless, called past npm, names npm', async () => {
    mkdirSync(join(bare, 'node_modules/node/bin'), { recursive: true });
    mkdirSync(join(bare, 'node_modules/serverless'));
    const cli = join(projectDirectory, 'node_modules/serverless/bin/serverless.js');
    expect(await run(bare, 'node', cli, 'package')).toStrictEqual({
      code: 1,
      out: '',
      err: 'This runs on Node 24 or later, and not on v20.20.2. npm and npx take the one in node_modules: run it by them\n',
    });
  });
});

test('before the install, npm start says that there has to be one', async () => {
  rmSync(join(bare, 'node_modules'), { recursive: true, force: true });
  expect(await run(bare, 'npm', '-s', 'start')).toStrictEqual({
    code: 1,
    out: '',
    err: 'What this runs on is not installed here. Run: npm ci\n',
  });
});
