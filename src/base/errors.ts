/*
 * Every error that a caller can meet. What has a `code` is matched by it, never by its message.
 *
 * Error
 * ├── BatchFetcherError                 the invocation fails
 * │   ├── ConfigError                   BAD_CONFIG              the environment: an operator has to mend it
 * │   ├── ConfigUnavailableError        CONFIG_UNAVAILABLE      it cannot be read now
 * │   ├── BadInputError                 BAD_INPUT               the event
 * │   │   ├── TooLargeError             TOO_LARGE               too many ids, too long a body
 * │   │   ├── UnsupportedMediaTypeError UNSUPPORTED_MEDIA_TYPE  a body that is not said to be plain JSON
 * │   │   ├── UnknownRouteError         UNKNOWN_ROUTE
 * │   │   └── MethodNotAllowedError     METHOD_NOT_ALLOWED
 * │   ├── RunConflictError              RUN_CONFLICT            the run id belongs to another batch
 * │   ├── IdempotencyKeyReusedError     IDEMPOTENCY_KEY_REUSED  so does the Idempotency-Key
 * │   ├── RunInProgressError            RUN_IN_PROGRESS         another invocation does the run; see claim.ts
 * │   ├── AsyncNotConfiguredError       ASYNC_NOT_CONFIGURED    nobody is named that a run could be handed over to
 * │   ├── HandoverError                 HANDOVER_FAILED         a run could not be handed over
 * │   ├── RunNotFoundError              RUN_NOT_FOUND           there is no such run to be read
 * │   ├── NoDocumentError               NO_DOCUMENT             there is, without the outcomes that are to be read
 * │   └── StoreError                    STORE_FAILED            S3 cannot be read or written
 * └── PostError                         a reason code           one post fails; see outcome.ts
 */

import { excerpt } from './excerpt.ts';

/** What makes an invocation fail. The messages are fit for a caller: no stack, no credentials, no policy text. */
export abstract class BatchFetcherError extends Error {
  abstract readonly code: string;
}

/** The environment, or what it names, lacks or misstates something; the message names all that is wrong. */
export class ConfigError extends BatchFetcherError {
  override readonly name = 'ConfigError';
  readonly code = 'BAD_CONFIG';
}

/** A part of the configuration could not be read for a reason that passes: the same invocation may succeed later. */
export class ConfigUnavailableError extends BatchFetcherError {
  override readonly name = 'ConfigUnavailableError';
  readonly code = 'CONFIG_UNAVAILABLE';
}

/** The event is not one that this function takes; nothing was fetched or written. */
export class BadInputError extends BatchFetcherError {
  override readonly name: string = 'BadInputError';
  readonly code: string = 'BAD_INPUT';
}

/** The batch has more ids, or the request more bytes, than are allowed. */
export class TooLargeError extends BadInputError {
  override readonly name = 'TooLargeError';
  override readonly code = 'TOO_LARGE';
}

/** The request's body is said to be something other than JSON, or to be encoded. */
export class UnsupportedMediaTypeError extends BadInputError {
  override readonly name = 'UnsupportedMediaTypeError';
  override readonly code = 'UNSUPPORTED_MEDIA_TYPE';
}

/** The API has no such route. */
export class UnknownRouteError extends BadInputError {
  override readonly name = 'UnknownRouteError';
  override readonly code = 'UNKNOWN_ROUTE';
}

/** The route does not take this method; `allow` is the value for the Allow header. */
export class MethodNotAllowedError extends BadInputError {
  override readonly name = 'MethodNotAllowedError';
  override readonly code = 'METHOD_NOT_ALLOWED';
  readonly allow: string;

  constructor(message: string, allow: string) {
    super(message);
    this.allow = allow;
  }
}

/** A document of the same run id exists, for other ids or another mode. */
export class RunConflictError extends BatchFetcherError {
  override readonly name = 'RunConflictError';
  readonly code = 'RUN_CONFLICT';
}

/** The same for an Idempotency-Key that was used for another request. */
export class IdempotencyKeyReusedError extends BatchFetcherError {
  override readonly name = 'IdempotencyKeyReusedError';
  readonly code = 'IDEMPOTENCY_KEY_REUSED';
}

/** A run is to go on elsewhere, and no variable says where. */
export class AsyncNotConfiguredError extends BatchFetcherError {
  override readonly name = 'AsyncNotConfiguredError';
  readonly code = 'ASYNC_NOT_CONFIGURED';
}

/** A run could not be handed over to whoever is to do it; `cause` is the SDK's error. */
export class HandoverError extends BatchFetcherError {
  override readonly name = 'HandoverError';
  readonly code = 'HANDOVER_FAILED';
}

/** Nothing is kept of a run of this id. */
export class RunNotFoundError extends BatchFetcherError {
  override readonly name = 'RunNotFoundError';
  readonly code = 'RUN_NOT_FOUND';
}

/** A run has no document of its own: it failed, or its parts have theirs. */
export class NoDocumentError extends BatchFetcherError {
  override readonly name = 'NoDocumentError';
  readonly code = 'NO_DOCUMENT';
}

/** S3 could not be read or written, after its retries; `cause` is the SDK's error. */
export class StoreError extends BatchFetcherError {
  override readonly name = 'StoreError';
  readonly code = 'STORE_FAILED';
}

/** The error of a value that is not what it should be: where, what was expected, what came. */
export function badInput(path: string, expected: string, got: unknown): BadInputError {
  return new BadInputError(expectation(path, expected, got));
}

/** `` Expected `ids[2]` to be …, got {"a":1} ``, with what came shortened; see `excerpt`. */
export function expectation(path: string, expected: string, got: unknown): string {
  return `Expected \`${path}\` to be ${expected}, got ${excerpt(got)}`;
}
