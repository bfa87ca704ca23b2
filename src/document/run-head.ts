import type { ErrorSummary, RunSummary } from './tally.ts';

/** What a run was started by: an invocation by hand, an EventBridge event, or an HTTP request. */
export type Trigger = 'direct' | 'schedule' | 'api';

/** What a document says of its run before the results. */
export interface RunHead {
  readonly id: string;
  readonly trigger: Trigger;
  readonly requestId: string;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly urlTemplate: string;
  readonly returnExceptions: boolean;
  readonly requested: number;
  readonly idsSha256: string;
  /** The run whose outcomes this one has, but for those that it fetched again. */
  readonly redriveOf?: string;
}

/** What a document says besides the results. */
export interface RunReport {
  readonly run: RunHead;
  /** Where the results are, if not in the document. */
  readonly outcomes?: OutcomesObject;
  readonly errors: ErrorSummary;
  readonly summary: RunSummary;
}

/** The outcomes of a run as an object of their own, one a line. */
export interface OutcomesObject {
  /** `s3://bucket/key` */
  readonly location: string;
  readonly bytes: number;
  readonly etag: string;
}

/** One document with the results in it, or two objects: the results, one a line, and a document without them. */
export type Output = 'json' | OutcomesFormat;

/** How outcomes stand by themselves: as text, or the same in members of gzip (see `gzipMembers`). */
export type OutcomesFormat = 'ndjson' | 'ndjson.gz';
