import { type Clock, sleep } from '../../src/base/clock.ts';
import { countIds } from '../../src/batch/ids.ts';
import { type Claim, claimAsOf } from '../../src/document/claim.ts';
import { gatherStream } from '../../src/gather.ts';
import { READS_IN_FLIGHT } from '../../src/run/parts/conclude.ts';
import { type Part, readPart } from '../../src/run/parts/parts.ts';
import { parseEntries, type RunManifest } from '../../src/run/parts/run-manifest.ts';
import type { ClaimStore } from '../../src/store/claim-store.ts';
import type { PlanStore } from '../../src/store/plan-store.ts';
import type { RunStore, StoredRun } from '../../src/store/run-store.ts';
import { CommandFailedError } from './command.ts';
import { barOf, eraseLine, type Terminal } from './progress.ts';
import { count, describeRun } from './report.ts';
import { tableOf } from './run-table.ts';

/** What following a run needs. */
export interface WatchPorts {
  readonly runs: RunStore;
  readonly claims: ClaimStore;
  readonly plans: PlanStore;
  readonly clock: Clock;
  /** Where the progress goes, and the report: on a terminal, one line that is drawn anew. */
  readonly output: Terminal & { readonly isTTY?: boolean };
}

/** So often it is looked whether the run is further. */
const LOOK_MS = 2_000;
/** Parts are begun in their order: behind so many without a document, hardly any has one. */
const MISSING_AT_ONCE = 1_000;

/**
 * Follows a run to its end: shows how far it is, and then the report of its document, or of its run manifest where it is
 * a run of parts. Rejects with CommandFailedError where the run failed or is lost, and where there is no such
 * run, as the stores do, and with the signal's reason when that aborts.
 */
export async function watchRun(runId: string, ports: WatchPorts, signal: AbortSignal): Promise<void> {
  const { runs, claims, plans, clock, output } = ports;
  const line = progressLine(output);
  let parts: PartsCount | undefined;
  try {
    for (;;) {
      const stored = await runs.find(runId, signal);
      if (stored) return line.end(reportOf(stored, runs.location(runId)));
      const runManifest = await plans.readRunManifest(runId, signal);
      if (runManifest) {
        const { table, missing } = reportOfParts(runId, runManifest.text);
        line.end(table);
        if (missing === 0) return;
        throw new CommandFailedError(`The run ${runId} failed: ${count(missing, 'part')} without a document`);
      }
      const found = await claims.read(runId, signal);
      if (found) line.show(...stateOf(claimAsOf(found.claim, clock.date())));
      else {
        parts ??= await countParts(runId, ports, line, signal);
        await parts.look();
        line.show(...parts.state());
      }
      await sleep(clock, LOOK_MS, signal);
    }
  } finally {
    line.end();
  }
}

/** Of the run, what it is doing, and how much of it is done. */
type State = readonly [text: string, done: number, of: number];

/** Throws CommandFailedError where the run failed. */
function stateOf({ runId, state, requested, done, rejected, perSecond, etaSeconds, problem }: Claim): State {
  if (state === 'failed')
    throw new CommandFailedError(`The run ${runId} failed: ${problem?.detail} (${problem?.code})`);
  if (done === null) return [`${state}, ${count(requested, 'post')}`, 0, requested];
  const words = [
    `${count(done)} of ${count(requested, 'post')}`,
    ...(rejected ? [`${count(rejected)} rejected`] : []),
    ...(perSecond === null ? [] : [`${perSecond.toLocaleString('en')} a second`]),
    ...(etaSeconds === null ? [] : [`${describeSeconds(etaSeconds)} left`]),
  ];
  return [words.join(', '), done, requested];
}

/** The parts of a run that have their documents, counted as they come. */
interface PartsCount {
  /** Looks for those that had none when they were looked for last. */
  look(): Promise<void>;
  state(): State;
}

async function countParts(
  runId: string,
  { runs, plans }: WatchPorts,
  line: ProgressLine,
  signal: AbortSignal,
): Promise<PartsCount> {
  const lines = await plans.readPlan(runId, signal);
  if (!lines) {
    const { bucket, progress, plan } = plans.placeOf(runId);
    throw new CommandFailedError(
      `Expected the id of a run, got ${runId}: there is none of ${runs.location(runId)}, s3://${bucket}/${progress} and s3://${bucket}/${plan}`,
    );
  }
  const planned = await Array.fromAsync(lines, (text, number) => readPart(text, runId, number));
  const requested = planned.reduce((sum, { ids }) => sum + countIds(ids), 0);
  line.note(
    'Parts are counted as their documents come. On AWS, Step Functions counts as well what runs and what failed: aws stepfunctions list-map-runs --execution-arn <arn>, and describe-map-run --map-run-arn <arn>',
  );
  let missing: readonly Part[] = planned;
  return {
    async look() {
      const looked = missing.slice(0, MISSING_AT_ONCE);
      const found = gatherStream(looked, (part, _, signal) => runs.find(part.runId, signal), {
        concurrency: READS_IN_FLIGHT,
        signal,
      });
      const isThere: boolean[] = [];
      // A rejection ends the stream.
      for await (const outcome of found)
        isThere.push((outcome as PromiseFulfilledResult<StoredRun | undefined>).value !== undefined);
      missing = missing.filter((_, i) => !isThere[i]);
    },
    state() {
      const parts = planned.length - missing.length;
      const left = missing.reduce((sum, { ids }) => sum + countIds(ids), 0);
      const text = `${count(parts)} of ${count(planned.length, 'part')}, ${count(requested - left)} of ${count(requested, 'post')}`;
      return [text, requested - left, requested];
    },
  };
}

interface ProgressLine {
  show(...state: State): void;
  /** Says something once. */
  note(text: string): void;
  /** Takes the line off, and prints what is given in its place. */
  end(text?: string): void;
}

/** One line that is drawn anew on a terminal; elsewhere, a line each time that there is something new. */
function progressLine(output: WatchPorts['output']): ProgressLine {
  let shown = '';
  const erase = (): void => {
    if (output.isTTY && shown !== '') output.write(eraseLine);
    shown = '';
  };
  return {
    show(text, done, of) {
      if (text === shown) return;
      output.write(output.isTTY ? `${eraseLine}${barOf(done, of)} ${text}` : `${text}\n`);
      shown = text;
    },
    note(text) {
      erase();
      output.write(`${text}\n`);
    },
    end(text) {
      erase();
      if (text !== undefined) output.write(`${text}\n`);
    },
  };
}

function reportOf(stored: StoredRun, location: string): string {
  return `${describeRun({ ...stored, results: [] }).trim()}\nStored as ${location}`;
}

function reportOfParts(runId: string, text: string): { readonly table: string; readonly missing: number } {
  parseEntries(text, runId);
  const runManifest: RunManifest = JSON.parse(text);
  const { startedAt, finishedAt } = runManifest.summary;
  const tookMs =
    startedAt === null || finishedAt === null ? 0 : Date.parse(finishedAt) - Date.parse(startedAt);
  return { table: tableOf(runId, runManifest, tookMs), missing: runManifest.summary.parts.failed };
}

/** `35 s`, `2 min 5 s`, `1 h 3 min`. */
export function describeSeconds(seconds: number): string {
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes} min ${seconds % 60} s`
    : `${count(Math.floor(minutes / 60))} h ${minutes % 60} min`;
}
