import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
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
import { describeOutcome, parseOutcome } from './report.ts';
import { findLatest, openStoredRuns, parseStoredRun, type StoredRunName } from './stored-runs.ts';
import { type WatchPorts, watchRun } from './watch.ts';

const usage = `npm run results -- <runId> [[--failed] [--ndjson] | --watch] [--bucket <bucket> [--prefix runs/]]

Prints the outcomes of a run, one a line: of the latest of it and its redrives. The run is named by its id, or by the
location of its document, s3://<bucket>/runs/<runId>.json.

  --failed   those alone that failed
  --watch    how far the run is, until it ends
  --ndjson   JSON Lines on a terminal as well
  --bucket   the bucket on AWS, which takes credentials and AWS_REGION. Without one, the local store is read
  --prefix   what the keys start with, unless RESULTS_PREFIX says it`;
const LINE_BREAK = Buffer.from('\n');

await runCommand(usage, async () => {
  const { runId, failed, ndjson, watch, bucket, prefix } = parseRequest();
  await using world = new AsyncDisposableStack();
  const place = await openStoredRuns({ runId, bucket, prefix }, world);
  const stopping = new AbortController();
  const lines = readLines(runId, place, stopping.signal);
  const isForPeople = process.stdout.isTTY && !ndjson;
  const text = Readable.from(textOf(lines, failed, isForPeople), { objectMode: false });
  // Whoever reads may have enough: `| head` say.
  process.stdout.on('error', (error) => stopping.abort(error));
  try {
    if (watch) {
      await watchRun(runId, watchPortsOf(place), stopping.signal);
      return;
    }
    await pipeline(text, process.stdout, { end: false });
    if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain');
  } catch (error) {
    if (error instanceof BatchFetcherError) throw new CommandFailedError(error.message, { cause: error });
    if (!(error instanceof Error && 'code' in error && error.code === 'EPIPE')) throw error;
  }
});

interface Request extends StoredRunName {
  /** Whether only posts are shown that were not fetched. */
  readonly failed: boolean;
  /** Whether JSON Lines are shown on a terminal as well. */
  readonly ndjson: boolean;
  /** Whether the run is followed to its end. */
  readonly watch: boolean;
}

function parseRequest(): Request {
  const options = {
    failed: { type: 'boolean', default: false },
    ndjson: { type: 'boolean', default: false },
    watch: { type: 'boolean', default: false },
    bucket: { type: 'string' },
    prefix: { type: 'string' },
  } as const;
  const { values, positionals } = parseCommandLine({ options, allowPositionals: true });
  if (values.watch && (values.failed || values.ndjson))
    throw new UsageError('Expected --watch without --failed and --ndjson');
  return { ...values, ...parseStoredRun(positionals, values) };
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
  signal: AbortSignal,
): AsyncGenerator<OutcomeLine, void, undefined> {
  const runs = createRunStore(options);
  const plans = createPlanStore(options);
  const latestOf = (id: string): Promise<NamedRun | undefined> =>
    findLatest(id, 'these are the outcomes', runs, console.error, signal);
  const run = await latestOf(runId);
  if (run) {
    yield* outcomesOf(run, runs, signal);
    return;
  }
  const runManifest = await plans.readRunManifest(runId, signal);
  if (!runManifest) {
    const { bucket, runManifest: key } = plans.placeOf(runId);
    throw new UsageError(
      `Expected the id of a run, got ${runId}: there is neither ${runs.location(runId)} nor s3://${bucket}/${key}`,
    );
  }
  for (const entry of parseEntries(runManifest.text, runId)) {
    const { runId: partRunId, firstIndex, requested } = entry;
    const isOther = entry.status === 'failed' && entry.code === 'RUN_CONFLICT';
    // A part that failed may have been fetched since.
    const part = isOther ? undefined : await latestOf(partRunId);
    if (part) {
      for await (const line of outcomesOf(part, runs, signal)) yield move(line, firstIndex);
      continue;
    }
    const last = firstIndex + requested - 1;
    console.error(`Posts ${firstIndex} to ${last} are missing: ${partRunId} has no document`);
    process.exitCode = 1;
  }
}

/** The same outcome, its index counted on from `firstIndex`; the rest of the line is left as it is. */
function move(outcome: OutcomeLine, firstIndex: number): OutcomeLine {
  const index = firstIndex + outcome.index;
  const rest = outcome.line.subarray(`{"index":${outcome.index}`.length);
  return { ...outcome, index, line: Buffer.concat([Buffer.from(`{"index":${index}`), rest]) };
}

async function* textOf(
  lines: AsyncIterable<OutcomeLine>,
  failed: boolean,
  isForPeople: boolean,
): AsyncGenerator<Buffer | string, void, undefined> {
  for await (const { line, reason } of lines) {
    if (failed && !reason) continue;
    yield isForPeople ? `${describeOutcome(parseOutcome(line))}\n` : Buffer.concat([line, LINE_BREAK]);
  }
}
