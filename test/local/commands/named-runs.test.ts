import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { fileOf, localBucket } from '../../../local/world/places.ts';
import { removeObject } from '../../support/local-objects.ts';
import { printedLines } from '../../support/printed-lines.ts';
import { runCommand } from '../../support/run-command.ts';
import { storedDocument } from '../../support/stored-document.ts';

const id = `named-test-${process.pid}`;
const put: string[] = [];

const results = (args: readonly string[], env?: NodeJS.ProcessEnv) =>
  runCommand('local/commands/results.ts', args, env);

/** Puts an object into the local store, and returns its location. */
function putObject(key: string, content: string): string {
  const location = `s3://${localBucket}/${key}`;
  mkdirSync(dirname(fileOf(location)), { recursive: true });
  writeFileSync(fileOf(location), content);
  put.push(location);
  return location;
}
afterAll(() => put.forEach(removeObject));

/** The outcomes of two posts, the second one rejected as often as it was asked for. */
function linesOf(times: number): string[] {
  return [
    '{"index":0,"id":1,"status":"fulfilled","httpStatus":200,"attempts":1,"startedMs":1,"durationMs":2,"waitedMs":0,"value":1}',
    `{"index":1,"id":2,"status":"rejected","httpStatus":500,"attempts":${times},"startedMs":1,"durationMs":2,"waitedMs":0,"reason":{"code":"HTTP_ERROR","message":"Post 2 answered HTTP 500","retryable":true}}`,
  ];
}

function documentOf(runId: string, times: number, redriveOf?: string): string {
  const document = storedDocument(runId, { stored: `"results":[\n${linesOf(times).join(',\n')}\n]` });
  return redriveOf === undefined
    ? document
    : document.replace('"idsSha256":', `"redriveOf":"${redriveOf}","idsSha256":`);
}

/** A run that was redriven twice. */
function putRedriven(runId: string, prefix = 'runs/'): string {
  putObject(`${prefix}${runId}.redrive-1.json`, documentOf(`${runId}.redrive-1`, 2, runId));
  putObject(`${prefix}${runId}.redrive-2.json`, documentOf(`${runId}.redrive-2`, 3, `${runId}.redrive-1`));
  return putObject(`${prefix}${runId}.json`, documentOf(runId, 1));
}

const partOf = (part: number, runId: string, status: object) => ({
  part,
  runId,
  firstIndex: 2 * part,
  requested: 2,
  ...status,
});
const counts = { bytes: 1, fulfilled: 1, rejected: 1, retryable: 1, attempts: 2, complete: true };
const stored = { status: 'stored', key: 'its key', etag: 'its ETag', ...counts };
const failed = { status: 'failed', code: 'NO_DOCUMENT' };

/** The manifest of a run of such parts. */
function putRunManifest(runId: string, parts: readonly object[]): string {
  const runManifest = { version: 1, run: { id: runId }, parts };
  return putObject(`runs/${runId}.manifest.json`, JSON.stringify(runManifest));
}

describe.concurrent('npm run results', { timeout: 60_000 }, () => {
  const runId = `${id}-redriven`;
  const location = putRedriven(runId);
  const told = (from: string) => `${from} was redriven: these are the outcomes of ${runId}.redrive-2\n`;
  const all = printedLines(`${runId}.redrive-2`, linesOf(3));
  const rejected = printedLines(`${runId}.redrive-2`, linesOf(3).slice(1));

  test.each([
    ['--failed, of a run', [runId, '--failed'], rejected, told(runId)],
    ['of a run', [runId], all, told(runId)],
    ['of a redrive', [`${runId}.redrive-1`, '--failed'], rejected, told(`${runId}.redrive-1`)],
    ['of the latest', [`${runId}.redrive-2`, '--failed'], rejected, ''],
    ['of a location', [location, '--failed'], rejected, told(runId)],
  ])('reads the latest %s, and says so where that is another', async (_, args, out, err) => {
    expect(await results(args)).toStrictEqual({ code: 0, out, err });
  });

  test('reads the latest of each part, also of one that was fetched since its run failed', async () => {
    const run = `${id}-scaled`;
    const parts = [0, 1, 2].map((part) => `${run}.part-00000${part}`);
    const [first = '', second = '', third = ''] = parts;
    putObject(`runs/${first}.json`, documentOf(first, 1));
    putObject(`runs/${first}.redrive-1.json`, documentOf(`${first}.redrive-1`, 2, first));
    putObject(`runs/${second}.json`, documentOf(second, 4));
    putObject(`runs/${third}.json`, documentOf(third, 5));
    const location = putRunManifest(run, [
      partOf(0, first, stored),
      partOf(1, second, { ...failed, redrive: { ids: [1, 2], runId: second, part: 1 } }),
      partOf(2, third, { ...failed, code: 'RUN_CONFLICT', redrive: { ids: [1, 2], runId: third, part: 2 } }),
    ]);
    const [, one = ''] = linesOf(2);
    const [, two = ''] = linesOf(4);
    expect(await results([location, '--failed'])).toStrictEqual({
      code: 1,
      out:
        printedLines(`${first}.redrive-1`, [one]) +
        printedLines(second, [two.replace('"index":1', '"index":3')]),
      err: `${first} was redriven: these are the outcomes of ${first}.redrive-1\nPosts 4 to 5 are missing: ${third} has no document\n`,
    });
  });

  test('says so where something else stands in the place of a redrive', async () => {
    const run = `${id}-blocked`;
    putObject(`runs/${run}.json`, documentOf(run, 1));
    putObject(`runs/${run}.redrive-1.json`, documentOf(`${run}.redrive-1`, 2));
    expect(await results([run])).toStrictEqual({
      code: 0,
      out: printedLines(run, linesOf(1)),
      err: `The runId ${run}.redrive-1 names a run that is no redrive of ${run}\n`,
    });
  });

  test('takes RESULTS_PREFIX, and the folder of a location', async () => {
    const run = `${id}-elsewhere`;
    const location = putObject(`else/where-${run}.json`, documentOf(run, 1));
    const apart = putObject(`apart/${run}.json`, documentOf(run, 2));
    const RESULTS_PREFIX = 'else/where-';
    const lines = (times: number) => printedLines(run, linesOf(times));
    expect([
      await results([run], { RESULTS_PREFIX }),
      await results([location], { RESULTS_PREFIX }),
      await results([run, '--prefix', 'apart/'], { RESULTS_PREFIX }),
      await results([apart], { RESULTS_PREFIX }),
    ]).toStrictEqual([1, 1, 2, 2].map((times) => ({ code: 0, out: lines(times), err: '' })));
    expect(await results([run], { RESULTS_PREFIX: '/x' })).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^Expected RESULTS_PREFIX to be a key prefix .+, got \/x\. Usage: /),
    });
  });

  test('on AWS takes the bucket of a location, and names a region that is missing', async () => {
    const none = { AWS_CONFIG_FILE: '/dev/null', AWS_SHARED_CREDENTIALS_FILE: '/dev/null' };
    const env = { ...none, AWS_REGION: undefined, AWS_DEFAULT_REGION: undefined };
    expect(await results(['s3://a-bucket/b/c.json', '--failed'], env)).toStrictEqual({
      code: 1,
      out: '',
      err: 's3://a-bucket/b/c.json could not be read: there is no region (AWS_REGION)\n',
    });
    expect(await results(['s3://a-bucket/b/c.json', '--bucket', 'another'], env)).toMatchObject({
      code: 2,
      err: expect.stringMatching(
        /^Expected --bucket to be that of s3:\/\/a-bucket\/b\/c\.json, got another\. /,
      ),
    });
  });
});

describe.concurrent('a run that another command redrives', { timeout: 60_000 }, () => {
  const plain = `${id}-plain`;
  const plainLocation = putObject(`runs/${plain}.json`, documentOf(plain, 1));
  const scaled = `${id}-of-parts`;
  const scaledLocation = putRunManifest(scaled, []);
  const planned = `${id}-planned`;
  putObject(`runs/plans/${planned}.jsonl`, '');
  const ofApi = `${id}-of-api`;
  const apiLocation = putObject(`runs/api/${ofApi}.json`, documentOf(ofApi, 1));

  const byScale = (run: string) =>
    `${run} is a run of parts, which another command redrives: npm run scale -- --redrive=${run}\n`;
  const byRedrive = `${plain} is no run of parts, but of one document, which another command redrives: npm run redrive -- ${plain}\n`;
  const byApi = `${ofApi} is a run of the API, which redrives it: GET /batches?redrive=${ofApi}, under npm run offline\n`;

  test.each([
    ['redrive', [scaled], byScale(scaled)],
    ['redrive', [scaledLocation], byScale(scaled)],
    ['redrive', [planned, '--json'], byScale(planned)],
    ['redrive', [ofApi], byApi],
    ['redrive', [apiLocation], byApi],
    ['scale', ['--redrive', plain], byRedrive],
    ['scale', ['--redrive', plainLocation], byRedrive],
    ['scale', ['--redrive', ofApi], byApi],
  ])('is named by npm run %s %j', async (command, args, err) => {
    expect(await runCommand(`local/commands/${command}.ts`, args)).toStrictEqual({ code: 1, out: '', err });
  });

  test('is on AWS where its location is', async () => {
    const { code, err } = await runCommand('local/commands/redrive.ts', ['s3://a-bucket/runs/x.json']);
    expect([code, err]).toStrictEqual([
      2,
      expect.stringMatching(
        /^Expected a run of the local store, got s3:\/\/a-bucket\/runs\/x\.json: one on AWS is redriven there, by the event \{"redrive":"x"\}\. /,
      ),
    ]);
  });
});
