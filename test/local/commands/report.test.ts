import { expect, test } from 'vitest';
import {
  describeOutcome,
  describeRun,
  describeSeconds,
  parseOutcome,
  type ShownRun,
} from '../../../local/commands/report.ts';

const summary = { durationMs: 61, requested: 3, fulfilled: 2, rejected: 1, attempts: 3, complete: true };
const fulfilled = (index: number, value: unknown) => ({ index, status: 'fulfilled', value }) as const;

test("the lines are the lesson's: titles by position, and the failure as a line among them", () => {
  const document: ShownRun = {
    results: [
      fulfilled(0, { title: 'One' }),
      { index: 1, status: 'rejected', reason: { message: 'No data for post 99999' } },
      fulfilled(2, { title: 'Three' }),
    ],
    errors: { byCode: { NOT_FOUND: 1 } },
    summary,
  };
  expect(describeRun(document)).toBe(
    [
      'Post 1: One',
      'Post 2 failed: No data for post 99999',
      'Post 3: Three',
      '',
      '3 posts in 61 ms: 2 fulfilled, 1 rejected (NOT_FOUND 1), 3 attempts',
    ].join('\n'),
  );
});

test('of a long run come the first ten posts and the last', () => {
  const results = Array.from({ length: 5000 }, (_, index) => fulfilled(index, { title: `T${index}` }));
  const lines = describeRun({
    results,
    errors: { byCode: {} },
    summary: { ...summary, requested: 5000, fulfilled: 5000, rejected: 0, attempts: 5000, complete: false },
  }).split('\n');
  expect(lines.slice(9)).toStrictEqual([
    'Post 10: T9',
    '… 4,989 more',
    'Post 5000: T4999',
    '',
    '5,000 posts in 61 ms: 5,000 fulfilled, 0 rejected, 5,000 attempts, not complete: the time ran out',
  ]);
});

test('what a server sent cannot command the terminal, and has one line at most', () => {
  const document = (value: unknown): ShownRun => ({
    results: [fulfilled(0, value)],
    errors: { byCode: {} },
    summary: { ...summary, requested: 1, fulfilled: 1, rejected: 0, attempts: 1 },
  });
  const [line, , sum] = describeRun(document({ title: 'a\u001b[2J\r\nb\u0007' })).split('\n');
  expect([line, sum]).toStrictEqual(['Post 1: a b ', '1 post in 61 ms: 1 fulfilled, 0 rejected, 1 attempt']);
  expect(describeRun(document({ body: 'x'.repeat(200) })).split('\n')[0]).toBe(
    `Post 1: {"body":"${'x'.repeat(90)}…`,
  );
});

test('a value without a title is shown token for token', () => {
  const value = '{"views":9007199254740993,"price":1.10,"a":1,"a":2}';
  const line = `{"index":3,"id":"a","status":"fulfilled","httpStatus":200,"attempts":1,"startedMs":1,"durationMs":2,"waitedMs":0,"value":${value}}`;
  expect(describeOutcome(parseOutcome(Buffer.from(line)))).toBe(`Post 4: ${value}`);
});

test.each([
  [0.2, '1 s'],
  [59, '59 s'],
  [59.1, '1 min 0 s'],
  [3_725, '1 h 2 min'],
  [3_600_000, '1,000 h 0 min'],
])('%f seconds are %s', (seconds, text) => {
  expect(describeSeconds(seconds)).toBe(text);
});
