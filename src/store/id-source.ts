import type { Readable } from 'node:stream';
import { GetObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { badInput } from '../base/errors.ts';
import type { ManifestLocation } from '../batch/manifest/location.ts';
import { s3ErrorName, storeFailure } from './s3.ts';

/** Where manifests are read from. */
export interface ManifestStore {
  /**
   * The bytes of a manifest, as they come. Rejects with BadInputError where there is no such object, with StoreError
   * where S3 fails, and with the signal's reason when that aborts; what fails later ends the bytes in the same way.
   */
  open(location: ManifestLocation, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
}

/** How long S3 may send nothing in the middle of an object. */
const STALL_TIMEOUT_MS = 20_000;

/** A store of whatever the client's credentials may read. */
export function createManifestStore(client: S3Client): ManifestStore {
  const open = async (
    location: ManifestLocation,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>> => {
    const { bucket, key } = location;
    try {
      const command = new GetObjectCommand({ Bucket: bucket, Key: key });
      const { Body } = await client.send(command, { abortSignal: signal });
      // In Node it is one, and there is always one.
      return chunksOf(Body as Readable, location, signal);
    } catch (error) {
      throw failed(location, error, signal);
    }
  };

  return { open };
}

async function* chunksOf(
  body: Readable,
  location: ManifestLocation,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  // The client's own timeout ends where the body begins.
  const stall = setTimeout(
    () => body.destroy(Object.assign(new Error('S3 stopped sending'), { code: 'ETIMEDOUT' })),
    STALL_TIMEOUT_MS,
  );
  try {
    for await (const chunk of body) {
      stall.refresh();
      yield chunk;
    }
  } catch (error) {
    throw failed(location, error, signal);
  } finally {
    clearTimeout(stall);
  }
}

function failed({ url }: ManifestLocation, error: unknown, signal: AbortSignal): unknown {
  const isMissing = ['NoSuchKey', 'NoSuchBucket'].includes(s3ErrorName(error));
  if (isMissing && !signal.aborted) return badInput(url, 'an object in S3', undefined);
  return storeFailure(url, 'read', error, signal);
}
