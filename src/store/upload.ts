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
import { StoreError } from '../base/errors.ts';
import { storeFailure, unlessThere } from './s3.ts';

/** What an object is to be besides its bytes, and on what condition it is written. */
export type UploadAttributes = Pick<
  PutObjectCommandInput,
  'ContentType' | 'IfMatch' | 'IfNoneMatch' | 'Metadata'
>;

interface UploadTarget extends UploadAttributes {
  readonly Bucket: string;
  readonly Key: string;
}

/** An object that was written. */
export interface Uploaded {
  readonly etag: string;
  readonly bytes: number;
}

/** The least that S3 takes, but for the last. */
export const UPLOAD_PART_BYTES = 5 * 1024 * 1024;
/** What is not cleaned up by then is left to the bucket's lifecycle rule. */
const CLEANUP_TIMEOUT_MS = 2_000;

/**
 * Writes an object as its bytes come: with one PutObject, or in upload parts of 5 MiB where there are more. While one
 * is sent, the next one fills, and then its source waits: two are held, whatever the size (docs/adr/0003-memory.md).
 * Resolves with undefined where the target's condition does not hold (see `unlessThere`).
 *
 * Rejects with the very error that `chunks` throws, with a StoreError when S3 fails, and with the signal's reason when
 * that aborts. Does so as soon as no request is in flight and no upload part is left behind: `chunks` is told to
 * return, but is not waited for.
 */
export async function upload(
  client: S3Client,
  target: UploadTarget,
  chunks: Chunks,
  signal: AbortSignal,
): Promise<Uploaded | undefined> {
  using stopping = follow(signal);
  const location = `s3://${target.Bucket}/${target.Key}`;
  const send: Send = async (command: Parameters<Send>[0]) => {
    try {
      return await client.send(command, { abortSignal: stopping.signal });
    } catch (error) {
      throw storeFailure(location, 'written', error, signal);
    }
  };
  const parts = partsOf(chunks);
  try {
    return await unlessThere(sendAll({ client, send, target, location, stopping }, parts));
  } finally {
    parts.return().catch(() => {});
  }
}

export type Chunks = AsyncIterable<Buffer> | Iterable<Buffer>;

/** Rejects with a StoreError, or with the reason of what is to stop. */
type Send = S3Client['send'];

interface UploadPorts {
  readonly client: S3Client;
  readonly send: Send;
  readonly target: UploadTarget;
  readonly location: string;
  /** Ends the requests of this upload, and of nobody else. */
  readonly stopping: AbortController;
}

async function sendAll(ports: UploadPorts, parts: UploadParts): Promise<Uploaded> {
  const { send, target, stopping } = ports;
  const first = await nextOf(parts, stopping.signal);
  if (!first.isLast) return sendInParts(ports, first, parts);
  const { ETag } = await send(new PutObjectCommand({ ...target, Body: first.bytes }));
  // Every object has one.
  return { etag: ETag as string, bytes: first.bytes.length };
}

async function sendInParts(
  { client, send, target, location, stopping }: UploadPorts,
  first: UploadPart,
  parts: UploadParts,
): Promise<Uploaded> {
  const { Bucket, Key, IfMatch, IfNoneMatch, ...attributes } = target;
  // Each part has one by the client's own doing, unless AWS_REQUEST_CHECKSUM_CALCULATION says otherwise.
  const hasChecksums = (await client.config.requestChecksumCalculation()) === 'WHEN_SUPPORTED';
  const algorithm = hasChecksums ? { ChecksumAlgorithm: 'CRC32' as const } : {};
  const create = new CreateMultipartUploadCommand({ Bucket, Key, ...attributes, ...algorithm });
  const { UploadId } = await send(create);
  const place = { Bucket, Key, UploadId };
  const sendPart = async (PartNumber: number, Body: Buffer): Promise<CompletedPart> => {
    const { ETag, ChecksumCRC32 } = await send(new UploadPartCommand({ ...place, PartNumber, Body }));
    if (ETag !== undefined) return { PartNumber, ETag, ChecksumCRC32 };
    throw new StoreError(`${location} could not be written: S3 gave no ETag for part ${PartNumber}`);
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
    const { ETag } = await send(new CompleteMultipartUploadCommand({ ...place, ...conditions }));
    return { etag: ETag as string, bytes };
  } catch (error) {
    // S3 may keep an upload part that is still on its way when the upload is aborted.
    stopping.abort(error);
    await sending?.catch(() => {});
    const abortSignal = AbortSignal.timeout(CLEANUP_TIMEOUT_MS);
    await client.send(new AbortMultipartUploadCommand(place), { abortSignal }).catch(() => {});
    throw error;
  }
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
