interface Stored {
  /** The lines of the results, or where they are. @default no results */
  readonly stored?: string;
  /** How many outcomes are rejected. @default 0 */
  readonly total?: number;
  /** A field of the summary that no reader knows. @default '' */
  readonly padding?: string;
}

/** The least text that is taken for the document of a run. */
export function storedDocument(
  runId: string,
  { stored = '"results":[\n]', total = 0, padding = '' }: Stored = {},
): string {
  const run = {
    id: runId,
    trigger: 'direct',
    requestId: 'request-0',
    startedAt: '2026-11-23T05:00:00.000Z',
    urlTemplate: 'https://example.com/posts/{id}',
    returnExceptions: true,
    requested: 0,
    idsSha256: '4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945',
  };
  const errors = { total, byCode: {}, first: [], retryableIds: [] };
  const summary = {
    finishedAt: '2026-11-23T05:00:00.001Z',
    durationMs: 1,
    requested: 0,
    fulfilled: 0,
    rejected: total,
    attempts: 0,
    complete: true,
    latencyMs: { p50: null, p90: null, p99: null, max: null },
    padding,
  };
  return `{"version":1,\n"run":${JSON.stringify(run)},\n${stored},\n"errors":${JSON.stringify(errors)},\n"summary":${JSON.stringify(summary)}}\n`;
}
