import { Logger } from '@aws-lambda-powertools/logger';
import type { Clock } from '../base/clock.ts';
import { StoreError } from '../base/errors.ts';
import { endInTime } from '../base/time-limit.ts';
import { pageOfParts, pageOfRun } from '../report/pages.ts';
import type { Redriver } from '../report/redrive-command.ts';
import { isMadeOf, type PageStore } from '../store/page-store.ts';
import type { PlanStore } from '../store/plan-store.ts';
import type { RunStore } from '../store/run-store.ts';
import type { Config } from './config.ts';
import { describeError, forgiveBrokenPipes } from './telemetry.ts';

/** What pages are read from, and written to. */
export interface WritePorts {
  readonly store: Pick<RunStore, 'find' | 'location' | 'stream'>;
  readonly plans: Pick<PlanStore, 'placeOf' | 'readRunManifest'>;
  readonly pages: PageStore;
  readonly clock: Clock;
}

/** As much of Lambda's context as a page needs. */
export interface WriteInvocation {
  readonly invokedFunctionArn?: string;
  getRemainingTimeInMillis(): number;
}

type WriteConfig = Pick<Config, 'report' | 'apiBasePath' | 'serviceName'>;

/** How much of the time that is left may go into the page: the reply of the API has 30 s on its way as well. */
const SHARE_OF_TIME = 0.5;
/** Whoever waits for the reply of a run, and pays for that, does not wait any longer for a store that hangs. */
const MAX_MS = 60_000;
/** How often the page of parts is made anew, as others have written one meanwhile. */
const WRITES = 5;

/**
 * Writes the page of a stored run beside its document, where REPORT says so, unless there is one. Never rejects: a run is
 * done without its page, and the log says why there is none. A run that was `replayed` may well have its page.
 */
export function writeRunPage(
  { runId, replayed }: { readonly runId: string; readonly replayed: boolean },
  config: WriteConfig,
  ports: WritePorts,
  invocation: WriteInvocation,
): Promise<void> {
  const { store, pages } = ports;
  return tellOfPage(runId, config, ports, invocation, async (signal) => {
    if (replayed && (await pages.find(runId, signal))) return undefined;
    const stored = await store.find(runId, signal);
    if (!stored) throw new StoreError(`${store.location(runId)} is not there any more`);
    const { html } = await pageOfRun({ runId, stored }, store, redriverOf(invocation, config), signal);
    const isWritten = await pages.write(runId, { html, madeOf: stored.etag }, undefined, signal);
    return isWritten ? html : undefined;
  });
}

/**
 * The same for the page of a run of parts, which takes the place of one that was made of an earlier run manifest. It has
 * links to the pages of parts, where these are there.
 */
export function writePartsPage(
  runId: string,
  config: WriteConfig,
  ports: WritePorts,
  invocation: WriteInvocation,
): Promise<void> {
  const { plans, pages } = ports;
  return tellOfPage(runId, config, ports, invocation, async (signal) => {
    const { bucket, runManifest } = plans.placeOf(runId);
    const location = `s3://${bucket}/${runManifest}`;
    for (let writes = 1; writes <= WRITES; writes++) {
      // Before the run manifest: whoever reads an older one finds that the page has changed when he writes.
      const earlier = await pages.find(runId, signal);
      const stored = await plans.readRunManifest(runId, signal);
      if (!stored) throw new StoreError(`${location} is not there any more`);
      const { text, etag } = stored;
      if (isMadeOf(earlier, etag)) return undefined;
      const withPages = await pages.partsWithPages(runId, signal);
      const hrefOf = (part: string): string | null => (withPages.has(part) ? `${part}.html` : null);
      const { html } = await pageOfParts({ runId, location, text }, hrefOf, redriverOf(invocation, config));
      if (await pages.write(runId, { html, madeOf: etag }, earlier, signal)) return html;
    }
    throw new StoreError(`${pages.location(runId)} was written ${WRITES} times by others meanwhile`);
  });
}

/** What redrives the runs of an invocation: on AWS, its function. */
export function redriverOf(
  { invokedFunctionArn = '' }: Pick<WriteInvocation, 'invokedFunctionArn'>,
  { apiBasePath }: Pick<Config, 'apiBasePath'>,
): Redriver {
  return { functionArn: invokedFunctionArn.startsWith('arn:') ? invokedFunctionArn : undefined, apiBasePath };
}

/** `write` resolves with the page that it wrote; undefined where there is one already. */
async function tellOfPage(
  runId: string,
  { report, serviceName }: WriteConfig,
  { pages, clock }: WritePorts,
  invocation: WriteInvocation,
  write: (signal: AbortSignal) => Promise<string | undefined>,
): Promise<void> {
  if (report === 'off') return;
  const startMs = clock.now();
  const location = pages.location(runId);
  const shareMs = SHARE_OF_TIME * invocation.getRemainingTimeInMillis();
  const time =
    shareMs > MAX_MS
      ? { remainingMs: MAX_MS, ending: 'a minute was over' }
      : { remainingMs: shareMs, ending: 'half of the time that was left was over' };
  const logger = new Logger({ serviceName });
  forgiveBrokenPipes();
  try {
    const html = await endInTime(`${location} could not be written`, time, { clock }, write);
    if (html === undefined) return;
    const durationMs = Math.round(clock.now() - startMs);
    logger.info('Report written', { runId, location, bytes: Buffer.byteLength(html), durationMs });
  } catch (error) {
    logger.warn('Report not written', { runId, location, error: describeError(error) });
  }
}
