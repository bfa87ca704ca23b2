import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { projectDirectory } from './places.ts';

/** Builds the functions into dist/, unless they stand there as the sources are. Rejects as `buildFunction` does. */
export async function buildIfStale(): Promise<void> {
  const builtMs =
    statSync(join(projectDirectory, 'dist/handler.js'), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const isNewer = (folder: string) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).some(
      (source) => statSync(join(folder, source)).mtimeMs > builtMs,
    );
  if (!['src', 'page'].some((folder) => isNewer(join(projectDirectory, folder)))) return;
  // Loaded on demand: most commands build nothing.
  const { buildFunction } = await import('../../scripts/build/build.ts');
  await buildFunction(join(projectDirectory, 'dist'));
}
