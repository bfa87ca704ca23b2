import { type Batch, batchOf, type ManifestForm } from '../batch/base-form.ts';
import type { IdList } from '../batch/ids.ts';
import type { ManifestLocation } from '../batch/manifest/location.ts';
import { readManifest } from '../batch/manifest/read.ts';
import type { ManifestStore } from '../store/id-source.ts';

/** The batch that a manifest lists. Rejects as `loadIds` does. */
export async function loadBatch(
  { location, returnExceptions, runId }: ManifestForm,
  manifests: ManifestStore,
  maxIds: number,
  signal: AbortSignal,
): Promise<Batch> {
  return batchOf(await loadIds(location, manifests, maxIds, signal), returnExceptions, runId);
}

/**
 * The ids that a manifest lists. Rejects with BadInputError or TooLargeError, with StoreError where S3 fails, and
 * with the signal's reason when that aborts. Nothing of it goes on after.
 */
export async function loadIds(
  location: ManifestLocation,
  manifests: ManifestStore,
  maxIds: number,
  signal: AbortSignal,
): Promise<IdList> {
  const ended = new AbortController();
  try {
    const source = await manifests.open(location, AbortSignal.any([signal, ended.signal]));
    return await readManifest(source, location, maxIds);
  } finally {
    // What is left unread, behind one id too many say, is not sent any more.
    ended.abort();
  }
}
