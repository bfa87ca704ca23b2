import { isBuiltin } from 'node:module';
import type { Metafile } from 'esbuild';
import { ON_DEMAND } from './plugins.ts';

/** The lock file's part that tells what may be deployed: `dev` marks what only devDependencies reach. */
export interface Lockfile {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>;
}

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
  // As the plugins name a module of Node.
  const builtin = /^builtin(?:-whole)?:(.+)/.exec(input)?.[1];
  if (builtin !== undefined && isBuiltin(builtin)) return undefined;
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
