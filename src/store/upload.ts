import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { follow, onAbort } from '../base/abort.ts';
import { BrokenAnswer, storeFailure, unlessThere } from './s3-error.ts';
import { type Try, type TryOptions, tryUntil } from './tries.ts';

/** What an object is to be besides its bytes, and on what condition it is written. */
export type UploadAttributes = Pick<
  PutObjectCommandInput,
  'ContentEncoding' | 'ContentType' | 'IfMatch' | 'IfNoneMatch' | 'Metadata'
>;

interface UploadTarget extends UploadAttributes {
  readonly Bucket: string;
  readonly Key: string;
}

/** What an upload needs of the world. */
interface UploadWorld {
  readonly client: S3Client;
  /** How long a request that is made now may be tried. */
  readonly inTime: () => TryOptions;
  /** Makes a request that cleans up, as long as there is time for that. Never rejects. */
  readonly cleanUp: (request: Try<unknown>) => Promise<void>;
}

/** An object that was written. */
export interface Uploaded {
  readonly etag: string;
  readonly bytes: number;
}

/** The least that S3 takes, but for the last. */
export const UPLOAD_PART_BYTES = 5 * 1024 * 1024;

/**
 * Writes an object as its bytes come: with one PutObject, or in upload parts of 5 MiB where there are more. While one
 * is sent, the next one fills, and then its source waits: two are held, whatever the size (docs/adr/0003-memory.md).
 * Resolves with undefined where the target's condition does not hold (see `unlessThere`).
 *
 * Each request is made again as `tryUntil` says. Rejects with the very error that `chunks` throws, with a StoreError
 * when S3 fails, and with the signal's reason when that aborts: as soon as no request is in flight and no upload part is
 * left behind. `chunks` is told to return, but is not waited for.
 */
export async function upload(
  world: UploadWorld,
  { IfMatch, ...given }: UploadTarget,
  chunks: Chunks,
  signal: AbortSignal,
): Promise<Uploaded | undefined> {
  using stopping = follow(signal);
  const location = `s3://${given.Bucket}/${given.Key}`;
  // Ceph's gateway takes the ETag for a PutObject only without its quotes, and all others take it either way.
  const target = { ...given, IfMatch: IfMatch?.replaceAll('"', '') };
  const send: Send = async (request) => {
    try {
      return await tryUntil(request, stopping.signal, world.inTime());
    } catch (error) {
      throw storeFailure(location, 'written', error, signal);
    }
  };
  const parts = partsOf(chunks);
  try {
    return await unlessThere(sendAll({ ...world, send, target, stopping }, parts));
  } finally {
    parts.return().catch(() => {});
  }
}

export type Chunks = AsyncIterable<Buffer> | Iterable<Buffer>;

/** Rejects with a StoreError, or with the reason of what is to stop. */
type Send = <T>(request: (abortSignal: AbortSignal) => Promise<T>) => Promise<T>;

interface UploadPorts extends UploadWorld {
  readonly send: Send;
  readonly target: UploadTarget;
  /** Ends the requests of this upload, and of nobody else. */
  readonly stopping: AbortController;
}

async function sendAll(ports: UploadPorts, parts: UploadParts): Promise<Uploaded> {
  const { client, send, target, stopping } = ports;
  const first = await nextOf(parts, stopping.signal);
  if (!first.isLast) return sendInParts(ports, first, parts);
  const put = new PutObjectCommand({ ...target, Body: first.bytes });
  const etag = await send(async (abortSignal) => etagOf(await client.send(put, { abortSignal })));
  return { etag, bytes: first.bytes.length };
}

async function sendInParts(
  { client, send, target, stopping, cleanUp }: UploadPorts,
  first: UploadPart,
  parts: UploadParts,
): Promise<Uploaded> {
  const { Bucket, Key, IfMatch, IfNoneMatch, ...attributes } = target;
  // Each part has one by the client's own doing, unless AWS_REQUEST_CHECKSUM_CALCULATION says otherwise.
  const hasChecksums = (await client.config.requestChecksumCalculation()) === 'WHEN_SUPPORTED';
  const algorithm = hasChecksums ? { ChecksumAlgorithm: 'CRC32' as const } : {};
  const create = new CreateMultipartUploadCommand({ Bucket, Key, ...attributes, ...algorithm });
  const { UploadId } = await send((abortSignal) => client.send(create, { abortSignal }));
  const place = { Bucket, Key, UploadId };
  const sendPart = async (PartNumber: number, Body: Buffer): Promise<CompletedPart> => {
    const command = new UploadPartCommand({ ...place, PartNumber, Body });
    return send(async (abortSignal) => {
      const output = await client.send(command, { abortSignal });
      return { PartNumber, ETag: etagOf(output), ChecksumCRC32: output.ChecksumCRC32 };
    });
  };
  const sent: CompletedPart[] = [];
  let bytes = 0;
  let sending: Promise<CompletedPart> | undefined;
  try {
    for (let part: UploadPart | undefined = first; part; ) {
      bytes += part.bytes.length;
      sending = sendPart(sent.length + 1, part.bytes);
      const filling: Promise<UploadPart> | undefined = part.isLast
        ? undefined
        : nextOf(parts, stopping.signal);
      sent.push((await Promise.all([sending, filling]))[0]);
      part = await filling;
    }
    const conditions = { IfMatch, IfNoneMatch, MultipartUpload: { Parts: sent } };
    const complete = new CompleteMultipartUploadCommand({ ...place, ...conditions });
    const etag = await send(async (abortSignal) => etagOf(await client.send(complete, { abortSignal })));
    return { etag, bytes };
  } catch (error) {
    // S3 may keep an upload part that is still on its way when the upload is aborted.
    stopping.abort(error);
    await sending?.catch(() => {});
    const abort = new AbortMultipartUploadCommand(place);
    await cleanUp((abortSignal) => client.send(abort, { abortSignal }));
    throw error;
  }
}

/** Whatever is written has one: an answer without it is none of S3's, whatever its status says. */
function etagOf({ ETag }: { readonly ETag?: string | undefined }): string {
  if (ETag === undefined) throw new BrokenAnswer('S3 gave no ETag');
  return ETag;
}

/** Bytes of an object, from where the last ones ended. They are there until the next but one are asked for. */
interface UploadPart {
  readonly bytes: Buffer;
  readonly isLast: boolean;
}

type UploadParts = AsyncGenerator<UploadPart, void, undefined>;

async function* partsOf(chunks: Chunks): UploadParts {
  // In turns: new memory costs more than what is copied into it.
  const buffers: Buffer[] = [];
  let length = 0;
  let index = 0;
  const current = (): Buffer => (buffers[index % 2] ??= Buffer.allocUnsafeSlow(UPLOAD_PART_BYTES));
  for await (const chunk of chunks) {
    for (let from = 0; from < chunk.length; ) {
      if (length === UPLOAD_PART_BYTES) {
        yield { bytes: current(), isLast: false };
        index += 1;
        length = 0;
      }
      const copied = chunk.copy(current(), length, from);
      from += copied;
      length += copied;
    }
  }
  yield { bytes: current().subarray(0, length), isLast: true };
}

/** To be called until the last one, and no more. Rejects with the reason of `signal` as soon as that aborts. */
async function nextOf(parts: UploadParts, signal: AbortSignal): Promise<UploadPart> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const stopListening = onAbort(signal, () => reject(signal.reason));
  try {
    return (await Promise.race([parts.next(), aborted])).value as UploadPart;
  } finally {
    stopListening();
  }
}
