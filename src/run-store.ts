import { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  GetObjectCommand,
  type GetObjectCommandOutput,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { type RunReport, readReport } from './document.ts';
import { RunConflictError, StoreError } from './errors.ts';

/** A run whose document is in the store. */
interface StoredRun extends RunReport {
  readonly documentBytes: number;
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
   * Writes a document as it comes, unless there is one already: resolves with whether it did. When `chunks` throws,
   * rejects with that very error. When S3 fails, aborts `stopping`, and rejects with StoreError once `chunks` has
   * ended. When `stopping` is aborted, gives up and rejects with its reason. Leaves no parts behind.
   */
  write(runId: string, chunks: AsyncIterable<Buffer>, stopping: AbortController): Promise<boolean>;
}

export interface RunStoreOptions {
  readonly client: S3Client;
  readonly bucket: string;
  readonly prefix: string;
}

const PART_BYTES = 5 * 1024 * 1024;
/** One: while a part is sent, fetches go on into the reorder window. Each more would hold 10 MiB (docs/adr/0003). */
const PARTS_IN_FLIGHT = 1;
/** What is not cleaned up by then is left to the bucket's lifecycle rule. */
const CLEANUP_TIMEOUT_MS = 2_000;
const HEAD_BYTES = 16_384;
const TAIL_BYTES = 65_536;

/** An S3 client with timeouts that a function can live with, which also tries again when a conditional write races. */
export function createS3Client(config: S3ClientConfig = {}): S3Client {
  const client = new S3Client({
    maxAttempts: 5,
    requestHandler: { connectionTimeout: 2_000, requestTimeout: 20_000, throwOnRequestTimeout: true },
    ...config,
  });
  client.middlewareStack.addRelativeTo(markConflictRetryable, {
    name: 'markConflictRetryable',
    relation: 'after',
    toMiddleware: 'retryMiddleware',
  });
  return client;
}

/** A store in an S3 bucket: the document of a run is `<prefix><runId>.json`. */
export function createRunStore({ client, bucket, prefix }: RunStoreOptions): RunStore {
  const objectOf = (runId: string) => ({ Bucket: bucket, Key: `${prefix}${runId}.json` });
  const location = (runId: string): string => `s3://${bucket}/${objectOf(runId).Key}`;
  const failed = (verb: string, runId: string, error: unknown, signal: AbortSignal): unknown =>
    signal.aborted
      ? signal.reason
      : new StoreError(`${location(runId)} could not be ${verb}: ${errorName(error)}`, { cause: error });

  const get = async (
    runId: string,
    abortSignal: AbortSignal,
    range?: string,
  ): Promise<{ text: string; totalBytes: number }> => {
    const command = new GetObjectCommand({ ...objectOf(runId), Range: range });
    const output = await client.send(command, { abortSignal });
    const text = (await output.Body?.transformToString()) ?? '';
    return { text, totalBytes: totalBytes(output) };
  };

  const find = async (runId: string, signal: AbortSignal): Promise<StoredRun | undefined> => {
    try {
      for (let bytes = TAIL_BYTES; ; bytes *= 8) {
        const { text: tail, totalBytes } = await get(runId, signal, `bytes=-${bytes}`);
        const isWhole = totalBytes <= bytes;
        const head = isWhole ? tail : (await get(runId, signal, `bytes=0-${HEAD_BYTES - 1}`)).text;
        const report = readReport(head, tail);
        if (report) return { ...report, documentBytes: totalBytes };
        if (isWhole) break;
      }
    } catch (error) {
      if (errorName(error) === 'NoSuchKey') return undefined;
      // S3 has no last bytes of an object that is empty.
      if (errorName(error) !== 'InvalidRange') throw failed('read', runId, error, signal);
    }
    throw new RunConflictError(`${location(runId)} exists, and is no document of a run`);
  };

  const write = async (
    runId: string,
    chunks: AsyncIterable<Buffer>,
    stopping: AbortController,
  ): Promise<boolean> => {
    let failure: { readonly error: unknown } | undefined;
    const body = Readable.from(
      watch(chunks, (error) => (failure ??= { error })),
      { objectMode: false },
    );
    const send: S3Client['send'] = async (command: Parameters<S3Client['send']>[0]) => {
      try {
        // Parts that are to be cleaned up are, even when all else is to stop.
        const isCleanup = command instanceof AbortMultipartUploadCommand;
        const abortSignal = isCleanup ? AbortSignal.timeout(CLEANUP_TIMEOUT_MS) : stopping.signal;
        return await client.send(command, { abortSignal });
      } catch (error) {
        failure ??= { error: failed('written', runId, error, stopping.signal) };
        // The other parts would be filled, sent and thrown away.
        stopping.abort(failure.error);
        throw error;
      }
    };
    const upload = new Upload({
      // All that Upload uses of a client; its own `abort` does not wait until the parts are gone.
      client: { config: client.config, send } as S3Client,
      params: { ...objectOf(runId), Body: body, ContentType: 'application/json', IfNoneMatch: '*' },
      partSize: PART_BYTES,
      queueSize: PARTS_IN_FLIGHT,
    });
    try {
      await upload.done();
      return true;
    } catch (error) {
      // What came first is why it failed: the last may be from cleaning up.
      const { error: reason } = failure ?? { error: failed('written', runId, error, stopping.signal) };
      stopping.abort(reason);
      if (reason instanceof StoreError && isAlreadyThere(reason.cause)) return false;
      throw reason;
    } finally {
      body.destroy();
      // Not `once(…)` of node:events: a stream that was destroyed early has an AbortError to tell before it closes.
      if (!body.closed) await new Promise((resolve) => body.once('close', resolve));
    }
  };

  const read = async (runId: string, signal: AbortSignal): Promise<string> => {
    try {
      return (await get(runId, signal)).text;
    } catch (error) {
      throw failed('read', runId, error, signal);
    }
  };

  return { location, find, read, write };
}

/** S3 asks for conditional writes that ran into each other to be sent again; the SDK does not know that. */
function markConflictRetryable<Input, Output>(next: (input: Input) => Promise<Output>) {
  return async (input: Input): Promise<Output> => {
    try {
      return await next(input);
    } catch (error) {
      if (errorName(error) === 'ConditionalRequestConflict')
        Object.assign(error as Error, { $retryable: {} });
      throw error;
    }
  };
}

async function* watch(
  chunks: AsyncIterable<Buffer>,
  onError: (error: unknown) => void,
): AsyncGenerator<Buffer> {
  try {
    yield* chunks;
  } catch (error) {
    onError(error);
    throw error;
  }
}

/** Whether a document stands there already: another's, or our own whose answer was lost and that was sent again. */
function isAlreadyThere(error: unknown): boolean {
  return ['PreconditionFailed', 'ConditionalRequestConflict', 'NoSuchUpload'].includes(errorName(error));
}

function totalBytes({ ContentRange, ContentLength }: GetObjectCommandOutput): number {
  return Number(ContentRange?.slice(ContentRange.indexOf('/') + 1) ?? ContentLength);
}

/** The name that S3 gave its error, or the system's code where S3 did not answer: the SDK calls a reset a timeout. */
function errorName(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
