import type { Id } from '../batch/ids.ts';
import { type Claim, RunInProgressError } from '../document/claim.ts';
import type { RunHead } from '../document/run-head.ts';
import type { ReasonCode } from '../fetch/outcome.ts';
import type { Run } from './replay.ts';

/** What a run tells of itself while it runs. */
export interface RunObserver {
  runStarted(run: RunHead): void;
  /** A post of the run that started last is rejected. Called for each one, so it has to be cheap. */
  postRejected(index: number, id: Id, code: ReasonCode): void;
  /** The run's document is stored. */
  runEnded(run: Run): void;
  /** An earlier delivery had stored the document: `run` is what it did, and is not to be counted again. */
  runReplayed(run: Run): void;
  /** The run is under way elsewhere, as `claim` says, or was taken over: nothing is counted, and nothing has failed. */
  runInProgress(run: RunHead, claim: Claim): void;
  /** The run ends without a document. */
  runFailed(run: RunHead, error: unknown): void;
}

/** Settles as `work` does, and lets `observer` hear of its start and its end. */
export async function observeRun(
  head: RunHead,
  observer: RunObserver,
  work: () => Promise<Run>,
): Promise<Run> {
  observer.runStarted(head);
  try {
    const run = await work();
    if (run.replayed) observer.runReplayed(run);
    else observer.runEnded(run);
    return run;
  } catch (error) {
    if (error instanceof RunInProgressError) observer.runInProgress(head, error.claim);
    else observer.runFailed(head, error);
    throw error;
  }
}
