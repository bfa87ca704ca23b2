import { GetObjectCommand, type S3ClientConfig } from '@aws-sdk/client-s3';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createRunStore } from '../../../src/store/run-store.ts';
import { createS3Client } from '../../../src/store/s3.ts';
import { never, source, storeErrorOf } from './world.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

const location = 's3://my.lists/r.json';
const aws: S3ClientConfig = {
  region: 'eu-central-1',
  credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
};

/** The URL that a client of these variables would ask for an object. */
async function urlOf(env: Readonly<Record<string, string>>, Bucket: string, config: S3ClientConfig = {}) {
  // The SDK reads them as well.
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  let url = '';
  const handle = async ({ protocol, hostname, port = '', path }: Record<string, string>) => {
    url = `${protocol}//${hostname}:${port}${path}`;
    throw new Error('No answer');
  };
  // All of a handler that the client uses.
  const requestHandler = { handle } as unknown as NonNullable<S3ClientConfig['requestHandler']>;
  const client = createS3Client({ ...aws, ...config, requestHandler }, env);
  await expect(client.send(new GetObjectCommand({ Bucket, Key: 'k' }))).rejects.toThrow('No answer');
  return url;
}

describe('the S3 client', () => {
  test.each([
    [{ AWS_ENDPOINT_URL_S3: 'http://localhost:9000' }, 'lists', 'http://localhost:9000/lists/k'],
    [{ AWS_ENDPOINT_URL_S3: 'http://minio:9000' }, 'my.lists', 'http://minio:9000/my.lists/k'],
    [{ AWS_ENDPOINT_URL_S3: 'https://s3.example.com' }, 'lists', 'https://s3.example.com:/lists/k'],
    [{ AWS_ENDPOINT_URL: 'http://minio:9000/base' }, 'lists', 'http://minio:9000/base/lists/k'],
    [{ AWS_ENDPOINT_URL_S3: '' }, 'lists', 'https://lists.s3.eu-central-1.amazonaws.com:/k'],
    [{}, 'lists', 'https://lists.s3.eu-central-1.amazonaws.com:/k'],
  ])('of %j asks for an object of %s at %s', async (env, bucket, url) => {
    expect(await urlOf(env as Readonly<Record<string, string>>, bucket)).toBe(url);
  });

  test('names the bucket in the path of an endpoint that it is given', async () => {
    expect(await urlOf({}, 'lists', { endpoint: 'http://localhost:9000' })).toBe(
      'http://localhost:9000/lists/k',
    );
  });

  test.each<[string, S3ClientConfig, Readonly<Record<string, string>>, string]>([
    ['no region', { credentials: aws.credentials as never }, {}, 'there is no region (AWS_REGION)'],
    ['a region that is none', { ...aws, region: 'eu central' }, {}, 'the region is none (AWS_REGION)'],
    [
      'an endpoint without a scheme',
      aws,
      { AWS_ENDPOINT_URL_S3: 'user:secret@minio' },
      'the endpoint is no URL (AWS_ENDPOINT_URL_S3)',
    ],
    [
      'an endpoint that is no URL',
      { ...aws, endpoint: 'secret' },
      {},
      'the endpoint is no URL (AWS_ENDPOINT_URL_S3)',
    ],
    ['no credentials', { region: 'eu-central-1' }, {}, 'CredentialsProviderError'],
  ])('says so where there is %s, and quotes nothing', async (_, config, env, why) => {
    const settings = {
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_REGION: undefined,
      AWS_ACCESS_KEY_ID: undefined,
      ...env,
    };
    for (const [name, value] of Object.entries(settings)) vi.stubEnv(name, value);
    const client = createS3Client(config, env);
    const store = createRunStore({ client, bucket: 'my.lists', prefix: '' });
    expect(await storeErrorOf(store.find('r', never()))).toStrictEqual({
      code: 'STORE_FAILED',
      message: `${location} could not be read: ${why}`,
    });
    expect(await storeErrorOf(store.write('r', source(10).chunks, never()))).toStrictEqual({
      code: 'STORE_FAILED',
      message: `${location} could not be written: ${why}`,
    });
  });

  test('says where documents are', () => {
    expect(createRunStore({ client: createS3Client(), bucket: 'my.lists', prefix: '' }).location('r')).toBe(
      location,
    );
  });
});
