import { describe, expect, test } from 'vitest';
import type { RunStore } from '../../../src/store/run-store.ts';
import { accessDenied, loseAnswer, passOn } from '../../support/misbehaving-s3.ts';
import { bucket, MIB, never, rejectionOf, sha256, source, storeWorld } from './world.ts';

const world = storeWorld();

describe('outcomes by themselves', () => {
  const keyOf = (runId: string) => `${world.real.endpoint}/${bucket}/runs/${runId}.ndjson`;
  async function textOf(runId: string): Promise<string> {
    return (await fetch(keyOf(runId))).text();
  }

  const write = (
    runId: string,
    unfinished: Awaited<ReturnType<RunStore['findOutcomes']>>,
    { writer = 'me', chunks = source(10).chunks } = {},
  ) => world.store.writeOutcomes(runId, 'ndjson', unfinished, writer, chunks, never());

  test.each([[10], [6 * MIB]])('of %d bytes are written, and found, and read', async (bytes) => {
    const runId = world.newRunId();
    expect(await world.store.findOutcomes(runId, 'ndjson', never())).toBeUndefined();
    const { chunks, bytes: content } = source(bytes);
    const outcomes = await write(runId, undefined, { chunks });
    const response = await fetch(keyOf(runId));
    expect(outcomes).toStrictEqual({
      location: `s3://results/runs/${runId}.ndjson`,
      bytes,
      etag: response.headers.get('etag'),
    });
    expect(response.headers.get('content-type')).toBe('application/x-ndjson');
    expect(response.headers.get('content-encoding')).toBeNull();
    expect(sha256(Buffer.from(await response.arrayBuffer()))).toBe(sha256(content));
    expect(await world.store.findOutcomes(runId, 'ndjson', never())).toStrictEqual({ etag: outcomes?.etag });
    const blocks: Buffer[] = [];
    for await (const block of world.store.stream(runId, outcomes, never())) blocks.push(block);
    expect(sha256(Buffer.concat(blocks))).toBe(sha256(content));
  });

  test.each([
    ['PutObject', 10],
    ['CompleteMultipartUpload', 6 * MIB],
  ] as const)('in the place of others go out with their ETag bare: %s', async (operation, bytes) => {
    const runId = world.newRunId();
    await write(runId, undefined);
    const unfinished = await world.store.findOutcomes(runId, 'ndjson', never());
    let ifMatch: unknown;
    world.s3.next(operation, async (exchange) => {
      ifMatch = exchange.headers['if-match'];
      await passOn(exchange);
    });
    expect(await write(runId, unfinished, { chunks: source(bytes).chunks })).toMatchObject({ bytes });
    expect(unfinished?.etag).toBe(`"${ifMatch}"`);
  });

  test('of none are an empty object, of which nothing is read', async () => {
    const runId = world.newRunId();
    const outcomes = await write(runId, undefined, { chunks: source().chunks });
    expect(outcomes?.bytes).toBe(0);
    expect((await world.store.stream(runId, outcomes, never()).next()).done).toBe(true);
  });

  test.each([[10], [6 * MIB]])('of %d bytes are not written over those of others', async (bytes) => {
    const runId = world.newRunId();
    await write(runId, undefined);
    const before = await textOf(runId);
    const { chunks } = source(bytes);
    expect(await write(runId, undefined, { writer: 'another', chunks })).toBeUndefined();
    expect(await textOf(runId)).toBe(before);
    expect(world.real.openUploads()).toBe(0);
  });

  test.each([[10], [6 * MIB]])('of %d bytes take the place of those that were found', async (bytes) => {
    const runId = world.newRunId();
    await write(runId, undefined);
    const unfinished = await world.store.findOutcomes(runId, 'ndjson', never());
    const { chunks } = source(bytes);
    expect((await write(runId, unfinished, { writer: 'another', chunks }))?.bytes).toBe(bytes);
    // The same found twice: the second comes too late.
    const late = source(bytes).chunks;
    expect(await write(runId, unfinished, { writer: 'a third', chunks: late })).toBeUndefined();
    expect(world.real.openUploads()).toBe(0);
  });

  test('are our own where the answer to their write was lost', async () => {
    const runId = world.newRunId();
    world.s3.next('PutObject', loseAnswer);
    const outcomes = await write(runId, undefined);
    expect(outcomes).toStrictEqual({
      ...(await world.store.findOutcomes(runId, 'ndjson', never())),
      ...outcomes,
    });
    expect(outcomes?.bytes).toBe(10);
  });

  test('have gone by the time that they are asked for', async () => {
    const runId = world.newRunId();
    await write(runId, undefined);
    const unfinished = { etag: '"of others"' };
    world.s3.next('HeadObject', async ({ forward, answer }) => {
      await fetch(keyOf(runId), { method: 'DELETE' });
      const answered = await forward();
      if (answered) answer(answered);
    });
    expect(await write(runId, unfinished)).toBeUndefined();
  });

  test('that changed are not read', async () => {
    const runId = world.newRunId();
    const outcomes = await write(runId, undefined);
    await write(runId, await world.store.findOutcomes(runId, 'ndjson', never()), { writer: 'another' });
    const error = await rejectionOf(world.store.stream(runId, outcomes, never()).next());
    expect(error).toMatchObject({
      message: `s3://results/runs/${runId}.ndjson could not be read: it was replaced in the meantime`,
    });
  });

  test('are a StoreError where S3 refuses', async () => {
    const runId = world.newRunId();
    world.s3.always('HeadObject', accessDenied);
    await expect(world.store.findOutcomes(runId, 'ndjson', never())).rejects.toMatchObject({
      code: 'STORE_FAILED',
    });
    world.s3.always('PutObject', accessDenied);
    await expect(write(runId, undefined)).rejects.toMatchObject({
      message: `s3://results/runs/${runId}.ndjson could not be written: AccessDenied`,
    });
  });
});
