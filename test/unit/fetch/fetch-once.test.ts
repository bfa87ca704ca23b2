import { setImmediate } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { type Id, type IdList, idKey } from '../../../src/batch/ids.ts';
import { countRepeats } from '../../../src/batch/repeats.ts';
import { fetchOnceWith } from '../../../src/fetch/fetch-once.ts';
import type { FetchPost } from '../../../src/fetch/fetch-post.ts';
import type { Post } from '../../../src/fetch/outcome.ts';
import { ValueSpool } from '../../../src/fetch/value-spool.ts';

const { signal } = new AbortController();

const postOf = (text: string): Post => ({
  value: Buffer.from(text),
  httpStatus: 200,
  attempts: 2,
  startedMs: 3,
  durationMs: 41,
  waitedMs: 0,
});

/** `fetchOnce` for a batch, over a `fetchPost` that waits to be told what comes of each id. */
function setUp(ids: IdList, memoryBytes = 1_000) {
  const asked: Id[] = [];
  const waiting = new Map<string, PromiseWithResolvers<Post>>();
  const fetchPost: FetchPost = (id) => {
    asked.push(id);
    const post = Promise.withResolvers<Post>();
    waiting.set(idKey(id), post);
    return post.promise;
  };
  const spool = new ValueSpool({ memoryBytes });
  const keep = vi.spyOn(spool, 'keep');
  const fetchOnce = fetchOnceWith(fetchPost, countRepeats(ids), spool);
  return {
    asked,
    spool,
    keep,
    fetchOnce: (id: Id) => fetchOnce(id, signal),
    settle: (id: Id) => waiting.get(idKey(id)) as PromiseWithResolvers<Post>,
  };
}

describe('fetchOnce', () => {
  test('an id that occurs once passes through: same signal, same promise, and nothing is kept', async () => {
    const post = Promise.resolve(postOf('1'));
    const fetchPost = vi.fn(() => post);
    const spool = new ValueSpool({ memoryBytes: 10 });
    const keep = vi.spyOn(spool, 'keep');
    expect(fetchOnceWith(fetchPost, () => 1, spool)(1, signal)).toBe(post);
    expect(fetchPost.mock.calls).toStrictEqual([[1, signal]]);
    expect(keep).not.toHaveBeenCalled();
  });

  test('a repeat that comes while the post is in flight waits for it', async () => {
    const { fetchOnce, settle, asked } = setUp([1, '1', 1]);
    const fetched = [fetchOnce(1), fetchOnce('1'), fetchOnce(1)];
    settle(1).resolve(postOf('{"a":1}'));
    expect(await Promise.all(fetched)).toStrictEqual([
      postOf('{"a":1}'),
      postOf('{"a":1}'),
      postOf('{"a":1}'),
    ]);
    expect(asked).toStrictEqual([1]);
  });

  test('a repeat that comes long after gets what came then', async () => {
    const { fetchOnce, settle, asked, spool } = setUp([1, { from: 1, to: 3 }, 1], 0);
    const first = fetchOnce(1);
    settle(1).resolve(postOf('{"a":1}'));
    await first;
    await setImmediate();
    expect(await fetchOnce(1)).toStrictEqual(postOf('{"a":1}'));
    await setImmediate();
    expect(await fetchOnce(1)).toStrictEqual(postOf('{"a":1}'));
    expect(asked).toStrictEqual([1]);
    await spool.close();
  });

  test('ids do not get into the way of each other', async () => {
    const { fetchOnce, settle, asked } = setUp([1, 2, 'a', 1, 2, 'a', 3]);
    const ids = [1, 2, 'a', 1, 2, 'a', 3];
    const fetched = ids.map(fetchOnce);
    for (const id of [3, 'a', 2, 1]) settle(id).resolve(postOf(`"${id}"`));
    expect((await Promise.all(fetched)).map(({ value }) => value.toString())).toStrictEqual(
      ids.map((id) => `"${id}"`),
    );
    expect(asked).toStrictEqual([1, 2, 'a', 3]);
  });

  test('a failure is shared: the same error at each position, and nothing unhandled', async () => {
    const { fetchOnce, settle, asked, keep } = setUp([1, 1, 1]);
    const first = fetchOnce(1);
    const inFlight = fetchOnce(1);
    const error = new Error('No data for post 1');
    settle(1).reject(error);
    await expect(first).rejects.toBe(error);
    await expect(inFlight).rejects.toBe(error);
    await setImmediate();
    await expect(fetchOnce(1)).rejects.toBe(error);
    expect(asked).toStrictEqual([1]);
    expect(keep).not.toHaveBeenCalled();
  });

  test('a failure whose repeats never come is not unhandled', async () => {
    const { fetchOnce, settle } = setUp([1, 1]);
    const first = fetchOnce(1);
    settle(1).reject(new Error('No data for post 1'));
    await expect(first).rejects.toThrow('No data for post 1');
    // An unhandled rejection would fail the run.
    await setImmediate();
  });

  test('whoever asked first does not wait until the post is kept', async () => {
    const { fetchOnce, settle, keep } = setUp([1, 1]);
    keep.mockReturnValue(new Promise(() => {}));
    const first = fetchOnce(1);
    settle(1).resolve(postOf('1'));
    expect(await first).toStrictEqual(postOf('1'));
  });

  test('what was kept is dropped after the last repeat, and not before', async () => {
    const { fetchOnce, settle, keep } = setUp([1, 1, 1]);
    const drop = vi.fn();
    keep.mockResolvedValue({ read: async () => Buffer.from('1'), drop });
    const first = fetchOnce(1);
    settle(1).resolve(postOf('1'));
    await first;
    await fetchOnce(1);
    expect(drop).not.toHaveBeenCalled();
    await fetchOnce(1);
    expect(drop).toHaveBeenCalledOnce();
  });

  test('the place of what was dropped is free for the next', async () => {
    const { fetchOnce, settle, spool } = setUp([1, 1, 2, 2], 3);
    const fetchTwice = async (id: Id, value: Buffer) => {
      const first = fetchOnce(id);
      settle(id).resolve({ ...postOf(''), value });
      await first;
      return (await fetchOnce(id)).value;
    };
    const [one, two] = [Buffer.from('111'), Buffer.from('222')];
    // The same buffer comes back from memory alone.
    expect(await fetchTwice(1, one)).toBe(one);
    expect(await fetchTwice(2, two)).toBe(two);
    await spool.close();
  });
});
