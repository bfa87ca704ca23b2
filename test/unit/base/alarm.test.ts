import { describe, expect, test, vi } from 'vitest';
import { Alarm, sharedAfter } from '../../../src/base/alarm.ts';
import { FakeClock } from '../../support/fake-clock.ts';

describe('an alarm', () => {
  const alarmOn = (clock: FakeClock) => {
    const rings: number[] = [];
    const alarm = new Alarm(clock, () => rings.push(clock.now()));
    return { alarm, rings };
  };

  test('calls back once, at the time that it was set to', () => {
    const clock = new FakeClock();
    clock.advance(50);
    const { alarm, rings } = alarmOn(clock);
    alarm.set(150);
    clock.advance(1_000);
    expect([rings, clock.pending]).toStrictEqual([[150], 0]);
  });

  test('may be set to an earlier time', () => {
    const clock = new FakeClock();
    const { alarm, rings } = alarmOn(clock);
    alarm.set(500);
    alarm.set(100);
    expect(clock.pending).toBe(1);
    clock.advance(1_000);
    expect(rings).toStrictEqual([100]);
  });

  test('that is set to a later time keeps its timer, and calls back too early, for who is called to set it anew', () => {
    const clock = new FakeClock();
    const rings: number[] = [];
    const alarm = new Alarm(clock, () => {
      rings.push(clock.now());
      if (clock.now() < 500) alarm.set(500);
    });
    alarm.set(100);
    alarm.set(300);
    alarm.set(500);
    expect(clock.pending).toBe(1);
    clock.advance(1_000);
    expect([rings, clock.pending]).toStrictEqual([[100, 500], 0]);
  });

  test('that is set to never keeps no timer, until it is set again', () => {
    const clock = new FakeClock();
    const { alarm, rings } = alarmOn(clock);
    alarm.set(Infinity);
    alarm.set(100);
    alarm.set(Infinity);
    expect(clock.pending).toBe(0);
    clock.advance(200);
    alarm.set(300);
    clock.advance(100);
    expect([rings, clock.pending]).toStrictEqual([[300], 0]);
  });

  test('keeps one timer, however often it is set', () => {
    const clock = new FakeClock();
    const { alarm } = alarmOn(clock);
    for (let i = 0; i < 1_000; i++) alarm.set(1 + ((i * 7_919) % 1_000));
    expect(clock.pending).toBe(1);
  });
});

describe('a shared timer', () => {
  test('calls back each at its time, and holds one timer for all', () => {
    const clock = new FakeClock();
    const callAfter = sharedAfter(clock);
    const calls: [string, number][] = [];
    for (const [name, ms] of [
      ['a', 300],
      ['b', 100],
      ['c', 200],
      ['d', 100],
    ] as const)
      callAfter(ms, () => calls.push([name, clock.now()]));
    expect(clock.pending).toBe(1);
    clock.advance(1_000);
    expect(calls).toStrictEqual([
      ['b', 100],
      ['d', 100],
      ['c', 200],
      ['a', 300],
    ]);
    expect(clock.pending).toBe(0);
  });

  test('does not call back what is called off, and leaves no timer when all is', () => {
    const clock = new FakeClock();
    const callAfter = sharedAfter(clock);
    const callback = vi.fn();
    const cancels = [100, 200, 300].map((ms) => callAfter(ms, callback));
    for (const cancel of cancels) {
      expect(clock.pending).toBe(1);
      cancel();
      cancel();
    }
    expect(clock.pending).toBe(0);
    clock.advance(1_000);
    expect(callback).not.toHaveBeenCalled();
  });

  test('a callback may call off another that is due with it, and ask for more', () => {
    const clock = new FakeClock();
    const callAfter = sharedAfter(clock);
    const calls: [string, number][] = [];
    callAfter(100, () => {
      cancel();
      callAfter(50, () => calls.push(['later', clock.now()]));
    });
    const cancel = callAfter(100, () => calls.push(['called off', clock.now()]));
    clock.advance(1_000);
    expect([calls, clock.pending]).toStrictEqual([[['later', 150]], 0]);
  });
});
