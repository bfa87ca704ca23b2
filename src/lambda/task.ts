import type { Context } from 'aws-lambda';
import { systemClock } from '../base/clock.ts';
import { endInTime } from '../base/time-limit.ts';
import { createS3Client } from '../store/s3.ts';
import { readConfig } from './config.ts';

/** All of Lambda's context that a task uses. */
export type TaskContext = Pick<Context, 'getRemainingTimeInMillis'> & Partial<Pick<Context, 'awsRequestId'>>;

/**
 * What the tasks of the state machine work with: the settings, what stores are made of, and `endInTime`, for the time
 * of this invocation. Throws ConfigError where the environment is wrong.
 */
export function openTask(context: TaskContext) {
  const config = readConfig(process.env);
  const clock = systemClock;
  const endMs = clock.now() + context.getRemainingTimeInMillis();
  const client = createS3Client({}, process.env);
  return {
    config,
    s3: { client, bucket: config.resultsBucket, prefix: config.resultsPrefix, clock, endMs },
    endInTime<T>(failure: string, work: (outOfTime: AbortSignal) => Promise<T>): Promise<T> {
      const remainingMs = context.getRemainingTimeInMillis();
      return endInTime(failure, { remainingMs }, { clock }, work);
    },
  };
}
