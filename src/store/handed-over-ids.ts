import { createHash } from 'node:crypto';
import { RunConflictError } from '../base/errors.ts';
import { isRecordOf, isText } from '../base/shapes.ts';
import type { IdList } from '../batch/ids.ts';
import { handedOverKey, type StoreOptions } from './keys.ts';
import { createObjects } from './objects.ts';

/** Names ids that stand in an object of their own, by the SHA-256, in hex, of the text that lists them. */
export interface StoredIds {
  readonly sha256: string;
}

/** Where ids are kept that are too long to be handed over with their run, by the run's id. */
export interface HandedOverIds {
  /** Writes ids, unless they are there. Rejects with StoreError, or with the signal's reason when that aborts. */
  write(runId: string, ids: IdList, signal: AbortSignal): Promise<StoredIds>;
  /**
   * The ids as they were written, which are JSON. Rejects as `write` does, also where there are none, and with
   * RunConflictError where something else stands in their place.
   */
  read(runId: string, stored: StoredIds, signal: AbortSignal): Promise<unknown>;
}

export const isStoredIds = isRecordOf<StoredIds>({
  sha256: (value) => isText(value) && /^[0-9a-f]{64}$/.test(value),
});

/** A store in the bucket of the documents. */
export function createHandedOverIds({ prefix, ...options }: StoreOptions): HandedOverIds {
  const objects = createObjects(options);
  return {
    async write(runId, ids, signal) {
      const text = Buffer.from(JSON.stringify(ids));
      const sha256 = hashOf(text);
      const attributes = { ContentType: 'application/json', IfNoneMatch: '*' };
      // What stands there already is the same, by its name.
      await objects.upload(handedOverKey(prefix, runId, sha256), attributes, [text], signal);
      return { sha256 };
    },
    async read(runId, { sha256 }, signal) {
      const key = handedOverKey(prefix, runId, sha256);
      const { bytes } = await objects.get(key, signal);
      if (hashOf(bytes) !== sha256)
        throw new RunConflictError(`${objects.location(key)} is not as it was written`);
      return JSON.parse(bytes.toString());
    },
  };
}

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
