import type { Id } from '../batch/ids.ts';
import type { RunHead } from '../document/run-head.ts';
import { parseEntries, parseRunManifestReport } from '../run/parts/run-manifest.ts';
import { type NamedRun, outcomesOf } from '../run/redrive-chain.ts';
import type { RunStore } from '../store/run-store.ts';
import type { PagedParts } from './parts-page.ts';
import type { Redriver } from './redrive-command.ts';
import type { StatedRun } from './state-page.ts';

/* What makes pages is loaded when one is made, as hardly any invocation does; what it throws is of the modules here. */

/** A page, and what a browser has to be told besides. */
export interface Page {
  readonly html: string;
  /** The Content-Security-Policy, as a header. */
  readonly policy: string;
}

/**
 * The page of a stored run, which is read back from the store. Rejects as `outcomesOf` throws, and where the build has no
 * template.
 */
export async function pageOfRun(
  run: NamedRun,
  store: Pick<RunStore, 'find' | 'location' | 'stream'>,
  redriver: Redriver,
  signal: AbortSignal,
): Promise<Page> {
  const { runId, stored } = run;
  const [{ readTemplate }, { redriveCommand }, { makeRunPage }] = await Promise.all([
    import('./template.ts'),
    import('./redrive-command.ts'),
    import('./run-page.ts'),
  ]);
  const template = await readTemplate();
  const isOfApi = stored.run.trigger === 'api';
  const html = await makeRunPage(template, {
    location: store.location(runId),
    report: stored,
    outcomes: outcomesOf(run, store, signal),
    redrive: redriveCommand({ runId, isOfParts: false, isOfApi }, redriver),
    toFetch: await toFetchOf(stored.run, store, signal),
  });
  return { html, policy: template.policy };
}

/** What a redrive was to fetch again; undefined of any other run, and where its source has expired. */
async function toFetchOf(
  { redriveOf }: RunHead,
  store: Pick<RunStore, 'find'>,
  signal: AbortSignal,
): Promise<readonly Id[] | undefined> {
  const source = redriveOf === undefined ? undefined : await store.find(redriveOf, signal);
  return source?.errors.retryableIds;
}

/** A stored run of parts. */
export interface NamedParts {
  readonly runId: string;
  /** `s3://bucket/key` of its run manifest. */
  readonly location: string;
  /** Of its run manifest. */
  readonly text: string;
}

/**
 * The page of a run of parts. Rejects with RunConflictError where the text is no run manifest of this run, and where the
 * build has no template.
 */
export async function pageOfParts(
  { runId, location, text }: NamedParts,
  hrefOf: PagedParts['hrefOf'],
  redriver: Redriver,
): Promise<Page> {
  const report = parseRunManifestReport(text, text, runId);
  const entries = parseEntries(text, runId);
  const [{ readTemplate }, { redriveCommand }, { makePartsPage }] = await Promise.all([
    import('./template.ts'),
    import('./redrive-command.ts'),
    import('./parts-page.ts'),
  ]);
  const template = await readTemplate();
  const redrive = redriveCommand({ runId, isOfParts: true, isOfApi: false }, redriver);
  return {
    html: makePartsPage(template, { location, report, entries, redrive, hrefOf }),
    policy: template.policy,
  };
}

/** The page of a run that has no document, or not yet. */
export async function pageOfState(run: StatedRun): Promise<Page> {
  const { makeStatePage, STATE_POLICY } = await import('./state-page.ts');
  return { html: makeStatePage(run), policy: STATE_POLICY };
}

/** Tells the pages that this build makes of something from those of another. */
export async function pageTag(): Promise<string> {
  const { readTemplate } = await import('./template.ts');
  return (await readTemplate()).tag;
}
