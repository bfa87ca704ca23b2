import type { APIGatewayProxyResult } from 'aws-lambda';
import { describe, expect, test, vi } from 'vitest';
import { answerRead } from '../../../src/lambda/answer-read.ts';
import type { ApiDialect } from '../../../src/lambda/events/http-request.ts';
import { createPageStore } from '../../../src/store/page-store.ts';
import { replyFaults } from '../../support/api-description.ts';
import { hold } from '../../support/misbehaving-s3.ts';
import { readPartsPage, readRunPage, template } from '../../support/page-template.ts';
import type { Result } from '../../support/stored-run.ts';
import { readingWorld } from '../reading/world.ts';
import { FOREVER, MIB, never } from '../store/world.ts';

vi.mock('../../../src/report/template.ts', async (original) => ({
  ...(await original<object>()),
  readTemplate: async () => (await import('../../support/page-template.ts')).template,
}));

const world = readingWorld();
const always = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', vary: 'accept' };
const ofPage = {
  'content-type': 'text/html; charset=utf-8',
  ...always,
  'content-security-policy': template.policy,
};

async function look(
  runId: string,
  ifNoneMatch = '',
  dialect: ApiDialect = 'http-api',
  ports = world.ports(),
) {
  const request = { kind: 'run', runId, ifNoneMatch, asPage: true } as const;
  const reply = await answerRead(request, dialect, ports, { remainingMs: 30_000 });
  const { statusCode, headers, body } = reply as APIGatewayProxyResult; // an API's reply has them
  expect(replyFaults('GET', `/batches/${runId}`, { statusCode, headers, body })).toStrictEqual([]);
  return { statusCode, headers, body };
}

const anyTag = expect.stringMatching(new RegExp(`^"[0-9a-f]{32}-${template.tag}"$`));
/** Posts whose ids and messages make a page of a megabyte, which gzip does not change. */
const many = (count: number): readonly Result[] => Array.from({ length: count }, () => ({ value: '1' }));

async function putPage(runId: string, madeOf: string): Promise<void> {
  const options = world.s3.optionsOf(world.s3.client);
  await createPageStore(options).write(runId, { html: `page of ${runId}`, madeOf }, undefined, never());
}

async function etagOf(key: string): Promise<string> {
  const { headers } = await fetch(`${world.s3.real.endpoint}/results/runs/${key}`, { method: 'HEAD' });
  return headers.get('etag') ?? '';
}

describe('a browser that asks for a run', () => {
  test('is shown its page', async () => {
    const runId = world.s3.newRunId();
    await world.putDocument(runId, [{ value: '1' }, { code: 'TIMEOUT' }]);
    const { body, ...reply } = await look(runId);
    expect(reply).toStrictEqual({ statusCode: 200, headers: { ...ofPage, etag: anyTag } });
    expect(readRunPage(body)).toMatchObject({
      run: { kind: 'run', run: { id: runId } },
      posts: { code: [0, 1] },
    });
  });

  test('is told that it knows the page, by a tag that is not that of the JSON', async () => {
    const runId = world.s3.newRunId();
    await world.putDocument(runId, [{ value: '1' }]);
    const etag = String((await look(runId)).headers?.etag);
    for (const known of [etag, `W/${etag}`, '*'])
      expect(await look(runId, known)).toStrictEqual({
        statusCode: 304,
        headers: { ...always, etag },
        body: '',
      });
    expect((await look(runId, etag.replace(/-.*/, '"'))).statusCode).toBe(200);
  });

  test('is shown how far a run is, until it ends', async () => {
    const runId = world.s3.newRunId();
    const figures = { done: 40, fulfilled: 38, rejected: 2, perSecond: 20, etaSeconds: 7 };
    await world.putClaim(runId, 'running', 2, { requested: 100, ...figures });
    const { statusCode, headers, body } = await look(runId, '*');
    expect([statusCode, headers]).toStrictEqual([
      202,
      {
        ...ofPage,
        'content-security-policy': expect.stringContaining("default-src 'none'; style-src"),
        'retry-after': '5',
      },
    ]);
    expect(body).toContain('<meta http-equiv="refresh" content="5">');
    expect(body).toContain('<p>40 of 100 posts, 2 rejected, 20 a second, 7 s left</p>');
  });

  test('is shown why a run failed', async () => {
    const runId = world.s3.newRunId();
    await world.putClaim(runId, 'accepted', 1_000);
    const { statusCode, headers, body } = await look(runId);
    expect([statusCode, headers?.etag]).toStrictEqual([200, anyTag]);
    expect(body).toContain(`<p>The run ${runId} was accepted and never begun</p>`);
    expect((await look(runId, '*')).statusCode).toBe(304);
  });

  test('is shown the parts of a run, each with a link to its page there', async () => {
    const runId = world.s3.newRunId();
    await world.putRunManifest(runId, { failed: 1 });
    const { body, ...reply } = await look(runId);
    expect(reply).toStrictEqual({ statusCode: 200, headers: { ...ofPage, etag: anyTag } });
    const { parts } = readPartsPage(body).run;
    expect(parts.map(({ href }) => href)).toStrictEqual([
      null,
      `${runId}.part-000001`,
      `${runId}.part-000002`,
    ]);
  });

  test('gets a problem where there is no such run', async () => {
    await expect(look('none')).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });
  });
});

describe('a page that has no place in a reply', () => {
  /** More than a load balancer takes. */
  const large = { ...template, text: `${template.text}<!--${'x'.repeat(1_000_000)}-->` };
  const inLargeTemplate = async <T>(work: () => Promise<T>): Promise<T> => {
    const { text } = template;
    Object.assign(template, { text: large.text });
    try {
      return await work();
    } finally {
      Object.assign(template, { text });
    }
  };

  test('is the one that is stored', async () => {
    const runId = world.s3.newRunId();
    await world.putDocument(runId, many(3));
    await putPage(runId, await etagOf(`${runId}.json`));
    const { statusCode, headers, body } = await inLargeTemplate(() => look(runId, '', 'alb'));
    expect([statusCode, headers, body]).toStrictEqual([
      303,
      { ...always, location: expect.stringContaining(`/results/runs/${runId}.html?`) },
      '',
    ]);
    expect(await (await fetch(String(headers?.location))).text()).toBe(`page of ${runId}`);
  });

  test.each([
    ['there is none', undefined],
    ['it is of an earlier document', 'another'],
  ])('is JSON where %s', async (_, madeOf) => {
    const runId = world.s3.newRunId();
    await world.putDocument(runId, many(3));
    if (madeOf) await putPage(runId, madeOf);
    const { statusCode, headers } = await inLargeTemplate(() => look(runId, '', 'alb'));
    expect([statusCode, headers?.['content-type']]).toStrictEqual([200, 'application/json']);
  });

  test('is not made of a run manifest that is too large for that', async () => {
    const runId = world.s3.newRunId();
    await world.putRunManifest(runId);
    const { plans, ...ports } = world.ports();
    const readRunManifestEnds: typeof plans.readRunManifestEnds = async (...asked) => {
      const ends = await plans.readRunManifestEnds(...asked);
      return ends && { ...ends, bytes: 20 * MIB };
    };
    world.s3.s3.behave();
    const reply = await look(runId, '', 'http-api', { ...ports, plans: { ...plans, readRunManifestEnds } });
    expect([reply.statusCode, reply.headers?.['content-type']]).toStrictEqual([200, 'application/json']);
    expect(world.s3.s3.operations.filter((operation) => operation === 'GetObject')).toStrictEqual([]);
  });

  test('nor of one that is gone meanwhile', async () => {
    const runId = world.s3.newRunId();
    await world.putRunManifest(runId);
    const ports = world.ports();
    let reads = 0;
    const readRunManifest: typeof ports.plans.readRunManifest = async (...asked) =>
      reads++ === 0 ? undefined : ports.plans.readRunManifest(...asked);
    const { headers } = await look(runId, '', 'http-api', {
      ...ports,
      plans: { ...ports.plans, readRunManifest },
    });
    expect(headers?.['content-type']).toBe('application/json');
  });
});

describe('a page that takes too long to be made', () => {
  test('is the one that is stored', async () => {
    const runId = world.s3.newRunId();
    await world.putDocument(runId, many(3));
    await putPage(runId, await etagOf(`${runId}.json`));
    world.s3.s3.behave();
    let asked = 0;
    world.s3.s3.always('GetObject', async (exchange) => {
      // The first looks for the document, and the second reads its outcomes.
      asked += 1;
      await hold(asked === 2 ? FOREVER : Promise.resolve())(exchange);
    });
    const looking = look(runId);
    await world.s3.s3.asked('GetObject', 2);
    world.s3.clock.advance(15_000);
    expect((await looking).statusCode).toBe(303);
  });

  test('and nothing else is taken for that', async () => {
    const runId = world.s3.newRunId();
    const { document } = await world.putDocument(runId, many(3));
    await world.s3.put(`runs/${runId}.json`, document.replace('"index":1', '"index":7'));
    await expect(look(runId)).rejects.toMatchObject({ code: 'RUN_CONFLICT' });
  });
});
