import { rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileOf, storeDirectory } from '../../local/world/places.ts';

/** Removes an object from the local store, by its location, and the headers beside its file; or does nothing. */
export function removeObject(location: string): void {
  const file = fileOf(location);
  const headers = join(storeDirectory, '.headers', `${relative(storeDirectory, file)}.json`);
  for (const path of [file, headers]) rmSync(path, { force: true });
}
