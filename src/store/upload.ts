import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  type S3Client,
  UploadPartCommand,
  type UploadPartCommandInput,
} from '@aws-sdk/client-s3';
import { StoreError } from '../base/errors.ts';
import { isAlreadyThere, storeFailure } from './s3.ts';

/** An object that is to be written, and on what condition. */
export type UploadTarget = Pick<
  PutObjectCommandInput,
  'ContentType' | 'IfMatch' | 'IfNoneMatch' | 'Metadata'
> & {
  readonly Bucket: string;
  readonly Key: string;
};

/** The least that S3 takes, but for the last. */
const PART_BYTES = 5 * 1024 * 1024;
/** What is not cleaned up by then is left to the bucket's lifecycle rule. */
const CLEANUP_TIMEOUT_MS = 2_000;

/**
 * Writes an object as its bytes come: with one PutObject, or in parts of 5 MiB where there are more. While a part is
 * sent, the next one fills, and then its source waits: two are held, whatever the size (docs/adr/0003-memory.md).
 * Resolves with the object's ETag; with undefined, and `stopping` aborted, where the target's condition does not hold.
 *
 * When `chunks` throws, rejects with that very error, and with a StoreError when S3 fails. Aborts `stopping` with
 * either, so that the source stops, and rejects once it has ended. When `stopping` is aborted by others, gives up
 * and rejects with its reason. Leaves no parts behind.
 */
export async function upload(
  client: S3Client,
  target: UploadTarget,
  chunks: AsyncIterable<Buffer>,
  stopping: AbortController,
): Promise<string | undefined> {
  const location = `s3://${target.Bucket}/${target.Key}`;
  const send: Send = async (command: Parameters<Send>[0]) => {
    try {
      return await client.send(command, { abortSignal: stopping.signal });
    } catch (error) {
      throw storeFailure(location, 'written', error, stopping.signal);
    }
  };
  const parts = partsOf(chunks);
  try {
    const first = await nextOf(parts);
    if (!first.isLast) return await uploadParts({ client, send, target, location, stopping }, first, parts);
    const { ETag } = await send(new PutObjectCommand({ ...target, Body: first.bytes }));
    return ETag;
  } catch (error) {
    stopping.abort(error);
    if (error instanceof StoreError && isAlreadyThere(error.cause)) return undefined;
    throw error;
  } finally {
    await parts.return();
  }
}

/** Rejects with a StoreError, or with the reason of what is to stop. */
type Send = S3Client['send'];

interface UploadPorts {
  readonly client: S3Client;
  readonly send: Send;
  readonly target: UploadTarget;
  readonly location: string;
  readonly stopping: AbortController;
}

async function uploadParts(ports: UploadPorts, first: Part, parts: Parts): Promise<string | undefined> {
  const { client, send } = ports;
  const { Bucket, Key, IfMatch, IfNoneMatch, ...attributes } = ports.target;
  // Each part has one by the client's own doing, unless AWS_REQUEST_CHECKSUM_CALCULATION says otherwise.
  const hasChecksums = (await client.config.requestChecksumCalculation()) === 'WHEN_SUPPORTED';
  const algorithm = hasChecksums ? { ChecksumAlgorithm: 'CRC32' as const } : {};
  const create = new CreateMultipartUploadCommand({ Bucket, Key, ...attributes, ...algorithm });
  const { UploadId } = await send(create);
  const place = { Bucket, Key, UploadId };
  try {
    const Parts = await sendParts(place, first, parts, ports);
    const conditions = { IfMatch, IfNoneMatch };
    const complete = new CompleteMultipartUploadCommand({
      ...place,
      ...conditions,
      MultipartUpload: { Parts },
    });
    return (await send(complete)).ETag;
  } catch (error) {
    const abortSignal = AbortSignal.timeout(CLEANUP_TIMEOUT_MS);
    await client.send(new AbortMultipartUploadCommand(place), { abortSignal }).catch(() => {});
    throw error;
  }
}

async function sendParts(
  place: Pick<UploadPartCommandInput, 'Bucket' | 'Key' | 'UploadId'>,
  first: Part,
  parts: Parts,
  { send, location, stopping }: UploadPorts,
): Promise<CompletedPart[]> {
  const sendPart = async (PartNumber: number, Body: Buffer): Promise<CompletedPart> => {
    const { ETag, ChecksumCRC32 } = await send(new UploadPartCommand({ ...place, PartNumber, Body }));
    if (ETag !== undefined) return { PartNumber, ETag, ChecksumCRC32 };
    throw new StoreError(`${location} could not be written: S3 gave no ETag for part ${PartNumber}`);
  };
  const sent: CompletedPart[] = [];
  for (let part: Part | undefined = first; part; ) {
    const sending = sendPart(sent.length + 1, part.bytes);
    const filling: Promise<Part> | undefined = part.isLast ? undefined : nextOf(parts);
    try {
      const [completed, next]: [CompletedPart, Part | undefined] = await Promise.all([sending, filling]);
      sent.push(completed);
      part = next;
    } catch (error) {
      stopping.abort(error);
      // S3 may keep a part that is still on its way when the upload is aborted.
      await sending.catch(() => {});
      throw error;
    }
  }
  return sent;
}

/** Bytes of an object, from where the last part ended. They are there until the next part but one is asked for. */
interface Part {
  readonly bytes: Buffer;
  readonly isLast: boolean;
}

type Parts = AsyncGenerator<Part, void, undefined>;

async function* partsOf(chunks: AsyncIterable<Buffer>): Parts {
  // In turns: new memory costs more than what is copied into it.
  const buffers: Buffer[] = [];
  let length = 0;
  let index = 0;
  const current = (): Buffer => (buffers[index % 2] ??= Buffer.allocUnsafeSlow(PART_BYTES));
  for await (const chunk of chunks) {
    for (let from = 0; from < chunk.length; ) {
      if (length === PART_BYTES) {
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

/** To be called until the last one, and no more. */
async function nextOf(parts: Parts): Promise<Part> {
  return (await parts.next()).value as Part;
}
