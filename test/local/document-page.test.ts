import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { projectDirectory } from '../../local/world/places.ts';
import { storedDocument } from '../support/stored-document.ts';

test('the grep of docs/document.md counts the posts that timed out, and nothing else', () => {
  const page = readFileSync(join(projectDirectory, 'docs/document.md'), 'utf8');
  const command = /`(grep -c '[^`]+')` counts/.exec(page)?.[1] ?? expect.fail('There is none');
  const reason = (code: string) => `"reason":{"code":"${code}","message":"…","retryable":true}`;
  const outcomes = [
    `{"index":0,"id":1,"status":"rejected",${reason('TIMEOUT')}}`,
    `{"index":1,"id":"a","status":"rejected","httpStatus":null,"hedged":true,${reason('TIMEOUT')}}`,
    `{"index":2,"id":2,"status":"rejected",${reason('NETWORK')}}`,
    `{"index":3,"id":3,"status":"fulfilled","value":{${reason('TIMEOUT')}}}`,
    `{"index":4,"id":4,"status":"fulfilled","value":"\\"reason\\":{\\"code\\":\\"TIMEOUT\\""}`,
  ];
  const first = '"first":[{"index":0,"id":1,"code":"TIMEOUT","message":"…"}]';
  const document = storedDocument('run-1', { stored: `"results":[\n${outcomes.join(',\n')}\n]`, total: 3 })
    .replace('"byCode":{}', '"byCode":{"TIMEOUT":2,"NETWORK":1}')
    .replace('"first":[]', first);
  expect(execFileSync('sh', ['-c', command], { input: document, encoding: 'utf8' })).toBe('2\n');
});
