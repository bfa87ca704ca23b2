import { createHistogram } from 'node:perf_hooks';
import { onAbort } from '../../base/abort.ts';
import { Alarm } from '../../base/alarm.ts';
import type { Clock } from '../../base/clock.ts';
import { LinkedList } from '../../base/linked-list.ts';
import type { AttemptResult } from '../origin/attempt.ts';
import type { Limiter, Slot } from './limiter.ts';
import { isRetryable } from './verdict.ts';

/** Sends a request that has its slot, and gives the slot back when it ends. Rejects with the signal's reason. */
export type Send = (slot: Slot, signal: AbortSignal, onOtherConnection: boolean) => Promise<AttemptResult>;

/** What came of an attempt, and whether a second request was sent for it. */
export interface Hedged {
  readonly result: AttemptResult;
  readonly hedged: boolean;
}

export interface HedgeSummary {
  /** Second requests that were sent for late attempts, and those of them whose answer was used. */
  readonly hedges: number;
  readonly hedgesWon: number;
}

/** The share of the requests that are late, and most that are sent twice. */
const LATE_PERCENTILE = 95;
const MAX_SHARE = 0.05;
/** While posts wait for their turn: the rest is for the last of a run, which nothing else hides. */
const BUSY_SHARE = 0.04;
/** Less says nothing of what is late. */
const MIN_SAMPLES = 20;
/** Above any attempt's time. */
const MAX_MS = 2 ** 31;

/**
 * Sends a second request for an attempt that outlasts the 95th percentile of the run's attempts so far, on another
 * connection: the first good answer wins, and the other request is aborted. This is the hedged request of Dean and
 * Barroso, "The Tail at Scale" (CACM 56, 2013).
 *
 * At most 5 % more requests than attempts are sent, those that have waited longest first; none while the origin is
 * paused or its limit shrinks. A hedge has a slot of the limiter's like any request, before posts that wait.
 */
export class Hedger {
  readonly #limiter: Limiter;
  readonly #clock: Clock;
  readonly #alarm: Alarm;
  /** Attempts in flight that have no hedge yet, the oldest first. */
  readonly #races = new LinkedList<Race>();
  readonly #latency = createHistogram({ lowest: 1, highest: MAX_MS, figures: 3 });
  #lateMs = Infinity;
  #attempts = 0;
  #hedges = 0;
  #won = 0;

  constructor(clock: Clock, limiter: Limiter) {
    this.#clock = clock;
    this.#limiter = limiter;
    this.#alarm = new Alarm(clock, () => this.#serve());
  }

  summary(): HedgeSummary {
    return { hedges: this.#hedges, hedgesWon: this.#won };
  }

  /** Makes an attempt that has its slot. Rejects with the signal's reason when that aborts. */
  async attempt(slot: Slot, send: Send, signal: AbortSignal): Promise<Hedged> {
    const race = new Race(this.#clock.now(), send);
    const stopListening = onAbort(signal, () => race.abort(signal.reason));
    if (signal.aborted) race.abort(signal.reason);
    this.#attempts += 1;
    const entry = this.#races.push(race);
    race.run(slot, false);
    this.#serve();
    try {
      const { result, isHedge } = await race.end;
      if (!isRetryable(result)) this.#record(this.#clock.now() - race.startedMs);
      if (isHedge) this.#won += 1;
      return { result, hedged: race.isHedged };
    } finally {
      stopListening();
      this.#races.delete(entry);
      this.#serve();
    }
  }

  #serve(): void {
    let nextMs = Infinity;
    for (let race = this.#races.first; race; race = this.#races.first) {
      const lateAtMs = race.startedMs + this.#lateMs;
      if (this.#clock.now() < lateAtMs) {
        nextMs = lateAtMs;
        break;
      }
      // What may not be hedged now is looked at again with the next attempt that starts or ends.
      const share = this.#limiter.hasRoom ? MAX_SHARE : BUSY_SHARE;
      if (!this.#limiter.isCalm || this.#hedges + 1 > share * this.#attempts) break;
      this.#races.shift();
      void this.#hedge(race);
    }
    this.#alarm.set(nextMs);
  }

  async #hedge(race: Race): Promise<void> {
    this.#hedges += 1;
    // The first request may end before the turn of the second comes.
    const slot = await Promise.resolve(this.#limiter.start(race.signal, true)).catch(() => undefined);
    // The origin may have been paused while the slot was waited for.
    if (slot !== undefined && !race.signal.aborted && this.#limiter.isCalm) return race.run(slot, true);
    this.#hedges -= 1;
    if (slot !== undefined) this.#limiter.cancel(slot);
  }

  #record(ms: number): void {
    this.#latency.record(Math.max(1, Math.round(ms)));
    if (this.#latency.count >= MIN_SAMPLES) this.#lateMs = this.#latency.percentile(LATE_PERCENTILE);
  }
}

interface RaceEnd {
  readonly result: AttemptResult;
  /** Whether the second request brought it. */
  readonly isHedge: boolean;
}

/** The one or two requests of an attempt. */
class Race {
  readonly startedMs: number;
  isHedged = false;
  readonly #send: Send;
  readonly #over = new AbortController();
  readonly #end = Promise.withResolvers<RaceEnd>();
  #inFlight = 0;
  #failure: AttemptResult | undefined;

  constructor(startedMs: number, send: Send) {
    this.startedMs = startedMs;
    this.#send = send;
  }

  /** Aborts when the race is over. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  get end(): Promise<RaceEnd> {
    return this.#end.promise;
  }

  run(slot: Slot, isHedge: boolean): void {
    this.#inFlight += 1;
    this.isHedged ||= isHedge;
    this.#send(slot, this.signal, isHedge).then(
      (result) => this.#receive(result, isHedge),
      (error) => {
        this.#end.reject(error);
        this.#over.abort(error);
      },
    );
  }

  abort(reason: unknown): void {
    this.#over.abort(reason);
  }

  #receive(result: AttemptResult, isHedge: boolean): void {
    this.#inFlight -= 1;
    this.#failure ??= result;
    if (!isRetryable(result)) this.#end.resolve({ result, isHedge });
    else if (this.#inFlight === 0) this.#end.resolve({ result: this.#failure, isHedge: false });
    else return;
    this.#over.abort(OVER);
  }
}

/** A constant: a signal that is given no reason makes an error of its own, with a stack. */
const OVER = 'The other request was answered';
