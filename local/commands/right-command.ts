import { existsSync } from 'node:fs';
import { keysOf } from '../../src/store/keys.ts';
import { fileOf, localBucket } from '../world/places.ts';
import { CommandFailedError, UsageError } from './command.ts';
import { parseRunName, prefixOfEnvironment } from './run-name.ts';

/** What redrives a run: `redrive` that of one document, `scale` that of parts. */
type Redriving = 'redrive' | 'scale';

/**
 * The id of a run that this command is to redrive, by its id or its location. Throws CommandFailedError, which names the
 * right way, where another one redrives it. A run that is not there is for the function to refuse.
 */
export function parseRedrivenRun(text: string, command: Redriving): string {
  const ownPrefix = prefixOfEnvironment();
  const { runId, bucket = localBucket, prefix } = parseRunName(text, ownPrefix);
  if (bucket !== localBucket)
    throw new UsageError(
      `Expected a run of the local store, got ${text}: one on AWS is redriven there, by the event {"redrive":"${runId}"}`,
    );
  const isDocument = isThere(ownPrefix, runId, 'document');
  const isOfParts = isThere(ownPrefix, runId, 'plan') || isThere(ownPrefix, runId, 'runManifest');
  const apiPrefix = `${ownPrefix}api/`;
  const isOfApi = isThere(apiPrefix, runId, 'document');
  if (prefix === apiPrefix || (isOfApi && !isDocument && !isOfParts))
    throw new CommandFailedError(
      `${runId} is a run of the API, which redrives it: GET /batches?redrive=${runId}, under npm run offline`,
    );
  if (prefix !== ownPrefix)
    throw new UsageError(`Expected a run under ${ownPrefix} (RESULTS_PREFIX), got ${text}`);
  if (command === 'redrive' && isOfParts && !isDocument)
    throw new CommandFailedError(
      `${runId} is a run of parts, which another command redrives: npm run scale -- --redrive=${runId}`,
    );
  if (command === 'scale' && isDocument && !isOfParts)
    throw new CommandFailedError(
      `${runId} is no run of parts, but of one document, which another command redrives: npm run redrive -- ${runId}`,
    );
  return runId;
}

function isThere(prefix: string, runId: string, what: 'document' | 'plan' | 'runManifest'): boolean {
  return existsSync(fileOf(`s3://${localBucket}/${keysOf(prefix, runId)[what]}`));
}
