import type { IdList } from '../batch/ids.ts';
import type { ManifestLocation } from '../batch/manifest/location.ts';
import { type ManifestLimits, readManifest } from '../batch/manifest/read.ts';
import type { IdSource } from '../store/id-source.ts';

/**
 * The ids that a manifest lists. Rejects with BadInputError or TooLargeError, with StoreError where S3 fails, and
 * with the signal's reason when that aborts. Nothing of the reading goes on after.
 */
export async function loadIds(
  location: ManifestLocation,
  idSource: IdSource,
  limits: ManifestLimits,
  signal: AbortSignal,
): Promise<IdList> {
  const ended = new AbortController();
  try {
    const bytes = await idSource.open(location, AbortSignal.any([signal, ended.signal]));
    return await readManifest(bytes, location, limits, signal);
  } finally {
    // What is left unread, behind one id too many say, is not sent any more.
    ended.abort();
  }
}
