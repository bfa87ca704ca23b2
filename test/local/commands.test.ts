import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { fileOf, localBucket, projectDirectory } from '../../local/world/places.ts';
import { lessonReply } from '../support/lesson-reply.ts';
import { removeObject } from '../support/local-objects.ts';

interface Reply {
  readonly runId: string;
  readonly location: string;
}

/** Runs `npx serverless invoke local` on an event of events/, as docs/local.md says. */
async function invokeLocal(functionName: 'fetch' | 'api', event: string) {
  const child = spawn(
    'npx',
    ['serverless', 'invoke', 'local', '-f', functionName, '--stage', 'local', '-p', `events/${event}.json`],
    {
      cwd: projectDirectory,
      // None of the settings that the environment of the tests may have.
      env: { PATH: process.env.PATH, HOME: process.env.HOME, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit') as Promise<[number | null]>,
  ]);
  return { code, out, err };
}

/** The document of a run, by its id, and its folder if it has one; it is then removed. */
async function takeDocument(runId: string): Promise<{ results: { id: number; status: string }[] }> {
  const location = `s3://${localBucket}/runs/${runId}.json`;
  const document = JSON.parse(await readFile(fileOf(location), 'utf8'));
  removeObject(location);
  return document;
}

describe.concurrent('npx serverless invoke local', { timeout: 60_000 }, () => {
  test('on an event with a failing post prints the reply, and the document stands in .local', async () => {
    const { code, out } = await invokeLocal('fetch', 'direct');
    const reply: Reply = JSON.parse(out);
    expect([code, reply]).toStrictEqual([
      0,
      lessonReply(expect.stringMatching(/./), `s3://batch-fetcher-local/runs/${reply.runId}.json`),
    ]);
    const { results } = await takeDocument(reply.runId);
    expect(results.map(({ id, status }) => [id, status])).toStrictEqual([
      [1, 'fulfilled'],
      [99999, 'rejected'],
      [3, 'fulfilled'],
    ]);
  });

  test('on a request prints the HTTP reply, with the document as its body', async () => {
    const { code, out } = await invokeLocal('api', 'http-api-get');
    const { body, ...reply } = JSON.parse(out) as { body: string };
    expect([code, reply]).toStrictEqual([
      0,
      {
        statusCode: 200,
        headers: {
          'content-type': 'application/json',
          'cache-control': 'no-store',
          'x-content-type-options': 'nosniff',
        },
        isBase64Encoded: false,
      },
    ]);
    const { location, replayed, ...document } = JSON.parse(body);
    expect([location, replayed]).toStrictEqual([
      `s3://batch-fetcher-local/runs/api/${document.run.id}.json`,
      false,
    ]);
    expect(await takeDocument(`api/${document.run.id}`)).toStrictEqual(document);
  });

  // One of each further kind: every file of events/ runs through the handler in events.test.ts, in less time.
  test.each([
    ['fetch', 'eventbridge-rule', { fulfilled: 100, rejected: 0 }],
    ['fetch', 'scheduler', { fulfilled: 5, rejected: 0 }],
    ['api', 'rest-api-post', { statusCode: 200, fulfilled: 2, rejected: 0 }],
    ['api', 'http-api-post', { statusCode: 200, fulfilled: 2, rejected: 1 }],
    ['api', 'alb-post', { statusCode: 200, fulfilled: 2, rejected: 0 }],
    ['api', 'http-api-fail-fast', { statusCode: 502, detail: 'No data for post 99999' }],
  ] as const)('with -f %s takes events/%s.json', async (functionName, event, expected) => {
    const { code, out } = await invokeLocal(functionName, event);
    const { statusCode, body, ...direct } = JSON.parse(out);
    const { summary, detail } = statusCode === undefined ? direct : JSON.parse(body);
    const { fulfilled, rejected } = summary ?? {};
    expect([code, { statusCode, fulfilled, rejected, detail }]).toEqual([0, expected]);
  });

  test('on an event of no known kind fails, and names those that are', async () => {
    const { code, out } = await invokeLocal('fetch', 'bad/sqs');
    const { errorMessage } = JSON.parse(out) as { errorMessage: string };
    expect([code, errorMessage]).toStrictEqual([
      1,
      expect.stringMatching(
        /^Expected `event` to be a batch \{"ids": \[…\]\}, an EventBridge event, or a request from API Gateway, a Function URL or a load balancer, got \{"Records":/,
      ),
    ]);
  });
});
