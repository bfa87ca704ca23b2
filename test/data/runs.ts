import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { listen } from '../../local/world/listen.ts';
import { startS3Store } from '../../local/world/s3.ts';
import { runCommand } from '../support/run-command.ts';
import { exactValues } from '../support/run-lines.ts';
import { type BuiltFunctions, startBuiltFunctions } from '../system/scale/built-functions.ts';

/** Runs of the built function, and a folder that has their objects under `runs/`, and exports under `exports/`. */
export interface MadeRuns {
  readonly folder: string;
  /** The lines of a run's outcomes, wherever they are. */
  lines(runId: string): string[];
  /** ISO 8601. */
  startedAt(runId: string): string;
  remove(): void;
}

/** The ids of the posts that are exact values, by themselves in a run. */
export const exactIds = Object.keys(exactValues).map((_, index) => `exact-${index}`);

/** Posts that fail, by the run that asks for them; all others are there, but for 600. */
const FAILING: Readonly<Record<string, readonly [from: number, to: number, status: number]>> = {
  nightly: [1, 200, 500],
  'nightly.redrive-1': [1, 20, 502],
  'nightly.redrive-2': [1, 2, 503],
  adhoc: [1, 10, 500],
  'adhoc.redrive-1': [1, 2, 502],
  'weekly.part-000000': [25, 30, 500],
  'weekly.part-000001': [30, 35, 500],
  'weekly.part-000001.redrive-1': [31, 31, 502],
};

/** When each run is said to have started: the posts of one are asked for before and after a full hour. */
const STARTED: Readonly<Record<string, string>> = {
  nightly: '2026-11-23T06:00:00.000Z',
  'nightly.redrive-1': '2026-11-23T08:59:59.960Z',
  'nightly.redrive-2': '2026-11-23T10:00:00.000Z',
  adhoc: '2026-11-23T06:30:00.000Z',
  'adhoc.redrive-1': '2026-11-23T10:30:00.000Z',
  'weekly.part-000000': '2026-11-23T12:00:00.000Z',
  'weekly.part-000001': '2026-11-23T12:00:00.000Z',
  'weekly.part-000001.redrive-1': '2026-11-23T13:00:00.000Z',
  exact: '2026-11-23T14:00:00.000Z',
};

/** What is exported of which run. */
const EXPORTS = [
  ...['nightly', 'adhoc', 'weekly', 'exact'].map((runId) => [runId, 'parquet', 'exports'] as const),
  ['exact', 'csv', '.'],
] as const;

/**
 * `nightly`, 600 posts, redriven twice; `weekly`, 60 posts in two parts, the second of which is redriven, and with the
 * post 30 in both; `exact`, with values that no reader may change: with `OUTPUT=ndjson`, and one in gzip. `adhoc`, 50
 * posts that `nightly` has as well, redriven, with `OUTPUT=json`. Besides, what is no outcome of theirs: lines of a run
 * that has not ended, and of lost deliveries of two that have, and a page of long lines.
 */
export async function makeRuns(): Promise<MadeRuns> {
  const folder = mkdtempSync(join(tmpdir(), 'batch-fetcher-data-'));
  const bucket = 'results';
  const store = await startS3Store({ directory: folder, buckets: [bucket] });
  let failing: readonly [number, number, number] = [0, -1, 0];
  const server = createServer((request, response) => {
    const id = decodeURIComponent(request.url?.slice(1) ?? '');
    const [from, to, status] = failing;
    const exact = Object.values(exactValues)[exactIds.indexOf(id)];
    if (exact !== undefined) response.end(exact);
    else if (Number(id) >= from && Number(id) <= to) response.writeHead(status).end();
    else if (id === '600') response.writeHead(404).end();
    else response.end(`{"id":${id},"title":"Post ${id}"}`);
  });
  const { origin, close } = await listen(server);
  const env = {
    ...store.environment,
    RESULTS_BUCKET: bucket,
    POST_URL: `${origin}/{id}`,
    MAX_ATTEMPTS: '1',
    MAX_BODY_BYTES: '2000000',
    ORIGIN_CONCURRENCY: '50',
  };
  const json = startBuiltFunctions(env);
  const ndjson = startBuiltFunctions({ ...env, OUTPUT: 'ndjson' });
  const compressed = startBuiltFunctions({ ...env, OUTPUT: 'ndjson.gz' });
  const invoke = async (functions: BuiltFunctions, runId: string, event: object): Promise<void> => {
    failing = FAILING[runId] ?? [0, -1, 0];
    const answer = await functions.invoke('fetch', event);
    if ('failed' in answer) throw new Error(`${runId}: ${JSON.stringify(answer.failed)}`);
  };
  const part = (number: number, from: number, to: number) => ({
    ids: [{ from, to }],
    runId: `weekly.part-00000${number}`,
    part: number,
  });
  await invoke(ndjson, 'nightly', { ids: [{ from: 1, to: 600 }], runId: 'nightly' });
  await invoke(ndjson, 'nightly.redrive-1', { redrive: 'nightly' });
  await invoke(ndjson, 'nightly.redrive-2', { redrive: 'nightly' });
  await invoke(json, 'adhoc', { ids: [{ from: 1, to: 50 }], runId: 'adhoc' });
  await invoke(json, 'adhoc.redrive-1', { redrive: 'adhoc' });
  await invoke(ndjson, 'weekly.part-000000', part(0, 1, 30));
  await invoke(compressed, 'weekly.part-000001', part(1, 30, 60));
  await invoke(ndjson, 'weekly.part-000001.redrive-1', { redrive: 'weekly.part-000001' });
  await invoke(ndjson, 'exact', { ids: exactIds, runId: 'exact' });
  await Promise.all([json, ndjson, compressed].map((functions) => functions.leave()));
  await close();

  const runs = join(folder, bucket, 'runs');
  const read = (name: string): string => readFileSync(join(runs, name), 'utf8');
  const put = (name: string, content: string): void => writeFileSync(join(runs, name), content);
  for (const [runId, startedAt] of Object.entries(STARTED))
    put(`${runId}.json`, read(`${runId}.json`).replace(/"startedAt":"[^"]+"/, `"startedAt":"${startedAt}"`));
  const stored = { status: 'stored', key: '', etag: '', bytes: 1, retryable: 0, attempts: 1, complete: true };
  const counts = { requested: 30, fulfilled: 24, rejected: 6, ...stored };
  const parts = [
    { part: 0, runId: 'weekly.part-000000', firstIndex: 0, ...counts },
    { part: 1, runId: 'weekly.part-000001.redrive-1', firstIndex: 30, ...counts, requested: 31 },
  ];
  put(
    'weekly.manifest.json',
    `{"version":1,\n"run":${JSON.stringify({ id: 'weekly' })},\n"parts":[\n${parts.map((entry) => JSON.stringify(entry)).join(',\n')}\n]}\n`,
  );
  put('unfinished.ndjson', read('weekly.part-000000.ndjson').replaceAll('weekly.part-000000', 'unfinished'));
  mkdirSync(join(folder, bucket, 'exports'));
  for (const [runId, format, into] of EXPORTS) {
    const out = join(folder, bucket, into, `${runId}.${format}`);
    const args = [runId, '--bucket', bucket, '--format', format, '--out', out];
    const { code, err } = await runCommand('local/commands/results.ts', args, store.environment);
    if (code !== 0) throw new Error(err);
  }
  await store.close();
  const left = read('weekly.part-000000.ndjson').split(/^/m).slice(0, 10).join('');
  for (const runId of ['adhoc', 'weekly.part-000001'])
    put(`${runId}.ndjson`, left.replaceAll('weekly.part-000000', runId));
  put('import-json.html', 'x'.repeat(4_000_000));
  return {
    folder: join(folder, bucket),
    lines: (runId) => linesIn(runs, runId),
    startedAt: (runId) => STARTED[runId] ?? '',
    remove: () => rmSync(folder, { recursive: true }),
  };
}

function linesIn(runs: string, runId: string): string[] {
  const document = readFileSync(join(runs, `${runId}.json`), 'utf8');
  const name = /^"outcomes":\{"location":"[^"]*\/(?<name>[^"]+)"/m.exec(document)?.groups?.name;
  const stored = name === undefined ? Buffer.from(document) : readFileSync(join(runs, name));
  const text = (name?.endsWith('.gz') ? gunzipSync(stored) : stored).toString();
  return text.split(/,?\n/).filter((line) => /^\{"(?:index|runId)":/.test(line));
}
