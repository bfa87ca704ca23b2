import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import type { Metafile } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildFunction } from '../../scripts/build/build.ts';
import { assertDeployable } from '../../scripts/build/deployable.ts';

const run = promisify(execFile);

let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'batch-fetcher-build-'));
});

afterAll(async () => {
  await rm(dir, { recursive: true });
});

describe('the build', () => {
  let built: string;
  let outputs: Metafile['outputs'];
  beforeAll(async () => {
    built = join(dir, 'built');
    ({ outputs } = await buildFunction(built));
  });

  it('gives the same bytes for the same sources, and nothing but the deployable files', async () => {
    const again = join(dir, 'again');
    await buildFunction(again);
    expect(await codeOf(again)).toStrictEqual(await codeOf(built));
    expect((await readdir(built)).sort()).toStrictEqual([
      'THIRD-PARTY-LICENSES',
      'chunks',
      'conclude.js',
      'conclude.js.map',
      'handler.js',
      'handler.js.LEGAL.txt',
      'handler.js.map',
      'meta.json',
      'on-demand',
      'package.json',
      'page.html',
      'plan.js',
      'plan.js.map',
    ]);
    expect(await readdir(join(built, 'on-demand'))).toContain('aws-lambda-powertools-parameters-ssm.js');
  });

  it('loads the client for SSM on demand alone, and the HTTP client in the function that fetches', () => {
    const atStart = reachedFrom(/\/handler\.js$/, outputs);
    const onDemand = reachedFrom(/\/aws-lambda-powertools-parameters-ssm\.js$/, outputs);
    const forHeaders = /^node_modules\/(@aws-sdk\/client-ssm|@aws-lambda-powertools\/parameters)\//;
    expect(atStart).toContain('src/lambda/fetch.ts');
    expect(atStart.filter((input) => forHeaders.test(input))).toStrictEqual([]);
    expect(onDemand).toContainEqual(expect.stringContaining('@aws-sdk/client-ssm/'));
    const loadsUndici = ['handler', 'plan', 'conclude'].map((name) =>
      reachedFrom(new RegExp(`/${name}\\.js$`), outputs).some((input) =>
        input.startsWith('node_modules/undici/'),
      ),
    );
    expect(loadsUndici).toStrictEqual([true, false, false]);
  });

  it('has one file for the handler, with no more of its packages than it uses', async () => {
    const [handler] = Object.entries(outputs).flatMap(([path, output]) =>
      path.endsWith('/handler.js') ? [output] : [],
    );
    expect(handler?.imports.filter(({ kind }) => kind === 'import-statement')).toStrictEqual([]);
    const code = await readFile(join(built, 'handler.js'), 'utf8');
    // The schemas of its commands are there, and no others.
    expect([code.includes('"PutObject"'), code.includes('"PutBucketAcl"')]).toStrictEqual([true, false]);
    const unused =
      /undici\/lib\/(milo|web\/fetch\/util|web\/cache|llhttp\/llhttp-wasm\.js)|protocols\/json\//;
    const inputs = Object.entries(handler?.inputs ?? {});
    expect(
      inputs.filter(([path, { bytesInOutput }]) => unused.test(path) && bytesInOutput > 200),
    ).toStrictEqual([]);
    expect(inputs.map(([path]) => path)).toContain('node_modules/undici/lib/llhttp/llhttp_simd-wasm.js');
  });

  it('has Node load no more of its own than the handler needs', async () => {
    const script = `await import(${JSON.stringify(join(built, 'handler.js'))});
      console.log(JSON.stringify(process.moduleLoadList));`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], { env: {} });
    const loaded: string[] = JSON.parse(stdout);
    expect(loaded).toContain('NativeModule https');
    const late = /^NativeModule (internal\/http2|internal\/webstreams|internal\/deps\/undici)\//;
    expect(loaded.filter((name) => late.test(name))).toStrictEqual([]);
  });

  it('gives files that run, each by itself', async () => {
    const files = (await readdir(built, { recursive: true })).filter((name) => name.endsWith('.js'));
    await Promise.all(files.map((name) => import(join(built, name))));
    for (const name of ['handler', 'plan', 'conclude'])
      expect((await import(join(built, `${name}.js`))).handler).toBeTypeOf('function');
  });

  it('rejects a bundle that reaches outside of src/, and leaves the last build in place', async () => {
    const outDir = join(dir, 'kept');
    await buildFunction(outDir);
    const stray = join(dir, 'stray.ts');
    await writeFile(stray, 'export const handler = () => 1;\n');
    await expect(buildFunction(outDir, { handler: stray })).rejects.toThrow(
      /stray\.ts: expected only files under src\/ and packages/,
    );
    expect(await readdir(outDir)).toContain('handler.js');
  });

  it('rejects sources that do not compile, with the place', async () => {
    const broken = join(dir, 'broken.ts');
    await writeFile(broken, 'export const handler = (;\n');
    await expect(buildFunction(join(dir, 'broken'), { handler: broken })).rejects.toThrow(
      /broken\.ts:1:24: ERROR/,
    );
  });
});

/** Every deployable file under `outDir`, by its path in it. Source maps hold the way back to src/, which differs. */
async function codeOf(outDir: string): Promise<Readonly<Record<string, string>>> {
  const entries = await readdir(outDir, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile() && !/\.map$|^meta\.json$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
  const read = files.map(async (file) => [relative(outDir, file), await readFile(file, 'utf8')] as const);
  return Object.fromEntries(await Promise.all(read));
}

/** The inputs that are loaded as soon as the output that `entry` matches is. */
function reachedFrom(entry: RegExp, outputs: Metafile['outputs']): string[] {
  const reached = new Set(Object.keys(outputs).filter((path) => entry.test(path)));
  // A set's iteration also visits what is added meanwhile.
  for (const path of reached) {
    for (const { path: imported, kind, external } of outputs[path]?.imports ?? []) {
      if (kind === 'import-statement' && external !== true) reached.add(imported);
    }
  }
  return [...reached].flatMap((path) => Object.keys(outputs[path]?.inputs ?? {}));
}

describe('what may be in the bundle', () => {
  const lockfile = {
    packages: {
      'node_modules/undici': {},
      'node_modules/fauxqs': { dev: true },
      'node_modules/a/node_modules/@scope/b': {},
    },
  };
  const metafile = (inputs: readonly string[], imported?: string): Metafile => ({
    inputs: Object.fromEntries(inputs.map((path) => [path, { bytes: 1, imports: [] }])),
    outputs: {
      'dist/handler.js': {
        bytes: 1,
        inputs: {},
        exports: ['handler'],
        imports: imported === undefined ? [] : [{ path: imported, kind: 'import-statement', external: true }],
      },
    },
  });

  it('takes src/, packages that dependencies reach, and modules of Node', () => {
    const inputs = [
      'src/lambda/fetch.ts',
      'node_modules/undici/index.js',
      'node_modules/a/node_modules/@scope/b/x.js',
    ];
    expect(() => assertDeployable(metafile(inputs, 'node:fs'), lockfile)).not.toThrow();
  });

  it.each([
    ['local/', metafile(['local/world/s3.ts']), /local\/world\/s3\.ts: expected only files under src\//],
    ['test/', metafile(['test/fixture.ts']), /test\/fixture\.ts: expected only files under src\//],
    [
      'a devDependency',
      metafile(['node_modules/fauxqs/x.js']),
      /node_modules\/fauxqs: .* got a devDependency/,
    ],
    [
      'a package that is not locked',
      metafile(['node_modules/left/x.js']),
      /node_modules\/left: expected a package of package-lock/,
    ],
    ['a package left to run time', metafile([], 'aws-crt'), /aws-crt: expected to be bundled/],
  ])('does not take %s', (_, bundle, message) => {
    expect(() => assertDeployable(bundle, lockfile)).toThrow(message);
  });
});
