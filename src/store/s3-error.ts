import { StoreError } from '../base/errors.ts';
import { shortenInside } from '../base/excerpt.ts';

/** What S3 did that is worth another try. The message says it, and is fit for a caller. */
export class BrokenAnswer extends Error {
  override readonly name = 'BrokenAnswer';
}

/** What may be known of an error that the SDK, or the system behind it, throws. */
interface S3Failure {
  readonly name?: unknown;
  readonly message?: unknown;
  /** S3's own name for the error: of an answer in its XML. */
  readonly Code?: unknown;
  /** The system's. */
  readonly code?: unknown;
  readonly hostname?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number; readonly clockSkewCorrected?: boolean };
}

/** What a status says where no error in XML comes with it: of a HEAD, or of a store that is short of words. */
const CODES_BY_STATUS: Readonly<Record<number, string>> = {
  404: 'NotFound',
  409: 'ConditionalRequestConflict',
  412: 'PreconditionFailed',
  416: 'InvalidRange',
};

/** Two writes that ran into each other, which S3 asks to be sent again. */
const CONFLICTS = ['ConditionalRequestConflict', 'OperationAborted'];

/** Others of the like, whose statuses do not say so. */
const PASSING_CODES: ReadonlySet<unknown> = new Set([
  ...CONFLICTS,
  'IncompleteBody',
  'PriorRequestNotComplete',
  'RequestLimitExceeded',
  'RequestTimeout',
  'Throttling',
  'ThrottlingException',
]);
/** Codes of the system, and of Node's parser of HTTP. The one that is left out: TLS where there is none, say. */
const PASSING_SYSTEM_CODE = /^(?!EPROTO$)(E[A-Z]+|EAI_AGAIN|HPE_[A-Z_]+)$/;
const NOT_IMPLEMENTED = 501;

/** Whether the same request may well do better in a moment. */
export function isPassing(error: unknown): boolean {
  if (error instanceof BrokenAnswer) return true;
  const { name, code, $metadata } = failureOf(error);
  const status = $metadata?.httpStatusCode;
  if ($metadata?.clockSkewCorrected || PASSING_CODES.has(codeOf(error))) return true;
  // A good status with what cannot be read is an answer that broke off.
  if (status !== undefined)
    return status < 300 || status === 408 || status === 429 || (status >= 500 && status !== NOT_IMPLEMENTED);
  return name === 'TimeoutError' || PASSING_SYSTEM_CODE.test(String(code));
}

/** Whether the host has no address: it may be misspelt, or have yet to start. */
export function isUnknownHost(error: unknown): boolean {
  return failureOf(error).code === 'ENOTFOUND';
}

/** What an SDK says of its own settings, which it has no codes for, in words that quote none of them. */
const SETTINGS: readonly (readonly [pattern: RegExp, words: string])[] = [
  [/^Region is missing/, 'there is no region (AWS_REGION)'],
  [/^Region not accepted/, 'the region is none (AWS_REGION)'],
  [/^Invalid URL|was not a valid URI$/, 'the endpoint is no URL (AWS_ENDPOINT_URL_S3)'],
  [/^Checksum mismatch/, 'what came does not have the checksum that was announced'],
];

/** Why a request failed, in a few words that are fit for a caller: no part of an answer, and nothing of a policy. */
export function wordsOf(error: unknown): string {
  if (error instanceof BrokenAnswer) return error.message;
  const { name, message, code, hostname, $metadata } = failureOf(error);
  const s3Code = s3CodeOf(error);
  if (s3Code !== undefined) return s3Code;
  const status = $metadata?.httpStatusCode;
  if (status !== undefined) return `HTTP status ${status} without an error of S3's`;
  const setting = SETTINGS.find(([pattern]) => pattern.test(String(message)));
  if (setting) return setting[1];
  // The SDK calls a reset a timeout as well.
  if (typeof code === 'string') return typeof hostname === 'string' ? `${code} ${hostname}` : code;
  return name === 'TimeoutError' ? 'no connection came about in time' : String(name ?? error);
}

/** A caller may name a key of 1,024 bytes: no error has so many. */
const LOCATION_END_CHARS = 100;

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
  // Whoever reads names the object that was found first.
  const isReplaced = verb === 'read' && codeOf(error) === 'PreconditionFailed';
  const why = isReplaced ? 'it was replaced in the meantime' : wordsOf(error);
  return new StoreError(`${shortenInside(location, LOCATION_END_CHARS)} could not be ${verb}: ${why}`, {
    cause: error,
  });
}

/** Whether an error is what `storeFailure` makes of an error that S3 gave one of these names. */
export function failedWith(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof StoreError && codes.includes(codeOf(error.cause) ?? '');
}

/**
 * Settles as `read` does, with undefined where there is no such object. S3 says so by name, but to a HEAD, whose answer
 * has no body: `code` is `NotFound` there. (What answers 404 to a GET without a name is no S3.)
 */
export function ifThere<T>(
  read: Promise<T>,
  code: 'NoSuchKey' | 'NotFound' = 'NoSuchKey',
): Promise<T | undefined> {
  return undefinedOn(read, code);
}

/**
 * Settles as `write` does, with undefined where its condition failed because of what stands there already: another's
 * object, or our own, whose answer was lost and which was sent again.
 */
export function unlessThere<T>(write: Promise<T>): Promise<T | undefined> {
  return undefinedOn(write, 'PreconditionFailed', 'NoSuchUpload', ...CONFLICTS);
}

async function undefinedOn<T>(request: Promise<T>, ...codes: readonly string[]): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (failedWith(error, ...codes)) return undefined;
    throw error;
  }
}

function codeOf(error: unknown): string | undefined {
  const s3Code = s3CodeOf(error);
  if (s3Code !== undefined) return s3Code;
  return CODES_BY_STATUS[failureOf(error).$metadata?.httpStatusCode ?? 0];
}

function s3CodeOf(error: unknown): string | undefined {
  // Whoever answers may call anything so.
  return /^\w{1,64}$/.exec(String(failureOf(error).Code ?? ''))?.[0];
}

function failureOf(error: unknown): S3Failure {
  return Object(error) as S3Failure;
}
