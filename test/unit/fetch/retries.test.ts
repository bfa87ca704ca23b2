import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RetryBudget } from '../../../src/fetch/retries.ts';

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

  test('counts a retry that was told when to come, and takes nothing for it', () => {
    const budget = new RetryBudget(0, 0);
    for (let i = 0; i < 9; i++) budget.take();
    const taken = [budget.take(true), budget.take(), budget.take(), budget.take(true)];
    expect(taken).toStrictEqual([true, true, false, true]);
    expect(budget.summary()).toStrictEqual({ retries: 12, retryBudgetLeft: 0 });
    budget.putBack(true);
    expect(budget.summary()).toStrictEqual({ retries: 11, retryBudgetLeft: 0 });
  });

  test('for any posts and share, never more are used than the share and ten', () => {
    fc.assert(
      fc.property(
        fc.nat(200),
        fc.nat(200),
        fc.array(fc.constantFrom('take', 'take', 'put back'), { maxLength: 500 }),
        (requested, percent, steps) => {
          const budget = new RetryBudget(requested, percent);
          const total = budget.summary().retryBudgetLeft;
          expect(total).toBeLessThanOrEqual((requested * percent) / 100 + 10);
          let used = 0;
          for (const step of steps) {
            if (step === 'take') used += budget.take() ? 1 : 0;
            else if (used > 0) {
              budget.putBack();
              used -= 1;
            }
            expect([budget.summary().retries, budget.summary().retryBudgetLeft]).toStrictEqual([
              used,
              total - used,
            ]);
          }
          expect(budget.summary().retryBudgetLeft).toBeGreaterThanOrEqual(0);
        },
      ),
    );
  });
});
