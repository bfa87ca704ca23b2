import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Ajv } from 'ajv';
import type { Metafile } from 'esbuild';
import { beforeAll, describe, expect, it } from 'vitest';
import { ALLOWED_LICENCES, writeLicences } from '../../scripts/build/licences.ts';
import { bundledPackages, type Lockfile } from '../../scripts/build/packages.ts';
import { missingIn, type Sbom, sbomOf } from '../../scripts/build/sbom.ts';

const run = promisify(execFile);
const projectDir = join(import.meta.dirname, '../..');

let metafile: Metafile;
let lockfile: Lockfile;
/** The packages in the bundle by their package.json, not by the lock file. */
let installed: readonly { readonly name: string; readonly version: string; readonly license: string }[];

beforeAll(async () => {
  metafile = await readJson('dist/meta.json');
  lockfile = await readJson('package-lock.json');
  const folders = new Set(
    Object.keys(metafile.inputs).flatMap((path) => path.match(/^node_modules\/(@[^/]+\/)?[^/]+/)?.[0] ?? []),
  );
  installed = await Promise.all(
    [...folders].map((folder) => readJson<(typeof installed)[number]>(`${folder}/package.json`)),
  );
});

async function readJson<T>(path: string): Promise<T> {
  return JSON.parse(await readFile(join(projectDir, path), 'utf8'));
}

describe('THIRD-PARTY-LICENSES', () => {
  it('has each package of the bundle, with its version and the text of its licence, and no other', async () => {
    const text = await readFile(join(projectDir, 'dist/THIRD-PARTY-LICENSES'), 'utf8');
    const [, ...sections] = text.split(/^-{80}\n/m);
    const named = sections.flatMap((heads, i) =>
      i % 2 === 0
        ? heads
            .trim()
            .split('\n')
            .map((head) => [head, openingOf(sections[i + 1])])
        : [],
    );
    const openings: Readonly<Record<string, string>> = {
      'Apache-2.0': 'Apache License Version 2.0, January 2004',
      MIT: 'Permission is hereby granted',
      'MIT-0': 'Permission is hereby granted',
    };
    expect(named.sort()).toStrictEqual(
      installed
        .map(({ name, version, license }) => [`${name} ${version} (${license})`, openings[license]])
        .sort(),
    );
    // A parser that undici has in it, and whose licence its package does not carry.
    expect(text).toContain('Copyright Fedor Indutny');
  });

  const metafileOf = (...files: string[]): Metafile => ({
    inputs: Object.fromEntries(files.map((file) => [file, { bytes: 1, imports: [] }])),
    outputs: {},
  });

  it('is refused for licences that are not allowed, and texts that are nowhere', async () => {
    const packages = bundledPackages(
      metafileOf('node_modules/tslib/a.js', 'node_modules/undici/a.js', 'node_modules/fast-check/lib/b.js'),
      {
        packages: {
          'node_modules/tslib': { version: '1.0.0', license: 'GPL-3.0-only' },
          'node_modules/undici': { version: '8.0.0', license: 'MIT' },
          'node_modules/fast-check': { version: '4.0.0' },
        },
      },
    );
    const textless = { ...packages[0], folder: 'schema', name: 'textless', files: [] };
    const allowed = ALLOWED_LICENCES.join(', ');
    await expect(
      writeLicences([...packages, { ...textless, version: '1.0.0', license: 'ISC', integrity: undefined }]),
    ).rejects.toThrow(`The licences of the bundle are not in order:
  fast-check@4.0.0: expected one of ${allowed}, got none
  tslib@1.0.0: expected one of ${allowed}, got GPL-3.0-only
  textless@1.0.0: expected the text of ISC, got none`);
  });

  it('has the common text for a package that has none, and licences of folders that code comes from', async () => {
    const one = { version: '1.0.0', license: 'Apache-2.0', integrity: undefined };
    const text = await writeLicences([
      { ...one, folder: 'schema', name: 'textless', files: [] },
      {
        ...one,
        folder: 'node_modules/undici',
        name: 'nested',
        files: ['node_modules/undici/lib/web/fetch/body.js'],
      },
    ]);
    expect(text).toContain('textless 1.0.0 (Apache-2.0)');
    expect(text).toContain('TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION');
    expect(text.match(/^Copyright \(c\) .*/gm)).toStrictEqual([
      'Copyright (c) Matteo Collina and Undici contributors',
      'Copyright (c) 2020 Ethan Arrowood',
    ]);
  });
});

/** The first words of a licence, behind the names and copyrights. */
function openingOf(text = ''): string {
  const [opening = 'none'] =
    /Apache License\s+Version 2.0, January 2004|Permission is hereby granted/.exec(text) ?? [];
  return opening.replaceAll(/\s+/g, ' ');
}

describe('the bill of materials', () => {
  let sbom: Sbom;
  beforeAll(() => {
    sbom = sbomOf(metafile, lockfile);
  });

  it('has each package of the bundle, and no other', () => {
    expect(
      sbom.components.map(({ group, name, version, licenses }) => ({
        name: group === undefined ? name : `${group}/${name}`,
        version,
        license: licenses.map(({ license }) => license.id).join(),
      })),
    ).toStrictEqual(
      installed
        .map(({ name, version, license }) => ({ name, version, license }))
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    );
  });

  it('is valid by the schema of CycloneDX 1.6', async () => {
    const [component] = sbom.components;
    expect(await findFaults(sbom)).toStrictEqual([]);
    expect(
      await findFaults({ ...sbom, components: [{ ...component, licenses: [{ license: { id: 'none' } }] }] }),
    ).not.toStrictEqual([]);
  });

  it('reaches every package from the function, by what imports what', async () => {
    const dependencies = new Map(sbom.dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]));
    const reached = new Set([sbom.metadata.component['bom-ref']]);
    // A set's iteration also visits what is added meanwhile.
    for (const ref of reached) for (const other of dependencies.get(ref) ?? []) reached.add(other);
    const refs = sbom.components.map((component) => component['bom-ref']);
    expect([...reached].sort()).toStrictEqual(['batch-fetcher@0.1.0', ...refs].sort());
    const direct = dependencies.get('batch-fetcher@0.1.0')?.map((ref) => ref.slice(0, ref.lastIndexOf('@')));
    const { dependencies: declared } = await readJson<{ dependencies: object }>('package.json');
    expect(Object.keys(declared)).toStrictEqual(expect.arrayContaining(direct ?? []));
  });

  it('says of a package what is known of it', () => {
    const packages = {
      '': { name: 'fetcher', version: '2.0.0', license: 'MIT' },
      'node_modules/a': {
        name: '@scope/a',
        version: '1.0.0+build',
        license: 'ISC',
        integrity: 'sha512-AAEC',
      },
      'node_modules/a/node_modules/b': { version: '3.0.0', license: 'MIT' },
    };
    const imports = (...paths: string[]) =>
      paths.map((path) => ({ path, kind: 'import-statement' as const, external: path.startsWith('./') }));
    const given: Metafile = {
      inputs: {
        'src/x.ts': { bytes: 1, imports: imports('node_modules/a/x.js', './none.js') },
        'node_modules/a/x.js': { bytes: 1, imports: imports('./on-demand/b.js', 'node_modules/a/y.js') },
        'node_modules/a/y.js': { bytes: 1, imports: [] },
        'node_modules/a/node_modules/b/x.js': { bytes: 1, imports: imports('builtin:node:fs') },
      },
      outputs: {
        'dist/on-demand/b.js': {
          bytes: 1,
          inputs: {},
          imports: [],
          exports: [],
          entryPoint: 'node_modules/a/node_modules/b/x.js',
        },
      },
    };
    const madeAt = new Date('2026-11-23T06:00:00Z');
    const serial = '3e671687-395b-41f5-a30f-a58921a69b79';
    expect(sbomOf(given, { packages }, { madeAt, serial })).toStrictEqual({
      bomFormat: 'CycloneDX',
      specVersion: '1.6',
      serialNumber: `urn:uuid:${serial}`,
      version: 1,
      metadata: {
        timestamp: '2026-11-23T06:00:00.000Z',
        lifecycles: [{ phase: 'build' }],
        component: {
          type: 'application',
          'bom-ref': 'fetcher@2.0.0',
          name: 'fetcher',
          version: '2.0.0',
          licenses: [{ license: { id: 'MIT', acknowledgement: 'declared' } }],
          purl: 'pkg:npm/fetcher@2.0.0',
        },
      },
      components: [
        {
          type: 'library',
          'bom-ref': '@scope/a@1.0.0+build',
          group: '@scope',
          name: 'a',
          version: '1.0.0+build',
          licenses: [{ license: { id: 'ISC', acknowledgement: 'declared' } }],
          purl: 'pkg:npm/%40scope/a@1.0.0%2Bbuild',
          scope: 'required',
          hashes: [{ alg: 'SHA-512', content: '000102' }],
        },
        {
          type: 'library',
          'bom-ref': 'b@3.0.0',
          name: 'b',
          version: '3.0.0',
          licenses: [{ license: { id: 'MIT', acknowledgement: 'declared' } }],
          purl: 'pkg:npm/b@3.0.0',
          scope: 'required',
        },
      ],
      dependencies: [
        { ref: 'fetcher@2.0.0', dependsOn: ['@scope/a@1.0.0+build'] },
        { ref: '@scope/a@1.0.0+build', dependsOn: ['b@3.0.0'] },
        { ref: 'b@3.0.0', dependsOn: [] },
      ],
    });
  });

  it('names a package that THIRD-PARTY-LICENSES does not', async () => {
    const text = await readFile(join(projectDir, 'dist/THIRD-PARTY-LICENSES'), 'utf8');
    expect(missingIn(text, sbom)).toStrictEqual([]);
    const lacking = text
      .replace(/^undici .*$/m, '')
      .replace(/^@smithy\/types .*$/m, '@smithy/types 0.0.1 (MIT)');
    expect(missingIn(lacking, sbom)).toStrictEqual([
      expect.stringMatching(/^@smithy\/types .* \(Apache-2\.0\)$/),
      expect.stringMatching(/^undici .* \(MIT\)$/),
    ]);
  });

  it('refuses a package that is not locked', () => {
    expect(() => sbomOf(metafile, { packages: {} })).toThrow(
      /^node_modules\/.*: expected a package of package-lock\.json$/,
    );
  });

  it('is written by npm run sbom', async () => {
    const { stdout } = await run(process.execPath, ['scripts/build/sbom.ts'], { cwd: projectDir });
    expect(stdout).toMatch(/^sbom\.cdx\.json: \d+ packages \((\d+ [\w.-]+(, )?)+\)\n$/);
    const written: Sbom = await readJson('sbom.cdx.json');
    expect(written.components).toStrictEqual(sbom.components);
  });
});

/** What the schema that CycloneDX publishes finds; empty where nothing. */
async function findFaults(sbom: object): Promise<unknown[]> {
  const library = fileURLToPath(import.meta.resolve('@cyclonedx/cyclonedx-library/package.json'));
  const [bom, spdx, jsf] = await Promise.all(
    ['bom-1.6', 'spdx', 'jsf-0.82'].map(async (name) =>
      JSON.parse(await readFile(join(library, `../res/schema/${name}.SNAPSHOT.schema.json`), 'utf8')),
    ),
  );
  const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
  ajv.addSchema(spdx, 'http://cyclonedx.org/schema/spdx.SNAPSHOT.schema.json');
  ajv.addSchema(jsf, 'http://cyclonedx.org/schema/jsf-0.82.SNAPSHOT.schema.json');
  ajv.validate(bom, sbom);
  return ajv.errors ?? [];
}
