import { createHash } from 'node:crypto';
import { addAbortSignal, type Readable } from 'node:stream';
import { GetObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { RunConflictError } from '../base/errors.ts';
import { ChunkWriter } from '../document/chunk-writer.ts';
import { isAlreadyThere, s3ErrorName, storeFailure } from './s3.ts';
import { upload } from './upload.ts';

/** Where the parts of a run, and what became of them, are kept, by the run's id. */
export interface PlanStore {
  placeOf(runId: string): PlanPlace;
  /**
   * Writes the parts, a line each, once. Where the same are there, does nothing. Rejects with RunConflictError where
   * others are, with StoreError where S3 fails, and with the signal's reason when that aborts.
   */
  writePlan(runId: string, lines: () => Iterable<string>, signal: AbortSignal): Promise<void>;
  /** The lines that `writePlan` wrote, with their ends; undefined where it did not. Rejects as it does. */
  readPlan(runId: string, signal: AbortSignal): Promise<AsyncIterable<string> | undefined>;
  /** The manifest of a run; undefined where there is none. */
  readRunManifest(
    runId: string,
    signal: AbortSignal,
  ): Promise<{ readonly text: string; readonly etag: string } | undefined>;
  /** Writes it in the place of the one with this ETag, or of none. Resolves with whether that was still so. */
  writeRunManifest(
    runId: string,
    text: string,
    etag: string | undefined,
    signal: AbortSignal,
  ): Promise<boolean>;
}

/** Object keys, but for the bucket. */
interface PlanPlace {
  readonly bucket: string;
  /** Of the parts. */
  readonly key: string;
  readonly mapResultsPrefix: string;
  readonly runManifestKey: string;
  /** That of a run that is no larger than one function takes: of a part, say. */
  readonly documentKey: string;
}

export interface PlanStoreOptions {
  readonly client: S3Client;
  readonly bucket: string;
  readonly prefix: string;
}

/** A store in the bucket of the documents. No run id holds a slash: what stands in folders is no document's. */
export function createPlanStore({ client, bucket, prefix }: PlanStoreOptions): PlanStore {
  const placeOf = (runId: string): PlanPlace => ({
    bucket,
    key: `${prefix}plans/${runId}.jsonl`,
    mapResultsPrefix: `${prefix}map-results/${runId}`,
    runManifestKey: `${prefix}${runId}.manifest.json`,
    documentKey: `${prefix}${runId}.json`,
  });
  const failed = (verb: 'read' | 'written', key: string, error: unknown, signal: AbortSignal): unknown =>
    storeFailure(`s3://${bucket}/${key}`, verb, error, signal);

  const open = async (key: string, abortSignal: AbortSignal) => {
    try {
      const command = new GetObjectCommand({ Bucket: bucket, Key: key });
      // In Node, every answer to GetObject has both.
      const { Body, ETag } = await client.send(command, { abortSignal });
      return { body: addAbortSignal(abortSignal, Body as Readable), etag: ETag as string };
    } catch (error) {
      if (s3ErrorName(error) === 'NoSuchKey') return undefined;
      throw failed('read', key, error, abortSignal);
    }
  };

  async function* linesOf(key: string, body: Readable, signal: AbortSignal): AsyncGenerator<string> {
    try {
      yield* eachLine(body);
    } catch (error) {
      throw failed('read', key, error, signal);
    }
  }

  const writePlan = async (
    runId: string,
    lines: () => Iterable<string>,
    signal: AbortSignal,
  ): Promise<void> => {
    const { key } = placeOf(runId);
    const target = { Bucket: bucket, Key: key, ContentType: 'application/x-ndjson', IfNoneMatch: '*' };
    if ((await upload(client, target, bytesOf(lines()), signal)) !== undefined) return;
    const stored = await open(key, signal);
    const hash = stored && (await sha256(linesOf(key, stored.body, signal)));
    if (hash !== (await sha256(lines())))
      throw new RunConflictError(
        `The runId ${runId} names an earlier run of other ids, or in parts of another size`,
      );
  };

  return {
    placeOf,
    writePlan,
    async readPlan(runId, signal) {
      const { key } = placeOf(runId);
      const object = await open(key, signal);
      return object && linesOf(key, object.body, signal);
    },
    async readRunManifest(runId, signal) {
      const { runManifestKey } = placeOf(runId);
      const object = await open(runManifestKey, signal);
      if (!object) return undefined;
      let text = '';
      for await (const line of linesOf(runManifestKey, object.body, signal)) text += line;
      return { text, etag: object.etag };
    },
    async writeRunManifest(runId, text, etag, abortSignal) {
      const { runManifestKey } = placeOf(runId);
      try {
        const command = new PutObjectCommand({
          Bucket: bucket,
          Key: runManifestKey,
          Body: text,
          ContentType: 'application/json',
          ...(etag === undefined ? { IfNoneMatch: '*' } : { IfMatch: etag }),
        });
        await client.send(command, { abortSignal });
        return true;
      } catch (error) {
        if (!abortSignal.aborted && isAlreadyThere(error)) return false;
        throw failed('written', runManifestKey, error, abortSignal);
      }
    },
  };
}

async function* bytesOf(lines: Iterable<string>): AsyncGenerator<Buffer, void, undefined> {
  const writer = new ChunkWriter();
  for (const line of lines) {
    writer.text(line);
    yield* writer.take();
  }
  yield* writer.take(true);
}

/** Each line with its end. */
async function* eachLine(body: Readable): AsyncGenerator<string, void, undefined> {
  let text = '';
  for await (const chunk of body.setEncoding('utf8')) {
    text += chunk;
    let start = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      yield text.slice(start, end + 1);
      start = end + 1;
    }
    text = text.slice(start);
  }
  if (text !== '') yield text;
}

async function sha256(lines: Iterable<string> | AsyncIterable<string>): Promise<string> {
  const hash = createHash('sha256');
  for await (const line of lines) hash.update(line);
  return hash.digest('hex');
}
