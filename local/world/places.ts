import { join } from 'node:path';

export const projectDirectory: string = join(import.meta.dirname, '../..');

/** Where the local store keeps its objects, as `<bucket>/<key>`. */
export const storeDirectory: string = join(projectDirectory, '.local/s3');

/** Where the local stand-in of SSM has its parameters: `/a/b` is `a/b.json`. */
export const parameterDirectory: string = join(projectDirectory, '.local/parameters');

/** Where the local queue of failed runs has its messages, a file each. */
export const failedRunsDirectory: string = join(projectDirectory, '.local/failed-runs');

/** Where the pages of runs go that a command makes. */
export const reportDirectory: string = join(projectDirectory, '.local/reports');

/** The bucket of the stage `local`. */
export const localBucket = 'batch-fetcher-local';

/** The file of an object in the local store, by the object's location, `s3://bucket/key`. */
export function fileOf(location: string): string {
  return join(storeDirectory, location.slice('s3://'.length));
}

/** The bucket that the sample events have their manifests in: none is read from that of the results. */
export const manifestBucket = 'batch-fetcher-lists';
