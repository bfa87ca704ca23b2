import { describe, expect, test } from 'vitest';
import { makePartsPage, type PagedParts } from '../../../src/report/parts-page.ts';
import type { PartEntry } from '../../../src/run/parts/run-manifest.ts';
import { readPartsPage, template } from '../../support/page-template.ts';
import { nothingLearned } from '../../support/plain-traffic.ts';

type Stored = Extract<PartEntry, { status: 'stored' }>;

const nameOf = (part: number) => `big.part-${String(part).padStart(6, '0')}`;
const stored = (part: number, more: Partial<Stored> = {}): Stored => ({
  part,
  runId: nameOf(part),
  status: 'stored',
  key: 'k',
  etag: 'e',
  bytes: 1,
  firstIndex: 10 * part,
  requested: 10,
  fulfilled: 10,
  rejected: 0,
  retryable: 0,
  attempts: 11,
  complete: true,
  startedAt: '2026-11-23T06:00:05.000Z',
  durationMs: 7_000,
  ...more,
});
const failed = (part: number): PartEntry => ({
  part,
  runId: nameOf(part),
  status: 'failed',
  code: 'NO_DOCUMENT',
  firstIndex: 10 * part,
  requested: 10,
  redrive: { ids: [1], runId: nameOf(part), part },
});

function report(
  more: { readonly retryable?: number; readonly failed?: number; readonly startedAt?: null } = {},
) {
  const { retryable = 0, failed = 0, startedAt = '2026-11-23T06:00:00.000Z' } = more;
  const summary = {
    startedAt,
    finishedAt: '2026-11-23T06:01:00.000Z',
    requested: 20,
    fulfilled: 20,
    rejected: 0,
    failed: 10 * failed,
    attempts: 22,
    complete: true,
    parts: { total: 2, stored: 2 - failed, failed, incomplete: 0 },
    latencyMs: { p50: null, p90: null, p99: null, max: null },
    learned: nothingLearned,
  };
  return {
    run: { id: 'big', requested: 20, parts: 2, plan: 'p' },
    errors: { total: 0, byCode: {}, retryable },
    summary,
  };
}

const make = (entries: readonly PartEntry[], more: Partial<PagedParts> = {}) =>
  readPartsPage(
    makePartsPage(template, {
      location: 's3://results/runs/big.manifest.json',
      report: report(),
      entries,
      redrive: 'npm run scale -- --redrive big',
      hrefOf: () => null,
      ...more,
    }),
  );

describe('the page of a run of parts', () => {
  test('has what its run manifest says, and a row for each part', () => {
    const entries = [stored(0, { rejected: 2, fulfilled: 8 }), failed(1)];
    const { run, posts } = make(entries, { hrefOf: (part) => `${part}.html` });
    expect(posts).toBeUndefined();
    expect(run).toStrictEqual({
      kind: 'parts',
      location: 's3://results/runs/big.manifest.json',
      ...report(),
      redrive: null,
      parts: [
        {
          runId: nameOf(0),
          firstIndex: 0,
          requested: 10,
          status: 'succeeded',
          fulfilled: 8,
          rejected: 2,
          attempts: 11,
          startedMs: 5_000,
          durationMs: 7_000,
          href: `${nameOf(0)}.html`,
        },
        {
          runId: nameOf(1),
          firstIndex: 10,
          requested: 10,
          status: 'failed',
          code: 'NO_DOCUMENT',
          fulfilled: 0,
          rejected: 0,
          attempts: 0,
          startedMs: null,
          durationMs: null,
          href: null,
        },
      ],
    });
  });

  test('of a run manifest that does not say when its parts ran has no times', () => {
    const { startedAt: _at, durationMs: _ms, ...older } = stored(0);
    const { parts } = make([older]).run;
    expect(parts[0]).toMatchObject({ startedMs: null, durationMs: null });
    expect(make([stored(0)], { report: report({ startedAt: null }) }).run.parts[0]).toMatchObject({
      startedMs: null,
      durationMs: 7_000,
    });
  });

  test.each([
    ['posts are retryable', { retryable: 1 }],
    ['parts failed', { failed: 1 }],
  ])('has the command that redrives it where %s', (_, more) => {
    expect(make([stored(0)], { report: report(more) }).run.redrive).toBe('npm run scale -- --redrive big');
  });

  test('has 10,000 rows at most: parts with failures, and of the others every so many', () => {
    const whole = Array.from({ length: 10_000 }, (_, part) => stored(part));
    expect(make(whole).run.parts).toHaveLength(10_000);
    const more = Array.from({ length: 30_000 }, (_, part) =>
      part === 3 ? failed(3) : stored(part, { rejected: part === 5 ? 1 : 0 }),
    );
    const firsts = make(more).run.parts.map(({ firstIndex }) => firstIndex / 10);
    expect(firsts.slice(0, 5)).toStrictEqual([0, 3, 5, 8, 16]);
    expect(firsts).toHaveLength(2 + 30_000 / 8);
    const failing = Array.from({ length: 1_000_000 }, (_, part) => failed(part));
    expect(make(failing).run.parts.length).toBeLessThanOrEqual(10_000);
  });
});
