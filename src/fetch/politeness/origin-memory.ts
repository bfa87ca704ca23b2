import type { Clock } from '../../base/clock.ts';
import { isRecord } from '../../base/is-record.ts';
import type { Learned } from './learned.ts';

/** What was learned of an origin, and when. */
export interface Finding extends Learned {
  /** ISO 8601. */
  readonly at: string;
}

/** How long what was learned of an origin counts: origins change. */
export const VALID_MS = 3_600_000;

/** What is known beforehand by others than the memory: for one run, as anybody may have written it. */
export interface Before {
  /** What an earlier run with the same share of the origin found. */
  readonly own?: Finding | undefined;
  /** What the origin was found to take in all. */
  readonly whole?: Finding | undefined;
}

const NOTHING: Learned = { perSecond: null, inFlight: null, told: null };

/** The latest that refusals showed, and the latest that quota fields told. */
interface Known {
  readonly shown: {
    readonly learned: Pick<Learned, 'perSecond' | 'inFlight'>;
    readonly atMs: number;
    readonly sharers: number;
  };
  readonly told: { readonly perSecond: number | null; readonly atMs: number };
}

/**
 * What runs have found out of one origin, for the next of them to start from: of findings the latest, for an hour. A run
 * that found nothing takes nothing away, and makes nothing younger.
 *
 * What an origin takes is shared by the parts that are fetched at once. So a part starts from its share of what the
 * origin takes in all; but what a part has found is not multiplied for a run with fewer beside it, as nobody knows
 * how many there were in the end.
 */
export class OriginMemory {
  readonly #clock: Pick<Clock, 'date'>;
  #known: Known = {
    shown: { learned: NOTHING, atMs: -Infinity, sharers: 1 },
    told: { perSecond: null, atMs: -Infinity },
  };

  /** `clock` tells the time of day, which goes on while a function is frozen. */
  constructor(clock: Pick<Clock, 'date'>) {
    this.#clock = clock;
  }

  /** Takes in what was found by one of `sharers` runs that were at the origin at once. */
  note(finding: Finding, sharers: number): void {
    this.#known = withFinding(this.#known, finding, sharers);
  }

  /** What one of `sharers` runs may start from, by what is known beforehand as well. */
  recall(sharers: number, { own, whole }: Before = {}): Learned {
    let known = this.#known;
    if (own) known = withFinding(known, own, sharers);
    if (whole) known = withFinding(known, whole, 1);
    const { shown } = known;
    const { perSecond, inFlight } =
      sharers >= shown.sharers && this.#isValid(shown.atMs) ? shown.learned : NOTHING;
    const told = this.#isValid(known.told.atMs) ? known.told.perSecond : null;
    const shareOf = (figure: number): number => (figure * shown.sharers) / sharers;
    return {
      perSecond: perSecond && shareOf(perSecond),
      inFlight: inFlight && Math.max(1, Math.floor(shareOf(inFlight))),
      told: told && told / sharers,
    };
  }

  /** Clocks differ, so that a time that is yet to come may be one that was. */
  #isValid(atMs: number): boolean {
    return Math.abs(this.#clock.date().getTime() - atMs) <= VALID_MS;
  }
}

function withFinding({ shown, told }: Known, finding: Finding, sharers: number): Known {
  const atMs = Date.parse(finding.at);
  // A refusal of either kind takes back all that refusals have shown before.
  const isShown = finding.perSecond !== null || finding.inFlight !== null;
  return {
    shown: isShown && atMs >= shown.atMs ? { learned: finding, atMs, sharers } : shown,
    told: finding.told !== null && atMs >= told.atMs ? { perSecond: finding.told, atMs } : told,
  };
}

/** What the summary of a stored run says that it learned: nothing where it does not say, or not as we do. */
export function readLearned(summary: object): Learned {
  const learned = 'learned' in summary && isRecord(summary.learned) ? summary.learned : NOTHING;
  const { perSecond, inFlight, told } = learned;
  return { perSecond: rateIn(perSecond), inFlight: rateIn(inFlight), told: rateIn(told) };
}

function rateIn(value: unknown): number | null {
  return isRate(value) ? value : null;
}

/** A number above 0, of requests. */
export function isRate(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0;
}
