import { isPartRunId } from '../run/redrive-chain.ts';

/** A run that something may be left of. */
export interface RedrivenRun {
  readonly runId: string;
  /** Of parts: one of those is redriven with its run. */
  readonly isOfParts: boolean;
  /** Of the API, which redrives the runs of one document that it has. */
  readonly isOfApi: boolean;
}

/** What redrives runs. */
export interface Redriver {
  /** The function that fetches. @default none: on this machine, the commands of this project do */
  readonly functionArn?: string | undefined;
  /** What the paths of the API start with. */
  readonly apiBasePath: string;
}

/** The command, or the request to the API, that has fetched again what is left of a run. */
export function redriveCommand(
  { runId: ownRunId, isOfParts, isOfApi }: RedrivenRun,
  { functionArn, apiBasePath }: Redriver,
): string {
  const isPart = isPartRunId(ownRunId);
  const runId = isPart ? ownRunId.slice(0, ownRunId.lastIndexOf('.part-')) : ownRunId;
  const event = `'${JSON.stringify({ redrive: runId })}'`;
  if (isOfParts || isPart)
    return functionArn === undefined
      ? `npm run scale -- --redrive${runId.startsWith('-') ? '=' : ' '}${inShell(runId)}`
      : `aws stepfunctions start-execution --state-machine-arn <FetchAtScaleArn> --input ${event}`;
  if (isOfApi) return `GET ${apiBasePath}/batches?redrive=${runId}`;
  return functionArn === undefined
    ? `npm run redrive -- ${runId.startsWith('-') ? '-- ' : ''}${inShell(runId)}`
    : `aws lambda invoke --function-name ${functionArn} --cli-binary-format raw-in-base64-out --payload ${event} reply.json`;
}

/** A shell takes a tilde for a home. */
function inShell(runId: string): string {
  return runId.includes('~') ? `'${runId}'` : runId;
}
