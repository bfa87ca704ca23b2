import { RunConflictError } from '../base/errors.ts';
import { isTailTooShort, readReport } from '../document/document.ts';
import { gzipMembers, readMembers } from '../document/gzip-members.ts';
import type { OutcomesFormat, OutcomesObject, RunReport } from '../document/run-head.ts';
import { keysOf, resultsIn, type StoreOptions } from './keys.ts';
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
   * it changes in the meantime; and RunConflictError where it is compressed, and not whole.
   *
   * `start` is the first byte of the object, where a member starts if it is compressed. @default 0
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
  findOutcomes(
    runId: string,
    format: OutcomesFormat,
    signal: AbortSignal,
  ): Promise<UnfinishedOutcomes | undefined>;
  /**
   * Writes the lines of a run's outcomes, which its document is to name, as `write` does. Undefined where others wrote
   * some since `findOutcomes` found `unfinished`, which gives way to them; `writer` tells theirs from these.
   */
  writeOutcomes(
    runId: string,
    format: OutcomesFormat,
    unfinished: UnfinishedOutcomes | undefined,
    writer: string,
    lines: AsyncIterable<Buffer>,
    signal: AbortSignal,
  ): Promise<OutcomesObject | undefined>;
}

/** By its ETag, which tells whether it is still the same. */
interface UnfinishedOutcomes {
  readonly etag: string;
}

/** Where outcomes by themselves are kept, and how they are coded. */
const FORMATS = {
  ndjson: { key: 'outcomes', attributes: {} },
  'ndjson.gz': { key: 'gzipOutcomes', attributes: { ContentEncoding: 'gzip' } },
} as const;
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
      const results = resultsIn(outcomes);
      const key = keys(runId)[results];
      const blocks = await objects.stream(key, signal, outcomes?.etag, start);
      yield* results === 'gzipOutcomes' ? readMembers(blocks, objects.location(key), signal) : blocks;
    },
    async write(runId, chunks, signal) {
      const attributes = { ContentType: 'application/json', IfNoneMatch: '*' };
      return (await objects.upload(keys(runId).document, attributes, chunks, signal)) !== undefined;
    },
    async findOutcomes(runId, format, signal) {
      const found = await ifThere(objects.head(keys(runId)[FORMATS[format].key], signal), 'NotFound');
      return found && { etag: found.etag };
    },
    async writeOutcomes(runId, format, unfinished, writer, lines, signal) {
      const outcomes = keys(runId)[FORMATS[format].key];
      const chunks = format === 'ndjson.gz' ? gzipMembers(lines) : lines;
      const attributes = {
        ContentType: 'application/x-ndjson',
        ...FORMATS[format].attributes,
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
