import { follow } from '../base/abort.ts';
import type { Clock } from '../base/clock.ts';
import type { FoundResults, FoundRun } from '../reading/find-run.ts';
import { type Page, pageOfParts, pageOfRun, pageOfState, pageTag } from '../report/pages.ts';
import type { Redriver } from '../report/redrive-command.ts';
import { bareEtag, isMadeOf, type PageStore } from '../store/page-store.ts';
import type { PlanStore } from '../store/plan-store.ts';
import type { ResultUrls } from '../store/result-urls.ts';
import type { RunStore } from '../store/run-store.ts';
import type { ApiDialect } from './events/http-request.ts';
import { hasEntityTag } from './events/read-request.ts';
import { type ApiReply, apiReply, fittingReply, HTML_TYPE } from './events/reply.ts';

/** A browser that asks for a run. */
export interface AskedPage {
  readonly runId: string;
  readonly ifNoneMatch: string;
  readonly dialect: ApiDialect;
}

export interface PagePorts {
  readonly store: Pick<RunStore, 'find' | 'location' | 'stream'>;
  readonly plans: Pick<PlanStore, 'placeOf' | 'readRunManifest'>;
  readonly pages: Pick<PageStore, 'find'>;
  readonly urls: ResultUrls;
  readonly redriver: Redriver;
  readonly clock: Clock;
}

/** How much of the time that is left may go into making a page. */
const SHARE_OF_TIME = 0.5;
/** Of a run manifest that a page is made of; above that, the memory of a small function would not do. */
const MAX_MANIFEST_BYTES = 16 * 1024 * 1024;
/** A constant: a signal that is given no reason makes an error of its own, with a stack. */
const TOO_LATE = 'The page takes too long';

/** What a reply says that is another one where JSON is asked for. */
export const VARIES: Readonly<Record<string, string>> = { vary: 'accept' };

/**
 * The reply to a browser: the page of the run, made now; else the way to the one that is stored, where the page has no
 * place in a reply, or takes too long to be made. Undefined where there is neither.
 *
 * Rejects as `pageOfRun` and `pageOfParts` do, and with StoreError where S3 fails.
 */
export async function answerPage(
  asked: AskedPage,
  found: FoundRun,
  ports: PagePorts,
  time: { readonly remainingMs: number },
  signal: AbortSignal,
): Promise<ApiReply | undefined> {
  const { runId, ifNoneMatch, dialect } = asked;
  if (found.kind === 'under-way') {
    const { state, progress, retryAfterSeconds } = found;
    const page = await pageOfState({ runId, state, progress, retryAfterSeconds });
    const more = { 'retry-after': String(retryAfterSeconds), ...headersOf(page) };
    return apiReply(dialect, 202, HTML_TYPE, page.html, more);
  }
  const etag = `"${bareEtag(etagOf(found))}-${await pageTag()}"`;
  if (hasEntityTag(ifNoneMatch, etag)) return apiReply(dialect, 304, undefined, '', { etag, ...VARIES });
  if (found.kind === 'failed') {
    const page = await pageOfState({ runId, state: 'failed', problem: found.problem });
    return apiReply(dialect, 200, HTML_TYPE, page.html, { etag, ...headersOf(page) });
  }
  const page = await makeInTime(SHARE_OF_TIME * time.remainingMs, ports, signal, (making) =>
    pageOfResults(runId, found, ports, making),
  );
  const reply = page && fittingReply(dialect, page.html, { etag, ...headersOf(page) }, HTML_TYPE);
  return reply ?? wayToStored(asked, found, ports, signal);
}

function headersOf({ policy }: Page): Readonly<Record<string, string>> {
  return { 'content-security-policy': policy, ...VARIES };
}

/** Undefined where it takes longer. */
async function makeInTime(
  ms: number,
  { clock }: PagePorts,
  signal: AbortSignal,
  make: (signal: AbortSignal) => Promise<Page | undefined>,
): Promise<Page | undefined> {
  using making = follow(signal);
  const cancel = clock.after(ms, () => making.abort(TOO_LATE));
  try {
    return await make(making.signal);
  } catch (error) {
    if (error === TOO_LATE) return undefined;
    throw error;
  } finally {
    cancel();
  }
}

/** Undefined of a run of too many parts. */
async function pageOfResults(
  runId: string,
  found: FoundResults,
  { store, plans, redriver }: PagePorts,
  signal: AbortSignal,
): Promise<Page | undefined> {
  if (found.kind === 'document') return pageOfRun({ runId, stored: found.stored }, store, redriver, signal);
  if (found.bytes > MAX_MANIFEST_BYTES) return undefined;
  const { bucket, runManifest } = plans.placeOf(runId);
  const stored = await plans.readRunManifest(runId, signal);
  const parts = { runId, location: `s3://${bucket}/${runManifest}` };
  // Beside this run in the API as well, where each has its page.
  return stored && pageOfParts({ ...parts, text: stored.text }, (part) => part, redriver);
}

async function wayToStored(
  { runId, dialect }: AskedPage,
  found: FoundResults,
  { pages, urls }: PagePorts,
  signal: AbortSignal,
): Promise<ApiReply | undefined> {
  const stored = await pages.find(runId, signal);
  if (!isMadeOf(stored, etagOf(found))) return undefined;
  const location = await urls.urlOf(runId, 'page', signal);
  return apiReply(dialect, 303, undefined, '', { location, ...VARIES });
}

function etagOf(found: Exclude<FoundRun, { kind: 'under-way' }>): string {
  return found.kind === 'document' ? found.stored.etag : found.etag;
}
