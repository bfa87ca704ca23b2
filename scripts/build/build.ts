import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { type BuildOptions, build, type Metafile, type Plugin } from 'esbuild';
import { writeLicences } from './licences.ts';
import { bundledPackages, type Lockfile, packageFolderOf } from './packages.ts';

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
  // well, but names each closure anew whenever it is made: a fifth more CPU a post.)
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
 * Bundles the handlers into `outDir` as ES modules for nodejs24.x, and returns the bundle's metafile.
 * The same sources give the same bytes. THIRD-PARTY-LICENSES beside them has the licences of the packages in them.
 * Rejects, with `outDir` left as it was, where the sources don't compile, or the bundle would carry something that is
 * not to be deployed or whose licence is not allowed.
 */
export async function buildFunction(
  outDir: string = join(projectDir, 'dist'),
  { handler, ...others }: EntryPoints & { readonly handler: string } = handlers,
): Promise<Metafile> {
  const onDemand: Record<string, string> = {};
  // By itself, and in one file: it takes 9 ms less to load than chunks that it shares with others.
  const first = await bundle({ handler }, outDir, { plugins: [loadedOnDemand(onDemand)] });
  const second = await bundle({ ...others, ...onDemand }, outDir, { splitting: true });
  const outputFiles = [...first.outputFiles, ...second.outputFiles];
  const metafile = {
    inputs: { ...first.metafile.inputs, ...second.metafile.inputs },
    outputs: { ...first.metafile.outputs, ...second.metafile.outputs },
  };
  const lockfile: Lockfile = JSON.parse(await readFile(join(projectDir, 'package-lock.json'), 'utf8'));
  assertDeployable(metafile, lockfile);
  const licences = await writeLicences(bundledPackages(metafile, lockfile));

  // A file of an earlier build must not end up in the package.
  await rm(outDir, { recursive: true, force: true });
  await mkdir(outDir, { recursive: true });
  await Promise.all([
    ...outputFiles.map(async ({ path, contents }) => {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, contents);
    }),
    writeFile(join(outDir, 'package.json'), '{"type":"module"}\n'),
    writeFile(join(outDir, 'THIRD-PARTY-LICENSES'), licences),
    writeFile(join(outDir, 'meta.json'), `${JSON.stringify(metafile)}\n`),
  ]);
  return metafile;
}

/** The folder of what `handler` imports dynamically. */
const ON_DEMAND = 'on-demand';

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
      // No body here is a web stream, and the mere mention has Node load them: 5 ms.
      ReadableStream: 'undefined',
    },
    plugins: [...plugins, builtinsWithoutFacade, schemasOfUse, undiciWithoutBallast, http2OnDemand],
    metafile: true,
    write: false,
    logLevel: 'silent',
  });
}

/**
 * Leaves packages that are imported dynamically to another build, and notes them in `found`: the names of their files
 * there, and their sources. In the same build, whatever they need of a package would be loaded at the start, as
 * esbuild takes what is reached by any into what is shared by all. What they throw is no instance of a class in here.
 */
function loadedOnDemand(found: Record<string, string>): Plugin {
  const inner = Symbol('resolved by itself');
  return {
    name: 'loaded-on-demand',
    setup({ onResolve, resolve }) {
      onResolve({ filter: /^[^.]/ }, async ({ path, kind, importer, resolveDir, pluginData }) => {
        if (kind !== 'dynamic-import' || isBuiltin(path) || pluginData === inner) return undefined;
        const { path: file, errors } = await resolve(path, { kind, importer, resolveDir, pluginData: inner });
        if (errors.length > 0) return { errors };
        const name = `${ON_DEMAND}/${path.replace('@', '').replaceAll('/', '-')}`;
        found[name] = file;
        return { path: `./${name}.js`, external: true };
      });
    },
  };
}

/**
 * Node's own modules as they are for CommonJS, and of them only what is used. Importing one as an ES module reads each
 * of its exports, and to read `WebSocket` of node:http is to load the undici in Node: 50 ms of a cold start (Node 24.21).
 */
const builtinsWithoutFacade: Plugin = {
  name: 'builtins-without-facade',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^[a-z0-9_:/]+$/ }, ({ path, kind }) => {
      if (!isBuiltin(path)) return undefined;
      if (kind === 'import-statement') return { path, namespace: 'builtin' };
      return kind === 'dynamic-import' ? { path, namespace: 'builtin-whole' } : undefined;
    });
    // Each export a constant that is dropped where it is not used; for a CommonJS module, esbuild copies all of them
    // into each file that imports some: 8 ms.
    onLoad({ filter: /^/, namespace: 'builtin' }, ({ path }) => {
      const names = Object.keys(process.getBuiltinModule(path) ?? {}).filter((name) => name !== 'default');
      const constants = names.map((name) => `const _${name} = /* @__PURE__ */ (() => builtin.${name})();`);
      return {
        contents: `
          const builtin = process.getBuiltinModule(${JSON.stringify(path)});
          ${constants.join('\n')}
          export { builtin as default, ${names.map((name) => `_${name} as ${name}`).join(', ')} };`,
      };
    });
    onLoad({ filter: /^/, namespace: 'builtin-whole' }, ({ path }) => ({
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

/**
 * undici without what it loads on demand and this project never asks for: bodies of requests that are streams or forms,
 * and the parser for processors without SIMD, which Lambda has none of. 130 KB.
 */
const undiciWithoutBallast: Plugin = {
  name: 'undici-without-ballast',
  setup({ onLoad }) {
    const ballast =
      /[/\\]undici[/\\]lib[/\\](web[/\\](fetch[/\\](body|formdata)|webidl[/\\]index)|llhttp[/\\]llhttp-wasm)\.js$/;
    onLoad({ filter: ballast }, ({ path }) => ({
      contents: `throw new Error(${JSON.stringify(`${basename(path)} of undici is left out of the bundle`)})`,
    }));
  },
};

/** undici's client for HTTP/2, and Node's with it, once a server speaks that: 5 to 10 ms of an import. */
const http2OnDemand: Plugin = {
  name: 'http2-on-demand',
  setup({ onLoad }) {
    onLoad({ filter: /[/\\]undici[/\\]lib[/\\]dispatcher[/\\]client\.js$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      const required = "require('./client-h2.js')";
      if (!source.includes(`= ${required}\n`)) throw new Error(`${path}: expected \`${required}\``);
      return { contents: source.replace(`= ${required}`, `= (...given) => ${required}(...given)`) };
    });
  },
};

/** Throws an Error that lists everything in the bundle which is neither the function's own nor a dependency. */
export function assertDeployable(metafile: Metafile, lockfile: Lockfile): void {
  const faults = new Set([
    ...Object.keys(metafile.inputs).flatMap((input) => inputFault(input, lockfile) ?? []),
    ...Object.values(metafile.outputs)
      .flatMap((output) => output.imports)
      .filter(({ path, external }) => external === true && !isBuiltin(path) && !isBuilt(path, metafile))
      .map(({ path }) => `${path}: expected to be bundled, but the bundle imports it at run time`),
  ]);
  if (faults.size > 0) {
    throw new Error(`The bundle is not deployable:\n  ${[...faults].join('\n  ')}`);
  }
}

/** Whether a file that is loaded on demand is there. */
function isBuilt(path: string, { outputs }: Metafile): boolean {
  return (
    path.startsWith(`./${ON_DEMAND}/`) && Object.keys(outputs).some((file) => file.endsWith(path.slice(1)))
  );
}

function inputFault(input: string, lockfile: Lockfile): string | undefined {
  // A built-in module.
  const builtin = /^builtin(?:-whole)?:(.+)/.exec(input)?.[1];
  if (builtin !== undefined && isBuiltin(builtin)) return undefined;
  const packagePath = packageFolderOf(input);
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
