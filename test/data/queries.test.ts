import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { csvOf } from '../../local/commands/formats/csv.ts';
import { COLUMNS } from '../../local/commands/formats/rows.ts';
import { projectDirectory } from '../../local/world/places.ts';
import { findVirtualEnvironment } from '../../scripts/virtual-environment.ts';
import { exactValues, read } from '../support/run-lines.ts';
import { documentSchema } from '../support/schemas.ts';
import { exactIds, type MadeRuns, makeRuns } from './runs.ts';

const page = readFileSync(join(projectDirectory, 'docs/data.md'), 'utf8');
const section = (heading: string): string =>
  page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? expect.fail(`There is no ${heading}`);
/** The blocks of code in a section, in their order. */
const blocksOf = (heading: string, language: string): string[] =>
  [...section(heading).matchAll(/^```(?<language>\w+)\n(?<code>[\s\S]*?)^```$/gm)]
    .filter(({ groups }) => groups?.language === language)
    .map(({ groups }) => groups?.code ?? '');

interface Block {
  readonly language: 'sql' | 'python';
  readonly code: string;
}
interface Result {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
}

const environment = await findVirtualEnvironment(
  'What runs the queries of docs/data.md, DuckDB and pandas,',
  'requirements-data.txt',
  process.env,
);

/** What blocks of code come to, run one after the other in a folder. */
async function run(folder: string, blocks: readonly Block[]): Promise<readonly Result[]> {
  const child = spawn(
    join(environment ?? '', 'bin/python'),
    ['-I', join(import.meta.dirname, 'run_page.py')],
    {
      stdio: ['pipe', 'pipe', 'pipe'],
    },
  );
  child.stdin.end(JSON.stringify({ folder, blocks }));
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  if (code !== 0) throw new Error(err);
  return JSON.parse(out);
}

/** As much of a part of the schema as is looked into. */
interface Shape {
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly oneOf?: readonly Shape[];
}

test('the types of the table for Athena are those of the lines', () => {
  const [ddl = ''] = blocksOf('Athena', 'sql');
  const columns = [...ddl.matchAll(/^ {2}`?(?<name>\w+)`? (?<type>.+?),?$/gm)].map(({ groups }) => [
    groups?.name,
    groups?.type,
  ]);
  const { fetch, fulfilled, rejected, reason } = documentSchema.$defs as Readonly<Record<string, Shape>>;
  const keys = [fetch, fulfilled, rejected].flatMap((shape) => Object.keys(shape?.properties ?? {}));
  expect(new Set(columns.map(([name]) => name))).toStrictEqual(new Set([...keys, 'runId', 'waitedMs']));
  const fields = new Set(reason?.oneOf?.flatMap(({ properties }) => Object.keys(properties ?? {})));
  expect(Object.fromEntries(columns)).toStrictEqual({
    runId: 'string',
    index: 'bigint',
    id: 'string',
    status: 'string',
    httpStatus: 'int',
    attempts: 'int',
    startedMs: 'int',
    durationMs: 'int',
    waitedMs: 'int',
    hedged: 'boolean',
    value: 'string',
    reason: `struct<${[...fields].map((name) => `${name}: ${name === 'retryable' ? 'boolean' : 'string'}`).join(', ')}>`,
  });
});

test('the page has each column of the exports', () => {
  const rows = section('The columns')
    .split('\n')
    .filter((line) => line.startsWith('| `'));
  expect(rows.map((row) => row.split('|')[2]?.trim())).toStrictEqual(COLUMNS.map((name) => `\`${name}\``));
});

describe.skipIf(!environment)('docs/data.md', () => {
  let made: MadeRuns;
  let results: readonly Result[];
  /** Of the blocks of a section, what the one at this place came to. */
  let resultOf: (heading: string, language: Block['language'], place: number) => Result;

  beforeAll(async () => {
    made = await makeRuns();
    const sections = [
      ['DuckDB', 'sql'],
      ['Parquet', 'sql'],
      ['Parquet', 'python'],
      ['pandas', 'python'],
    ] as const;
    const blocks = sections.flatMap(([heading, language]) =>
      blocksOf(heading, language).map((code) => ({ heading, language, code })),
    );
    results = await run(made.folder, blocks);
    resultOf = (heading, language, place) => {
      const own = results.filter(
        (_, i) => blocks[i]?.heading === heading && blocks[i]?.language === language,
      );
      return own[place] ?? expect.fail(`${heading} has no block ${place}`);
    };
  }, 120_000);
  afterAll(() => made.remove());

  /** Of what is left of each run. */
  const byCode = [
    ['adhoc', 'HTTP_ERROR', 2],
    ['adhoc', 'fulfilled', 48],
    ['exact', 'fulfilled', exactIds.length],
    ['nightly', 'HTTP_ERROR', 2],
    ['nightly', 'NOT_FOUND', 1],
    ['nightly', 'fulfilled', 597],
    ['weekly', 'HTTP_ERROR', 7],
    ['weekly', 'fulfilled', 54],
  ];
  /** The posts of each run that failed, and failed again. */
  const failedAgain = [
    ...[1, 2].map((id) => ['adhoc', '', id, 2]),
    ...[1, 2].map((id) => ['nightly', '', id, 3]),
    ...Array.from({ length: 18 }, (_, i) => ['nightly', '', i + 3, 2]),
    ['weekly', '1', 31, 2],
  ].map(([run, part, id, failures]) => [run, part, String(id), failures]);

  const sorted = (rows: readonly (readonly unknown[])[]) =>
    rows.toSorted((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1));

  test('DuckDB counts outcomes by code, each post of a run once', () => {
    expect(resultOf('DuckDB', 'sql', 1)).toStrictEqual({
      columns: ['run', 'outcome', 'posts'],
      rows: byCode,
    });
  });

  test('pandas counts outcomes by code, each post of a run once', () => {
    expect(resultOf('pandas', 'python', 1).rows).toStrictEqual(byCode);
  });

  test('DuckDB finds the posts that failed in a run, and again in its redrive', () => {
    const { columns, rows } = resultOf('DuckDB', 'sql', 2);
    expect(columns).toStrictEqual(['run', 'part', 'id', 'failures']);
    expect(sorted(rows)).toStrictEqual(
      sorted(failedAgain.map(([run, part, ...more]) => [run, part === '' ? null : Number(part), ...more])),
    );
  });

  test('pandas finds the posts that failed in a run, and again in its redrive', () => {
    expect(sorted(resultOf('pandas', 'python', 2).rows)).toStrictEqual(
      sorted(failedAgain.map(([run, part, ...more]) => [run, part && `00000${part}`, ...more])),
    );
  });

  test.each([
    ['DuckDB', 'sql'],
    ['pandas', 'python'],
  ] as const)('%s finds the posts that more than one run left', (heading, language) => {
    expect(resultOf(heading, language, 3).rows).toStrictEqual([
      ['1', 2],
      ['2', 2],
    ]);
  });

  /** How long posts took, by the hour in which they were asked for: ascending. */
  function latencies(): Map<string, number[]> {
    const hours = new Map<string, number[]>();
    const add = (runId: string, isFetched: (id: number) => boolean) => {
      const startMs = Date.parse(made.startedAt(runId));
      for (const line of made.lines(runId)) {
        const { id, startedMs, durationMs } = JSON.parse(line);
        if (!isFetched(Number(id))) continue;
        const hour = `${new Date(startMs + startedMs).toISOString().slice(0, 13).replace('T', ' ')}:00:00`;
        hours.set(hour, [...(hours.get(hour) ?? []), durationMs]);
      }
    };
    const all = () => true;
    add('nightly', all);
    add('nightly.redrive-1', (id) => id <= 200);
    add('nightly.redrive-2', (id) => id <= 20);
    add('adhoc', all);
    add('adhoc.redrive-1', (id) => id <= 10);
    add('weekly.part-000000', all);
    add('weekly.part-000001', all);
    add('weekly.part-000001.redrive-1', (id) => id <= 35);
    add('exact', all);
    for (const took of hours.values()) took.sort((one, other) => one - other);
    return new Map([...hours].toSorted());
  }
  test('DuckDB tells latency by the hour in which posts were asked for', () => {
    const quantile = (took: readonly number[], share: number) => took[Math.ceil(share * took.length) - 1];
    const rows = [...latencies()].map(([hour, took]) => [
      hour,
      took.length,
      ...[0.5, 0.9, 0.99].map((share) => quantile(took, share)),
    ]);
    expect(resultOf('DuckDB', 'sql', 4)).toStrictEqual({
      columns: ['hour', 'posts', 'p50', 'p90', 'p99'],
      rows,
    });
  });

  test('pandas tells latency by the hour in which posts were asked for', () => {
    const quantile = (took: readonly number[], share: number) => took[Math.floor(share * (took.length - 1))];
    const rows = [...latencies()].map(([hour, took]) => [
      `${hour}+00:00`,
      ...[0.5, 0.9, 0.99].map((share) => quantile(took, share)),
    ]);
    expect(resultOf('pandas', 'python', 4).rows).toStrictEqual(rows);
  });

  test('DuckDB takes a value apart', () => {
    const rows = [1, 2, 3].map((id) => [String(id), `Post ${id}`, `{"id":${id},"title":"Post ${id}"}`]);
    // The first two were not fetched in the end.
    const more = [4, 5].map((id) => [String(id), `Post ${id}`, `{"id":${id},"title":"Post ${id}"}`]);
    expect(resultOf('DuckDB', 'sql', 5)).toStrictEqual({
      columns: ['id', 'title', 'value'],
      rows: [...rows.slice(2), ...more],
    });
  });

  test('DuckDB and pandas read the exports', () => {
    const left = ['HTTP_ERROR', 'NOT_FOUND', 'fulfilled'].map((outcome) => [
      outcome,
      byCode.reduce((sum, [, code, posts]) => sum + (code === outcome ? Number(posts) : 0), 0),
    ]);
    expect(resultOf('Parquet', 'sql', 0).rows).toStrictEqual(left);
    expect(resultOf('Parquet', 'python', 0).rows).toStrictEqual([
      ['fulfilled', 200, left[2]?.[1]],
      ['rejected', 404, 1],
      ['rejected', 500, 6],
      ['rejected', 502, 3],
      ['rejected', 503, 2],
    ]);
  });

  const duckdb = (code: string): Block => ({ language: 'sql', code });
  const pandas = (code: string): Block => ({ language: 'python', code });
  const exact = exactIds.map((id, index) => [index, id, Object.values(exactValues)[index]]);

  test('values are token for token in the lines, in Parquet and in CSV, whoever reads them', async () => {
    const [views = ''] = blocksOf('DuckDB', 'sql');
    const [reading = ''] = blocksOf('pandas', 'python');
    const columns = ['index', 'id', 'value'];
    const read = "pd.read_csv('exact.csv', dtype={'id': str, 'value': str})";
    const [, lines, frame, ...exports] = await run(made.folder, [
      duckdb(views),
      duckdb("SELECT index, id, value FROM latest WHERE run = 'exact' ORDER BY index"),
      pandas(`${reading}\nexact = latest[latest['run'] == 'exact'].set_index('index')[['id', 'value']]`),
      duckdb("SELECT index, id, value FROM 'exports/exact.parquet'"),
      pandas("exact = pd.read_parquet('exports/exact.parquet').set_index('index')[['id', 'value']]"),
      duckdb("SELECT index, id, value FROM read_csv('exact.csv', max_line_size = 4000000)"),
      pandas(`exact = ${read}.set_index('index')[['id', 'value']]`),
    ]);
    for (const result of [lines, frame, ...exports]) expect(result).toStrictEqual({ columns, rows: exact });
  });

  test('pandas reads runs of which every post was fetched', async () => {
    const folder = join(made.folder, 'fetched');
    mkdirSync(join(folder, 'runs'), { recursive: true });
    for (const file of ['exact.json', 'exact.ndjson'])
      copyFileSync(join(made.folder, 'runs', file), join(folder, 'runs', file));
    const [, counted, failedAgain, failedInRuns] = await run(
      folder,
      blocksOf('pandas', 'python').map(pandas),
    );
    expect(counted?.rows).toStrictEqual([['exact', 'fulfilled', exactIds.length]]);
    expect([failedAgain?.rows, failedInRuns?.rows]).toStrictEqual([[], []]);
  });

  test('ids and values in CSV stay as they are, whatever a reader would take them for', async () => {
    const cells = [
      ['007', '1.10'],
      ['null', '9007199254740993'],
      ['1e5', '1e400'],
    ];
    const lines = cells.map(
      ([id, value], index) =>
        `{"index":${index},"id":"${id}","status":"fulfilled","httpStatus":200,"attempts":1,"startedMs":3,"durationMs":41,"waitedMs":0,"value":${value}}`,
    );
    writeFileSync(join(made.folder, 'run.csv'), Buffer.concat(await Array.fromAsync(csvOf(read(lines)))));
    const results = await run(made.folder, [
      ...blocksOf('Exports', 'sql').map(duckdb),
      pandas('import pandas as pd'),
      ...blocksOf('Exports', 'python').map(pandas),
    ]);
    const [inDuckdb, , inPandas] = results.map(({ columns, rows }) =>
      rows.map((row) => ['id', 'value', 'code'].map((name) => row[columns.indexOf(name)])),
    );
    const expected = cells.map((cell) => [...cell, null]);
    expect([inDuckdb, inPandas]).toStrictEqual([expected, expected]);
  });

  test('DuckDB finds the types of the columns in Parquet', async () => {
    const [described] = await run(made.folder, [duckdb("DESCRIBE FROM 'exports/weekly.parquet'")]);
    const types = new Map([
      ['INT64', 'BIGINT'],
      ['INT32', 'INTEGER'],
      ['STRING', 'VARCHAR'],
    ]);
    const documented = section('The columns')
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .map((row) => row.split('|').map((cell) => cell.trim().replaceAll('`', '')))
      .map(([, , name, type = '']) => [name, types.get(type)]);
    expect(described?.rows.map(([name, type]) => [name, type])).toStrictEqual(documented);
  });

  test('an export counts posts through the parts of a run, and names the run of each', async () => {
    const [posts] = await run(made.folder, [
      duckdb(
        "SELECT run_id, count(*), min(index), max(index) FROM 'exports/weekly.parquet' GROUP BY 1 ORDER BY 1",
      ),
    ]);
    expect(posts?.rows).toStrictEqual([
      ['weekly.part-000000', 30, 0, 29],
      ['weekly.part-000001.redrive-1', 31, 30, 60],
    ]);
  });

  test('the query for Athena counts each post of a run once, in the SQL that both take', async () => {
    const [, , query = ''] = blocksOf('Athena', 'sql');
    // What the SerDes make of the prefix, as far as the query asks.
    const tables = `
      CREATE TABLE outcomes AS
      SELECT regexp_extract(filename, '([^/]+)\\.ndjson', 1) AS runId, status, reason, 's3://results/' || filename AS "$path"
      FROM read_json('runs/*.ndjson*', format = 'newline_delimited', filename = true, ignore_errors = true,
        columns = {'status': 'VARCHAR', 'reason': 'STRUCT(code VARCHAR)'})
      WHERE status IS NOT NULL;
      CREATE TABLE documents AS
      SELECT line, 's3://results/' || filename AS "$path"
      FROM read_csv('runs/*', columns = {'line': 'VARCHAR'}, delim = '', quote = '', escape = '', header = false,
        auto_detect = false, filename = true, max_line_size = 5000000)`;
    const [, counted] = await run(made.folder, [duckdb(tables), duckdb(query)]);
    expect(counted?.rows).toStrictEqual([
      ['HTTP_ERROR', 9],
      ['NOT_FOUND', 1],
      ['fulfilled', 597 + 54 + exactIds.length - 1],
    ]);
  });
});
