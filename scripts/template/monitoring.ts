import { METRICS } from '../../src/lambda/metrics.ts';
import {
  asText,
  at,
  type Finding,
  findUnless,
  isObject,
  type Properties,
  resourcesOf,
  type Template,
  targetOf,
} from './template.ts';

/** A metric as an alarm watches it, or a dashboard shows it. */
interface WatchedMetric {
  readonly namespace: string;
  readonly name: string;
  /** Their values as text, by their names. */
  readonly dimensions: Readonly<Record<string, string | undefined>>;
}

/** What each function has an alarm on. */
const OF_FUNCTIONS = ['Errors', 'Throttles', 'Duration'];
const WAITING = 'ApproximateNumberOfMessagesVisible';
/** From which share of its timeout on an invocation takes long. */
const LONG = 0.9;

/**
 * Finds functions, queues and APIs whose failures nobody would hear of, alarms that say nothing or to no one,
 * and alarms and dashboards of metrics that the functions do not write. A dashboard shows all that they write, and every
 * alarm.
 */
export function checkMonitoring(template: Template): Finding[] {
  const alarms = resourcesOf('AWS::CloudWatch::Alarm', template);
  const isWatched = (name: string, resource: string): boolean => alarmsOn(name, resource, alarms).length > 0;
  const missing = (logicalId: string, name: string): Finding[] =>
    findUnless(isWatched(name, logicalId), logicalId, `an alarm on ${name}`);
  return [
    ...resourcesOf('AWS::Lambda::Function', template).flatMap(([logicalId, { Timeout }]) => [
      ...OF_FUNCTIONS.flatMap((name) => missing(logicalId, name)),
      ...alarmsOn('Duration', logicalId, alarms).flatMap(([alarm, { Threshold }]) =>
        findUnless(
          Threshold === Number(Timeout) * 1_000 * LONG,
          `${alarm}.Properties.Threshold`,
          `${LONG} of the ${String(Timeout)} s of ${logicalId}, in milliseconds`,
          Threshold,
        ),
      ),
    ]),
    ...resourcesOf('AWS::SQS::Queue', template).flatMap(([logicalId]) => missing(logicalId, WAITING)),
    ...resourcesOf('AWS::ApiGatewayV2::Api', template).flatMap(([logicalId]) => missing(logicalId, '5xx')),
    ...alarms.flatMap(([logicalId, alarm]) => checkAlarm(logicalId, alarm, alarms, template)),
    ...resourcesOf('AWS::CloudWatch::Dashboard', template).flatMap(([logicalId, dashboard]) =>
      checkDashboard(logicalId, dashboard, alarms, template),
    ),
  ];
}

type Alarms = readonly (readonly [logicalId: string, Properties])[];

function alarmsOn(name: string, resource: string, alarms: Alarms): Alarms {
  return alarms.filter(([, alarm]) =>
    metricsOf(alarm).some(
      (metric) =>
        metric.name === name &&
        Object.values(metric.dimensions).some((value) => targetOf({ 'Fn::Sub': value ?? '' }) === resource),
    ),
  );
}

function checkAlarm(logicalId: string, alarm: Properties, alarms: Alarms, template: Template): Finding[] {
  const { AlarmDescription, AlarmActions, TreatMissingData } = alarm;
  const here = `${logicalId}.Properties`;
  // Whom one alarm tells, every alarm tells.
  const topics = JSON.stringify(alarms[0]?.[1].AlarmActions);
  const told = JSON.stringify(AlarmActions);
  return [
    ...findUnless(AlarmDescription !== undefined, `${here}.AlarmDescription`, 'what goes wrong'),
    ...findUnless(told === topics && told !== undefined, `${here}.AlarmActions`, `${topics}`, AlarmActions),
    ...findUnless(
      TreatMissingData === 'notBreaching',
      `${here}.TreatMissingData`,
      'notBreaching',
      TreatMissingData,
    ),
    ...metricsOf(alarm).flatMap((metric) => checkMetric(here, metric, template)),
  ];
}

/** A metric of ours is one that the functions write, under their names. */
function checkMetric(
  place: string,
  { namespace, name, dimensions }: WatchedMetric,
  template: Template,
): Finding[] {
  if (namespace.startsWith('AWS/')) return [];
  const isWritten = resourcesOf('AWS::Lambda::Function', template).every(
    ([, { Environment }]) =>
      at(Environment, 'Variables', 'POWERTOOLS_METRICS_NAMESPACE') === namespace &&
      at(Environment, 'Variables', 'POWERTOOLS_SERVICE_NAME') === dimensions.service,
  );
  const others = Object.keys(dimensions).filter((dimension) => !['service', 'code'].includes(dimension));
  return findUnless(
    isWritten && Object.hasOwn(METRICS, name) && others.length === 0,
    place,
    'a metric that the functions write',
    { namespace, name, ...dimensions },
  );
}

function checkDashboard(
  logicalId: string,
  dashboard: Properties,
  alarms: Alarms,
  template: Template,
): Finding[] {
  const here = `${logicalId}.Properties.DashboardBody`;
  const body = asText(dashboard.DashboardBody) ?? '';
  const shown = metricsOnDashboard(body);
  if (shown === undefined) return findUnless(false, here, 'widgets in JSON', body);
  const names = shown.map(({ name }) => name);
  return [
    ...shown.flatMap((metric) => checkMetric(here, metric, template)),
    ...Object.keys(METRICS).flatMap((name) => findUnless(names.includes(name), here, `the metric ${name}`)),
    ...alarms.flatMap(([alarm]) =>
      findUnless(body.includes(`"\${${alarm}.Arn}"`), here, `the alarm ${alarm}`),
    ),
  ];
}

/** The metrics that the body of a dashboard has, searches included; undefined where the body is no dashboard's. */
export function metricsOnDashboard(body: string): WatchedMetric[] | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return undefined;
  }
  const widgets = at(parsed, 'widgets');
  if (!Array.isArray(widgets)) return undefined;
  const rows = widgets.flatMap((widget) => at(widget, 'properties', 'metrics') ?? []);
  return rows.flatMap((row) => (Array.isArray(row) ? metricOf(row) : []));
}

/** `[namespace, name, dimension, value, …, options]`, or `[{"expression": …}]`. */
function metricOf(row: readonly unknown[]): WatchedMetric[] {
  const [namespace, name, ...rest] = row.filter((item) => typeof item === 'string');
  if (namespace !== undefined && name !== undefined) {
    const pairs = rest.flatMap((key, i) => (i % 2 === 0 ? [[key, rest[i + 1]] as const] : []));
    return [{ namespace, name, dimensions: Object.fromEntries(pairs) }];
  }
  const expression = String(at(row[0], 'expression'));
  const search =
    /^SEARCH\('\{"(?<namespace>[^"]+)",service,code\} MetricName="(?<name>\w+)" service="(?<service>[^"]+)"'/;
  const { groups } = search.exec(expression) ?? {};
  if (groups === undefined) return [];
  const { namespace: ofSearch = '', name: searched = '', service } = groups;
  return [{ namespace: ofSearch, name: searched, dimensions: { service, code: '*' } }];
}

/** Those of an alarm: its own, or the ones that its expression is made of. */
function metricsOf(alarm: Properties): WatchedMetric[] {
  const { Metrics } = alarm;
  const metrics = Array.isArray(Metrics)
    ? Metrics.map((metric) => at(metric, 'MetricStat', 'Metric'))
    : [alarm];
  return metrics.filter(isObject).map(({ Namespace, MetricName, Dimensions }) => {
    const dimensions = [Dimensions ?? []].flat().map((item) => [at(item, 'Name'), asText(at(item, 'Value'))]);
    return {
      namespace: String(Namespace),
      name: String(MetricName),
      dimensions: Object.fromEntries(dimensions),
    };
  });
}
