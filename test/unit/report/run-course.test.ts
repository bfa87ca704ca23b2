import { describe, expect, test } from 'vitest';
import type { FetchRecord } from '../../../src/fetch/outcome.ts';
import { RunCourse } from '../../../src/report/run-course.ts';

const record = (startedMs: number | null, durationMs: number | null, more: Partial<FetchRecord> = {}) =>
  ({ httpStatus: 200, attempts: 1, startedMs, durationMs, waitedMs: 0, ...more }) satisfies FetchRecord;

function binsOf(...records: readonly (readonly [FetchRecord, boolean?])[]) {
  const course = new RunCourse();
  for (const [one, isRejected = false] of records) course.add(one, isRejected);
  return course.bins();
}

describe('the course of a run', () => {
  test('has no bins where nothing happened', () => {
    const none = { startMs: 0, widthMs: 1, started: [], ended: [], rejected: [], inFlight: [] };
    expect(binsOf()).toStrictEqual(none);
    expect(binsOf([record(null, null, { attempts: 0 }), true])).toStrictEqual(none);
  });

  test('counts what started, ended and failed when, and the attempts in flight', () => {
    expect(binsOf([record(0, 2)], [record(1, 2), true], [record(3, 0)])).toStrictEqual({
      startMs: 0,
      widthMs: 1,
      started: [1, 1, 0, 1],
      ended: [0, 0, 1, 2],
      rejected: [0, 0, 0, 1],
      inFlight: [1, 2, 1, 0],
    });
  });

  test('puts the waits of a post evenly between its attempts', () => {
    // Three attempts of 2 ms, and two waits of 3 ms.
    const { inFlight } = binsOf([record(1, 12, { attempts: 3, waitedMs: 6 })]);
    expect(inFlight).toStrictEqual([0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0]);
  });

  test('puts the wait of a single attempt behind that, and takes one that is not known for none', () => {
    expect(binsOf([record(0, 4, { waitedMs: 2 })]).inFlight).toStrictEqual([1, 1, 0, 0, 0]);
    expect(binsOf([record(0, 4, { attempts: 2, waitedMs: null })]).inFlight).toStrictEqual([1, 1, 1, 1, 0]);
  });

  test('has at most 1,024 bins, which widen as time goes on and keep what they have', () => {
    const course = new RunCourse();
    for (let ms = 0; ms < 10_000; ms += 10) course.add(record(ms, 10), ms % 100 === 0);
    const { widthMs, started, ended, rejected, inFlight } = course.bins();
    expect([widthMs, started.length]).toStrictEqual([16, 626]);
    const sum = (counts: readonly number[]): number => counts.reduce((all, count) => all + count, 0);
    expect([started, ended, rejected].map(sum)).toStrictEqual([1_000, 1_000, 100]);
    expect([ended, rejected, inFlight].map(({ length }) => length)).toStrictEqual([626, 626, 626]);
    // One after the other.
    expect(inFlight.slice(0, -1)).toStrictEqual(Array.from({ length: 625 }, () => 1));
  });

  test('is the same in whatever order the posts come', () => {
    const records = [record(0, 30), record(5_000, 20), record(12, 90_000), record(700, 1)];
    const forth = binsOf(...records.map((one) => [one] as const));
    expect(binsOf(...records.toReversed().map((one) => [one] as const))).toStrictEqual(forth);
  });

  test('passes over times that are none', () => {
    const course = new RunCourse();
    course.add(record(Number.POSITIVE_INFINITY, 1), false);
    course.add(record(0, 1e300), false);
    expect(course.bins().started).toStrictEqual([]);
  });
});
