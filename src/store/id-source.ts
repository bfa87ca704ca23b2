import { badInput } from '../base/errors.ts';
import type { ManifestLocation } from '../batch/manifest/location.ts';
import { createObjects, type ObjectsOptions } from './objects.ts';
import { failedWith } from './s3-error.ts';

/** Where manifests are read from. */
export interface IdSource {
  /**
   * The bytes of a manifest, as they come. Rejects with BadInputError where there is no such object, with StoreError
   * where S3 fails, and with the signal's reason when that aborts; what fails later ends the bytes in the same way.
   */
  open(location: ManifestLocation, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
}

/** A source of whatever the client's credentials may read. */
export function createIdSource(options: Omit<ObjectsOptions, 'bucket'>): IdSource {
  return {
    async open({ bucket, key, url }, signal) {
      try {
        return await createObjects({ ...options, bucket }).stream(key, signal);
      } catch (error) {
        if (failedWith(error, 'NoSuchKey', 'NoSuchBucket')) throw badInput(url, 'an object in S3', undefined);
        throw error;
      }
    },
  };
}
