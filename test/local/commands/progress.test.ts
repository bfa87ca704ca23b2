import { channel } from 'node:diagnostics_channel';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
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
