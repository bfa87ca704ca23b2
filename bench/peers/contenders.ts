import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { S3Store } from '../../local/world/s3.ts';
import { nodeOptions } from '../support/node-options.ts';
import type { Task } from './contenders/contender.ts';
import { runMeasured, runSelfMeasured } from './process.ts';

/** What one contender took for one task. */
export interface Sample {
  readonly posts: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakRssBytes: number;
  /** Undefined where it is within `seconds`. */
  readonly startUpMs: number | undefined;
}

export type Part = 'throughput' | 'latency' | 'memory';

export interface Contender {
  readonly name: string;
  readonly isOurs?: boolean;
  readonly parts: readonly Part[];
  /** Rejects unless every post came. */
  run(task: Task, signal: AbortSignal): Promise<Sample>;
}

/** What the contenders share. */
export interface Surroundings {
  readonly store: S3Store;
  readonly bucket: string;
  /** For files that live for as long as a run. */
  readonly directory: string;
}

export interface Found {
  readonly contenders: readonly Contender[];
  /** Why others are left out. */
  readonly missing: readonly string[];
  /** What runs, and in which version. */
  readonly versions: readonly string[];
}

export const PARTS: readonly Part[] = ['throughput', 'latency', 'memory'];
const WRK_SECONDS = 2;

/** The contenders that this machine has, in the order of the tables. */
export async function findContenders(surroundings: Surroundings): Promise<Found> {
  const missing: string[] = [];
  const versions = await packageVersions();
  const find = <T>(program: string | undefined, debian: string, make: (program: string) => T): T[] => {
    if (program) return [make(program)];
    missing.push(`${debian} is not installed`);
    return [];
  };
  const python = async (library: string, name: string): Promise<Contender[]> => {
    const found = await findPython(library);
    if (found) versions.push(`${library} ${found.version} on Python ${found.python}`);
    return find(found?.program, `python3-${library}`, (program) => pythonContender(name, program, library));
  };
  const withVersion = async (program: string, args: readonly string[], pattern: RegExp) => {
    const version = await versionOf(program, args, pattern);
    if (version) versions.push(version);
    return version && program;
  };
  const contenders = [
    ...ours(surroundings),
    nodeContender('undici `request` loop', 'contenders/undici-request.ts'),
    nodeContender('undici `dispatch` loop', 'contenders/undici-dispatch.ts'),
    nodeContender('p-map + global fetch', 'packages/p-map-fetch.js'),
    nodeContender('p-map + got', 'packages/p-map-got.js'),
    nodeContender('p-map + ky', 'packages/p-map-ky.js'),
    nodeContender('axios + Promise.allSettled', 'packages/axios-all-settled.js'),
    ...find(await withVersion('curl', ['--version'], /^curl \S+/), 'curl', () =>
      curl(surroundings.directory),
    ),
    ...(await python('httpx', 'httpx + asyncio.gather (the lesson)')),
    ...(await python('aiohttp', 'aiohttp + asyncio.gather')),
    ...find(await withVersion('wrk', ['-v'], /^wrk \S+/), 'wrk', () => wrk(surroundings.directory)),
  ];
  return { contenders, missing, versions };
}

export const OURS = 'our handler';
export const OURS_HEDGED = `${OURS}, HEDGE=on`;

function ours({ store, bucket }: Surroundings): Contender[] {
  const env = {
    ...store.environment,
    RESULTS_BUCKET: bucket,
    POST_IDS: '1',
  };
  const handler = (name: string, parts: readonly Part[], settings = {}) =>
    nodeContender(name, 'contenders/handler.ts', { isOurs: true, parts }, { ...env, ...settings });
  return [
    handler(OURS, PARTS),
    handler(OURS_HEDGED, ['latency'], { HEDGE: 'on' }),
    handler(`${OURS}, ADAPTIVE=off`, ['latency'], { ADAPTIVE: 'off' }),
    handler(`${OURS}, ADAPTIVE=off HEDGE=on`, ['latency'], { ADAPTIVE: 'off', HEDGE: 'on' }),
    nodeContender('our gather + fetchPost, no S3', 'contenders/gather.ts', { isOurs: true }),
  ];
}

function nodeContender(
  name: string,
  module: string,
  { isOurs = false, parts = PARTS } = {},
  settings: Readonly<Record<string, string>> = {},
): Contender {
  const script = join(import.meta.dirname, 'contenders/run.ts');
  return selfMeasured(name, process.execPath, { isOurs, parts }, (task) => ({
    args: [script, join(import.meta.dirname, module), JSON.stringify(task)],
    env: {
      PATH: process.env.PATH,
      // As the function is deployed, and the others with it, but for the limit of the heap.
      NODE_OPTIONS: nodeOptions().replace(/ ?--max-old-space-size=\d+/, ''),
      POST_URL: `${task.origin}${task.path}{id}`,
      CONCURRENCY: String(task.concurrency),
      MAX_IDS: String(task.posts),
      ...settings,
    },
  }));
}

function pythonContender(name: string, program: string, library: string): Contender {
  const script = join(import.meta.dirname, 'packages/gather.py');
  return selfMeasured(name, program, { isOurs: false, parts: PARTS }, (task) => ({
    args: [script, library, JSON.stringify(task)],
    env: { PATH: process.env.PATH },
  }));
}

function selfMeasured(
  name: string,
  program: string,
  kind: { readonly isOurs: boolean; readonly parts: readonly Part[] },
  commandFor: (task: Task) => { readonly args: readonly string[]; readonly env: NodeJS.ProcessEnv },
): Contender {
  return {
    name,
    ...kind,
    async run(task, signal) {
      const { args, env } = commandFor(task);
      const { count, sumOfIds, ...measured } = await runSelfMeasured(program, args, { env, signal });
      expectAll(task, count, sumOfIds);
      const { seconds, cpuSeconds, peakRssBytes, startUpMs } = measured;
      return { posts: task.posts, seconds, cpuSeconds, peakRssBytes, startUpMs };
    },
  };
}

/** curl writes the bodies into one file, where they are counted afterwards. It parses nothing. */
function curl(directory: string): Contender {
  return {
    name: 'curl --parallel',
    parts: PARTS,
    async run(task, signal) {
      const { origin, path, posts, concurrency } = task;
      const file = join(directory, 'curl.out');
      const options = ['--silent', '--show-error', '--fail', '--parallel', '--parallel-immediate'];
      const command = ['curl', ...options, '--parallel-max', String(concurrency)];
      const measured = await runMeasured([...command, `${origin}${path}[1-${posts}]`], file, { signal });
      // Bodies of several packets may stand one in another, but each begins in its first one.
      const ids = [...(await readFile(file, 'latin1')).matchAll(/"id":(\d+)/g)].map(([, id]) => Number(id));
      expectAll(
        task,
        ids.length,
        ids.reduce((sum, id) => sum + id, 0),
      );
      return { posts, ...measured, startUpMs: undefined };
    },
  };
}

/** wrk asks for one post again and again for a given time, and throws the answers away. */
function wrk(directory: string): Contender {
  return {
    name: 'wrk (the ceiling)',
    parts: ['throughput'],
    async run({ origin, path, concurrency }, signal) {
      const file = join(directory, 'wrk.out');
      const options = ['--threads', '1', '--connections', String(concurrency)];
      const command = ['wrk', ...options, '--duration', `${WRK_SECONDS}s`, `${origin}${path}1`];
      const { cpuSeconds, peakRssBytes } = await runMeasured(command, file, { signal });
      const told = await readFile(file, 'utf8');
      const [complaint] = /^.*(Non-2xx|Socket errors).*$/m.exec(told) ?? [];
      if (complaint) throw new Error(complaint.trim());
      const posts = Number(/(\d+) requests in/.exec(told)?.[1]);
      const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(told)?.[1]);
      return { posts, seconds: posts / perSecond, cpuSeconds, peakRssBytes, startUpMs: undefined };
    },
  };
}

function expectAll({ posts }: Task, count: number, sumOfIds: number): void {
  const expectedSum = (posts * (posts + 1)) / 2;
  if (count !== posts || sumOfIds !== expectedSum)
    throw new Error(
      `Expected ${posts} posts whose ids come to ${expectedSum}, got ${count} that come to ${sumOfIds}`,
    );
}

async function packageVersions(): Promise<string[]> {
  const { dependencies } = await readJson('packages/package.json');
  const { version } = await readJson('../../node_modules/undici/package.json');
  return [
    `Node ${process.version}, its fetch on undici ${process.versions.undici}`,
    `undici ${version}`,
    ...Object.entries(dependencies).map((dependency) => dependency.join(' ')),
  ];
}

async function readJson(path: string) {
  return JSON.parse(await readFile(join(import.meta.dirname, path), 'utf8'));
}

/** Undefined where there is no such program. wrk tells its version and fails. */
async function versionOf(
  program: string,
  args: readonly string[],
  pattern: RegExp,
): Promise<string | undefined> {
  const { stdout } = await promisify(execFile)(program, args).catch((error) => error);
  return pattern.exec(stdout ?? '')?.[0];
}

/** Debian's Python has Debian's libraries; another one that comes first in the PATH may have its own. */
async function findPython(library: string) {
  const script = `import platform, ${library}; print(platform.python_version(), ${library}.__version__)`;
  for (const program of ['python3', '/usr/bin/python3']) {
    try {
      const { stdout } = await promisify(execFile)(program, ['-c', script]);
      const [python = '', version = ''] = stdout.trim().split(' ');
      return { program, python, version };
    } catch {
      // Not here, then.
    }
  }
  return undefined;
}
