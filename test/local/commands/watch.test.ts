import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CommandFailedError } from '../../../local/commands/command.ts';
import { describeSeconds, watchRun } from '../../../local/commands/watch.ts';
import { type S3Store, startS3Store } from '../../../local/world/s3.ts';
import { type Claim, claimOf, claimText, failed, renewed } from '../../../src/document/claim.ts';
import { problem } from '../../../src/document/problem.ts';
import { partLine } from '../../../src/run/parts/parts.ts';
import { createClaimStore } from '../../../src/store/claim-store.ts';
import { createPlanStore } from '../../../src/store/plan-store.ts';
import { createRunStore } from '../../../src/store/run-store.ts';
import { createS3Client } from '../../../src/store/s3.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { storedDocument } from '../../support/stored-document.ts';

const never = new AbortController().signal;
const now = FakeClock.startDate;
const run = {
  id: 'run-1',
  trigger: 'direct',
  requestId: 'request-1',
  startedAt: now.toISOString(),
  urlTemplate: 'https://example.com/posts/{id}',
  returnExceptions: true,
  requested: 4_000,
  idsSha256: 'a'.repeat(64),
} as const;
const begun = claimOf(run, 'running', now);
const quarter = renewed(
  begun,
  { done: 1_000, fulfilled: 960, rejected: 40, perSecond: 80, etaSeconds: 38 },
  now,
);
const half = renewed(
  begun,
  { done: 2_000, fulfilled: 2_000, rejected: 0, perSecond: 80.5, etaSeconds: 25 },
  now,
);

let home: string;
let store: S3Store;
let client: ReturnType<typeof createS3Client>;
let written: string[];

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'batch-fetcher-watch-'));
  store = await startS3Store({ directory: home, buckets: ['results'] });
});
beforeEach(async () => {
  written = [];
  await mkdir(join(home, 'results/runs/plans'), { recursive: true });
  client = createS3Client({
    endpoint: store.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  });
});
afterEach(async () => {
  client.destroy();
  await rm(join(home, 'results/runs'), { recursive: true });
});
afterAll(async () => {
  await store.close();
  await rm(home, { recursive: true });
});

const put = (name: string, text: string): Promise<void> => writeFile(join(home, 'results/runs', name), text);
const putClaim = (claim: Claim): Promise<void> => put('run-1.progress.json', claimText(claim));
const document = storedDocument('run-1', { stored: '"results":[\n]' });

/** Follows run-1 on a clock that moves to each next look, before which the world moves on by a step. */
async function watch(steps: readonly (() => Promise<void>)[], isTTY = false): Promise<unknown> {
  const clock = new FakeClock();
  const place = { client, bucket: 'results', prefix: 'runs/' };
  let looks = 0;
  const moving = {
    now: () => clock.now(),
    date: () => clock.date(),
    after(ms: number, callback: () => void) {
      const cancel = clock.after(ms, callback);
      void (steps[looks++] ?? (() => expect.fail('It was looked once too often')))().then(() =>
        clock.advance(ms),
      );
      return cancel;
    },
  };
  const ports = {
    runs: createRunStore(place),
    claims: createClaimStore(place),
    plans: createPlanStore(place),
    clock: moving,
    output: { isTTY, write: (text: string) => written.push(text.replaceAll('\r\u001b[K', '<erase>')) },
  };
  const [settled] = await Promise.allSettled([watchRun('run-1', ports, never)]);
  expect(looks).toBe(steps.length);
  return settled.status === 'rejected' ? settled.reason : undefined;
}

describe('npm run results -- <runId> --watch', () => {
  test('says how far a run is each time that it is further, and ends with the report', async () => {
    await putClaim(begun);
    await watch([
      () => putClaim(quarter),
      async () => {},
      () => putClaim(half),
      () => put('run-1.json', document),
    ]);
    expect(written).toStrictEqual([
      'running, 4,000 posts\n',
      '1,000 of 4,000 posts, 40 rejected, 80 a second, 38 s left\n',
      '2,000 of 4,000 posts, 80.5 a second, 25 s left\n',
      expect.stringMatching(
        / posts? in .+ ms: .+ fulfilled.*\nStored as s3:\/\/results\/runs\/run-1\.json\n$/s,
      ),
    ]);
  });

  test('draws a bar on a terminal, and takes it off at the end', async () => {
    await putClaim(quarter);
    await watch([() => putClaim(half), () => put('run-1.json', document)], true);
    expect(written.slice(0, 3)).toStrictEqual([
      `<erase>${'█'.repeat(8)}${'░'.repeat(24)} 1,000 of 4,000 posts, 40 rejected, 80 a second, 38 s left`,
      `<erase>${'█'.repeat(16)}${'░'.repeat(16)} 2,000 of 4,000 posts, 80.5 a second, 25 s left`,
      '<erase>',
    ]);
  });

  test('leaves out what is not known', async () => {
    await putClaim(claimOf(run, 'accepted', now));
    await watch([
      () =>
        putClaim(
          renewed(begun, { done: 0, fulfilled: 0, rejected: 0, perSecond: null, etaSeconds: null }, now),
        ),
      () => put('run-1.json', document),
    ]);
    expect(written.slice(0, 2)).toStrictEqual(['accepted, 4,000 posts\n', '0 of 4,000 posts\n']);
  });

  test('ends with an error where the run fails', async () => {
    await putClaim(quarter);
    const why = problem(502, 'No data for post 7', 'NOT_FOUND');
    expect(await watch([() => putClaim(failed(quarter, why, now))], true)).toStrictEqual(
      new CommandFailedError('The run run-1 failed: No data for post 7 (NOT_FOUND)'),
    );
    expect(written.at(-1)).toBe('<erase>');
  });

  test('ends with an error where the run is lost', async () => {
    await putClaim({ ...quarter, until: new Date(now.getTime() + 3_000).toISOString() });
    expect(await watch([async () => {}, async () => {}])).toStrictEqual(
      new CommandFailedError('The run run-1 failed: The run run-1 was begun and not ended (RUN_LOST)'),
    );
  });

  test('is refused for a run that is not there', async () => {
    expect(await watch([])).toStrictEqual(
      new CommandFailedError(
        'Expected the id of a run, got run-1: there is none of s3://results/runs/run-1.json, s3://results/runs/run-1.progress.json and s3://results/runs/plans/run-1.jsonl',
      ),
    );
  });
});

describe('npm run results -- <runId> --watch, of a run of parts', () => {
  const partId = (part: number): string => `run-1.part-00000${part}`;
  const parts = [0, 1, 2].map((part) => ({
    part,
    runId: partId(part),
    firstIndex: 10 * part,
    ids: [{ from: 10 * part + 1, to: 10 * part + 10 }],
  }));
  const putPart = (part: number): Promise<void> =>
    put(`${partId(part)}.json`, storedDocument(partId(part), { stored: '"results":[\n]' }));
  const runManifestOf = (missing: number): string => {
    const entry = { firstIndex: 0, requested: 10, status: 'failed', code: 'NO_DOCUMENT' };
    return JSON.stringify({
      version: 1,
      run: { id: 'run-1' },
      parts: parts.slice(0, missing).map(({ part, runId }) => ({ part, runId, ...entry })),
      errors: { total: 0, byCode: {}, first: [], retryable: 0 },
      summary: {
        startedAt: missing === 3 ? null : '2026-11-23T06:00:00.000Z',
        finishedAt: missing === 3 ? null : '2026-11-23T06:00:03.000Z',
        requested: 30,
        fulfilled: 30 - 10 * missing,
        rejected: 0,
        failed: 10 * missing,
        attempts: 30,
        complete: missing === 0,
        parts: { total: 3, stored: 3 - missing, failed: missing, incomplete: 0 },
        latencyMs: { p50: null, p90: null, p99: null, max: null },
      },
    });
  };

  test('counts documents as they come, says how on AWS, and ends with the table of the run manifest', async () => {
    await put('plans/run-1.jsonl', parts.map(partLine).join(''));
    await putPart(1);
    const ended = await watch([
      () => putPart(0),
      () => putPart(2),
      () => put('run-1.manifest.json', runManifestOf(0)),
    ]);
    expect(ended).toBeUndefined();
    expect(written).toStrictEqual([
      expect.stringMatching(
        /^Parts are counted .+ aws stepfunctions list-map-runs .+ describe-map-run .+\n$/,
      ),
      '1 of 3 parts, 10 of 30 posts\n',
      '2 of 3 parts, 20 of 30 posts\n',
      '3 of 3 parts, 30 of 30 posts\n',
      expect.stringMatching(
        /^run +run-1\nparts +3: 3 stored, 0 failed, 0 incomplete\n(.*\n)*took +3\.0 s, 30 posts fetched, 10 a second/,
      ),
    ]);
  });

  test.each([
    [1, '1 part'],
    [3, '3 parts'],
  ])('ends with an error, behind the table, where parts have no documents: %i', async (missing, words) => {
    await put('run-1.manifest.json', runManifestOf(missing));
    expect(await watch([])).toStrictEqual(
      new CommandFailedError(`The run run-1 failed: ${words} without a document`),
    );
    expect(written).toStrictEqual([expect.stringMatching(/^run +run-1\n/)]);
  });
});

test.each([
  [0, '0 s'],
  [59, '59 s'],
  [125, '2 min 5 s'],
  [3_599, '59 min 59 s'],
  [3_780, '1 h 3 min'],
])('%i s are %s', (seconds, text) => {
  expect(describeSeconds(seconds)).toBe(text);
});
