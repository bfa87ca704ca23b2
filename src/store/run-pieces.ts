import { RunConflictError } from '../base/errors.ts';
import { type RunBrief, readBrief } from '../document/document.ts';
import type { OutcomesObject } from '../document/run-head.ts';
import { keysOf, resultsIn, type StoreOptions } from './keys.ts';
import { createObjects } from './objects.ts';
import { ifThere } from './s3-error.ts';

/** Little of what a run has left, whatever the size of that. */
export interface RunPieces {
  /**
   * What the document of a run says of it in a few words; undefined where there is none. Rejects with RunConflictError
   * where something else stands in its place, with StoreError where S3 fails, and with the signal's reason when that
   * aborts.
   */
  findBrief(runId: string, signal: AbortSignal): Promise<RunBrief | undefined>;
  /**
   * So many bytes of a document, or of the object that it names, as they are stored, from the byte `start` on, or fewer where it ends.
   * Rejects with StoreError, also where there is none.
   */
  readPiece(
    runId: string,
    outcomes: OutcomesObject | undefined,
    start: number,
    bytes: number,
    signal: AbortSignal,
  ): Promise<Buffer>;
}

/** More than the head of a run takes, and than the line of a summary. */
const START = { Range: 'bytes=0-16383' };
const END = { Range: 'bytes=-16384' };

/** Pieces of what stands in the bucket of the documents. */
export function createRunPieces({ prefix, ...options }: StoreOptions): RunPieces {
  const objects = createObjects(options);
  return {
    async findBrief(runId, signal) {
      const { document } = keysOf(prefix, runId);
      const last = await ifThere(objects.get(document, signal, END));
      if (!last) return undefined;
      const isWhole = last.totalBytes === last.bytes.length;
      const first = await (isWhole ? last : objects.get(document, signal, START));
      const brief = readBrief(first.bytes.toString(), last.bytes.toString());
      if (!brief)
        throw new RunConflictError(`${objects.location(document)} exists, and is no document of a run`);
      return brief;
    },
    async readPiece(runId, outcomes, start, bytes, signal) {
      const key = keysOf(prefix, runId)[resultsIn(outcomes)];
      const conditions = { Range: `bytes=${start}-${start + bytes - 1}`, IfMatch: outcomes?.etag };
      const piece = await objects.get(key, signal, conditions);
      return piece.bytes;
    },
  };
}
