import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { everyParameter } from '../../scripts/template/check-template.ts';
import { applyConditions } from '../../scripts/template/conditions.ts';
import { metricsOnDashboard } from '../../scripts/template/monitoring.ts';
import { asText, at, type Properties, type Template } from '../../scripts/template/template.ts';
import { METRICS } from '../../src/lambda/metrics.ts';
import { copyService, type Fault, placesIn, type ServiceCopy, seeded } from './packaging.ts';

let service: ServiceCopy;
let prod: Template;
let dev: Template;
let every: Template;

beforeAll(async () => {
  service = await copyService();
  prod = await service.packaged('prod');
  dev = await service.packaged('dev');
  every = await service.packaged('prod', everyParameter, 'every-parameter');
}, 120_000);

afterAll(() => service[Symbol.asyncDispose]());

/** The alarms, by their logical ids. */
function alarmsOf(template: Template): Record<string, Properties> {
  const alarms = Object.entries(applyConditions(template).Resources).filter(
    ([, { Type }]) => Type === 'AWS::CloudWatch::Alarm',
  );
  return Object.fromEntries(alarms.map(([logicalId, { Properties = {} }]) => [logicalId, Properties]));
}

/** What an alarm watches, `<namespace> <metric> {<dimensions>} <statistic> > <threshold>`, and for how long. */
function watchOf(alarm: Properties): unknown[] {
  const { Namespace, MetricName, Dimensions, Statistic, Threshold, ComparisonOperator } = alarm;
  const { Period, EvaluationPeriods, DatapointsToAlarm } = alarm;
  expect(ComparisonOperator).toBe('GreaterThanThreshold');
  const dimensions = [Dimensions].flat().map((item) => `${at(item, 'Name')}=${asText(at(item, 'Value'))}`);
  return [
    `${Namespace} ${MetricName} {${dimensions}} ${Statistic} > ${Threshold}`,
    `${DatapointsToAlarm} of ${EvaluationPeriods} × ${Period} s`,
  ];
}

const within20Minutes = '1 of 4 × 300 s';
const ofFunction = (metric: string, name: string, rest: string) =>
  [`AWS/Lambda ${metric} {FunctionName=\${${name}LambdaFunction}} ${rest}`, within20Minutes] as const;
const waiting = (queue: string) =>
  [
    `AWS/SQS ApproximateNumberOfMessagesVisible {QueueName=\${${queue}.QueueName}} Maximum > 0`,
    '1 of 1 × 300 s',
  ] as const;

describe('an alarm goes off', () => {
  it.each([
    ['FetchErrorsAlarm', ...ofFunction('Errors', 'Fetch', 'Sum > 0')],
    ['ApiErrorsAlarm', ...ofFunction('Errors', 'Api', 'Sum > 0')],
    ['PlanErrorsAlarm', ...ofFunction('Errors', 'Plan', 'Sum > 0')],
    ['ConcludeErrorsAlarm', ...ofFunction('Errors', 'Conclude', 'Sum > 0')],
    ['FetchThrottlesAlarm', ...ofFunction('Throttles', 'Fetch', 'Sum > 0')],
    ['ApiThrottlesAlarm', ...ofFunction('Throttles', 'Api', 'Sum > 0')],
    ['PlanThrottlesAlarm', ...ofFunction('Throttles', 'Plan', 'Sum > 0')],
    ['ConcludeThrottlesAlarm', ...ofFunction('Throttles', 'Conclude', 'Sum > 0')],
    ['FetchDurationAlarm', ...ofFunction('Duration', 'Fetch', 'Maximum > 810000')],
    ['ApiDurationAlarm', ...ofFunction('Duration', 'Api', 'Maximum > 26100')],
    ['PlanDurationAlarm', ...ofFunction('Duration', 'Plan', 'Maximum > 810000')],
    ['ConcludeDurationAlarm', ...ofFunction('Duration', 'Conclude', 'Maximum > 810000')],
    ['RunsIncompleteAlarm', 'BatchFetcher RunsIncomplete {service=batch-fetcher} Sum > 0', within20Minutes],
    ['Api5xxAlarm', `AWS/ApiGateway 5xx {ApiId=\${HttpApi}} Sum > 0`, within20Minutes],
    ['FailedRunsAlarm', ...waiting('FailedRuns')],
    ['FailedRunsLostAlarm', ...ofFunction('DestinationDeliveryFailures', 'Fetch', 'Sum > 0')],
    ['UndeliveredEventsAlarm', ...waiting('UndeliveredEvents')],
    [
      'FetchAtScaleAlarm',
      `AWS/States ExecutionsFailed {StateMachineArn=\${FetchAtScale}} Sum > 0`,
      within20Minutes,
    ],
  ])('%s: %s, %s', (logicalId, metric, periods) => {
    const [watched, lasting] = watchOf(alarmsOf(prod)[logicalId] ?? {});
    expect([watched, String(lasting).replace('undefined of 1', '1 of 1')]).toStrictEqual([metric, periods]);
  });

  it('PostsRejectedAlarm: where more of the posts of five minutes were rejected than is said', () => {
    const of = (template: Template) => {
      const { Metrics, Threshold, EvaluationPeriods, ComparisonOperator } =
        alarmsOf(template).PostsRejectedAlarm ?? {};
      return { Metrics, Threshold, EvaluationPeriods, ComparisonOperator };
    };
    const metric = (Id: string, MetricName: string, Namespace: string, Value: string) => ({
      Id,
      ReturnData: false,
      MetricStat: {
        Metric: { Namespace, MetricName, Dimensions: [{ Name: 'service', Value }] },
        Period: 300,
        Stat: 'Sum',
      },
    });
    const watched = (namespace: string, name: string, Threshold: number) => ({
      Metrics: [
        {
          Id: 'rejectedPercent',
          Expression: 'IF(fulfilled + rejected >= 10, 100 * rejected / (fulfilled + rejected), 0)',
          Label: 'Posts rejected, in per cent',
          ReturnData: true,
        },
        metric('fulfilled', 'PostsFulfilled', namespace, name),
        metric('rejected', 'PostsRejected', namespace, name),
      ],
      Threshold,
      EvaluationPeriods: 1,
      ComparisonOperator: 'GreaterThanThreshold',
    });
    expect([prod, dev, every].map(of)).toStrictEqual([
      watched('BatchFetcher', 'batch-fetcher', 10),
      watched('BatchFetcher', 'batch-fetcher-dev', 10),
      watched('Posts', 'posts', 2.5),
    ]);
  });

  it('and tells every topic that is named, says what is wrong, and not that nothing runs', () => {
    const topics = everyParameter.alarmTopics.split(',');
    for (const [template, told] of [
      [prod, []],
      [every, topics],
    ] as const) {
      const alarms = Object.values(alarmsOf(template));
      expect(alarms).toHaveLength(20);
      for (const { AlarmActions, AlarmDescription, TreatMissingData } of alarms)
        expect([AlarmActions, AlarmDescription, TreatMissingData]).toStrictEqual([
          told,
          expect.stringMatching(/^[A-Z].{10,}/),
          'notBreaching',
        ]);
    }
  });
});

/** The body of the dashboard, parsed. */
function dashboardOf(template: Template) {
  return String(asText(applyConditions(template).Resources.Dashboard?.Properties?.DashboardBody));
}

/** What AWS's own services write. */
const ofServices: Readonly<Record<string, readonly string[]>> = {
  'AWS/Lambda': ['ConcurrentExecutions', 'Duration', 'Errors', 'Invocations', 'Throttles'],
  'AWS/States': [
    'ExecutionsAborted',
    'ExecutionsFailed',
    'ExecutionsStarted',
    'ExecutionsSucceeded',
    'ExecutionsTimedOut',
  ],
  'AWS/SQS': ['ApproximateNumberOfMessagesVisible'],
  'AWS/ApiGateway': ['4xx', '5xx', 'Count', 'Latency'],
  'AWS/Logs': ['IncomingBytes'],
  'AWS/S3': ['BucketSizeBytes'],
};

describe('the dashboard', () => {
  it('shows every metric that the functions write, under their names, and of others what AWS has', () => {
    for (const [template, namespace] of [
      [prod, 'BatchFetcher'],
      [every, 'Posts'],
    ] as const) {
      const shown = metricsOnDashboard(dashboardOf(template)) ?? [];
      const names = Map.groupBy(shown, (metric) => metric.namespace);
      const sets = [...names].map(([key, metrics]) => [
        key,
        [...new Set(metrics.map(({ name }) => name))].sort(),
      ]);
      expect(Object.fromEntries(sets)).toStrictEqual({
        ...ofServices,
        [namespace]: Object.keys(METRICS).sort(),
      });
    }
  });

  it('shows posts and invocations by code', () => {
    const byCode = (metricsOnDashboard(dashboardOf(prod)) ?? []).filter(
      ({ dimensions }) => 'code' in dimensions,
    );
    expect(byCode.map(({ name }) => name)).toStrictEqual(['PostsRejected', 'RunsFailed', 'RequestsRefused']);
  });

  it('counts the memory that each function has', () => {
    const expressions = [...dashboardOf(prod).matchAll(/"expression": "(\w+) \/ 1000 \* (\d+) \/ 1024"/g)];
    const memory = ['Fetch', 'Api', 'Plan', 'Conclude'].map((name) => [
      name.toLowerCase(),
      String(prod.Resources[`${name}LambdaFunction`]?.Properties?.MemorySize),
    ]);
    expect(expressions.map(([, name, megabytes]) => [name, megabytes])).toStrictEqual(memory);
  });

  it('has widgets side by side, in 24 columns, none over another', () => {
    interface Box {
      readonly x: number;
      readonly y: number;
      readonly width: number;
      readonly height: number;
    }
    const { widgets }: { widgets: Box[] } = JSON.parse(dashboardOf(prod));
    const cells = widgets.flatMap(({ x, y, width, height }) => {
      expect(x + width).toBeLessThanOrEqual(24);
      return Array.from(
        { length: width * height },
        (_, i) => `${x + (i % width)},${y + Math.floor(i / width)}`,
      );
    });
    expect(new Set(cells).size).toBe(cells.length);
  });

  it('is named after its stack and region, and has the bucket that there is', () => {
    const names = [prod, every].map((template) =>
      asText(template.Resources.Dashboard?.Properties?.DashboardName),
    );
    expect(names).toStrictEqual(Array(2).fill(`\${AWS::StackName}-\${AWS::Region}`));
    const buckets = [prod, every].map(
      (template) =>
        (metricsOnDashboard(dashboardOf(template)) ?? []).find(({ namespace }) => namespace === 'AWS/S3')
          ?.dimensions,
    );
    expect(buckets.map((dimensions) => dimensions?.BucketName)).toStrictEqual([
      `\${ResultsBucket}`,
      'my-results',
    ]);
  });
});

const body = 'Dashboard.Properties.DashboardBody';

const faults: readonly Fault[] = [
  ...['Fetch', 'Api', 'Plan', 'Conclude'].flatMap((name) =>
    ['Errors', 'Throttles', 'Duration'].map((metric) => ({
      fault: `no alarm on the ${metric} of ${name}`,
      at: `${name}${metric}Alarm`,
      put: undefined,
      found: [`${name}LambdaFunction`],
    })),
  ),
  { fault: 'no alarm on a queue', at: 'FailedRunsAlarm', put: undefined, found: ['FailedRuns'] },
  {
    fault: 'an alarm on another queue',
    at: 'UndeliveredEventsAlarm.Properties.Dimensions.0.Value',
    put: { 'Fn::GetAtt': ['FailedRuns', 'QueueName'] },
    found: ['UndeliveredEvents'],
  },
  { fault: 'no alarm on executions', at: 'FetchAtScaleAlarm', put: undefined, found: ['FetchAtScale'] },
  { fault: 'no alarm on the API', at: 'Api5xxAlarm', put: undefined, found: ['HttpApi'] },
  {
    fault: 'a timeout that the alarm does not know',
    at: 'ApiLambdaFunction.Properties.Timeout',
    put: 20,
    found: ['ApiDurationAlarm.Properties.Threshold'],
  },
  { fault: 'an alarm that tells others', at: 'Api5xxAlarm.Properties.AlarmActions', put: ['arn:aws:sns:x'] },
  { fault: 'an alarm that tells no one', at: 'Api5xxAlarm.Properties.AlarmActions', put: undefined },
  { fault: 'an alarm that says nothing', at: 'Api5xxAlarm.Properties.AlarmDescription', put: undefined },
  { fault: 'an alarm where nothing runs', at: 'Api5xxAlarm.Properties.TreatMissingData', put: 'breaching' },
  {
    fault: 'an alarm on a metric that nobody writes',
    at: 'RunsIncompleteAlarm.Properties.MetricName',
    put: 'RunsUnfinished',
    found: ['RunsIncompleteAlarm.Properties'],
  },
  {
    fault: 'an alarm on the metric of another service',
    at: 'RunsIncompleteAlarm.Properties.Dimensions.0.Value',
    put: 'batch-fetcher-dev',
    found: ['RunsIncompleteAlarm.Properties'],
  },
  {
    fault: 'an alarm on a dimension that no metric has',
    at: 'RunsIncompleteAlarm.Properties.Dimensions.1',
    put: { Name: 'stage', Value: 'prod' },
    found: ['RunsIncompleteAlarm.Properties'],
  },
  {
    fault: 'a share of what nobody writes',
    at: 'PostsRejectedAlarm.Properties.Metrics.2.MetricStat.Metric.MetricName',
    put: 'PostsFailed',
    found: ['PostsRejectedAlarm.Properties'],
  },
  { fault: 'a dashboard that is no JSON', at: body, put: '{' },
  { fault: 'a dashboard without widgets', at: body, put: '{}' },
];

describe('the template check finds, in what is watched,', () => {
  it.each(faults)('$fault', ({ at: place, put, found = [place] }) => {
    expect(placesIn(seeded(prod, place, put))).toStrictEqual([...found].sort());
  });

  it.each([
    ['a metric on the dashboard that nobody writes', 'PeakInFlight', 'MostInFlight', 2],
    ['an alarm that the dashboard does not show', `"\${Api5xxAlarm.Arn}"`, '"arn:aws:cloudwatch:x"', 1],
    ['a search for one', 'MetricName=\\"RunsFailed\\"', 'MetricName=\\"FailedRuns\\"', 1],
    ['the metrics of another service on it', '"service", "batch-fetcher"', '"service", "other"', 17],
  ])('%s', (_fault, from, to, count) => {
    const text = dashboardOf(prod).replaceAll(from, to);
    expect(placesIn(seeded(prod, body, text))).toStrictEqual(Array(count).fill(body));
  });
});
