import { onAbort } from '../../base/abort.ts';
import { Alarm } from '../../base/alarm.ts';
import type { Clock } from '../../base/clock.ts';
import { LinkedList } from '../../base/linked-list.ts';
import type { ConcurrencySummary, Feedback } from './concurrency-limit.ts';
import type { Learned } from './learned.ts';
import { OriginLimits, type SentRequest } from './origin-limits.ts';
import { type Pause, PauseLog } from './pause-log.ts';
import type { Quota } from './quotas.ts';
import { TokenBucket } from './token-bucket.ts';
import { ToldPace } from './told-pace.ts';
import type { ToldBy } from './told-quota.ts';

export interface LimiterSettings {
  /** Most requests in flight: an integer ≥ 1. @default 50 */
  readonly concurrency: number;
  /**
   * Whether fewer are in flight where the origin takes no more, and as many start in a second as its quotas tell;
   * otherwise `concurrency` throughout, but for pauses. @default true
   */
  readonly adaptive: boolean;
  /** Most requests that start in a second: a number > 0, fractions allowed. @default Infinity */
  readonly ratePerSecond: number;
}

export interface LimiterPorts {
  readonly clock: Clock;
  /** 0 to 1, for the jitter. */
  readonly random: () => number;
}

/** The run whose requests are limited. Times are by the clock. */
interface LimitedRun {
  readonly startMs: number;
  /** When requests must have ended. */
  readonly deadlineMs: number;
  /** How many posts the run was asked for. */
  readonly requested: number;
  /** What runs before this one found out of the same origin. @default nothing */
  readonly learned?: Learned | undefined;
}

/** The place of a request in flight, to be given back with `release`. */
export type Slot = SentRequest;

const UNOBSERVED: Slot = { seq: 0, activeMs: 0, resumedMs: 0, sentMs: 0, inFlight: 0 };

/** Why no request can start any more. */
export type Ended = 'deadline' | 'rate-limited';

/** What the limiter did in a run. */
export interface LimiterSummary {
  /** Milliseconds in which posts were held back, though fewer than the limit were in flight: by a pause or a rate. */
  readonly throttledMs: number;
  /** When the origin was paused, as it had asked for: the first 100 times. */
  readonly pauses: readonly Pause[];
  readonly peakInFlight: number;
  /** Of the limit of requests in flight. */
  readonly concurrency: ConcurrencySummary;
  readonly learned: Learned;
}

type Waiter = (slot: Slot | undefined) => void;

/** How long the first round of requests takes to start after a pause of that length and more. */
const RESUME_MS = 1_000;
/** The waits of a run that has one request in flight, and is turned away still. */
const BACKOFF_BASE_MS = 100;
const BACKOFF_CAP_MS = 5_000;

/**
 * Decides when a request to the origin may start. Every request of a run passes its limiter: first attempts, retries and
 * hedges.
 *
 * - At most `concurrency` are in flight; when adaptive, as many as OriginLimits say, and as many start in a second as
 *   they and a ToldPace say.
 * - At most `ratePerSecond` start in a second, evenly: a bucket of one token, and 10 ms' worth more.
 * - A pause holds for every request. Then requests start at the rate that is known; where none is, one by one: a round
 *   over a second, and then ever more.
 * - What cannot start before the deadline is refused at once.
 *
 * docs/adr/0006-limiter.md says what was taken from where, and why.
 */
export class Limiter {
  readonly #settings: LimiterSettings;
  readonly #ports: LimiterPorts;
  readonly #deadlineMs: number;
  /** Retries and hedges before posts that nobody has asked for yet: the oldest hold the reorder window. */
  readonly #urgent = new LinkedList<Waiter>();
  readonly #waiting = new LinkedList<Waiter>();
  /** Undefined where `concurrency` holds throughout. */
  readonly #limits: OriginLimits | undefined;
  readonly #told: ToldPace | undefined;
  readonly #alarm: Alarm;
  #inFlight = 0;
  #peakInFlight = 0;
  /** Waits with one request in flight, since the last answer. */
  #backoffs = 0;
  readonly #bucket = new TokenBucket();
  readonly #pauses: PauseLog;
  #pausedUntilMs = -Infinity;
  /** How long the first round after the pause takes to start. */
  #resumingMs = 0;
  /** Requests that have started since the last pause, from a random fraction on: other functions were told the same. */
  #resumed = 0;
  #throttledMs = 0;
  #throttledSinceMs: number | undefined;
  #end: Ended | undefined;

  /** The run starts from what runs before it have `learned`. */
  constructor(
    settings: LimiterSettings,
    ports: LimiterPorts,
    { startMs, deadlineMs, requested, learned }: LimitedRun,
  ) {
    const { concurrency, adaptive } = settings;
    const { clock } = ports;
    this.#settings = settings;
    this.#ports = ports;
    this.#deadlineMs = deadlineMs;
    const inTimeFor = ((deadlineMs - clock.now()) * (learned?.perSecond ?? Infinity)) / 1_000;
    // A rate that would not get the run done is none to be held to: the origin may take more by now.
    const known = inTimeFor < requested && requested < Infinity ? { ...learned, perSecond: null } : learned;
    if (adaptive) this.#limits = new OriginLimits(concurrency, clock.now(), known);
    this.#bucket.fill(1, clock.now());
    this.#pauses = new PauseLog(startMs);
    this.#alarm = new Alarm(clock, () => this.#serve());
    if (adaptive) this.#told = new ToldPace(requested, deadlineMs);
  }

  /** Why no request will start any more, if so. */
  get end(): Ended | undefined {
    return this.#endAt(this.#ports.clock.now());
  }

  /** Whether the origin is not paused, and has answered a round since fewer may be in flight. */
  get isCalm(): boolean {
    return !this.#limits?.isShrinking && this.#ports.clock.now() >= this.#pausedUntilMs;
  }

  /** Whether more requests could be in flight than are asked for: at the end of a run, say. */
  get hasRoom(): boolean {
    return this.#inFlight < this.#mostInFlight(this.#ports.clock.now()) && !this.#isWaitedFor();
  }

  /**
   * Asks for the start of a request; `isUrgent` goes before what waits already. Gives its slot, at once or when its
   * turn comes, or undefined when that is not before the deadline. Rejects with the signal's reason when that aborts
   * first.
   */
  start(signal: AbortSignal, isUrgent = false): Slot | undefined | Promise<Slot | undefined> {
    const now = this.#ports.clock.now();
    if (this.#endAt(now)) return undefined;
    const isFree = this.#urgent.size === 0 && (isUrgent || this.#waiting.size === 0);
    if (isFree && this.#inFlight < this.#mostInFlight(now) && this.#waitMs(now) <= 0) return this.#take(now);
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const queue = isUrgent ? this.#urgent : this.#waiting;
      const stopListening = onAbort(signal, () => {
        stopListening();
        queue.delete(entry);
        reject(signal.reason);
        this.#serve();
      });
      const entry = queue.push((slot) => {
        stopListening();
        resolve(slot);
      });
      this.#serve();
    });
  }

  /** Whether the pace that quotas tell is kept to. */
  get keepsToQuotas(): boolean {
    return this.#told !== undefined;
  }

  /** Whether the quotas of an answer are worth to be read, for `tell`. */
  listensTo(by: ToldBy): boolean {
    return this.#told?.listensTo(by, this.#ports.clock.now()) ?? false;
  }

  /** Keeps to the quotas of an answer, which `listensTo` wants, from now on. To be called before its `release`. */
  tell(quotas: readonly Quota[], by: ToldBy): void {
    this.#told?.tell(quotas, by, this.#ports.clock.now());
    // What is told need not be found out.
    if (this.#told?.isPaced) this.#limits?.open();
  }

  /** Ends a request, and learns from what came of it. */
  release(slot: Slot, feedback: Feedback): void {
    const now = this.#ports.clock.now();
    this.#learn(slot, feedback, now);
    this.#inFlight -= 1;
    this.#serve(now);
  }

  /** Gives back the slot of a request that was not sent. */
  cancel(slot: Slot): void {
    this.#bucket.putBack();
    this.release(slot, 'unknown');
  }

  /**
   * Lets no request start for `ms`, as the origin asks for; those in flight finish. A pause that is under way is never
   * shortened.
   */
  pause(ms: number): void {
    if (ms <= 0) return;
    const now = this.#ports.clock.now();
    this.#pauses.note(now, now + ms);
    this.#hold(now, ms);
  }

  /** Refuses those who wait now. */
  dismiss(): void {
    for (const queue of [this.#urgent, this.#waiting]) {
      for (let start = queue.shift(); start; start = queue.shift()) start(undefined);
    }
    this.#serve();
  }

  summary(): LimiterSummary {
    const now = this.#ports.clock.now();
    const { concurrency } = this.#settings;
    return {
      throttledMs: Math.round(this.#throttledMs),
      pauses: this.#pauses.summary(now),
      peakInFlight: this.#peakInFlight,
      concurrency: this.#limits?.summary(now) ?? { min: concurrency, max: concurrency, final: concurrency },
      learned: {
        perSecond: null,
        inFlight: null,
        ...this.#limits?.learned(now),
        told: this.#told?.perSecond ?? null,
      },
    };
  }

  #endAt(now: number): Ended | undefined {
    if (!this.#isInTime(now)) this.#end ??= 'deadline';
    return this.#end;
  }

  #take(now: number): Slot {
    this.#bucket.take();
    this.#told?.start(now);
    this.#resumed += 1;
    this.#inFlight += 1;
    this.#peakInFlight = Math.max(this.#peakInFlight, this.#inFlight);
    return this.#limits?.sent(now, this.#inFlight) ?? UNOBSERVED;
  }

  #learn(slot: Slot, feedback: Feedback, nowMs: number): void {
    if (!this.#limits || feedback === 'unknown') return;
    if (feedback === 'answered') this.#backoffs = 0;
    const toldMs = Math.max(0, this.#pausedUntilMs - nowMs);
    if (this.#limits.learn(slot, feedback, { nowMs, toldMs, inFlight: this.#inFlight })) this.#backOff(nowMs);
  }

  /** Fewer than one request in flight is one request now and then. */
  #backOff(now: number): void {
    this.#backoffs += 1;
    this.#hold(
      now,
      Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** (this.#backoffs - 1)) *
        (0.5 + this.#ports.random() / 2),
    );
  }

  /** Lets no request start for `ms`, unless none does for longer. */
  #hold(now: number, ms: number): void {
    const { random } = this.#ports;
    const untilMs = now + ms;
    if (untilMs <= this.#pausedUntilMs) return;
    // A rate that is known spaces the requests by itself.
    const isPaced = this.#told?.isPaced || (this.#limits?.perSecond(now) ?? Infinity) < Infinity;
    this.#resumingMs = isPaced ? 0 : Math.min(RESUME_MS, ms);
    // No request starts after the deadline, and some are told to wait for ever.
    this.#limits?.pause(now, Math.min(untilMs + this.#resumingMs, this.#deadlineMs));
    this.#pausedUntilMs = untilMs;
    this.#resumed = random();
    if (isPaced) this.#bucket.fill(Math.min(this.#bucket.tokens, random()), untilMs);
    if (!this.#isInTime(now + this.#waitMs(now))) this.#end ??= 'rate-limited';
    this.#serve();
  }

  #mostInFlight(now: number): number {
    return this.#limits?.inFlight(now) ?? this.#settings.concurrency;
  }

  /** Starts what may start, and sets the alarm for the rest. */
  #serve(now = this.#ports.clock.now()): void {
    if (this.#throttledSinceMs !== undefined) this.#throttledMs += now - this.#throttledSinceMs;
    this.#throttledSinceMs = undefined;
    let atMs = this.#deadlineMs;
    while (this.#isWaitedFor() && !this.#endAt(now) && this.#inFlight < this.#mostInFlight(now)) {
      const waitMs = this.#waitMs(now);
      if (waitMs <= 0) this.#startNext(now);
      else if (this.#isInTime(now + waitMs)) {
        this.#throttledSinceMs = now;
        atMs = now + waitMs;
        break;
      } else this.#end = 'deadline';
    }
    if (this.#isWaitedFor() && this.#end) this.dismiss();
    else this.#alarm.set(this.#isWaitedFor() ? atMs : Infinity);
  }

  #isWaitedFor(): boolean {
    return this.#urgent.size + this.#waiting.size > 0;
  }

  #startNext(now: number): void {
    const start = this.#urgent.shift() ?? this.#waiting.shift();
    start?.(this.#take(now));
  }

  /** Whether there is time for a request that starts then. Timers count whole milliseconds: less is no time. */
  #isInTime(atMs: number): boolean {
    return this.#deadlineMs - atMs >= 1;
  }

  /** How long until the pause and the rates let a request start; 0 or less is now. */
  #waitMs(now: number): number {
    const toldMs = this.#told?.waitMs(now, this.#inFlight) ?? 0;
    return Math.max(this.#resumeMs(now) - now, this.#tokenMs(now), toldMs);
  }

  /** When the next request after a pause may start: a round of them in a second, and then ever more. */
  #resumeMs(now: number): number {
    const rounds = this.#resumed / this.#mostInFlight(now);
    // Twice as many as before in each quarter of that time.
    return this.#pausedUntilMs + this.#resumingMs * (rounds <= 1 ? rounds : 1 + Math.log2(rounds) / 4);
  }

  /** How long until the rates let a request start. */
  #tokenMs(now: number): number {
    const perSecond = Math.min(this.#settings.ratePerSecond, this.#limits?.perSecond(now) ?? Infinity);
    return this.#bucket.waitMs(now, perSecond);
  }
}
