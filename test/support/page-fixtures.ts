import { gzipSync } from 'node:zlib';
import type { PartRow, PartsPage, PostColumns, RunPage } from '../../src/report/page-data.ts';

export interface RunFixture {
  readonly page: RunPage;
  readonly columns: PostColumns;
}

export interface FixtureOptions {
  readonly posts: number;
  /** Codes with their shares of the posts, from 0 to 1. @default some of each */
  readonly shares?: Readonly<Record<string, number>>;
  /** @default 50 */
  readonly concurrency?: number;
  /** When the origin pauses the run. @default twice, in a run of more than 200 posts */
  readonly pauses?: readonly { readonly startedMs: number; readonly durationMs: number }[];
  /** @default that of the post's place */
  readonly idOf?: (row: number) => string | number;
  /** @default in the words of the function */
  readonly messageOf?: (row: number, code: string) => string;
}

const SHARES: Readonly<Record<string, number>> = {
  NOT_FOUND: 0.02,
  HTTP_ERROR: 0.004,
  RATE_LIMITED: 0.006,
  TIMEOUT: 0.004,
  NETWORK: 0.003,
  NO_DATA: 0.002,
  BAD_JSON: 0.001,
};
const DEADLINE_MS = 27_000;
const RETRYABLE = ['HTTP_ERROR', 'RATE_LIMITED', 'TIMEOUT', 'NETWORK', 'DEADLINE'];
const STATUSES: Readonly<Record<string, number>> = {
  NOT_FOUND: 404,
  HTTP_ERROR: 503,
  RATE_LIMITED: 429,
  NO_DATA: 200,
  BAD_JSON: 200,
  TOO_LARGE: 200,
};
const WORDS: Readonly<Record<string, (id: string | number) => string>> = {
  NOT_FOUND: (id) => `No data for post ${id}`,
  NO_DATA: (id) => `No data for post ${id}`,
  HTTP_ERROR: () => 'Expected a status of 2xx, got 503 Service Unavailable',
  RATE_LIMITED: () => 'Got 429 Too Many Requests, and no attempt was left',
  TIMEOUT: () => 'The attempt took longer than 5000 ms',
  NETWORK: () => 'The connection was reset before an answer came (ECONNRESET)',
  DEADLINE: () => 'The time of the function ran out first',
  BAD_JSON: () => 'Expected JSON, got <html><head><title>502 Bad Gateway</title>',
};

/** What a run of so many posts might come to: the same of the same options. */
export function runFixture(options: FixtureOptions): RunFixture {
  const { posts, shares = SHARES, concurrency = 50 } = options;
  const random = randomOf(posts + 1);
  const codes = Object.keys(shares);
  const paceMs = 60;
  const spanMs = (posts / concurrency) * paceMs;
  const pauses =
    options.pauses ??
    (posts > 200
      ? [
          { startedMs: Math.round(spanMs * 0.3), durationMs: Math.round(spanMs * 0.12) },
          { startedMs: Math.round(spanMs * 0.75), durationMs: Math.round(spanMs * 0.05) },
        ]
      : []);
  const slots = new Float64Array(concurrency);
  const rows = Array.from({ length: posts }, (_, row) => {
    const draw = random();
    let below = 0;
    const code =
      1 +
      codes.findIndex((name) => {
        below += shares[name] ?? 0;
        return draw < below;
      });
    const name = codes[code - 1] ?? 'fulfilled';
    if (name === 'DEADLINE')
      return { row, code, name, attempts: 0, startedMs: -1, durationMs: -1, waitedMs: -1 };
    const slot = slots.indexOf(Math.min(...slots));
    let startedMs = slots[slot] ?? 0;
    for (const pause of pauses) {
      if (startedMs >= pause.startedMs && startedMs < pause.startedMs + pause.durationMs)
        startedMs = pause.startedMs + pause.durationMs + random() * 400;
    }
    const attemptMs = () =>
      20 + 40 * Math.exp(1.1 * (random() + random() + random() - 1.5)) * (random() < 0.01 ? 14 : 1);
    const isLong = RETRYABLE.includes(name);
    const attempts = isLong ? 4 : random() < 0.03 ? 2 + Math.floor(random() * 2) : 1;
    let durationMs = 0;
    let waitedMs = 0;
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      durationMs += name === 'TIMEOUT' ? 900 : attemptMs();
      if (attempt === attempts - 1) break;
      const wait = random() * 150 * 2 ** attempt;
      waitedMs += wait;
      durationMs += wait;
    }
    slots[slot] = startedMs + durationMs;
    return {
      row,
      code,
      name,
      attempts,
      startedMs: Math.round(startedMs),
      durationMs: Math.round(durationMs),
      waitedMs: Math.round(waitedMs),
    };
  });
  const id = options.idOf ?? ((row) => row + 1);
  const failed = rows.filter(({ code }) => code > 0);
  const columns: PostColumns = {
    codes,
    id: rows.map(({ row }) => id(row)),
    code: rows.map(({ code }) => code),
    httpStatus: rows.map(({ name }) => STATUSES[name] ?? (name === 'fulfilled' ? 200 : 0)),
    attempts: rows.map(({ attempts }) => attempts),
    startedMs: rows.map(({ startedMs }) => startedMs),
    durationMs: rows.map(({ durationMs }) => durationMs),
    waitedMs: rows.map(({ waitedMs }) => waitedMs),
    hedged: rows.flatMap(({ row, durationMs }) => (durationMs > 400 && row % 3 === 0 ? [row] : [])),
    messages: failed.map(
      ({ row, name }) =>
        options.messageOf?.(row, name) ?? WORDS[name]?.(id(row)) ?? `The post failed: ${name}`,
    ),
    retryable: failed.map(({ name }) => (RETRYABLE.includes(name) ? 1 : 0)),
    ...countsOf(rows),
  };
  const byCode = Object.fromEntries(
    codes
      .map((name) => [name, failed.filter((row) => row.name === name).length] as const)
      .filter(([, count]) => count > 0),
  );
  const durations = rows
    .flatMap(({ durationMs }) => (durationMs < 0 ? [] : [durationMs]))
    .sort((a, b) => a - b);
  const quantile = (share: number) => durations[Math.ceil(share * durations.length) - 1] ?? null;
  const durationMs = lastOf(rows);
  const retryable = failed.filter(({ name }) => RETRYABLE.includes(name)).length;
  const attempts = rows.reduce((sum, row) => sum + row.attempts, 0);
  return {
    columns,
    page: {
      kind: 'run',
      location: 's3://batch-fetcher-local/runs/20261123T060000Z-8f14e45f.json',
      run: {
        id: '20261123T060000Z-8f14e45f',
        trigger: 'schedule',
        requestId: '9d0c3b52-6a39-4d7e-8f4c-7b2f0f6f1b5e',
        startedAt: '2026-11-23T06:00:01.204Z',
        urlTemplate: 'https://jsonplaceholder.typicode.com/posts/{id}',
        returnExceptions: true,
        requested: posts,
        idsSha256: '6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b',
      },
      errors: { total: failed.length, byCode, retryable },
      summary: {
        finishedAt: new Date(Date.parse('2026-11-23T06:00:01.204Z') + durationMs).toISOString(),
        durationMs,
        requested: posts,
        fulfilled: posts - failed.length,
        rejected: failed.length,
        attempts,
        complete: !failed.some(({ name }) => name === 'DEADLINE'),
        latencyMs: {
          p50: quantile(0.5),
          p90: quantile(0.9),
          p99: quantile(0.99),
          max: durations.at(-1) ?? null,
        },
        throttledMs: pauses.reduce((sum, pause) => sum + pause.durationMs, 0),
        peakInFlight: Math.min(concurrency, posts),
        concurrency: { min: Math.ceil(concurrency / 4), max: concurrency, final: Math.ceil(concurrency / 2) },
        learned: { perSecond: 412.5, inFlight: 31, told: null },
        retries: attempts - posts + failed.filter((row) => row.attempts === 0).length,
        retryBudgetLeft: 118,
        hedges: columns.hedged.length,
        hedgesWon: Math.floor(columns.hedged.length * 0.6),
        ...{ pauses },
      },
      redrive: retryable > 0 ? 'npm run redrive -- 20261123T060000Z-8f14e45f' : null,
      shown: posts,
    },
  };
}

interface Row {
  readonly code: number;
  readonly startedMs: number;
  readonly durationMs: number;
  readonly waitedMs: number;
}

/** Rows without an attempt waited for the deadline. */
function lastOf(rows: readonly Row[]): number {
  const leastMs = rows.some(({ startedMs }) => startedMs < 0) ? DEADLINE_MS : 0;
  return rows.reduce((last, row) => Math.max(last, row.startedMs + row.durationMs), leastMs);
}

function countsOf(rows: readonly Row[]): Pick<PostColumns, 'bins' | 'latency'> {
  const lastMs = lastOf(rows);
  const widthMs = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000].find((width) => lastMs / width <= 400) ?? 2_000;
  const count = rows.length === 0 ? 0 : Math.floor(lastMs / widthMs) + 1;
  const zeros = () => new Array<number>(count).fill(0);
  const [started, ended, rejected, inFlight] = [zeros(), zeros(), zeros(), zeros()];
  const latency = new Array<number>(100).fill(0);
  const add = (bins: number[], at: number, more: number) => {
    bins[at] = (bins[at] ?? 0) + more;
  };
  for (const row of rows) {
    const endMs = row.startedMs < 0 ? lastMs : row.startedMs + row.durationMs;
    add(ended, Math.floor(endMs / widthMs), 1);
    if (row.code > 0) add(rejected, Math.floor(endMs / widthMs), 1);
    if (row.startedMs < 0) continue;
    add(started, Math.floor(row.startedMs / widthMs), 1);
    add(latency, Math.floor(20 * Math.log10(Math.max(1, row.durationMs))), 1);
    const busy = row.durationMs === 0 ? 0 : (row.durationMs - row.waitedMs) / row.durationMs;
    for (let bin = Math.floor(row.startedMs / widthMs); bin * widthMs < endMs; bin += 1) {
      const from = Math.max(row.startedMs, bin * widthMs);
      add(inFlight, bin, (busy * (Math.min(endMs, (bin + 1) * widthMs) - from)) / widthMs);
    }
  }
  return { bins: { startMs: 0, widthMs, started, ended, rejected, inFlight }, latency };
}

/** What a run of so many parts might come to. */
export function partsFixture(count: number): PartsPage {
  const random = randomOf(count);
  const each = 5_000;
  let startedMs = 0;
  const parts = Array.from({ length: count }, (_, part): PartRow => {
    const runId = `nightly.part-${`${part}`.padStart(6, '0')}`;
    const common = { runId, firstIndex: part * each, requested: each };
    if (part % 37 === 36) {
      return {
        ...common,
        status: 'failed',
        code: 'NO_DOCUMENT',
        fulfilled: 0,
        rejected: 0,
        attempts: 0,
        startedMs: null,
        durationMs: null,
        href: null,
      };
    }
    const rejected = random() < 0.3 ? Math.floor(random() * 120) : 0;
    const durationMs = Math.round(9_000 + 6_000 * random() + (random() < 0.05 ? 25_000 : 0));
    const began = startedMs + Math.round(random() * 500);
    if (part % 4 === 3) startedMs += 11_000;
    return {
      ...common,
      status: 'succeeded',
      fulfilled: each - rejected,
      rejected,
      attempts: each + Math.floor(random() * 400),
      startedMs: began,
      durationMs,
      href: `${runId}.html`,
    };
  });
  const failed = parts.filter(({ status }) => status === 'failed');
  const total = (of: (part: PartRow) => number) => parts.reduce((sum, part) => sum + of(part), 0);
  const rejected = total((part) => part.rejected);
  const lastMs = Math.max(0, ...parts.map((part) => (part.startedMs ?? 0) + (part.durationMs ?? 0)));
  const startedAt = '2026-11-23T06:00:01.204Z';
  return {
    kind: 'parts',
    location: 's3://batch-fetcher-local/runs/nightly.manifest.json',
    run: { id: 'nightly', requested: count * each, parts: count, plan: 'runs/nightly.plan.json' },
    errors: {
      total: rejected,
      byCode: rejected > 0 ? { NOT_FOUND: rejected } : {},
      retryable: failed.length * each,
    },
    summary: {
      startedAt: count === 0 ? null : startedAt,
      finishedAt: count === 0 ? null : new Date(Date.parse(startedAt) + lastMs).toISOString(),
      requested: count * each,
      fulfilled: total((part) => part.fulfilled),
      rejected,
      failed: failed.length * each,
      attempts: total((part) => part.attempts),
      complete: failed.length === 0,
      parts: { total: count, stored: count - failed.length, failed: failed.length, incomplete: 0 },
    },
    redrive: failed.length > 0 ? 'npm run redrive -- nightly' : null,
    parts,
  };
}

/** The template with a run filled in. */
export function filledPage(template: string, { page, columns }: RunFixture): string {
  const posts = gzipSync(JSON.stringify(columns)).toString('base64');
  return fill(fill(template, 'run', jsonText(page)), 'posts', posts);
}

/** The template with a run of parts filled in. */
export function filledPartsPage(template: string, page: PartsPage): string {
  return fill(template, 'run', jsonText(page));
}

function jsonText(value: unknown): string {
  return JSON.stringify(value).replaceAll('<', '\\u003c');
}

function fill(template: string, id: string, text: string): string {
  const [before, after] = template.split(new RegExp(`(?<=id="${id}">)(?=</script>)`));
  if (before === undefined || after === undefined) throw new Error(`The template has no element ${id}`);
  return before + text + after;
}

/** Numbers from 0 to 1, the same of the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
