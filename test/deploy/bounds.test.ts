import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { everyParameter } from '../../scripts/template/check-template.ts';
import { applyConditions } from '../../scripts/template/conditions.ts';
import type { Properties, Template } from '../../scripts/template/template.ts';
import { copyService, type Fault, placesIn, type ServiceCopy, seeded } from './packaging.ts';

let service: ServiceCopy;
let dev: Template;
let prod: Template;
let every: Template;

beforeAll(async () => {
  service = await copyService();
  dev = await service.packaged('dev');
  prod = await service.packaged('prod');
  every = await service.packaged('prod', everyParameter, 'every-parameter');
}, 120_000);

afterAll(() => service[Symbol.asyncDispose]());

/** Of a resource, as it is deployed. */
function propertiesOf(logicalId: string, template: Template): Properties | undefined {
  return applyConditions(template).Resources[logicalId]?.Properties;
}

const paths = ['/batches', '/batches/{runId}', '/batches/{runId}/outcomes'];
const routesBy = (...methods: readonly string[]): string[] =>
  methods.flatMap((method) => paths.map((path) => `${method} ${path}`)).sort();
const routes = routesBy('DELETE', 'GET', 'HEAD', 'PATCH', 'POST', 'PUT');

function routesOf(template: Template): unknown[] {
  return Object.values(applyConditions(template).Resources)
    .filter(({ Type }) => Type === 'AWS::ApiGatewayV2::Route')
    .map(({ Properties }) => Properties?.RouteKey)
    .sort();
}

describe('the API', () => {
  it('may be called ten times a second, or as often as is said', () => {
    const limitsOf = (template: Template) => propertiesOf('HttpApiStage', template)?.DefaultRouteSettings;
    expect([prod, every].map(limitsOf)).toStrictEqual([
      { DetailedMetricsEnabled: false, ThrottlingRateLimit: 10, ThrottlingBurstLimit: 20 },
      { DetailedMetricsEnabled: false, ThrottlingRateLimit: 2.5, ThrottlingBurstLimit: 5 },
    ]);
  });

  it('logs who called, and nothing of their own choice', () => {
    const settings = propertiesOf('HttpApiStage', prod)?.AccessLogSettings as { Format: string };
    expect(JSON.parse(settings.Format)).toStrictEqual({
      requestId: '$context.requestId',
      time: '$context.requestTimeEpoch',
      caller: '$context.identity.userArn',
      account: '$context.identity.accountId',
      ip: '$context.identity.sourceIp',
      route: '$context.routeKey',
      status: '$context.status',
      bytes: '$context.responseLength',
      latencyMs: '$context.responseLatency',
      error: '$context.error.responseType',
      integrationStatus: '$context.integrationStatus',
    });
    expect(propertiesOf('HttpApiLogGroup', prod)?.RetentionInDays).toBe(90);
  });

  it('is for no web page, and answers a preflight request with 405', () => {
    expect(propertiesOf('HttpApi', prod)).not.toHaveProperty('CorsConfiguration');
    expect(routesOf(prod)).toStrictEqual([...routes, ...routesBy('OPTIONS')].sort());
  });

  it('is for the web pages of the origins that are named, and leaves preflight requests to API Gateway', () => {
    expect(propertiesOf('HttpApi', every)?.CorsConfiguration).toStrictEqual({
      AllowOrigins: ['https://app.example.com', 'https://admin.example.com'],
      AllowMethods: ['GET', 'POST'],
      AllowHeaders: [
        'authorization',
        'content-type',
        'idempotency-key',
        'if-none-match',
        'prefer',
        'x-amz-content-sha256',
        'x-amz-date',
        'x-amz-security-token',
      ],
      ExposeHeaders: ['etag', 'location', 'preference-applied', 'retry-after'],
      MaxAge: 3600,
    });
    expect(routesOf(every)).toStrictEqual(routes);
  });
});

it('reserves instances for the functions that are called from outside, unless that is off', () => {
  const reserved = (template: Template) =>
    ['Fetch', 'Api', 'Plan', 'Conclude'].map(
      (name) => propertiesOf(`${name}LambdaFunction`, template)?.ReservedConcurrentExecutions,
    );
  expect([dev, prod, every].map(reserved)).toStrictEqual([
    [undefined, undefined, undefined, undefined],
    [20, 20, undefined, undefined],
    [12, 10, undefined, undefined],
  ]);
});

it('tells every topic that is named, and none by default', () => {
  const topicsOf = (template: Template) =>
    Object.entries(applyConditions(template).Resources)
      .filter(([, { Type }]) => Type === 'AWS::CloudWatch::Alarm')
      .map(([logicalId, { Properties }]) => [logicalId, Properties?.AlarmActions]);
  const alarms = topicsOf(prod).map(([logicalId]) => logicalId);
  expect(alarms).toStrictEqual(
    expect.arrayContaining([
      'UndeliveredEventsAlarm',
      'FailedRunsAlarm',
      'FetchAtScaleAlarm',
      'FetchAtScaleForApiAlarm',
    ]),
  );
  expect(topicsOf(prod)).toStrictEqual(alarms.map((alarm) => [alarm, []]));
  const topics = everyParameter.alarmTopics.split(',');
  expect(topicsOf(every)).toStrictEqual(alarms.map((alarm) => [alarm, topics]));
});

it('keeps an event that Lambda did not take for six hours in a queue that only its rule may fill', () => {
  expect(propertiesOf('FetchEventsRuleSchedule1', prod)?.Targets).toStrictEqual([
    {
      Id: 'fetchSchedule',
      Arn: { 'Fn::GetAtt': ['FetchLambdaFunction', 'Arn'] },
      DeadLetterConfig: { Arn: { 'Fn::GetAtt': ['UndeliveredEvents', 'Arn'] } },
      RetryPolicy: { MaximumEventAgeInSeconds: 21_600, MaximumRetryAttempts: 185 },
    },
  ]);
});

/** The routes that a preflight request would meet. */
const preflighted = ['', 'RunidVar', 'RunidVarOutcomes'].map(
  (path) => `HttpApiRouteOptionsBatches${path}.Properties.RouteKey`,
);
const stage = 'HttpApiStage.Properties';
const rule = 'FetchEventsRuleSchedule1.Properties.Targets';
const target = 'FetchEventsRuleSchedule1.Properties.Targets[0]';
const queuePolicy = 'UndeliveredEventsPolicy.Properties.PolicyDocument.Statement';

const faults: readonly Fault[] = [
  { fault: 'an API without a rate', at: `${stage}.DefaultRouteSettings.ThrottlingRateLimit`, put: undefined },
  { fault: 'an API without a burst', at: `${stage}.DefaultRouteSettings.ThrottlingBurstLimit`, put: 0 },
  { fault: 'an API without an access log', at: `${stage}.AccessLogSettings`, put: undefined },
  {
    fault: 'an access log that does not say who called',
    at: `${stage}.AccessLogSettings.Format`,
    put: '$context.requestId',
    found: [`${stage}.AccessLogSettings`],
  },
  {
    fault: 'web pages of every origin',
    at: 'HttpApi.Properties.CorsConfiguration',
    put: { AllowOrigins: ['https://*'] },
    found: ['HttpApi.Properties.CorsConfiguration.AllowOrigins', ...preflighted],
  },
  {
    fault: 'a route that refuses the preflight requests of a web page',
    at: 'HttpApi.Properties.CorsConfiguration',
    put: { AllowOrigins: ['https://app.example.com'] },
    found: preflighted,
  },
  {
    fault: 'a schedule without a queue for what is not delivered',
    at: `${rule}.0.DeadLetterConfig`,
    put: undefined,
    found: [`${target}.DeadLetterConfig`],
  },
  {
    fault: 'a queue that the schedule may not fill',
    at: `${rule}.0.DeadLetterConfig.Arn`,
    put: { 'Fn::GetAtt': ['FailedRuns', 'Arn'] },
    found: [`${target}.DeadLetterConfig`],
  },
  {
    fault: 'a schedule whose retries have no end of their own',
    at: `${rule}.0.RetryPolicy`,
    put: undefined,
    found: [`${target}.RetryPolicy`],
  },
  {
    fault: 'a queue that the rules of every account may fill',
    at: `${queuePolicy}.1.Condition`,
    put: undefined,
    found: [
      `${target}.DeadLetterConfig`,
      'UndeliveredEventsPolicy.Properties.PolicyDocument.Statement[1].Condition.ArnEquals.aws:SourceArn',
    ],
  },
  {
    fault: 'a queue that every rule of the account may fill',
    at: `${queuePolicy}.1.Condition.ArnEquals.aws:SourceArn`,
    put: { 'Fn::Sub': `arn:\${AWS::Partition}:events:\${AWS::Region}:\${AWS::AccountId}:rule/*` },
    found: [
      `${target}.DeadLetterConfig`,
      'UndeliveredEventsPolicy.Properties.PolicyDocument.Statement[1].Condition.ArnEquals.aws:SourceArn',
    ],
  },
  { fault: 'a queue that takes plain HTTP', at: 'FailedRunsPolicy', put: undefined, found: ['FailedRuns'] },
  {
    fault: 'a queue whose policy is about another',
    at: `${queuePolicy}.0.Resource`,
    put: { 'Fn::GetAtt': ['FailedRuns', 'Arn'] },
    found: ['UndeliveredEvents'],
  },
  {
    fault: 'a queue that takes plain HTTP to send',
    at: `${queuePolicy}.0.Action`,
    put: 'sqs:ReceiveMessage',
    found: ['UndeliveredEvents'],
  },
];

describe('the template check finds, in the bounds of what is called', () => {
  it.each(faults)('$fault', ({ at, put, found = [at] }) => {
    expect(placesIn(seeded(prod, at, put))).toStrictEqual([...found].sort());
  });
});
