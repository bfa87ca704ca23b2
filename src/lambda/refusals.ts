import { Logger } from '@aws-lambda-powertools/logger';
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import type { Context } from 'aws-lambda';
import { BadInputError, ConfigError } from '../base/errors.ts';
import { readTelemetrySettings } from './config.ts';
import { forgiveBrokenPipes } from './telemetry.ts';

/** Settles as `work` does, and tells of what it refuses; see `tellRefusal`. */
export async function tellRefusals<T>(
  { awsRequestId }: Partial<Pick<Context, 'awsRequestId'>>,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    tellRefusal(error, awsRequestId);
    throw error;
  }
}

/**
 * Logs and counts an invocation that was refused before anything was done, for what a caller or an operator did wrong:
 * by the error's code, and the place that the error names. What came there is left to the error. Of any other error,
 * does nothing.
 */
export function tellRefusal(error: unknown, requestId: string | undefined): void {
  if (!(error instanceof BadInputError || error instanceof ConfigError)) return;
  const { code, message } = error;
  try {
    const { serviceName, metricsNamespace } = readTelemetrySettings(process.env);
    // Anew each time: it is rare, and a logger of runs has the id of the last one.
    const logger = new Logger({ serviceName });
    const metrics = new Metrics({ namespace: metricsNamespace, serviceName });
    forgiveBrokenPipes();
    logger.warn('Invocation refused', { requestId, code, path: pathIn(message) });
    metrics
      .addDimension('code', code)
      .addMetric('RequestsRefused', MetricUnit.Count, 1)
      .publishStoredMetrics();
  } catch {
    // A variable of Powertools is wrong, which the error says.
  }
}

const MAX_PATH_CHARS = 200;

/** What stands for the place in a message that `expectation` made; of several, the first. */
function pathIn(message: string): string | undefined {
  return /^Expected `([^`]+)`/.exec(message)?.[1]?.slice(0, MAX_PATH_CHARS);
}
