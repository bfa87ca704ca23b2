import type { RunReport } from '../../document/run-head.ts';
import type { FirstError } from '../../document/tally.ts';
import type { ReasonCode } from '../../fetch/outcome.ts';
import {
  type Bounds,
  documentsOf,
  type MergedErrors,
  type MergedSummary,
  type PartEntry,
} from './run-manifest.ts';
import { SharedOrigin } from './shared-origin.ts';

const FIRST_ERRORS = 10;
const NAMED_PARTS = 10;

/** Adds up what the parts of a run came to, in their order. */
export class Merger {
  readonly #count = {
    total: 0,
    stored: 0,
    incomplete: 0,
    fulfilled: 0,
    rejected: 0,
    retryable: 0,
    attempts: 0,
    failedIds: 0,
    documents: 0,
  };
  readonly #byCode: Partial<Record<ReasonCode, number>> = {};
  readonly #first: FirstError[] = [];
  readonly #failedParts: string[] = [];
  readonly #quantiles: Record<'p50' | 'p90' | 'p99' | 'max', Bounds | null> = {
    p50: null,
    p90: null,
    p99: null,
    max: null,
  };
  readonly #origin = new SharedOrigin();
  // Time stamps in ISO 8601, all of one length in UTC, sort as they are.
  #startedAt: string | null = null;
  #finishedAt: string | null = null;

  /** How many documents there are; see `documentsOf`. */
  get documents(): number {
    return this.#count.documents;
  }

  /** `report` is that of the part's document, where it has one. */
  add(entry: PartEntry, report: RunReport | undefined): void {
    const count = this.#count;
    count.total += 1;
    count.documents += documentsOf(entry);
    if (!report || entry.status === 'failed') {
      count.failedIds += entry.requested;
      if (this.#failedParts.length < NAMED_PARTS)
        this.#failedParts.push(entry.runId.slice(entry.runId.lastIndexOf('.') + 1));
      return;
    }
    count.stored += 1;
    count.incomplete += entry.complete ? 0 : 1;
    count.fulfilled += entry.fulfilled;
    count.rejected += entry.rejected;
    count.retryable += entry.retryable;
    count.attempts += entry.attempts;
    const { run, errors, summary } = report;
    for (const [code, times] of Object.entries(errors.byCode) as [ReasonCode, number][])
      this.#byCode[code] = (this.#byCode[code] ?? 0) + times;
    for (const error of errors.first) {
      if (this.#first.length === FIRST_ERRORS) break;
      this.#first.push({ ...error, index: entry.firstIndex + error.index });
    }
    for (const name of ['p50', 'p90', 'p99', 'max'] as const) {
      const value = summary.latencyMs[name];
      if (value === null) continue;
      const { min, max } = this.#quantiles[name] ?? { min: value, max: value };
      this.#quantiles[name] = { min: Math.min(min, value), max: Math.max(max, value) };
    }
    if (this.#startedAt === null || run.startedAt < this.#startedAt) this.#startedAt = run.startedAt;
    if (this.#finishedAt === null || summary.finishedAt > this.#finishedAt)
      this.#finishedAt = summary.finishedAt;
    this.#origin.add(report);
  }

  errors(): MergedErrors {
    const { rejected, retryable } = this.#count;
    return { total: rejected, byCode: this.#byCode, first: this.#first, retryable };
  }

  summary(): MergedSummary {
    const { total, stored, incomplete, fulfilled, rejected, attempts, failedIds } = this.#count;
    const { p50, p90, p99, max } = this.#quantiles;
    return {
      startedAt: this.#startedAt,
      finishedAt: this.#finishedAt,
      requested: fulfilled + rejected + failedIds,
      fulfilled,
      rejected,
      failed: failedIds,
      attempts,
      complete: stored === total && incomplete === 0,
      parts: { total, stored, failed: total - stored, incomplete },
      latencyMs: { p50, p90, p99, max: max?.max ?? null },
      learned: this.#origin.learned(),
    };
  }

  /** The first of the parts that failed, as in `part-000003, part-000017`. */
  failedParts(): string {
    const { total, stored } = this.#count;
    const more = total - stored > this.#failedParts.length ? ', …' : '';
    return this.#failedParts.join(', ') + more;
  }
}
