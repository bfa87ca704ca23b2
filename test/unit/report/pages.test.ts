import { describe, expect, test, vi } from 'vitest';
import { RunConflictError } from '../../../src/base/errors.ts';
import { pageOfParts, pageOfRun, pageOfState, pageTag } from '../../../src/report/pages.ts';
import type { NamedRun } from '../../../src/run/redrive-chain.ts';
import { readPartsPage, readRunPage, template } from '../../support/page-template.ts';
import type { Result } from '../../support/stored-run.ts';
import { readingWorld } from '../reading/world.ts';
import { never } from '../store/world.ts';

vi.mock('../../../src/report/template.ts', async (original) => ({
  ...(await original<object>()),
  readTemplate: async () => (await import('../../support/page-template.ts')).template,
}));

const world = readingWorld();
const redriver = { apiBasePath: '/v1' };

async function stored(runId: string): Promise<NamedRun> {
  const found = await world.ports().store.find(runId, never());
  return { runId, stored: found ?? expect.fail(`There is no ${runId}`) };
}

const results: readonly Result[] = [{ value: '1' }, { code: 'NOT_FOUND' }, { code: 'TIMEOUT' }];

describe('the page of a stored run', () => {
  test.each(['putDocument', 'putOutcomesApart'] as const)('is read back from the store (%s)', async (put) => {
    const runId = world.s3.newRunId();
    const { report } = await world[put](runId, results);
    const { html, policy } = await pageOfRun(await stored(runId), world.ports().store, redriver, never());
    expect(policy).toBe(template.policy);
    const { run, posts } = readRunPage(html);
    expect(run).toStrictEqual({
      kind: 'run',
      location: `s3://results/runs/${runId}.json`,
      run: report.run,
      errors: { total: 2, byCode: { NOT_FOUND: 1, TIMEOUT: 1 }, retryable: 1 },
      summary: report.summary,
      redrive: `GET /v1/batches?redrive=${runId}`,
      shown: 3,
    });
    expect(posts).toMatchObject({
      codes: ['NOT_FOUND', 'TIMEOUT'],
      id: [0, 1, 2],
      code: [0, 1, 2],
      messages: ['No data for post 1', 'Post 2 took longer than 5 s'],
      retryable: [0, 1],
    });
  });

  test('that is a redrive has the times of what it has fetched', async () => {
    const source = world.s3.newRunId();
    await world.putDocument(source, results);
    const runId = `${source}.redrive-1`;
    const { document } = await world.putDocument(runId, results);
    const redriven = document.replace('"requested":3', `"requested":3,"redriveOf":"${source}"`);
    await world.s3.put(`runs/${runId}.json`, redriven);
    const make = async () => pageOfRun(await stored(runId), world.ports().store, redriver, never());
    expect(readRunPage((await make()).html).posts?.startedMs).toStrictEqual([-1, -1, 3]);
    await world.s3.put(`runs/${runId}.json`, redriven.replace(`"${source}"`, '"expired"'));
    expect(readRunPage((await make()).html).posts?.startedMs).toStrictEqual([3, 3, 3]);
  });

  test('rejects where its outcomes are not as they were written', async () => {
    const runId = world.s3.newRunId();
    const { document } = await world.putDocument(runId, results);
    await world.s3.put(`runs/${runId}.json`, document.replace('"index":1', '"index":7'));
    await expect(pageOfRun(await stored(runId), world.ports().store, redriver, never())).rejects.toThrow(
      RunConflictError,
    );
  });
});

describe('the page of a run of parts', () => {
  const location = 's3://results/runs/big.manifest.json';

  test('has its run manifest, and links to the parts', async () => {
    const text = await world.putRunManifest('big', { failed: 1 });
    const { html, policy } = await pageOfParts(
      { runId: 'big', location, text },
      (part) => `${part}.html`,
      redriver,
    );
    expect(policy).toBe(template.policy);
    const { run } = readPartsPage(html);
    const { parts: _parts, version: _version, ...whole } = JSON.parse(text);
    expect(run).toMatchObject({
      kind: 'parts',
      location,
      ...whole,
      redrive: 'npm run scale -- --redrive big',
    });
    expect(run.parts.map(({ href }) => href)).toStrictEqual([
      null,
      'big.part-000001.html',
      'big.part-000002.html',
    ]);
  });

  test('is none where the text is no run manifest', async () => {
    await expect(pageOfParts({ runId: 'big', location, text: '{}' }, () => null, redriver)).rejects.toThrow(
      new RunConflictError('What stands in the place of the manifest of big is none'),
    );
  });
});

test('the page of a state has a policy of its own', async () => {
  const problem = { type: 'about:blank', title: 'T', status: 500, detail: 'D', code: 'C' } as const;
  const { html, policy } = await pageOfState({ runId: 'r', state: 'failed', problem });
  expect(html).toContain('<title>Run r: failed</title>');
  expect(policy).toMatch(/^default-src 'none'; style-src 'sha256-.+frame-ancestors 'none'$/);
});

test('pages of one template have one tag', async () => {
  expect(await pageTag()).toBe(template.tag);
});
