import type { RunReport } from '../document/run-head.ts';
import type { RunStore, StoredRun } from '../store/run-store.ts';

/** What a run came to, for the reply. */
export interface Run extends RunReport {
  readonly runId: string;
  /** Of its document. */
  readonly location: string;
  /** Whether an earlier delivery had done it, so that nothing was fetched or written. */
  readonly replayed: boolean;
}

/** What a run that is stored came to. */
export function replayOf(
  runId: string,
  { documentBytes: _bytes, etag: _etag, ...report }: StoredRun,
  store: Pick<RunStore, 'location'>,
): Run {
  return { ...report, runId, location: store.location(runId), replayed: true };
}
