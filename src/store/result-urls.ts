import { GetObjectCommand } from '@aws-sdk/client-s3';
import { keysOf, type RunKeys, type StoreOptions } from './keys.ts';
import { storeFailure } from './s3-error.ts';

/** Links to what is too large for a reply. */
export interface ResultUrls {
  /**
   * A URL that gives one object of a run to whoever has it, for 5 minutes, or until the credentials of this function
   * expire. Rejects with StoreError where there are none to sign it with.
   */
  urlOf(
    runId: string,
    object: 'document' | 'outcomes' | 'gzipOutcomes' | 'runManifest' | 'page',
    signal: AbortSignal,
  ): Promise<string>;
}

const EXPIRES_IN_SECONDS = 300;

/** Links into the bucket of the documents. */
export function createResultUrls({ client, bucket, prefix }: StoreOptions): ResultUrls {
  return {
    async urlOf(runId, object, signal) {
      const Key = keysOf(prefix, runId)[object satisfies keyof RunKeys];
      try {
        // Not loaded unless it is needed: few replies are so large.
        const { getSignedUrl } = await import('@aws-sdk/s3-request-presigner');
        return await getSignedUrl(client, new GetObjectCommand({ Bucket: bucket, Key }), {
          expiresIn: EXPIRES_IN_SECONDS,
        });
      } catch (error) {
        throw storeFailure(`s3://${bucket}/${Key}`, 'read', error, signal);
      }
    },
  };
}
