import { RunConflictError } from '../base/errors.ts';
import { isTailTooShort, readReport } from '../document/document.ts';
import type { OutcomesObject, RunReport } from '../document/run-head.ts';
import { keysOf, type StoreOptions } from './keys.ts';
import { createObjects } from './objects.ts';
import { ifThere } from './s3-error.ts';

/** A run whose document is in the store. */
export interface StoredRun extends RunReport {
  readonly documentBytes: number;
  /** Of the document. */
  readonly etag: string;
}

/** Where documents are kept, by run id; each is written once. */
export interface RunStore {
  /** `s3://bucket/key` */
  location(runId: string): string;
  /**
   * What the document of a run says of it; undefined where there is none. Rejects with StoreError, or with the
   * signal's reason when that aborts.
   */
  find(runId: string, signal: AbortSignal): Promise<StoredRun | undefined>;
  /** The text of a document. Rejects as `find` does, also where there is none. */
  read(runId: string, signal: AbortSignal): Promise<string>;
  /**
   * The text of a document, or of the outcomes that it names, in blocks, each asked for when it is: one is held at a
   * time, and its reader may take as long as it likes. Throws as `find` rejects, also where there is none, and where
   * it changes in the meantime.
   *
   * `start` is the first byte. @default 0
   */
  stream(
    runId: string,
    outcomes: OutcomesObject | undefined,
    signal: AbortSignal,
    start?: number,
  ): AsyncGenerator<Buffer, void, undefined>;
  /**
   * Writes a document as it comes, unless there is one already: resolves with whether it did. Rejects with the very
   * error that `chunks` throws, with StoreError when S3 fails, and with the signal's reason when that aborts: once
   * nothing of the document is left on its way. `chunks` is told to return, but is not waited for.
   */
  write(runId: string, chunks: AsyncIterable<Buffer>, signal: AbortSignal): Promise<boolean>;
  /** Outcomes without a document: a run that began to write, and has not ended, or never will. Rejects as `find`. */
  findOutcomes(runId: string, signal: AbortSignal): Promise<UnfinishedOutcomes | undefined>;
  /**
   * Writes the outcomes of a run, which its document is to name, as `write` does. Undefined where others wrote some
   * since `findOutcomes` found `unfinished`, which gives way to them; `writer` tells theirs from these.
   */
  writeOutcomes(
    runId: string,
    unfinished: UnfinishedOutcomes | undefined,
    writer: string,
    chunks: AsyncIterable<Buffer>,
    signal: AbortSignal,
  ): Promise<OutcomesObject | undefined>;
}

/** By its ETag, which tells whether it is still the same. */
interface UnfinishedOutcomes {
  readonly etag: string;
}

/** Metadata of outcomes: who wrote them. */
const WRITER = 'writer';
/** The first bytes of a document that `find` reads, and the last; more of these where they do not do. */
const START = { Range: 'bytes=0-16383' };
export const FIND_TAIL_BYTES = 65_536;

/** A store in an S3 bucket. */
export function createRunStore({ prefix, ...options }: StoreOptions): RunStore {
  const objects = createObjects(options);
  const keys = (runId: string) => keysOf(prefix, runId);
  const location = (runId: string): string => objects.location(keys(runId).document);

  const findBy = async (
    runId: string,
    tailBytes: number,
    knownStart: string | undefined,
    signal: AbortSignal,
  ): Promise<StoredRun | undefined> => {
    const { document } = keys(runId);
    const object = await ifThere(objects.get(document, signal, { Range: `bytes=-${tailBytes}` }));
    if (!object) return undefined;
    const { bytes, totalBytes, etag } = object;
    const tail = bytes.toString();
    const isWhole = totalBytes <= tailBytes;
    const readStart = async () => (await objects.get(document, signal, START)).bytes.toString();
    const start = await (isWhole ? tail : (knownStart ?? readStart()));
    const report = readReport(start, tail);
    if (report) return { ...report, documentBytes: totalBytes, etag };
    if (isWhole || !isTailTooShort(start, tail))
      throw new RunConflictError(`${location(runId)} exists, and is no document of a run`);
    return findBy(runId, 8 * tailBytes, start, signal);
  };

  return {
    location,
    find: (runId, signal) => findBy(runId, FIND_TAIL_BYTES, undefined, signal),
    async read(runId, signal) {
      return (await objects.get(keys(runId).document, signal)).bytes.toString();
    },
    async *stream(runId, outcomes, signal, start) {
      const { document, outcomes: apart } = keys(runId);
      yield* await objects.stream(outcomes ? apart : document, signal, outcomes?.etag, start);
    },
    async write(runId, chunks, signal) {
      const attributes = { ContentType: 'application/json', IfNoneMatch: '*' };
      return (await objects.upload(keys(runId).document, attributes, chunks, signal)) !== undefined;
    },
    async findOutcomes(runId, signal) {
      const found = await ifThere(objects.head(keys(runId).outcomes, signal), 'NotFound');
      return found && { etag: found.etag };
    },
    async writeOutcomes(runId, unfinished, writer, chunks, signal) {
      const { outcomes } = keys(runId);
      const attributes = {
        ContentType: 'application/x-ndjson',
        Metadata: { [WRITER]: writer },
        ...(unfinished ? { IfMatch: unfinished.etag } : { IfNoneMatch: '*' }),
      };
      const where = { location: objects.location(outcomes) };
      const uploaded = await objects.upload(outcomes, attributes, chunks, signal);
      if (uploaded) return { ...where, bytes: uploaded.bytes, etag: uploaded.etag };
      // They may be our own, which S3 had stored before its answer was lost and the SDK sent them again.
      const found = await ifThere(objects.head(outcomes, signal), 'NotFound');
      if (found?.metadata[WRITER] !== writer) return undefined;
      const { etag, bytes } = found;
      return { ...where, bytes, etag };
    },
  };
}
