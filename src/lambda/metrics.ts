import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';

export interface TelemetrySettings {
  /** `service` of each line, and the dimension of the metrics. */
  readonly serviceName: string;
  readonly metricsNamespace: string;
}

/** Every metric that is written, and its unit. What each counts, docs/operations.md says. */
export const METRICS = {
  PostsFulfilled: MetricUnit.Count,
  PostsRejected: MetricUnit.Count,
  Attempts: MetricUnit.Count,
  Retries: MetricUnit.Count,
  Hedges: MetricUnit.Count,
  PeakInFlight: MetricUnit.Count,
  ThrottledTime: MetricUnit.Milliseconds,
  PostLatencyP50: MetricUnit.Milliseconds,
  PostLatencyP90: MetricUnit.Milliseconds,
  PostLatencyP99: MetricUnit.Milliseconds,
  RunDuration: MetricUnit.Milliseconds,
  RunsSucceeded: MetricUnit.Count,
  RunsIncomplete: MetricUnit.Count,
  RunsFailed: MetricUnit.Count,
  RequestsRefused: MetricUnit.Count,
} as const;

type MetricName = keyof typeof METRICS;

/** Values of metrics; of null, which is none, nothing is written. */
type Measures = Partial<Readonly<Record<MetricName, number | null>>>;

/** Writes a line in the embedded metric format: of the service, or of one `code` of the service. */
export type Measure = (measures: Measures, code?: string) => void;

/** Throws where one of the variables that Powertools reads itself is wrong. */
export function createMeasure({ serviceName, metricsNamespace }: TelemetrySettings): Measure {
  const metrics = new Metrics({ namespace: metricsNamespace, serviceName });
  return (measures, code) => {
    // A line of the format has one value for each dimension, and dimensions last until a line is written.
    if (code !== undefined) metrics.addDimension('code', code);
    // The keys are those of the type.
    for (const [name, value] of Object.entries(measures) as [MetricName, number | null][])
      if (value !== null) metrics.addMetric(name, METRICS[name], value);
    metrics.publishStoredMetrics();
  };
}
