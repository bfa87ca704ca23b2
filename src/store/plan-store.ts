import { createHash } from 'node:crypto';
import { RunConflictError } from '../base/errors.ts';
import { eachLine } from '../base/lines.ts';
import { ChunkWriter } from '../document/chunk-writer.ts';
import { keysOf, type RunKeys, type StoreOptions } from './keys.ts';
import { createObjects } from './objects.ts';
import { ifThere } from './s3-error.ts';

/** Where the parts of a run, and what became of them, are kept, by the run's id. */
export interface PlanStore {
  placeOf(runId: string): RunKeys & { readonly bucket: string };
  /**
   * Writes the parts, a line each, once: where the same are there, which takes `lines` a second time, does nothing.
   * Rejects with RunConflictError where others are, with StoreError where S3 fails, and with the signal's reason when
   * that aborts.
   */
  writePlan(runId: string, lines: () => Iterable<string>, signal: AbortSignal): Promise<void>;
  /** The lines that `writePlan` wrote, without their ends; undefined where it did not. Rejects as it does. */
  readPlan(runId: string, signal: AbortSignal): Promise<AsyncIterable<string> | undefined>;
  /** The run manifest; undefined where there is none. */
  readRunManifest(
    runId: string,
    signal: AbortSignal,
  ): Promise<{ readonly text: string; readonly etag: string } | undefined>;
  /** The last of these lines, which knows how many there are before it; undefined where there are none. */
  readPlanEnd(runId: string, signal: AbortSignal): Promise<string | undefined>;
  /** The end of the run manifest, its summary at least; undefined where there is none. */
  readRunManifestEnd(runId: string, signal: AbortSignal): Promise<string | undefined>;
  /** The text of the run manifest up to its parts at least, and from behind them; undefined where there is none. */
  readRunManifestEnds(runId: string, signal: AbortSignal): Promise<RunManifestEnds | undefined>;
  /** Writes a run manifest in the place of the one with this ETag, or of none. Resolves with whether that was still so. */
  writeRunManifest(
    runId: string,
    text: string,
    etag: string | undefined,
    signal: AbortSignal,
  ): Promise<boolean>;
}

/** A run manifest without its parts, which may be many. Where it is short, either end is all of it. */
interface RunManifestEnds {
  readonly start: string;
  readonly end: string;
  readonly etag: string;
  /** Of all of it. */
  readonly bytes: number;
}

/** Above what a summary takes, whatever the number of parts. */
const END = { Range: 'bytes=-16384' };
/** The same with the errors before it. */
const LONG_END = { Range: 'bytes=-32768' };
/** Above what the head takes, which names a key. */
const START = { Range: 'bytes=0-2047' };
/** Above what a part takes. */
const PLAN_END = { Range: 'bytes=-262144' };

/** A store in the bucket of the documents. */
export function createPlanStore({ prefix, ...options }: StoreOptions): PlanStore {
  const objects = createObjects(options);
  const keys = (runId: string) => keysOf(prefix, runId);
  return {
    placeOf: (runId) => ({ bucket: options.bucket, ...keys(runId) }),
    async writePlan(runId, lines, signal) {
      const { plan } = keys(runId);
      const attributes = { ContentType: 'application/x-ndjson', IfNoneMatch: '*' };
      if (await objects.upload(plan, attributes, bytesOf(lines()), signal)) return;
      const stored = await ifThere(objects.stream(plan, signal));
      if (!stored || (await sha256(stored)) !== (await sha256(bytesOf(lines()))))
        throw new RunConflictError(
          `The runId ${runId} names an earlier run of other ids, or in parts of another size`,
        );
    },
    async readPlan(runId, signal) {
      const stored = await ifThere(objects.stream(keys(runId).plan, signal));
      return stored && textOf(eachLine(stored));
    },
    async readPlanEnd(runId, signal) {
      const end = await ifThere(objects.get(keys(runId).plan, signal, PLAN_END));
      return end?.bytes.toString().trimEnd().split('\n').at(-1);
    },
    async readRunManifest(runId, signal) {
      const stored = await ifThere(objects.get(keys(runId).runManifest, signal));
      return stored && { text: stored.bytes.toString(), etag: stored.etag };
    },
    async readRunManifestEnd(runId, signal) {
      const end = await ifThere(objects.get(keys(runId).runManifest, signal, END));
      return end?.bytes.toString();
    },
    async readRunManifestEnds(runId, signal) {
      const { runManifest } = keys(runId);
      const last = await ifThere(objects.get(runManifest, signal, LONG_END));
      if (!last) return undefined;
      const { etag, totalBytes: bytes } = last;
      const end = last.bytes.toString();
      // It may be replaced by a later one in between.
      const first =
        bytes > last.bytes.length && (await objects.get(runManifest, signal, { ...START, IfMatch: etag }));
      return { start: first ? first.bytes.toString() : end, end, etag, bytes };
    },
    async writeRunManifest(runId, text, etag, signal) {
      const condition = etag === undefined ? { IfNoneMatch: '*' } : { IfMatch: etag };
      const attributes = { ContentType: 'application/json', ...condition };
      return Boolean(await objects.upload(keys(runId).runManifest, attributes, [Buffer.from(text)], signal));
    },
  };
}

function* bytesOf(lines: Iterable<string>): Generator<Buffer, void, undefined> {
  const writer = new ChunkWriter();
  for (const line of lines) {
    writer.text(line);
    yield* writer.take();
  }
  yield* writer.take(true);
}

async function* textOf(lines: AsyncIterable<Buffer>): AsyncGenerator<string, void, undefined> {
  for await (const line of lines) yield line.toString();
}

async function sha256(chunks: Iterable<Buffer> | AsyncIterable<Buffer>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest('hex');
}
