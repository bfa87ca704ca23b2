import { DUE_MS } from './asked-pause.ts';
import type { Quota } from './quotas.ts';

/** A request whose answer tells: the how manyth of the run it is, from 1 on, and when it was sent. */
export interface ToldBy {
  readonly seq: number;
  readonly sentMs: number;
}

/** What to keep to, as a share of the quota: requests do not arrive as evenly as they start. */
const CEILING = 0.97;
/** A quota of which so much is left, all at once, has been given anew; one of which less came, comes bit by bit. */
const ANEW = 0.75;
const COME = 0.25;
/** A quota of which so much was left, and this run's requests, was not used by others. */
const FRESH = 0.9;
/** A time to the millisecond may be off by so much. */
const SLACK_MS = 50;

/** Whether a quota says how fast to be: not one that cannot be, or of which neither a window nor a reset is told. */
export function saysPace(quota: Quota): boolean {
  const { limit, remaining, resetMs } = quota;
  if (limit !== undefined && (limit <= 0 || limit === Infinity)) return false;
  if (limit !== undefined && windowOf(quota) !== undefined) return true;
  return remaining !== undefined && remaining < Infinity && resetMs !== undefined;
}

/** Windows of no time, and of all of it, are none. */
function windowOf({ windowMs = 0 }: Quota): number | undefined {
  return windowMs > 0 && windowMs < Infinity ? windowMs : undefined;
}

/**
 * One quota that an origin tells of, and the pace that keeps within it. Times are milliseconds by one clock.
 *
 * An answer says what was left when its own request was counted: those sent since then are taken off. The pace is even,
 * whatever the window's start. Where no window is told, the longest reset that was seen is taken for it, until two
 * resets in a row were seen; what is used up until then is not asked for before the latest that its reset may be. Where
 * others use the quota as well, what is left is spread over the time to its reset.
 *
 * A quota that is not given again before the deadline is not spread: nothing would come of that.
 */
export class ToldQuota {
  /** As it was told first. */
  readonly #quota: Quota;
  readonly #windowMs: number | undefined;
  /** The quota, or as much of it as was ever left. */
  #most = 0;
  /** Up to which request of the run the origin takes them, as far as it has told, and the least since it gave more. */
  #taken = 0;
  #leastTaken = Infinity;
  /** The soonest and the latest that the reset told last can be. */
  #soonestMs = 0;
  #latestMs = 0;
  /** In whole seconds, at least one. */
  #longestResetMs = DUE_MS;
  #leastLatencyMs = Infinity;
  /** Of the window that is under way: its first and its last telling, and its reset, which rounding may put off. */
  #fromMs = 0;
  #toldMs = 0;
  #resetMs = Infinity;
  #lastResetMs: number | undefined;
  #seenWindowMs: number | undefined;
  #isFresh = true;
  #isGradual = false;

  constructor(quota: Quota) {
    this.#quota = quota;
    this.#windowMs = windowOf(quota);
  }

  /** Whether another answer tells of this very quota. */
  is({ limit, windowMs }: Quota): boolean {
    return limit === this.#quota.limit && windowMs === this.#quota.windowMs;
  }

  /** Requests a second that are told: Infinity as long as nothing was ever left of a quota of no known size. */
  get perSecond(): number {
    return this.#most < 1 && this.#quota.limit === undefined
      ? Infinity
      : (this.#most * 1_000) / this.#windowOrGuessMs;
  }

  /** Learns what an answer tells that came at `nowMs`, when `sent` requests had been sent. */
  tell({ limit, remaining, resetMs }: Quota, { seq, sentMs }: ToldBy, sent: number, nowMs: number): void {
    // Of a quota that is told as a policy alone, all that this run did not use is left.
    const left = Math.min(remaining ?? Infinity, limit ?? Infinity);
    this.#most = limit ?? Math.max(this.#most, left);
    this.#taken = seq + left;
    if (this.#leastTaken === Infinity) {
      this.#isFresh = this.#taken >= FRESH * this.#most;
      this.#fromMs = sentMs;
    }
    const given = this.#taken - this.#leastTaken;
    // Requests may be counted in another order than they were sent in.
    const isGiven = given > 2 * (sent - seq);
    const isAnew = given >= COME * this.#most && left >= ANEW * this.#most;
    if (isAnew) this.#renew(sentMs);
    else if (isGiven) this.#isGradual = true;
    this.#leastTaken = isAnew || isGiven ? this.#taken : Math.min(this.#leastTaken, this.#taken);
    this.#expectReset(Number(resetMs ?? this.#windowMs), sentMs, nowMs);
  }

  /**
   * Requests that may start in a second, `sent` of them having started and `wanted` being still to come: Infinity where
   * the quota is enough for all, and 0 where it is used up as far as it is known.
   */
  paceOf(sent: number, wanted: number, nowMs: number, deadlineMs: number): number {
    const left = this.#taken - sent;
    if (left >= wanted) return Infinity;
    const evenly = nowMs + this.#windowOrGuessMs > deadlineMs ? Infinity : CEILING * this.perSecond;
    if (this.#isGradual) return evenly;
    if (left < 1) return nowMs < (this.#isGuess ? this.#latestMs : this.#soonestMs) ? 0 : evenly;
    if (nowMs >= this.#soonestMs || this.#soonestMs >= deadlineMs) return evenly;
    return Math.min(evenly, (left * 1_000) / (this.#soonestMs - nowMs));
  }

  /**
   * How many requests of the `sent` since `firstMs` were more than what is told, and are to be made up for: at most a
   * second's, as what is left is spread over longer resets anyway.
   */
  excessOf(sent: number, firstMs: number, nowMs: number): number {
    const windowMs = this.#windowOrGuessMs;
    const activeMs = Math.max(1, nowMs - firstMs);
    const inWindow = sent * Math.min(1, windowMs / activeMs);
    const used = Math.min(inWindow, this.#most - (this.#taken - sent));
    const usedForMs = Math.max(1, Math.min(windowMs, activeMs, nowMs - this.#fromMs));
    return Math.min(used - (this.perSecond * usedForMs) / 1_000, (this.perSecond * DUE_MS) / 1_000);
  }

  get #windowOrGuessMs(): number {
    return this.#windowMs ?? this.#seenWindowMs ?? this.#longestResetMs;
  }

  /** Whether the window may be longer than it is taken for, so that what is used up stays so for longer. */
  get #isGuess(): boolean {
    if (this.#windowMs !== undefined || this.#seenWindowMs !== undefined) return false;
    return !this.#isFresh || this.#longestResetMs > DUE_MS;
  }

  #renew(atMs: number): void {
    // Rounding shows when a second has passed.
    this.#lastResetMs = this.#toldMs - this.#fromMs >= DUE_MS ? this.#resetMs : undefined;
    this.#resetMs = Infinity;
    this.#fromMs = atMs;
    this.#isGradual = false;
    this.#isFresh = true;
  }

  #expectReset(untilMs: number, sentMs: number, nowMs: number): void {
    const isWhole = untilMs % 1_000 === 0;
    this.#leastLatencyMs = Math.min(this.#leastLatencyMs, nowMs - sentMs);
    // A time of day was counted from when the answer came.
    const lastsMs = isWhole ? untilMs : untilMs + this.#leastLatencyMs + SLACK_MS;
    this.#longestResetMs = Math.max(this.#longestResetMs, Math.floor(lastsMs / 1_000) * 1_000);
    this.#soonestMs = sentMs + untilMs - DUE_MS;
    this.#latestMs = nowMs + untilMs + (isWhole ? DUE_MS : SLACK_MS);
    this.#toldMs = sentMs;
    this.#resetMs = Math.min(this.#resetMs, sentMs + untilMs);
    if (this.#lastResetMs === undefined || sentMs - this.#fromMs < DUE_MS) return;
    const windowMs = Math.round((this.#resetMs - this.#lastResetMs) / 1_000) * 1_000;
    // A window in which nothing was sent is not seen.
    if (Math.abs(windowMs - this.#longestResetMs) <= DUE_MS) this.#seenWindowMs = Math.max(DUE_MS, windowMs);
  }
}
