import { type Claim, claimText, parseClaim } from '../document/claim.ts';
import { keysOf, type StoreOptions } from './keys.ts';
import { createObjects } from './objects.ts';
import { ifThere } from './s3-error.ts';

/** Where the claims of runs are kept, by run id: each is replaced by the next. */
export interface ClaimStore {
  /**
   * The claim of a run; undefined where there is none. Rejects with RunConflictError where something else stands in
   * its place, with StoreError where S3 fails, and with the signal's reason when that aborts.
   */
  read(runId: string, signal: AbortSignal): Promise<StoredClaim | undefined>;
  /**
   * Writes a claim where there is none, or in the place of the one with this ETag: resolves with its own, or with
   * undefined where that is not so (any more). Rejects as `read` does.
   */
  write(claim: Claim, replaced: string | undefined, signal: AbortSignal): Promise<string | undefined>;
  /** Does what may be left undone, while there is time for that, 2 s at most. Never rejects. */
  lastly(work: (signal: AbortSignal) => Promise<unknown>): Promise<void>;
}

export interface StoredClaim {
  readonly claim: Claim;
  readonly etag: string;
}

/** Longer than any claim: what stands there instead may have any length. */
const START = { Range: 'bytes=0-16383' };

/** A store in the bucket of the documents. */
export function createClaimStore({ prefix, ...options }: StoreOptions): ClaimStore {
  const objects = createObjects(options);
  return {
    async read(runId, signal) {
      const stored = await ifThere(objects.get(keysOf(prefix, runId).progress, signal, START));
      return stored && { claim: parseClaim(stored.bytes.toString(), runId), etag: stored.etag };
    },
    async write(claim, replaced, signal) {
      const condition = replaced === undefined ? { IfNoneMatch: '*' } : { IfMatch: replaced };
      const attributes = { ContentType: 'application/json', ...condition };
      const { progress } = keysOf(prefix, claim.runId);
      const text = [Buffer.from(claimText(claim))];
      // One that is to be replaced may be gone.
      return (await ifThere(objects.upload(progress, attributes, text, signal)))?.etag;
    },
    lastly: objects.lastly,
  };
}
