import { RunConflictError, RunNotFoundError } from '../base/errors.ts';
import { isId } from '../batch/parse-ids.ts';
import { gather } from '../gather.ts';
import { isPartRunId } from '../run/redrive-chain.ts';
import type { NamesPage, RunNames } from '../store/run-names.ts';
import type { RunPieces } from '../store/run-pieces.ts';
import { findRun, type ReadPorts, type RunState, stateOf } from './find-run.ts';

export interface RunsRequest {
  /** Where to go on: a run id, or the `next` of an earlier page. @default from the first run on */
  readonly after: string | undefined;
  /** The most runs. */
  readonly limit: number;
}

interface ListedRun extends RunState {
  readonly runId: string;
}

export interface RunsPage {
  readonly runs: readonly ListedRun[];
  /** Where to go on, where there may be more. */
  readonly next?: string;
}

type ListPorts = ReadPorts & { readonly names: RunNames; readonly pieces: Pick<RunPieces, 'findBrief'> };

/**
 * Lists runs, each once, in the order of the names of their documents, whether these are there or not; a run of parts
 * is one run. Objects that are none of a run's are passed over. A page comes from one page of names, which those of parts
 * may fill: it may have fewer runs than asked for, or none, and still have a `next`.
 *
 * Rejects with StoreError where S3 fails, and with the signal's reason when that aborts.
 */
export async function listRuns(
  { after, limit }: RunsRequest,
  ports: ListPorts,
  signal: AbortSignal,
): Promise<RunsPage> {
  const page = await ports.names.page(after, signal);
  const named = runsNamedIn(page, after);
  const taken = named.slice(0, limit);
  const runs = await gather(taken, (run, _, signal) => describe(run, ports, signal), {
    concurrency: Math.max(1, limit),
    signal,
  });
  const next = named.length > limit ? taken.at(-1)?.runId : behind(page, named);
  return { runs: runs.filter((run) => run !== undefined), ...(next !== undefined && { next }) };
}

interface NamedRun {
  readonly runId: string;
  /** Whether its document is known to be there. */
  readonly hasDocument: boolean;
}

/** What ends the name of what is kept of a run. */
const ENDING = /^(?<runId>.+?)(?<other>\.manifest|\.progress)?\.json$/;

/** All runs whose documents have, or would have, their place in this page of names. */
function runsNamedIn({ names, last }: NamesPage, after: string | undefined): readonly NamedRun[] {
  const runs = new Map<string, NamedRun>();
  const add = (runId: string, hasDocument = false): void => {
    const isBefore = after !== undefined && placeOf(runId) <= placeOf(after);
    if (isBefore || isPartRunId(runId) || !isId(runId) || runs.get(runId)?.hasDocument) return;
    runs.set(runId, { runId, hasDocument });
  };
  for (const name of names) {
    const { runId, other } = ENDING.exec(name)?.groups ?? {};
    if (runId !== undefined) add(runId, other === undefined);
  }
  // A run that has no document may have its claim, or its run manifest, behind this page. It has its place in the page
  // only if the last name goes on from its own.
  for (let dot = last?.indexOf('.') ?? -1; last && dot >= 0; dot = last.indexOf('.', dot + 1)) {
    const runId = last.slice(0, dot);
    if (placeOf(runId) < last) add(runId);
  }
  return [...runs.values()].sort((one, other) => (placeOf(one.runId) < placeOf(other.runId) ? -1 : 1));
}

function placeOf(runId: string): string {
  return `${runId}.json`;
}

/** Where to go on behind a page of names, all of whose runs were taken. */
function behind({ last }: NamesPage, named: readonly NamedRun[]): string | undefined {
  if (last === undefined) return undefined;
  const lastName = last.replace(/\.(?:json|ndjson(?:\.gz)?)$/, '');
  const lastRun = named.at(-1)?.runId ?? lastName;
  return placeOf(lastRun) > placeOf(lastName) ? lastRun : lastName;
}

/** Undefined where there is no such run after all, or none that can be read. */
async function describe(
  { runId, hasDocument }: NamedRun,
  ports: ListPorts,
  signal: AbortSignal,
): Promise<ListedRun | undefined> {
  try {
    if (hasDocument) {
      const brief = await ports.pieces.findBrief(runId, signal);
      return brief && { runId, state: 'succeeded', ...brief };
    }
    return { runId, ...stateOf(await findRun(runId, ports, signal)) };
  } catch (error) {
    if (error instanceof RunConflictError || error instanceof RunNotFoundError) return undefined;
    throw error;
  }
}
