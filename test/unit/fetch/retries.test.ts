import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type FailedBy, RetryBudget } from '../../../src/fetch/retries.ts';

describe('a retry budget', () => {
  test.each([
    [0, 20, 10],
    [4, 20, 10],
    [5, 20, 11],
    [100, 20, 30],
    [99, 10, 19],
    [1_000, 0, 10],
    [100, 1_900, 1_910],
    [10_000_000, 20, 2_000_010],
  ])('for %i posts at %i per cent is %i retries', (requested, percent, expected) => {
    const budget = new RetryBudget(requested, percent);
    expect([budget.summary().retryBudgetLeft, budget.summary().retries]).toStrictEqual([expected, 0]);
  });

  test('gives so many and no more', () => {
    const budget = new RetryBudget(5, 20);
    const taken = Array.from({ length: 13 }, () => budget.take());
    expect(taken).toStrictEqual([...Array(11).fill(true), false, false]);
    expect([budget.summary().retryBudgetLeft, budget.summary().retries]).toStrictEqual([0, 11]);
  });

  test('gives again what was put back', () => {
    const budget = new RetryBudget(0, 20);
    for (let i = 0; i < 10; i++) budget.take();
    budget.putBack();
    expect([budget.summary().retryBudgetLeft, budget.summary().retries]).toStrictEqual([1, 9]);
    expect([budget.take(), budget.take()]).toStrictEqual([true, false]);
  });

  test.each<[failedBy: FailedBy | undefined, retries: number]>([
    [undefined, 10],
    ['failure', 10],
    ['refusal', 30],
  ])('of 10 gives for each %s what it costs: %i retries', (failedBy, retries) => {
    const budget = new RetryBudget(0, 0);
    const taken = Array.from({ length: 31 }, () => budget.take(failedBy));
    expect(taken).toStrictEqual([...Array(retries).fill(true), ...Array(31 - retries).fill(false)]);
    expect(budget.summary()).toStrictEqual({ retries, retryBudgetLeft: 0 });
  });

  test('takes a third of a retry for a post that was refused, and has a whole one left only where it has three', () => {
    const budget = new RetryBudget(0, 0);
    const left = Array.from({ length: 4 }, () => {
      budget.take('refusal');
      return budget.summary().retryBudgetLeft;
    });
    expect(left).toStrictEqual([9, 9, 9, 8]);
  });

  test('that has less than a retry left has it for the refused', () => {
    const budget = new RetryBudget(0, 0);
    for (let i = 0; i < 9; i++) budget.take();
    const taken = (['refusal', 'failure', 'refusal', 'refusal', 'refusal'] as const).map((failedBy) =>
      budget.take(failedBy),
    );
    expect(taken).toStrictEqual([true, false, true, true, false]);
    expect(budget.summary()).toStrictEqual({ retries: 12, retryBudgetLeft: 0 });
  });

  test('counts a retry that was told when to come, and takes nothing for it', () => {
    const budget = new RetryBudget(0, 0);
    for (let i = 0; i < 10; i++) budget.take();
    const taken = [budget.take('told refusal'), budget.take(), budget.take('told refusal')];
    expect(taken).toStrictEqual([true, false, true]);
    expect(budget.summary()).toStrictEqual({ retries: 12, retryBudgetLeft: 0 });
  });

  test.each<[failedBy: FailedBy, again: number]>([
    ['failure', 3],
    ['refusal', 1],
    ['told refusal', 0],
  ])('gets back for a %s what was taken for it', (failedBy, again) => {
    const budget = new RetryBudget(0, 0);
    budget.take(failedBy);
    while (budget.take('refusal'));
    const { retries } = budget.summary();
    budget.putBack(failedBy);
    expect(budget.summary().retries).toBe(retries - 1);
    const taken = Array.from({ length: 4 }, () => budget.take('refusal'));
    expect(taken.filter(Boolean)).toHaveLength(again);
  });

  test('for any posts and share, never more are used than the share and ten, at what they cost', () => {
    fc.assert(
      fc.property(
        fc.nat(200),
        fc.nat(200),
        fc.array(
          fc.record({
            isTaken: fc.constantFrom(true, true, false),
            failedBy: fc.constantFrom('failure', 'refusal', 'told refusal'),
          }),
          { maxLength: 500 },
        ),
        (requested, percent, steps) => {
          const budget = new RetryBudget(requested, percent);
          const total = budget.summary().retryBudgetLeft;
          expect(total).toBeLessThanOrEqual((requested * percent) / 100 + 10);
          const used = { failure: 0, refusal: 0, 'told refusal': 0 };
          for (const { isTaken, failedBy } of steps) {
            if (isTaken) used[failedBy] += budget.take(failedBy) ? 1 : 0;
            else if (used[failedBy] > 0) {
              budget.putBack(failedBy);
              used[failedBy] -= 1;
            }
            expect(budget.summary()).toStrictEqual({
              retries: used.failure + used.refusal + used['told refusal'],
              retryBudgetLeft: total - Math.ceil(used.failure + used.refusal / 3),
            });
          }
          expect(budget.summary().retryBudgetLeft).toBeGreaterThanOrEqual(0);
        },
      ),
    );
  });
});
