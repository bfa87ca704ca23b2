import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { listen } from '../../../local/world/listen.ts';
import { localBucket, projectDirectory, storeDirectory } from '../../../local/world/places.ts';
import { startS3Store } from '../../../local/world/s3.ts';
import { claimOf, claimText, failed } from '../../../src/document/claim.ts';
import { problem } from '../../../src/document/problem.ts';
import { removeObject } from '../../support/local-objects.ts';
import { printedLines } from '../../support/printed-lines.ts';
import { runCommand } from '../../support/run-command.ts';
import { storedDocument } from '../../support/stored-document.ts';

const runs = join(storeDirectory, localBucket, 'runs');
const id = `results-test-${process.pid}`;

const results = (...args: string[]) => runCommand('local/commands/results.ts', args);

const fulfilled = (index: number, post: number | string) =>
  `{"index":${index},"id":${JSON.stringify(post)},"status":"fulfilled","httpStatus":200,"attempts":1,"startedMs":1,"durationMs":2,"waitedMs":0,"value":{"title":"Post ${post}","views":9007199254740993}}`;
const rejected = (index: number, post: number) =>
  `{"index":${index},"id":${post},"status":"rejected","httpStatus":404,"attempts":1,"startedMs":1,"durationMs":2,"waitedMs":0,"reason":{"code":"NOT_FOUND","message":"No data for post ${post}","retryable":false}}`;

/** A document, as far as it is looked into; with `location`, its results are there. */
function documentOf(runId: string, lines: readonly string[], location?: string): string {
  const stored = location
    ? `"outcomes":${JSON.stringify({ location, bytes: lines.join('\n').length + 1, etag: etags.get(location) })}`
    : `"results":[\n${lines.join(',\n')}\n]`;
  return storedDocument(runId, { stored });
}
const etags = new Map<string, string>();

const runHead = {
  trigger: 'direct',
  requestId: 'request-1',
  startedAt: '2026-11-23T06:00:00.000Z',
  urlTemplate: 'https://example.com/posts/{id}',
  returnExceptions: false,
  requested: 3,
  idsSha256: 'a'.repeat(64),
} as const;

const put = (name: string, content: string): void => writeFileSync(join(runs, name), content);

beforeAll(async () => {
  mkdirSync(runs, { recursive: true });
  put(`${id}.json`, documentOf(id, [fulfilled(0, 1), rejected(1, 99999), fulfilled(2, 'a')]));
  const lines = [fulfilled(0, 7), rejected(1, 8)];
  const owned = lines.map((line) => line.replace('{', `{"runId":"${id}.part-000002",`));
  put(`${id}.part-000002.ndjson`, `${owned.join('\n')}\n`);
  const store = await startS3Store({ directory: storeDirectory, buckets: [localBucket] });
  const key = `runs/${id}.part-000002.ndjson`;
  const response = await fetch(`${store.endpoint}/${localBucket}/${key}`, { method: 'HEAD' });
  await store.close();
  const location = `s3://${localBucket}/${key}`;
  etags.set(location, response.headers.get('etag') ?? '');
  put(`${id}.part-000002.json`, documentOf(`${id}.part-000002`, lines, location));
  put(`${id}.part-000000.redrive-1.json`, documentOf(id, [fulfilled(0, 5), fulfilled(1, 6)]));
  const counts = { bytes: 1, fulfilled: 1, rejected: 1, retryable: 0, attempts: 2, complete: true };
  const stored = { status: 'stored', key: 'its key', etag: 'its ETag', requested: 2, ...counts };
  const parts = [
    { part: 0, runId: `${id}.part-000000.redrive-1`, firstIndex: 0, ...stored },
    {
      part: 1,
      runId: `${id}.part-000001`,
      status: 'failed',
      code: 'NO_DOCUMENT',
      firstIndex: 2,
      requested: 2,
    },
    { part: 2, runId: `${id}.part-000002`, firstIndex: 4, ...stored },
  ];
  const claim = claimOf({ ...runHead, id: `${id}.failed` }, 'running', new Date());
  const why = problem(404, 'No data for post 7', 'NOT_FOUND');
  put(`${id}.failed.progress.json`, claimText(failed(claim, why, new Date())));
  put(`${id}.none.manifest.json`, '{"version":1,"parts":[{}]}');
  put(`${id}.scaled.manifest.json`, JSON.stringify({ version: 1, run: { id: `${id}.scaled` }, parts }));
});
afterAll(() => {
  const made = [
    '',
    '.failed.progress',
    '.none.manifest',
    '.scaled.manifest',
    '.part-000000.redrive-1',
    '.part-000002',
  ].map((name) => `${id}${name}.json`);
  for (const name of [...made, `${id}.part-000002.ndjson`]) removeObject(`s3://${localBucket}/runs/${name}`);
});

describe.concurrent('npm run results', () => {
  test('prints the outcomes of a run as JSON Lines, each with its run first, and else to the byte', async () => {
    expect(await results(id)).toStrictEqual({
      code: 0,
      out: printedLines(id, [fulfilled(0, 1), rejected(1, 99999), fulfilled(2, 'a')]),
      err: '',
    });
  });

  test('--failed prints those alone that failed', async () => {
    expect(await results(id, '--failed', '--format', 'ndjson')).toStrictEqual({
      code: 0,
      out: printedLines(id, [rejected(1, 99999)]),
      err: '',
    });
  });

  test('prints the parts of a run in order, counted through, and says which are missing', async () => {
    expect(await results(`${id}.scaled`)).toStrictEqual({
      code: 1,
      out:
        printedLines(`${id}.part-000000.redrive-1`, [fulfilled(0, 5), fulfilled(1, 6)]) +
        printedLines(`${id}.part-000002`, [fulfilled(4, 7), rejected(5, 8)]),
      err: `Posts 2 to 3 are missing: ${id}.part-000001 has no document\n`,
    });
  });

  test('says so where a run manifest is none', async () => {
    expect(await results(`${id}.none`)).toStrictEqual({
      code: 1,
      out: '',
      err: `What stands in the place of the manifest of ${id}.none is none\n`,
    });
  });

  test('--watch ends with the report of a run that is done', async () => {
    const { code, out, err } = await results(id, '--watch');
    expect([code, err]).toStrictEqual([0, '']);
    expect(out).toMatch(/^0 posts in 1 ms: .+\nStored as s3:.+\.json\n$/);
  });

  test('--watch fails where the run did', async () => {
    expect(await results(`${id}.failed`, '--watch')).toStrictEqual({
      code: 1,
      out: '',
      err: `The run ${id}.failed failed: No data for post 7 (NOT_FOUND)\n`,
    });
  });

  test('a reader that has enough ends it without an error', async () => {
    const child = spawn(process.execPath, ['local/commands/results.ts', id], {
      cwd: projectDirectory,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    const [err, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
    expect([code, err]).toStrictEqual([0, '']);
  });

  test.each([
    [[], 'Expected one run id, got none'],
    [['a', 'b'], 'Expected one run id, got a and b'],
    [
      ['../a'],
      'Expected `runId` to be 1 to 128 characters out of A-Z a-z 0-9 . _ ~ - (not "." or ".."), got "../a"',
    ],
    [['--all', 'a'], "Unknown option '--all'"],
    [['--watch', '--failed', 'a'], 'Expected --watch without --failed, --format and --out'],
    [['--watch', '--format', 'csv', 'a'], 'Expected --watch without --failed, --format and --out'],
    [['--watch', '--out', 'a.csv', 'a'], 'Expected --watch without --failed, --format and --out'],
    [['--out', 'a.csv', 'a'], 'Expected --format beside --out'],
    [['--format', 'xlsx', 'a'], 'Expected --format to be one of ndjson, csv, parquet, got xlsx'],
    [['--format', 'toString', 'a'], 'Expected --format to be one of ndjson, csv, parquet, got toString'],
  ])('%j is refused in one line with exit code 2', async (args, message) => {
    expect(await results(...args)).toStrictEqual({
      code: 2,
      out: '',
      err: `${message}. Usage: npm run results -- <runId> [[--failed] [--format <format> [--out <file>]] | --watch] [--bucket <bucket> [--prefix runs/]]\n`,
    });
  });
});

describe('npm run results -- <runId>, of a run that there is not', () => {
  test.each([
    [
      ['--watch', 'no-such-run'],
      `Expected the id of a run, got no-such-run: there is none of s3://${localBucket}/runs/no-such-run.json, s3://${localBucket}/runs/no-such-run.progress.json and s3://${localBucket}/runs/plans/no-such-run.jsonl`,
    ],
    [
      ['no-such-run'],
      `Expected the id of a run, got no-such-run: there is neither s3://${localBucket}/runs/no-such-run.json nor s3://${localBucket}/runs/no-such-run.manifest.json`,
    ],
  ])('%j fails in one line', async (args, message) => {
    expect(await results(...args)).toStrictEqual({ code: 1, out: '', err: `${message}\n` });
  });
});

test.each(['ndjson', 'ndjson.gz'])(
  'npm run redrive makes a run whole whose origin was down (%s)',
  async (OUTPUT) => {
    const run = (command: string, args: readonly string[], env?: NodeJS.ProcessEnv) =>
      runCommand(`local/commands/${command}.ts`, args, env);
    let isUp = false;
    const server = createServer((request, response) => {
      const post = request.url?.slice(1);
      response.writeHead(isUp || post !== '2' ? 200 : 500).end(JSON.stringify({ title: `Post ${post}` }));
    });
    const { origin, close } = await listen(server);
    const env = { POST_URL: `${origin}/{id}`, MAX_ATTEMPTS: '1', OUTPUT };
    const first = await run('start', ['1-3'], env);
    const runId = /npm run redrive -- (\S+)/.exec(first.out)?.[1] ?? expect.fail(first.out + first.err);
    expect(first.out).toContain('\nPost 2 failed: Post 2 answered HTTP 500\n');
    expect(first.out).toMatch(/^\{"runId":"[^"]+","index":2,.*\}\n\{"version":1,$/m);
    isUp = true;
    const second = await run('redrive', [runId], env);
    expect(second.code).toBe(0);
    expect(second.out).toContain('\nPost 1: Post 1\nPost 2: Post 2\nPost 3: Post 3\n\n3 posts in ');
    expect(second.out).toContain(`Stored as s3://${localBucket}/runs/${runId}.redrive-1.json\n`);
    expect(second.out).not.toContain('npm run redrive -- ');
    const lines = await results(`${runId}.redrive-1`);
    expect(
      lines.out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).value.title),
    ).toStrictEqual(['Post 1', 'Post 2', 'Post 3']);
    await close();
    for (const name of [runId, `${runId}.redrive-1`])
      for (const ending of ['json', OUTPUT]) removeObject(`s3://${localBucket}/runs/${name}.${ending}`);
  },
  60_000,
);
