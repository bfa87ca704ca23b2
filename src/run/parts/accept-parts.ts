import { createHash } from 'node:crypto';
import { BadInputError, badInput, HandoverError, RunConflictError } from '../../base/errors.ts';
import { endInTime } from '../../base/time-limit.ts';
import type { BaseForm } from '../../batch/base-form.ts';
import { countIds } from '../../batch/ids.ts';
import type { Claim } from '../../document/claim.ts';
import type { RunHead } from '../../document/run-head.ts';
import type { PlanStore } from '../../store/plan-store.ts';
import { acceptRun } from '../accept-run.ts';
import type { RunPorts, RunSettings, RunTime } from '../fetch-and-store.ts';
import type { ClaimPorts } from '../held-claim.ts';
import type { RunName } from '../run-batch.ts';
import { MAX_PLANNED_RUN_ID_CHARS } from './parts.ts';

/** A run of any length that is asked for, for the state machine to do. */
export interface PartsRequest extends RunName {
  readonly form: Exclude<BaseForm, { readonly kind: 'redrive' }>;
}

interface AcceptPartsPorts extends ClaimPorts {
  readonly store: Pick<RunPorts['store'], 'location' | 'find'>;
  readonly plans: Pick<PlanStore, 'readRunManifestEnd'>;
}

/** Executions that a run may have had before. */
const MAX_EXECUTIONS = 20;
const MAX_NAME_START_CHARS = 40;

/**
 * Accepts a run that the state machine is to do: claims its id, and has `start` start an execution under a name, which
 * resolves with whether there was none of that name before. Resolves with whether there is a new one; where the run is
 * accepted, or has its run manifest, nothing is started.
 *
 * What the claim has as `idsSha256` is the hash of what is asked for, ids or manifest: a list of ids may be of any
 * length, and a manifest has yet to be read. `requested` of a manifest is 0 as long.
 *
 * Rejects with BadInputError for what no run of parts can be, with RunConflictError where the run id is another run's,
 * with StoreError where S3 fails, and with what `start` rejects with.
 */
export async function acceptParts(
  request: PartsRequest,
  start: (executionName: string, signal: AbortSignal) => Promise<boolean>,
  settings: Pick<RunSettings, 'postUrl'>,
  ports: AcceptPartsPorts,
  time: RunTime,
): Promise<boolean> {
  const { runId, form } = request;
  if (!form.returnExceptions)
    throw new BadInputError(
      'Expected `body.returnExceptions` to be true of a run that is done in parts, got false',
    );
  if (runId.length > MAX_PLANNED_RUN_ID_CHARS)
    throw badInput(
      'runId',
      `at most ${MAX_PLANNED_RUN_ID_CHARS} characters long for a run that is done in parts`,
      runId,
    );
  const run = headOf(request, settings, ports.clock.date());
  return endInTime(`${runId} could not be accepted`, time, ports, (outOfTime) =>
    acceptRun(
      run,
      {
        findStored: () => findConcluded(run, ports, outOfTime),
        requireSame: (claim) => requireSameRun(run, claim),
      },
      () => startFirst(runId, (name) => start(name, outOfTime)),
      ports,
      outOfTime,
    ),
  );
}

function headOf(
  { runId, trigger, requestId, form }: PartsRequest,
  { postUrl }: Pick<RunSettings, 'postUrl'>,
  date: Date,
): RunHead {
  const what = form.kind === 'ids' ? form.ids : [form.location.bucket, form.location.key];
  return {
    id: runId,
    trigger,
    requestId,
    startedAt: date.toISOString(),
    urlTemplate: postUrl.text,
    returnExceptions: true,
    requested: form.kind === 'ids' ? countIds(form.ids) : 0,
    idsSha256: sha256(JSON.stringify(what)),
  };
}

/** Whether the run is over, as its run manifest says. Rejects where the run id is another run's. */
async function findConcluded(
  run: RunHead,
  { store, plans, claims }: AcceptPartsPorts,
  signal: AbortSignal,
): Promise<true | undefined> {
  const [document, manifest] = await Promise.all([
    store.find(run.id, signal),
    plans.readRunManifestEnd(run.id, signal),
  ]);
  if (document) throw new RunConflictError(`The runId ${run.id} names a run that was not done in parts`);
  if (manifest === undefined) return undefined;
  const accepted = await claims.read(run.id, signal);
  if (accepted) requireSameRun(run, accepted.claim);
  return true;
}

function requireSameRun({ id, idsSha256 }: RunHead, claim: Claim): void {
  if (claim.idsSha256 !== idsSha256)
    throw new RunConflictError(`The runId ${id} names an earlier run of other ids`);
}

/** An execution that has ended keeps its name, and the run may be begun anew. */
async function startFirst(runId: string, start: (name: string) => Promise<boolean>): Promise<void> {
  for (let number = 1; number <= MAX_EXECUTIONS; number++)
    if (await start(executionName(runId, number))) return;
  throw new HandoverError(`The run ${runId} has had ${MAX_EXECUTIONS} executions`);
}

/**
 * A name of at most 80 characters that Step Functions and CloudWatch take, which no other run has: two requests for the
 * same run at once start one execution.
 */
function executionName(runId: string, number: number): string {
  const start = runId.replaceAll(/[^A-Za-z0-9_-]/g, '-').slice(0, MAX_NAME_START_CHARS);
  return `${start}-${sha256(runId).slice(0, 32)}${number === 1 ? '' : `-${number}`}`;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
