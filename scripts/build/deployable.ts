import { isBuiltin } from 'node:module';
import type { Metafile } from 'esbuild';
import { type Lockfile, packageFolderOf } from './packages.ts';
import { ON_DEMAND } from './plugins.ts';

/**
 * Throws an Error that lists everything in a bundle which is neither a dependency nor one of its own sources, which are
 * under `folder`.
 */
export function assertDeployable(metafile: Metafile, lockfile: Lockfile, folder = 'src/'): void {
  const faults = new Set([
    ...Object.keys(metafile.inputs).flatMap((input) => inputFault(input, lockfile, folder) ?? []),
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

function inputFault(input: string, lockfile: Lockfile, folder: string): string | undefined {
  // As the plugins name a module of Node.
  const builtin = /^builtin(?:-whole)?:(.+)/.exec(input)?.[1];
  if (builtin !== undefined && isBuiltin(builtin)) return undefined;
  const packagePath = packageFolderOf(input);
  if (packagePath === undefined) {
    return input.startsWith(folder)
      ? undefined
      : `${input}: expected only files under ${folder} and packages`;
  }
  const locked = lockfile.packages[packagePath];
  if (locked === undefined) return `${packagePath}: expected a package of package-lock.json`;
  return locked.dev === true
    ? `${packagePath}: expected a package that \`dependencies\` reaches, got a devDependency`
    : undefined;
}
