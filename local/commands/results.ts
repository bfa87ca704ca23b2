import { systemClock } from '../../src/base/clock.ts';
import { BatchFetcherError } from '../../src/base/errors.ts';
import type { OutcomeLine } from '../../src/document/outcome-line.ts';
import { parseEntries } from '../../src/run/parts/run-manifest.ts';
import { type NamedRun, outcomesOf } from '../../src/run/redrive-chain.ts';
import { createClaimStore } from '../../src/store/claim-store.ts';
import type { StoreOptions } from '../../src/store/keys.ts';
import { createPlanStore } from '../../src/store/plan-store.ts';
import { createRunStore } from '../../src/store/run-store.ts';
import { CommandFailedError, parseCommandLine, runCommand, UsageError } from './command.ts';
import { exportOutcomes, type ReadListener } from './export-outcomes.ts';
import { FORMATS, type FormatName, isFormatName } from './formats/format.ts';
import type { RunLine } from './formats/rows.ts';
import { stopBySignal } from './stop-by-signal.ts';
import { findLatest, openStoredRuns, parseStoredRun, type StoredRunName } from './stored-runs.ts';
import { type WatchPorts, watchRun } from './watch.ts';
import { cannotWrite, isSystemError } from './write-whole.ts';

const usage = `npm run results -- <runId> [[--failed] [--format <format> [--out <file>]] | --watch] [--bucket <bucket> [--prefix runs/]]

Prints the outcomes of a run, one a line: of the latest of it and its redrives. The run is named by its id, or by the
location of its document, s3://<bucket>/runs/<runId>.json.

  --failed   those alone that failed
  --watch    how far the run is, until it ends
  --format   as ndjson, csv or parquet, whose columns docs/data.md has. What is no terminal gets ndjson without it
  --out      into this file, which is there, or replaced, once it is whole
  --bucket   the bucket on AWS, which takes credentials and AWS_REGION. Without one, the local store is read
  --prefix   what the keys start with, unless RESULTS_PREFIX says it`;

await runCommand(usage, async () => {
  const { runId, failed, format, out, watch, bucket, prefix } = parseRequest();
  const stopping = new AbortController();
  await using world = new AsyncDisposableStack();
  if (out !== undefined) world.use(stopBySignal(stopping));
  const place = await openStoredRuns({ runId, bucket, prefix }, world);
  // Whoever reads may have enough: `| head` say.
  process.stdout.on('error', (error) => stopping.abort(error));
  try {
    if (watch) {
      await watchRun(runId, watchPortsOf(place), stopping.signal);
      return;
    }
    const read = (listener: ReadListener) => readLines(runId, place, listener, stopping.signal);
    const options = { failed, format, out, progress: process.stderr };
    await exportOutcomes(read, options, stopping.signal);
  } catch (error) {
    if (error instanceof BatchFetcherError) throw new CommandFailedError(error.message, { cause: error });
    if (!isSystemError(error)) throw error;
    if (error.code !== 'EPIPE') throw cannotWrite('standard output', error);
  }
});

interface Request extends StoredRunName {
  /** Whether only posts are shown that were not fetched. */
  readonly failed: boolean;
  /** @default for people on a terminal, else ndjson */
  readonly format: FormatName | undefined;
  /** The file that they are written to; undefined for standard output. */
  readonly out: string | undefined;
  /** Whether the run is followed to its end. */
  readonly watch: boolean;
}

function parseRequest(): Request {
  const options = {
    failed: { type: 'boolean', default: false },
    format: { type: 'string' },
    out: { type: 'string' },
    watch: { type: 'boolean', default: false },
    bucket: { type: 'string' },
    prefix: { type: 'string' },
  } as const;
  const { values, positionals } = parseCommandLine({ options, allowPositionals: true });
  const { watch, failed, out } = values;
  if (watch && (failed || values.format !== undefined || out !== undefined))
    throw new UsageError('Expected --watch without --failed, --format and --out');
  const format = parseFormat(values.format, out);
  return { watch, failed, out, format, ...parseStoredRun(positionals, values) };
}

function parseFormat(format: string | undefined, out: string | undefined): FormatName | undefined {
  if (format === undefined && out !== undefined) throw new UsageError('Expected --format beside --out');
  if (format !== undefined && !isFormatName(format))
    throw new UsageError(`Expected --format to be one of ${Object.keys(FORMATS).join(', ')}, got ${format}`);
  if (format === 'parquet' && out === undefined && process.stdout.isTTY)
    throw new UsageError(
      'Expected --out <file> or a pipe for parquet, which is nothing that a terminal shows',
    );
  return format;
}

function watchPortsOf(place: StoreOptions): WatchPorts {
  return {
    runs: createRunStore(place),
    claims: createClaimStore(place),
    plans: createPlanStore(place),
    clock: systemClock,
    output: process.stdout,
  };
}

/**
 * The outcomes of a run, or of the parts of one in their order, each with its index in the whole run: of the latest of
 * a run or part and its redrives, which is told.
 */
async function* readLines(
  runId: string,
  options: StoreOptions,
  listener: ReadListener,
  signal: AbortSignal,
): AsyncGenerator<RunLine, void, undefined> {
  const runs = createRunStore(options);
  const plans = createPlanStore(options);
  const latestOf = (id: string): Promise<NamedRun | undefined> =>
    findLatest(id, 'these are the outcomes', runs, listener.said, signal);
  const run = await latestOf(runId);
  if (run) {
    listener.found(run.stored.summary.requested);
    for await (const line of outcomesOf(run, runs, signal)) yield { ...line, runId: run.runId };
    return;
  }
  const runManifest = await plans.readRunManifest(runId, signal);
  if (!runManifest) {
    const { bucket, runManifest: key } = plans.placeOf(runId);
    throw new CommandFailedError(
      `Expected the id of a run, got ${runId}: there is neither ${runs.location(runId)} nor s3://${bucket}/${key}`,
    );
  }
  const entries = parseEntries(runManifest.text, runId);
  listener.found(entries.reduce((sum, { requested }) => sum + requested, 0));
  for (const entry of entries) {
    const { runId: partRunId, firstIndex, requested } = entry;
    const isOther = entry.status === 'failed' && entry.code === 'RUN_CONFLICT';
    // A part that failed may have been fetched since.
    const part = isOther ? undefined : await latestOf(partRunId);
    if (part) {
      for await (const line of outcomesOf(part, runs, signal))
        yield { ...move(line, firstIndex), runId: part.runId };
      continue;
    }
    const last = firstIndex + requested - 1;
    listener.said(`Posts ${firstIndex} to ${last} are missing: ${partRunId} has no document`);
    process.exitCode = 1;
  }
}

/** The same outcome, its index counted on from `firstIndex`; the rest of the line is left as it is. */
function move(outcome: OutcomeLine, firstIndex: number): OutcomeLine {
  const index = firstIndex + outcome.index;
  const rest = outcome.line.subarray(`{"index":${outcome.index}`.length);
  return { ...outcome, index, line: Buffer.concat([Buffer.from(`{"index":${index}`), rest]) };
}
