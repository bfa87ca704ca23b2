import type { S3Store } from './s3.ts';

/** Settings of the functions for a run whose output is for its reply alone. */
export const quiet: Readonly<Record<string, string>> = {
  POWERTOOLS_LOG_LEVEL: 'SILENT',
  POWERTOOLS_METRICS_DISABLED: 'true',
};

/** Has what this process sends to S3, and what it starts sends there, go to a store of its own. */
export function useStore({ environment }: S3Store): void {
  // The user's own credentials have no business in a local run.
  delete process.env.AWS_PROFILE;
  delete process.env.AWS_SESSION_TOKEN;
  Object.assign(process.env, environment);
}
