import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const pinned = join(import.meta.dirname, 'ric');
const cache = resolve(process.env.RIC_CACHE_DIR ?? join(import.meta.dirname, '../../../.cache/ric'));

const buildTimeoutMs = 600_000;

/** How to start AWS's runtime interface client, or why it can't be had on this machine. */
export type Ric = { readonly command: readonly [string, ...string[]] } | { readonly skipped: string };

/** The good build of aws-lambda-ric that `npm run ric` has left in `.cache/ric/` (or in `RIC_CACHE_DIR`). */
export async function findRic(): Promise<Ric> {
  const home = await buildHome();
  return (await loads(home))
    ? ricOf(home)
    : { skipped: 'it is not built; `npm run ric` does it, in minutes' };
}

/**
 * Builds aws-lambda-ric, as test/system/runtime/ric/package-lock.json pins it, into `.cache/ric/` (or `RIC_CACHE_DIR`,
 * which clones can share) unless a good build is there. That takes minutes, so tests do not do it on their own.
 * Never rejects because the build fails.
 */
async function installRic(): Promise<Ric> {
  if (process.platform !== 'linux')
    return { skipped: `aws-lambda-ric builds on Linux, not on ${process.platform}` };
  const home = await buildHome();
  await mkdir(cache, { recursive: true });
  const lock = await acquire(`\0aws-lambda-ric ${home}`);
  try {
    return (await loads(home)) ? ricOf(home) : await build(home);
  } finally {
    lock.close();
  }
}

async function buildHome(): Promise<string> {
  const lockfile = await readFile(join(pinned, 'package-lock.json'));
  const version = createHash('sha256').update(lockfile).digest('hex').slice(0, 12);
  return join(cache, `${version}-${process.arch}`);
}

async function build(home: string): Promise<Ric> {
  for (const tool of [
    ['cmake', '--version'],
    ['g++', '--version'],
    ['make', '--version'],
  ] as const) {
    if (!(await run(tool)).ok) return { skipped: `aws-lambda-ric needs ${tool[0]} to build` };
  }
  for (const name of await readdir(cache)) {
    if (name.startsWith('building-')) await rm(join(cache, name), { recursive: true, force: true });
  }
  // Under a name of its own until it has proved itself: an interrupted build is never taken for a good one.
  const building = await mkdtemp(join(cache, 'building-'));
  for (const name of ['package.json', 'package-lock.json']) {
    await copyFile(join(pinned, name), join(building, name));
  }
  const { ok, output } = await run(['npm', 'ci', '--no-audit', '--no-fund'], building);
  if (!ok || !(await loads(building))) {
    return { skipped: `aws-lambda-ric does not build:\n${output.trim().split('\n').slice(-15).join('\n')}` };
  }
  await rm(home, { recursive: true, force: true });
  await rename(building, home);
  return ricOf(home);
}

const ricOf = (home: string): Ric => ({ command: [process.execPath, packageFile(home, 'index.mjs')] });

const packageFile = (home: string, name: string): string => join(home, 'node_modules/aws-lambda-ric', name);

// The addon calls Node-API alone, so that it loads in Node 24 whichever Node's headers it was built against.
async function loads(home: string): Promise<boolean> {
  const addon = packageFile(home, 'rapid-client.node');
  if (!(existsSync(packageFile(home, 'index.mjs')) && existsSync(addon))) return false;
  // It reads the variable while it loads, and crashes without.
  const env = { AWS_LAMBDA_RUNTIME_API: '127.0.0.1:1' };
  return (await run([process.execPath, '-e', `require(${JSON.stringify(addon)})`], home, env)).ok;
}

interface Ended {
  readonly ok: boolean;
  readonly output: string;
}

function run([file, ...args]: readonly string[], cwd = cache, env = process.env): Promise<Ended> {
  return new Promise((done) => {
    let output = '';
    const child = spawn(file ?? '', args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const keep = (chunk: Buffer): void => {
      output = (output + chunk).slice(-10_000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    // The whole group: npm alone would leave its compilers running.
    const timer = setTimeout(() => {
      output += `\ngiven up after ${buildTimeoutMs / 1000} s`;
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    }, buildTimeoutMs);
    const end = (ok: boolean): void => {
      clearTimeout(timer);
      done({ ok, output });
    };
    child.on('error', () => end(false));
    child.on('close', (code) => end(code === 0));
  });
}

/** Waits its turn. The lock is an abstract socket: the kernel gives it up when its process dies. */
async function acquire(name: string): Promise<Server> {
  for (;;) {
    const server = createServer();
    const won = await new Promise<boolean>((done, fail) => {
      server.once('error', (error: NodeJS.ErrnoException) =>
        error.code === 'EADDRINUSE' ? done(false) : fail(error),
      );
      server.listen(name, () => done(true));
    });
    if (won) return server;
    await sleep(250);
  }
}

// `node test/system/runtime/ric.ts` builds it ahead of the tests.
if (import.meta.main) {
  const ric = await installRic();
  console.log('skipped' in ric ? ric.skipped : ric.command.join(' '));
}
