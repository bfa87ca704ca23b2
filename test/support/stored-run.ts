import { Readable } from 'node:stream';
import { hashIds } from '../../src/batch/ids.ts';
import { countRepeats } from '../../src/batch/repeats.ts';
import { type Outcome, writeDocument, writeOutcomes } from '../../src/document/document.ts';
import type { RunHead, RunReport } from '../../src/document/run-head.ts';
import { Tally } from '../../src/document/tally.ts';
import { PostError, type Reason, type ReasonCode } from '../../src/fetch/outcome.ts';
import { plainReport } from './plain-traffic.ts';

/** What came of a post: the value that was sent, or why there is none. */
export type Result = { readonly value: string } | { readonly code: 'NOT_FOUND' | 'TIMEOUT' };

/** The texts that a run leaves, as runs write them. */
export interface StoredTexts {
  readonly report: RunReport;
  readonly document: string;
  /** The outcomes by themselves. */
  readonly outcomes: string;
  /** Those of the outcomes, as they stand in the document, without what stands between them. */
  readonly lines: readonly string[];
}

/** The texts of a run of posts 0, 1, 2, … with these results. */
export async function storedRun(runId: string, results: readonly Result[]): Promise<StoredTexts> {
  const ids = results.map((_, index) => index);
  const run: RunHead = {
    id: runId,
    trigger: 'api',
    requestId: `request of ${runId}`,
    startedAt: '2026-11-23T06:00:00.000Z',
    urlTemplate: 'https://example.com/posts/{id}',
    returnExceptions: true,
    requested: ids.length,
    idsSha256: hashIds(ids),
  };
  const tally = new Tally(countRepeats(ids));
  const report = (): RunReport => ({
    run,
    errors: tally.errors(),
    summary: { ...tally.summary(new Date('2026-11-23T06:00:01.000Z'), 1_000), ...plainReport(3, 5, 10) },
  });
  const each = () => Readable.from(results.map(outcomeOf));
  const document = await textOf(writeDocument(run, ids, each(), tally, report));
  const outcomes = await textOf(writeOutcomes(runId, ids, each(), new Tally(countRepeats(ids))));
  const owned = outcomes.split('\n').slice(0, -1);
  const lines = owned.map((line) => line.replace(`{"runId":"${runId}",`, '{'));
  return { report: report(), document, outcomes, lines };
}

function outcomeOf(result: Result, id: number): Outcome {
  const times = { attempts: 1, startedMs: 3, durationMs: 41, waitedMs: 0 };
  if ('value' in result)
    return { status: 'fulfilled', value: { ...times, httpStatus: 200, value: Buffer.from(result.value) } };
  const reason = new PostError(id, reasonOf(result.code, id), {
    ...times,
    httpStatus: result.code === 'NOT_FOUND' ? 404 : null,
  });
  return { status: 'rejected', reason };
}

function reasonOf(code: ReasonCode, id: number): Reason {
  return code === 'NOT_FOUND'
    ? { code, message: `No data for post ${id}`, retryable: false }
    : { code, message: `Post ${id} took longer than 5 s`, retryable: true };
}

async function textOf(chunks: AsyncIterable<Buffer>): Promise<string> {
  return Buffer.concat(await Array.fromAsync(chunks)).toString();
}
