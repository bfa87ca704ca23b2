import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import {
  CreateQueueCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { buildApp } from 'fauxqs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Listening, listen } from '../../../local/world/listen.ts';
import { failedRunsDirectory, fileOf, localBucket } from '../../../local/world/places.ts';
import { environmentOf } from '../../../local/world/s3.ts';
import { removeObject } from '../../support/local-objects.ts';
import { runCommand } from '../../support/run-command.ts';

const usage =
  'npm run replay-failed -- [<runId> …] [--stage dev | --queue <url>] [--undelivered] [--apply | --discard]';

const functionArn = 'arn:aws:lambda:us-east-1:123456789012:function:batch-fetcher-prod-fetch';

/** What Lambda writes of an asynchronous invocation that failed for good. */
const recordOf = (requestId: string, requestPayload: unknown, responsePayload?: object) =>
  JSON.stringify({
    version: '1.0',
    timestamp: '2026-11-25T06:15:04.000Z',
    requestContext: {
      requestId,
      functionArn: `${functionArn}:$LATEST`,
      condition: 'RetriesExhausted',
      approximateInvokeCount: 3,
    },
    requestPayload,
    responseContext: { statusCode: 200, executedVersion: '$LATEST', functionError: 'Unhandled' },
    ...(responsePayload && { responsePayload }),
  });
const storeError = { errorType: 'StoreError', errorMessage: 'S3 is away', trace: [] };
const event = (id: string) => ({
  version: '0',
  id,
  'detail-type': 'Scheduled Event',
  source: 'aws.events',
  time: '2026-11-25T06:00:00Z',
  detail: {},
});

let app: ReturnType<typeof buildApp>;
let lambda: Listening;
let sqs: SQSClient;
let env: Record<string, string>;
/** What Lambda was asked for, and what it does not take. */
let sent: unknown[] = [];
let refused = '';
let queues = 0;

beforeAll(async () => {
  app = buildApp({ logger: false });
  const endpoint = await app.listen({ host: '127.0.0.1', port: 0 });
  const server = createServer(async (request, response) => {
    const body = await text(request);
    if (refused !== '' && body.includes(refused)) {
      response.writeHead(429, { 'x-amzn-errortype': 'TooManyRequestsException' });
      response.end(JSON.stringify({ Type: 'User', message: 'Rate exceeded' }));
      return;
    }
    const kind = request.headers['x-amz-invocation-type'];
    sent.push([decodeURIComponent(String(request.url)), kind, JSON.parse(body)]);
    response.writeHead(202).end();
  });
  lambda = await listen(server);
  env = {
    ...environmentOf(endpoint),
    AWS_ENDPOINT_URL_SQS: endpoint,
    AWS_ENDPOINT_URL_LAMBDA: lambda.origin,
    AWS_MAX_ATTEMPTS: '1',
  };
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
  sqs = new SQSClient({ endpoint, region: 'us-east-1', credentials, useQueueUrlAsEndpoint: false });
});
afterAll(async () => {
  sqs.destroy();
  await lambda.close();
  await app.close();
});

/** A queue with these messages, named as CloudFormation names that of a stage. */
async function queueOf(
  messages: readonly (
    | string
    | { readonly body: string; readonly attributes: Readonly<Record<string, string>> }
  )[],
  name = 'FailedRuns',
) {
  const stage = `test-${++queues}`;
  const { QueueUrl: url = '' } = await sqs.send(
    new CreateQueueCommand({ QueueName: `batch-fetcher-${stage}-${name}-Xy12` }),
  );
  for (const message of messages) {
    const { body, attributes } = typeof message === 'string' ? { body: message, attributes: {} } : message;
    const texts = Object.entries(attributes).map(([key, StringValue]) => [
      key,
      { DataType: 'String', StringValue },
    ]);
    await sqs.send(
      new SendMessageCommand({
        QueueUrl: url,
        MessageBody: body,
        MessageAttributes: Object.fromEntries(texts),
      }),
    );
  }
  sent = [];
  refused = '';
  return { stage, url };
}

/** The messages that anybody may receive now. */
async function waitingIn(url: string): Promise<unknown[]> {
  const { Messages = [] } = await sqs.send(
    new ReceiveMessageCommand({ QueueUrl: url, MaxNumberOfMessages: 10 }),
  );
  return Messages.map(({ Body }) => Body).sort();
}

const replay = (...args: string[]) => runCommand('local/commands/replay-failed.ts', args, env);
const to = (payload: unknown, arn = `${functionArn}:$LATEST`) => [
  `/2015-03-31/functions/${arn}/invocations`,
  'Event',
  payload,
];

describe('npm run replay-failed', { timeout: 30_000 }, () => {
  test('shows what waits, with the reason, and leaves it there, for others as well', async () => {
    const messages = [
      recordOf('request-1', { ids: [1, 2] }, storeError),
      recordOf('request-2', event('e-1')),
    ];
    const { stage, url } = await queueOf(messages);
    const { code, out, err } = await replay('--stage', stage);
    expect([code, err, sent]).toStrictEqual([0, '', []]);
    expect(out).toBe(
      [
        'request-1 2026-11-25T06:15:04.000Z batch-fetcher-prod-fetch',
        '  StoreError: S3 is away (RetriesExhausted, 3 tries)',
        '20261125T060000Z-e-1 2026-11-25T06:15:04.000Z batch-fetcher-prod-fetch',
        '  RetriesExhausted, 3 tries',
        '',
        `2 events in ${url}`,
        `Send again: npm run replay-failed -- --stage ${stage} --apply`,
        `Drop:       npm run replay-failed -- --stage ${stage} --discard`,
        '',
      ].join('\n'),
    );
    expect(await waitingIn(url)).toStrictEqual(messages.toSorted());
  });

  test('--apply sends each event to its function, under the run id that it had, and takes it out', async () => {
    const { stage, url } = await queueOf([
      recordOf('request-1', { ids: [1, 2] }, storeError),
      recordOf('request-2', { ids: [1], runId: 'nightly' }, storeError),
      recordOf('request-3', { redrive: 'earlier' }, storeError),
      recordOf('request-4', event('e-1'), storeError),
      recordOf(
        'request-5',
        { ids: 'none' },
        { errorType: 'BadInputError', errorMessage: 'Expected `ids` …' },
      ),
    ]);
    const { code, out } = await replay('--stage', stage, '--apply');
    expect([code, out.split('\n').at(-2)]).toStrictEqual([0, '5 of 5 events sent again']);
    expect(sent).toStrictEqual([
      to({ ids: [1, 2], runId: 'request-1' }),
      to({ ids: [1], runId: 'nightly' }),
      to({ redrive: 'earlier' }),
      to(event('e-1')),
      to({ ids: 'none' }),
    ]);
    expect(await waitingIn(url)).toStrictEqual([]);
    expect((await replay('--stage', stage)).out).toBe(`Nothing waits in ${url}\n`);
  });

  test('takes as many messages as there are, and the queue by its URL', async () => {
    const { url } = await queueOf(
      Array.from({ length: 23 }, (_, i) => recordOf(`request-${i}`, { ids: [i] })),
    );
    const { out } = await replay('--queue', url, '--apply');
    expect(out).toContain('\n23 of 23 events sent again\n');
    expect(sent).toHaveLength(23);
  });

  test('is about the runs alone that are named', async () => {
    const messages = ['a', 'b', 'c'].map((runId) => recordOf(`of-${runId}`, { ids: [1], runId }));
    const { url } = await queueOf(messages);
    const { code } = await replay('a', 'c', '--queue', url, '--apply');
    expect([code, sent]).toStrictEqual([0, [to({ ids: [1], runId: 'a' }), to({ ids: [1], runId: 'c' })]]);
    expect(await waitingIn(url)).toStrictEqual([messages[1]]);
  });

  test('leaves what Lambda does not take, and what it does not know, and says so', async () => {
    const messages = [
      recordOf('request-1', { ids: [1] }),
      recordOf('request-2', { ids: [2] }),
      '{"a":1}',
      'text',
    ];
    const { url } = await queueOf(messages);
    refused = 'request-1';
    const { code, out } = await replay('--queue', url, '--apply');
    expect([code, sent]).toStrictEqual([1, [to({ ids: [2], runId: 'request-2' })]]);
    expect(out).toMatch(/^ {2}not sent: TooManyRequestsException: Rate exceeded$/m);
    expect(out.match(/^A message of neither Lambda nor EventBridge$/gm)).toHaveLength(2);
    expect(out.split('\n').at(-2)).toBe(`1 of 4 events sent again; the others are left in ${url}`);
    expect(await waitingIn(url)).toStrictEqual([messages[0], messages[2], messages[3]].sort());
  });

  test('--discard drops, and sends nothing', async () => {
    const { url } = await queueOf([recordOf('request-1', { ids: 'none' }), 'text']);
    const { code, out } = await replay('--queue', url, '--discard');
    expect([code, out.split('\n').at(-2), sent]).toStrictEqual([0, '2 of 2 events dropped', []]);
    expect(await waitingIn(url)).toStrictEqual([]);
  });

  test('--undelivered is about events that EventBridge could not deliver', async () => {
    const attributes = {
      RULE_ARN: 'arn:aws:events:us-east-1:123456789012:rule/nightly',
      TARGET_ARN: functionArn,
      ERROR_CODE: 'NO_PERMISSIONS',
      ERROR_MESSAGE: 'Not\nallowed\u001b[2J',
    };
    const { stage } = await queueOf(
      [{ body: JSON.stringify(event('e-2')), attributes }],
      'UndeliveredEvents',
    );
    const shown = await replay('--stage', stage, '--undelivered');
    expect(shown.out).toContain(
      '20261125T060000Z-e-2 2026-11-25T06:00:00Z batch-fetcher-prod-fetch\n  NO_PERMISSIONS: Not allowed\n',
    );
    expect(shown.out).toContain(`--stage ${stage} --undelivered --apply`);
    await replay('--stage', stage, '--undelivered', '--apply');
    expect(sent).toStrictEqual([to(event('e-2'), functionArn)]);
  });

  test.each([
    [
      ['--stage', 'none'],
      'Expected one queue whose name begins with batch-fetcher-none-FailedRuns in us-east-1, got 0: name it with --queue <url>',
    ],
    [['a', '--stage', 'local'], /^Expected a to wait in http:\S+, got \d+ messages? of others$/],
  ])('%j fails in one line', async (args, message) => {
    const { code, out, err } = await replay(...args);
    expect([code, out]).toStrictEqual([1, '']);
    expect(err.trimEnd()).toEqual(typeof message === 'string' ? message : expect.stringMatching(message));
  });

  test('says in one line what the SDK lacks', async () => {
    const none = {
      AWS_REGION: undefined,
      AWS_DEFAULT_REGION: undefined,
      AWS_CONFIG_FILE: '/none',
      AWS_PROFILE: undefined,
    };
    const { code, err } = await runCommand('local/commands/replay-failed.ts', [], { ...env, ...none });
    expect([code, err]).toStrictEqual([
      1,
      'The queue could not be worked through: AWS_REGION is to name its region\n',
    ]);
  });

  test.each([
    [['--apply', '--discard'], 'Expected --apply or --discard, got both'],
    [
      ['--queue', 'http://x', '--stage', 'prod'],
      'Expected --queue alone, or --stage with --undelivered or without, got both',
    ],
    [['--queue', 'mine'], 'Expected --queue to be the URL of a queue, got "mine"'],
    [['--stage', 'a b'], 'Expected --stage to be a stage, as in prod, got "a b"'],
    [['--all'], "Unknown option '--all'"],
  ])('%j is refused in one line with exit code 2', async (args, message) => {
    expect(await replay(...args)).toStrictEqual({ code: 2, out: '', err: `${message}. Usage: ${usage}\n` });
  });

  test.each(['--help', '-h'])('%s tells how it is used', async (option) => {
    expect(await replay(option)).toStrictEqual({
      code: 0,
      out: expect.stringContaining(`Usage: ${usage}\n\nShows what waits in `),
      err: '',
    });
  });
});

test('a run that failed here is replayed here, and one that fails again waits again', {
  timeout: 60_000,
}, async () => {
  const runId = `replay-test-${process.pid}`;
  const files = () => readdir(failedRunsDirectory);
  const replayHere = (...args: string[]) =>
    runCommand('local/commands/replay-failed.ts', [runId, '--stage', 'local', ...args]);
  await runCommand('local/commands/replay-failed.ts', ['--stage', 'local']);
  const before = await files();
  const local = functionArn.replace('-prod-', '-local-');
  const put = (name: string, payload: object) =>
    writeFile(
      join(failedRunsDirectory, `${runId}-${name}.json`),
      recordOf(runId, payload, storeError).replace(functionArn, local),
    );
  await put('good', { ids: [1, 99999, 3] });
  await put('bad', { ids: [1], runId, returnExceptions: 'no' });
  const shown = await replayHere();
  expect([shown.code, await files()]).toStrictEqual([
    0,
    [...before, `${runId}-bad.json`, `${runId}-good.json`].sort(),
  ]);
  const applied = await replayHere('--apply');
  expect([applied.code, applied.err]).toStrictEqual([0, '']);
  expect(applied.out).toContain(`\n${runId}: done\n`);
  expect(applied.out).toMatch(/^Failed again: Expected `returnExceptions` to be /m);
  const location = `s3://${localBucket}/runs/${runId}.json`;
  const { run, results } = JSON.parse(await readFile(fileOf(location), 'utf8'));
  expect([run.id, results.map(({ status }: { status: string }) => status)]).toStrictEqual([
    runId,
    ['fulfilled', 'rejected', 'fulfilled'],
  ]);
  const [again = '', ...more] = (await files()).filter((file) => !before.includes(file));
  const { requestPayload, responsePayload } = JSON.parse(
    await readFile(join(failedRunsDirectory, again), 'utf8'),
  );
  expect([more, requestPayload.runId, responsePayload.errorType]).toStrictEqual([[], runId, 'BadInputError']);
  await rm(join(failedRunsDirectory, again));
  removeObject(location);
});
