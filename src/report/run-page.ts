import { type Id, idKey } from '../batch/ids.ts';
import type { OutcomeLine } from '../document/outcome-line.ts';
import type { RunReport } from '../document/run-head.ts';
import { fillTemplate, jsonInScript, packed } from './fill-template.ts';
import type { RunPage } from './page-data.ts';
import { PostCollector, type RowBounds } from './post-columns.ts';
import type { PageTemplate } from './template.ts';

/** A stored run of which a page is made. */
export interface PagedRun {
  /** `s3://bucket/key` of its document. */
  readonly location: string;
  readonly report: RunReport;
  /** Of its document, in their order. */
  readonly outcomes: AsyncIterable<OutcomeLine>;
  /** The command that redrives it, whether there is something to redrive or not. */
  readonly redrive: string;
  /** Of a redrive, the ids that were to be fetched again. @default all were, or nobody knows */
  readonly toFetch?: readonly Id[] | undefined;
}

/** Of a page, whatever the posts are called and whatever their origin said. */
export const MAX_PAGE_BYTES = 10_000_000;
/** The template, and what is told of the run. */
const OTHER_BYTES = 1_000_000;
/**
 * What is shown of a run whose page would be larger: at last so little that ids and messages of the worst kind, which gzip
 * makes nothing of, fit.
 */
const LESS: readonly Required<RowBounds>[] = [
  { posts: 100_000, failures: 25_000, messageChars: 60 },
  { posts: 10_000, failures: 10_000, messageChars: 60 },
];

/** The page of a run. Rejects with what `outcomes` throws. */
export async function makeRunPage(
  { text }: PageTemplate,
  { location, report, outcomes, redrive, toFetch }: PagedRun,
): Promise<string> {
  const posts = new PostCollector();
  const toOwnTime = ownTimesOf(report, toFetch);
  for await (const outcome of outcomes) posts.add(toOwnTime(outcome));
  let columns = posts.columns();
  let packedColumns = await packed(columns);
  for (const bounds of LESS) {
    if (packedColumns.length <= MAX_PAGE_BYTES - OTHER_BYTES) break;
    posts.reduceTo(bounds);
    columns = posts.columns();
    packedColumns = await packed(columns);
  }
  const { run, errors, summary } = report;
  const { total, byCode, retryableIds } = errors;
  const page: RunPage = {
    kind: 'run',
    location,
    run,
    errors: { total, byCode, retryable: retryableIds.length },
    summary,
    redrive: retryableIds.length > 0 ? redrive : null,
    shown: columns.id.length,
  };
  return fillTemplate(text, { run: jsonInScript(page), posts: packedColumns });
}

/** Times are rounded one by one. */
const ROUNDED_MS = 2;

/** Takes from outcomes that a redrive took over the time of their start, which is that of an earlier run. */
function ownTimesOf(
  { summary }: RunReport,
  toFetch: readonly Id[] | undefined,
): (outcome: OutcomeLine) => OutcomeLine {
  if (!toFetch) return (outcome) => outcome;
  const keys = new Set(toFetch.map(idKey));
  return (outcome) => {
    const { startedMs, durationMs } = outcome.record;
    const endMs = Number(startedMs) + Number(durationMs);
    // A post that was not asked for again, as the time ran out, keeps its outcome too.
    const isOwn = keys.has(idKey(outcome.id)) && endMs <= summary.durationMs + ROUNDED_MS;
    return isOwn ? outcome : { ...outcome, record: { ...outcome.record, startedMs: null } };
  };
}
