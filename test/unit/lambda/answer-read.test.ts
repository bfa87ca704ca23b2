import type { APIGatewayProxyResult } from 'aws-lambda';
import { describe, expect, test } from 'vitest';
import { answerRead } from '../../../src/lambda/answer-read.ts';
import type { ApiDialect } from '../../../src/lambda/events/http-request.ts';
import type { ReadRequest } from '../../../src/lambda/events/read-request.ts';
import { replyFaults } from '../../support/api-description.ts';
import { hold } from '../../support/misbehaving-s3.ts';
import type { Result } from '../../support/stored-run.ts';
import { readingWorld } from '../reading/world.ts';
import { FOREVER } from '../store/world.ts';

const world = readingWorld();
const always = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };
const json = { 'content-type': 'application/json', ...always };
/** Of a run, which may be asked for as a page. */
const varies = { vary: 'accept' };

async function answer(request: ReadRequest, dialect: ApiDialect = 'http-api', remainingMs = 30_000) {
  const reply = await answerRead(request, dialect, world.ports(), { remainingMs });
  const { statusCode, headers, body } = reply as APIGatewayProxyResult; // an API's reply has them
  expect(replyFaults('GET', pathOf(request), { statusCode, headers, body })).toStrictEqual([]);
  return { statusCode, headers, body };
}

function pathOf(request: ReadRequest): string {
  if (request.kind === 'list') return '/batches';
  return `/batches/${request.runId}${request.kind === 'outcomes' ? '/outcomes' : ''}`;
}

const run = (runId: string, ifNoneMatch = ''): ReadRequest => ({
  kind: 'run',
  runId,
  ifNoneMatch,
  asPage: false,
});
const outcomes = (
  runId: string,
  more: { readonly after?: number; readonly limit?: number } = {},
): ReadRequest => ({
  kind: 'outcomes',
  runId,
  status: undefined,
  code: undefined,
  after: undefined,
  limit: 1_000,
  ...more,
});

const value: Result = { value: '{"id":12345678901234567890,"price":1.10}' };
/** A value whose JSON has so many bytes. */
const sizedValue = (bytes: number, filler = 'x'): Result => ({
  value: `"${filler.repeat((bytes - 2) / filler.length)}"`,
});
const anyTag = (prefix = '') => expect.stringMatching(new RegExp(`^${prefix}"[0-9a-f]{32}"$`));

describe('a run that is read', () => {
  test('has all that its document has, token for token', async () => {
    const runId = world.s3.newRunId();
    const { document } = await world.putDocument(runId, [value, { code: 'NOT_FOUND' }]);
    expect(await answer(run(runId))).toStrictEqual({
      statusCode: 200,
      headers: { ...json, ...varies, etag: anyTag() },
      body: `{"runId":"${runId}","state":"succeeded","location":"s3://results/runs/${runId}.json",${document.slice(1)}`,
    });
  });

  test('is said to be the same to whoever knows its tag', async () => {
    const runId = world.s3.newRunId();
    await world.putDocument(runId, [value]);
    const { headers } = await answer(run(runId));
    const etag = String(headers?.etag);
    world.s3.s3.behave();
    for (const known of [etag, `W/${etag}`, `"x", ${etag}`, '*'])
      expect(await answer(run(runId, known))).toStrictEqual({
        statusCode: 304,
        headers: { ...always, ...varies, etag },
        body: '',
      });
    expect(world.s3.s3.operations).toStrictEqual(Array.from({ length: 4 }, () => 'GetObject bytes=-65536'));
    expect((await answer(run(runId, '"another"'))).statusCode).toBe(200);
  });

  test.each<
    [
      what: string,
      put: 'putDocument' | 'putOutcomesApart' | 'putGzipOutcomes',
      results: readonly Result[],
      dialect: ApiDialect,
    ]
  >([
    ['that would pass 4 MB', 'putDocument', [sizedValue(4_000_000)], 'http-api'],
    ['that would pass 6 MB as Lambda has it', 'putDocument', [sizedValue(3_200_000, '\\"')], 'rest-api'],
    ['that would pass the 1 MB of a load balancer', 'putDocument', [sizedValue(1_000_000)], 'alb'],
    ['whose outcomes stand by themselves', 'putOutcomesApart', [value], 'http-api'],
    ['whose outcomes stand by themselves, compressed', 'putGzipOutcomes', [value], 'http-api'],
  ])('%s has a URL for its results', async (_, put, results, dialect) => {
    const runId = world.s3.newRunId();
    const stored = await world[put](runId, results);
    const reply = await answer(run(runId), dialect);
    expect(reply).toMatchObject({ statusCode: 200, headers: { ...varies, etag: anyTag('W/') } });
    const { resultsUrl, ...body } = JSON.parse(reply.body);
    expect(body).toStrictEqual({
      runId,
      state: 'succeeded',
      location: `s3://results/runs/${runId}.json`,
      version: 1,
      ...stored.report,
    });
    const text = await (await fetch(resultsUrl)).text();
    expect(text === (put === 'putDocument' ? stored.document : stored.outcomes)).toBe(true);
  });

  test('whose ids to redrive would fill the reply is told without them', async () => {
    const runId = world.s3.newRunId();
    const { document, report } = await world.putDocument(runId, [sizedValue(2)]);
    const many = Array.from({ length: 40_000 }, (_, i) => `${i}`.padStart(120, 'x'));
    await world.s3.put(
      `runs/${runId}.json`,
      document.replace('"retryableIds":[]', `"retryableIds":${JSON.stringify(many)}`),
    );
    const { resultsUrl: _url, ...body } = JSON.parse((await answer(run(runId))).body);
    const { retryableIds: _ids, ...errors } = report.errors;
    expect(body).toStrictEqual({
      runId,
      state: 'succeeded',
      location: `s3://results/runs/${runId}.json`,
      version: 1,
      ...report,
      errors,
    });
  });

  test('is on its way, with how far it is', async () => {
    const runId = world.s3.newRunId();
    const figures = { done: 40, fulfilled: 38, rejected: 2, perSecond: 20, etaSeconds: 7 };
    const { startedAt } = await world.putClaim(runId, 'running', 2, { requested: 100, ...figures });
    const reply = await answer(run(runId, '*'));
    expect(reply).toMatchObject({ statusCode: 202, headers: { ...json, ...varies, 'retry-after': '5' } });
    expect(JSON.parse(reply.body)).toStrictEqual({
      runId,
      state: 'running',
      startedAt,
      progress: { requested: 100, ...figures },
    });
  });

  test('has failed, with its problem', async () => {
    const runId = world.s3.newRunId();
    const { startedAt } = await world.putClaim(runId, 'accepted', 1_000);
    const reply = await answer(run(runId));
    expect(reply).toMatchObject({ statusCode: 200, headers: { ...json, ...varies, etag: anyTag() } });
    expect(JSON.parse(reply.body)).toStrictEqual({
      runId,
      state: 'failed',
      startedAt,
      problem: {
        type: 'about:blank',
        title: 'Internal Server Error',
        status: 500,
        detail: `The run ${runId} was accepted and never begun`,
        code: 'RUN_LOST',
      },
    });
    expect((await answer(run(runId, '*'))).statusCode).toBe(304);
  });

  test('is none where there is nothing of it', async () => {
    await expect(answer(run('none'))).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });
  });
});

describe('a run of parts that is read', () => {
  test('has its run manifest, token for token', async () => {
    const runId = world.s3.newRunId();
    const text = await world.putRunManifest(runId);
    expect(await answer(run(runId))).toStrictEqual({
      statusCode: 200,
      headers: { ...json, ...varies, etag: anyTag() },
      body: `{"runId":"${runId}","state":"succeeded","location":"s3://results/runs/${runId}.manifest.json",${text.slice(1)}`,
    });
  });

  test('has failed where a part has no document', async () => {
    const runId = world.s3.newRunId();
    await world.putRunManifest(runId, { failed: 1 });
    expect(JSON.parse((await answer(run(runId))).body)).toMatchObject({
      state: 'failed',
      problem: {
        status: 500,
        detail: `1 of the 3 parts of the run ${runId} have no document`,
        code: 'PARTS_FAILED',
      },
      parts: { length: 3 },
    });
  });

  test('of many parts has a URL for them', async () => {
    const runId = world.s3.newRunId();
    const text = await world.putRunManifest(runId, { parts: 20_000 });
    const { run: head, errors, summary } = JSON.parse(text);
    const { resultsUrl, ...body } = JSON.parse((await answer(run(runId))).body);
    expect(body).toStrictEqual({
      runId,
      state: 'succeeded',
      location: `s3://results/runs/${runId}.manifest.json`,
      version: 1,
      run: head,
      errors,
      summary,
    });
    expect((await (await fetch(resultsUrl)).text()) === text).toBe(true);
  });
});

describe('outcomes that are read', () => {
  test('stand in the reply as in the document, a line each', async () => {
    const runId = world.s3.newRunId();
    const { lines } = await world.putDocument(runId, [value, { code: 'NOT_FOUND' }, value]);
    expect(await answer(outcomes(runId, { limit: 2 }))).toStrictEqual({
      statusCode: 200,
      headers: json,
      body: `{"runId":"${runId}","outcomes":[\n${lines[0]},\n${lines[1]}\n],"next":1}\n`,
    });
    expect((await answer(outcomes(runId, { after: 2 }))).body).toBe(`{"runId":"${runId}","outcomes":[\n]}\n`);
  });

  test.each<[what: string, result: Result, dialect: ApiDialect, taken: number]>([
    ['4 MB', sizedValue(900_000), 'http-api', 4],
    ['6 MB as Lambda has them', sizedValue(900_000, '\\"'), 'http-api', 3],
    ['the 1 MB of a load balancer', sizedValue(300_000), 'alb', 3],
  ])('are as many as fit into %s', async (_, result, dialect, taken) => {
    const runId = world.s3.newRunId();
    const { lines } = await world.putDocument(runId, [result, result, result, result, result]);
    const reply = await answer(outcomes(runId), dialect);
    const expected = `{"runId":"${runId}","outcomes":[\n${lines.slice(0, taken).join(',\n')}\n],"next":${taken - 1}}\n`;
    expect(reply.body === expected).toBe(true);
  });
});

test('the list stands in the reply', async () => {
  await world.s3.clear();
  await world.putDocument('a', [value]);
  const { report } = await world.putDocument('b', [value]);
  const { startedAt } = report.run;
  const reply = await answer({ kind: 'list', after: undefined, limit: 1 });
  expect(reply).toMatchObject({ statusCode: 200, headers: json });
  expect(JSON.parse(reply.body)).toStrictEqual({
    runs: [{ runId: 'a', state: 'succeeded', startedAt, summary: report.summary }],
    next: 'a',
  });
});

test.each<[what: string, request: ReadRequest]>([
  ['The list of runs', { kind: 'list', after: undefined, limit: 1 }],
  ['s3://results/runs/r.json', run('r')],
  ['s3://results/runs/r.json', outcomes('r')],
])('%s that takes too long to be read ends in time', async (what, request) => {
  world.s3.s3.always('GetObject', hold(FOREVER));
  world.s3.s3.always('ListObjectsV2', hold(FOREVER));
  const reading = answer(request);
  const operation = request.kind === 'list' ? 'ListObjectsV2' : 'GetObject';
  await world.s3.s3.asked(operation);
  world.s3.clock.advance(29_750);
  await expect(reading).rejects.toThrow(`${what} could not be read before the function's time ran out`);
});
