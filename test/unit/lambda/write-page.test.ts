import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { redriverOf, type WritePorts, writePartsPage, writeRunPage } from '../../../src/lambda/write-page.ts';
import { createPageStore } from '../../../src/store/page-store.ts';
import { captureWrites } from '../../support/captured-writes.ts';
import { accessDenied, hold } from '../../support/misbehaving-s3.ts';
import { readPartsPage, readRunPage } from '../../support/page-template.ts';
import { readingWorld } from '../reading/world.ts';
import { FOREVER, never } from '../store/world.ts';

vi.mock('../../../src/report/template.ts', async (original) => ({
  ...(await original<object>()),
  readTemplate: async () => (await import('../../support/page-template.ts')).template,
}));

const world = readingWorld();
const config = { report: 'html', apiBasePath: '', serviceName: 'posts' } as const;
const functionArn = 'arn:aws:lambda:eu-west-1:123456789012:function:fetch';
const invocation = { invokedFunctionArn: functionArn, getRemainingTimeInMillis: () => 30_000 };

let written: string[];
beforeEach(() => {
  vi.stubEnv('POWERTOOLS_LOG_LEVEL', undefined);
  vi.stubEnv('POWERTOOLS_DEV', undefined);
  written = captureWrites();
});
afterEach(() => {
  vi.unstubAllEnvs();
});

/** The lines since the last call, but for what stands in every one. */
function takeLines(): unknown[] {
  return written.splice(0).map((text) => {
    const { timestamp: _at, sampling_rate: _rate, ...line } = JSON.parse(text);
    return line;
  });
}

const pageOf = async (runId: string) => (await world.s3.stored(`runs/${runId}.html`))?.toString();
const locationOf = (runId: string) => `s3://results/runs/${runId}.html`;
const anyDuration = expect.toSatisfy((ms) => Number.isInteger(ms) && ms >= 0);
const writtenLine = (runId: string, html: string) => ({
  level: 'INFO',
  message: 'Report written',
  service: 'posts',
  runId,
  location: locationOf(runId),
  bytes: Buffer.byteLength(html),
  durationMs: anyDuration,
});
const notWritten = (runId: string, message: unknown) => ({
  level: 'WARN',
  message: 'Report not written',
  service: 'posts',
  runId,
  location: locationOf(runId),
  error: { name: 'StoreError', code: 'STORE_FAILED', message },
});

/** Has somebody else write a page between the look for one and the write, as often as that. */
function overtaken(runId: string, times: number): WritePorts {
  const ports = world.ports();
  let left = times;
  return {
    ...ports,
    pages: {
      ...ports.pages,
      async write(...asked) {
        if (left-- > 0) await world.s3.put(`runs/${runId}.html`, `of others ${left}`);
        return ports.pages.write(...asked);
      },
    },
  };
}

describe('the page of a run', () => {
  test('is written beside its document, and told of', async () => {
    const runId = world.s3.newRunId();
    await world.putDocument(runId, [{ value: '1' }, { code: 'TIMEOUT' }]);
    await writeRunPage({ runId, replayed: false }, config, world.ports(), invocation);
    const html = (await pageOf(runId)) ?? '';
    expect(readRunPage(html).run).toMatchObject({ run: { id: runId }, shown: 2 });
    expect(takeLines()).toStrictEqual([writtenLine(runId, html)]);
  });

  test('is not, unless REPORT says so', async () => {
    const runId = world.s3.newRunId();
    await world.putDocument(runId, []);
    await writeRunPage({ runId, replayed: false }, { ...config, report: 'off' }, world.ports(), invocation);
    await writePartsPage(runId, { ...config, report: 'off' }, world.ports(), invocation);
    expect([await pageOf(runId), world.s3.s3.operations, takeLines()]).toStrictEqual([undefined, [], []]);
  });

  test('that was replayed is made where it is missing, and else left as it is', async () => {
    const runId = world.s3.newRunId();
    await world.putDocument(runId, []);
    await writeRunPage({ runId, replayed: true }, config, world.ports(), invocation);
    const html = (await pageOf(runId)) ?? '';
    expect(takeLines()).toStrictEqual([writtenLine(runId, html)]);
    world.s3.s3.behave();
    await writeRunPage({ runId, replayed: true }, config, world.ports(), invocation);
    expect([world.s3.s3.operations, takeLines()]).toStrictEqual([['HeadObject'], []]);
  });

  test('that somebody else writes meanwhile is left to him', async () => {
    const runId = world.s3.newRunId();
    await world.putDocument(runId, []);
    await writeRunPage({ runId, replayed: false }, config, overtaken(runId, 1), invocation);
    expect([await pageOf(runId), takeLines()]).toStrictEqual(['of others 0', []]);
  });

  test.each(['GetObject', 'PutObject'] as const)(
    'that fails by %s is told of, and no more',
    async (operation) => {
      const runId = world.s3.newRunId();
      await world.putDocument(runId, []);
      world.s3.s3.always(operation, accessDenied);
      await writeRunPage({ runId, replayed: false }, config, world.ports(), invocation);
      expect(takeLines()).toStrictEqual([notWritten(runId, expect.stringContaining('AccessDenied'))]);
    },
  );

  test('whose document is gone is told of', async () => {
    await writeRunPage({ runId: 'gone', replayed: false }, config, world.ports(), invocation);
    const message = 's3://results/runs/gone.json is not there any more';
    expect(takeLines()).toStrictEqual([notWritten('gone', message)]);
  });

  test.each(['GetObject', 'PutObject'] as const)(
    'that takes more than half of the time that is left, for a %s, is given up, and the reply goes out',
    async (operation) => {
      const runId = world.s3.newRunId();
      await world.putDocument(runId, []);
      world.s3.s3.always(operation, hold(FOREVER));
      const writing = writeRunPage({ runId, replayed: false }, config, world.ports(), {
        getRemainingTimeInMillis: () => 5_000,
      });
      await world.s3.s3.asked(operation);
      world.s3.clock.advance(2_250);
      await writing;
      const message = `${locationOf(runId)} could not be written before half of the time that was left was over`;
      expect(takeLines()).toStrictEqual([notWritten(runId, message)]);
    },
  );

  test('is written once by two deliveries at the same time', async () => {
    const runId = world.s3.newRunId();
    await world.putDocument(runId, []);
    const write = () => writeRunPage({ runId, replayed: true }, config, world.ports(), invocation);
    await Promise.all([write(), write()]);
    const html = (await pageOf(runId)) ?? '';
    expect(readRunPage(html).run).toMatchObject({ kind: 'run', run: { id: runId } });
    expect(takeLines()).toStrictEqual([writtenLine(runId, html)]);
  });

  test('is given up after a minute, however much is left of the time', async () => {
    const runId = world.s3.newRunId();
    await world.putDocument(runId, []);
    world.s3.s3.always('PutObject', hold(FOREVER));
    const writing = writeRunPage({ runId, replayed: false }, config, world.ports(), {
      getRemainingTimeInMillis: () => 900_000,
    });
    await world.s3.s3.asked('PutObject');
    world.s3.clock.advance(59_750);
    await writing;
    const message = `${locationOf(runId)} could not be written before a minute was over`;
    expect(takeLines()).toStrictEqual([notWritten(runId, message)]);
  });

  test('fails as the file system does where the build has no template', async () => {
    const runId = world.s3.newRunId();
    await world.putDocument(runId, []);
    const ports = world.ports();
    const broken = Object.assign(new Error('no such file'), { code: 'ENOENT' });
    const stream = () => {
      throw broken;
    };
    await writeRunPage(
      { runId, replayed: false },
      config,
      { ...ports, store: { ...ports.store, stream } },
      invocation,
    );
    expect(takeLines()).toStrictEqual([
      {
        ...notWritten(runId, ''),
        error: { name: 'Error', code: 'ENOENT', stack: expect.any(Array) },
      },
    ]);
  });
});

describe('the page of a run of parts', () => {
  test('is written beside its run manifest, with links to the pages of parts that are there', async () => {
    const runId = world.s3.newRunId();
    await world.putRunManifest(runId, { failed: 1 });
    await world.s3.put(`runs/${runId}.part-000001.html`, 'a page');
    await writePartsPage(runId, config, world.ports(), invocation);
    const html = (await pageOf(runId)) ?? '';
    const { run } = readPartsPage(html);
    expect(run).toMatchObject({
      kind: 'parts',
      location: `s3://results/runs/${runId}.manifest.json`,
      redrive: `aws stepfunctions start-execution --state-machine-arn <FetchAtScaleArn> --input '{"redrive":"${runId}"}'`,
    });
    expect(run.parts.map(({ href }) => href)).toStrictEqual([null, `${runId}.part-000001.html`, null]);
    expect(takeLines()).toStrictEqual([writtenLine(runId, html)]);
  });

  test('is as new as that', async () => {
    const runId = world.s3.newRunId();
    await world.putRunManifest(runId, { failed: 1 });
    await writePartsPage(runId, config, world.ports(), invocation);
    await writePartsPage(runId, config, world.ports(), invocation);
    expect(takeLines()).toHaveLength(1);
    await world.putRunManifest(runId);
    await writePartsPage(runId, config, world.ports(), invocation);
    expect(readPartsPage((await pageOf(runId)) ?? '').run.summary.parts.failed).toBe(0);
    expect(takeLines()).toHaveLength(1);
  });

  test('is made anew where others have written one meanwhile', async () => {
    const runId = world.s3.newRunId();
    await world.putRunManifest(runId);
    await writePartsPage(runId, config, overtaken(runId, 2), invocation);
    expect(readPartsPage((await pageOf(runId)) ?? '').run.run.id).toBe(runId);
  });

  test('is left to others that keep writing it, and told of', async () => {
    const runId = world.s3.newRunId();
    await world.putRunManifest(runId);
    await writePartsPage(runId, config, overtaken(runId, 99), invocation);
    expect(takeLines()).toStrictEqual([
      notWritten(runId, `${locationOf(runId)} was written 5 times by others meanwhile`),
    ]);
  });

  test('whose run manifest is gone is told of', async () => {
    await writePartsPage('gone', config, world.ports(), invocation);
    const message = 's3://results/runs/gone.manifest.json is not there any more';
    expect(takeLines()).toStrictEqual([notWritten('gone', message)]);
  });
});

test('runs are redriven by the function that was invoked, where it is one of AWS', () => {
  const redriver = (invokedFunctionArn?: string) =>
    redriverOf(invokedFunctionArn === undefined ? {} : { invokedFunctionArn }, { apiBasePath: '/v1' });
  expect(redriver(functionArn)).toStrictEqual({ functionArn, apiBasePath: '/v1' });
  for (const none of [undefined, 'offline_invokedFunctionArn_for_fetch'])
    expect(redriver(none)).toStrictEqual({ functionArn: undefined, apiBasePath: '/v1' });
});

test('a page tells of what it was made', async () => {
  const runId = world.s3.newRunId();
  await world.putDocument(runId, []);
  await writeRunPage({ runId, replayed: false }, config, world.ports(), invocation);
  const page = await createPageStore(world.s3.optionsOf(world.s3.client)).find(runId, never());
  expect(page?.madeOf).toMatch(/^[0-9a-f]{32}$/);
});
