import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { listen } from '../../../local/world/listen.ts';
import { fileOf, projectDirectory } from '../../../local/world/places.ts';
import { readRunPage } from '../../support/page-template.ts';
import { documentFaults } from '../../support/schemas.ts';

let offline: ChildProcess;
let url: string;

/** A port that nobody has just now. */
async function freePort(): Promise<string> {
  const { origin, close } = await listen(createServer());
  await close();
  return new URL(origin).port;
}

beforeAll(async () => {
  const [httpPort, lambdaPort] = [await freePort(), await freePort()];
  url = `http://127.0.0.1:${httpPort}/batches`;
  const ports = ['--httpPort', httpPort, '--lambdaPort', lambdaPort];
  offline = spawn('npx', ['serverless', 'offline', 'start', '--stage', 'local', ...ports], {
    cwd: projectDirectory,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, NO_COLOR: '1', ASYNC_MAX_IDS: '5000' },
    stdio: 'ignore',
    detached: true,
  });
  while (!(await fetch(url).catch(() => undefined))) await sleep(200);
}, 60_000);

afterAll(async () => {
  const exit = once(offline, 'exit');
  // The group has what npx starts as well.
  process.kill(-Number(offline.pid), 'SIGTERM');
  await exit;
});

async function post(body: object): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', prefer: 'wait=1, respond-async' },
    body: JSON.stringify(body),
  });
}

/** An object of the API, once it is there. */
async function stored(key: string) {
  const file = fileOf(`s3://batch-fetcher-local/runs/api/${key}`);
  for (;;) {
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text !== undefined) return JSON.parse(text);
    await sleep(100);
  }
}

test('a run of 5,000 posts is answered with 202, and done by the function behind its alias', {
  timeout: 60_000,
}, async () => {
  const runId = `test-${randomUUID()}`;
  const response = await post({ ids: [{ from: 1, to: 5_000 }], runId });
  expect([response.status, response.headers.get('location'), await response.json()]).toStrictEqual([
    202,
    `/batches/${runId}`,
    { runId, state: 'accepted' },
  ]);
  const document = await stored(`${runId}.json`);
  expect(documentFaults(document)).toStrictEqual([]);
  expect(document).toMatchObject({
    run: { id: runId, trigger: 'api' },
    summary: { requested: 5_000, complete: true },
  });
});

test('a larger one is done by the state machine, in parts, under the same prefix', {
  timeout: 60_000,
}, async () => {
  const runId = `test-${randomUUID()}`;
  expect((await post({ ids: [{ from: 1, to: 5_001 }], runId })).status).toBe(202);
  expect(await stored(`${runId}.manifest.json`)).toMatchObject({ summary: { requested: 5_001 } });
  expect((await stored(`${runId}.part-000001.json`)).run).toMatchObject({ trigger: 'api' });
});

test('a browser that asks for a run is shown how far it is, and then its page', {
  timeout: 60_000,
}, async () => {
  const runId = `test-${randomUUID()}`;
  await post({ ids: [1, 99999, { from: 3, to: 2_000 }], runId });
  const look = (accept: string, more = {}) => fetch(`${url}/${runId}`, { headers: { accept, ...more } });
  const browser = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';
  const first = await look(browser);
  expect(first.headers.get('content-type')).toBe('text/html; charset=utf-8');
  if (first.status === 202) expect(await first.text()).toContain('<meta http-equiv="refresh" content="');
  await stored(`${runId}.json`);
  const shown = await look(browser);
  const fields = ['content-type', 'vary', 'x-content-type-options', 'content-security-policy'] as const;
  expect([shown.status, ...fields.map((name) => shown.headers.get(name))]).toStrictEqual([
    200,
    'text/html; charset=utf-8',
    // serverless-offline compresses replies.
    'accept,accept-encoding',
    'nosniff',
    expect.stringMatching(/^default-src 'none'; script-src 'sha256-[^']+'.*; frame-ancestors 'none'$/),
  ]);
  const { run, posts } = readRunPage(await shown.text());
  expect(run).toMatchObject({ run: { id: runId }, shown: 2_000, errors: { byCode: { NOT_FOUND: 1 } } });
  expect(posts?.id).toHaveLength(2_000);
  const etag = shown.headers.get('etag') ?? '';
  expect((await look(browser, { 'if-none-match': etag })).status).toBe(304);
  const json = await look('*/*', { 'if-none-match': etag });
  expect(json.status).toBe(200);
  expect(json.headers.get('content-type')).toMatch(/^application\/json\b/);
});
