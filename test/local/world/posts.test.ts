import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type PostsStub, startPostsStub } from '../../../local/world/posts.ts';
import { eventually } from '../../support/eventually.ts';
import { FakeClock } from '../../support/fake-clock.ts';

// The stub's latencies are by this clock.
const clock = new FakeClock();
vi.mock(import('node:timers/promises'), async (importOriginal) => ({
  ...(await importOriginal()),
  // As the stub uses it.
  setTimeout: ((ms: number) =>
    new Promise<void>((resolve) =>
      clock.after(ms, resolve),
    )) as typeof import('node:timers/promises').setTimeout,
}));

let stub: PostsStub;
beforeAll(async () => {
  stub = await startPostsStub({ latencyMs: () => 0 });
});
afterAll(() => stub.close());

test('a post is pretty-printed JSON with the four members of JSONPlaceholder', async () => {
  const response = await fetch(`${stub.url}/posts/42`);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
  const text = await response.text();
  expect(text).toMatch(/^\{\n {2}"userId": 5,\n {2}"id": 42,\n {2}"title": ".+",\n {2}"body": ".+"\n\}$/);
});

test('there are posts without end, each with a title of its own, and the same ones each time', async () => {
  const titles = async () =>
    Promise.all(
      Array.from({ length: 300 }, async (_, index) => {
        const response = await fetch(`${stub.url}/posts/${index + 1}`);
        return ((await response.json()) as { title: string }).title;
      }),
    );
  const first = await titles();
  expect(new Set(first).size).toBe(300);
  expect(await titles()).toStrictEqual(first);
});

test.each([99_998, 100_000, 5_000_001, Number.MAX_SAFE_INTEGER])('%i is there', async (id) => {
  const response = await fetch(`${stub.url}/posts/${id}`);
  expect([response.status, ((await response.json()) as { id: number }).id]).toStrictEqual([200, id]);
});

test.each([
  '/posts/0',
  '/posts/99999',
  '/posts/9007199254740992',
  '/posts/abc',
  '/posts/01',
  '/posts/1/comments',
  '/',
])('%s is a 404 with an empty object', async (path) => {
  const response = await fetch(stub.url + path);
  expect([response.status, await response.text()]).toStrictEqual([404, '{}']);
});

test('gzip comes when it is asked for, and only then', async () => {
  const zipped = await fetch(`${stub.url}/posts/1`, { headers: { 'accept-encoding': 'br, gzip' } });
  const plain = await fetch(`${stub.url}/posts/1`, { headers: { 'accept-encoding': 'identity' } });
  expect(zipped.headers.get('content-encoding')).toBe('gzip');
  expect(plain.headers.get('content-encoding')).toBeNull();
  expect(await zipped.text()).toBe(await plain.text());
});

test('any method but GET is refused', async () => {
  const response = await fetch(`${stub.url}/posts/1`, { method: 'DELETE' });
  expect([response.status, response.headers.get('allow')]).toStrictEqual([405, 'GET']);
});

test('by default posts finish in another order than they were asked for', async () => {
  const slow = await startPostsStub();
  const finished: number[] = [];
  const fetched = Promise.all(
    Array.from({ length: 20 }, async (_, id) => {
      await (await fetch(`${slow.url}/posts/${id + 1}`)).text();
      finished.push(id);
    }),
  );
  await eventually(() => clock.pending === 20);
  while (clock.pending > 0) {
    clock.advance(1);
    await eventually(() => finished.length === 20 - clock.pending);
  }
  await fetched;
  expect(finished).not.toStrictEqual(finished.toSorted((a, b) => a - b));
  expect(slow.requests()).toBe(20);
  expect(clock.now()).toBeLessThanOrEqual(60);
  await slow.close();
});

test('closing cuts connections that are kept alive, and those that wait for an answer', async () => {
  const other = await startPostsStub({ latencyMs: (path) => (path === '/posts/2' ? 60_000 : 0) });
  await (await fetch(`${other.url}/posts/1`)).text();
  const waiting = expect(fetch(`${other.url}/posts/2`)).rejects.toThrow('fetch failed');
  await eventually(() => clock.pending === 1);
  await other.close();
  await waiting;
  await expect(fetch(`${other.url}/posts/1`)).rejects.toThrow('fetch failed');
});
