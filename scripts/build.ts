import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { dirname, join } from 'node:path';
import { type BuildOptions, build, type Metafile, type Plugin } from 'esbuild';

const projectDir = join(import.meta.dirname, '..');

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
  // well, but names each closure anew whenever it is made: a fifth more CPU a post.)
  minifyIdentifiers: false,
  banner: { js: requireBanner },
} satisfies BuildOptions;

/** The lock file's part that tells what may be deployed: `dev` marks what only devDependencies reach. */
interface Lockfile {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>;
}

/** What Lambda calls, by the name of its file in dist/. */
const handlers: Readonly<Record<string, string>> = {
  handler: join(projectDir, 'src/handler.ts'),
  plan: join(projectDir, 'src/plan-handler.ts'),
  conclude: join(projectDir, 'src/conclude-handler.ts'),
};

/**
 * Bundles the handlers into `outDir` as ES modules for nodejs24.x, and returns the bundle's metafile.
 * The same sources give the same bytes. Rejects, with `outDir` left as it was, where the sources don't
 * compile or the bundle would carry something that is not to be deployed.
 */
export async function buildFunction(
  outDir: string = join(projectDir, 'dist'),
  entryPoints: Readonly<Record<string, string>> = handlers,
): Promise<Metafile> {
  const { metafile, outputFiles } = await build({
    absWorkingDir: projectDir,
    entryPoints,
    outdir: outDir,
    ...bundling,
    // What handlers share, and what is imported dynamically, are chunks of their own: a function loads no others.
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
    sourcemap: 'external',
    legalComments: 'linked',
    // As Node's own build of undici, which leaves out a second, experimental parser for HTTP/1.1.
    define: { esbuildDetection: 'true' },
    plugins: [builtinsWithoutFacade, schemasOfUse],
    metafile: true,
    write: false,
    logLevel: 'silent',
  });
  const lockfile: Lockfile = JSON.parse(await readFile(join(projectDir, 'package-lock.json'), 'utf8'));
  assertDeployable(metafile, lockfile);

  // A file of an earlier build must not end up in the package.
  await rm(outDir, { recursive: true, force: true });
  await mkdir(outDir, { recursive: true });
  await Promise.all([
    ...outputFiles.map(async ({ path, contents }) => {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, contents);
    }),
    writeFile(join(outDir, 'package.json'), '{"type":"module"}\n'),
    writeFile(join(outDir, 'meta.json'), `${JSON.stringify(metafile)}\n`),
  ]);
  return metafile;
}

/**
 * Node's own modules as they are for CommonJS. Importing one as an ES module reads each of its exports, and to read
 * `WebSocket` of node:http is to load the undici in Node: 50 ms of a cold start (Node 24.21).
 */
const builtinsWithoutFacade: Plugin = {
  name: 'builtins-without-facade',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^[a-z0-9_:/]+$/ }, ({ path, kind }) =>
      kind !== 'require-call' && isBuiltin(path) ? { path, namespace: 'builtin' } : undefined,
    );
    onLoad({ filter: /^/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)})`,
    }));
  },
};

/**
 * The schemas of an AWS client without those of commands that nothing uses: nine tenths of S3's, a sixth of an import.
 * They have keys that are computed, of constants, and might do anything for all that esbuild knows; as literals, they
 * are dropped where they are not used.
 */
const schemasOfUse: Plugin = {
  name: 'schemas-of-use',
  setup({ onLoad }) {
    onLoad({ filter: /[/\\]@aws-sdk[/\\].+[/\\]schemas_0\.js$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      const constants = new Map(
        [...source.matchAll(/^const (_\w+) = (".*");$/gm)].map(([, name, text]) => [name, text]),
      );
      return { contents: source.replaceAll(/\[(_\w+)\](?=: )/g, (key, name) => constants.get(name) ?? key) };
    });
  },
};

/** Throws an Error that lists everything in the bundle which is neither the function's own nor a dependency. */
export function assertDeployable(metafile: Metafile, lockfile: Lockfile): void {
  const faults = new Set([
    ...Object.keys(metafile.inputs).flatMap((input) => inputFault(input, lockfile) ?? []),
    ...Object.values(metafile.outputs)
      .flatMap((output) => output.imports)
      .filter((imported) => imported.external === true && !isBuiltin(imported.path))
      .map(({ path }) => `${path}: expected to be bundled, but the bundle imports it at run time`),
  ]);
  if (faults.size > 0) {
    throw new Error(`The bundle is not deployable:\n  ${[...faults].join('\n  ')}`);
  }
}

function inputFault(input: string, lockfile: Lockfile): string | undefined {
  // A built-in module.
  if (input.startsWith('builtin:') && isBuiltin(input.slice('builtin:'.length))) return undefined;
  const packagePath = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0];
  if (packagePath === undefined) {
    return input.startsWith('src/') ? undefined : `${input}: expected only files under src/ and packages`;
  }
  const locked = lockfile.packages[packagePath];
  if (locked === undefined) return `${packagePath}: expected a package of package-lock.json`;
  return locked.dev === true
    ? `${packagePath}: expected a package that \`dependencies\` reaches, got a devDependency`
    : undefined;
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
