import type { S3Client } from '@aws-sdk/client-s3';
import { type Clock, systemClock } from '../base/clock.ts';
import { badInput } from '../base/errors.ts';
import type { ManifestLocation } from '../batch/manifest/location.ts';
import { createObjects } from './objects.ts';
import { failedWith } from './s3.ts';

/** Where manifests are read from. */
export interface IdSource {
  /**
   * The bytes of a manifest, as they come. Rejects with BadInputError where there is no such object, with StoreError
   * where S3 fails, and with the signal's reason when that aborts; what fails later ends the bytes in the same way.
   */
  open(location: ManifestLocation, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
}

/** A source of whatever the client's credentials may read. `clock` is for what limits a read. */
export function createIdSource(client: S3Client, clock: Clock = systemClock): IdSource {
  return {
    async open({ bucket, key, url }, signal) {
      try {
        return await createObjects({ client, bucket, clock }).stream(key, signal);
      } catch (error) {
        if (failedWith(error, 'NoSuchKey', 'NoSuchBucket')) throw badInput(url, 'an object in S3', undefined);
        throw error;
      }
    },
  };
}
