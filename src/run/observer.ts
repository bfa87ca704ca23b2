import type { Id } from '../batch/ids.ts';
import type { RunHead, RunReport } from '../document/run-head.ts';
import type { ReasonCode } from '../fetch/outcome.ts';

/** What a run tells of itself while it runs. */
export interface RunObserver {
  runStarted(run: RunHead): void;
  /** A post of the run that started last is rejected. Called for each one, so it has to be cheap. */
  postRejected(index: number, id: Id, code: ReasonCode): void;
  /** The run's document is stored. */
  runEnded(run: StoredRun): void;
  /** An earlier delivery had stored the document: `run` is what it did, and is not to be counted again. */
  runReplayed(run: StoredRun): void;
  /** The run ends without a document. */
  runFailed(run: RunHead, error: unknown): void;
}

interface StoredRun extends RunReport {
  readonly location: string;
}
