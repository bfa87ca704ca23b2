import type { Context } from 'aws-lambda';
import { systemClock } from '../base/clock.ts';
import { endInTime } from '../base/time-limit.ts';
import { endAcceptedClaim } from '../run/end-claim.ts';
import { createClaimStore } from '../store/claim-store.ts';
import { createRunStore } from '../store/run-store.ts';
import { createS3Client } from '../store/s3.ts';
import { isTaskOfApiRun, prefixOf } from './api-runs.ts';
import { readConfig } from './config.ts';

/** All of Lambda's context that a task uses. */
export type TaskContext = Pick<Context, 'getRemainingTimeInMillis'> &
  Partial<Pick<Context, 'awsRequestId' | 'invokedFunctionArn'>>;

/**
 * What the tasks of a state machine work with: the settings, what stores are made of, and what there is to be done with
 * the time and the failure of this invocation. Throws ConfigError where the environment is wrong.
 */
export function openTask(context: TaskContext) {
  const config = readConfig(process.env);
  const clock = systemClock;
  const endMs = clock.now() + context.getRemainingTimeInMillis();
  const client = createS3Client({}, process.env);
  const s3 = { client, bucket: config.resultsBucket, prefix: prefixOf(context, config), clock, endMs };
  const isOfApi = isTaskOfApiRun(context, config);
  return {
    config,
    s3,
    /** Whether the run is one that the API has accepted. */
    isOfApi,
    /** Settles as `work` does. Where a run of the API fails for good by that, its claim says so to who asked for it. */
    async tellingFailure<T>(runId: unknown, work: () => Promise<T>): Promise<T> {
      try {
        return await work();
      } catch (error) {
        const ports = { claims: createClaimStore(s3), store: createRunStore(s3), clock };
        if (isOfApi) await endAcceptedClaim(String(runId), error, ports);
        throw error;
      }
    },
    endInTime<T>(failure: string, work: (outOfTime: AbortSignal) => Promise<T>): Promise<T> {
      const remainingMs = context.getRemainingTimeInMillis();
      return endInTime(failure, { remainingMs }, { clock }, work);
    },
  };
}

export type Task = ReturnType<typeof openTask>;
