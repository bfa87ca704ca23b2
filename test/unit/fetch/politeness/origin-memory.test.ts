import { describe, expect, test } from 'vitest';
import type { Learned } from '../../../../src/fetch/politeness/learned.ts';
import {
  type Finding,
  isRate,
  OriginMemory,
  readLearned,
  VALID_MS,
} from '../../../../src/fetch/politeness/origin-memory.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { nothingLearned } from '../../../support/plain-traffic.ts';

/** A memory, and what `learned` was found of its origin so many milliseconds after the clock's start. */
function memoryWith() {
  const clock = new FakeClock();
  const found = (learned: Partial<Learned>, atMs = clock.now()): Finding => ({
    ...nothingLearned,
    ...learned,
    at: new Date(FakeClock.startDate.getTime() + atMs).toISOString(),
  });
  return { clock, memory: new OriginMemory(clock), found };
}

const all: Learned = { perSecond: 97, inFlight: 40, told: 100 };

describe('what is remembered of an origin', () => {
  test('is nothing at first', () => {
    const { memory } = memoryWith();
    expect(memory.recall(1)).toStrictEqual(nothingLearned);
  });

  test('is what the last run found, for an hour', () => {
    const { clock, memory, found } = memoryWith();
    memory.note(found(all), 1);
    clock.advance(VALID_MS);
    expect(memory.recall(1)).toStrictEqual(all);
    clock.advance(1);
    expect(memory.recall(1)).toStrictEqual(nothingLearned);
  });

  test('stays where a run found nothing, and gets no younger by that', () => {
    const { clock, memory, found } = memoryWith();
    memory.note(found(all), 1);
    clock.advance(VALID_MS / 2);
    memory.note(found(nothingLearned), 1);
    expect(memory.recall(1)).toStrictEqual(all);
    clock.advance(VALID_MS / 2 + 1);
    expect(memory.recall(1)).toStrictEqual(nothingLearned);
  });

  test('gets younger where a run finds the same again', () => {
    const { clock, memory, found } = memoryWith();
    memory.note(found(all), 1);
    clock.advance(VALID_MS);
    memory.note(found(all), 1);
    clock.advance(VALID_MS);
    expect(memory.recall(1)).toStrictEqual(all);
  });

  test.each<[Partial<Learned>, Learned]>([
    [{ perSecond: 50 }, { perSecond: 50, inFlight: null, told: 100 }],
    [{ inFlight: 7 }, { perSecond: null, inFlight: 7, told: 100 }],
    [{ told: 30 }, { perSecond: 97, inFlight: 40, told: 30 }],
  ])(
    'gives way to %j: refusals of one kind take back what others showed, quota fields nothing',
    (later, now) => {
      const { clock, memory, found } = memoryWith();
      memory.note(found(all), 1);
      clock.advance(1);
      memory.note(found(later), 1);
      expect(memory.recall(1)).toStrictEqual(now);
    },
  );

  test.each([
    [1, { perSecond: 50, inFlight: 7, told: 30 }],
    [0, { perSecond: 50, inFlight: 7, told: 30 }],
    [-1, all],
  ])(
    'is of two findings the later, whichever was heard of first: one %i ms after the other',
    (afterMs, now) => {
      const { memory, found } = memoryWith();
      memory.note(found(all), 1);
      memory.note(found({ perSecond: 50, inFlight: 7, told: 30 }, afterMs), 1);
      expect(memory.recall(1)).toStrictEqual(now);
    },
  );

  test('may be of a clock that is ahead, by no more than an hour', () => {
    const { memory, found } = memoryWith();
    memory.note(found(all, VALID_MS), 1);
    expect(memory.recall(1)).toStrictEqual(all);
    memory.note(found(all, VALID_MS + 1), 1);
    expect(memory.recall(1)).toStrictEqual(nothingLearned);
  });

  test('is nothing of a finding without a time', () => {
    const { memory } = memoryWith();
    memory.note({ ...all, at: 'yesterday' }, 1);
    expect(memory.recall(1)).toStrictEqual(nothingLearned);
  });
});

describe('what parts that are at the origin at once start from', () => {
  test('is divided by their number', () => {
    const { memory, found } = memoryWith();
    memory.note(found(all), 1);
    expect(memory.recall(10)).toStrictEqual({ perSecond: 9.7, inFlight: 4, told: 10 });
  });

  test('is one request in flight at least', () => {
    const { memory, found } = memoryWith();
    memory.note(found({ inFlight: 3 }), 1);
    expect(memory.recall(4).inFlight).toBe(1);
  });

  test('is what a part before has found beside as many, and a share of that beside more', () => {
    const { memory, found } = memoryWith();
    memory.note(found({ perSecond: 10, inFlight: 8 }), 10);
    expect(memory.recall(10)).toStrictEqual({ perSecond: 10, inFlight: 8, told: null });
    expect(memory.recall(20)).toStrictEqual({ perSecond: 5, inFlight: 4, told: null });
  });

  test('is nothing that a part has found beside more of them: it may have been alone in the end', () => {
    const { memory, found } = memoryWith();
    memory.note(found({ perSecond: 10, inFlight: 8 }), 10);
    expect(memory.recall(9)).toStrictEqual(nothingLearned);
  });

  test('is a share of what quota fields tell, which they tell each of them', () => {
    const { memory, found } = memoryWith();
    memory.note(found({ told: 100 }), 10);
    expect([1, 10, 20].map((parts) => memory.recall(parts).told)).toStrictEqual([100, 10, 5]);
  });
});

describe('what is known beforehand', () => {
  test('counts for one run, as if it had been found then', () => {
    const { memory, found } = memoryWith();
    memory.note(found({ perSecond: 50, inFlight: 20 }, 1), 1);
    expect(memory.recall(2, { own: found(all, 2) })).toStrictEqual({ perSecond: 97, inFlight: 40, told: 50 });
    expect(memory.recall(2, { whole: found(all, 2) })).toStrictEqual({
      perSecond: 48.5,
      inFlight: 20,
      told: 50,
    });
    expect(memory.recall(2, { own: found(all), whole: found(all) })).toStrictEqual({
      perSecond: 25,
      inFlight: 10,
      told: 50,
    });
    expect(memory.recall(1)).toStrictEqual({ perSecond: 50, inFlight: 20, told: null });
  });

  test('is of two at the same time what the origin takes in all', () => {
    const { memory, found } = memoryWith();
    expect(memory.recall(2, { own: found(all), whole: found(all) })).toStrictEqual({
      perSecond: 48.5,
      inFlight: 20,
      told: 50,
    });
  });
});

test.each<[object, Partial<Learned>]>([
  [{}, {}],
  [{ learned: null }, {}],
  [{ learned: 'much' }, {}],
  [{ learned: {} }, {}],
  [{ learned: all }, all],
  [{ learned: { perSecond: 97, inFlight: '40', told: -1, at: 'now' } }, { perSecond: 97 }],
  [{ learned: { perSecond: 0, inFlight: 40, told: Infinity } }, { inFlight: 40 }],
])('the summary %j says that its run learned %j', (summary, learned) => {
  expect(readLearned(summary)).toStrictEqual({ ...nothingLearned, ...learned });
});

test('a rate is a number above 0', () => {
  expect([0.1, 1, 500, 0, -1, NaN, Infinity, '1', null, undefined].filter(isRate)).toStrictEqual([
    0.1, 1, 500,
  ]);
});
