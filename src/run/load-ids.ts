import { BadInputError } from '../base/errors.ts';
import type { IdList } from '../batch/ids.ts';
import type { ManifestLocation } from '../batch/manifest/location.ts';
import { type ManifestLimits, readManifest } from '../batch/manifest/read.ts';
import type { IdSource } from '../store/id-source.ts';

export interface LoadSettings extends ManifestLimits {
  /** The one bucket that no manifest is read from: an error would show a line of a document. */
  readonly resultsBucket: string;
}

/**
 * The ids that a manifest lists. Rejects with BadInputError or TooLargeError, with StoreError where S3 fails, and
 * with the signal's reason when that aborts. Nothing of the reading goes on after.
 */
export async function loadIds(
  location: ManifestLocation,
  idSource: IdSource,
  { resultsBucket, ...limits }: LoadSettings,
  signal: AbortSignal,
): Promise<IdList> {
  if (location.bucket === resultsBucket)
    throw new BadInputError(
      `Expected \`${location.url}\` to be in another bucket than the results, which no manifest is read from`,
    );
  const ended = new AbortController();
  try {
    const bytes = await idSource.open(location, AbortSignal.any([signal, ended.signal]));
    return await readManifest(bytes, location, limits, signal);
  } finally {
    // What is left unread, behind one id too many say, is not sent any more.
    ended.abort();
  }
}
