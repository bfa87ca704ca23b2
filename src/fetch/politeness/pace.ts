import { type Cubic, cubicAt } from './cubic.ts';
import { type Counting, SentRequests } from './sent-requests.ts';

/** What a request is known by until it ends. Times without pauses, by the pace's own clock. */
export interface Sent {
  readonly seq: number;
  readonly activeMs: number;
  /** When the pause before it ended, or the run began. */
  readonly resumedMs: number;
}

/** What to keep to, as a share of the rate that was measured. */
const KEEP = 0.97;
/** How far the pace falls below what it keeps to, at first. */
const BACK_OFF = 0.03;
/** How long it takes to come back: so many requests, in at least and at most that time. */
const RECOVERY_REQUESTS = 1_000;
const MIN_RECOVERY_MS = 1_000;
const MAX_RECOVERY_MS = 10_000;
/** What a recovery takes besides, for each millisecond of the pause that going too fast has cost. */
const RECOVERY_PER_PAUSE = 20;
/** How long a search takes to come to the most that the rate can be, and for each millisecond of the pause. */
const SEARCH_MS = 2_000;
const SEARCH_PER_PAUSE = 3;
/** The least by which a search begins below, so that its curve goes on beyond. */
const MIN_SEARCH_BACK_OFF = 0.05;
/** From one refusal to another, so much time measures the rate; in less, so many that were taken show where it lies. */
const MEASURED_MS = 500;
const ENOUGH_TAKEN = 6;
/** What is taken from a start on has a burst in it, which counts for little after that time; the longer one if told. */
const BURST_MS = 1_000;
const BURST_TOLD_MS = 1_500;
/** Until when the pace is seen to hold requests back, or not. */
const BINDING_MS = 1_000;
/** Origins count in windows of a second and more. A rate over less than the shorter span is no rate, but a burst. */
const SPANS_MS = [1_000, 2_000, 3_000];
const SHORT_SPANS_MS = [500, ...SPANS_MS];
/** A window of a second is found open again sooner. */
const LONG_EMPTY_MS = 2_000;
const SHORTEST_MS = 100;
/** The share of the pace that is sent where it is the pace that holds requests back. */
const BINDING = 0.7;
/** The least that a pace is held to, in requests a second: an origin that takes nothing is asked that often. */
const MIN_HELD_PER_SECOND = 0.2;
/** Where the pace starts, as a share of what an earlier run learned; and the pause that going past that may cost. */
const RESUME = 0.95;
const RESUME_PAUSE_MS = 1_000;

/**
 * The rate that an origin takes, learned from what it turns away. A rate limit is a policer: of what is sent too fast
 * it drops the rest, so that what it takes from one refusal to the next is its rate (Flach et al., "An Internet-Wide
 * Analysis of Traffic Policing", SIGCOMM 2016). The pace keeps to 97 % of that, by a CUBIC curve (RFC 9438), which
 * comes by and by to look whether there is more.
 *
 * From a start, or the end of a pause, to the first refusal, the origin may have taken a burst besides. So early on the
 * rate is only known to lie between what was taken, spread over a second more, and what was taken, and is searched for
 * from the geometric mean of the two on.
 */
export class LearnedPace {
  readonly #requests = new SentRequests();
  #curve: Cubic | undefined;
  /** The rate that the origin was seen to take; undefined while it is searched for. */
  #seen: number | undefined;
  /** Where the search began. */
  #searchedFrom = 0;
  /** Whether the curve is that of an earlier run, and no refusal has borne it out. */
  #isResumed = false;
  /** The most that is kept to, however the curve grows, while nothing at all is taken. */
  #heldPerSecond: number | undefined;
  #heldSinceMs = 0;
  #releasedMs = -Infinity;
  /** How long the origin's windows may be: where nothing is taken for long, longer than a second. */
  #windowMs = 1_000;
  /** The first request that was sent since the pace changed last, and since it was held back more. */
  #changedSeq = 0;
  #heldSeq = 0;
  #isTakenSinceChange = false;
  /** The first that was turned away since the pause before it. */
  #firstTurnedAway: Sent | undefined;
  #pausedMs = 0;
  #pausedUntilMs = -Infinity;
  #resumedMs: number;

  /** The first request may be sent from `startMs` on; `learned`, more than 0, is the rate of an earlier run. */
  constructor(startMs: number, learned?: number) {
    this.#resumedMs = startMs;
    if (learned === undefined) return;
    const recoveryMs = recoveryOf(learned) + RECOVERY_PER_PAUSE * RESUME_PAUSE_MS;
    this.#curve = { most: KEEP * learned, fromMs: startMs, recoveryMs, backOff: 1 - RESUME / KEEP };
    this.#isResumed = true;
  }

  /** Requests a second that the origin takes, as far as a refusal has shown one. */
  learned(nowMs: number): number | undefined {
    if (!this.#curve || this.#isResumed) return undefined;
    if (this.#seen !== undefined) return this.#seen;
    const last = this.#requests.next - 1;
    const pace = this.#curveAt(this.#active(nowMs));
    // The last of a run may be few and far between, which is no rate of the origin's.
    if (this.#requests.perSecond(last, BINDING_MS, { onlyTaken: false }) < BINDING * pace)
      return this.#searchedFrom;
    const taken = this.#mostTaken(last, MAX_RECOVERY_MS, SHORT_SPANS_MS);
    return Math.min(pace, taken) || undefined;
  }

  /** Requests that may start in a second, as of now: more than 0, and Infinity as long as no rate is known. */
  perSecond(nowMs: number): number {
    return Math.min(this.#heldPerSecond ?? Infinity, this.#curveAt(this.#active(nowMs)));
  }

  sent(nowMs: number): Sent {
    const activeMs = this.#active(nowMs);
    return { seq: this.#requests.add(activeMs), activeMs, resumedMs: this.#resumedMs };
  }

  answered({ seq, activeMs }: Sent, nowMs: number): void {
    this.#requests.settle(seq, true);
    if (seq >= this.#changedSeq) this.#isTakenSinceChange = true;
    if (this.#heldPerSecond === undefined || seq < this.#heldSeq) return;
    this.#heldPerSecond = undefined;
    this.#releasedMs = activeMs;
    const emptyMs = activeMs - this.#heldSinceMs;
    // Of a window that others have used up, what was taken is no measure.
    if (emptyMs > LONG_EMPTY_MS && this.#requests.takenOf(0, this.#heldSeq - 1) >= ENOUGH_TAKEN)
      this.#keepToWindow(emptyMs, seq, this.#active(nowMs));
  }

  turnedAway(sent: Sent): void {
    this.#requests.settle(sent.seq, false);
    this.#firstTurnedAway = this.#firstTurnedAwayWith(sent);
  }

  /** Learns from a request that was turned away, and for the rate, with a pause of `toldMs` to come, or 0. */
  slowDown(nowMs: number, toldMs: number, sent: Sent): void {
    // What was sent before the last change could not keep to it.
    if (sent.seq < this.#changedSeq) return;
    const isTaken = this.#isTakenSinceChange;
    this.#changedSeq = this.#requests.next;
    this.#isTakenSinceChange = false;
    const isEmpty = toldMs === 0 && this.#curve && !isTaken;
    const curve = isEmpty ? undefined : this.#learn(sent, this.#active(nowMs), toldMs);
    if (curve) this.#curve = curve;
    // A window that is used up: the rate is not to blame, and to ask ever more seldom finds the window's end.
    else this.#hold(nowMs);
  }

  /** Takes a pause out of the time, or what it adds to one that is under way. `untilMs` is finite. */
  pause(nowMs: number, untilMs: number): void {
    this.#pausedMs += untilMs - Math.max(nowMs, this.#pausedUntilMs);
    this.#pausedUntilMs = untilMs;
    this.#resumedMs = this.#active(untilMs);
  }

  #hold(nowMs: number): void {
    const perSecond = this.perSecond(nowMs);
    if (this.#heldPerSecond === undefined) this.#heldSinceMs = this.#active(nowMs);
    this.#heldPerSecond = Math.min(perSecond, Math.max(MIN_HELD_PER_SECOND, perSecond / 2));
    this.#heldSeq = this.#requests.next;
  }

  #keepToWindow(emptyMs: number, seq: number, fromMs: number): void {
    this.#windowMs = Math.max(this.#windowMs, emptyMs);
    this.#curve = this.#keepTo(this.#mostTaken(seq, Infinity, SPANS_MS), fromMs, 0);
    this.#isResumed = false;
  }

  /** Undefined where nothing was taken that would show a rate. */
  #learn(sent: Sent, fromMs: number, toldMs: number): Cubic | undefined {
    const { seq, activeMs, resumedMs } = sent;
    const sinceResumedMs = activeMs - resumedMs;
    const isSettled = sinceResumedMs >= (toldMs > 0 ? BURST_TOLD_MS : BURST_MS);
    const first = this.#firstTurnedAwayWith(sent);
    const sinceFirstMs = activeMs - first.activeMs;
    const isMeasured = sinceFirstMs >= MEASURED_MS;
    const spanMs = isMeasured ? sinceFirstMs : sinceResumedMs;
    if (this.#requests.perSecond(seq, spanMs) === 0) return undefined;
    // What an earlier run learned is forgotten where it is turned away at once.
    if (this.#isResumed && !isSettled) this.#curve = undefined;
    this.#isResumed = false;

    const pace = this.#curveAt(activeMs);
    const isBinding = this.#isBinding(sent, pace);
    if (isMeasured || isSettled) {
      const rate = this.#mostTaken(seq, spanMs, SPANS_MS);
      if (isBinding) return this.#keepTo(Math.min(pace, rate), fromMs, toldMs);
      // Too few were sent to measure the rate, and yet too many at once.
      return this.#search(KEEP * rate, this.#mostTaken(seq, spanMs, SHORT_SPANS_MS), fromMs, toldMs);
    }
    if (this.#requests.takenOf(first.seq, seq) >= ENOUGH_TAKEN) {
      const rate = Math.min(pace, this.#requests.perSecond(seq, sinceFirstMs));
      return this.#search(KEEP * rate, rate, fromMs, toldMs);
    }
    const spans = isBinding ? SPANS_MS : SHORT_SPANS_MS;
    const most = Math.min(pace, this.#mostTaken(seq, sinceResumedMs, spans, { leastMs: SHORTEST_MS }));
    // Of what was taken, a burst may be what would have come in another second.
    const spread = { leastMs: SHORTEST_MS, moreMs: BURST_MS };
    const least = Math.min(most, this.#mostTaken(seq, sinceResumedMs, SPANS_MS, spread));
    return this.#search(Math.sqrt(least * most), most, fromMs, toldMs);
  }

  #keepTo(rate: number, fromMs: number, toldMs: number): Cubic {
    this.#seen = rate;
    const recoveryMs = recoveryOf(rate) + RECOVERY_PER_PAUSE * toldMs;
    return { most: KEEP * rate, fromMs, recoveryMs, backOff: BACK_OFF };
  }

  #search(from: number, most: number, fromMs: number, toldMs: number): Cubic {
    this.#seen = undefined;
    this.#searchedFrom = from;
    const backOff = Math.max(MIN_SEARCH_BACK_OFF, 1 - from / most);
    return { most, fromMs, recoveryMs: SEARCH_MS + SEARCH_PER_PAUSE * toldMs, backOff };
  }

  /** Whether it was the pace that held requests back before this one. */
  #isBinding({ seq, activeMs, resumedMs }: Sent, pace: number): boolean {
    const spanMs = Math.min(BINDING_MS, activeMs - Math.max(resumedMs, this.#releasedMs));
    return this.#requests.perSecond(seq, spanMs, { onlyTaken: false }) >= BINDING * pace;
  }

  /** The first request that was turned away of those that were sent after the same pause as this one, which was too. */
  #firstTurnedAwayWith(sent: Sent): Sent {
    const first = this.#firstTurnedAway;
    return first && first.resumedMs === sent.resumedMs && first.seq < sent.seq ? first : sent;
  }

  /**
   * The most requests a second that were taken in one of the spans until the request `seq`, as many times as long as the
   * window is seconds, but not longer than `spanMs`; where nothing was taken in any of them, in all of `spanMs`.
   */
  #mostTaken(seq: number, spanMs: number, spansMs: readonly number[], counting?: Counting): number {
    const rates = spansMs.map((ms) =>
      this.#requests.perSecond(seq, Math.min((ms * this.#windowMs) / 1_000, spanMs), counting),
    );
    return Math.max(...rates) || this.#requests.perSecond(seq, spanMs, counting);
  }

  #curveAt(activeMs: number): number {
    return this.#curve ? cubicAt(this.#curve, activeMs) : Infinity;
  }

  #active(nowMs: number): number {
    return Math.max(nowMs, this.#pausedUntilMs) - this.#pausedMs;
  }
}

function recoveryOf(perSecond: number): number {
  return Math.min(MAX_RECOVERY_MS, Math.max(MIN_RECOVERY_MS, (RECOVERY_REQUESTS * 1_000) / perSecond));
}
