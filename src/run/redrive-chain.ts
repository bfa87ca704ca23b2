import { RunConflictError } from '../base/errors.ts';
import { type OutcomeLine, readOutcomeLines } from '../document/outcome-line.ts';
import type { RunStore, StoredRun } from '../store/run-store.ts';

/** A run that is in the store, and under which id. */
export interface NamedRun {
  readonly runId: string;
  readonly stored: StoredRun;
}

const REDRIVE = /^(?<runId>.+)\.redrive-(?<number>[1-9]\d{0,8})$/;

/** Which redrive of its run this is, from 1; 0 for none. */
export function redriveNumber(runId: string): number {
  return Number(REDRIVE.exec(runId)?.groups?.number ?? 0);
}

/** The run id of the first redrive of a run, or of that after a redrive. */
export function nextRedriveId(runId: string): string {
  const first = REDRIVE.exec(runId)?.groups?.runId ?? runId;
  return `${first}.redrive-${redriveNumber(runId) + 1}`;
}

/**
 * The redrives of a run, or those after a redrive, as far as they are there. Throws RunConflictError where another
 * run stands in the place of one, and what `find` rejects with.
 */
export async function* redrivesOf(
  { runId, stored }: NamedRun,
  store: Pick<RunStore, 'find'>,
  signal: AbortSignal,
): AsyncGenerator<NamedRun, void, undefined> {
  let source = runId;
  for (;;) {
    const id = nextRedriveId(source);
    const redrive = await store.find(id, signal);
    if (!redrive) return;
    // Equal ids are no proof: any run may have them.
    if (redrive.run.redriveOf !== source || redrive.run.idsSha256 !== stored.run.idsSha256)
      throw noRedrive(id, source);
    yield { runId: id, stored: redrive };
    source = id;
  }
}

/** The error of another run in the place of a redrive. */
export function noRedrive(runId: string, source: string): RunConflictError {
  return new RunConflictError(`The runId ${runId} names a run that is no redrive of ${source}`);
}

/** The outcomes of a stored run, in their order, wherever they are kept. Throws as `readOutcomeLines` and `stream` do. */
export function outcomesOf(
  run: NamedRun,
  store: Pick<RunStore, 'location' | 'stream'>,
  signal: AbortSignal,
): AsyncGenerator<OutcomeLine, void, undefined> {
  const { outcomes } = run.stored;
  const chunks = store.stream(run.runId, outcomes, signal);
  return readOutcomeLines(chunks, outcomesLocation(run, store), outcomes ? 'ndjson' : 'json');
}

/** The object that has the outcomes of a stored run. */
export function outcomesLocation({ runId, stored }: NamedRun, store: Pick<RunStore, 'location'>): string {
  return stored.outcomes?.location ?? store.location(runId);
}
