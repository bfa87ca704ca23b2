import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { build } from 'esbuild';
import { startPostsStub } from '../../local/world/posts.ts';
import { startS3Store } from '../../local/world/s3.ts';
import { bundling } from '../../scripts/build/build.ts';
import { fillPlace } from '../../scripts/fill-place.ts';
import { findRic, type Ric } from '../../test/system/runtime/ric.ts';
import { startRuntimeApi } from '../../test/system/runtime/runtime-api.ts';
import { spread } from '../support/spread.ts';

/*
 * What a cold start takes: importing the bundle, and the first invocation under AWS's runtime interface client, from
 * the start of its process to the reply; beside an empty function, and beside bundles of the same libraries.
 *
 * node bench/cold-start/main.ts [--rounds 20] [--write], which writes the figures into docs/benchmarks.md.
 */
const BUCKET = 'bench-results';
const START = '<!-- cold-start: begin -->';
const END = '<!-- cold-start: end -->';
const projectDir = join(import.meta.dirname, '../..');

const variants = {
  empty: 'an empty handler',
  'client-s3': 'client-s3 alone, one PutObject',
  plain: 'client-s3, lib-storage and undici in the plain way',
  ours: 'our handler',
} as const;
type Variant = keyof typeof variants;
const names = Object.keys(variants) as Variant[];

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '20' }, write: { type: 'boolean', default: false } },
});
const rounds = Number(values.rounds);
if (!(rounds >= 1)) throw new RangeError(`Expected --rounds to be at least 1, got ${values.rounds}`);

interface World {
  /** Where the variants are built, each in a folder of its name. */
  readonly directory: string;
  readonly env: Readonly<Record<string, string>>;
  readonly ric: Ric;
}

async function main(): Promise<void> {
  await using opened = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'batch-fetcher-cold-'));
  opened.defer(() => rm(directory, { recursive: true, force: true }));
  const store = await startS3Store({ directory: join(directory, 's3'), buckets: [BUCKET] });
  opened.defer(() => store.close());
  const posts = await startPostsStub({ latencyMs: () => 0 });
  opened.defer(() => posts.close());
  await buildVariants(directory);
  const world: World = {
    directory,
    ric: await findRic(),
    env: {
      RESULTS_BUCKET: BUCKET,
      POST_URL: `${posts.url}/posts/{id}`,
      ...store.environment,
    },
  };

  const imports = await interleaved((name) => importMs(name, world));
  const firsts =
    'command' in world.ric ? await interleaved((name) => firstInvocationMs(name, world)) : undefined;
  const text = table(imports, firsts);
  console.log(text);
  if ('skipped' in world.ric) console.log(`Left out: the runtime interface client: ${world.ric.skipped}`);
  if (values.write) {
    const file = join(projectDir, 'docs/benchmarks.md');
    await writeFile(file, fillPlace(await readFile(file, 'utf8'), START, END, text));
  }
}

async function buildVariants(directory: string): Promise<void> {
  for (const name of names) {
    const outdir = join(directory, name);
    await mkdir(outdir);
    await writeFile(join(outdir, 'package.json'), '{"type":"module"}');
    if (name === 'ours') {
      await cp(join(projectDir, 'dist'), outdir, { recursive: true });
      continue;
    }
    // As our own bundle is built, but for its plugins, so that what is compared is what is imported.
    await build({
      absWorkingDir: projectDir,
      entryPoints: { handler: join(import.meta.dirname, `${name}.js`) },
      outdir,
      ...bundling,
      logLevel: 'error',
    });
  }
}

/** Milliseconds of each variant, in turns, so that what the machine does meets them all. */
async function interleaved(measure: (name: Variant) => Promise<number>): Promise<Record<Variant, number[]>> {
  const measured: Record<Variant, number[]> = { empty: [], 'client-s3': [], plain: [], ours: [] };
  // Once for nothing: files are read from the disk for the first time.
  for (const name of names) await measure(name);
  for (let round = 0; round < rounds; round++)
    for (const name of names) measured[name].push(await measure(name));
  return measured;
}

async function importMs(name: Variant, { directory, env }: World): Promise<number> {
  const file = JSON.stringify(join(directory, name, 'handler.js'));
  const script = `const start = performance.now(); await import(${file}); console.log(performance.now() - start); process.exit()`;
  const args = ['--input-type=module', '-e', script];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: { ...env, PATH: '' } });
  return Number(stdout);
}

async function firstInvocationMs(name: Variant, { directory, env, ric }: World): Promise<number> {
  if ('skipped' in ric) throw new Error(ric.skipped);
  const lambda = await startRuntimeApi({ command: ric.command, taskRoot: join(directory, name), env });
  try {
    const startMs = performance.now();
    const invocation = await lambda.invoke({ ids: [1, 2, 3] });
    const ms = performance.now() - startMs;
    if (!('response' in invocation)) throw new Error(`${name} failed: ${JSON.stringify(invocation)}`);
    return ms;
  } finally {
    await lambda.close();
  }
}

function table(imports: Record<Variant, number[]>, firsts: Record<Variant, number[]> | undefined): string {
  const cell = (measured: Record<Variant, number[]> | undefined, name: Variant): string => {
    if (!measured) return '–';
    const { median, least, most } = spread(measured[name]);
    const toPlain = median / spread(measured.plain).median;
    return `${median.toFixed(0)} ms (${least.toFixed(0)}–${most.toFixed(0)}), ${toPlain.toFixed(2)} ×`;
  };
  const [cpu] = cpus();
  return [
    `${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpu?.model}, Node ${process.version}; medians of ${rounds}, least and most, and the ratio to the plain bundle.`,
    '',
    '| bundle | import | first invocation |',
    '|---|---|---|',
    ...names.map((name) => `| ${variants[name]} | ${cell(imports, name)} | ${cell(firsts, name)} |`),
  ].join('\n');
}

await main();
