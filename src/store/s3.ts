import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { StoreError } from '../base/errors.ts';

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

/** A read that took too long. Its message says what S3 did. */
export class ReadTimeout extends Error {
  override readonly name = 'ReadTimeout';
  readonly code = 'ETIMEDOUT';
}

/**
 * What a request of S3 fails with: the reason of its signal where that has aborted, else a StoreError that names the
 * object and why.
 */
export function storeFailure(
  location: string,
  verb: 'read' | 'written',
  error: unknown,
  signal: AbortSignal,
): unknown {
  if (signal.aborted) return signal.reason;
  const why = error instanceof ReadTimeout ? error.message : s3ErrorName(error);
  return new StoreError(`${location} could not be ${verb}: ${why}`, { cause: error });
}

/** Whether an error is what `storeFailure` makes of an error that S3 gave one of these names. */
export function failedWith(error: unknown, ...names: readonly string[]): boolean {
  return error instanceof StoreError && names.includes(s3ErrorName(error.cause));
}

/** Settles as `read` does, with undefined where there is no such object. */
export function ifThere<T>(read: Promise<T>): Promise<T | undefined> {
  return undefinedOn(read, 'NoSuchKey', 'NotFound');
}

/**
 * Settles as `write` does, with undefined where its condition failed because of what stands there already: another's
 * object, or our own, whose answer was lost and which was sent again.
 */
export function unlessThere<T>(write: Promise<T>): Promise<T | undefined> {
  return undefinedOn(write, 'PreconditionFailed', 'ConditionalRequestConflict', 'NoSuchUpload');
}

async function undefinedOn<T>(request: Promise<T>, ...names: readonly string[]): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (failedWith(error, ...names)) return undefined;
    throw error;
  }
}

/** The name that S3 gave its error, or the system's code where S3 did not answer: the SDK calls a reset a timeout. */
function s3ErrorName(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}

/** S3 asks for conditional writes that ran into each other to be sent again; the SDK does not know that. */
function markConflictRetryable<Input, Output>(next: (input: Input) => Promise<Output>) {
  return async (input: Input): Promise<Output> => {
    try {
      return await next(input);
    } catch (error) {
      if (s3ErrorName(error) === 'ConditionalRequestConflict')
        Object.assign(error as Error, { $retryable: {} });
      throw error;
    }
  };
}
