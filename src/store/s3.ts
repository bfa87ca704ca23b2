import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';

/**
 * A client that sends each request once: the stores send it again themselves, as long as they have time (see
 * `tryUntil`). It names the bucket in the path instead of the host wherever an endpoint is given, in `config` or by the
 * SDK's own variables in `env`: other stores have a name or an address, and none for each bucket.
 */
export function createS3Client(
  config: S3ClientConfig = {},
  env: Readonly<Record<string, string | undefined>> = {},
): S3Client {
  const endpoint = config.endpoint ?? (env.AWS_ENDPOINT_URL_S3 || env.AWS_ENDPOINT_URL);
  return new S3Client({
    maxAttempts: 1,
    requestHandler: { connectionTimeout: CONNECTION_TIMEOUT_MS },
    forcePathStyle: Boolean(endpoint),
    ...config,
  });
}

const CONNECTION_TIMEOUT_MS = 2_000;
