import { RunConflictError } from '../base/errors.ts';
import { type LinePlace, type OutcomeLine, readOutcomeLines } from '../document/outcome-line.ts';
import type { RunStore, StoredRun } from '../store/run-store.ts';

/** A run that is in the store, and under which id. */
export interface NamedRun {
  readonly runId: string;
  readonly stored: StoredRun;
}

const REDRIVE = /^(?<runId>.+)\.redrive-(?<number>[1-9]\d{0,8})$/;
const PART = /\.part-\d+(?:\.redrive-\d+)?$/;

/** Which redrive of its run this is, from 1; 0 for none. */
export function redriveNumber(runId: string): number {
  return Number(REDRIVE.exec(runId)?.groups?.number ?? 0);
}

/** Whether a run is a part of another one, or the redrive of a part. */
export function isPartRunId(runId: string): boolean {
  return PART.test(runId);
}

/** The run id of the first redrive of a run, or of that after a redrive. */
export function nextRedriveId(runId: string): string {
  return redriveId(runId, redriveNumber(runId) + 1);
}

/** The id of a run, or of its redrive of this number, by that of any of them. */
function redriveId(runId: string, number: number): string {
  const first = REDRIVE.exec(runId)?.groups?.runId ?? runId;
  return number === 0 ? first : `${first}.redrive-${number}`;
}

/** How far a chain of redrives goes. */
interface Chain {
  /** The last of them, or the run itself where there is none. */
  readonly latest: NamedRun;
  /** Where something else stands in the place of the next one. */
  readonly conflict: RunConflictError | undefined;
}

/**
 * Follows the redrives of a run, or those after a redrive, to the latest. They have no gaps, so that few of them are
 * looked at: those whose distances double, and then halves of what lies between. Of those that it looks at, and the
 * last but one, `latest` is the one that `isWanted`. Rejects with what `find` rejects with.
 */
export async function followRedrives(
  run: NamedRun,
  store: Pick<RunStore, 'find'>,
  signal: AbortSignal,
  isWanted?: (run: NamedRun) => boolean,
): Promise<Chain> {
  const from = redriveNumber(run.runId);
  let latest = run;
  let at = from;
  let missing = Infinity;
  let conflict: RunConflictError | undefined;
  const look = async (number: number): Promise<void> => {
    try {
      const redrive = await findRedrive(run, number, store, signal);
      if (redrive) [latest, at] = [redrive, number];
      else [missing, conflict] = [number, undefined];
    } catch (error) {
      if (!(error instanceof RunConflictError)) throw error;
      [missing, conflict] = [number, error];
    }
  };
  for (let step = 1; missing === Infinity && !isWanted?.(latest); step *= 2) await look(from + step);
  while (missing - at > 1 && !isWanted?.(latest)) await look(Math.floor((at + missing) / 2));
  if (isWanted && !isWanted(latest) && at - from > 1) {
    const earlier = await findRedrive(run, at - 1, store, signal);
    if (earlier && isWanted(earlier)) return { latest: earlier, conflict: undefined };
  }
  return { latest, conflict };
}

/** The redrive of this number; rejects with RunConflictError where another run stands in its place. */
async function findRedrive(
  { runId, stored }: NamedRun,
  number: number,
  store: Pick<RunStore, 'find'>,
  signal: AbortSignal,
): Promise<NamedRun | undefined> {
  const id = redriveId(runId, number);
  const found = await store.find(id, signal);
  if (!found) return undefined;
  const earlierId = redriveId(runId, number - 1);
  // Equal ids are no proof: any run may have them.
  if (found.run.redriveOf !== earlierId || found.run.idsSha256 !== stored.run.idsSha256)
    throw noRedrive(id, earlierId);
  return { runId: id, stored: found };
}

/** The error of another run in the place of a redrive. */
export function noRedrive(runId: string, source: string): RunConflictError {
  return new RunConflictError(`The runId ${runId} names a run that is no redrive of ${source}`);
}

/**
 * The outcomes of a stored run, in their order, wherever they are kept; where `from` is given, from the line on that
 * starts there. Throws as `readOutcomeLines` and `stream` do.
 */
export function outcomesOf(
  run: NamedRun,
  store: Pick<RunStore, 'location' | 'stream'>,
  signal: AbortSignal,
  from?: LinePlace,
): AsyncGenerator<OutcomeLine, void, undefined> {
  const { outcomes } = run.stored;
  const chunks = store.stream(run.runId, outcomes, signal, from?.offset);
  const format = outcomes ? 'ndjson' : 'json';
  const origin = { runId: run.stored.run.id, location: outcomesLocation(run, store) };
  return readOutcomeLines(chunks, origin, format, from?.index);
}

/** The object that has the outcomes of a stored run. */
export function outcomesLocation({ runId, stored }: NamedRun, store: Pick<RunStore, 'location'>): string {
  return stored.outcomes?.location ?? store.location(runId);
}
