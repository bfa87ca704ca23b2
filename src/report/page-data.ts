import type { RunHead } from '../document/run-head.ts';
import type { ErrorSummary, RunSummary } from '../document/tally.ts';
import type { MergedSummary, RunManifestReport } from '../run/parts/run-manifest.ts';

/** What the page of a run shows. */
export interface RunPage {
  readonly kind: 'run';
  /** `s3://bucket/key` of the document. */
  readonly location: string;
  readonly run: RunHead;
  /** `retryable` counts the distinct ids that are worth another run. */
  readonly errors: Omit<ErrorSummary, 'first' | 'retryableIds'> & { readonly retryable: number };
  readonly summary: RunSummary;
  /** The command that fetches again what is retryable; null where nothing is. */
  readonly redrive: string | null;
  /**
   * Rows in the columns of the posts, which are in a script element of their own, as gzip'd JSON in base64; fewer than
   * were requested in a run of more than 100,000 posts.
   */
  readonly shown: number;
}

/** Posts of a run by columns: a row a post, in the order of the results. */
export interface PostColumns {
  /** The reason codes that occur. */
  readonly codes: readonly string[];
  /** Of each row, its post's place in the results; left out where that is the place of the row. */
  readonly index?: readonly number[];
  readonly id: readonly (string | number)[];
  /** 0: fulfilled; n: rejected, with `codes[n - 1]`. */
  readonly code: readonly number[];
  /** 0: none. */
  readonly httpStatus: readonly number[];
  readonly attempts: readonly number[];
  /** From the start of the run; -1: none, or that of an earlier run, whose outcome a redrive has taken over. */
  readonly startedMs: readonly number[];
  /** -1: none. */
  readonly durationMs: readonly number[];
  /** -1: not known. */
  readonly waitedMs: readonly number[];
  /** The rows of the posts for which more than one request was sent at once, ascending. */
  readonly hedged: readonly number[];
  /** Of the rejected rows, in order. */
  readonly messages: readonly string[];
  /** Of the rejected rows, in order. */
  readonly retryable: readonly (0 | 1)[];
  readonly bins: TimeBins;
  /**
   * How long the posts took that had an attempt, those without a row included, counted in bins of equal width on a log
   * scale: bin i holds [10^(i/20), 10^((i+1)/20)) ms, and the first one also what is below 1 ms.
   */
  readonly latency: readonly number[];
}

/** The course of a run, all of its posts included, in bins of equal width. */
export interface TimeBins {
  /** Of the first bin, from the start of the run. */
  readonly startMs: 0;
  /** Of each bin. */
  readonly widthMs: number;
  /** Posts whose first attempt began. */
  readonly started: readonly number[];
  /** Posts that ended. */
  readonly ended: readonly number[];
  /** Those of the ended ones that were rejected. */
  readonly rejected: readonly number[];
  /** Attempts in flight, on the mean of the bin's time. */
  readonly inFlight: readonly number[];
}

/** What the page of a run of parts shows. */
export interface PartsPage {
  readonly kind: 'parts';
  /** `s3://bucket/key` of the run manifest. */
  readonly location: string;
  readonly run: RunManifestReport['run'];
  readonly errors: RunManifestReport['errors'];
  /** What older run manifests do not say is left out. */
  readonly summary: RunManifestReport['summary'] & Partial<Pick<MergedSummary, 'latencyMs' | 'learned'>>;
  /** The command that fetches again what is retryable; null where nothing is. */
  readonly redrive: string | null;
  /** In their order. */
  readonly parts: readonly PartRow[];
}

/** A part of a run, as a row of its page. */
export interface PartRow {
  /** That of its latest redrive, where there is one. */
  readonly runId: string;
  /** Of its first post, in the whole run. */
  readonly firstIndex: number;
  readonly requested: number;
  /** failed: without a document. */
  readonly status: 'succeeded' | 'failed';
  /** Why it has none. */
  readonly code?: string;
  readonly fulfilled: number;
  readonly rejected: number;
  readonly attempts: number;
  /** From the start of the first part; null where that is not known. */
  readonly startedMs: number | null;
  readonly durationMs: number | null;
  /** Its own page, as a link from this one; null where it has none. */
  readonly href: string | null;
}
