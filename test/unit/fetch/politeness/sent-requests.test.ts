import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SentRequests } from '../../../../src/fetch/politeness/sent-requests.ts';

/** How many requests are known of. */
const KEPT = 16_384;

/** Requests that were sent at these times, of which nothing is known yet. */
function sentAt(timesMs: readonly number[]): SentRequests {
  const requests = new SentRequests();
  for (const atMs of timesMs) requests.add(atMs);
  return requests;
}

/** So many times, at even distances. */
const every = (ms: number, count: number): number[] => Array.from({ length: count }, (_, i) => i * ms);

describe('requests that are sent', () => {
  test('are numbered from 0 on', () => {
    const requests = new SentRequests();
    const before = requests.next;
    const seqs = [requests.add(10), requests.add(10), requests.add(20)];
    expect({ before, seqs, next: requests.next }).toStrictEqual({ before: 0, seqs: [0, 1, 2], next: 3 });
  });

  test('count as taken where that is known', () => {
    const requests = sentAt(every(10, 6));
    for (const seq of [1, 2, 4]) requests.settle(seq, true);
    requests.settle(3, false);
    expect([
      requests.takenOf(0, 5),
      requests.takenOf(1, 2),
      requests.takenOf(3, 4),
      requests.takenOf(3, 3),
      requests.takenOf(5, 5),
      requests.takenOf(4, 1),
    ]).toStrictEqual([3, 2, 1, 0, 0, 0]);
  });

  test('are what was learned of them last', () => {
    const requests = sentAt([0]);
    requests.settle(0, true);
    requests.settle(0, false);
    expect([requests.takenOf(0, 0), requests.perSecond(0, 1_000)]).toStrictEqual([0, 0]);
  });
});

describe('the rate', () => {
  test('is of all in the span until a request, both ends included', () => {
    const requests = sentAt(every(100, 21));
    expect([
      requests.perSecond(20, 1_000),
      requests.perSecond(20, 1_050),
      requests.perSecond(20, 500),
      requests.perSecond(10, 500),
    ]).toStrictEqual([11, 11 / 1.05, 12, 12]);
  });

  test('is spread over the whole span, where fewer were sent than it is long', () => {
    expect(sentAt([0, 100, 200]).perSecond(2, 1_000)).toBe(3);
  });

  test('leaves out what was turned away, but not what has not ended', () => {
    const requests = sentAt(every(100, 11));
    for (const seq of [0, 1, 2, 3]) requests.settle(seq, true);
    for (const seq of [4, 5, 6, 10]) requests.settle(seq, false);
    expect([
      requests.perSecond(10, 1_000),
      requests.perSecond(10, 1_000, { onlyTaken: false }),
    ]).toStrictEqual([7, 11]);
  });

  test('is 0 where all were turned away', () => {
    const requests = sentAt([0, 100]);
    for (const seq of [0, 1]) requests.settle(seq, false);
    expect(requests.perSecond(1, 1_000)).toBe(0);
  });

  test('of a moment is that of a millisecond, or of as much as is asked for', () => {
    const requests = sentAt([50, 50, 50]);
    expect([
      requests.perSecond(2, 0),
      requests.perSecond(2, 0, { leastMs: 100 }),
      requests.perSecond(2, 200, { leastMs: 100 }),
    ]).toStrictEqual([3_000, 30, 15]);
  });

  test('is spread over more time than the span where that is asked for', () => {
    const requests = sentAt(every(100, 6));
    expect([
      requests.perSecond(5, 500, { moreMs: 1_000 }),
      requests.perSecond(5, 0, { leastMs: 100, moreMs: 900 }),
    ]).toStrictEqual([4, 1]);
  });

  test('of a span that ends before it begins is 0', () => {
    expect(sentAt([0, 10]).perSecond(1, -5)).toBe(0);
  });
});

describe('of more requests than are kept', () => {
  test('the rate is of those that are', () => {
    // Two in each millisecond.
    const requests = sentAt(every(0.5, KEPT + 1_000));
    const last = KEPT + 999;
    expect([
      requests.perSecond(last, 1_000),
      requests.perSecond(last, 60_000),
      // Five of those that are kept, in two milliseconds.
      requests.perSecond(1_004, 60_000),
    ]).toStrictEqual([2_001, (KEPT * 1_000) / ((KEPT - 1) / 2), 2_500]);
  });

  test('a span that is longer than what was sent counts whole until one is no more kept', () => {
    const requests = sentAt(every(1, KEPT));
    expect(requests.perSecond(KEPT - 1, 2 * KEPT)).toBe(500);
    requests.add(KEPT);
    expect(requests.perSecond(KEPT, 2 * KEPT)).toBe((KEPT * 1_000) / (KEPT - 1));
  });

  test('nothing is known of one that is no more kept, and it takes no other one’s place', () => {
    const requests = sentAt(every(1, KEPT + 1));
    requests.settle(0, true);
    expect([requests.perSecond(0, 1_000), requests.takenOf(0, KEPT)]).toStrictEqual([0, 0]);
    requests.settle(1, true);
    expect(requests.takenOf(0, KEPT)).toBe(1);
    requests.add(KEPT + 1);
    expect(requests.takenOf(0, KEPT + 1)).toBe(0);
  });

  test('a place is given to the next with nothing known of it', () => {
    const requests = sentAt(every(1, KEPT));
    for (let seq = 0; seq < KEPT; seq++) requests.settle(seq, false);
    const seq = requests.add(KEPT);
    expect(requests.perSecond(seq, 1_000)).toBe(1);
  });
});

test('for any requests, the counts are those of a plain list', () => {
  const fates = fc.constantFrom('taken', 'turned away', 'unknown');
  const given = fc.array(fc.record({ afterMs: fc.integer({ min: 0, max: 300 }), fate: fates }), {
    minLength: 1,
    maxLength: 50,
  });
  const spans = fc.integer({ min: 0, max: 5_000 });
  fc.assert(
    fc.property(given, spans, fc.nat(), fc.nat(), (given, spanMs, a, b) => {
      const requests = new SentRequests();
      let nowMs = 0;
      const list = given.map(({ afterMs, fate }) => {
        nowMs += afterMs;
        const seq = requests.add(nowMs);
        if (fate !== 'unknown') requests.settle(seq, fate === 'taken');
        return { atMs: nowMs, fate };
      });
      const from = a % list.length;
      const to = b % list.length;
      const until = list[to]?.atMs ?? 0;
      const inSpan = list.slice(0, to + 1).filter(({ atMs }) => until - atMs <= spanMs);
      expect({
        taken: requests.takenOf(from, to),
        perSecond: requests.perSecond(to, spanMs),
        sentPerSecond: requests.perSecond(to, spanMs, { onlyTaken: false }),
      }).toStrictEqual({
        taken: list.slice(from, to + 1).filter(({ fate }) => fate === 'taken').length,
        perSecond: (inSpan.filter(({ fate }) => fate !== 'turned away').length * 1_000) / Math.max(spanMs, 1),
        sentPerSecond: (inSpan.length * 1_000) / Math.max(spanMs, 1),
      });
    }),
  );
});
