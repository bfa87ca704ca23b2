import { createHistogram } from 'node:perf_hooks';
import { onAbort } from '../../base/abort.ts';
import { Alarm } from '../../base/alarm.ts';
import type { Clock } from '../../base/clock.ts';
import { type Entry, LinkedList } from '../../base/linked-list.ts';
import type { AttemptResult } from '../origin/attempt.ts';
import type { Limiter, Slot } from './limiter.ts';
import { isRetryable, verdictOf } from './verdict.ts';

/** Sends a request that has its slot, and gives the slot back when it ends. Rejects with the signal's reason. */
export type Send = (slot: Slot, signal: AbortSignal, onOtherConnection: boolean) => Promise<AttemptResult>;

/** What came of an attempt, and whether it was hedged. */
export interface Hedged {
  readonly result: AttemptResult;
  readonly hedged: boolean;
}

export interface HedgeSummary {
  /** Further requests that were sent for late attempts, and those of them whose answer was used. */
  readonly hedges: number;
  readonly hedgesWon: number;
}

const LATE_PERCENTILE = 95;
/** How far past the percentile is late: as many as get there by definition would use up the budget of the stuck. */
const PAST_PERCENTILE = 1.25;
/** What is added, divided by the answers so far: the longest of a few says little of the next. */
const PAST_FEW = 10;
/** Most hedges of an attempt: the origin may be at fault, or the post. */
const MOST_HEDGES = 2;
/** Most hedges, as a share of the attempts. */
const MAX_SHARE = 0.05;
/** The same while posts wait for their turn: the rest is for the last of a run, which nothing else hides. */
const BUSY_SHARE = 0.04;
/** More hedges while no post waits: the slots are there, and the share of a small batch is less than one. */
const IDLE_HEDGES = 10;
/** Above any attempt's time. */
const MAX_MS = 2 ** 31;

/**
 * Sends another request for an attempt that is late, on another connection, and a second one where that is late as
 * well: the first good answer wins, and the other requests are aborted. These are the hedged requests of Dean and
 * Barroso, "The Tail at Scale" (CACM 56, 2013).
 *
 * - Late is 1.25 times the 95th percentile of the run's attempts so far, and more as long as these are few: 10 divided
 *   by their number is added to the 1.25.
 * - At most 4 % more requests than attempts are sent while posts wait for their turn, and 5 % and 10 while none does
 *   and slots are free; for those first that have waited longest.
 * - None are sent while the origin is paused or its limit shrinks, nor after a hedge was refused, until as many
 *   attempts as were in flight then have been answered.
 *
 * A hedge has a slot of the limiter's like any request, before posts that wait.
 */
export class Hedger {
  readonly #limiter: Limiter;
  readonly #clock: Clock;
  readonly #alarm: Alarm;
  /** Attempts in flight that may get a hedge, in the order in which their last requests were sent. */
  readonly #races = new LinkedList<Race>();
  readonly #latency = createHistogram({ lowest: 1, highest: MAX_MS, figures: 3 });
  #lateMs = Infinity;
  #attempts = 0;
  #inFlight = 0;
  #answered = 0;
  /** Nothing is hedged until so many attempts were answered. */
  #resumesAt = 0;
  /** Those that wait for their slot included. */
  #hedges = 0;
  #won = 0;

  constructor(clock: Clock, limiter: Limiter) {
    this.#clock = clock;
    this.#limiter = limiter;
    this.#alarm = new Alarm(clock, () => this.#serve(true));
  }

  summary(): HedgeSummary {
    return { hedges: this.#hedges, hedgesWon: this.#won };
  }

  /** Makes an attempt that has its slot. Rejects with the signal's reason when that aborts. */
  async attempt(slot: Slot, send: Send, signal: AbortSignal): Promise<Hedged> {
    const race = new Race(this.#clock.now(), send, this.#races);
    const stopListening = onAbort(signal, () => race.abort(signal.reason));
    if (signal.aborted) race.abort(signal.reason);
    this.#attempts += 1;
    this.#inFlight += 1;
    void race.run(slot, false);
    this.#serve();
    try {
      const { result, isHedge } = await race.end;
      if (!isRetryable(result)) this.#record(this.#clock.now() - race.startedMs);
      if (isHedge) this.#won += 1;
      return { result, hedged: race.hedges > 0 };
    } finally {
      stopListening();
      this.#inFlight -= 1;
      race.leave();
      this.#serve();
    }
  }

  /** Hedges what is late. `isAtRest`: whether a post that could start has done so. */
  #serve(isAtRest = false): void {
    const now = this.#clock.now();
    let nextMs = Infinity;
    for (let race = this.#races.first; race; race = this.#races.first) {
      const lateAtMs = race.sentMs + this.#lateMs;
      if (now < lateAtMs) {
        nextMs = lateAtMs;
        break;
      }
      if (!this.#mayHedge(isAtRest)) {
        // Between a post's end and the next one's start it looks as if none waited.
        nextMs = !isAtRest && this.#mayHedge(true) ? now : now + this.#lateMs;
        break;
      }
      this.#races.shift();
      const started = this.#limiter.start(race.signal, true);
      if (started instanceof Promise) void this.#hedgeInTurn(race, started);
      else if (started !== undefined) this.#hedge(race, started);
    }
    this.#alarm.set(nextMs);
  }

  /** Whether one more hedge may be sent; `orIdle` on the free slots too, if there are any. */
  #mayHedge(orIdle: boolean): boolean {
    const { isCalm, hasRoom } = this.#limiter;
    if (!isCalm || this.#answered < this.#resumesAt) return false;
    const most = orIdle && hasRoom ? MAX_SHARE * this.#attempts + IDLE_HEDGES : BUSY_SHARE * this.#attempts;
    return this.#hedges + 1 <= most;
  }

  async #hedgeInTurn(race: Race, turn: Promise<Slot | undefined>): Promise<void> {
    this.#hedges += 1;
    // The first request may end before the turn comes.
    const slot = await turn.catch(() => undefined);
    this.#hedges -= 1;
    if (slot === undefined) return;
    // The origin may have been paused meanwhile, or posts wait again.
    const isWanted = !race.signal.aborted && this.#mayHedge(true);
    if (isWanted) this.#hedge(race, slot);
    else {
      this.#limiter.cancel(slot);
      if (!race.signal.aborted) race.waitFrom(this.#clock.now());
    }
    this.#serve();
  }

  #hedge(race: Race, slot: Slot): void {
    this.#hedges += 1;
    race.hedges += 1;
    if (race.hedges < MOST_HEDGES) race.waitFrom(this.#clock.now());
    race.run(slot, true).then(
      (result) => {
        const { feedback } = verdictOf(result, this.#clock.date());
        const isRefused = feedback === 'throttled' || feedback === 'overloaded';
        if (isRefused) this.#resumesAt = this.#answered + this.#inFlight;
      },
      // Another request of the race has won.
      () => {},
    );
  }

  /**
   * Counts an attempt that was answered. Where a hedge won, the first request would have taken longer: as `ms` is past
   * the percentile already, that makes no difference to it.
   */
  #record(ms: number): void {
    this.#answered += 1;
    this.#latency.record(Math.max(1, Math.round(ms)));
    const past = PAST_PERCENTILE + PAST_FEW / this.#answered;
    this.#lateMs = Math.ceil(this.#latency.percentile(LATE_PERCENTILE) * past);
  }
}

interface RaceEnd {
  readonly result: AttemptResult;
  /** Whether a hedge brought it. */
  readonly isHedge: boolean;
}

/** The requests of an attempt. */
class Race {
  readonly startedMs: number;
  /** When the last of them was sent, or last could have been. */
  sentMs: number;
  hedges = 0;
  readonly #send: Send;
  readonly #listed: LinkedList<Race>;
  #entry: Entry<Race>;
  readonly #over = new AbortController();
  readonly #end = Promise.withResolvers<RaceEnd>();
  #inFlight = 0;
  #failure: AttemptResult | undefined;

  /** `listed`: the races that may get a hedge, this one included. */
  constructor(startedMs: number, send: Send, listed: LinkedList<Race>) {
    this.startedMs = startedMs;
    this.sentMs = startedMs;
    this.#send = send;
    this.#listed = listed;
    this.#entry = listed.push(this);
  }

  /** Aborts when the race is over. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  get end(): Promise<RaceEnd> {
    return this.#end.promise;
  }

  /** Sends a request, and gives what comes of it. */
  run(slot: Slot, isHedge: boolean): Promise<AttemptResult> {
    this.#inFlight += 1;
    const sent = this.#send(slot, this.signal, isHedge);
    sent.then(
      (result) => this.#receive(result, isHedge),
      (error) => {
        this.#end.reject(error);
        this.#over.abort(error);
      },
    );
    return sent;
  }

  /** Lists the race again, as that of a request which was sent now. */
  waitFrom(nowMs: number): void {
    this.sentMs = nowMs;
    this.#entry = this.#listed.push(this);
  }

  leave(): void {
    this.#listed.delete(this.#entry);
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
const OVER = 'Another request was answered';
