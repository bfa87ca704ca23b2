import type { PartEntry, RunManifestReport } from '../run/parts/run-manifest.ts';
import { fillTemplate, jsonInScript } from './fill-template.ts';
import type { PartRow, PartsPage } from './page-data.ts';
import type { PageTemplate } from './template.ts';

/** A stored run of parts of which a page is made. */
export interface PagedParts {
  /** `s3://bucket/key` of its run manifest. */
  readonly location: string;
  /** Both of its run manifest. */
  readonly report: RunManifestReport;
  readonly entries: readonly PartEntry[];
  /** The command that redrives it, whether there is something to redrive or not. */
  readonly redrive: string;
  /** The link to the page of a part that has a document; null where there is none. */
  readonly hrefOf: (partRunId: string) => string | null;
}

/** As many bars as tell anything; of more parts, the failed ones are shown first. With the longest names they take 5 MB. */
const MAX_ROWS = 10_000;

/** The page of a run of parts. */
export function makePartsPage(
  { text }: PageTemplate,
  { location, report, entries, redrive, hrefOf }: PagedParts,
): string {
  const { run, errors, summary } = report;
  const startMs = summary.startedAt === null ? Number.NaN : Date.parse(summary.startedAt);
  const isRedrivable = errors.retryable > 0 || summary.parts.failed > 0;
  const page: PartsPage = {
    kind: 'parts',
    location,
    run,
    errors,
    summary,
    redrive: isRedrivable ? redrive : null,
    parts: shownOf(entries).map((entry) => rowOf(entry, startMs, hrefOf)),
  };
  return fillTemplate(text, { run: jsonInScript(page) });
}

/** All of them, or else those that failed, as far as there is room, and of the others every second one, fourth, and so on. */
function shownOf(entries: readonly PartEntry[]): readonly PartEntry[] {
  if (entries.length <= MAX_ROWS) return entries;
  const step = 2 ** Math.ceil(Math.log2((2 * entries.length) / MAX_ROWS));
  let room = MAX_ROWS / 2;
  return entries.filter((entry, i) => i % step === 0 || (hasFailures(entry) && room-- > 0));
}

function hasFailures(entry: PartEntry): boolean {
  return entry.status === 'failed' || entry.rejected > 0;
}

function rowOf(entry: PartEntry, startMs: number, hrefOf: PagedParts['hrefOf']): PartRow {
  const { runId, firstIndex, requested } = entry;
  if (entry.status === 'failed') {
    const nothing = { fulfilled: 0, rejected: 0, attempts: 0, startedMs: null, durationMs: null, href: null };
    return { runId, firstIndex, requested, status: 'failed', code: entry.code, ...nothing };
  }
  const { fulfilled, rejected, attempts, startedAt, durationMs } = entry;
  const startedMs = Date.parse(startedAt ?? '') - startMs;
  return {
    runId,
    firstIndex,
    requested,
    status: 'succeeded',
    fulfilled,
    rejected,
    attempts,
    startedMs: Number.isFinite(startedMs) ? startedMs : null,
    durationMs: durationMs ?? null,
    href: hrefOf(runId),
  };
}
