import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Definition, readDefinition } from '../../../local/world/interpret.ts';
import { type S3Store, startS3Store } from '../../../local/world/s3.ts';
import { findVirtualEnvironment } from '../../../scripts/virtual-environment.ts';
import { type Answer, type BuiltFunctions, startBuiltFunctions } from './built-functions.ts';
import { type CloudBridge, type Refused, startCloudBridge } from './cloud-bridge.ts';
import { type Ended, type Moto, startMoto } from './moto.ts';

/**
 * The definition as moto reads it: an interpreter of Step Functions that has nothing in common with the one of
 * execution.test.ts. It executes the states, paths, payloads and choices, the Map with its MaxConcurrencyPath and
 * selector, the retriers with their backoff and jitter, and the catcher as they are defined; the functions are those of
 * dist/, and it asks for them, and for objects, as of AWS. What it cannot do:
 *
 * - It knows no items in JSON lines: the definition says JSON to it, and cloud-bridge.ts gives it an array.
 * - It tolerates any number of failed items, and looks for the paths of the ResultWriter in the results;
 *   moto_interpreter.py does both as AWS does. Unlike on AWS, a Map over its threshold ends with its last item.
 * - The parts are no executions of their own, and what the ResultWriter writes lists none of their results.
 * - It waits for no answer that takes longer than TimeoutSeconds, measures no payloads, and asks for no permission.
 */
const environment = await findVirtualEnvironment('moto', 'requirements-moto.txt', process.env);

const bucket = 'results';
const arnOf = (name: string) => `arn:aws:lambda:us-east-1:123456789012:function:${name}`;
const definition = readDefinition({
  Partition: 'aws',
  PlanFunctionArn: arnOf('plan'),
  FetchFunctionArn: arnOf('fetch'),
  ConcludeFunctionArn: arnOf('conclude'),
});

interface Retrier {
  readonly ErrorEquals: readonly string[];
  readonly IntervalSeconds: number;
  readonly BackoffRate: number;
  readonly MaxDelaySeconds: number;
  readonly MaxAttempts: number;
}

/** The retrier of the state that fetches a part, or of another, for an error. */
function retrierOf(error: string, state: string): Retrier {
  const { ItemProcessor } = definition.States.FetchParts as unknown as { ItemProcessor: Definition };
  const { Retry } = { ...definition.States, ...ItemProcessor.States }[state] as unknown as {
    Retry: readonly Retrier[];
  };
  const retrier = Retry.find(({ ErrorEquals }) => ErrorEquals.includes(error));
  if (retrier === undefined) throw new Error(`${state} has no retrier for ${error}`);
  return retrier;
}

/** What happens to an invocation instead of what the function does; `name` is plan, conclude, or the part's. */
type Fate = (invoke: () => Promise<Answer>, name: string) => Promise<Answer | Refused>;

const throttled: Refused = { status: 429, refused: 'TooManyRequestsException' };
const down: Refused = { status: 500, refused: 'ServiceException' };
const failWith = (errorType: string): Answer => ({
  failed: { errorType, errorMessage: `The message of ${errorType}` },
});

describe.skipIf(environment === undefined)('in moto, an execution', () => {
  let directory: string;
  let s3: S3Store;
  let origin: Awaited<ReturnType<typeof startOrigin>>;
  let functions: BuiltFunctions;
  let bridge: CloudBridge;
  let moto: Moto;
  let runs = 0;
  let runId: string;
  let fate: Fate;
  let inFlight = 0;
  let mostInFlight = 0;
  /** How often the function for each part, and each of the others, was invoked. */
  let invocations: Map<string, number>;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'batch-fetcher-moto-'));
    s3 = await startS3Store({ directory, buckets: [bucket] });
    origin = await startOrigin();
    functions = startBuiltFunctions({
      RESULTS_BUCKET: bucket,
      POST_URL: `${origin.url}/posts/{id}`,
      ORIGIN_CONCURRENCY: '200',
      MAX_ATTEMPTS: '1',
      AWS_ENDPOINT_URL_S3: s3.endpoint,
    });
    bridge = await startCloudBridge({
      invoke: invokeByFate,
      read: (from, key) => readFile(join(directory, from, key), 'utf8'),
    });
    moto = startMoto({
      environment: environment ?? '',
      definition: JSON.parse(JSON.stringify(definition).replace('"JSONL"', '"JSON"')),
      port: bridge.port,
    });
  }, 60_000);

  beforeEach(() => {
    runId = `run-${++runs}`;
    fate = (invoke) => invoke();
    mostInFlight = 0;
    invocations = new Map();
    origin.requests.length = 0;
  });

  afterAll(async () => {
    const left = await moto.leave();
    const code = await functions.leave();
    await bridge.close();
    await origin.close();
    await s3.close();
    await rm(directory, { recursive: true });
    expect([left, code]).toStrictEqual([{ code: 0, stderr: '' }, 0]);
  });

  async function invokeByFate(functionName: string, event: unknown): Promise<Answer | Refused> {
    const { runId: ownRunId, redrive } = event as { runId?: string; redrive?: string };
    const part = (redrive ?? ownRunId ?? '').split('.').at(-1) ?? '';
    const name = functionName === 'fetch' ? part : functionName;
    invocations.set(name, (invocations.get(name) ?? 0) + 1);
    mostInFlight = Math.max(mostInFlight, ++inFlight);
    try {
      return await fate(() => functions.invoke(functionName, event), name);
    } finally {
      inFlight -= 1;
    }
  }

  const execute = (input: unknown, name = runId): Promise<Ended> => moto.execute(name, input);
  const invoked = (name: string): number => invocations.get(name) ?? 0;

  const hundred = { ids: [{ from: 1, to: 100 }], partSize: 5 };
  const oneToHundred = Array.from({ length: 100 }, (_, i) => i + 1);

  interface Manifest {
    readonly parts: readonly { readonly key: string; readonly runId: string }[];
    readonly summary: object;
  }

  async function readManifest(): Promise<Manifest> {
    return JSON.parse(await readFile(join(directory, bucket, `runs/${runId}.manifest.json`), 'utf8'));
  }

  /** The ids that the parts fetched, in the order of the run's manifest. */
  async function fetchedIds(): Promise<number[]> {
    const { parts } = await readManifest();
    const documents = parts.map(async ({ key }) => {
      const { results } = JSON.parse(await readFile(join(directory, bucket, key), 'utf8'));
      return results.map(({ id }: { id: number }) => id);
    });
    return (await Promise.all(documents)).flat();
  }

  test('fetches every post once, in parts, no more of them at once than the origin is to see', async () => {
    expect(await execute(hundred)).toStrictEqual({
      status: 'SUCCEEDED',
      output: expect.objectContaining({
        runId,
        location: `s3://results/runs/${runId}.manifest.json`,
        summary: expect.objectContaining({ requested: 100, fulfilled: 100, failed: 0, complete: true }),
      }),
      error: null,
      cause: null,
      states: ['Plan', 'FetchParts', 'Conclude', 'HasEveryPartItsDocument', 'Concluded'],
      mapFailed: false,
      waits: [],
    });
    expect(origin.requests.toSorted((a, b) => a - b)).toStrictEqual(oneToHundred);
    expect(await fetchedIds()).toStrictEqual(oneToHundred);
    // ORIGIN_CONCURRENCY 200, CONCURRENCY 50.
    expect(mostInFlight).toBe(4);
    expect(bridge.written.at(-1)).toMatch(new RegExp(`^runs/map-results/${runId}/.+/manifest\\.json$`));
  });

  test('of no ids is whole', async () => {
    const { status, output } = await execute({ ids: [] });
    expect([status, output]).toMatchObject(['SUCCEEDED', { summary: { requested: 0, complete: true } }]);
  });

  test('tries again what was throttled, failed in Lambda, or timed out with its document there', async () => {
    fate = async (invoke, name) => {
      const times = invoked(name);
      if (times === 1 && (name === 'plan' || name === 'part-000002')) return throttled;
      if (times <= 3 && name === 'part-000003') return throttled;
      if (times === 1 && name === 'conclude') return down;
      const answer = await invoke();
      return times === 1 && name === 'part-000004' ? failWith('Sandbox.Timedout') : answer;
    };
    const { status, mapFailed, waits } = await execute(hundred);
    expect([status, mapFailed]).toStrictEqual(['SUCCEEDED', false]);
    expect([...invocations].filter(([, times]) => times > 1).sort()).toStrictEqual([
      ['conclude', 2],
      ['part-000002', 2],
      ['part-000003', 4],
      ['part-000004', 2],
      ['plan', 2],
    ]);
    expect(waits).toHaveLength(7);
    expect(await fetchedIds()).toStrictEqual(oneToHundred);
    // The part that timed out is replayed from its document.
    expect(origin.requests).toHaveLength(100);
  });

  test('that loses a part to throttling has tried as often, and waited as long, as the definition says', async () => {
    fate = async (invoke, name) => (name === 'part-000019' ? throttled : invoke());
    const { status, error, cause, states, mapFailed, waits } = await execute(hundred);
    expect([status, error, mapFailed]).toStrictEqual(['FAILED', 'PartsFailed', false]);
    expect(states.slice(-3)).toStrictEqual(['Conclude', 'HasEveryPartItsDocument', 'PartsFailed']);
    expect(cause).toContain('1 of 20 parts have no document (part-000019)');
    const retrier = retrierOf('Lambda.TooManyRequestsException', 'FetchPart');
    expect(invoked('part-000019')).toBe(1 + retrier.MaxAttempts);
    expect(waits).toHaveLength(retrier.MaxAttempts);
    // With full jitter, from none to all of it.
    const longest = waits.map((_, i) =>
      Math.min(retrier.IntervalSeconds * retrier.BackoffRate ** i, retrier.MaxDelaySeconds),
    );
    expect(waits.map((wait, i) => wait >= 0 && wait <= (longest[i] ?? 0))).not.toContain(false);
    expect((await readManifest()).summary).toMatchObject({ requested: 100, fulfilled: 95, failed: 5 });

    fate = (invoke) => invoke();
    origin.requests.length = 0;
    const redriven = await execute({ redrive: runId }, `${runId}-again`);
    expect([redriven.status, redriven.output]).toMatchObject([
      'SUCCEEDED',
      { runId, summary: { fulfilled: 100, failed: 0, complete: true } },
    ]);
    expect(origin.requests.toSorted((a, b) => a - b)).toStrictEqual([96, 97, 98, 99, 100]);
    expect(await fetchedIds()).toStrictEqual(oneToHundred);
  });

  test('that loses more parts than are tolerated, to a failure that would be the same again, is concluded', async () => {
    fate = async (invoke, name) => (/^part-0000(0|10)/.test(name) ? failWith('ConfigError') : invoke());
    const { status, error, cause, mapFailed, waits } = await execute(hundred);
    expect([status, error, mapFailed, waits]).toStrictEqual(['FAILED', 'PartsFailed', true, []]);
    expect(cause).toContain('11 of 20 parts have no document (part-000000, part-000001, ');
    expect([...invocations.values()]).toStrictEqual(Array(22).fill(1));
    expect((await readManifest()).summary).toMatchObject({ requested: 100, fulfilled: 45, failed: 55 });
  });

  test('that is redriven fetches again what parts left, and nothing else', async () => {
    origin.fail([7, 43, 44]);
    const first = await execute(hundred);
    expect([first.status, first.output]).toMatchObject([
      'SUCCEEDED',
      { errors: { byCode: { HTTP_ERROR: 3 } }, summary: { fulfilled: 97, rejected: 3 } },
    ]);
    origin.fail([]);
    origin.requests.length = 0;
    const redriven = await execute({ redrive: runId }, `${runId}-again`);
    expect([redriven.status, redriven.output]).toMatchObject([
      'SUCCEEDED',
      { errors: { total: 0 }, summary: { fulfilled: 100, rejected: 0, complete: true } },
    ]);
    expect(origin.requests.toSorted((a, b) => a - b)).toStrictEqual([7, 43, 44]);
    const names = (await readManifest()).parts.map((part) => part.runId);
    expect(names.filter((name) => /redrive/.test(name))).toStrictEqual([
      `${runId}.part-000001.redrive-1`,
      `${runId}.part-000008.redrive-1`,
    ]);
    expect(await fetchedIds()).toStrictEqual(oneToHundred);
  });

  test.each([
    [{ ids: 'all' }, 'BadInputError'],
    [{ manifest: 's3://lists/none.csv' }, 'BadInputError'],
  ])('of the input %j fails with %s, and without a second try', async (input, name) => {
    const { status, error, waits } = await execute(input);
    expect([status, error, waits]).toStrictEqual(['FAILED', name, []]);
    expect([...invocations]).toStrictEqual([['plan', 1]]);
  });
});

/** Posts of any id; for some, it answers 500. */
async function startOrigin() {
  const requests: number[] = [];
  let failing: readonly number[] = [];
  const server = createServer((request, response) => {
    const id = Number(request.url?.split('/').at(-1));
    requests.push(id);
    response.statusCode = failing.includes(id) ? 500 : 200;
    response.end(JSON.stringify({ id }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, // a TCP server's address is no string
    requests,
    fail(ids: readonly number[]): void {
      failing = ids;
    },
    close(): Promise<void> {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
