import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import {
  mistakesInEnvironments,
  mistakesInValues,
  PARAMS,
  variablesOfTheStack,
} from '../../../local/world/params.ts';
import { everyParameter } from '../../../scripts/template/check-template.ts';
import { VARIABLES } from '../../../src/lambda/config.ts';

const project = join(import.meta.dirname, '../../..');
const read = (path: string): string => readFileSync(join(project, path), 'utf8');

/** The rows of the table in docs/configuration.md, one a parameter. */
const rows = read('docs/configuration.md')
  .split(/^\| parameter \| variable \| default .*\n.*\n/m)[1]
  ?.split('\n\n')[0]
  ?.split('\n')
  .flatMap((row) => {
    const [names = '', variable = '', fallback = ''] = row.replace(/^\| /, '').split(' | ');
    return names
      .split(', ')
      .map((name) => ({ name: bare(name), variable: bare(variable), fallback: bare(fallback) }));
  });

function bare(cell: string): string {
  return cell.replaceAll('`', '');
}

test('docs/configuration.md has a row for every parameter, with its variable, and for nothing else', () => {
  const shown = rows?.map(({ name, variable }) => [name, variable]);
  const known = PARAMS.map((param) => [param.name, 'variable' in param ? param.variable : '–']);
  const ofTheStack = variablesOfTheStack.map((name) => ['–', name]);
  expect(shown?.toSorted()).toStrictEqual([...known, ...ofTheStack].toSorted());
});

test('every variable that the functions read has a parameter, or a value that only the stack knows', () => {
  const set = PARAMS.map((param) => ('variable' in param ? param.variable : undefined));
  const names = Object.values(VARIABLES).map(({ name }) => name);
  expect(names.filter((name) => !set.includes(name)).toSorted()).toStrictEqual(
    variablesOfTheStack.toSorted(),
  );
  const { functions } = parse(read('serverless.yml').replaceAll(/!\w+/g, ''));
  const given = Object.values<{ environment: object }>(functions).map(({ environment }) => environment);
  for (const name of variablesOfTheStack)
    expect(given.filter((environment) => name in environment)).not.toStrictEqual([]);
});

test('serverless.yml has a default for every parameter, which docs/configuration.md has as well, and for nothing else', () => {
  const { params } = parse(read('serverless.yml').replaceAll(/!\w+/g, ''));
  const names = PARAMS.map(({ name }) => name);
  // A default would be in the way of the bucket that the stack makes.
  expect(['resultsBucket', ...Object.keys(params.default)].toSorted()).toStrictEqual(names.toSorted());
  const ofStages = { ...params.local, ...params.dev, ...params.prod };
  expect(Object.keys(ofStages).filter((name) => !names.includes(name))).toStrictEqual([]);
  const untold = [...Object.entries(params.default), ...Object.entries(params.prod)].filter(
    ([name, value]) => !rows?.some((row) => row.name === name && row.fallback.includes(String(value))),
  );
  expect(untold).toStrictEqual([]);
});

test('the template is checked with every parameter set', () => {
  expect(Object.keys(everyParameter).toSorted()).toStrictEqual(PARAMS.map(({ name }) => name).toSorted());
  expect(mistakesInValues(everyParameter)).toStrictEqual([]);
});

const METRIC_NAME = '1 to 255 characters out of A-Z a-z 0-9 . _ / # : - and blanks between them';

test.each([
  ['manifestBucket', 'my-results', 'the name of an S3 bucket, and not that of the results'],
  ['manifestBucket', 'my_lists', 'the name of an S3 bucket, and not that of the results'],
  ['postHeadersKeyArn', 'alias/mine', 'the Arn of a KMS key, with postHeadersParameter'],
  ['schedule', 'daily', 'rate(…) or cron(…), as EventBridge takes it'],
  ['schedule', 'rate(1 days)', 'rate(…) or cron(…), as EventBridge takes it'],
  ['schedule', 'cron(0 6 * * ?)', 'rate(…) or cron(…), as EventBridge takes it'],
  ['scheduleEnabled', 'yes', 'true or false'],
  ['tracing', 'on', 'true or false'],
  ['documentsExpireAfterDays', '0', 'an integer from 1 to 36500'],
  ['documentsExpireAfterDays', '1.5', 'an integer from 1 to 36500'],
  ['alarmTopics', 'on-call', 'Arns of SNS topics, with commas between them'],
  [
    'alarmTopics',
    `${everyParameter.alarmTopics},arn:aws:sqs:us-east-1:123456789012:queue`,
    'Arns of SNS topics, with commas between them',
  ],
  ['alarmRejectedPercent', '101', 'a number from 0 to 100'],
  ['alarmRejectedPercent', '5%', 'a number from 0 to 100'],
  ['serviceName', 'a"b', METRIC_NAME],
  ['serviceName', ' posts', METRIC_NAME],
  ['metricsNamespace', 'AWS/Posts', METRIC_NAME],
  ['metricsNamespace', 'x'.repeat(256), METRIC_NAME],
  ['apiRateLimit', '0', 'a number of requests a second above 0, to 10000'],
  ['apiRateLimit', '10001', 'a number of requests a second above 0, to 10000'],
  ['apiBurstLimit', '0.5', 'an integer from 1 to 5000'],
  ['apiConcurrency', '0', 'off, or an integer from 1 to 100000'],
  ['apiConcurrency', 'none', 'off, or an integer from 1 to 100000'],
  [
    'fetchConcurrency',
    '9',
    'off, or an integer of at least the parts in flight, originConcurrency / concurrency',
  ],
  ['corsOrigins', '*', 'origins as https://app.example.com, with commas between them'],
  ['corsOrigins', 'https://app.example.com/', 'origins as https://app.example.com, with commas between them'],
])('%s is not taken as %s', (name, value, expected) => {
  expect(mistakesInValues({ ...everyParameter, [name]: value })).toStrictEqual([
    `Expected --param=${name} to be ${expected}, got ${value}`,
  ]);
});

test('a day that CloudWatch does not keep logs for, and a key without its parameter, are not taken', () => {
  const { postHeadersParameter: _, ...others } = everyParameter;
  expect(mistakesInValues({ ...others, logRetentionDays: '15' })).toStrictEqual([
    `Expected --param=postHeadersKeyArn to be the Arn of a KMS key, with postHeadersParameter, got ${others.postHeadersKeyArn}`,
    expect.stringMatching(/^Expected --param=logRetentionDays to be one of 1, 3, 5, .*, 3653, got 15$/),
  ]);
});

test('a name that is none is told with those that are', () => {
  expect(mistakesInValues({ ...everyParameter, alarmTopic: 'x', hedging: 'on' })).toStrictEqual(
    ['alarmTopic', 'hedging'].map(
      (name) => `Expected --param=${name} to be one of ${PARAMS.map((param) => param.name).join(', ')}`,
    ),
  );
});

test('what a function would say of its variables is told once, with the parameter that each comes of', () => {
  const sound = { RESULTS_BUCKET: { Ref: 'ResultsBucket' }, CONCURRENCY: 50 };
  expect(mistakesInEnvironments({ fetch: sound, api: sound })).toStrictEqual([]);
  const wrong = { ...sound, HEDGE: 'true', POST_URL: 'https://api.example.com/posts; Expected' };
  const mistakes = mistakesInEnvironments({
    fetch: { ...wrong, MAX_IDS: 0 },
    api: { ...wrong, POST_IDS: '1', MAX_IDS: 'all' },
  });
  expect(mistakes.toSorted()).toStrictEqual([
    'Expected --param=apiMaxIds, `MAX_IDS`, to be an integer from 1 to 10000000000, got "all" (of api)',
    'Expected --param=hedge, `HEDGE`, to be on or off, got "true" (of fetch, api)',
    'Expected --param=maxIds, `MAX_IDS`, to be an integer from 1 to 10000000000, got "0" (of fetch)',
    'Expected --param=postUrl, `POST_URL`, to be an http(s) URL with {id} in its path or query, without credentials and fragment, got "https://api.example.com/posts; Expected" (of fetch, api)',
  ]);
});

test('a variable that no parameter sets keeps its name', () => {
  expect(mistakesInEnvironments({ conclude: { RESULTS_BUCKET: 'results', MAX_IDS: 0 } })).toStrictEqual([
    'Expected `MAX_IDS` to be an integer from 1 to 10000000000, got "0" (of conclude)',
  ]);
});
