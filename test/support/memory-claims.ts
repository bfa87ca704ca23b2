import { type Claim, claimText, parseClaim } from '../../src/document/claim.ts';
import type { ClaimStore } from '../../src/store/claim-store.ts';

/** Claims in memory, under the conditions of S3, and what was asked of it. */
export class MemoryClaims implements ClaimStore {
  readonly asked: string[] = [];
  readonly #objects = new Map<string, { readonly text: string; readonly etag: string }>();
  #writes = 0;

  async read(runId: string) {
    this.asked.push('read');
    const object = this.#objects.get(runId);
    return object && { claim: parseClaim(object.text, runId), etag: object.etag };
  }

  async write(claim: Claim, replaced: string | undefined, signal: AbortSignal) {
    this.asked.push(replaced === undefined ? 'write' : 'replace');
    signal.throwIfAborted();
    if (this.#objects.get(claim.runId)?.etag !== replaced) return undefined;
    return this.put(claim);
  }

  async lastly(work: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
    await work(new AbortController().signal).catch(() => {});
  }

  /** The claim that stands there. */
  claimOf(runId: string): Claim | undefined {
    const object = this.#objects.get(runId);
    return object && JSON.parse(object.text);
  }

  /** Puts a claim there behind everybody's back. */
  put(claim: Claim): string {
    const etag = `"claim-${++this.#writes}"`;
    this.#objects.set(claim.runId, { text: claimText(claim), etag });
    return etag;
  }

  remove(runId: string): void {
    this.#objects.delete(runId);
  }
}
