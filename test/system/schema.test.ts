import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { BadInputError } from '../../src/base/errors.ts';
import { batchOf, parseBaseForm } from '../../src/batch/base-form.ts';
import { parseIds } from '../../src/batch/parse-ids.ts';
import type { Trigger } from '../../src/document/run-head.ts';
import type { AttemptResult } from '../../src/fetch/origin/attempt.ts';
import { parseUrlTemplate, type UrlTemplate } from '../../src/fetch/origin/url-template.ts';
import type { ReasonCode } from '../../src/fetch/outcome.ts';
import { parseEvent } from '../../src/lambda/events/event.ts';
import type { RunSettings } from '../../src/run/fetch-and-store.ts';
import { runBatch } from '../../src/run/run-batch.ts';
import { MemoryClaims } from '../support/memory-claims.ts';
import { silentObserver } from '../support/observer.ts';
import { plainTraffic } from '../support/plain-traffic.ts';
import { documentFaults, documentSchema, eventFaults, eventSchema } from '../support/schemas.ts';
import { originOf } from '../support/scripted-origin.ts';

/** Whether the code tries again in another run; `both` where that depends on the status. */
const reasonCodes = {
  NOT_FOUND: false,
  NO_DATA: false,
  HTTP_ERROR: 'both',
  RATE_LIMITED: true,
  TIMEOUT: true,
  NETWORK: true,
  BAD_JSON: false,
  TOO_LARGE: false,
  DEADLINE: true,
} satisfies Record<ReasonCode, boolean | 'both'>;
const codes = Object.keys(reasonCodes).sort();
const triggers = Object.keys({ direct: 0, schedule: 0, api: 0 } satisfies Record<Trigger, 0>).sort();

/** Every kind of attempt, and the code that it ends in, if there is one. */
const attempts: Readonly<Record<string, readonly [AttemptResult, ReasonCode?]>> = {
  fine: [response(200, '{"id":12345678901234567890}')],
  created: [response(201, '0')],
  missing: [response(404), 'NOT_FOUND'],
  gone: [response(410), 'NOT_FOUND'],
  empty: [response(204), 'NO_DATA'],
  null: [response(200, ' null '), 'NO_DATA'],
  garbled: [response(200, '{"id":'), 'BAD_JSON'],
  huge: [{ kind: 'too-large', status: 200 }, 'TOO_LARGE'],
  teapot: [response(418), 'HTTP_ERROR'],
  redirect: [{ ...response(302), redirect: 'more than 3 redirects' }, 'HTTP_ERROR'],
  early: [response(425), 'HTTP_ERROR'],
  slow: [response(408), 'HTTP_ERROR'],
  broken: [response(500), 'HTTP_ERROR'],
  beyond: [response(999), 'HTTP_ERROR'],
  limited: [response(429), 'RATE_LIMITED'],
  busy: [{ ...response(503), retryAfter: '0' }, 'RATE_LIMITED'],
  forbidden: [response(403), 'HTTP_ERROR'],
  many: [{ ...response(403), rateLimit: { 'x-ratelimit-remaining': '0' } }, 'RATE_LIMITED'],
  calm: [{ ...response(420), retryAfter: '0' }, 'RATE_LIMITED'],
  shop: [{ ...response(430), retryAfter: '0' }, 'RATE_LIMITED'],
  stalled: [{ kind: 'timed-out' }, 'TIMEOUT'],
  reset: [{ kind: 'failed', code: 'ECONNRESET' }, 'NETWORK'],
};

describe('the schema of the document', () => {
  test('takes a document with every kind of outcome that there is', async () => {
    const ids = [...Object.keys(attempts), 1, '1', 0, Number.MAX_SAFE_INTEGER];
    const document = await documentOf({ ids });
    expect(documentFaults(document)).toStrictEqual([]);
    expect(document.results.map(({ id, reason }) => [id, reason?.code])).toStrictEqual(
      ids.map((id) => [id, attempts[id]?.[1]]),
    );
    const { byCode } = document.errors;
    expect(Object.keys(byCode).concat('DEADLINE').sort()).toStrictEqual(codes);
  });

  test('takes posts that the deadline cut off, after an attempt or before the first', async () => {
    const cutOff = await documentOf({ ids: ['stalled', 'fine'] }, { attemptTimeoutMs: 100_000 });
    expect(documentFaults(cutOff)).toStrictEqual([]);
    expect(cutOff.results[0]).toMatchObject({ httpStatus: null, attempts: 1, reason: { code: 'DEADLINE' } });

    const noTime = await documentOf({ ids: [1, 2] }, { writeReserveMs: 60_000 });
    expect(documentFaults(noTime)).toStrictEqual([]);
    expect(noTime.results[0]).toMatchObject({ startedMs: null, attempts: 0, reason: { code: 'DEADLINE' } });
    expect(noTime.summary.latencyMs).toStrictEqual({ p50: null, p90: null, p99: null, max: null });
  });

  test('takes an empty document, and one of a fail-fast run that met no failure', async () => {
    expect(documentFaults(await documentOf({ ids: [] }))).toStrictEqual([]);
    expect(documentFaults(await documentOf({ ids: [1], returnExceptions: false }))).toStrictEqual([]);
  });

  test('takes a document that names its outcomes instead, and neither both nor none', async () => {
    const { results, ...rest } = await documentOf({ ids: ['fine', 'limited', 'missing'] });
    const outcomes = { location: 's3://results/runs/run-1.ndjson', bytes: 7, etag: '"abc"' };
    expect(documentFaults({ ...rest, outcomes })).toStrictEqual([]);
    const compressed = { ...outcomes, location: 's3://results/runs/run-1.ndjson.gz' };
    expect(documentFaults({ ...rest, outcomes: compressed })).toStrictEqual([]);
    expect(documentFaults({ ...rest, outcomes, results })).not.toStrictEqual([]);
    expect(documentFaults({ ...rest })).not.toStrictEqual([]);
    const bad = [
      { location: 'runs/run-1.ndjson' },
      { location: 's3://results/runs/run-1.gz' },
      { bytes: -1 },
      { etag: '' },
      { etag: undefined },
      { key: 'x' },
    ];
    for (const more of bad)
      expect(documentFaults({ ...rest, outcomes: { ...outcomes, ...more } })).not.toStrictEqual([]);
  });

  test('takes a redrive', async () => {
    const document = await documentOf({ ids: ['fine'] });
    const redriven = (redriveOf: unknown) => ({ ...document, run: { ...document.run, redriveOf } });
    expect(documentFaults(redriven('run-1.redrive-1'))).toStrictEqual([]);
    expect(documentFaults(redriven('../run'))).not.toStrictEqual([]);
  });

  const gone = Symbol('gone');
  const sample = documentOf({ ids: ['fine', 'missing', 'broken', 'reset', 'stalled', 'limited', 'teapot'] });
  const fine = '/results/0';
  const missing = '/results/1';
  const broken = '/results/2';
  const reset = '/results/3';
  const stalled = '/results/4';
  const limited = '/results/5';
  const teapot = '/results/6';

  test.each<readonly [pointer: string, value: unknown]>([
    ['/version', 2],
    ['/version', gone],
    ['/extra', 1],
    ['/run', gone],
    ['/results', {}],
    ['/errors', gone],
    ['/summary', gone],
    ['/run/id', '../admin'],
    ['/run/id', '..'],
    ['/run/id', 'x'.repeat(129)],
    ['/run/id', 7],
    ['/run/trigger', 'cron'],
    ['/run/requestId', ''],
    ['/run/startedAt', '2026-11-23'],
    ['/run/startedAt', '2026-11-23T06:00:00.000+01:00'],
    ['/run/startedAt', 1795444327123],
    ['/run/urlTemplate', 'https://example.com/posts'],
    ['/run/returnExceptions', 'true'],
    ['/run/returnExceptions', false],
    ['/run/requested', -1],
    ['/run/requested', 1.5],
    ['/run/idsSha256', 'ABC'],
    ['/run/idsSha256', gone],
    ['/run/extra', 1],
    ['/results/7', null],
    ['/results/7', {}],
    [`${fine}/index`, -1],
    [`${fine}/index`, gone],
    [`${fine}/id`, -1],
    [`${fine}/id`, 1.5],
    [`${fine}/id`, 2 ** 53],
    [`${fine}/id`, ''],
    [`${fine}/id`, 'a/b'],
    [`${fine}/id`, { from: 1, to: 2 }],
    [`${fine}/status`, 'ok'],
    [`${fine}/status`, 'rejected'],
    [`${fine}/httpStatus`, 404],
    [`${fine}/httpStatus`, null],
    [`${fine}/attempts`, 0],
    [`${fine}/attempts`, '1'],
    [`${fine}/startedMs`, -1],
    [`${fine}/startedMs`, null],
    [`${fine}/startedMs`, 0.5],
    [`${fine}/durationMs`, null],
    [`${fine}/durationMs`, gone],
    [`${fine}/waitedMs`, null],
    [`${fine}/waitedMs`, -1],
    [`${fine}/waitedMs`, 0.5],
    [`${fine}/runId`, 'run-1'],
    [`${fine}/value`, gone],
    [`${fine}/value`, null],
    [`${fine}/value`, {}],
    [`${fine}/value`, []],
    [`${fine}/value`, ''],
    [`${fine}/reason`, { code: 'NOT_FOUND', message: 'No data for post 1', retryable: false }],
    [`${fine}/extra`, 1],
    [`${missing}/status`, 'fulfilled'],
    [`${missing}/reason`, gone],
    [`${missing}/value`, { id: 1 }],
    [`${missing}/extra`, 1],
    [`${missing}/httpStatus`, 500],
    [`${missing}/httpStatus`, null],
    [`${missing}/httpStatus`, '404'],
    [`${missing}/attempts`, 0],
    [`${missing}/durationMs`, null],
    [`${missing}/reason/code`, 'GONE'],
    [`${missing}/reason/code`, 'TIMEOUT'],
    [`${missing}/reason/code`, 'HTTP_ERROR'],
    [`${missing}/reason/message`, ''],
    [`${missing}/reason/message`, gone],
    [`${missing}/reason/retryable`, true],
    [`${missing}/reason/retryable`, gone],
    [`${missing}/reason/cause`, 'ECONNRESET'],
    [`${missing}/reason/extra`, 1],
    [`${broken}/reason/retryable`, false],
    [`${broken}/httpStatus`, 400],
    [`${broken}/httpStatus`, 200],
    [`${broken}/httpStatus`, null],
    [`${broken}/reason/cause`, 'ECONNRESET'],
    [`${teapot}/reason/retryable`, true],
    [`${teapot}/httpStatus`, 404],
    [`${teapot}/httpStatus`, 429],
    [`${teapot}/httpStatus`, 500],
    [`${reset}/reason/cause`, gone],
    [`${reset}/reason/cause`, ''],
    [`${reset}/reason/retryable`, false],
    [`${reset}/httpStatus`, 200],
    [`${stalled}/httpStatus`, 200],
    [`${stalled}/reason/retryable`, false],
    [`${stalled}/reason/cause`, 'ETIMEDOUT'],
    [`${limited}/httpStatus`, 500],
    [`${limited}/reason/retryable`, false],
    ['/errors/total', -1],
    ['/errors/byCode/GONE', 1],
    ['/errors/byCode/NOT_FOUND', 0],
    ['/errors/byCode/DEADLINE', 1],
    ['/errors/first/0/code', 'GONE'],
    ['/errors/first/0/extra', 1],
    ['/errors/first', Array.from({ length: 11 }, () => ({ index: 0, id: 1, code: 'TIMEOUT', message: 'm' }))],
    ['/errors/retryableIds', [1, 1]],
    ['/errors/retryableIds', [{ from: 1, to: 2 }]],
    ['/errors/extra', 1],
    ['/summary/finishedAt', 'now'],
    ['/summary/durationMs', null],
    ['/summary/fulfilled', gone],
    ['/summary/attempts', 1.5],
    ['/summary/complete', false],
    ['/summary/complete', 'true'],
    ['/summary/latencyMs', null],
    ['/summary/latencyMs/p50', -1],
    ['/summary/latencyMs/p95', 1],
    ['/summary/latencyMs/max', gone],
    ['/summary/pauses', gone],
    ['/summary/pauses', [{ startedMs: 0 }]],
    ['/summary/pauses', [{ startedMs: -1, durationMs: 1 }]],
    ['/summary/pauses', [{ startedMs: 0, durationMs: 0.5 }]],
    ['/summary/pauses', Array.from({ length: 101 }, () => ({ startedMs: 0, durationMs: 1 }))],
    ['/summary/learned', gone],
    ['/summary/learned', null],
    ['/summary/learned/perSecond', 0],
    ['/summary/learned/perSecond', '97'],
    ['/summary/learned/inFlight', 1.5],
    ['/summary/learned/inFlight', 501],
    ['/summary/learned/told', gone],
    ['/summary/learned/at', '2026-11-23T06:00:00.000Z'],
    ['/summary/extra', 1],
  ])('refuses a document whose %s is %o', async (pointer, value) => {
    const document = structuredClone(await sample);
    const keys = pointer.split('/').slice(1);
    const last = keys.pop() ?? '';
    const target = keys.reduce<Record<string, unknown>>(
      (object, key) => object[key] as Record<string, unknown>, // the pointers of the table lead somewhere
      document as unknown as Record<string, unknown>,
    );
    if (value === gone) delete target[last];
    else target[last] = value;
    expect(documentFaults(document)).not.toStrictEqual([]);
  });

  test('has the reason codes and the triggers of the code, wherever it lists them', () => {
    const { $defs } = documentSchema as unknown as {
      $defs: {
        reasonCode: { enum: string[] };
        run: { properties: { trigger: { enum: string[] } } };
        reason: {
          oneOf: {
            properties: { code: { enum?: string[]; const?: string }; retryable: { const?: boolean } };
          }[];
        };
        rejected: { oneOf: { properties: { reason: { properties: { code: CodeSchema } } } }[] };
      };
    };
    interface CodeSchema {
      readonly enum?: string[];
      readonly const?: string;
    }
    const listed = (code: CodeSchema): string[] => code.enum ?? [code.const ?? ''];

    expect($defs.reasonCode.enum.toSorted()).toStrictEqual(codes);
    expect($defs.run.properties.trigger.enum.toSorted()).toStrictEqual(triggers);
    expect(
      Object.fromEntries(
        $defs.reason.oneOf.flatMap(({ properties: { code, retryable } }) =>
          listed(code).map((name) => [name, retryable.const ?? 'both']),
        ),
      ),
    ).toStrictEqual(reasonCodes);
    const inRejected = $defs.rejected.oneOf.flatMap(({ properties }) =>
      listed(properties.reason.properties.code),
    );
    expect([...new Set(inRejected)].sort()).toStrictEqual(codes);
  });
});

describe('the schema of the event', () => {
  const integers = fc.oneof(
    fc.nat(),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom(-0, 0, 1e3, 1e21, 2 ** 53),
  );
  const names = fc.oneof(
    fc.string(),
    fc.stringMatching(/^[A-Za-z0-9._~-]+$/),
    fc.constantFrom('', '.', '..', '...', '~', 'a/b', 'é', 'a\n', '007', '7-9', '__proto__'),
    fc.constantFrom(...[116, 117, 128, 129].map((length) => 'x'.repeat(length))),
    fc.constantFrom(
      'a.manifest',
      'a.progress',
      'a.part-1',
      'a.redrive-1',
      'a.part-',
      'manifest',
      'a.manifests',
    ),
  );
  // Short, as batches are hashed whole, and never reversed, which a schema cannot see.
  const ranges = fc
    .tuple(fc.nat(), fc.nat(100))
    .chain(([from, length]) =>
      fc.oneof(
        fc.constant({ from, to: from + length }),
        fc.constantFrom({ from }, { from, to: null }, { from, to: from + 0.5 }, { from, to: from, step: 1 }),
      ),
    );
  const locations = fc.oneof(
    fc.stringMatching(/^s3:\/\/[a-z.-]{2,5}\/[a-z/.]{0,3}\.(json|jsonl|ndjson|csv|txt)(\.gz)?$/),
    fc.string({ unit: 'binary' }).map((key) => `s3://bucket/${key}.csv`),
    fc.constantFrom(
      's3://bucket/.csv',
      's3://bucket/a.csv\n',
      's3://bucket/a\u007f.csv',
      's3://bucket/\ud83d.csv',
      's3://bucket/\ud83d\ude00.csv',
      'S3://bucket/a.csv',
    ),
  );
  const junk = fc.jsonValue().filter((value) => !JSON.stringify(value).includes('"from"'));

  test('takes an id exactly where the code does', () => {
    fc.assert(
      fc.property(fc.oneof(integers, names, ranges, junk), (id) => {
        expect(eventFaults({ ids: [id] }).length === 0).toBe(
          accepts(() => parseIds([id], 'ids', Number.POSITIVE_INFINITY)),
        );
      }),
      { numRuns: 2_000 },
    );
  });

  test('takes a batch exactly where the code does', () => {
    const forms = fc.record(
      {
        ids: fc.oneof(
          { weight: 3, arbitrary: fc.array(fc.oneof(fc.nat(), fc.constantFrom('a', 'b')), { maxLength: 5 }) },
          { weight: 1, arbitrary: junk },
        ),
        manifest: fc.oneof(locations, junk),
        redrive: fc.oneof(names, junk),
        returnExceptions: fc.oneof(fc.boolean(), junk),
        runId: fc.oneof(names, junk),
        extra: junk,
      },
      { requiredKeys: [] },
    );
    const sourceForms = fc.oneof(
      fc.record({ manifest: locations, returnExceptions: fc.boolean() }, { requiredKeys: ['manifest'] }),
      fc.record({ redrive: names, runId: names }, { requiredKeys: ['redrive'] }),
    );
    fc.assert(
      fc.property(fc.oneof(forms, sourceForms, junk), (form) => {
        const event = JSON.parse(JSON.stringify(form));
        expect(eventFaults(event).length === 0).toBe(
          accepts(() => parseBaseForm(event, { place: 'event', maxIds: 10_000 })),
        );
      }),
      { numRuns: 2_000 },
    );
  });

  test('has examples that are as it says', () => {
    expect((eventSchema.examples as unknown[]).flatMap(eventFaults)).toStrictEqual([]);
  });
});

interface DocumentUnderTest {
  readonly run: object;
  readonly results: readonly {
    readonly id: number | string;
    readonly reason?: { readonly code: ReasonCode };
  }[];
  readonly errors: { readonly byCode: object };
  readonly summary: { readonly latencyMs: object };
}

/** The document that the pipeline writes, with scripted attempts. */
async function documentOf(form: object, settings: Partial<RunSettings> = {}): Promise<DocumentUnderTest> {
  const chunks: Buffer[] = [];
  const request = parseEvent(
    { trigger: 'direct', form },
    { maxIds: 10_000, postIds: [], apiBasePath: '' },
    'request-1',
  );
  if (request.form.kind !== 'ids') expect.fail('The event has no ids');
  await runBatch(
    { ...request, batch: batchOf(request.form.ids, request.form.returnExceptions) },
    {
      ...plainTraffic,
      postUrl: parseUrlTemplate('https://example.com/posts/{id}') as UrlTemplate, // a good template
      concurrency: 5,
      maxAttempts: 1,
      attemptTimeoutMs: 1_000,
      maxBodyBytes: 1_000,
      writeReserveMs: 1_000,
      ...settings,
    },
    {
      origin: originOf(async (id) => attempts[id]?.[0] ?? response(200, `{"id":"${id}"}`)),
      store: {
        location: (runId) => `s3://results/${runId}.json`,
        find: async () => undefined,
        read: async () => '',
        async *stream() {},
        findOutcomes: async () => undefined,
        writeOutcomes: async () => undefined,
        write: async (_runId, written) => {
          for await (const chunk of written) chunks.push(chunk);
          return true;
        },
      },
      clock: systemClock,
      random: () => 0,
      observer: silentObserver,
      newWriter: () => 'writer',
      claims: new MemoryClaims(),
    },
    { remainingMs: 30_000 },
  );
  return JSON.parse(Buffer.concat(chunks).toString());
}

function response(status: number, body = ''): AttemptResult & { kind: 'response' } {
  return { kind: 'response', status, body: Buffer.from(body) };
}

function accepts(parse: () => unknown): boolean {
  try {
    parse();
    return true;
  } catch (error) {
    if (error instanceof BadInputError) return false;
    throw error;
  }
}
