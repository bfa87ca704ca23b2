import type { PartRow } from '../../src/report/page-data.ts';
import type { Rows } from './rows.ts';

/** What came of a part, as its bar is coloured. */
const OUTCOMES = ['fulfilled', 'partial', 'failed'];

/** Makes rows of the parts of a run. */
export function toPartRows(parts: readonly PartRow[]): Rows {
  const startMs = Float64Array.from(parts, ({ startedMs }) => startedMs ?? 0);
  const lastMs = parts.reduce(
    (last, { startedMs, durationMs }) => Math.max(last, (startedMs ?? 0) + (durationMs ?? 0)),
    1,
  );
  return {
    count: parts.length,
    outcomes: OUTCOMES,
    outcome: Uint8Array.from(parts, (part) => OUTCOMES.indexOf(outcomeOf(part))),
    startMs,
    endMs: Float64Array.from(parts, ({ startedMs, durationMs }) =>
      startedMs === null ? lastMs : startedMs + (durationMs ?? 0),
    ),
    waitedMs: Float64Array.from(parts, ({ startedMs }) => (startedMs === null ? lastMs : 0)),
    attempts: Uint32Array.from(parts, ({ startedMs }) => (startedMs === null ? 0 : 1)),
    marked: new Uint8Array(parts.length),
    lastMs,
  };
}

/** `partial` is a part with posts that were rejected, `failed` one without a document. */
export function outcomeOf({ status, rejected }: PartRow): 'fulfilled' | 'partial' | 'failed' {
  if (status === 'failed') return 'failed';
  return rejected > 0 ? 'partial' : 'fulfilled';
}

/** A redrive took most outcomes over, and a run manifest does not say how many. */
const REDRIVE = /\.redrive-\d+$/;

/** Posts of a part a second; null where it is not known how long the part took, or how many posts it fetched in that. */
export function rateOf({ runId, fulfilled, rejected, durationMs }: PartRow): number | null {
  return durationMs === null || REDRIVE.test(runId)
    ? null
    : (1_000 * (fulfilled + rejected)) / Math.max(durationMs, 1);
}
