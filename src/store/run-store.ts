import { addAbortSignal, type Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import {
  GetObjectCommand,
  type GetObjectCommandInput,
  type GetObjectCommandOutput,
  HeadObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { RunConflictError } from '../base/errors.ts';
import { readReport } from '../document/document.ts';
import type { OutcomesObject, RunReport } from '../document/run-head.ts';
import { s3ErrorName, storeFailure } from './s3.ts';
import { type UploadTarget, upload } from './upload.ts';

/** A run whose document is in the store. */
export interface StoredRun extends RunReport {
  readonly documentBytes: number;
  /** Of the document. */
  readonly etag: string;
}

/** Where documents are kept, by run id; each is written once. */
export interface RunStore {
  /** `s3://bucket/key` */
  location(runId: string): string;
  /**
   * What the document of a run says of it; undefined where there is none. Rejects with StoreError, or with the
   * signal's reason when that aborts.
   */
  find(runId: string, signal: AbortSignal): Promise<StoredRun | undefined>;
  /** The text of a document. Rejects as `find` does, also where there is none. */
  read(runId: string, signal: AbortSignal): Promise<string>;
  /**
   * The text of a document, or of the outcomes that it names, in blocks, each asked for when it is: one is held at a
   * time, and its reader may take as long as it likes. Throws as `find` rejects, also where there is none, and where
   * it changes in the meantime.
   */
  stream(
    runId: string,
    outcomes: OutcomesObject | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<Buffer, void, undefined>;
  /**
   * Writes a document as it comes, unless there is one already: resolves with whether it did. Rejects with the very
   * error that `chunks` throws, with StoreError when S3 fails, and with the signal's reason when that aborts: once
   * nothing of the document is left on its way. `chunks` is told to return, but is not waited for.
   */
  write(runId: string, chunks: AsyncIterable<Buffer>, signal: AbortSignal): Promise<boolean>;
  /** Outcomes without a document: a run that began to write, and has not ended, or never will. Rejects as `find`. */
  findOutcomes(runId: string, signal: AbortSignal): Promise<UnfinishedOutcomes | undefined>;
  /**
   * Writes the outcomes of a run, which its document is to name, as `write` does. Undefined where others wrote some
   * since `findOutcomes` found `unfinished`, which gives way to them; `writer` tells theirs from these.
   */
  writeOutcomes(
    runId: string,
    unfinished: UnfinishedOutcomes | undefined,
    writer: string,
    chunks: AsyncIterable<Buffer>,
    signal: AbortSignal,
  ): Promise<OutcomesObject | undefined>;
}

/** By its ETag, which tells whether it is still the same. */
interface UnfinishedOutcomes {
  readonly etag: string;
}

export interface RunStoreOptions {
  readonly client: S3Client;
  readonly bucket: string;
  readonly prefix: string;
}

/** Each is a request; small enough for two in the memory of a small function. */
const BLOCK_BYTES = 4 * 1024 * 1024;
/** The client's own timeout ends where the body begins. */
const BLOCK_TIMEOUT_MS = 20_000;
const BLOCK_TRIES = 3;
/** Metadata of outcomes: who wrote them. */
const WRITER = 'writer';
const HEAD_BYTES = 16_384;
const TAIL_BYTES = 65_536;

/** A store in an S3 bucket: the document of a run is `<prefix><runId>.json`. */
export function createRunStore({ client, bucket, prefix }: RunStoreOptions): RunStore {
  const keyOf = (runId: string): string => `${prefix}${runId}.json`;
  const outcomesKeyOf = (runId: string): string => `${prefix}${runId}.ndjson`;
  const locationOf = (key: string): string => `s3://${bucket}/${key}`;
  const failed = (verb: 'read' | 'written', key: string, error: unknown, signal: AbortSignal): unknown =>
    storeFailure(locationOf(key), verb, error, signal);

  const get = async (
    runId: string,
    abortSignal: AbortSignal,
    range?: string,
  ): Promise<{ text: string; totalBytes: number; etag: string }> => {
    const command = new GetObjectCommand({ Bucket: bucket, Key: keyOf(runId), Range: range });
    const output = await client.send(command, { abortSignal });
    const text = (await output.Body?.transformToString()) ?? '';
    // Every object has one.
    return { text, totalBytes: totalBytes(output), etag: output.ETag as string };
  };

  const find = async (runId: string, signal: AbortSignal): Promise<StoredRun | undefined> => {
    try {
      for (let bytes = TAIL_BYTES; ; bytes *= 8) {
        const { text: tail, totalBytes, etag } = await get(runId, signal, `bytes=-${bytes}`);
        const isWhole = totalBytes <= bytes;
        const head = isWhole ? tail : (await get(runId, signal, `bytes=0-${HEAD_BYTES - 1}`)).text;
        const report = readReport(head, tail);
        if (report) return { ...report, documentBytes: totalBytes, etag };
        if (isWhole) break;
      }
    } catch (error) {
      if (s3ErrorName(error) === 'NoSuchKey') return undefined;
      // S3 has no last bytes of an object that is empty.
      if (s3ErrorName(error) !== 'InvalidRange') throw failed('read', keyOf(runId), error, signal);
    }
    throw new RunConflictError(`${locationOf(keyOf(runId))} exists, and is no document of a run`);
  };

  const put = (
    Key: string,
    attributes: Omit<UploadTarget, 'Bucket' | 'Key'>,
    chunks: AsyncIterable<Buffer>,
    signal: AbortSignal,
  ) => upload(client, { Bucket: bucket, Key, ...attributes }, chunks, signal);

  const write: RunStore['write'] = async (runId, chunks, signal) => {
    const attributes = { ContentType: 'application/json', IfNoneMatch: '*' };
    return (await put(keyOf(runId), attributes, chunks, signal)) !== undefined;
  };

  const headOutcomes = async (runId: string, signal: AbortSignal) => {
    const Key = outcomesKeyOf(runId);
    try {
      return await client.send(new HeadObjectCommand({ Bucket: bucket, Key }), { abortSignal: signal });
    } catch (error) {
      if (s3ErrorName(error) === 'NotFound') return undefined;
      throw failed('read', Key, error, signal);
    }
  };

  const findOutcomes: RunStore['findOutcomes'] = async (runId, signal) => {
    const head = await headOutcomes(runId, signal);
    return head && { etag: head.ETag as string };
  };

  const writeOutcomes: RunStore['writeOutcomes'] = async (runId, unfinished, writer, chunks, signal) => {
    const Key = outcomesKeyOf(runId);
    const attributes = {
      ContentType: 'application/x-ndjson',
      Metadata: { [WRITER]: writer },
      ...(unfinished ? { IfMatch: unfinished.etag } : { IfNoneMatch: '*' }),
    };
    const location = locationOf(Key);
    const uploaded = await put(Key, attributes, chunks, signal);
    if (uploaded) return { location, ...uploaded };
    // They may be our own, which S3 had stored before its answer was lost and the SDK sent them again.
    const head = await headOutcomes(runId, signal);
    return head?.Metadata?.[WRITER] === writer
      ? { location, etag: head.ETag as string, bytes: head.ContentLength as number }
      : undefined;
  };

  const read = async (runId: string, signal: AbortSignal): Promise<string> => {
    try {
      return (await get(runId, signal)).text;
    } catch (error) {
      throw failed('read', keyOf(runId), error, signal);
    }
  };

  const getBlock = async (input: GetObjectCommandInput, abortSignal: AbortSignal) => {
    for (let tries = 1; ; tries++) {
      const output = await client.send(new GetObjectCommand(input), { abortSignal });
      const timeout = AbortSignal.timeout(BLOCK_TIMEOUT_MS);
      try {
        // In Node, every answer to GetObject has one. The SDK does not try again what breaks off in it.
        const body = addAbortSignal(AbortSignal.any([abortSignal, timeout]), output.Body as Readable);
        return { output, bytes: await buffer(body) };
      } catch (error) {
        if (abortSignal.aborted || tries === BLOCK_TRIES) throw timeout.aborted ? timeout.reason : error;
      }
    }
  };

  const stream: RunStore['stream'] = async function* (runId, outcomes, signal) {
    const Key = outcomes ? outcomesKeyOf(runId) : keyOf(runId);
    let etag = outcomes?.etag;
    // S3 has no first bytes of an object that is empty.
    for (let from = 0, total = outcomes?.bytes ?? Infinity; from < total; ) {
      const Range = `bytes=${from}-${from + BLOCK_BYTES - 1}`;
      let block: Awaited<ReturnType<typeof getBlock>>;
      try {
        block = await getBlock({ Bucket: bucket, Key, Range, IfMatch: etag }, signal);
      } catch (error) {
        throw failed('read', Key, error, signal);
      }
      yield block.bytes;
      etag = block.output.ETag;
      total = totalBytes(block.output);
      from += block.bytes.length;
    }
  };

  const location = (runId: string): string => locationOf(keyOf(runId));
  return { location, find, read, stream, write, findOutcomes, writeOutcomes };
}

function totalBytes({ ContentRange, ContentLength }: GetObjectCommandOutput): number {
  return Number(ContentRange?.slice(ContentRange.indexOf('/') + 1) ?? ContentLength);
}
