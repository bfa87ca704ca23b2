import type { Quota } from './quotas.ts';
import { TokenBucket } from './token-bucket.ts';
import { saysPace, type ToldBy, ToldQuota } from './told-quota.ts';

/** Posts besides those that are left, as some are asked for again: this share, and so many. */
const MORE = 1.2;
const AND_MORE = 10;
/** Fields that come with each answer are read so often: to parse them costs more than all else of an answer. */
const READ_EVERY_MS = 10;
/** A quota that so many readings say nothing of is over; and no origin has more than so many. */
const MOST_UNTOLD = 20;
const MOST_QUOTAS = 8;
/** From such a share of the pace on, what was sent before is to be made up for. */
const SLOWER = 0.9;
/** How often to look whether what is used up has been given, while answers are to come. */
const LOOK_EVERY_MS = 100;

interface Told {
  readonly quota: ToldQuota;
  /** The reading that told of it last. */
  reading: number;
}

/**
 * The pace that an origin tells by its quotas: of several, each binds. No pace as long as what is left of them is enough
 * for all that the run still has to ask for. What the run sent before it was told counts as well.
 *
 * A request that is counted takes no memory and the same time whatever was told. Times are milliseconds by one clock.
 */
export class ToldPace {
  readonly #requested: number;
  readonly #deadlineMs: number;
  #told: readonly Told[] = [];
  #readings = 0;
  #readMs = -Infinity;
  #readSeq = 0;
  #sent = 0;
  #firstMs = 0;
  readonly #bucket = new TokenBucket();
  /** What is told, as requests a second, while a quota slows the run down. */
  #pace = Infinity;

  /** For a run that was asked for so many posts. */
  constructor(requested: number, deadlineMs: number) {
    this.#requested = requested;
    this.#deadlineMs = deadlineMs;
  }

  /** Requests that have started. */
  get sent(): number {
    return this.#sent;
  }

  /** The least that is told, as requests a second; undefined where nothing is. */
  get perSecond(): number | undefined {
    const least = this.#leastPerSecond();
    return least < Infinity ? least : undefined;
  }

  /** Whether a quota slows the run down. */
  get isPaced(): boolean {
    return this.#pace < Infinity;
  }

  /** Whether the quotas of an answer are worth to be read. */
  listensTo({ seq }: ToldBy, nowMs: number): boolean {
    if (seq <= this.#readSeq) return false;
    return nowMs - this.#readMs >= READ_EVERY_MS || this.#paceAt(nowMs) === 0;
  }

  /** Learns what an answer tells that comes now. */
  tell(quotas: readonly Quota[], by: ToldBy, nowMs: number): void {
    this.#readMs = nowMs;
    this.#readSeq = by.seq;
    this.#readings += 1;
    for (const quota of quotas) if (saysPace(quota)) this.#quotaOf(quota).tell(quota, by, this.#sent, nowMs);
    const since = this.#readings - MOST_UNTOLD;
    if (this.#told.some(({ reading }) => reading < since))
      this.#told = this.#told.filter(({ reading }) => reading >= since);
    const pace = this.#paceAt(nowMs) < Infinity ? this.#leastPerSecond() : Infinity;
    if (pace < SLOWER * this.#pace) {
      const excesses = this.#told.map(({ quota }) => quota.excessOf(this.#sent, this.#firstMs, nowMs));
      this.#bucket.fill(1 - Math.max(0, ...excesses), nowMs);
    }
    this.#pace = pace;
  }

  /** Counts a request that starts. */
  start(nowMs: number): void {
    if (this.#sent === 0) this.#firstMs = nowMs;
    this.#sent += 1;
    this.#bucket.take();
  }

  /** How long until another request may start, `inFlight` of them being in flight; 0 or less is now. */
  waitMs(nowMs: number, inFlight: number): number {
    if (this.#told.length === 0) return 0;
    const perSecond = this.#paceAt(nowMs);
    // What was sent last may have had no answer, and only an answer can tell more.
    if (perSecond === 0) return inFlight === 0 && this.#sent > this.#readSeq ? 0 : LOOK_EVERY_MS;
    return this.#bucket.waitMs(nowMs, perSecond);
  }

  #leastPerSecond(): number {
    return Math.min(Infinity, ...this.#told.map(({ quota }) => quota.perSecond));
  }

  #paceAt(nowMs: number): number {
    const wanted = Math.max(0, this.#requested - this.#sent) * MORE + AND_MORE;
    let least = Infinity;
    for (const { quota } of this.#told)
      least = Math.min(least, quota.paceOf(this.#sent, wanted, nowMs, this.#deadlineMs));
    return least;
  }

  #quotaOf(told: Quota): ToldQuota {
    let found = this.#told.find(({ quota }) => quota.is(told));
    if (!found) {
      found = { quota: new ToldQuota(told), reading: 0 };
      this.#told = [found, ...this.#told].slice(0, MOST_QUOTAS);
    }
    found.reading = this.#readings;
    return found.quota;
  }
}
