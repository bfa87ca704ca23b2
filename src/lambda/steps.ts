import { Logger } from '@aws-lambda-powertools/logger';
import { readTelemetrySettings } from './config.ts';
import { createMeasure, type TelemetrySettings } from './metrics.ts';
import { isRefusal } from './refusals.ts';
import { countFailure, describeError, forgiveBrokenPipes } from './telemetry.ts';

/** What the lines of a step have in common. */
interface StepLabels {
  readonly runId: string;
  /** Lambda's id of the invocation. */
  readonly requestId: string | undefined;
}

/** A step of a run of parts, as the log tells of it. */
export interface Step<T> {
  /** What its lines begin with: `Planning` makes `Planning started`. */
  readonly name: string;
  readonly labels: StepLabels;
  /** What is known at the start. */
  readonly start: object;
  /** What the step came to, in ids, codes and numbers. */
  readonly describe: (result: T) => object;
}

/**
 * Settles as `work` does, and tells of that as of a run: in a line at the start and in one at the end, or in one with
 * the error, which is counted. What is refused is left to `tellRefusals`.
 */
export async function tellStep<T>(
  { name, labels, start, describe }: Step<T>,
  { serviceName, metricsNamespace }: TelemetrySettings,
  work: () => Promise<T>,
): Promise<T> {
  const startMs = performance.now();
  const durationMs = (): number => Math.round(performance.now() - startMs);
  const logger = new Logger({ serviceName });
  forgiveBrokenPipes();
  logger.info(`${name} started`, { ...labels, ...start });
  try {
    const result = await work();
    logger.info(`${name} ended`, { ...labels, ...describe(result), durationMs: durationMs() });
    return result;
  } catch (error) {
    if (!isRefusal(error)) {
      logger.error(`${name} failed`, { ...labels, durationMs: durationMs(), error: describeError(error) });
      countFailure(error, createMeasure({ serviceName, metricsNamespace }));
    }
    throw error;
  }
}

/**
 * Logs and counts an invocation that failed before there was a run to tell of: where S3 did not give a manifest, say. Of
 * what is refused, does nothing. The environment has to be right.
 */
export function tellFailure(error: unknown, requestId: string | undefined): void {
  if (isRefusal(error)) return;
  const settings = readTelemetrySettings(process.env);
  forgiveBrokenPipes();
  new Logger({ serviceName: settings.serviceName }).error('Invocation failed', {
    requestId,
    error: describeError(error),
  });
  countFailure(error, createMeasure(settings));
}
