import type { RunStore } from './run-store.ts';

/** A store for one run whose document is to go into a reply. */
export interface CopyingStore {
  readonly store: RunStore;
  /**
   * The text of a run's document that was written through `store`, or found by it; undefined where that is too long.
   * Rejects as `RunStore.read` does.
   */
  document(runId: string, signal: AbortSignal): Promise<string | undefined>;
}

/** The same store, which keeps what is written through it of a document that has at most `maxBytes`. */
export function copyDocument(store: RunStore, maxBytes: number): CopyingStore {
  const found = new Map<string, number>();
  let written: string | undefined;
  return {
    store: {
      ...store,
      async find(runId, signal) {
        const stored = await store.find(runId, signal);
        if (stored) found.set(runId, stored.documentBytes);
        return stored;
      },
      async write(runId, chunks, signal) {
        const kept: Buffer[] = [];
        let bytes = 0;
        const passing = async function* (): AsyncGenerator<Buffer> {
          for await (const chunk of chunks) {
            bytes += chunk.length;
            if (bytes <= maxBytes) kept.push(chunk);
            else kept.length = 0;
            yield chunk;
          }
        };
        const isWritten = await store.write(runId, passing(), signal);
        if (isWritten && bytes <= maxBytes) written = Buffer.concat(kept).toString();
        return isWritten;
      },
    },
    async document(runId, signal) {
      const bytes = found.get(runId) ?? Infinity;
      return written ?? (bytes <= maxBytes ? store.read(runId, signal) : undefined);
    },
  };
}
