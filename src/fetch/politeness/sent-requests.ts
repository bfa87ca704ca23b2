/** How many are known of: enough for three seconds of a fast origin; of one that is faster still, less is looked at. */
const KEPT = 16_384;

const UNKNOWN = 0;
const TAKEN = 1;
const TURNED_AWAY = 2;

/** How requests are counted. */
export interface Counting {
  /** Whether only those count that were taken: all that are not known to have been turned away. @default true */
  readonly onlyTaken?: boolean;
  /** As how long a span counts at least: more than 0. @default 1 */
  readonly leastMs?: number;
  /** Over how much more time than the span they are spread. @default 0 */
  readonly moreMs?: number;
}

/**
 * The last requests of a run: when each was sent, and whether the origin turned it away. Times are by one clock, which
 * never goes back.
 */
export class SentRequests {
  // Of the request `seq` at `seq % KEPT`: without an object for each request.
  readonly #sentMs = new Float64Array(KEPT);
  readonly #fates = new Uint8Array(KEPT);
  #next = 0;

  /** The number of the request that is sent next. */
  get next(): number {
    return this.#next;
  }

  /** Notes that a request is sent, and gives its number. */
  add(nowMs: number): number {
    const seq = this.#next++;
    this.#sentMs[seq % KEPT] = nowMs;
    this.#fates[seq % KEPT] = UNKNOWN;
    return seq;
  }

  /** Notes what has become of a request. */
  settle(seq: number, isTaken: boolean): void {
    if (this.#next - seq <= KEPT) this.#fates[seq % KEPT] = isTaken ? TAKEN : TURNED_AWAY;
  }

  /** How many of the requests `from` to `to` are known to have been taken. */
  takenOf(from: number, to: number): number {
    let taken = 0;
    for (let seq = Math.max(from, this.#next - KEPT); seq <= to; seq++)
      if (this.#fates[seq % KEPT] === TAKEN) taken += 1;
    return taken;
  }

  /**
   * How many requests a second were sent in the `spanMs` until the request `to`, that one included; over as much of that
   * as is kept, and 0 where nothing is.
   */
  perSecond(to: number, spanMs: number, counting: Counting = {}): number {
    const { onlyTaken = true, leastMs = 1, moreMs = 0 } = counting;
    const untilMs = this.#sentMs[to % KEPT] as number;
    const first = Math.max(this.#next - KEPT, 0);
    let overMs = spanMs;
    let count = 0;
    for (let seq = to; seq >= first; seq--) {
      const agoMs = untilMs - (this.#sentMs[seq % KEPT] as number);
      if (agoMs > spanMs) break;
      if (!onlyTaken || this.#fates[seq % KEPT] !== TURNED_AWAY) count += 1;
      // What was sent before that one is not kept.
      if (seq === first && first > 0) overMs = agoMs;
    }
    return (count * 1_000) / (Math.max(overMs, leastMs) + moreMs);
  }
}
