import { addAbortSignal, type Readable } from 'node:stream';
import {
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { follow } from '../base/abort.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import { failedWith, ReadTimeout, storeFailure } from './s3.ts';
import { type Chunks, type UploadAttributes, type Uploaded, upload } from './upload.ts';

export interface ObjectsOptions {
  readonly client: S3Client;
  readonly bucket: string;
  /** For what limits a read. @default systemClock */
  readonly clock?: Clock;
}

/** An object, or a part of it, held whole. */
interface ObjectBytes {
  readonly bytes: Buffer;
  readonly etag: string;
  /** Of the whole object. */
  readonly totalBytes: number;
}

interface ObjectHead extends Uploaded {
  /** Its keys are in lower case. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** How long S3 may send nothing in the middle of an object; for an answer's head, the client has the same limit. */
const STALL_MS = 20_000;
const READ_MS = 60_000;
/** Each block is a request; small enough for two in the memory of a small function. */
const BLOCK_BYTES = 4 * 1024 * 1024;
const NOTHING = Buffer.alloc(0);

/**
 * The one reader and writer of a bucket's objects.
 *
 * A read rejects with the signal's reason when that aborts, and with a StoreError where S3 fails, or has no such
 * object (see `ifThere`). An answer that does not come to its end, or of which nothing comes for 20 s, is asked for
 * again just as the SDK sends a request again, for 60 s at most.
 */
export function createObjects({ client, bucket, clock = systemClock }: ObjectsOptions) {
  const location = (key: string): string => `s3://${bucket}/${key}`;

  const read = async <T>(
    key: string,
    signal: AbortSignal,
    send: (abortSignal: AbortSignal) => Promise<T>,
  ): Promise<T> => {
    using limit = follow(signal);
    const cancel = clock.after(READ_MS, () =>
      limit.abort(new ReadTimeout('S3 did not send all of it within 60 s')),
    );
    try {
      return await send(limit.signal);
    } catch (error) {
      const { aborted, reason } = limit.signal;
      throw storeFailure(location(key), 'read', aborted ? reason : error, signal);
    } finally {
      cancel();
    }
  };

  /**
   * Reads an object, or the range of it that `Range` asks for (`bytes=-5`: the last five). What is empty has no
   * ranges, and is given as it is.
   */
  const get = async (
    key: string,
    signal: AbortSignal,
    conditions: { readonly Range?: string; readonly IfMatch?: string | undefined } = {},
  ): Promise<ObjectBytes> => {
    const command = new GetObjectCommand({ Bucket: bucket, Key: key, ...conditions });
    try {
      return await read(key, signal, (abortSignal) => getWhole(command, client, clock, abortSignal));
    } catch (error) {
      const { Range, ...others } = conditions;
      if (Range !== undefined && failedWith(error, 'InvalidRange')) return get(key, signal, others);
      throw error;
    }
  };

  const head = async (key: string, signal: AbortSignal): Promise<ObjectHead> => {
    const command = new HeadObjectCommand({ Bucket: bucket, Key: key });
    const output = await read(key, signal, (abortSignal) => client.send(command, { abortSignal }));
    // Every object has all of them.
    const { ETag: etag, ContentLength: bytes, Metadata: metadata } = output;
    return { etag, bytes, metadata } as ObjectHead;
  };

  /**
   * Reads an object of any size in blocks of 4 MiB: each is a read when it is asked for, and is held whole, so that
   * whoever takes them may take as long as he likes. Resolves once the first is there. Rejects, or throws later, as a
   * read does, also where the object has another ETag than the expected one, or changes in the meantime.
   */
  const stream = async (
    key: string,
    signal: AbortSignal,
    expectedEtag?: string,
  ): Promise<AsyncGenerator<Buffer, void, undefined>> => {
    const blockAt = (from: number, IfMatch: string | undefined): Promise<ObjectBytes> =>
      get(key, signal, { Range: `bytes=${from}-${from + BLOCK_BYTES - 1}`, IfMatch });
    let { bytes, etag, totalBytes } = await blockAt(0, expectedEtag);
    return (async function* () {
      for (let from = 0; from < totalBytes; ) {
        from += bytes.length;
        yield bytes;
        // Not held any longer while the next one comes.
        bytes = NOTHING;
        if (from < totalBytes) ({ bytes } = await blockAt(from, etag));
      }
    })();
  };

  return {
    location,
    get,
    head,
    stream,
    /** See `upload`. */
    upload: (key: string, attributes: UploadAttributes, chunks: Chunks, signal: AbortSignal) =>
      upload(client, { Bucket: bucket, Key: key, ...attributes }, chunks, signal),
  };
}

/** Takes the body in while the SDK still waits for the request, so that what breaks off in it is sent again as well. */
async function getWhole(
  command: GetObjectCommand,
  client: S3Client,
  clock: Clock,
  abortSignal: AbortSignal,
): Promise<ObjectBytes> {
  let chunks: readonly Buffer[] = [];
  const takeBody =
    <Args, Result extends { output: GetObjectCommandOutput }>(next: (args: Args) => Promise<Result>) =>
    async (args: Args): Promise<Result> => {
      const result = await next(args);
      // In Node, every answer to GetObject has one.
      chunks = await chunksOf(result.output.Body as Readable, clock, abortSignal);
      return result;
    };
  const place = { name: 'takeBody', relation: 'after', toMiddleware: 'retryMiddleware' } as const;
  command.middlewareStack.addRelativeTo(takeBody, place);
  const { ETag, ContentRange, ContentLength } = await client.send(command, { abortSignal });
  const totalBytes = Number(ContentRange?.slice(ContentRange.indexOf('/') + 1) ?? ContentLength);
  // Every object has an ETag.
  return { bytes: Buffer.concat(chunks), etag: ETag as string, totalBytes };
}

async function chunksOf(body: Readable, clock: Clock, signal: AbortSignal): Promise<readonly Buffer[]> {
  const chunks: Buffer[] = [];
  const stopAfterStall = (): (() => void) =>
    clock.after(STALL_MS, () => body.destroy(new ReadTimeout('S3 sent nothing for 20 s')));
  let cancel = stopAfterStall();
  try {
    for await (const chunk of addAbortSignal(signal, body)) {
      chunks.push(chunk);
      cancel();
      cancel = stopAfterStall();
    }
    return chunks;
  } catch (error) {
    // What a stream throws is an Error. The SDK knows only some of these to be worth another try.
    throw Object.assign(error as Error, { $retryable: {} });
  } finally {
    cancel();
  }
}
