import { describe, expect, test } from 'vitest';
import { Circuit } from '../../../../src/fetch/politeness/circuit.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

function circuitAfter(failures: number) {
  const clock = new FakeClock();
  clock.advance(5_000);
  const circuit = new Circuit(clock);
  for (let i = 0; i < failures; i++) circuit.failed();
  return { clock, circuit };
}

describe('a circuit', () => {
  test('admits every request before twenty have failed', () => {
    const { circuit } = circuitAfter(19);
    expect([circuit.admits, circuit.admit(), circuit.admit(), circuit.admits]).toStrictEqual(
      Array(4).fill(true),
    );
  });

  test('opens when twenty have failed, and none was answered', () => {
    const { circuit } = circuitAfter(20);
    expect([circuit.admits, circuit.admit()]).toStrictEqual([false, false]);
  });

  test('that is open admits one probe a second', () => {
    const { clock, circuit } = circuitAfter(20);
    const admitted: number[] = [];
    for (let ms = 0; ms <= 3_500; ms += 100) {
      for (const _ of [1, 2, 3]) if (circuit.admit()) admitted.push(ms);
      circuit.failed();
      clock.advance(100);
    }
    expect(admitted).toStrictEqual([1_000, 2_000, 3_000]);
  });

  test('does not take a mere question for the probe', () => {
    const { clock, circuit } = circuitAfter(20);
    clock.advance(1_000);
    expect([circuit.admits, circuit.admits, circuit.admit(), circuit.admits]).toStrictEqual([
      true,
      true,
      true,
      false,
    ]);
  });

  test('closes for the rest of the run with the first answer', () => {
    const { circuit } = circuitAfter(20);
    circuit.answered();
    for (let i = 0; i < 100; i++) circuit.failed();
    expect([circuit.admits, circuit.admit(), circuit.admit()]).toStrictEqual([true, true, true]);
  });

  test('never opens in a run that has had an answer', () => {
    const { circuit } = circuitAfter(19);
    circuit.answered();
    for (let i = 0; i < 100; i++) circuit.failed();
    expect(circuit.admit()).toBe(true);
  });
});
