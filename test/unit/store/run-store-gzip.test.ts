import { randomBytes } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { createObjects } from '../../../src/store/objects.ts';
import type { RunStore } from '../../../src/store/run-store.ts';
import { loseAnswer } from '../../support/misbehaving-s3.ts';
import { bucket, MIB, never, rejectionOf, sha256, storeWorld } from './world.ts';

const world = storeWorld();
const format = 'ndjson.gz';
const keyOf = (runId: string) => `${world.real.endpoint}/${bucket}/runs/${runId}.ndjson.gz`;

/** Lines of so many bytes in all, most of which cannot be compressed to less than half. */
function linesOf(bytes: number): Buffer {
  const lines = Array.from({ length: Math.ceil(bytes / 10_000) }, (_, index) => {
    const start = `{"index":${index},"value":"`;
    return `${start}${randomBytes(5_000)
      .toString('hex')
      .slice(start.length + 3)}"}\n`;
  });
  return Buffer.from(lines.join(''));
}

async function* chunksOf(text: Buffer): AsyncGenerator<Buffer> {
  for (let from = 0; from < text.length; from += 65_536) yield text.subarray(from, from + 65_536);
}

const write = (
  runId: string,
  unfinished: Awaited<ReturnType<RunStore['findOutcomes']>>,
  { writer = 'me', text = linesOf(1) } = {},
) => world.store.writeOutcomes(runId, format, unfinished, writer, chunksOf(text), never());

const read = async (...from: Parameters<RunStore['stream']>): Promise<Buffer> =>
  Buffer.concat(await Array.fromAsync(world.store.stream(...from)));

describe('compressed outcomes', () => {
  test.each([
    [1, 0],
    [12 * MIB, 2],
  ])('of %d bytes are written and read as they are, and say what they are', async (bytes, uploadParts) => {
    const runId = world.newRunId();
    const text = linesOf(bytes);
    expect(await world.store.findOutcomes(runId, format, never())).toBeUndefined();
    const outcomes = await write(runId, undefined, { text });
    expect(world.counts().UploadPart ?? 0).toBe(uploadParts);
    const { headers } = await fetch(keyOf(runId), { method: 'HEAD' });
    expect(outcomes).toStrictEqual({
      location: `s3://results/runs/${runId}.ndjson.gz`,
      bytes: Number(headers.get('content-length')),
      etag: headers.get('etag'),
    });
    expect(outcomes?.bytes).toBeLessThan(Math.max(1_000_000, text.length * 0.6));
    expect(headers.get('content-type')).toBe('application/x-ndjson');
    expect(headers.get('content-encoding')).toBe('gzip');
    // What knows of HTTP gives the text.
    const fetched = await (await fetch(keyOf(runId))).arrayBuffer();
    expect(sha256(Buffer.from(fetched))).toBe(sha256(text));
    expect(sha256(await read(runId, outcomes, never()))).toBe(sha256(text));
    expect(await world.store.findOutcomes(runId, format, never())).toStrictEqual({ etag: outcomes?.etag });
    // Those of the other format are others.
    expect(await world.store.findOutcomes(runId, 'ndjson', never())).toBeUndefined();
  });

  test('are written once, and give way to those that found them', async () => {
    const runId = world.newRunId();
    const first = await write(runId, undefined);
    expect(await write(runId, undefined, { writer: 'another', text: linesOf(20_000) })).toBeUndefined();
    const unfinished = await world.store.findOutcomes(runId, format, never());
    const second = await write(runId, unfinished, { writer: 'another', text: linesOf(20_000) });
    expect(second?.etag).not.toBe(first?.etag);
    const error = await rejectionOf(read(runId, first, never()));
    expect(error).toMatchObject({
      message: `s3://results/runs/${runId}.ndjson.gz could not be read: it was replaced in the meantime`,
    });
  });

  test('are our own where the answer to their write was lost', async () => {
    const runId = world.newRunId();
    world.s3.next('PutObject', loseAnswer);
    const outcomes = await write(runId, undefined);
    expect(await world.store.findOutcomes(runId, format, never())).toStrictEqual({ etag: outcomes?.etag });
  });

  test('of none are an object that says so', async () => {
    const runId = world.newRunId();
    const outcomes = await write(runId, undefined, { text: Buffer.alloc(0) });
    expect(outcomes?.bytes).toBe(42);
    expect(await read(runId, outcomes, never())).toStrictEqual(Buffer.alloc(0));
    expect(await (await fetch(keyOf(runId))).text()).toBe('');
  });

  test('are read from where a member starts, and nowhere else', async () => {
    const runId = world.newRunId();
    const text = linesOf(12 * MIB);
    const outcomes = await write(runId, undefined, { text });
    const objects = createObjects(world.optionsOf(world.client));
    const { bytes } = await objects.get(`runs/${runId}.ndjson.gz`, never());
    const start = bytes.indexOf(bytes.subarray(0, 16), 1);
    const rest = await read(runId, outcomes, never(), start);
    expect(sha256(rest)).toBe(sha256(gunzipSync(bytes.subarray(start))));
    expect(text.subarray(-rest.length).equals(rest)).toBe(true);
    expect(await rejectionOf(read(runId, outcomes, never(), start + 1))).toMatchObject({
      name: 'RunConflictError',
      message: `s3://results/runs/${runId}.ndjson.gz is not as it was written: incorrect header check`,
    });
  });
});
