import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';
import { type BundledPackage, bundledPackages, type Lockfile, packageFolderOf } from './packages.ts';

const projectDir = join(import.meta.dirname, '../..');
const sbomFile = join(projectDir, 'sbom.cdx.json');

/** A part of the bundle in CycloneDX. */
interface Component {
  readonly type: 'application' | 'library';
  readonly 'bom-ref': string;
  readonly group?: string;
  readonly name: string;
  readonly version: string;
  readonly scope?: 'required';
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
  readonly licenses: readonly {
    readonly license: { readonly id: string; readonly acknowledgement: 'declared' };
  }[];
  readonly purl: string;
}

/** What is deployed, in CycloneDX 1.6. */
export interface Sbom {
  readonly bomFormat: 'CycloneDX';
  readonly specVersion: '1.6';
  readonly serialNumber: string;
  readonly version: 1;
  readonly metadata: {
    readonly timestamp: string;
    readonly lifecycles: readonly { readonly phase: 'build' }[];
    readonly component: Component;
  };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

export interface SbomOptions {
  /** When it is made. @default now */
  readonly madeAt?: Date;
  /** Of this list and no other, a UUID. @default a random one */
  readonly serial?: string;
}

/**
 * The bill of materials of a bundle: the packages that have code in it, which is less than the lock file reaches, and
 * which of them has code that imports another's. The lock file has their hashes, and under '' the function itself.
 */
export function sbomOf(
  metafile: Metafile,
  lockfile: Lockfile,
  { madeAt = new Date(), serial = randomUUID() }: SbomOptions = {},
): Sbom {
  const packages = bundledPackages(metafile, lockfile);
  const { name = '', version = '', license = '' } = lockfile.packages[''] ?? {};
  const refs = new Map([
    [undefined, `${name}@${version}`],
    ...packages.map((one) => [one.folder, `${one.name}@${one.version}`] as const),
  ]);
  const imported = importsBetween(metafile);
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: `urn:uuid:${serial}`,
    version: 1,
    metadata: {
      timestamp: madeAt.toISOString(),
      lifecycles: [{ phase: 'build' }],
      component: { type: 'application', ...identity(name, version, license) },
    },
    components: packages.map(libraryOf),
    dependencies: [...refs].map(([folder, ref]) => ({
      ref,
      dependsOn: [...(imported.get(folder) ?? [])].flatMap((other) => refs.get(other) ?? []).sort(),
    })),
  };
}

function libraryOf({ name, version, license, integrity }: BundledPackage): Component {
  const [, algorithm, hash] = /^sha(\d+)-(.+)$/.exec(integrity ?? '') ?? [];
  return {
    type: 'library',
    ...identity(name, version, license),
    scope: 'required',
    ...(hash !== undefined && {
      hashes: [{ alg: `SHA-${algorithm}`, content: Buffer.from(hash, 'base64').toString('hex') }],
    }),
  };
}

function identity(name: string, version: string, license: string): Omit<Component, 'type'> {
  const [scope, rest] = name.startsWith('@') ? name.split('/', 2) : [undefined, name];
  return {
    'bom-ref': `${name}@${version}`,
    ...(scope !== undefined && { group: scope }),
    name: rest ?? name,
    version,
    licenses: [{ license: { id: license, acknowledgement: 'declared' } }],
    purl: `pkg:npm/${name.split('/').map(encodeURIComponent).join('/')}@${encodeURIComponent(version)}`,
  };
}

type Folder = string | undefined;

/** By the folder of a package, those of the others that its bundled files import; undefined is the function's own. */
function importsBetween({ inputs, outputs }: Metafile): Map<Folder, Set<Folder>> {
  const imported = new Map<Folder, Set<Folder>>();
  for (const [file, { imports }] of Object.entries(inputs)) {
    const folder = packageFolderOf(file);
    const others = imported.get(folder) ?? new Set();
    imported.set(folder, others);
    for (const { path, external } of imports) {
      const source = external === true ? entryPointOf(path, outputs) : path;
      const other = source === undefined ? undefined : packageFolderOf(source);
      if (other !== undefined && other !== folder) others.add(other);
    }
  }
  return imported;
}

/** The source of what is loaded on demand, from a file of its own. */
function entryPointOf(path: string, outputs: Metafile['outputs']): string | undefined {
  if (!path.startsWith('./')) return undefined;
  return Object.entries(outputs).find(([file]) => file.endsWith(path.slice(1)))?.[1].entryPoint;
}

/** Of a list of packages, those that the text of THIRD-PARTY-LICENSES does not name. */
export function missingIn(licences: string, { components }: Sbom): string[] {
  const lines = new Set(licences.split('\n'));
  return components
    .map(({ group, name, version, licenses }) => {
      const ids = licenses.map(({ license }) => license.id).join();
      return `${group === undefined ? '' : `${group}/`}${name} ${version} (${ids})`;
    })
    .filter((line) => !lines.has(line));
}

if (import.meta.main) {
  const readJson = (name: string) => JSON.parse(readFileSync(join(projectDir, name), 'utf8'));
  const sbom = sbomOf(readJson('dist/meta.json'), readJson('package-lock.json'));
  writeFileSync(sbomFile, `${JSON.stringify(sbom, null, 2)}\n`);
  const counts = Map.groupBy(
    sbom.components.flatMap(({ licenses }) => licenses),
    ({ license }) => license.id,
  );
  const byLicence = [...counts].map(([id, { length }]) => `${length} ${id}`).join(', ');
  console.log(`sbom.cdx.json: ${sbom.components.length} packages (${byLicence})`);
  const missing = missingIn(readFileSync(join(projectDir, 'dist/THIRD-PARTY-LICENSES'), 'utf8'), sbom);
  if (missing.length > 0) {
    console.error(`Not in dist/THIRD-PARTY-LICENSES:\n  ${missing.join('\n  ')}`);
    process.exitCode = 1;
  }
}
