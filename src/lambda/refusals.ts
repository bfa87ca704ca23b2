import { Logger } from '@aws-lambda-powertools/logger';
import type { Context } from 'aws-lambda';
import { BadInputError, ConfigError } from '../base/errors.ts';
import { readTelemetrySettings } from './config.ts';
import { createMeasure } from './metrics.ts';
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
  if (!isRefusal(error)) return;
  const { code, message } = error;
  try {
    const settings = readTelemetrySettings(process.env);
    // Anew each time: it is rare, and a logger of runs has the id of the last one.
    const logger = new Logger({ serviceName: settings.serviceName });
    const measure = createMeasure(settings);
    forgiveBrokenPipes();
    logger.warn('Invocation refused', { requestId, code, path: pathIn(message) });
    measure({ RequestsRefused: 1 }, code);
  } catch {
    // A variable of Powertools is wrong, which the error says.
  }
}

/** Whether an error is what a caller or an operator did wrong, so that nothing was done. */
export function isRefusal(error: unknown): error is BadInputError | ConfigError {
  return error instanceof BadInputError || error instanceof ConfigError;
}

const MAX_PATH_CHARS = 200;

/** What stands for the place in a message that `expectation` made; of several, the first. */
function pathIn(message: string): string | undefined {
  return /^Expected `([^`]+)`/.exec(message)?.[1]?.slice(0, MAX_PATH_CHARS);
}
