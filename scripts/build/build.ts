import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type BuildOptions, build, type Metafile } from 'esbuild';
import { assertDeployable } from './deployable.ts';
import { writeLicences } from './licences.ts';
import { bundledPackages, type Lockfile } from './packages.ts';
import { buildPage } from './page.ts';
import { leaveOnDemand, slimming } from './plugins.ts';

const projectDir = join(import.meta.dirname, '../..');

// Bundled CommonJS packages call require() for Node's own modules, and an ES module has no require.
const requireBanner = "import{createRequire as __cr}from'node:module';const require=__cr(import.meta.url);";

/** How code for nodejs24.x is bundled. */
export const bundling = {
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  // The ES module builds of the packages tree-shake, their CommonJS builds don't.
  mainFields: ['module', 'main'],
  minifySyntax: true,
  minifyWhitespace: true,
  // Identifiers stay, for the names of errors and the stacks in the log. (keepNames would keep the errors' as
  // well, but names each closure anew whenever it is made, which takes CPU for each post.)
  minifyIdentifiers: false,
  banner: { js: requireBanner },
} satisfies BuildOptions;

/** Source files, by the names that they get in dist/. */
type EntryPoints = Readonly<Record<string, string>>;

/** What Lambda calls. */
const handlers = {
  handler: join(projectDir, 'src/lambda/fetch.ts'),
  plan: join(projectDir, 'src/lambda/plan.ts'),
  conclude: join(projectDir, 'src/lambda/conclude.ts'),
};

/**
 * Bundles the handlers into `outDir` as ES modules for nodejs24.x, and page/ into the page.html that they fill in, and
 * returns the metafile of all. The same sources give the same bytes. THIRD-PARTY-LICENSES beside them has the licences of the packages in them.
 * Rejects, with `outDir` left as it was, where the sources don't compile, or the bundle would carry something that is
 * not to be deployed or whose licence is not allowed.
 */
export async function buildFunction(
  outDir: string = join(projectDir, 'dist'),
  { handler, ...others }: EntryPoints & { readonly handler: string } = handlers,
): Promise<Metafile> {
  const onDemand: Record<string, string> = {};
  // The handler is one file of its own, which loads faster than chunks that it shares with others.
  const first = await bundle({ handler }, outDir, { plugins: [leaveOnDemand(onDemand)] });
  // In whatever order they were found: the names of chunks depend on that of the entries.
  const inOrder = Object.fromEntries(Object.entries({ ...others, ...onDemand }).sort());
  const second = await bundle(inOrder, outDir, { splitting: true });
  const page = await buildPage();
  const outputFiles = [...first.outputFiles, ...second.outputFiles];
  const handlersOnly = merge(first.metafile, second.metafile);
  const lockfile: Lockfile = JSON.parse(await readFile(join(projectDir, 'package-lock.json'), 'utf8'));
  assertDeployable(handlersOnly, lockfile);
  assertDeployable(page.metafile, lockfile, 'page/');
  const metafile = merge(handlersOnly, page.metafile);
  const licences = await writeLicences(bundledPackages(metafile, lockfile));

  // A file of an earlier build must not end up in the package.
  await rm(outDir, { recursive: true, force: true });
  await mkdir(outDir, { recursive: true });
  await Promise.all([
    ...outputFiles.map(async ({ path, contents }) => {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, contents);
    }),
    writeFile(join(outDir, 'page.html'), page.html),
    writeFile(join(outDir, 'package.json'), '{"type":"module"}\n'),
    writeFile(join(outDir, 'THIRD-PARTY-LICENSES'), licences),
    writeFile(join(outDir, 'meta.json'), `${JSON.stringify(metafile)}\n`),
  ]);
  return metafile;
}

function merge(a: Metafile, b: Metafile): Metafile {
  return { inputs: { ...a.inputs, ...b.inputs }, outputs: { ...a.outputs, ...b.outputs } };
}

function bundle(
  entryPoints: EntryPoints,
  outdir: string,
  { splitting = false, plugins = [] }: Pick<BuildOptions, 'splitting' | 'plugins'>,
) {
  return build({
    absWorkingDir: projectDir,
    entryPoints: { ...entryPoints },
    outdir,
    ...bundling,
    splitting,
    chunkNames: 'chunks/[name]-[hash]',
    sourcemap: 'external',
    legalComments: 'linked',
    define: {
      // As Node's own build of undici, which leaves out a second, experimental parser for HTTP/1.1.
      esbuildDetection: 'true',
      // No body here is a web stream, and the mere mention has Node load them.
      ReadableStream: 'undefined',
    },
    plugins: [...plugins, ...slimming],
    metafile: true,
    write: false,
    logLevel: 'silent',
  });
}

if (import.meta.main) {
  try {
    const { outputs } = await buildFunction();
    const code = Object.entries(outputs).filter(([path]) => path.endsWith('.js'));
    const bytes = code.reduce((sum, [, output]) => sum + output.bytes, 0);
    console.log(`dist/: ${Math.ceil(bytes / 1024)} KB in ${code.length} files`);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
