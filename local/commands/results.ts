import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { BatchFetcherError } from '../../src/base/errors.ts';
import { parseName } from '../../src/batch/parse-ids.ts';
import type { OutcomeLine } from '../../src/document/outcome-line.ts';
import { parseEntries } from '../../src/run/parts/run-manifest.ts';
import { outcomesOf } from '../../src/run/redrive-chain.ts';
import { createPlanStore } from '../../src/store/plan-store.ts';
import { createRunStore } from '../../src/store/run-store.ts';
import { createS3Client } from '../../src/store/s3.ts';
import { localBucket, storeDirectory } from '../world/plugin.ts';
import { startS3Store } from '../world/s3.ts';
import { lineOf } from './report.ts';
import { asUsageError, UsageError } from './usage.ts';

const usage = 'npm run results -- <runId> [--failed] [--ndjson] [--bucket <bucket> [--prefix runs/]]';

interface Request {
  readonly runId: string;
  /** Only posts that were not fetched. */
  readonly failed: boolean;
  /** JSON Lines, on a terminal as well. */
  readonly ndjson: boolean;
  /** On AWS, by the credentials of the environment; undefined for local runs. */
  readonly bucket: string | undefined;
  readonly prefix: string;
}

async function results(args: readonly string[]): Promise<void> {
  const { runId, failed, ndjson, bucket, prefix } = readArguments(args);
  await using world = new AsyncDisposableStack();
  const client = createS3Client(bucket === undefined ? await startLocalStore(world) : {}, process.env);
  world.defer(() => client.destroy());
  const options = { client, bucket: bucket ?? localBucket, prefix };
  const stopping = new AbortController();
  const lines = linesOf(runId, options, stopping.signal);
  const isForPeople = process.stdout.isTTY && !ndjson;
  const text = Readable.from(textOf(lines, failed, isForPeople), { objectMode: false });
  // Whoever reads may have enough: `| head` say.
  process.stdout.on('error', () => stopping.abort());
  try {
    await pipeline(text, process.stdout, { end: false });
    if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EPIPE')) throw error;
  }
}

function readArguments(args: readonly string[]): Request {
  const options = {
    failed: { type: 'boolean', default: false },
    ndjson: { type: 'boolean', default: false },
    bucket: { type: 'string' },
    prefix: { type: 'string', default: 'runs/' },
  } as const;
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    const [runId, ...more] = positionals;
    if (runId === undefined || more.length > 0)
      throw new UsageError(`Expected one run id, got ${positionals.join(' and ') || 'none'}`);
    return { ...values, bucket: values.bucket, runId: parseName(runId, 'runId') };
  } catch (error) {
    if (error instanceof BatchFetcherError) throw new UsageError(error.message);
    throw asUsageError(error);
  }
}

async function startLocalStore(world: AsyncDisposableStack) {
  const store = await startS3Store({ directory: storeDirectory, buckets: [localBucket] });
  world.defer(() => store.close());
  return {
    endpoint: store.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  };
}

/** The outcomes of a run, or of the parts of one in their order, each with its index in the whole run. */
async function* linesOf(
  runId: string,
  options: Parameters<typeof createRunStore>[0],
  signal: AbortSignal,
): AsyncGenerator<OutcomeLine, void, undefined> {
  const store = createRunStore(options);
  const parts = createPlanStore(options);
  const linesOfRun = async function* (id: string): AsyncGenerator<OutcomeLine, boolean, undefined> {
    const stored = await store.find(id, signal);
    if (!stored) return false;
    yield* outcomesOf({ runId: id, stored }, store, signal);
    return true;
  };
  if (yield* linesOfRun(runId)) return;
  const object = await parts.readRunManifest(runId, signal);
  if (!object) {
    const { bucket, runManifest } = parts.placeOf(runId);
    throw new UsageError(
      `Expected the id of a run, got ${runId}: there is neither ${store.location(runId)} nor s3://${bucket}/${runManifest}`,
    );
  }
  for (const part of parseEntries(object.text, runId)) {
    if (part.status === 'failed') {
      const last = part.firstIndex + part.requested - 1;
      console.error(`Posts ${part.firstIndex} to ${last} are missing: ${part.runId} has no document`);
      process.exitCode = 1;
      continue;
    }
    for await (const line of linesOfRun(part.runId)) yield moved(line, part.firstIndex);
  }
}

/** The same outcome, its index counted on from `firstIndex`; the rest of the line is left as it is. */
function moved(outcome: OutcomeLine, firstIndex: number): OutcomeLine {
  const index = firstIndex + outcome.index;
  const rest = outcome.line.subarray(`{"index":${outcome.index}`.length);
  return { ...outcome, index, line: Buffer.concat([Buffer.from(`{"index":${index}`), rest]) };
}

async function* textOf(
  lines: AsyncIterable<OutcomeLine>,
  failed: boolean,
  isForPeople: boolean,
): AsyncGenerator<Buffer | string, void, undefined> {
  for await (const { line, reason } of lines) {
    if (failed && !reason) continue;
    yield isForPeople ? `${lineOf(JSON.parse(line.toString()))}\n` : Buffer.concat([line, LINE_BREAK]);
  }
}

const LINE_BREAK = Buffer.from('\n');

try {
  await results(process.argv.slice(2));
} catch (error) {
  if (error instanceof UsageError) {
    console.error(`${error.message}. Usage: ${usage}`);
    process.exitCode = 2;
  } else if (error instanceof BatchFetcherError) {
    console.error(error.message);
    process.exitCode = 1;
  } else throw error;
}
