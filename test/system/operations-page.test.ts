import { spawnSync } from 'node:child_process';
import { createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { beforeAll, describe, expect, test } from 'vitest';
import { readFailedRun } from '../../local/commands/failed-runs.ts';
import { listen } from '../../local/world/listen.ts';
import { PARAMS } from '../../local/world/params.ts';
import { projectDirectory } from '../../local/world/places.ts';
import { deployed, prices } from '../../scripts/scale-costs/facts.ts';
import { findCfnLint } from '../../scripts/template/cfn-lint.ts';
import { resourcesOf, type Template } from '../../scripts/template/template.ts';
import { copyService } from '../deploy/packaging.ts';
import { runCommandLine } from '../support/run-command-line.ts';

const file = join(projectDirectory, 'docs/operations.md');
const page = readFileSync(file, 'utf8');
const lint = await findCfnLint();

let prod: Template;
beforeAll(async () => {
  await using service = await copyService();
  prod = await service.packaged('prod');
}, 60_000);

/** The blocks of code in a language. */
const blocksOf = (language: string) =>
  [...page.matchAll(/^```(?<language>\w*)\n(?<code>[\s\S]*?)^```$/gm)]
    .filter(({ groups }) => groups?.language === language)
    .map(({ groups }) => groups?.code ?? '');

/** The rows of a section's table, cell by cell. */
function rowsOf(heading: string): string[][] {
  const section = page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('|'));
  return rows.slice(2).map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const namesIn = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);

/** What stands for a name of the reader's. */
const samples: Readonly<Record<string, string>> = {
  stage: 'prod',
  function: 'fetch',
  region: 'us-east-1',
  account: '123456789012',
  bucket: 'results',
  runId: 'nightly',
  apiId: 'a1b2c3',
  name: '/batch-fetcher/post-headers',
  rule: 'batch-fetcher-prod-FetchEventsRuleSchedule1-Xy12',
  timestamp: '1795864820775',
  FetchAtScaleArn: 'arn:aws:states:us-east-1:123456789012:stateMachine:FetchAtScale-Xy12',
  executionArn: 'arn:aws:states:us-east-1:123456789012:execution:FetchAtScale-Xy12:nightly',
  mapRunArn: 'arn:aws:states:us-east-1:123456789012:mapRun:FetchAtScale-Xy12/parts:1b2c',
};
const fill = (code: string) =>
  code.replaceAll(/<(\w+)>/g, (placeholder, name) => samples[name] ?? placeholder);

/** The commands that are shown, in blocks and in sentences, without their comments. */
const commands = [
  ...blocksOf('sh').flatMap((code) => code.replaceAll('\\\n', ' ').split('\n')),
  ...namesIn(page.replaceAll(/^```[\s\S]*?^```$/gm, '')),
]
  .flatMap((line) => line.split(' && '))
  .map((line) =>
    fill(line)
      .replace(/ {2,}# .*$| {3}# .*$/, '')
      .trim(),
  )
  .filter((line) => /^(aws|npm|npx) \S/.test(line));

describe('docs/operations.md', () => {
  test('says of every alarm of the template what it means and what to do, and of no other', () => {
    const alarms = resourcesOf('AWS::CloudWatch::Alarm', prod).map(([logicalId]) => logicalId);
    const rows = rowsOf('Alarms');
    expect(rows.flatMap(([names = '']) => namesIn(names)).toSorted()).toStrictEqual(alarms.toSorted());
    for (const row of rows) {
      expect(row).toHaveLength(3);
      expect(row.filter((cell) => cell === '')).toStrictEqual([]);
    }
  });

  test('has the thresholds of the template', () => {
    const seconds = (name: string): number =>
      Number(prod.Resources[`${name}DurationAlarm`]?.Properties?.Threshold) / 1_000;
    expect(page).toContain(`took more than ${seconds('Fetch')} of its 900 s`);
    expect(page).toContain(`the same, ${seconds('Api')} of 29 s`);
    expect(page).toContain(`the same, ${seconds('Plan')} of 900 s`);
    expect(seconds('Conclude')).toBe(seconds('Plan'));
    expect(page).toContain(
      `\`alarmRejectedPercent\` says (${prod.Resources.PostsRejectedAlarm?.Properties?.Threshold} %)`,
    );
  });

  test('counts the metrics of the alarms, and the price of waiting, as they are', () => {
    const alarms = resourcesOf('AWS::CloudWatch::Alarm', prod);
    const metrics = alarms.map(([, { Metrics }]) => (Array.isArray(Metrics) ? Metrics.length - 1 : 1));
    expect(metrics.reduce((sum, number) => sum + number)).toBe(deployed.alarmMetrics);
    const waiting = (1_000 * deployed.fetchMemoryMb * prices.lambdaGbSecond.value) / 1_024;
    expect(page).toContain(`$${waiting.toFixed(4)} in 1,000 s of ${deployed.fetchMemoryMb} MB`);
  });

  test('names parameters and limits that there are', () => {
    const names = PARAMS.map(({ name }) => name);
    const raised = rowsOf('Raise a limit').flatMap(([, , by = '']) => namesIn(by));
    const ofOthers = ['partSize', 'memorySize', 'maximumRetryAttempts'];
    expect(raised.filter((name) => !names.includes(name) && !ofOthers.includes(name))).toStrictEqual([]);
  });

  test('shows a failed run that can be replayed', () => {
    const record = /<<'END'\n([\s\S]*?)\nEND\n/.exec(page)?.[1] ?? '';
    expect(readFailedRun({ body: record, attributes: {} })).toMatchObject({
      runId: 'replayed-here',
      event: { ids: [1, 99999, 3], runId: 'replayed-here' },
    });
  });

  test.each(commands.filter((line) => line.startsWith('npx serverless ')))(
    '%s is a command of serverless',
    (line) => {
      const { words, options } = splitOptions(line);
      const { stdout } = spawnSync('npx', [...words.slice(1), '--help'], {
        cwd: projectDirectory,
        encoding: 'utf8',
      });
      expect(stdout).toContain(words.slice(2).join(' '));
      for (const option of options) expect(stdout).toContain(option);
    },
    30_000,
  );
});

function splitOptions(line: string) {
  const parts = line.split(' ');
  const first = parts.findIndex((part) => part.startsWith('--'));
  const options = parts.filter((part) => part.startsWith('--')).map((part) => part.split('=')[0] ?? part);
  return { words: first < 0 ? parts : parts.slice(0, first), options };
}

const policies = blocksOf('json').map((code) => JSON.parse(fill(code)));

describe('the permissions that it shows', () => {
  test.skipIf(lint === undefined)('are policies of actions that there are', { timeout: 60_000 }, async () => {
    const policy = (PolicyDocument: unknown) => ({
      Type: 'AWS::IAM::ManagedPolicy',
      Properties: { PolicyDocument },
    });
    const of = (documents: readonly unknown[]) => ({
      AWSTemplateFormatVersion: '2010-09-09',
      Resources: Object.fromEntries(documents.map((document, i) => [`Policy${i}`, policy(document)])),
    });
    expect(policies).toHaveLength(5);
    expect(await lint?.(of(policies))).toStrictEqual([]);
    const text = JSON.stringify(policies).replace('sqs:ReceiveMessage', 'sqs:ReadMessage');
    expect(await lint?.(of(JSON.parse(text)))).not.toStrictEqual([]);
  });

  test('let deployers make every kind of thing that the template has', () => {
    const services: Readonly<Record<string, string>> = {
      ApiGatewayV2: 'apigateway',
      CloudWatch: 'cloudwatch',
      Events: 'events',
      IAM: 'iam',
      Lambda: 'lambda',
      Logs: 'logs',
      S3: 's3',
      SQS: 'sqs',
      StepFunctions: 'states',
    };
    const kinds = Object.values(prod.Resources).map(({ Type }) => Type.split('::')[1] ?? '');
    const allowed: string[] = policies[0].Statement.flatMap(
      ({ Action }: { Action: string | string[] }) => Action,
    );
    for (const kind of new Set(kinds)) {
      const service = services[kind] ?? kind;
      expect([kind, allowed.some((action) => action.startsWith(`${service}:`))]).toStrictEqual([kind, true]);
    }
  });

  test('are for names as the template has them', () => {
    const queues = policies[4].Statement[1].Resource.map((arn: string) => arn.split(':').at(-1));
    expect(queues).toStrictEqual(
      resourcesOf('AWS::SQS::Queue', prod)
        .map(([logicalId]) => `batch-fetcher-prod-${logicalId}-*`)
        .toSorted(),
    );
    expect(prod.Resources.FetchLambdaFunction?.Properties?.FunctionName).toBe('batch-fetcher-prod-fetch');
    for (const [, { LogGroupName }] of resourcesOf('AWS::Logs::LogGroup', prod)) {
      const name = JSON.stringify(LogGroupName).replaceAll(`\${AWS::StackName}`, 'batch-fetcher-prod');
      expect(name).toMatch(
        /(\/aws\/lambda\/|\/aws\/http-api\/|\/aws\/vendedlogs\/states\/)batch-fetcher-prod/,
      );
    }
  });
});

const keys = {
  AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
  AWS_SECRET_ACCESS_KEY: 'the-secret',
  AWS_SESSION_TOKEN: 'the-token',
};

/** The signature that AWS expects of a request, by Signature Version 4. */
function signatureOf({ method, url = '', headers }: IncomingMessage, body: string): string {
  const [, scope = '', signed = ''] =
    /Credential=[^/]+\/([^,]+), ?SignedHeaders=([^,]+)/.exec(headers.authorization ?? '') ?? [];
  const hash = (value: string) => createHash('sha256').update(value).digest('hex');
  const hmac = (key: string | Buffer, value: string) => createHmac('sha256', key).update(value).digest();
  const lines = signed.split(';').map((name) => `${name}:${String(headers[name]).trim()}\n`);
  const request = [method, url, '', lines.join(''), signed, hash(body)].join('\n');
  const toSign = ['AWS4-HMAC-SHA256', headers['x-amz-date'], scope, hash(request)].join('\n');
  const key = scope.split('/').reduce<string | Buffer>(hmac, `AWS4${keys.AWS_SECRET_ACCESS_KEY}`);
  return hmac(key, toSign).toString('hex');
}

function has(command: string): boolean {
  return spawnSync(command, ['--version']).status === 0;
}

describe('a command that it shows', () => {
  test.skipIf(!has('curl'))('signs a request to the API as AWS reads it', async () => {
    const [call = ''] = blocksOf('sh').filter((code) => code.startsWith('curl '));
    const received: unknown[] = [];
    const server = createServer(async (request, response) => {
      const body = await text(request);
      const { authorization = '', 'x-amz-security-token': token, 'content-type': type } = request.headers;
      received.push([request.method, request.url, type, token, JSON.parse(body)]);
      const isSigned = authorization.endsWith(`Signature=${signatureOf(request, body)}`);
      response.writeHead(isSigned ? 200 : 403).end(authorization);
    });
    const { origin, close } = await listen(server);
    const line = fill(call).replace('https://a1b2c3.execute-api.us-east-1.amazonaws.com', origin);
    const { code, out } = await runCommandLine(line, keys);
    await close();
    expect([code, out]).toStrictEqual([
      0,
      expect.stringMatching(
        /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/\d{8}\/us-east-1\/execute-api\/aws4_request, /,
      ),
    ]);
    expect(received).toStrictEqual([
      ['POST', '/batches', 'application/json', 'the-token', { ids: [1, 99999, 3] }],
    ]);
  });

  test.skipIf(!has('aws')).each(commands.filter((line) => line.startsWith('aws ')))(
    'has options that the AWS CLI knows: %s',
    { timeout: 30_000 },
    async (line) => {
      const asked: unknown[] = [];
      const server = createServer((request, response) => {
        asked.push(request.url);
        // What a service that fails says: the command line is right by then.
        response.writeHead(400).end();
      });
      const { origin, close } = await listen(server);
      const env = {
        ...keys,
        AWS_REGION: 'us-east-1',
        AWS_DEFAULT_REGION: 'us-east-1',
        AWS_ENDPOINT_URL: origin,
      };
      // Of version 2.
      const asIs = line
        .replace(' --cli-binary-format raw-in-base64-out', '')
        .replace('file://headers.json', 'x');
      const { err } = await runCommandLine(asIs, { ...env, AWS_MAX_ATTEMPTS: '1' });
      await close();
      expect(asked).not.toStrictEqual([]);
      expect(err).not.toMatch(/usage:|Unknown options|invalid choice|Parameter validation/);
    },
  );
});
