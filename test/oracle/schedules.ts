import fc from 'fast-check';

export interface Child {
  /** How long it takes where nobody cancels it. */
  readonly delayTicks: number;
  /** How it ends then. */
  readonly result: 'value' | 'error' | 'cancelled';
  /** What it does when it is cancelled from outside, and how long it takes for that. */
  readonly onCancel: 'stops' | 'returns' | 'raises';
  readonly cleanupTicks: number;
}

export interface Schedule {
  readonly children: readonly Child[];
  readonly returnExceptions: boolean;
  /** null: no bound. */
  readonly concurrency: number | null;
  /** When the whole is cancelled from outside, if it lasts so long. */
  readonly cancelAtTick: number | null;
}

export type Result = { readonly value: number } | { readonly error: string } | { readonly cancelled: true };

/** What became of a schedule. */
export interface Observation {
  readonly outcome: { readonly returned: readonly Result[] } | { readonly raised: Result };
  readonly atTick: number;
  readonly children: readonly ('never started' | 'in flight' | 'finished' | 'cancelled')[];
}

export interface Answer {
  readonly gather: Observation;
  readonly taskGroup: Observation | null;
}

const mostChildren = 8;
const ticksPerStep = 2 ** mostChildren;
const steps = fc.integer({ min: 1, max: 20 });

/**
 * No two things ever happen at the same tick, on which asyncio and JavaScript would be free to differ: a duration
 * is a whole number of steps and a power of two of the child's own, so that the sums of no two chains of children
 * are equal, and outer cancellations come between ticks.
 */
const childAt = (index: number): fc.Arbitrary<Child> => {
  const ticks = steps.map((count) => count * ticksPerStep + 2 ** index);
  return fc.record({
    delayTicks: ticks,
    result: fc.constantFrom('value', 'value', 'value', 'error', 'cancelled'),
    onCancel: fc.constantFrom('stops', 'stops', 'returns', 'raises'),
    cleanupTicks: fc.oneof(fc.constant(0), ticks),
  });
};

const schedule: fc.Arbitrary<Schedule> = fc.record({
  children: fc
    .integer({ min: 0, max: mostChildren })
    .chain((length) => fc.tuple(...Array.from({ length }, (_, index) => childAt(index)))),
  returnExceptions: fc.boolean(),
  concurrency: fc.option(fc.integer({ min: 1, max: 4 })),
  cancelAtTick: fc.option(fc.integer({ min: 0, max: 30 * ticksPerStep }).map((ticks) => ticks + 0.5)),
});

export function sampleSchedules(count: number, seed: number): Schedule[] {
  return fc.sample(schedule, { numRuns: count, seed });
}
