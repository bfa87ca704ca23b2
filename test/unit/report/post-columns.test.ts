import { describe, expect, test } from 'vitest';
import type { OutcomeLine } from '../../../src/document/outcome-line.ts';
import { PostCollector, type RowBounds } from '../../../src/report/post-columns.ts';
import { notFound, outcome, timeout } from './outcomes.ts';

function columnsOf(outcomes: Iterable<OutcomeLine>, bounds?: RowBounds) {
  const posts = new PostCollector(bounds);
  for (const one of outcomes) posts.add(one);
  return posts.columns();
}

describe('the columns of the posts', () => {
  test('have a row for each, in order, with what its line says', () => {
    const columns = columnsOf([
      outcome(0, { record: { startedMs: 3, durationMs: 41 } }),
      outcome(1, { id: 'a', record: { hedged: true, attempts: 2, waitedMs: 7 } }),
      outcome(2, { id: 99_999, record: { httpStatus: 404 }, reason: notFound('No data for post 99999') }),
      outcome(3, {
        record: { httpStatus: null, attempts: 0, startedMs: null, durationMs: null, waitedMs: null },
        reason: timeout,
      }),
      outcome(4, { reason: notFound(), record: { durationMs: 0 } }),
    ]);
    const { bins, ...rest } = columns;
    expect(rest).toStrictEqual({
      codes: ['NOT_FOUND', 'TIMEOUT'],
      id: [1, 'a', 99_999, 4, 5],
      code: [0, 0, 1, 2, 1],
      httpStatus: [200, 200, 404, 0, 200],
      attempts: [1, 2, 1, 0, 1],
      startedMs: [3, 0, 0, -1, 0],
      durationMs: [41, 10, 10, -1, 0],
      waitedMs: [0, 7, 0, -1, 0],
      hedged: [1],
      messages: ['No data for post 99999', 'It took longer than 5 s', 'No data for post'],
      retryable: [0, 1, 0],
      // 0 ms; twice 10 ms; 41 ms.
      latency: [1, ...Array(19).fill(0), 2, ...Array(11).fill(0), 1],
    });
    expect(bins.started.reduce((sum, count) => sum + count, 0)).toBe(4);
  });

  test('of no posts are empty', () => {
    expect(columnsOf([])).toMatchObject({ codes: [], id: [], messages: [], latency: [] });
  });

  test('of lines from before they told of waits say that nobody knows', () => {
    expect(columnsOf([outcome(0, { record: { waitedMs: null } })]).waitedMs).toStrictEqual([-1]);
  });

  test.each([
    [1, 0],
    [1.9, 5],
    [9, 19],
    [10, 20],
    [999, 59],
    [1_000, 60],
    [100_000, 100],
  ])('count %d ms in bin %d of the latency', (durationMs, bin) => {
    const { latency } = columnsOf([outcome(0, { record: { durationMs } })]);
    expect(latency).toStrictEqual([...Array(bin).fill(0), 1]);
  });
});

describe('of a longer run', () => {
  const posts = (count: number, fails: (index: number) => boolean) =>
    Array.from({ length: count }, (_, index) =>
      outcome(index, fails(index) ? { reason: notFound(`No data for post ${index}`) } : {}),
    );

  test('every second post is shown, fourth, and so on, and failures besides', () => {
    const fails = (index: number): boolean => index % 5 === 0;
    const columns = columnsOf(posts(33, fails), { posts: 10, failures: 3 });
    // Every fourth, and the first three failures that are not among these.
    expect(columns.index).toStrictEqual([0, 4, 5, 8, 10, 12, 15, 16, 20, 24, 28, 32]);
    expect(columns.id).toStrictEqual(columns.index?.map((index) => index + 1));
    expect(columns.messages).toStrictEqual([0, 5, 10, 15, 20].map((id) => `No data for post ${id}`));
  });

  test('all posts are counted', () => {
    const { bins, latency } = columnsOf(
      posts(1_000, () => false),
      { posts: 10, failures: 0 },
    );
    expect([bins.started[0], bins.ended[10], latency[20]]).toStrictEqual([1_000, 1_000, 1_000]);
  });

  test('as many are shown as there is room for, and no more', () => {
    for (const count of [9, 10, 11, 20, 21, 1_000]) {
      const { id, index } = columnsOf(
        posts(count, () => false),
        { posts: 10, failures: 5 },
      );
      expect(id.length).toBeLessThanOrEqual(10);
      expect(id.length).toBeGreaterThan(Math.min(count, 10) / 2);
      expect(index === undefined).toBe(count <= 10);
    }
  });

  test('where all fail, those come that have room, in order', () => {
    const { index } = columnsOf(
      posts(100, () => true),
      { posts: 10, failures: 5 },
    );
    expect(index).toStrictEqual([0, 1, 2, 3, 4, 5, 16, 32, 48, 64, 80, 96]);
  });
});

describe('messages', () => {
  test('are as long as they may be, and no character is cut in half', () => {
    const messages = ['short', 'x'.repeat(11), '123456789😀', '12345678😀ab'];
    const outcomes = messages.map((message, index) => outcome(index, { reason: notFound(message) }));
    expect(columnsOf(outcomes, { messageChars: 10 }).messages).toStrictEqual([
      'short',
      `${'x'.repeat(9)}…`,
      '123456789…',
      '12345678�…',
    ]);
  });

  test('are short once they have come to 16 million characters', () => {
    const long = 'x'.repeat(8 * 1_024 * 1_024);
    const reasons = [long, long, 'y', 'z'.repeat(41)].map((message) => ({ reason: notFound(message) }));
    const { messages } = columnsOf(reasons.map((one, index) => outcome(index, one)));
    expect(messages.map(({ length }) => length)).toStrictEqual([long.length, long.length, 1, 40]);
    const bounded = columnsOf(
      reasons.map((one, index) => outcome(index, one)),
      { messageChars: 20 },
    );
    expect(bounded.messages.map(({ length }) => length)).toStrictEqual([20, 20, 1, 20]);
  });

  test('and rows can be made fewer afterwards', () => {
    const collector = new PostCollector();
    for (let index = 0; index < 40; index++)
      collector.add(outcome(index, index % 2 ? { reason: notFound('x'.repeat(100)) } : {}));
    collector.reduceTo({ posts: 10, failures: 2, messageChars: 5 });
    const { index, messages } = collector.columns();
    expect(index).toStrictEqual([0, 1, 3, 4, 8, 12, 16, 20, 24, 28, 32, 36]);
    expect(messages).toStrictEqual(['xxxx…', 'xxxx…']);
  });
});
