import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';

const dist = join(import.meta.dirname, '../../../dist');

/** Invokes a built function in a process of its own, and gives the error that it throws. */
async function errorOf(file: string, event: object, env: Readonly<Record<string, string>>) {
  const script = `
    const { handler } = await import(${JSON.stringify(join(dist, file))});
    const context = { awsRequestId: 'request-1', getRemainingTimeInMillis: () => 60_000 };
    await handler(${JSON.stringify(event)}, context).catch(({ name, message }) => {
      console.log(JSON.stringify({ name, message }));
    });`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], {
    env: { PATH: process.env.PATH, ...env },
  });
  // Before that come the lines that the function itself writes.
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
}

describe('each built function names every variable that is wrong, whichever it uses itself:', () => {
  test.each([
    ['handler.js', { ids: [1] }],
    ['plan.js', { input: { ids: [1] }, execution: 'run' }],
    ['conclude.js', { runId: 'run' }],
  ])('%s', async (file, event) => {
    const env = { RESULTS_BUCKET: '', CONCURRENCY: '0', ORIGIN_CONCURRENCY: 'x' };
    await expect(errorOf(file, event, env)).resolves.toStrictEqual({
      name: 'ConfigError',
      message: [
        'Expected `RESULTS_BUCKET` to be the name of an S3 bucket, got nothing',
        'Expected `CONCURRENCY` to be an integer from 1 to 500, got "0"',
        'Expected `ORIGIN_CONCURRENCY` to be an integer from 1 to 999999999, got "x"',
      ].join('; '),
    });
  });
});
