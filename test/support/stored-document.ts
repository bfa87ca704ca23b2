/**
 * The least text that is taken for the document of a run. `padding` is a field of the summary that no reader knows,
 * `total` what two such documents may differ in.
 */
export function storedDocument(
  runId: string,
  { padding = '', total = 0 }: { readonly padding?: string; readonly total?: number } = {},
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
  return `{"version":1,\n"run":${JSON.stringify(run)},\n"results":[\n],\n"errors":${JSON.stringify(errors)},\n"summary":${JSON.stringify(summary)}}\n`;
}
