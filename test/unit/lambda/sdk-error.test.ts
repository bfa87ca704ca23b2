import { expect, test } from 'vitest';
import { nameOf } from '../../../src/lambda/sdk-error.ts';

test.each([
  [{ name: 'AccessDeniedException', message: 'policy text' }, 'AccessDeniedException'],
  [{ name: 'Error', code: 'ECONNREFUSED' }, 'Error ECONNREFUSED'],
  [{ name: 'not a name', code: 'a secret' }, 'an error'],
  [null, 'an error'],
  [undefined, 'no answer'],
])('%j is called %j', (error, name) => {
  expect(nameOf(error)).toBe(name);
});
