import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { listen } from '../../local/world/listen.ts';
import { projectDirectory } from '../../local/world/places.ts';
import { type S3Store, startS3Store } from '../../local/world/s3.ts';
import type { Claim } from '../../src/document/claim.ts';
import { anyTime } from '../support/any.ts';
import { eventually } from '../support/eventually.ts';
import { type HandlerProcess, startHandler } from '../support/handler-process.ts';
import { sampleEvent } from '../support/sample-events.ts';
import { claimFaults, documentFaults } from '../support/schemas.ts';
import { startBuiltFunctions } from './scale/built-functions.ts';

const bucket = 'results';
const runId = '20261123T060000Z-53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa';

let home: string;
let store: S3Store;
let stack: AsyncDisposableStack;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'batch-fetcher-claims-'));
  store = await startS3Store({ directory: home, buckets: [bucket] });
  stack = new AsyncDisposableStack();
});
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
  await rm(join(home, bucket, 'runs'), { recursive: true, force: true });
});
afterAll(async () => {
  await store.close();
  await rm(home, { recursive: true });
});

/** An origin that answers so many requests, and holds all others. */
async function startOrigin(answers = Infinity) {
  const origin = { url: '', requests: 0, answers };
  const server = createServer(async (request, response) => {
    origin.requests += 1;
    if (origin.requests > origin.answers) return;
    // None is so much sooner than those before that it is taken for another's, and asked for again.
    await sleep(40);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ path: request.url }));
  });
  const { origin: url, close } = await listen(server);
  stack.defer(() => {
    server.closeAllConnections();
    return close();
  });
  return Object.assign(origin, { url });
}

/** The event of a schedule, for posts 1 to 4,000. */
const event = { ...sampleEvent<object>('eventbridge-rule'), detail: { ids: [{ from: 1, to: 4_000 }] } };
const environmentFor = (url: string) => ({
  RESULTS_BUCKET: bucket,
  POST_URL: `${url}/posts/{id}`,
  ADAPTIVE: 'off',
  CONCURRENCY: '100',
  ...store.environment,
});

const file = (ending: string): string => join(home, bucket, 'runs', `${runId}${ending}`);
const storedClaim = async (): Promise<Claim> => JSON.parse(await readFile(file('.progress.json'), 'utf8'));

async function expectWholeDocument(): Promise<void> {
  const document = JSON.parse(await readFile(file('.json'), 'utf8'));
  expect(documentFaults(document)).toStrictEqual([]);
  expect(document.summary).toMatchObject({ requested: 4_000, fulfilled: 4_000, complete: true });
}

const running = {
  runId,
  location: `s3://results/runs/${runId}.json`,
  state: 'running',
  startedAt: anyTime,
  progress: {
    requested: 4_000,
    done: null,
    fulfilled: null,
    rejected: null,
    perSecond: null,
    etaSeconds: null,
  },
};

test('of ten deliveries of an event at the same time, one fetches the posts, and nine say that it does', async () => {
  const origin = await startOrigin();
  const functions = startBuiltFunctions(environmentFor(origin.url));
  const answers = await Promise.all(Array.from({ length: 10 }, () => functions.invoke('fetch', event)));
  expect(origin.requests).toBe(4_000);
  await expectWholeDocument();
  const returned = answers.map((answer) =>
    'returned' in answer ? answer.returned : expect.fail('It failed'),
  );
  const isRun = (reply: unknown): boolean => Object.hasOwn(Object(reply), 'summary');
  expect(returned.filter(isRun)).toMatchObject([{ runId, replayed: false, summary: { fulfilled: 4_000 } }]);
  expect(returned.filter((reply) => !isRun(reply))).toStrictEqual(Array(9).fill(running));
  expect(claimFaults(await storedClaim())).toStrictEqual([]);
  expect(await functions.leave()).toBe(0);
}, 60_000);

/** A function that is killed in the middle of its run, as for its memory: nothing of it is told to anybody. */
async function killInTheMiddle(requestId: string): Promise<void> {
  const origin = await startOrigin(1_000);
  const killed = start(origin.url);
  const invocation = killed.invoke(event, requestId).catch(() => 'gone');
  await eventually(() => origin.requests > 1_000);
  expect(await storedClaim()).toMatchObject({ state: 'running', requestId });
  killed.kill();
  expect(await invocation).toBe('gone');
}

function start(url: string): HandlerProcess {
  const process = startHandler(join(projectDirectory, 'dist/handler.js'), environmentFor(url));
  stack.defer(() => process.kill());
  return process;
}

test('a run that is killed in the middle is held until its claim lapses, and then done whole', async () => {
  await killInTheMiddle('first');
  const origin = await startOrigin();
  const next = start(origin.url);
  expect(await next.invoke(event, 'second')).toStrictEqual({ returned: running });
  expect(origin.requests).toBe(0);
  const claim = await storedClaim();
  await writeFile(file('.progress.json'), JSON.stringify({ ...claim, until: claim.startedAt }));
  expect(await next.invoke(event, 'third')).toMatchObject({
    returned: { runId, replayed: false, summary: { fulfilled: 4_000 } },
  });
  expect(origin.requests).toBe(4_000);
  await expectWholeDocument();
  expect(await storedClaim()).toMatchObject({ requestId: 'third' });
}, 60_000);

test("Lambda's own retry of a run that was killed does not wait for its claim", async () => {
  await killInTheMiddle('first');
  const origin = await startOrigin();
  expect(await start(origin.url).invoke(event, 'first')).toMatchObject({
    returned: { runId, replayed: false, summary: { fulfilled: 4_000 } },
  });
  expect(origin.requests).toBe(4_000);
  await expectWholeDocument();
}, 60_000);

test('over HTTP, a run that is running is a conflict that says when to ask again', async () => {
  await killInTheMiddle('first');
  const origin = await startOrigin();
  const request = sampleEvent<{ body: string }>('http-api-post');
  const reply = await start(origin.url).invoke(
    { ...request, body: JSON.stringify({ ids: [{ from: 1, to: 4_000 }], runId }) },
    'second',
  );
  expect(reply).toMatchObject({ returned: { statusCode: 409, headers: { 'retry-after': '15' } } });
  expect(origin.requests).toBe(0);
}, 60_000);
