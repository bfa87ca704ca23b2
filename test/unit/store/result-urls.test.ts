import { describe, expect, test } from 'vitest';
import { createResultUrls } from '../../../src/store/result-urls.ts';
import { createS3Client } from '../../../src/store/s3.ts';
import { never, storeErrorOf, storeWorld } from './world.ts';

const world = storeWorld();

describe('the URL of results', () => {
  test.each([
    ['document', '.json'],
    ['outcomes', '.ndjson'],
    ['gzipOutcomes', '.ndjson.gz'],
    ['runManifest', '.manifest.json'],
    ['page', '.html'],
  ] as const)('gives the %s of a run to whoever has it, for 5 minutes', async (object, ending) => {
    const runId = world.newRunId();
    await world.put(`runs/${runId}${ending}`, 'what stands there');
    const url = new URL(await createResultUrls(world.optionsOf(world.client)).urlOf(runId, object, never()));
    expect(url.pathname).toBe(`/results/runs/${runId}${ending}`);
    expect(url.searchParams.get('X-Amz-Expires')).toBe('300');
    expect(url.searchParams.get('X-Amz-SignedHeaders')).toBe('host');
    expect(await (await fetch(url)).text()).toBe('what stands there');
  });

  test('is signed without a request', async () => {
    await createResultUrls(world.optionsOf(world.client)).urlOf('run', 'document', never());
    expect(world.s3.operations).toStrictEqual([]);
  });

  test('is of the bucket and its host where the store is S3 itself', async () => {
    const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret', sessionToken: 'token' };
    const client = createS3Client({ region: 'eu-central-1', credentials });
    const url = await createResultUrls({ ...world.optionsOf(client), prefix: 'runs/api/' }).urlOf(
      'r~1',
      'document',
      never(),
    );
    expect(url).toMatch(/^https:\/\/results\.s3\.eu-central-1\.amazonaws\.com\/runs\/api\/r~1\.json\?/);
    expect(url).not.toContain('secret');
    client.destroy();
  });

  test('is none where there are no credentials to sign it with', async () => {
    const client = createS3Client({
      region: 'us-east-1',
      credentials: () => Promise.reject(new Error('not to be told')),
    });
    const urls = createResultUrls(world.optionsOf(client));
    expect(await storeErrorOf(urls.urlOf('run', 'document', never()))).toStrictEqual({
      code: 'STORE_FAILED',
      message: 's3://results/runs/run.json could not be read: Error',
    });
    client.destroy();
  });
});
