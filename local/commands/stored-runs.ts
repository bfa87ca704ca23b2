import { followRedrives, type NamedRun } from '../../src/run/redrive-chain.ts';
import type { StoreOptions } from '../../src/store/keys.ts';
import type { RunStore } from '../../src/store/run-store.ts';
import { createS3Client } from '../../src/store/s3.ts';
import { useStore } from '../world/environment.ts';
import { localBucket, storeDirectory } from '../world/places.ts';
import { startS3Store } from '../world/s3.ts';
import { UsageError } from './command.ts';
import { parseRunName } from './run-name.ts';

/** A run that the command line names. */
export interface StoredRunName {
  readonly runId: string;
  /** On AWS, by the credentials of the environment; undefined for local runs. */
  readonly bucket: string | undefined;
  readonly prefix: string;
}

/** The one run that is named by its id or location, with `--bucket` and `--prefix`. Throws UsageError. */
export function parseStoredRun(
  positionals: readonly string[],
  given: { readonly bucket?: string | undefined; readonly prefix?: string | undefined },
): StoredRunName {
  const [name, ...more] = positionals;
  if (name === undefined || more.length > 0)
    throw new UsageError(`Expected one run id, got ${positionals.join(' and ') || 'none'}`);
  const { runId, bucket, prefix } = parseRunName(name, given.prefix);
  if (bucket !== undefined && given.bucket !== undefined && bucket !== given.bucket)
    throw new UsageError(`Expected --bucket to be that of ${name}, got ${given.bucket}`);
  // What the local runs say of where they are is no place on AWS.
  return { runId, bucket: bucket === localBucket ? undefined : (bucket ?? given.bucket), prefix };
}

/** What stores are made of that read the runs of a bucket on AWS, or else the local ones, as long as `world` lasts. */
export async function openStoredRuns(
  { bucket, prefix }: StoredRunName,
  world: AsyncDisposableStack,
): Promise<StoreOptions> {
  if (bucket === undefined) {
    const store = await startS3Store({ directory: storeDirectory, buckets: [localBucket] });
    world.defer(() => store.close());
    useStore(store);
  }
  const client = createS3Client({}, process.env);
  world.defer(() => client.destroy());
  return { client, bucket: bucket ?? localBucket, prefix };
}

/**
 * The latest of a run and its redrives, which is said where it is another one; undefined where the run has no document.
 * `what` names what is shown of that.
 */
export async function findLatest(
  runId: string,
  what: string,
  runs: RunStore,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<NamedRun | undefined> {
  const stored = await runs.find(runId, signal);
  if (!stored) return undefined;
  const { latest, conflict } = await followRedrives({ runId, stored }, runs, signal);
  if (latest.runId !== runId) say(`${runId} was redriven: ${what} of ${latest.runId}`);
  if (conflict) say(conflict.message);
  return latest;
}
