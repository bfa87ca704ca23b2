import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Logger } from '@aws-lambda-powertools/logger';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ConfigError, StoreError } from '../../../src/base/errors.ts';
import { claimOf } from '../../../src/document/claim.ts';
import type { RunHead } from '../../../src/document/run-head.ts';
import type { RunSummary } from '../../../src/document/tally.ts';
import { PostError, type ReasonCode } from '../../../src/fetch/outcome.ts';
import { readConfig } from '../../../src/lambda/config.ts';
import { METRICS } from '../../../src/lambda/metrics.ts';
import { tellRefusal } from '../../../src/lambda/refusals.ts';
import { createTelemetry } from '../../../src/lambda/telemetry.ts';
import type { Run } from '../../../src/run/replay.ts';
import { captureWrites } from '../../support/captured-writes.ts';

const anyTimestamp = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const SECRET = 'hunter2';
const settings = { serviceName: 'batch-fetcher', metricsNamespace: 'BatchFetcher' };

/** What the formatter of Powertools adds to each line. */
const base = (level: string, message: string) => ({
  level,
  message,
  timestamp: anyTimestamp,
  service: 'batch-fetcher',
  sampling_rate: 0,
});

const headOf = (id: string): RunHead => ({
  id,
  trigger: 'direct',
  requestId: `request-of-${id}`,
  startedAt: '2026-11-23T06:00:00.000Z',
  urlTemplate: `https://posts.example/{id}?key=${SECRET}`,
  returnExceptions: true,
  requested: 4,
  idsSha256: '9f86d081',
});

const summary: RunSummary = {
  finishedAt: '2026-11-23T06:00:04.250Z',
  durationMs: 4_250,
  requested: 4,
  fulfilled: 1,
  rejected: 3,
  attempts: 7,
  complete: true,
  throttledMs: 1_200,
  pauses: [{ startedMs: 400, durationMs: 1_000 }],
  peakInFlight: 4,
  concurrency: { min: 2, max: 4, final: 3 },
  learned: { perSecond: 97, inFlight: 3, told: null },
  retries: 3,
  retryBudgetLeft: 17,
  hedges: 1,
  hedgesWon: 0,
  latencyMs: { p50: 38, p90: 2_350, p99: 2_350, max: 2_350 },
};

/** A run with everything that a run has, of which the log must not have all. */
function runOf(
  id: string,
  changes: Partial<RunSummary> = {},
  byCode: Partial<Record<ReasonCode, number>> = { NOT_FOUND: 2, TIMEOUT: 1 },
): Run {
  return {
    run: headOf(id),
    errors: {
      total: 3,
      byCode,
      first: [{ index: 1, id: 99999, code: 'NOT_FOUND', message: `first of ${SECRET}` }],
      retryableIds: [4],
    },
    summary: { ...summary, ...changes },
    runId: id,
    location: `s3://results/runs/${id}.json`,
    replayed: false,
  };
}

let written: string[];

beforeEach(() => {
  // What the shell of a developer, or a function's environment, may hold.
  for (const name of [
    'POWERTOOLS_DEV',
    'POWERTOOLS_LOG_LEVEL',
    'LOG_LEVEL',
    'AWS_LAMBDA_LOG_LEVEL',
    'POWERTOOLS_LOGGER_SAMPLE_RATE',
    'POWERTOOLS_LOGGER_LOG_EVENT',
    'POWERTOOLS_METRICS_DISABLED',
    'AWS_LAMBDA_MAX_CONCURRENCY',
    '_X_AMZN_TRACE_ID',
    'TZ',
  ])
    vi.stubEnv(name, undefined);
  written = captureWrites();
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  expect(written.join('')).not.toContain(SECRET);
});

/** The lines since the last call, parsed. Each write is to be one line. */
function takeLines(): Record<string, unknown>[] {
  const lines = written.splice(0);
  for (const line of lines) expect(line).toMatch(/^[^\n]+\n$/);
  return lines.map((line) => JSON.parse(line));
}

const takeLogLines = () => takeLines().filter((line) => !('_aws' in line));
const takeMetrics = () => takeLines().flatMap((line) => ('_aws' in line ? metricsIn(line) : []));

interface MetricDirective {
  readonly Namespace: string;
  readonly Dimensions: readonly (readonly string[])[];
  readonly Metrics: readonly { readonly Name: string; readonly Unit: string }[];
}

/** What CloudWatch makes of a line in the embedded metric format: `<namespace> {<dimensions>} <name>: <value> <unit>`. */
function metricsIn(line: Record<string, unknown>): string[] {
  const { Timestamp, CloudWatchMetrics, ...rest } = line._aws as {
    readonly Timestamp: number;
    readonly CloudWatchMetrics: readonly MetricDirective[];
  };
  expect(rest).toStrictEqual({});
  expect(Math.abs(Date.now() - Timestamp)).toBeLessThan(60_000);
  return CloudWatchMetrics.flatMap(({ Namespace, Dimensions, Metrics }) =>
    Dimensions.flatMap((names) => {
      const dimensions = names.map((name) => `${name}=${line[name]}`).join(' ');
      return Metrics.map(({ Name, Unit }) => {
        expect(line[Name]).toBeTypeOf('number');
        return `${Namespace} {${dimensions}} ${Name}: ${line[Name]} ${Unit}`;
      });
    }),
  );
}

const rejection = (): PostError =>
  new PostError(
    'four',
    { code: 'BAD_JSON', message: 'Post four is not JSON', retryable: false },
    { httpStatus: 200, attempts: 1, startedMs: 0, durationMs: 5, waitedMs: 0 },
  );

describe('the log', () => {
  test('says who asked for a run, where it is told', () => {
    const telemetry = createTelemetry(settings);
    const caller = 'arn:aws:sts::123456789012:assumed-role/posts-reader/reader';
    telemetry.runStarted(headOf('asked'), caller);
    telemetry.runEnded(runOf('asked'));
    telemetry.runStarted(headOf('next'));
    const lines = takeLogLines();
    expect(lines.map((line) => [line.message, line.caller])).toStrictEqual([
      ['Run started', caller],
      ['Run ended', undefined],
      ['Run started', undefined],
    ]);
  });

  test('has one line at the start of a run and one at its end, with ids, codes and numbers alone', () => {
    const telemetry = createTelemetry(settings);
    telemetry.runStarted(headOf('lesson'));
    expect(takeLines()).toStrictEqual([
      {
        ...base('INFO', 'Run started'),
        runId: 'lesson',
        trigger: 'direct',
        requestId: 'request-of-lesson',
        requested: 4,
        returnExceptions: true,
        idsSha256: '9f86d081',
      },
    ]);
    telemetry.runEnded(runOf('lesson'));
    expect(takeLogLines()).toStrictEqual([
      {
        ...base('INFO', 'Run ended'),
        runId: 'lesson',
        trigger: 'direct',
        requestId: 'request-of-lesson',
        location: 's3://results/runs/lesson.json',
        ...summary,
        byCode: { NOT_FOUND: 2, TIMEOUT: 1 },
      },
    ]);
  });

  test('warns of an origin that answers what nobody has asked', () => {
    const telemetry = createTelemetry(settings);
    telemetry.runStarted(headOf('lesson'));
    takeLines();
    telemetry.runEnded(runOf('lesson', { unsolicited: 2 }));
    expect(
      takeLogLines().map(({ level, message, unsolicited }) => [level, message, unsolicited]),
    ).toStrictEqual([
      ['WARN', 'The origin sent answers that nobody had asked for', 2],
      ['INFO', 'Run ended', 2],
    ]);
  });

  test('has one line a rejected post at debug, with the run that the post belongs to', () => {
    vi.stubEnv('POWERTOOLS_LOG_LEVEL', 'DEBUG');
    const telemetry = createTelemetry(settings);
    telemetry.runStarted(headOf('first'));
    telemetry.postRejected(1, 99999, 'NOT_FOUND');
    telemetry.runStarted(headOf('second'));
    telemetry.postRejected(3, 'four', 'TIMEOUT');
    expect(takeLogLines().filter(({ level }) => level === 'DEBUG')).toStrictEqual([
      { ...base('DEBUG', 'Post rejected'), runId: 'first', index: 1, id: 99999, code: 'NOT_FOUND' },
      { ...base('DEBUG', 'Post rejected'), runId: 'second', index: 3, id: 'four', code: 'TIMEOUT' },
    ]);
  });

  test('costs a rejected post nothing at the default level: Logger is not even called', () => {
    const debug = vi.spyOn(Logger.prototype, 'debug');
    const telemetry = createTelemetry(settings);
    telemetry.runStarted(headOf('lesson'));
    takeLines();
    for (let index = 0; index < 100_000; index++) telemetry.postRejected(index, index, 'NETWORK');
    expect(debug).not.toHaveBeenCalled();
    expect(takeLines()).toStrictEqual([]);
  });

  test("goes by Lambda's level where there is one, without a warning at each run", () => {
    vi.stubEnv('POWERTOOLS_LOG_LEVEL', 'DEBUG');
    vi.stubEnv('AWS_LAMBDA_LOG_LEVEL', 'WARN');
    const telemetry = createTelemetry(settings);
    for (const id of ['cold', 'warm', 'warmer']) {
      telemetry.runStarted(headOf(id));
      telemetry.postRejected(0, 1, 'NO_DATA');
      telemetry.runEnded(runOf(id));
    }
    expect(takeLogLines()).toStrictEqual([]);
    telemetry.runFailed(headOf('failing'), new StoreError('S3 is away'));
    expect(takeLogLines()).toHaveLength(1);
  });

  test('samples each run by itself: a sampled one does not leave the next at debug', () => {
    vi.stubEnv('POWERTOOLS_LOGGER_SAMPLE_RATE', '0.5');
    const telemetry = createTelemetry(settings);
    let sampled = 0;
    for (let run = 0; run < 200; run++) {
      telemetry.runStarted(headOf('lesson'));
      telemetry.postRejected(0, 1, 'NO_DATA');
      sampled += takeLines().filter(({ message }) => message === 'Post rejected').length;
    }
    expect(sampled).toBeGreaterThan(0);
    expect(sampled).toBeLessThan(200);
  });

  test('has one line of a run that is replayed, which counts in no metric', () => {
    createTelemetry(settings).runReplayed(runOf('lesson'));
    expect(takeLines()).toStrictEqual([
      {
        ...base('INFO', 'Run replayed'),
        runId: 'lesson',
        location: 's3://results/runs/lesson.json',
        earlier: {
          trigger: 'direct',
          requestId: 'request-of-lesson',
          startedAt: '2026-11-23T06:00:00.000Z',
        },
      },
    ]);
  });

  test('has one line of a run that is in progress elsewhere, which counts in no metric', () => {
    const run = headOf('lesson');
    const claim = claimOf({ ...run, requestId: 'another' }, 'running', new Date('2026-11-23T06:00:00.000Z'));
    createTelemetry(settings).runInProgress(run, claim);
    expect(takeLines()).toStrictEqual([
      {
        ...base('INFO', 'Run in progress elsewhere'),
        runId: 'lesson',
        trigger: 'direct',
        requestId: 'request-of-lesson',
        other: {
          state: 'running',
          requestId: 'another',
          startedAt: '2026-11-23T06:00:00.000Z',
          beatAt: '2026-11-23T06:00:00.000Z',
        },
      },
    ]);
  });
});

describe('the line of a run that fails', () => {
  const failed = (error: unknown): unknown => {
    createTelemetry(settings).runFailed(headOf('lesson'), error);
    const [line, ...more] = takeLogLines();
    expect(more).toStrictEqual([]);
    const { error: described, ...rest } = line ?? {};
    expect(rest).toStrictEqual({
      ...base('ERROR', 'Run failed'),
      runId: 'lesson',
      trigger: 'direct',
      requestId: 'request-of-lesson',
    });
    return described;
  };

  test('names the post', () => {
    expect(failed(rejection())).toStrictEqual({
      name: 'PostError',
      code: 'BAD_JSON',
      id: 'four',
      message: 'Post four is not JSON',
    });
  });

  test('has the code and the message of an error of ours, and leaves out its cause', () => {
    const cause = Object.assign(new Error(`Signed with ${SECRET}`), { $response: { headers: { SECRET } } });
    const error = new StoreError('s3://results/runs/lesson.json could not be written: AccessDenied', {
      cause,
    });
    expect(failed(error)).toStrictEqual({
      name: 'StoreError',
      code: 'STORE_FAILED',
      message: 's3://results/runs/lesson.json could not be written: AccessDenied',
    });
  });

  test('has where a foreign error was thrown, and not its message, which may quote anything', () => {
    const foreign = () => {
      try {
        return JSON.parse(`{"password":\n ${SECRET}}`);
      } catch (error) {
        return error;
      }
    };
    const error = foreign();
    expect(String(error.stack)).toContain(SECRET.slice(0, 4));
    const described = failed(error) as { readonly stack: readonly string[] };
    expect(described).toStrictEqual({ name: 'SyntaxError', stack: expect.any(Array) });
    expect(JSON.stringify(described)).not.toContain(SECRET.slice(0, 4));
    expect(described.stack.join('\n')).toMatch(/^ {4}at .*foreign \(.*telemetry\.test\.ts:\d+:\d+\)$/m);
  });

  test("has the system's code of a foreign error, and no code that is not text", () => {
    const full = Object.assign(new Error(`no space for ${SECRET}`), { code: 'ENOSPC', stack: undefined });
    expect(failed(full)).toStrictEqual({ name: 'Error', code: 'ENOSPC' });
    expect(failed(new DOMException(SECRET, 'AbortError'))).toMatchObject({ name: 'AbortError' });
    expect(failed(new DOMException(SECRET, 'AbortError'))).not.toHaveProperty('code');
  });

  test('says of what is thrown and is no error only what type it has', () => {
    expect(failed(SECRET)).toStrictEqual({ name: 'string' });
    expect(failed(undefined)).toStrictEqual({ name: 'undefined' });
  });
});

describe('the metrics', () => {
  test('of a run are one object in all and one a code, in the embedded metric format', () => {
    createTelemetry(settings).runEnded(runOf('lesson'));
    const lines = takeLines().filter((line) => '_aws' in line);
    const count = (Name: string) => ({ Name, Unit: 'Count' });
    const milliseconds = (Name: string) => ({ Name, Unit: 'Milliseconds' });
    const envelope = (dimensions: string[], metrics: object[]) => ({
      Timestamp: expect.any(Number),
      CloudWatchMetrics: [{ Namespace: 'BatchFetcher', Dimensions: [dimensions], Metrics: metrics }],
    });
    expect(lines).toStrictEqual([
      {
        _aws: envelope(
          ['service'],
          [
            count('PostsFulfilled'),
            count('PostsRejected'),
            count('Attempts'),
            count('Retries'),
            count('Hedges'),
            count('PeakInFlight'),
            milliseconds('ThrottledTime'),
            milliseconds('PostLatencyP50'),
            milliseconds('PostLatencyP90'),
            milliseconds('PostLatencyP99'),
            milliseconds('RunDuration'),
            count('RunsSucceeded'),
            count('RunsIncomplete'),
          ],
        ),
        service: 'batch-fetcher',
        PostsFulfilled: 1,
        PostsRejected: 3,
        Attempts: 7,
        Retries: 3,
        Hedges: 1,
        PeakInFlight: 4,
        ThrottledTime: 1_200,
        PostLatencyP50: 38,
        PostLatencyP90: 2_350,
        PostLatencyP99: 2_350,
        RunDuration: 4_250,
        RunsSucceeded: 1,
        RunsIncomplete: 0,
      },
      {
        _aws: envelope(['service', 'code'], [count('PostsRejected')]),
        service: 'batch-fetcher',
        code: 'NOT_FOUND',
        PostsRejected: 2,
      },
      {
        _aws: envelope(['service', 'code'], [count('PostsRejected')]),
        service: 'batch-fetcher',
        code: 'TIMEOUT',
        PostsRejected: 1,
      },
    ]);
  });

  test('of a run without posts are zeros, and how long it took, and no latency', () => {
    const none = {
      ...{ fulfilled: 0, rejected: 0, requested: 0, attempts: 0, retries: 0, hedges: 0 },
      ...{ peakInFlight: 0, throttledMs: 0, durationMs: 12 },
      latencyMs: { p50: null, p90: null, p99: null, max: null },
    };
    createTelemetry(settings).runEnded(runOf('nothing', none, {}));
    expect(takeMetrics()).toStrictEqual([
      'BatchFetcher {service=batch-fetcher} PostsFulfilled: 0 Count',
      'BatchFetcher {service=batch-fetcher} PostsRejected: 0 Count',
      'BatchFetcher {service=batch-fetcher} Attempts: 0 Count',
      'BatchFetcher {service=batch-fetcher} Retries: 0 Count',
      'BatchFetcher {service=batch-fetcher} Hedges: 0 Count',
      'BatchFetcher {service=batch-fetcher} PeakInFlight: 0 Count',
      'BatchFetcher {service=batch-fetcher} ThrottledTime: 0 Milliseconds',
      'BatchFetcher {service=batch-fetcher} RunDuration: 12 Milliseconds',
      'BatchFetcher {service=batch-fetcher} RunsSucceeded: 1 Count',
      'BatchFetcher {service=batch-fetcher} RunsIncomplete: 0 Count',
    ]);
  });

  test('of one run do not show up in those of the next, whatever came between', () => {
    const telemetry = createTelemetry(settings);
    const incomplete = { fulfilled: 5, rejected: 1, attempts: 6, complete: false };
    telemetry.runStarted(headOf('first'));
    telemetry.runStarted(headOf('failing'));
    telemetry.runEnded(runOf('first', incomplete, { DEADLINE: 1 }));
    telemetry.runFailed(headOf('failing'), rejection());
    takeLines();
    telemetry.runStarted(headOf('second'));
    telemetry.runEnded(runOf('second'));
    expect(takeMetrics()).toStrictEqual([
      'BatchFetcher {service=batch-fetcher} PostsFulfilled: 1 Count',
      'BatchFetcher {service=batch-fetcher} PostsRejected: 3 Count',
      'BatchFetcher {service=batch-fetcher} Attempts: 7 Count',
      'BatchFetcher {service=batch-fetcher} Retries: 3 Count',
      'BatchFetcher {service=batch-fetcher} Hedges: 1 Count',
      'BatchFetcher {service=batch-fetcher} PeakInFlight: 4 Count',
      'BatchFetcher {service=batch-fetcher} ThrottledTime: 1200 Milliseconds',
      'BatchFetcher {service=batch-fetcher} PostLatencyP50: 38 Milliseconds',
      'BatchFetcher {service=batch-fetcher} PostLatencyP90: 2350 Milliseconds',
      'BatchFetcher {service=batch-fetcher} PostLatencyP99: 2350 Milliseconds',
      'BatchFetcher {service=batch-fetcher} RunDuration: 4250 Milliseconds',
      'BatchFetcher {service=batch-fetcher} RunsSucceeded: 1 Count',
      'BatchFetcher {service=batch-fetcher} RunsIncomplete: 0 Count',
      'BatchFetcher {service=batch-fetcher code=NOT_FOUND} PostsRejected: 2 Count',
      'BatchFetcher {service=batch-fetcher code=TIMEOUT} PostsRejected: 1 Count',
    ]);
  });

  test('count a run that the deadline cut short', () => {
    createTelemetry(settings).runEnded(runOf('lesson', { complete: false }, { DEADLINE: 3 }));
    expect(takeMetrics()).toContain('BatchFetcher {service=batch-fetcher} RunsIncomplete: 1 Count');
  });

  test.each<[error: unknown, code: string]>([
    [rejection(), 'BAD_JSON'],
    [new StoreError('S3 is away'), 'STORE_FAILED'],
    [new TypeError(SECRET), 'INTERNAL_ERROR'],
    [Object.assign(new Error(SECRET), { code: SECRET }), 'INTERNAL_ERROR'],
    [SECRET, 'INTERNAL_ERROR'],
  ])('count a run that fails, in all and by code: %#', (error, code) => {
    createTelemetry(settings).runFailed(headOf('lesson'), error);
    expect(takeMetrics()).toStrictEqual([
      'BatchFetcher {service=batch-fetcher} RunsFailed: 1 Count',
      `BatchFetcher {service=batch-fetcher code=${code}} RunsFailed: 1 Count`,
    ]);
  });

  test('are those that the table names, each of them, and no other', () => {
    const telemetry = createTelemetry(settings);
    telemetry.runEnded(runOf('lesson'));
    telemetry.runFailed(headOf('lesson'), rejection());
    tellRefusal(new ConfigError('m'), 'request-1');
    const names = takeMetrics().map((metric) => / (\w+): /.exec(metric)?.[1]);
    expect([...new Set(names)].toSorted()).toStrictEqual(Object.keys(METRICS).toSorted());
  });

  test('are those that docs/operations.md lists, with their units', () => {
    const page = readFileSync(new URL('../../../docs/operations.md', import.meta.url), 'utf8');
    const [section = ''] = page.split('\n## Metrics\n')[1]?.split('\n#') ?? [];
    const rows = [...section.matchAll(/^\| (?<names>`.+?) \| (?<unit>\w+) \|/gm)].flatMap(({ groups }) =>
      [...(groups?.names ?? '').matchAll(/`(\w+)`/g)].map(([, name]) => [name, groups?.unit]),
    );
    expect(rows.toSorted()).toStrictEqual(Object.entries(METRICS).toSorted());
  });

  test('are not written where they are disabled', () => {
    vi.stubEnv('POWERTOOLS_METRICS_DISABLED', 'true');
    createTelemetry(settings).runEnded(runOf('lesson'));
    expect(takeMetrics()).toStrictEqual([]);
  });
});

test('the settings name the service and the namespace', () => {
  const telemetry = createTelemetry({ serviceName: 'lessons', metricsNamespace: 'School' });
  telemetry.runStarted(headOf('lesson'));
  expect(takeLines()).toMatchObject([{ service: 'lessons' }]);
  telemetry.runEnded(runOf('lesson'));
  expect(takeMetrics()).toContain('School {service=lessons code=NOT_FOUND} PostsRejected: 2 Count');
});

describe('a variable of Powertools is taken or refused by its constructors as it is by the configuration:', () => {
  test.each<[name: string, texts: readonly string[]]>([
    ['POWERTOOLS_LOG_LEVEL', ['DEBUG', 'debug', '', 'loud']],
    ['POWERTOOLS_LOGGER_SAMPLE_RATE', ['0.1', ' 1 ', '', '2', '1e-1', 'often', '10%']],
    ['POWERTOOLS_LOGGER_LOG_EVENT', ['true', ' False ', '', '1', 'on', 'maybe']],
    ['POWERTOOLS_METRICS_DISABLED', ['true', ' OFF ', '', '1', 'y', 'N', 'no', 'f', 'T', 'disabled', '2']],
  ])('%s', (name, texts) => {
    for (const text of texts) {
      vi.stubEnv(name, text);
      const isGood = (create: () => unknown): boolean => {
        try {
          create();
          return true;
        } catch {
          return false;
        }
      };
      const read = isGood(() => readConfig({ RESULTS_BUCKET: 'results', [name]: text }));
      expect([text, isGood(() => createTelemetry(settings))]).toStrictEqual([text, read]);
    }
  });
});

describe('output that cannot be written', () => {
  test('does not fail the run, whether the stream throws or emits the error', () => {
    const telemetry = createTelemetry(settings);
    const noSpace = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    const tellAll = () => {
      telemetry.runStarted(headOf('lesson'));
      telemetry.runEnded(runOf('lesson'));
      telemetry.runReplayed(runOf('lesson'));
      telemetry.runFailed(headOf('lesson'), rejection());
    };
    for (const stream of [process.stdout, process.stderr])
      vi.spyOn(stream, 'write').mockImplementation(() => {
        throw noSpace;
      });
    expect(tellAll).not.toThrow();
    for (const stream of [process.stdout, process.stderr])
      vi.spyOn(stream, 'write').mockImplementation(() => {
        stream.emit('error', noSpace);
        return false;
      });
    expect(tellAll).not.toThrow();
  });

  test('does not end the process where no one reads it any more', async () => {
    const script = `
      import { setImmediate } from 'node:timers/promises';
      import { createTelemetry } from ${JSON.stringify(new URL('../../../src/lambda/telemetry.ts', import.meta.url))};
      for await (const _ of process.stdin);
      const { runStarted, runEnded } = createTelemetry(${JSON.stringify(settings)});
      for (const run of ${JSON.stringify([runOf('first'), runOf('second')])}) {
        runStarted(run.run);
        await setImmediate();
        runEnded(run);
      }
      process.exitCode = 42;`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    child.stdout.destroy();
    child.stdin.end();
    expect(await once(child, 'exit')).toStrictEqual([42, null]);
  });

  test('is waited for by one listener a stream, however many observers there are', () => {
    createTelemetry(settings);
    const listeners = process.stdout.listenerCount('error');
    createTelemetry(settings);
    expect(process.stdout.listenerCount('error')).toBe(listeners);
  });
});
