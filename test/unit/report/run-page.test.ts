import { describe, expect, test } from 'vitest';
import type { OutcomeLine } from '../../../src/document/outcome-line.ts';
import type { RunReport } from '../../../src/document/run-head.ts';
import { MAX_PAGE_BYTES, makeRunPage, type PagedRun } from '../../../src/report/run-page.ts';
import { readRunPage, template } from '../../support/page-template.ts';
import { plainReport } from '../../support/plain-traffic.ts';
import { notFound, outcome, timeout } from './outcomes.ts';

const report = (more: { readonly retryableIds?: readonly number[]; readonly urlTemplate?: string } = {}) => {
  const { retryableIds = [], urlTemplate = 'https://example.com/posts/{id}' } = more;
  return {
    run: {
      id: 'nightly',
      trigger: 'direct',
      requestId: 'request',
      startedAt: '2026-11-23T06:00:00.000Z',
      urlTemplate,
      returnExceptions: true,
      requested: 2,
      idsSha256: 'a'.repeat(64),
    },
    errors: {
      total: retryableIds.length,
      byCode: { TIMEOUT: retryableIds.length },
      first: retryableIds.map((id) => ({ index: id, id, code: 'TIMEOUT', message: 'm' })),
      retryableIds,
    },
    summary: {
      finishedAt: '2026-11-23T06:00:01.000Z',
      durationMs: 1_000,
      requested: 2,
      fulfilled: 2,
      rejected: 0,
      attempts: 2,
      complete: true,
      latencyMs: { p50: 10, p90: 10, p99: 10, max: 10 },
      ...plainReport(2, 5, 4),
    },
  } satisfies RunReport;
};

async function* each(outcomes: Iterable<OutcomeLine>): AsyncGenerator<OutcomeLine> {
  yield* outcomes;
}

const location = 's3://results/runs/nightly.json';
const make = (outcomes: Iterable<OutcomeLine>, more: Partial<PagedRun> = {}) =>
  makeRunPage(template, {
    location,
    report: report(),
    outcomes: each(outcomes),
    redrive: 'npm run redrive -- nightly',
    ...more,
  });

describe('the page of a run', () => {
  test('has what its document says of it, and its posts', async () => {
    const { run, posts } = readRunPage(await make([outcome(0), outcome(1)]));
    expect(run).toStrictEqual({
      kind: 'run',
      location,
      run: report().run,
      errors: { total: 0, byCode: { TIMEOUT: 0 }, retryable: 0 },
      summary: report().summary,
      redrive: null,
      shown: 2,
    });
    expect(posts).toMatchObject({ id: [1, 2], code: [0, 0] });
  });

  test('has the command that redrives it where there is something to redrive', async () => {
    const page = await make([outcome(0, { reason: timeout })], { report: report({ retryableIds: [1] }) });
    expect(readRunPage(page).run).toMatchObject({
      redrive: 'npm run redrive -- nightly',
      errors: { total: 1, byCode: { TIMEOUT: 1 }, retryable: 1 },
    });
  });

  test('rejects with what its outcomes throw', async () => {
    const error = new Error('It is not as it was written');
    // biome-ignore lint/correctness/useYield: it throws first
    const broken = (async function* (): AsyncGenerator<OutcomeLine> {
      throw error;
    })();
    await expect(make([], { outcomes: broken })).rejects.toBe(error);
  });

  test('is the same each time', async () => {
    const outcomes = Array.from({ length: 100 }, (_, index) => outcome(index));
    expect(await make(outcomes)).toBe(await make(outcomes));
  });

  test('runs nothing that a post, an error or a template says', async () => {
    const hostile = '</script><script>alert(1)</script><!--<script>';
    const html = await make([outcome(0, { id: hostile, reason: notFound(hostile) })], {
      report: report({ urlTemplate: `https://example.com/{id}?${hostile}` }),
      location: hostile,
    });
    const own = template.text.match(/<\/?script/gi)?.length;
    expect(html.match(/<\/?script/gi)).toHaveLength(Number(own));
    const { run, posts } = readRunPage(html);
    expect([run.location, posts?.messages, posts?.id]).toStrictEqual([hostile, [hostile], [hostile]]);
  });
});

describe('the page of a redrive', () => {
  const outcomes = [
    outcome(0, { record: { startedMs: 90_000 } }),
    outcome(1, { record: { startedMs: 4 } }),
    // Not asked for again: what it has is of the run before.
    outcome(2, { record: { startedMs: 80_000 }, reason: timeout }),
    outcome(3, { record: { startedMs: null, durationMs: null }, reason: timeout }),
  ];

  test('has the times of its own fetches alone, and how long all took', async () => {
    const { posts } = readRunPage(await make(outcomes, { toFetch: [2, 3, 4] }));
    expect(posts).toMatchObject({ startedMs: [-1, 4, -1, -1], durationMs: [10, 10, 10, -1] });
    expect(posts?.bins.started.reduce((sum, count) => sum + count)).toBe(1);
    expect(posts?.latency[20]).toBe(3);
  });

  test('has all times where its source is not known any more', async () => {
    const { posts } = readRunPage(await make(outcomes));
    expect(posts?.startedMs).toStrictEqual([90_000, 4, 80_000, -1]);
  });
});

describe('the size of a page', () => {
  /** Texts that gzip makes nothing of, the same each time: pieces of one that is longer than it looks back. */
  function noise(from: number, to: number): (chars: number) => string {
    let seed = 1;
    const next = (): number => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed;
    };
    const text = Array.from({ length: 200_000 }, () => String.fromCharCode(from + (next() % (to - from))));
    const long = text.join('');
    return (chars) => {
      const start = next() % (long.length - chars);
      return long.slice(start, start + chars);
    };
  }
  const COUNT = 100_000;
  const record = (index: number) => ({
    startedMs: index * 3 + ((index * 7_919) % 13),
    durationMs: 20 + ((index * 104_729) % 977),
    waitedMs: index % 50 === 0 ? (index * 31) % 400 : 0,
  });

  test('of 100,000 ordinary posts is at most 3 MB', async () => {
    const outcomes = Array.from({ length: COUNT }, (_, index) =>
      outcome(index, {
        record: record(index),
        ...(index % 20 === 0 && { reason: notFound(`No data for post ${index}`) }),
      }),
    );
    const html = await make(outcomes);
    expect(Buffer.byteLength(html)).toBeLessThan(3_000_000);
    expect(readRunPage(html).run.shown).toBe(COUNT);
  });

  test.each([
    ['letters', 0x21, 0x7f, 6],
    ['characters of three bytes, and the longest ids', 0x4e00, 0x9fa5, 128],
  ])(
    'of as many failures with messages of 300 random %s is less than 10 MB',
    {
      timeout: 60_000,
    },
    async (_, from, to, idChars) => {
      const [message, id] = [noise(from, to), noise(0x61, 0x7b)];
      const outcomes = (function* () {
        for (let index = 0; index < COUNT; index++)
          yield outcome(index, { id: id(idChars), record: record(index), reason: notFound(message(300)) });
      })();
      const html = await make(outcomes);
      expect(Buffer.byteLength(html)).toBeLessThan(MAX_PAGE_BYTES);
      const { run, posts } = readRunPage(html);
      expect(run.shown).toBeGreaterThan(10_000);
      expect(posts?.messages).toHaveLength(run.shown);
      expect(Math.max(...(posts?.messages ?? []).map(({ length }) => length))).toBe(60);
    },
  );
});
