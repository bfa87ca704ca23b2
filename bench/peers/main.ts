import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { startS3Store } from '../../local/world/s3.ts';
import { fillPlace } from '../../scripts/fill-place.ts';
import { type Contender, findContenders, PARTS, type Part } from './contenders.ts';
import { drawPeers } from './drawing.ts';
import { idealMs } from './latency.ts';
import { type Measurements, report } from './report.ts';
import { type Results, runRounds } from './rounds.ts';
import { startNodeOrigin, startUpstream } from './upstream.ts';

/*
 * Our handler against what one would use instead: posts a second, makespan where the origin is slow, and memory.
 * What is measured, and how, stands in docs/benchmarks.md, into which the figures go.
 *
 * npm run bench:peers [-- --quick] [--rounds <most>] [--part throughput|latency|memory] [--only <part of a name>]
 *                     [--docs <directory>]
 *
 * Only a whole run writes into docs/, others where `--docs` says.
 */
const CONCURRENCY = 50;
const BUCKET = 'bench-results';
const FULL = {
  rounds: 5,
  throughput: [
    { posts: 10_000, bytes: 300 },
    { posts: 2_000, bytes: 20_000 },
  ],
  latencyPosts: 2_000,
  // The largest takes the slowest two minutes and more each.
  memory: [
    { posts: 1_000, rounds: 3 },
    { posts: 10_000, rounds: 3 },
    { posts: 100_000, rounds: 1 },
  ],
};
const QUICK: typeof FULL = {
  rounds: 1,
  throughput: [
    { posts: 2_000, bytes: 300 },
    { posts: 500, bytes: 20_000 },
  ],
  latencyPosts: 500,
  memory: [
    { posts: 500, rounds: 1 },
    { posts: 2_000, rounds: 1 },
  ],
};
const MEMORY_BYTES = 300;
const TRIAL_POSTS = 100;
const START = '<!-- measured: begin -->';
const END = '<!-- measured: end -->';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    part: { type: 'string', multiple: true, default: [...PARTS] },
    rounds: { type: 'string' },
    only: { type: 'string', multiple: true, default: [''] },
    docs: { type: 'string' },
  },
});
const plan = options.quick ? QUICK : FULL;
const mostRounds = Number(options.rounds ?? plan.rounds);
if (!(mostRounds >= 1)) throw new RangeError(`Expected --rounds to be at least 1, got ${options.rounds}`);
const unknownPart = options.part.find((part) => !PARTS.some((known) => known === part));
if (unknownPart !== undefined)
  throw new RangeError(`Expected --part to be one of ${PARTS.join(', ')}, got ${unknownPart}`);
const isAsked = (part: Part): boolean => options.part.includes(part);
const roundsOf = (planned: number): number => Math.min(planned, Math.floor(mostRounds));
const rounds = roundsOf(plan.rounds);
const isWhole =
  !options.quick && options.rounds === undefined && PARTS.every(isAsked) && options.only.includes('');
const projectDocs = join(import.meta.dirname, '../../docs');
const docs = options.docs ?? (isWhole ? projectDocs : undefined);

const stopping = new AbortController();
const { signal } = stopping;
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.once(name, () => {
    process.exitCode = 1;
    stopping.abort(new Error(`Stopped by ${name}`));
  });

async function main(): Promise<void> {
  await installPeers();
  await using opened = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'batch-fetcher-peers-'));
  opened.defer(() => rm(directory, { recursive: true, force: true }));
  const sizes = [...new Set([MEMORY_BYTES, ...plan.throughput.map(({ bytes }) => bytes)])];
  const upstream = await startUpstream(directory, sizes);
  opened.defer(() => upstream.close());
  const lateOrigin = await startNodeOrigin();
  opened.defer(() => lateOrigin.close());
  const store = await startS3Store({ directory: join(directory, 's3'), buckets: [BUCKET] });
  opened.defer(() => store.close());
  const { contenders, missing, versions } = await findContenders({ store, bucket: BUCKET, directory });
  for (const reason of missing) console.log(`Left out: ${reason}`);

  const chosen = contenders.filter(({ name }) => options.only.some((part) => name.includes(part)));
  const unknown = options.only.find((part) => !contenders.some(({ name }) => name.includes(part)));
  if (unknown !== undefined)
    throw new RangeError(
      `Expected --only to be a part of one of ${contenders.map(({ name }) => name).join('; ')}; got ${unknown}`,
    );
  const takingPart = (part: Part): Contender[] => chosen.filter(({ parts }) => parts.includes(part));
  const fetchAtOnce = (title: string, part: Part, times: number, posts: number, bytes: number) =>
    runRounds({
      title,
      rounds: times,
      contenders: takingPart(part),
      taskOf: () => ({
        origin: upstream.origin,
        path: `/${bytes}/posts/`,
        posts,
        concurrency: CONCURRENCY,
      }),
      signal,
    });

  // Whoever cannot do it at all is seen at once; and files are read from the disk for the first time.
  await fetchAtOnce('trial', 'memory', 1, TRIAL_POSTS, MEMORY_BYTES);

  const throughput: { posts: number; bytes: number; results: Results }[] = [];
  for (const { posts, bytes } of isAsked('throughput') ? plan.throughput : []) {
    const title = `${posts} posts of ${bytes} bytes`;
    throughput.push({
      posts,
      bytes,
      results: await fetchAtOnce(title, 'throughput', rounds, posts, bytes),
    });
  }

  const latency = [];
  let runs = 0;
  for (const stalls of isAsked('latency') ? [false, true] : []) {
    const posts = plan.latencyPosts;
    const results = await runRounds({
      title: `${posts} late posts${stalls ? ' with stalls' : ''}`,
      rounds,
      contenders: takingPart('latency'),
      taskOf: (_contender, round) => ({
        origin: lateOrigin.origin,
        path: `/late/${runs++}/${round}/${Number(stalls)}/posts/`,
        posts,
        concurrency: CONCURRENCY,
      }),
      signal,
    });
    const ideals = Array.from({ length: rounds }, (_, round) => ({
      plainMs: idealMs(round, posts, CONCURRENCY, false),
      stalledMs: idealMs(round, posts, CONCURRENCY, stalls),
    }));
    latency.push({ posts, stalls, ideals, results });
  }

  const memory: { posts: number; results: Results }[] = [];
  for (const { posts, rounds: times } of isAsked('memory') ? plan.memory : [])
    memory.push({
      posts,
      results: await fetchAtOnce(`memory of ${posts} posts`, 'memory', roundsOf(times), posts, MEMORY_BYTES),
    });

  const measurements: Measurements = {
    date: new Date().toISOString().slice(0, 10),
    machine: await machine(),
    upstream: `${upstream.name}; for latency ${lateOrigin.name}`,
    versions,
    missing,
    concurrency: CONCURRENCY,
    rounds,
    throughput,
    latency,
    memory,
  };
  console.log(`\n${report(measurements)}`);
  if (docs) await write(docs, measurements);
}

/** The peers have a package.json of their own, so that whoever works on the function need not install them. */
async function installPeers(): Promise<void> {
  const peers = join(import.meta.dirname, 'packages');
  if (existsSync(join(peers, 'node_modules'))) return;
  console.log('Installing what the function is compared with, into bench/peers/packages/');
  await promisify(execFile)('npm', ['ci', '--prefix', peers], { signal });
}

async function machine(): Promise<string> {
  const [{ model = 'unknown CPU' } = {}, ...others] = cpus();
  const system = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const name = /^PRETTY_NAME="(.*)"$/m.exec(system)?.[1] ?? process.platform;
  const gib = Math.round(totalmem() / 2 ** 30);
  return `${model.trim()}, ${others.length + 1} cores, ${gib} GiB, ${name}, Linux ${release()}`;
}

/** Puts the figures between the marks of benchmarks.md, where its text stands around them, and draws them. */
async function write(directory: string, measurements: Measurements): Promise<void> {
  const text = await readFile(join(projectDocs, 'benchmarks.md'), 'utf8');
  const filled = fillPlace(text, START, END, `\n${report(measurements)}`);
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, 'benchmarks.md'), filled);
  await writeFile(join(directory, 'benchmarks.svg'), drawPeers(measurements));
}

try {
  await main();
} catch (error) {
  if (!signal.aborted) throw error;
  console.error((signal.reason as Error).message);
}
