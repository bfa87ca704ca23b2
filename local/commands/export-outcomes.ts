import { once } from 'node:events';
import { fstatSync } from 'node:fs';
import { resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { callerDirectory } from './command.ts';
import { FORMATS, type FormatName } from './formats/format.ts';
import type { RunLine } from './formats/rows.ts';
import { barOf, describeDone, keepProgressLine, type Progress, type Terminal } from './progress.ts';
import { count, describeOutcome, parseOutcome } from './report.ts';
import { writeWhole } from './write-whole.ts';

/** Told of what is read. */
export interface ReadListener {
  /** How many posts the run has. */
  found(posts: number): void;
  /** What whoever reads the outcomes should know besides. */
  said(line: string): void;
}

export interface ExportOptions {
  /** Whether only posts are written that were not fetched. */
  readonly failed: boolean;
  /** @default for people on a terminal, else ndjson */
  readonly format: FormatName | undefined;
  /** The file, from the folder that the user is in. @default standard output */
  readonly out: string | undefined;
  /** Where it is shown how far that is, if it is a terminal and the outcomes go into a file. */
  readonly progress: Terminal & { readonly isTTY?: boolean };
}

/**
 * Writes outcomes as they are read. Rejects as `writeWhole`
 * does, with what `read` throws, and with what standard output ends with.
 */
export async function exportOutcomes(
  read: (listener: ReadListener) => AsyncIterable<RunLine>,
  { failed, format, out, progress }: ExportOptions,
  signal: AbortSignal,
): Promise<void> {
  const so = { posts: 0, read: 0, failed: 0, written: 0, startMs: performance.now() };
  const isIntoFile = out !== undefined || fstatSync(process.stdout.fd).isFile();
  const line = isIntoFile && progress.isTTY ? keepProgressLine(progress, () => describe(so)) : undefined;
  const listener: ReadListener = {
    found: (posts) => {
      so.posts = posts;
    },
    said: line?.say ?? console.error,
  };
  const lines = counted(read(listener), failed, so);
  try {
    if (out === undefined) await print(lines, format);
    else await writeWhole(resolve(callerDirectory, out), FORMATS[format ?? 'ndjson'](lines), signal);
  } finally {
    line?.stop();
  }
  if (out !== undefined) console.log(`${count(so.written, 'outcome')} in ${out}`);
}

/** How far the outcomes are read. */
interface ReadSoFar {
  posts: number;
  read: number;
  failed: number;
  written: number;
  readonly startMs: number;
}

function describe({ posts, read, failed, startMs }: ReadSoFar): Progress | undefined {
  if (posts === 0) return undefined;
  const done = describeDone({ done: read, total: posts, failed, ms: performance.now() - startMs });
  return { ...done, text: `${barOf(read, posts)} ${done.text}` };
}

async function* counted(
  lines: AsyncIterable<RunLine>,
  failed: boolean,
  so: ReadSoFar,
): AsyncGenerator<RunLine, void, undefined> {
  for await (const line of lines) {
    // Outcomes of parts may be missing before it.
    so.read = line.index + 1;
    if (line.reason) so.failed += 1;
    if (failed && !line.reason) continue;
    so.written += 1;
    yield line;
  }
}

async function print(lines: AsyncIterable<RunLine>, format: FormatName | undefined): Promise<void> {
  const { stdout } = process;
  const isForPeople = format === undefined && stdout.isTTY;
  const text = isForPeople ? textOf(lines) : FORMATS[format ?? 'ndjson'](lines);
  await pipeline(Readable.from(text, { objectMode: false }), stdout, { end: false });
  if (stdout.writableNeedDrain) await once(stdout, 'drain');
}

async function* textOf(lines: AsyncIterable<RunLine>): AsyncGenerator<string, void, undefined> {
  for await (const { line } of lines) yield `${describeOutcome(parseOutcome(line))}\n`;
}
