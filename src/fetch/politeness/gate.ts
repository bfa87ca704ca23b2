import type { Clock } from '../../base/clock.ts';
import type { Id } from '../../batch/ids.ts';
import type { AttemptSettings, RequestPost } from '../origin/attempt.ts';
import type { Circuit } from './circuit.ts';
import type { Feedback } from './concurrency-limit.ts';
import type { Hedged, Hedger, Send } from './hedger.ts';
import type { Limiter } from './limiter.ts';
import { quotasToldBy, verdictOf } from './verdict.ts';

export interface GatePorts {
  readonly requestPost: RequestPost;
  readonly clock: Clock;
  readonly limiter: Limiter;
  readonly circuit: Circuit;
  /** Undefined where nothing is hedged. */
  readonly hedger: Hedger | undefined;
}

/** Why an attempt is not made. */
export type Refusal = 'deadline' | 'rate-limited' | 'circuit-open';

interface Attempted extends Hedged {
  /** When the attempt's turn came, by the clock. */
  readonly startedMs: number;
  /** Whether the deadline ended the attempt's time. */
  readonly cutShort: boolean;
}

/** What every attempt of a run passes on its way to the origin. */
export interface Gate {
  /** Why no attempt would be made now, if so. */
  refusal(): Refusal | undefined;
  /**
   * Makes one attempt when its turn comes, or tells why not. One that is urgent goes before posts that have not been
   * asked for yet; a retry is not hedged. Rejects with the signal's reason when that aborts.
   */
  attempt(id: Id, isRetry: boolean, isUrgent: boolean, signal: AbortSignal): Promise<Attempted | Refusal>;
}

/** Lets attempts pass as the limiter and the circuit allow, which learn from each answer. All end by `deadlineMs`. */
export function openGate(
  { attemptTimeoutMs }: Pick<AttemptSettings, 'attemptTimeoutMs'>,
  { requestPost, clock, limiter, circuit, hedger }: GatePorts,
  deadlineMs: number,
): Gate {
  const send = async (id: Id, endMs: number, ...[slot, signal, onOtherConnection]: Parameters<Send>) => {
    let feedback: Feedback = 'unknown';
    try {
      const result = await requestPost(id, endMs - clock.now(), signal, onOtherConnection);
      const date = clock.date();
      const verdict = verdictOf(result, date, limiter.keepsToQuotas);
      if (verdict.isReachable) circuit.answered();
      else if (verdict.isReachable === false) {
        circuit.failed();
        // Who waits for a slot need not wait to be told.
        if (!circuit.admits) limiter.dismiss();
      }
      feedback = verdict.feedback;
      limiter.pause(verdict.pauseMs);
      if ('status' in result && result.rateLimit) {
        const by = { seq: slot.seq + 1, sentMs: slot.sentMs };
        if (limiter.listensTo(by)) limiter.tell(quotasToldBy(result.rateLimit, result, date), by);
      }
      return result;
    } finally {
      limiter.release(slot, feedback);
    }
  };

  return {
    refusal: () => limiter.end ?? (circuit.admits ? undefined : 'circuit-open'),
    async attempt(id, isRetry, isUrgent, signal) {
      const started = limiter.start(signal, isUrgent);
      const slot = started instanceof Promise ? await started : started;
      if (slot === undefined) return limiter.end ?? 'circuit-open';
      if (!circuit.admit()) {
        limiter.cancel(slot);
        return 'circuit-open';
      }
      const startedMs = clock.now();
      const endMs = Math.min(startedMs + attemptTimeoutMs, deadlineMs);
      const cutShort = endMs === deadlineMs;
      if (hedger && !isRetry) {
        const sendPost: Send = (...request) => send(id, endMs, ...request);
        return { startedMs, cutShort, ...(await hedger.attempt(slot, sendPost, signal)) };
      }
      return { startedMs, cutShort, result: await send(id, endMs, slot, signal, false), hedged: false };
    },
  };
}
