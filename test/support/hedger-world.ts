import type { AttemptResult } from '../../src/fetch/origin/attempt.ts';
import type { Feedback } from '../../src/fetch/politeness/concurrency-limit.ts';
import { type Hedged, Hedger, type Send } from '../../src/fetch/politeness/hedger.ts';
import type { Slot } from '../../src/fetch/politeness/limiter.ts';
import { type LimiterGiven, limiterWith, NEVER } from './limiter-world.ts';
import { quiet } from './manual-mapper.ts';

export const response = (status: number, text = ''): AttemptResult => ({
  kind: 'response',
  status,
  body: Buffer.from(text),
});
export const GOOD = response(200, '{}');

/** How a request goes. */
interface Course {
  readonly lastsMs: number;
  readonly result: AttemptResult;
}

interface Sent {
  readonly atMs: number;
  readonly onOtherConnection: boolean;
  endedMs?: number;
  aborted?: unknown;
}

/** A hedger whose limiter lets 100 requests be in flight, but for what is given, and ways to make attempts. */
export function hedgerWith(given: LimiterGiven = {}) {
  const { clock, limiter } = limiterWith({ random: () => 0, concurrency: 100, deadlineMs: 1e9, ...given });
  const hedger = new Hedger(clock, limiter);
  const world = { clock, limiter, hedger, inFlight: 0 };

  /** A way to send requests, each of which takes the next of these courses, or the last. */
  const sending = (...courses: [Course, ...Course[]]) => {
    const sent: Sent[] = [];
    const send: Send = async (slot, signal, onOtherConnection) => {
      const { lastsMs, result } = courses[Math.min(sent.length, courses.length - 1)] ?? courses[0];
      const request: Sent = { atMs: clock.now(), onOtherConnection };
      sent.push(request);
      world.inFlight += 1;
      let feedback: Feedback = 'unknown';
      try {
        await new Promise<void>((resolve, reject) => {
          const onAbort = (): void => {
            cancel();
            request.aborted = signal.reason;
            reject(signal.reason);
          };
          const cancel = clock.after(lastsMs, () => {
            signal.removeEventListener('abort', onAbort);
            resolve();
          });
          signal.addEventListener('abort', onAbort, { once: true });
        });
        if (result === GOOD) feedback = 'answered';
        return result;
      } finally {
        request.endedMs = clock.now();
        world.inFlight -= 1;
        limiter.release(slot, feedback);
      }
    };
    return { sent, send };
  };

  const start = async (send: Send, signal = NEVER): Promise<Hedged> => {
    const slot = await limiter.start(signal);
    if (slot === undefined) throw new Error('Expected a slot');
    return hedger.attempt(slot, send, signal);
  };

  /** So many good attempts, one after the other. */
  const sample = async (count: number, lastsMs = 100): Promise<void> => {
    for (let i = 0; i < count; i++) await clock.runUntil(start(sending({ lastsMs, result: GOOD }).send));
  };

  /** Makes an attempt, and tells what came of it, and which requests were sent, by the time since it began. */
  const attempt = async (...courses: [Course, ...Course[]]) => {
    const startMs = clock.now();
    const { sent, send } = sending(...courses);
    const hedged = await clock.runUntil(start(send));
    const tookMs = clock.now() - startMs;
    await quiet();
    const requests = sent.map(({ atMs, endedMs = Infinity, onOtherConnection, aborted }) => ({
      fromMs: atMs - startMs,
      toMs: endedMs - startMs,
      onOtherConnection,
      aborted: aborted !== undefined,
    }));
    return { ...hedged, tookMs, requests };
  };

  /** Starts so many attempts at once that never end, and tells when each of their requests was sent since then. */
  const stuck = async (count: number, signal = NEVER) => {
    const startMs = clock.now();
    const attempts = Array.from({ length: count }, () => sending({ lastsMs: 1e6, result: GOOD }));
    const races = attempts.map(({ send }) => start(send, signal));
    await quiet();
    return {
      ended: Promise.allSettled(races),
      sentMs: () => attempts.map(({ sent }) => sent.map(({ atMs }) => atMs - startMs)),
    };
  };

  /** Moves on in steps that let what happens in each come to rest. */
  const move = async (ms: number): Promise<void> => {
    await quiet();
    const endMs = clock.now() + ms;
    do {
      clock.advance(Math.min(5, endMs - clock.now()));
      await quiet();
    } while (clock.now() < endMs);
  };

  /** How many more requests could be in flight now. */
  const free = (): number => {
    const slots: Slot[] = [];
    const stopping = new AbortController();
    for (;;) {
      const slot = limiter.start(stopping.signal);
      if (slot === undefined || slot instanceof Promise) {
        Promise.resolve(slot).catch(() => {});
        break;
      }
      slots.push(slot);
    }
    stopping.abort();
    for (const slot of slots) limiter.release(slot, 'unknown');
    return slots.length;
  };
  return Object.assign(world, { sending, start, sample, attempt, stuck, move, free });
}
