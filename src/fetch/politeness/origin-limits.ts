import {
  ConcurrencyLimit,
  type ConcurrencySummary,
  type Feedback,
  type Flight,
} from './concurrency-limit.ts';
import type { Learned } from './learned.ts';
import { LearnedPace, type Sent } from './pace.ts';

/** A request, as it was sent. */
export interface SentRequest extends Sent {
  readonly sentMs: number;
  /** Requests in flight when it was sent, itself included. */
  readonly inFlight: number;
}

/** How the limiter stands when a request ends. */
export interface RequestEnd {
  readonly nowMs: number;
  /** How long the origin wants to be left alone from now on. */
  readonly toldMs: number;
  /** Requests in flight, the one that has ended included. */
  readonly inFlight: number;
}

/**
 * So many refusals that do not tell to wait are a limit's: each counts for one, and each answer takes so much away
 * again, which forgives an origin that refuses 2 % for no reason, as BBRv3 does.
 */
const MANY = 2.5;
const FORGIVEN_PER_ANSWER = 0.02;

/**
 * What an origin takes, in flight and in a second, as its answers show: a ConcurrencyLimit and a LearnedPace, and which
 * of the two a refusal speaks of. One that is told when to come back, or came with no more requests in flight than an
 * answer did, was refused for the rate; any other for the requests in flight.
 */
export class OriginLimits {
  readonly #limit: ConcurrencyLimit;
  readonly #pace: LearnedPace;
  /** Refusals of late, less those that are forgiven. */
  #refusals = 0;
  /** The most requests in flight with one that was answered. */
  #mostAnswered = 0;
  /** The first request that was sent since the limit was lowered last. */
  #loweredSeq = 0;
  #nextSeq = 0;

  /** At most `most` requests are in flight. What an earlier run `learned` is where this one starts from. */
  constructor(most: number, startMs: number, learned: Partial<Learned> = {}) {
    this.#limit = new ConcurrencyLimit(most, learned.inFlight ?? undefined);
    this.#pace = new LearnedPace(startMs, learned.perSecond ?? undefined);
  }

  /** Requests that may be in flight. */
  inFlight(nowMs: number): number {
    return this.#limit.at(nowMs);
  }

  /** Requests that may start in a second: Infinity as long as no rate is known. */
  perSecond(nowMs: number): number {
    return this.#pace.perSecond(nowMs);
  }

  /** Whether no round of requests was answered since fewer may be in flight. */
  get isShrinking(): boolean {
    return this.#limit.isShrinking;
  }

  learned(nowMs: number): Pick<Learned, 'perSecond' | 'inFlight'> {
    return { perSecond: this.#pace.learned(nowMs) ?? null, inFlight: this.#limit.learned ?? null };
  }

  summary(nowMs: number): ConcurrencySummary {
    return this.#limit.summary(nowMs);
  }

  /** Lets as many be in flight as may be at most, unless fewer were found to be taken. */
  open(): void {
    this.#limit.open();
  }

  /** Notes that a request is sent, with which `inFlight` are. */
  sent(sentMs: number, inFlight: number): SentRequest {
    const { seq, activeMs, resumedMs } = this.#pace.sent(sentMs);
    this.#nextSeq = seq + 1;
    return { seq, activeMs, resumedMs, sentMs, inFlight };
  }

  pause(nowMs: number, untilMs: number): void {
    this.#pace.pause(nowMs, untilMs);
  }

  /** Learns from the end of a request. Says whether even a single request in flight was too many. */
  learn(request: SentRequest, feedback: Exclude<Feedback, 'unknown'>, ended: RequestEnd): boolean {
    if (feedback === 'answered') this.#learnAnswer(request, ended);
    else if (feedback !== 'timed-out') return this.#learnRefusal(request, feedback, ended);
    else if (this.#isSince(request) && this.#limit.timedOut(flightOf(request, ended), ended.nowMs))
      this.#loweredSeq = this.#nextSeq;
    return false;
  }

  #learnAnswer(request: SentRequest, ended: RequestEnd): void {
    this.#refusals = Math.max(0, this.#refusals - FORGIVEN_PER_ANSWER);
    this.#mostAnswered = Math.max(this.#mostAnswered, request.inFlight);
    this.#pace.answered(request, ended.nowMs);
    if (this.#isSince(request)) this.#limit.answered(request, ended.inFlight, ended.nowMs);
  }

  #learnRefusal(request: SentRequest, feedback: 'throttled' | 'overloaded', ended: RequestEnd): boolean {
    const { nowMs, toldMs } = ended;
    const isSince = this.#isSince(request);
    this.#pace.turnedAway(request);
    this.#refusals += 1;
    // The odd refusal says nothing of either.
    if (toldMs === 0 && isSince && this.#refusals < MANY) return false;
    if (isSince) this.#refusals = 0;
    const isTold = feedback === 'throttled' && toldMs > 0;
    const isForRate = isTold || request.inFlight <= this.#mostAnswered;
    if (isForRate) this.#pace.slowDown(nowMs, toldMs, request);
    // Where nothing at all is taken there is no rate to keep to, and fewer in flight are all that is left.
    if (isForRate && (toldMs > 0 || this.perSecond(nowMs) < Infinity)) return false;
    if (!isSince) this.#limit.refusedAsWell(flightOf(request, ended), nowMs);
    else if (request.inFlight === 1) return toldMs === 0;
    else {
      this.#limit.refused(flightOf(request, ended), nowMs);
      this.#loweredSeq = this.#nextSeq;
    }
    return false;
  }

  /** Whether a request was sent since fewer may be in flight: what was sent before tells of the limit before. */
  #isSince({ seq }: SentRequest): boolean {
    return seq >= this.#loweredSeq;
  }
}

function flightOf({ inFlight, sentMs }: SentRequest, { nowMs }: RequestEnd): Flight {
  return { inFlight, tookMs: nowMs - sentMs };
}
