import { addAbortSignal, type Readable } from 'node:stream';
import {
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandInput,
  type S3Client,
} from '@aws-sdk/client-s3';
import { follow } from '../base/abort.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import { sharesOf } from '../base/time-limit.ts';
import { BrokenAnswer, failedWith, storeFailure, wordsOf } from './s3-error.ts';
import { type Try, type TryOptions, tryUntil } from './tries.ts';
import { type Chunks, type UploadAttributes, type Uploaded, upload } from './upload.ts';

export interface ObjectsOptions {
  readonly client: S3Client;
  readonly bucket: string;
  /** For what limits requests. @default systemClock */
  readonly clock?: Clock;
  /** From 0 to 1, for the pauses between tries. @default Math.random */
  readonly random?: () => number;
  /** When the function's time is over, by the clock. @default each request has 60 s, with all its tries */
  readonly endMs?: number;
}

/** An object, or a part of it, held whole. */
interface ObjectBytes {
  readonly bytes: Buffer;
  readonly etag: string;
  /** Of the whole object. */
  readonly totalBytes: number;
}

/** Where a list of keys goes on. */
type ListedFrom = Pick<ListObjectsV2CommandInput, 'StartAfter' | 'ContinuationToken' | 'MaxKeys'>;

interface ListedKeys {
  readonly keys: readonly string[];
  /** The `ContinuationToken` of the next ones; undefined where there are none. */
  readonly next: string | undefined;
}

interface ObjectHead extends Uploaded {
  /** Its keys are in lower case. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** What a request has, with all its tries, where no function's time ends. */
const REQUEST_MS = 60_000;
/** What the last of it has, which nothing waits for any longer. */
const LAST_MS = 2_000;
/** Each block is a request; small enough for two in the memory of a small function. */
const BLOCK_BYTES = 4 * 1024 * 1024;
const NOTHING = Buffer.alloc(0);
const NEVER = new AbortController().signal;

/**
 * The one reader and writer of a bucket's objects.
 *
 * What fails and may pass is tried again as long as there is time (see `tryUntil`): an answer that breaks off, or of
 * which nothing comes any more, just as one that does not come. A read rejects with the signal's reason when that
 * aborts, and with a StoreError where S3 fails, or has no such object (see `ifThere`).
 */
export function createObjects({
  client,
  bucket,
  clock = systemClock,
  random = Math.random,
  endMs,
}: ObjectsOptions) {
  const location = (key: string): string => `s3://${bucket}/${key}`;
  const shares = endMs === undefined ? undefined : sharesOf(endMs);
  const inTime = (): TryOptions => ({
    clock,
    random,
    untilMs: shares?.requestsMs ?? clock.now() + REQUEST_MS,
  });
  const lastly = async (work: (signal: AbortSignal, untilMs: number) => Promise<unknown>): Promise<void> => {
    using limit = follow(NEVER);
    const untilMs = Math.min(clock.now() + LAST_MS, shares?.cleaningUpMs ?? Infinity);
    const cancel = clock.after(untilMs - clock.now(), () => limit.abort());
    try {
      await work(limit.signal, untilMs);
    } catch {
      // There is nothing left to be done about it.
    } finally {
      cancel();
    }
  };
  // What is left is the bucket's lifecycle rule's.
  const cleanUp = (request: Try<unknown>): Promise<void> =>
    lastly((signal, untilMs) => tryUntil(request, signal, { clock, random, untilMs }));

  const read = async <T>(key: string, signal: AbortSignal, request: Try<T>): Promise<T> => {
    try {
      return await tryUntil(request, signal, inTime());
    } catch (error) {
      throw storeFailure(location(key), 'read', error, signal);
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
      return await read(key, signal, (abortSignal, goesOn) => getWhole(command, client, abortSignal, goesOn));
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
   * Reads an object of any size, from the byte `start` on, in blocks of 4 MiB: each is a read when it is asked for, and is held whole, so that
   * whoever takes them may take as long as he likes. Resolves once the first is there. Rejects, or throws later, as a
   * read does, also where the object has another ETag than the expected one, or changes in the meantime.
   */
  const stream = async (
    key: string,
    signal: AbortSignal,
    expectedEtag?: string,
    start = 0,
  ): Promise<AsyncGenerator<Buffer, void, undefined>> => {
    const blockAt = (from: number, IfMatch: string | undefined): Promise<ObjectBytes> =>
      get(key, signal, { Range: `bytes=${from}-${from + BLOCK_BYTES - 1}`, IfMatch });
    let { bytes, etag, totalBytes } = await blockAt(start, expectedEtag);
    return (async function* () {
      for (let from = start; from < totalBytes; ) {
        from += bytes.length;
        yield bytes;
        // Not held any longer while the next one comes.
        bytes = NOTHING;
        if (from < totalBytes) ({ bytes } = await blockAt(from, etag));
      }
    })();
  };

  /**
   * The keys that start with `prefix`, in the order of their bytes, without those that have a slash behind that: some of
   * them, from behind the key or the page that `from` names. Rejects as a read does.
   */
  const list = async (prefix: string, from: ListedFrom, signal: AbortSignal): Promise<ListedKeys> => {
    const command = new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, Delimiter: '/', ...from });
    const { Contents = [], NextContinuationToken } = await read(prefix, signal, (abortSignal) =>
      client.send(command, { abortSignal }),
    );
    return { keys: Contents.map(({ Key }) => String(Key)), next: NextContinuationToken };
  };

  return {
    location,
    get,
    head,
    stream,
    list,
    /** Does what may be left undone, while there is time for that, 2 s at most. Never rejects. */
    lastly: (work: (signal: AbortSignal) => Promise<unknown>): Promise<void> => lastly(work),
    /** See `upload`. */
    upload: (key: string, attributes: UploadAttributes, chunks: Chunks, signal: AbortSignal) =>
      upload({ client, inTime, cleanUp }, { Bucket: bucket, Key: key, ...attributes }, chunks, signal),
  };
}

async function getWhole(
  command: GetObjectCommand,
  client: S3Client,
  abortSignal: AbortSignal,
  goesOn: () => void,
): Promise<ObjectBytes> {
  const { Body, ETag, ContentRange, ContentLength } = await client.send(command, { abortSignal });
  // In Node, every answer to GetObject has one.
  const bytes = await bytesOf(Body as Readable, abortSignal, goesOn);
  const totalBytes = Number(ContentRange?.slice(ContentRange.indexOf('/') + 1) ?? ContentLength);
  // Every object has an ETag.
  return { bytes, etag: ETag as string, totalBytes };
}

async function bytesOf(body: Readable, signal: AbortSignal, goesOn: () => void): Promise<Buffer> {
  const chunks: Buffer[] = [];
  goesOn();
  try {
    for await (const chunk of addAbortSignal(signal, body)) {
      chunks.push(chunk);
      goesOn();
    }
  } catch (error) {
    throw new BrokenAnswer(wordsOf(error), { cause: error });
  }
  return Buffer.concat(chunks);
}
