import { Readable } from 'node:stream';
import { type Claim, claimOf, claimText } from '../../../src/document/claim.ts';
import { documentWithout } from '../../../src/document/document.ts';
import { gzipMembers } from '../../../src/document/gzip-members.ts';
import type { OutcomesFormat } from '../../../src/document/run-head.ts';
import type { AnswerPorts } from '../../../src/lambda/answer-read.ts';
import type { WritePorts } from '../../../src/lambda/write-page.ts';
import { cutIntoParts, partLine } from '../../../src/run/parts/parts.ts';
import { createClaimStore } from '../../../src/store/claim-store.ts';
import { createPageStore } from '../../../src/store/page-store.ts';
import { createPlanStore } from '../../../src/store/plan-store.ts';
import { createResultUrls } from '../../../src/store/result-urls.ts';
import { createRunNames } from '../../../src/store/run-names.ts';
import { createRunPieces } from '../../../src/store/run-pieces.ts';
import { createRunStore } from '../../../src/store/run-store.ts';
import { olderText } from '../../support/older-text.ts';
import { type Result, type StoredTexts, storedRun } from '../../support/stored-run.ts';
import { type StoreWorld, storeWorld } from '../store/world.ts';

/** S3 with what runs leave in it, and what reads it. */
export interface ReadingWorld {
  readonly s3: StoreWorld;
  /** `maxKeys`: of a page of names. */
  ports(maxKeys?: number): AnswerPorts & WritePorts;
  /** The time of the ports' clock, so many seconds later. */
  dateIn(seconds: number): Date;
  putDocument(runId: string, results: readonly Result[]): Promise<StoredTexts>;
  /** The same with its outcomes by themselves. */
  putOutcomesApart(runId: string, results: readonly Result[]): Promise<StoredTexts>;
  /** The same as an earlier version wrote it. */
  putOlder(runId: string, results: readonly Result[]): Promise<Pick<StoredTexts, 'lines'>>;
  /** The same with these compressed, in members of 20 KB. */
  putGzipOutcomes(runId: string, results: readonly Result[]): Promise<StoredTexts>;
  /** `agoSeconds`: how long ago it was written. */
  putClaim(
    runId: string,
    state: 'accepted' | 'running',
    agoSeconds: number,
    more?: Partial<Claim>,
  ): Promise<Claim>;
  /** Of 25 ids in parts of ten. */
  putPlan(runId: string): Promise<void>;
  putRunManifest(
    runId: string,
    more?: { readonly failed?: number; readonly parts?: number },
  ): Promise<string>;
}

const MEMBER_BYTES = 20_000;

/** To be called once in a file, outside of its tests. */
export function readingWorld(): ReadingWorld {
  const s3 = storeWorld();
  const dateIn = (seconds: number): Date => new Date(s3.clock.date().getTime() + 1_000 * seconds);
  const putApart = async (
    runId: string,
    results: readonly Result[],
    format: OutcomesFormat,
    textOf = (text: string) => text,
  ): Promise<StoredTexts> => {
    const { report, outcomes: written, ...stored } = await storedRun(runId, results);
    const outcomes = textOf(written);
    const text = Readable.from([Buffer.from(outcomes)]);
    const object = Buffer.concat(
      await Array.fromAsync(format === 'ndjson' ? text : gzipMembers(text, MEMBER_BYTES)),
    );
    const key = `runs/${runId}.${format}`;
    await s3.put(key, object, format === 'ndjson' ? {} : { 'content-encoding': 'gzip' });
    const { etag } = await headOf(`${s3.real.endpoint}/results/${key}`);
    const apart = { location: `s3://results/${key}`, bytes: object.length, etag };
    const { run, errors, summary } = report;
    await s3.put(`runs/${runId}.json`, textOf(documentWithout({ run, outcomes: apart, errors, summary })));
    return { ...stored, outcomes, report: { run, outcomes: apart, errors, summary } };
  };
  return {
    s3,
    dateIn,
    ports(maxKeys) {
      const options = s3.optionsOf(s3.client);
      return {
        store: createRunStore(options),
        pieces: createRunPieces(options),
        claims: createClaimStore(options),
        plans: createPlanStore(options),
        names: createRunNames(options, maxKeys),
        urls: createResultUrls(options),
        pages: createPageStore(options),
        redriver: { apiBasePath: '' },
        clock: s3.clock,
      };
    },
    async putDocument(runId, results) {
      const stored = await storedRun(runId, results);
      await s3.put(`runs/${runId}.json`, stored.document);
      return stored;
    },
    putOutcomesApart: (runId, results) => putApart(runId, results, 'ndjson'),
    putGzipOutcomes: (runId, results) => putApart(runId, results, 'ndjson.gz'),
    async putOlder(runId, results) {
      const { lines } = await putApart(runId, results, 'ndjson', olderText);
      return { lines: lines.map(olderText) };
    },
    async putClaim(runId, state, agoSeconds, more) {
      const { report } = await storedRun(runId, []);
      const claim = { ...claimOf(report.run, state, dateIn(-agoSeconds)), ...more };
      await s3.put(`runs/${runId}.progress.json`, claimText(claim));
      return claim;
    },
    async putPlan(runId) {
      const lines = [...cutIntoParts(runId, [{ from: 1, to: 25 }], 10)].map(partLine);
      await s3.put(`runs/plans/${runId}.jsonl`, lines.join(''));
    },
    async putRunManifest(runId, { failed = 0, parts: total = 3 } = {}) {
      const text = runManifestOf(runId, total, failed);
      await s3.put(`runs/${runId}.manifest.json`, text);
      return text;
    },
  };
}

async function headOf(url: string): Promise<{ readonly etag: string }> {
  const { headers } = await fetch(url, { method: 'HEAD' });
  return { etag: headers.get('etag') ?? '' };
}

function runManifestOf(runId: string, total: number, failed: number): string {
  const parts = Array.from({ length: total }, (_, part) => ({
    part,
    runId: `${runId}.part-${String(part).padStart(6, '0')}`,
    firstIndex: 10 * part,
    requested: 10,
    ...(part < failed
      ? { status: 'failed', code: 'NO_DOCUMENT', redrive: { ids: [1], runId: 'r', part } }
      : {
          status: 'stored',
          key: `runs/${runId}.json`,
          etag: '"e"',
          bytes: 1,
          fulfilled: 10,
          rejected: 0,
          retryable: 0,
          attempts: 10,
          complete: true,
        }),
  }));
  const requested = 10 * total;
  const summary = {
    startedAt: '2026-11-23T06:00:00.000Z',
    finishedAt: '2026-11-23T06:01:00.000Z',
    requested,
    fulfilled: requested - 10 * failed,
    rejected: 0,
    failed: 10 * failed,
    attempts: requested,
    complete: failed === 0,
    parts: { total, stored: total - failed, failed, incomplete: 0 },
    latencyMs: { p50: null, p90: null, p99: null, max: null },
    learned: { perSecond: null, inFlight: null, told: null },
  };
  const run = { id: runId, requested, parts: total, plan: `runs/plans/${runId}.jsonl` };
  const errors = { total: 0, byCode: {}, first: [], retryable: 0 };
  const lines = parts.map((part) => JSON.stringify(part)).join(',\n');
  return `{"version":1,\n"run":${JSON.stringify(run)},\n"parts":[\n${lines}\n],\n"errors":${JSON.stringify(errors)},\n"summary":${JSON.stringify(summary)}}\n`;
}
