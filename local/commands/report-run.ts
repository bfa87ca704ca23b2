import { mkdir } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { systemClock } from '../../src/base/clock.ts';
import { BatchFetcherError, RunNotFoundError } from '../../src/base/errors.ts';
import { findRun } from '../../src/reading/find-run.ts';
import { pageOfParts, pageOfRun } from '../../src/report/pages.ts';
import type { Redriver } from '../../src/report/redrive-command.ts';
import { parseEntries } from '../../src/run/parts/run-manifest.ts';
import { createClaimStore } from '../../src/store/claim-store.ts';
import type { StoreOptions } from '../../src/store/keys.ts';
import { createPlanStore, type PlanStore } from '../../src/store/plan-store.ts';
import { createRunStore, type RunStore } from '../../src/store/run-store.ts';
import { buildIfStale } from '../world/build-if-stale.ts';
import { reportDirectory } from '../world/places.ts';
import { CommandFailedError, callerDirectory, parseCommandLine, runCommand } from './command.ts';
import { openInBrowser } from './open-in-browser.ts';
import { keepProgressLine } from './progress.ts';
import { count } from './report.ts';
import { findLatest, openStoredRuns, parseStoredRun, type StoredRunName } from './stored-runs.ts';
import { replaceWhole } from './write-whole.ts';

const usage = `npm run report -- <runId> [--out <file>.html] [--open] [--bucket <bucket> [--prefix runs/]]

Makes the page of a run, which needs nothing else: of the latest of it and its redrives. Of a run of parts, the page of
its parts, and beside it that of each. The run is named by its id, or by the location of its document,
s3://<bucket>/runs/<runId>.json.

  --out      the file, .local/reports/<runId>.html unless it says otherwise. One that is there is replaced
  --open     opens it in the browser
  --bucket   the bucket on AWS, which takes credentials and AWS_REGION. Without one, the local store is read
  --prefix   what the keys start with, unless RESULTS_PREFIX says it`;

await runCommand(usage, async () => {
  const request = parseRequest();
  await buildIfStale();
  await using world = new AsyncDisposableStack();
  const place = await openStoredRuns(request, world);
  try {
    const file = await report(request, place);
    const url = pathToFileURL(file).href;
    console.log(`Report in ${relative(callerDirectory, file)}\n${url}`);
    if (request.open) await openInBrowser(url);
  } catch (error) {
    if (error instanceof BatchFetcherError) throw new CommandFailedError(error.message, { cause: error });
    throw error;
  }
});

interface Request extends StoredRunName {
  /** The file of the page, by its whole path; undefined where the name of the run is that of the file. */
  readonly out: string | undefined;
  readonly open: boolean;
}

function parseRequest(): Request {
  const options = {
    out: { type: 'string' },
    open: { type: 'boolean', default: false },
    bucket: { type: 'string' },
    prefix: { type: 'string' },
  } as const;
  const { values, positionals } = parseCommandLine({ options, allowPositionals: true });
  const { out, open } = values;
  return { ...parseStoredRun(positionals, values), out: out && resolve(callerDirectory, out), open };
}

interface Stores {
  readonly store: RunStore;
  readonly plans: PlanStore;
}

/** Writes the page of a run, and of its parts where it has some. Resolves with the file of the first. */
async function report({ runId, bucket, out }: Request, place: StoreOptions): Promise<string> {
  const stores: Stores = { store: createRunStore(place), plans: createPlanStore(place) };
  const redriver = { functionArn: bucket === undefined ? undefined : '<FetchFunctionArn>', apiBasePath: '' };
  const { signal } = new AbortController();
  const latest = await findLatest(runId, 'this is the report', stores.store, console.error, signal);
  if (latest) {
    const { html } = await pageOfRun(latest, stores.store, redriver, signal);
    return write(out ?? fileOf(latest.runId), html, signal);
  }
  await requireParts(runId, stores, place, signal);
  return reportParts(runId, out ?? fileOf(runId), stores, redriver, signal);
}

function fileOf(runId: string): string {
  return join(reportDirectory, `${runId}.html`);
}

/** Rejects with CommandFailedError, which says why, where there is no run manifest. */
async function requireParts(
  runId: string,
  { store, plans }: Stores,
  place: StoreOptions,
  signal: AbortSignal,
): Promise<void> {
  const ports = { store, plans, claims: createClaimStore(place), clock: systemClock };
  const found = await findRun(runId, ports, signal).catch((error: unknown) => {
    if (!(error instanceof RunNotFoundError)) throw error;
    throw new CommandFailedError(`${error.message}: expected ${store.location(runId)}`);
  });
  if (found.kind === 'failed')
    throw new CommandFailedError(
      `The run ${runId} failed, and has no report: ${found.problem.detail} (${found.problem.code})`,
    );
  if (found.kind === 'under-way')
    throw new CommandFailedError(
      `The run ${runId} is ${found.state}, and has its report when it has ended: npm run results -- ${runId} --watch`,
    );
}

async function reportParts(
  runId: string,
  file: string,
  { store, plans }: Stores,
  redriver: Redriver,
  signal: AbortSignal,
): Promise<string> {
  const { bucket, runManifest } = plans.placeOf(runId);
  const location = `s3://${bucket}/${runManifest}`;
  const stored = await plans.readRunManifest(runId, signal);
  if (!stored) throw new CommandFailedError(`${location} is not there any more`);
  const entries = parseEntries(stored.text, runId);
  const pages = new Map<string, string>();
  let done = 0;
  const line = keepProgressLine(process.stderr, () => ({
    text: `${count(done)} of ${count(entries.length, 'part')}`,
    share: done / entries.length,
  }));
  try {
    for (const { runId: partRunId, status } of entries) {
      const part = status === 'stored' ? await store.find(partRunId, signal) : undefined;
      if (part) {
        const { html } = await pageOfRun({ runId: partRunId, stored: part }, store, redriver, signal);
        const name = `${partRunId}.html`;
        await write(join(dirname(file), name), html, signal);
        pages.set(partRunId, name);
      } else line.say(`The part ${partRunId} has no document, and so no page`);
      done += 1;
    }
  } finally {
    line.stop();
  }
  const hrefOf = (partRunId: string): string | null => pages.get(partRunId) ?? null;
  const { html } = await pageOfParts({ runId, location, text: stored.text }, hrefOf, redriver);
  return write(file, html, signal);
}

/** Replaces a file at once: whoever opens it sees all of the page, or what was there before. */
async function write(file: string, html: string, signal: AbortSignal): Promise<string> {
  try {
    await mkdir(dirname(file), { recursive: true });
    await replaceWhole(file, html, signal);
    return file;
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? error.code : error;
    throw new CommandFailedError(`${file} could not be written: ${why}`, { cause: error });
  }
}
