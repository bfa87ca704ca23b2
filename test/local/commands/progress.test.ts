import { channel } from 'node:diagnostics_channel';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { followRun } from '../../../local/commands/follow-run.ts';
import { showProgress } from '../../../local/commands/progress.ts';

const origin = 'http://127.0.0.1:4000';
const answered = channel('undici:request:trailers');
const written: string[] = [];
const terminal = { write: (line: string) => written.push(line.replace('\r\u001b[K', '<erase>')) };

beforeEach(() => {
  written.length = 0;
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

test('the line counts the requests that the origin answered, and those of no other', () => {
  const stop = showProgress(origin, terminal);
  vi.advanceTimersByTime(300);
  expect(written).toStrictEqual([]);
  for (let request = 0; request < 1200; request += 1) answered.publish({ request: { origin } });
  answered.publish({ request: { origin: new URL('http://127.0.0.1:5000') } });
  vi.advanceTimersByTime(100);
  expect(written).toStrictEqual(['<erase>1,200 requests answered']);
  vi.advanceTimersByTime(500);
  expect(written.at(-1)).toBe('<erase>1,200 requests answered, 2,000 a second');
  stop();
});

test('once stopped it erases the line and listens no more', () => {
  const stop = showProgress(origin, terminal);
  expect(answered.hasSubscribers).toBe(true);
  stop();
  expect(answered.hasSubscribers).toBe(false);
  vi.advanceTimersByTime(1000);
  expect(written).toStrictEqual(['<erase>']);
});

/** A run of 1,000 posts on such an output, of which 400 have been answered after 800 ms. */
function followLongRun(isTTY: boolean) {
  const run = followRun({ print: terminal.write, output: { ...terminal, isTTY } });
  run.logged({ level: 'INFO', message: 'Run started', runId: 'run-1', requested: 1000 });
  run.answered(1);
  vi.advanceTimersByTime(400);
  run.answered(201);
  vi.advanceTimersByTime(400);
  run.answered(400);
  return run;
}
const reject = (index: number) => ({
  level: 'DEBUG',
  message: 'Post rejected',
  index,
  id: `post-${index}`,
  code: 'TIMEOUT',
});

test('a long run shows on a terminal its id, how far it is, how long the rest takes, and failures as they come', () => {
  const run = followLongRun(true);
  vi.advanceTimersByTime(100);
  run.logged(reject(6));
  vi.advanceTimersByTime(100);
  run.stop();
  vi.advanceTimersByTime(1000);
  expect(written).toStrictEqual([
    'Run run-1: 1,000 posts',
    ...Array.from({ length: 4 }, () => '<erase>1 of 1,000 posts'),
    '<erase>201 of 1,000 posts, 402 a second, 2 s left',
    '<erase>201 of 1,000 posts, 335 a second, 3 s left',
    '<erase>201 of 1,000 posts, 287 a second, 3 s left',
    '<erase>201 of 1,000 posts, 251 a second, 4 s left',
    '<erase>400 of 1,000 posts, 444 a second, 2 s left',
    '<erase>',
    'Post 7 failed: TIMEOUT (id post-6)\n',
    '<erase>400 of 1,000 posts, 1 failed, 400 a second, 2 s left',
    '<erase>',
  ]);
});

test('elsewhere, a line comes with each tenth that is done, and not for each failure of many', () => {
  const run = followLongRun(false);
  vi.advanceTimersByTime(200);
  for (let index = 0; index < 30; index += 1) run.logged(reject(index));
  vi.advanceTimersByTime(1000);
  run.answered(500);
  vi.advanceTimersByTime(1000);
  run.answered(1100);
  vi.advanceTimersByTime(1000);
  run.stop();
  expect(written).toStrictEqual([
    'Run run-1: 1,000 posts',
    '400 of 1,000 posts, 400 a second, 2 s left\n',
    ...Array.from({ length: 20 }, (_, index) => `Post ${index + 1} failed: TIMEOUT (id post-${index})\n`),
    'What else fails is counted, and stands in the results\n',
    '500 of 1,000 posts, 30 failed, 167 a second, 3 s left\n',
  ]);
});

test('a run that is shown whole shows nothing but its id before that', () => {
  const run = followRun({ print: terminal.write, output: { ...terminal, isTTY: true } });
  run.logged({ level: 'INFO', message: 'Run started', runId: 'run-1', requested: 20 });
  run.answered(10);
  run.logged(reject(6));
  vi.advanceTimersByTime(2000);
  run.printed('a line of the log');
  run.stop();
  expect(written).toStrictEqual(['Run run-1: 20 posts', '<erase>', 'a line of the log\n', '<erase>']);
});

test('one request of the real undici is one request answered', async () => {
  const { startPostsStub } = await import('../../../local/world/posts.ts');
  const { request } = await import('undici');
  const stub = await startPostsStub({ latencyMs: () => 0 });
  const stop = showProgress(stub.url, terminal);
  await (await request(`${stub.url}/posts/1`)).body.text();
  vi.advanceTimersByTime(100);
  expect(written).toStrictEqual(['<erase>1 requests answered']);
  stop();
  await stub.close();
});
