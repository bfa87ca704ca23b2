import { expect, test } from 'vitest';
import {
  BadInputError,
  BatchFetcherError,
  badInput,
  ConfigError,
  ConfigUnavailableError,
  expectation,
  IdempotencyKeyReusedError,
  MethodNotAllowedError,
  RunConflictError,
  StoreError,
  TooLargeError,
  UnknownRouteError,
  UnsupportedMediaTypeError,
} from '../../../src/base/errors.ts';

test.each([
  [new ConfigError('m'), 'ConfigError', 'BAD_CONFIG', false],
  [new ConfigUnavailableError('m'), 'ConfigUnavailableError', 'CONFIG_UNAVAILABLE', false],
  [new BadInputError('m'), 'BadInputError', 'BAD_INPUT', true],
  [new TooLargeError('m'), 'TooLargeError', 'TOO_LARGE', true],
  [new UnsupportedMediaTypeError('m'), 'UnsupportedMediaTypeError', 'UNSUPPORTED_MEDIA_TYPE', true],
  [new UnknownRouteError('m'), 'UnknownRouteError', 'UNKNOWN_ROUTE', true],
  [new MethodNotAllowedError('m', 'GET'), 'MethodNotAllowedError', 'METHOD_NOT_ALLOWED', true],
  [new RunConflictError('m'), 'RunConflictError', 'RUN_CONFLICT', false],
  [new IdempotencyKeyReusedError('m'), 'IdempotencyKeyReusedError', 'IDEMPOTENCY_KEY_REUSED', false],
  [new StoreError('m'), 'StoreError', 'STORE_FAILED', false],
])(
  '%s has a name and a code that stay, and stands at its place in the tree',
  (error, name, code, isBadInput) => {
    expect(error).toBeInstanceOf(Error);
    expect(error).toBeInstanceOf(BatchFetcherError);
    expect(error instanceof BadInputError).toBe(isBadInput);
    expect([error.name, error.code, error.message, String(error)]).toStrictEqual([
      name,
      code,
      'm',
      `${name}: m`,
    ]);
  },
);

test('an error keeps its cause', () => {
  const cause = new Error('AccessDenied');
  expect(new StoreError('m', { cause }).cause).toBe(cause);
});

test('a method that is not allowed comes with those that are', () => {
  expect(new MethodNotAllowedError('m', 'GET, POST').allow).toBe('GET, POST');
});

test('bad input says where it is, what was expected and what came', () => {
  expect(badInput('ids[2]', 'a positive integer or a slug', { a: 1 })).toStrictEqual(
    new BadInputError('Expected `ids[2]` to be a positive integer or a slug, got {"a":1}'),
  );
});

test('what came is shortened', () => {
  expect(expectation('key', 'something else', 'x'.repeat(10_000_000))).toBe(
    `Expected \`key\` to be something else, got "${'x'.repeat(80)}…"`,
  );
});
