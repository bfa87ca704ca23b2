import { expect } from 'vitest';
import { readReport } from '../../src/document/document.ts';
import type { OutcomesFormat } from '../../src/document/run-head.ts';
import type { RunStore } from '../../src/store/run-store.ts';

/** Documents in memory, and what was asked of it. */
export class MemoryStore implements RunStore {
  readonly documents = new Map<string, string>();
  /** Those that are objects by themselves, as the text that they are, in whatever format. */
  readonly outcomes = new Map<string, string>();
  readonly asked: string[] = [];

  location(runId: string): string {
    return `s3://results/runs/${runId}.json`;
  }

  async find(runId: string) {
    this.asked.push('find');
    const text = this.documents.get(runId);
    const report = text === undefined ? undefined : readReport(text, text);
    return text && report
      ? { ...report, documentBytes: Buffer.byteLength(text), etag: '"document"' }
      : undefined;
  }

  async read(runId: string): Promise<string> {
    this.asked.push('read');
    return this.documents.get(runId) ?? expect.fail('There is no document');
  }

  async *stream(
    runId: string,
    outcomes: object | undefined,
    _signal: AbortSignal,
    start = 0,
  ): AsyncGenerator<Buffer, void, undefined> {
    this.asked.push('stream');
    const text = outcomes ? this.outcomes.get(runId) : this.documents.get(runId);
    yield Buffer.from(text ?? expect.fail('There is no such object')).subarray(start);
  }

  async write(runId: string, chunks: AsyncIterable<Buffer>, _signal: AbortSignal): Promise<boolean> {
    this.asked.push('write');
    return this.#put(this.documents, runId, chunks);
  }

  async findOutcomes(runId: string) {
    this.asked.push('findOutcomes');
    return this.outcomes.has(runId) ? { etag: '"earlier"' } : undefined;
  }

  async writeOutcomes(
    runId: string,
    format: OutcomesFormat,
    unfinished: object | undefined,
    _writer: string,
    chunks: AsyncIterable<Buffer>,
    _signal: AbortSignal,
  ) {
    this.asked.push('writeOutcomes');
    if (unfinished) this.outcomes.delete(runId);
    if (!(await this.#put(this.outcomes, runId, chunks))) return undefined;
    const bytes = Buffer.byteLength(this.outcomes.get(runId) ?? '');
    return { location: `s3://results/runs/${runId}.${format}`, bytes, etag: '"outcomes"' };
  }

  async #put(objects: Map<string, string>, runId: string, chunks: AsyncIterable<Buffer>): Promise<boolean> {
    const written: Buffer[] = [];
    for await (const chunk of chunks) written.push(chunk);
    if (objects.has(runId)) return false;
    objects.set(runId, Buffer.concat(written).toString());
    return true;
  }
}
