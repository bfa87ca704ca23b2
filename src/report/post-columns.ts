import type { Id } from '../batch/ids.ts';
import type { OutcomeLine } from '../document/outcome-line.ts';
import type { FetchRecord } from '../fetch/outcome.ts';
import type { PostColumns } from './page-data.ts';
import { RunCourse } from './run-course.ts';

/** How many rows there are at most, and how long their messages. */
export interface RowBounds {
  /** Posts that are shown whatever came of them: of a longer run every second one, fourth, and so on. @default 100_000 */
  readonly posts?: number;
  /** Failures besides these, the first ones: a reader of more filters the document. @default 25_000 */
  readonly failures?: number;
  /** Characters of a message. @default all that the document has */
  readonly messageChars?: number;
}

interface Row {
  readonly index: number;
  readonly id: Id;
  readonly record: FetchRecord;
  /** As in the columns. */
  readonly code: number;
  /** '' where the post was fetched. */
  readonly message: string;
  readonly retryable: boolean;
}

const POSTS = 100_000;
const FAILURES = 25_000;
/** What messages of ordinary failures hardly come to; those behind it are short. */
const MESSAGES_CHARS = 16 * 1024 * 1024;
const SHORT_CHARS = 40;

/**
 * Collects the posts of a run by columns as their outcomes come, in the order of the results. What it holds has bounds,
 * however many there are, as `RowBounds` says: bins and latency count them all.
 */
export class PostCollector {
  #bounds: Required<RowBounds>;
  readonly #codes: string[] = [];
  readonly #course = new RunCourse();
  readonly #latency: number[] = [];
  #rows: Row[] = [];
  #step = 1;
  #onGrid = 0;
  #others = 0;
  #messagesChars = 0;

  constructor({ posts = POSTS, failures = FAILURES, messageChars = Infinity }: RowBounds = {}) {
    this.#bounds = { posts, failures, messageChars };
  }

  add({ index, id, record, reason }: OutcomeLine): void {
    this.#course.add(record, reason !== undefined);
    if (record.durationMs !== null) this.#countLatency(record.durationMs);
    const code = reason ? this.#codeOf(reason.code) : 0;
    if (!this.#hasRoom(index, code)) return;
    const message = reason ? this.#shortened(reason.message) : '';
    this.#put({ index, id, record, code, message, retryable: reason?.retryable ?? false });
    this.#thin();
  }

  /** Fewer rows, or shorter messages, than were collected. */
  reduceTo({ posts, failures, messageChars }: Required<RowBounds>): void {
    this.#bounds = { posts, failures, messageChars };
    this.#rows = this.#rows.map((row) => ({ ...row, message: clip(row.message, messageChars) }));
    this.#choose(this.#step);
    this.#thin();
  }

  columns(): PostColumns {
    const rows = this.#rows;
    const isWhole = rows.every(({ index }, place) => index === place);
    const rejected = rows.filter(({ code }) => code > 0);
    return {
      codes: this.#codes,
      ...(!isWhole && { index: rows.map(({ index }) => index) }),
      id: rows.map(({ id }) => id),
      code: rows.map(({ code }) => code),
      httpStatus: rows.map(({ record }) => record.httpStatus ?? 0),
      attempts: rows.map(({ record }) => record.attempts),
      startedMs: rows.map(({ record }) => record.startedMs ?? -1),
      durationMs: rows.map(({ record }) => record.durationMs ?? -1),
      waitedMs: rows.map(({ record }) => record.waitedMs ?? -1),
      hedged: rows.flatMap(({ record }, place) => (record.hedged ? [place] : [])),
      messages: rejected.map(({ message }) => message),
      retryable: rejected.map(({ retryable }) => (retryable ? 1 : 0)),
      bins: this.#course.bins(),
      latency: Array.from(this.#latency, (posts) => posts ?? 0),
    };
  }

  #codeOf(code: string): number {
    const known = this.#codes.indexOf(code) + 1;
    return known > 0 ? known : this.#codes.push(code);
  }

  #hasRoom(index: number, code: number): boolean {
    return index % this.#step === 0 || (code > 0 && this.#others < this.#bounds.failures);
  }

  #put(row: Row): void {
    if (row.index % this.#step === 0) this.#onGrid += 1;
    else this.#others += 1;
    this.#rows.push(row);
  }

  #thin(): void {
    while (this.#onGrid > this.#bounds.posts) this.#choose(2 * this.#step);
  }

  #choose(step: number): void {
    const rows = this.#rows;
    this.#step = step;
    [this.#rows, this.#onGrid, this.#others] = [[], 0, 0];
    for (const row of rows) if (this.#hasRoom(row.index, row.code)) this.#put(row);
  }

  #shortened(message: string): string {
    const { messageChars } = this.#bounds;
    const isFull = this.#messagesChars > MESSAGES_CHARS;
    const kept = clip(message, isFull ? Math.min(SHORT_CHARS, messageChars) : messageChars);
    this.#messagesChars += kept.length;
    return kept;
  }

  #countLatency(durationMs: number): void {
    const bin = latencyBin(durationMs);
    this.#latency[bin] = (this.#latency[bin] ?? 0) + 1;
  }
}

/** See `PostColumns`. */
const BINS_PER_DECADE = 20;

function latencyBin(ms: number): number {
  return ms < 1 ? 0 : Math.floor(BINS_PER_DECADE * Math.log10(ms));
}

/** With `…` for what was cut off, and never half of a character. */
function clip(text: string, maxChars: number): string {
  return text.length > maxChars ? `${text.slice(0, maxChars - 1).toWellFormed()}…` : text;
}
