import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  localBucket,
  projectDirectory,
  reportDirectory,
  storeDirectory,
} from '../../../local/world/places.ts';
import { startS3Store } from '../../../local/world/s3.ts';
import { claimOf, claimText, failed } from '../../../src/document/claim.ts';
import { problem } from '../../../src/document/problem.ts';
import { runManifestText } from '../../../src/run/parts/run-manifest.ts';
import { removeObject } from '../../support/local-objects.ts';
import { readPartsPage, readRunPage } from '../../support/page-template.ts';
import { nothingLearned } from '../../support/plain-traffic.ts';
import { runCommand } from '../../support/run-command.ts';
import { type Result, storedRun } from '../../support/stored-run.ts';

const runs = join(storeDirectory, localBucket, 'runs');
const id = `report-test-${process.pid}`;
const made: string[] = [];
let home: string;

const report = (args: readonly string[], env?: NodeJS.ProcessEnv) =>
  runCommand('local/commands/report-run.ts', args, env);

function put(name: string, content: string): void {
  made.push(name);
  writeFileSync(join(runs, name), content);
}

async function putRun(runId: string, results: readonly Result[], redriveOf?: string): Promise<void> {
  const { document } = await storedRun(runId, results);
  const more = redriveOf === undefined ? '' : `"redriveOf":"${redriveOf}",`;
  put(`${runId}.json`, document.replace('"requestId"', `${more}"requestId"`).replace('"api"', '"direct"'));
}

const part = (number: number) => `${id}.big.part-00000${number}`;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'batch-fetcher-report-'));
  mkdirSync(runs, { recursive: true });
  await putRun(id, [{ value: '1' }, { code: 'TIMEOUT' }]);
  await putRun(`${id}.again`, [{ value: '1' }, { code: 'TIMEOUT' }]);
  await putRun(`${id}.again.redrive-1`, [{ value: '1' }, { value: '2' }], `${id}.again`);
  const { report: whole } = await storedRun(`${id}.failed`, []);
  const claim = claimOf(whole.run, 'running', new Date());
  const why = problem(404, 'No data for post 7', 'NOT_FOUND');
  put(`${id}.failed.progress.json`, claimText(failed(claim, why, new Date())));
  put(`${id}.running.progress.json`, claimText({ ...claim, runId: `${id}.running` }));
  put(`${id}.none.json`, 'no document');
  await putRun(part(0), [{ value: '1' }]);
  const counts = { fulfilled: 1, rejected: 0, retryable: 0, attempts: 1, complete: true };
  const stored = { status: 'stored', key: 'k', etag: 'e', bytes: 1, requested: 1, ...counts };
  const entries = [
    { part: 0, runId: part(0), firstIndex: 0, ...stored },
    { part: 1, runId: part(1), firstIndex: 1, requested: 1, status: 'failed', code: 'NO_DOCUMENT' },
    { part: 2, runId: part(2), firstIndex: 2, ...stored },
  ];
  const summary = {
    startedAt: null,
    finishedAt: null,
    requested: 3,
    fulfilled: 2,
    rejected: 0,
    failed: 1,
    attempts: 2,
    complete: false,
    parts: { total: 3, stored: 2, failed: 1, incomplete: 0 },
    latencyMs: { p50: null, p90: null, p99: null, max: null },
    learned: nothingLearned,
  };
  const run = { id: `${id}.big`, requested: 3, parts: 3, plan: 'p' };
  const errors = { total: 0, byCode: {}, first: [], retryable: 0 };
  put(
    `${id}.big.manifest.json`,
    runManifestText(
      { run, errors, summary },
      entries.map((it) => JSON.stringify(it)),
    ),
  );
});
afterAll(() => {
  for (const name of made) removeObject(`s3://${localBucket}/runs/${name}`);
  rmSync(home, { recursive: true });
});

describe.concurrent('npm run report', { timeout: 60_000 }, () => {
  test('makes the page of a run, and says where', async () => {
    const file = join(reportDirectory, `${id}.html`);
    expect(await report([id])).toStrictEqual({
      code: 0,
      out: `Report in .local/reports/${id}.html\n${pathToFileURL(file)}\n`,
      err: '',
    });
    const { run, posts } = readRunPage(readFileSync(file, 'utf8'));
    expect(run).toMatchObject({
      location: `s3://${localBucket}/runs/${id}.json`,
      redrive: `npm run redrive -- ${id}`,
      shown: 2,
    });
    expect(posts?.messages).toStrictEqual(['Post 1 took longer than 5 s']);
    rmSync(file);
  });

  test('takes a location, replaces the file that is named, and makes its folder', async () => {
    const file = join(home, 'pages/of/a run.html');
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, 'another');
    const { code, out } = await report([`s3://${localBucket}/runs/${id}.html`, '--out', file]);
    expect([code, out]).toStrictEqual([0, expect.stringMatching(/^Report in .+\nfile:.+\/a%20run\.html\n$/)]);
    expect(readRunPage(readFileSync(file, 'utf8')).run.run.id).toBe(id);
  });

  test('follows redrives to the latest, and says so', async () => {
    const { code, err } = await report([`${id}.again`]);
    expect([code, err]).toStrictEqual([
      0,
      `${id}.again was redriven: this is the report of ${id}.again.redrive-1\n`,
    ]);
    const file = join(reportDirectory, `${id}.again.redrive-1.html`);
    const { run, posts } = readRunPage(readFileSync(file, 'utf8'));
    expect([run.redrive, run.errors.total, posts?.startedMs]).toStrictEqual([null, 0, [-1, 3]]);
    rmSync(file);
  });

  test('makes the pages of the parts of a run, and one that links to them', async () => {
    const file = join(home, 'big.html');
    const { code, err } = await report([`${id}.big`, '--out', file]);
    expect([code, err]).toStrictEqual([
      0,
      [1, 2].map((number) => `The part ${part(number)} has no document, and so no page\n`).join(''),
    ]);
    const { run } = readPartsPage(readFileSync(file, 'utf8'));
    expect(run).toMatchObject({
      location: `s3://${localBucket}/runs/${id}.big.manifest.json`,
      redrive: `npm run scale -- --redrive ${id}.big`,
    });
    expect(run.parts.map(({ href }) => href)).toStrictEqual([`${part(0)}.html`, null, null]);
    const ofPart = readRunPage(readFileSync(join(home, `${part(0)}.html`), 'utf8'));
    expect(ofPart.run).toMatchObject({ shown: 1, run: { id: part(0) } });
  });

  test('reads a bucket on AWS, whose runs are redriven there', async () => {
    const store = await startS3Store({ directory: join(home, 's3'), buckets: ['elsewhere'] });
    const { document } = await storedRun('nightly', [{ code: 'TIMEOUT' }]);
    mkdirSync(join(home, 's3/elsewhere/posts'), { recursive: true });
    writeFileSync(join(home, 's3/elsewhere/posts/nightly.json'), document.replace('"api"', '"direct"'));
    const file = join(home, 'nightly.html');
    const args = ['nightly', '--bucket', 'elsewhere', '--prefix', 'posts/', '--out', file];
    expect((await report(args, store.environment)).code).toBe(0);
    expect(readRunPage(readFileSync(file, 'utf8')).run.redrive).toBe(
      `aws lambda invoke --function-name <FetchFunctionArn> --cli-binary-format raw-in-base64-out --payload '{"redrive":"nightly"}' reply.json`,
    );
    await store.close();
  });

  test('--open has the desktop open it, and says so where it cannot', async () => {
    const file = join(home, 'opened.html');
    const bin = join(home, 'bin');
    mkdirSync(bin);
    const opener = join(bin, 'xdg-open');
    const open = () => report([id, '--open', '--out', file], { PATH: `${bin}:${dirname(process.execPath)}` });
    expect(await open()).toMatchObject({
      code: 1,
      out: expect.stringContaining('opened.html\n'),
      err: '--open needs xdg-open, which is not here: open it in a browser\n',
    });
    writeFileSync(opener, `#!/bin/sh\n/bin/echo "$1" > ${join(home, 'opened')}\n`);
    chmodSync(opener, 0o755);
    expect(await open()).toMatchObject({ code: 0, err: '' });
    expect(readFileSync(join(home, 'opened'), 'utf8')).toBe(`${pathToFileURL(file)}\n`);
    writeFileSync(opener, '#!/bin/sh\nexit 3\n');
    expect(await open()).toMatchObject({ code: 1, err: 'xdg-open could not open it (exit code 3)\n' });
  });

  test.each([
    [
      `${id}.missing`,
      `There is no run ${id}.missing: expected s3://${localBucket}/runs/${id}.missing.json\n`,
    ],
    [
      `${id}.running`,
      `The run ${id}.running is running, and has its report when it has ended: npm run results -- ${id}.running --watch\n`,
    ],
    [`${id}.failed`, `The run ${id}.failed failed, and has no report: No data for post 7 (NOT_FOUND)\n`],
    [`${id}.none`, `s3://${localBucket}/runs/${id}.none.json exists, and is no document of a run\n`],
  ])('%s has none, and it says why', async (runId, err) => {
    expect(await report([runId])).toStrictEqual({ code: 1, out: '', err });
    expect(existsSync(join(reportDirectory, `${runId}.html`))).toBe(false);
  });

  test('says so where the file cannot be written', async () => {
    expect(await report([id, '--out', home])).toMatchObject({
      code: 1,
      err: `${home} could not be written: EISDIR\n`,
    });
    const inFile = join(process.execPath, 'run.html');
    expect(await report([id, '--out', inFile])).toMatchObject({
      code: 1,
      err: expect.stringMatching(/run\.html could not be written: (ENOTDIR|EEXIST)\n$/),
    });
  });

  test.each([
    [[], 'Expected one run id, got none'],
    [['a', 'b'], 'Expected one run id, got a and b'],
    [['--all', 'a'], "Unknown option '--all'"],
    [
      ['s3://one/runs/a.json', '--bucket', 'two'],
      'Expected --bucket to be that of s3://one/runs/a.json, got two',
    ],
  ])('%j is refused in one line with exit code 2', async (args, message) => {
    expect(await report(args)).toStrictEqual({
      code: 2,
      out: '',
      err: `${message}. Usage: npm run report -- <runId> [--out <file>.html] [--open] [--bucket <bucket> [--prefix runs/]]\n`,
    });
  });
});

test('the project has a script for it', () => {
  const { scripts } = JSON.parse(readFileSync(join(projectDirectory, 'package.json'), 'utf8'));
  expect(scripts.report).toContain('local/commands/report-run.ts');
});
