import { rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileOf, storeDirectory } from '../../local/world/places.ts';

/**
 * Removes an object from the local store, by its location, the headers beside its file, and the claim and the page of its
 * run; or does nothing.
 */
export function removeObject(location: string): void {
  const others = ['.progress.json', '.html'].map((ending) =>
    location.replace(/(\.manifest)?\.json$/, ending),
  );
  for (const file of [location, ...others].map(fileOf)) {
    const headers = join(storeDirectory, '.headers', `${relative(storeDirectory, file)}.json`);
    for (const path of [file, headers]) rmSync(path, { force: true });
  }
}
