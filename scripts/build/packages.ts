import type { Metafile } from 'esbuild';

/** What package-lock.json says of a package. `dev` marks one that only devDependencies reach. */
interface LockedPackage {
  readonly name?: string;
  readonly version?: string;
  readonly license?: string;
  readonly integrity?: string;
  readonly dev?: boolean;
}

/** The part of package-lock.json that tells what may be deployed, by the folders of the packages. */
export interface Lockfile {
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

/** A package with code in the bundle. */
export interface BundledPackage {
  /** Its folder, from the project's: `node_modules/undici`. */
  readonly folder: string;
  readonly name: string;
  readonly version: string;
  /** As its package.json has it: an SPDX id, as a rule. */
  readonly license: string;
  /** The hash of its archive in the registry, as a browser's `integrity` has it. */
  readonly integrity: string | undefined;
  /** Its files that are in the bundle, from the project's folder. */
  readonly files: readonly string[];
}

/** The folder of the package that a bundled file belongs to; undefined for the project's own files. */
export function packageFolderOf(file: string): string | undefined {
  return /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0];
}

/** The packages that have files in a bundle, in the order of their names. Throws an Error for one that is not locked. */
export function bundledPackages({ inputs }: Pick<Metafile, 'inputs'>, lockfile: Lockfile): BundledPackage[] {
  const folders = Map.groupBy(Object.keys(inputs), packageFolderOf);
  return [...folders]
    .flatMap(([folder, files]) => (folder === undefined ? [] : [toBundledPackage(folder, files, lockfile)]))
    .sort((a, b) => compare(a.name, b.name) || compare(a.folder, b.folder));
}

function toBundledPackage(folder: string, files: readonly string[], { packages }: Lockfile): BundledPackage {
  const { name, version, license, integrity } = packages[folder] ?? {};
  if (version === undefined) throw new Error(`${folder}: expected a package of package-lock.json`);
  return {
    folder,
    // A package that is locked under an alias has its own name there.
    name: name ?? folder.slice(folder.lastIndexOf('node_modules/') + 'node_modules/'.length),
    version,
    license: license ?? 'none',
    integrity,
    files,
  };
}

/** By code units, on every machine alike. */
function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
