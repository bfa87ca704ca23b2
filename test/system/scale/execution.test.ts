import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import validate from 'asl-validator';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { contextOf, type Handler } from '../../../local/world/functions.ts';
import { ExecutionFailedError, execute, readDefinition } from '../../../local/world/interpret.ts';
import { listen } from '../../../local/world/listen.ts';
import { type PostsStub, startPostsStub } from '../../../local/world/posts.ts';
import { type S3Store, startS3Store } from '../../../local/world/s3.ts';
import { handler as concludeHandler } from '../../../src/lambda/conclude.ts';
import { handler as planHandler } from '../../../src/lambda/plan.ts';
import type { Plan } from '../../../src/run/parts/plan.ts';

const bucket = 'results';
const definition = readDefinition({
  Partition: 'aws',
  PlanFunctionArn: 'arn:aws:lambda:us-east-1:123456789012:function:plan',
  FetchFunctionArn: 'arn:aws:lambda:us-east-1:123456789012:function:fetch',
  ConcludeFunctionArn: 'arn:aws:lambda:us-east-1:123456789012:function:conclude',
});

/** What happens to an invocation for a part instead of what the function does. */
type Fate = (fetchPart: () => Promise<unknown>, part: string, event: object) => Promise<unknown>;

let directory: string;
let s3: S3Store;
let stub: PostsStub;
let fetchHandler: Handler;
let runs = 0;
let runId: string;
let inFlight = 0;
let mostInFlight = 0;
/** How often the function for each part was invoked. */
let invocations: Map<string, number>;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'batch-fetcher-scale-'));
  s3 = await startS3Store({ directory, buckets: [bucket, 'lists'] });
  stub = await startPostsStub({ latencyMs: () => 0 });
});
beforeEach(async () => {
  const env = {
    RESULTS_BUCKET: bucket,
    POST_URL: `${stub.url}/posts/{id}`,
    ORIGIN_CONCURRENCY: '200',
    ...s3.environment,
  };
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  fetchHandler ??= (await import('../../../src/lambda/fetch.ts')).handler as Handler;
  runId = `run-${++runs}`;
  mostInFlight = 0;
  invocations = new Map();
});
afterEach(() => {
  vi.unstubAllEnvs();
});
afterAll(async () => {
  await stub.close();
  await s3.close();
  await rm(directory, { recursive: true });
});

/** Runs the state machine with the functions' own handlers; `fate` is what befalls those that fetch. */
function run(input: object, fate: Fate = (fetchPart) => fetchPart(), name = runId): Promise<unknown> {
  return execute(definition, {
    name,
    input,
    retryMs: 0,
    readLines: (from, key) => readFile(join(directory, from, key), 'utf8'),
    async invoke(functionArn, event) {
      const functionName = functionArn.slice(functionArn.lastIndexOf(':') + 1);
      if (functionName === 'plan') return planHandler(event, contextOf('request', 60_000));
      if (functionName === 'conclude') return concludeHandler(event, contextOf('request', 60_000));
      const { runId: ownRunId, redrive } = event as { runId: string; redrive?: string };
      const partRunId = redrive ?? ownRunId;
      const part = partRunId.slice(partRunId.lastIndexOf('.') + 1);
      invocations.set(part, (invocations.get(part) ?? 0) + 1);
      mostInFlight = Math.max(mostInFlight, ++inFlight);
      try {
        return await fate(() => fetchHandler(event, contextOf('request', 60_000)), part, event as object);
      } finally {
        inFlight -= 1;
      }
    },
  });
}

/** Posts of any id; for some, it answers 500 until it recovers. */
async function startFlaky(failing: readonly number[]) {
  const requests: number[] = [];
  let isDown = true;
  const server = createServer((request, response) => {
    const id = Number(request.url?.split('/').at(-1));
    requests.push(id);
    response.statusCode = isDown && failing.includes(id) ? 500 : 200;
    response.end(JSON.stringify({ id }));
  });
  const { origin, close } = await listen(server);
  return {
    url: origin,
    requests,
    close,
    recover(): void {
      isDown = false;
    },
  };
}

const failWith = (name: string) => Object.assign(new Error(`The message of ${name}`), { name });

const read = (key: string): string => readFileSync(join(directory, bucket, key), 'utf8');

function manifestOf(id = runId) {
  return JSON.parse(read(`runs/${id}.manifest.json`));
}

/** The ids that the parts of a run fetched, in the order of its manifest. */
function idsIn(manifest: ReturnType<typeof manifestOf>): number[] {
  return manifest.parts.flatMap(({ key }: { key: string }) =>
    JSON.parse(read(key)).results.map(({ id }: { id: number }) => id),
  );
}

const hundred = { ids: [{ from: 1, to: 100 }], partSize: 5 };

test('the definition is valid in the Amazon States Language', () => {
  const { isValid, errorsText } = validate(definition, { checkArn: true, checkPaths: true });
  expect([isValid, errorsText()]).toStrictEqual([true, '']);
});

describe('an execution', () => {
  test('fetches every post once, in parts, and ends with a manifest of them in order', async () => {
    const before = stub.requests();
    const output = await run(hundred);
    expect(output).toMatchObject({
      runId,
      location: `s3://results/runs/${runId}.manifest.json`,
      summary: { requested: 100, fulfilled: 100, rejected: 0, failed: 0, complete: true },
    });
    expect(stub.requests() - before).toBe(100);
    const manifest = manifestOf();
    expect(idsIn(manifest)).toStrictEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    expect(manifest.parts.map(({ firstIndex }: { firstIndex: number }) => firstIndex)).toStrictEqual(
      Array.from({ length: 20 }, (_, i) => 5 * i),
    );
  });

  test('has no more parts in flight than the origin is to see', async () => {
    await run(hundred);
    // ORIGIN_CONCURRENCY 200, CONCURRENCY 50.
    expect(mostInFlight).toBe(4);
  });

  test('takes the ids of a manifest', async () => {
    await writeFile(join(directory, 'lists', 'ids.csv'), 'id\n7\n5\n99\n');
    await run({ manifest: 's3://lists/ids.csv', partSize: 2 });
    expect(idsIn(manifestOf())).toStrictEqual([7, 5, 99]);
  });

  test('of no ids is whole', async () => {
    await expect(run({ ids: [] })).resolves.toMatchObject({ summary: { requested: 0, complete: true } });
  });

  test('is not harmed by parts that are delivered twice, at once or one after the other', async () => {
    await run(hundred, async (fetchPart, part) => {
      if (Number(part.at(-1)) % 2 === 0) return (await Promise.all([fetchPart(), fetchPart()]))[0];
      await fetchPart();
      return fetchPart();
    });
    expect(manifestOf().summary).toMatchObject({ fulfilled: 100, complete: true });
    expect(idsIn(manifestOf())).toHaveLength(100);
  });

  test('tries parts again that were throttled, or timed out with and without their document', async () => {
    await run(hundred, async (fetchPart, part) => {
      const isFirst = invocations.get(part) === 1;
      if (isFirst && part === 'part-000002') throw failWith('Lambda.TooManyRequestsException');
      if (isFirst && part === 'part-000003') throw failWith('Sandbox.Timedout');
      const reply = await fetchPart();
      if (isFirst && part === 'part-000004') throw failWith('States.Timeout');
      return reply;
    });
    expect(manifestOf().summary).toMatchObject({ fulfilled: 100, complete: true });
    expect([...invocations].filter(([, times]) => times > 1).map(([part]) => part)).toStrictEqual([
      'part-000002',
      'part-000003',
      'part-000004',
    ]);
  });

  test('that loses a part has the others, and fails with the name of the part and how to redrive it', async () => {
    const losing = run(hundred, (fetchPart, part) => {
      if (part === 'part-000007') throw failWith('Sandbox.Timedout');
      return fetchPart();
    });
    await expect(losing).rejects.toMatchObject({
      name: 'PartsFailed',
      message: expect.stringContaining('1 of 20 parts have no document (part-000007)'),
    });
    // Once, and two retries.
    expect(invocations.get('part-000007')).toBe(3);
    const { summary, parts } = manifestOf();
    expect(summary).toMatchObject({ requested: 100, fulfilled: 95, failed: 5, complete: false });
    const { redrive } = parts[7];
    expect(redrive).toStrictEqual({ ids: [{ from: 36, to: 40 }], runId: `${runId}.part-000007`, part: 7 });

    const before = stub.requests();
    await expect(run({ redrive: runId }, undefined, 'another-execution')).resolves.toMatchObject({
      runId,
      summary: { fulfilled: 100, failed: 0, complete: true },
    });
    expect(stub.requests() - before).toBe(5);
    expect(manifestOf().summary.complete).toBe(true);
  });

  test('that is redriven fetches again what parts left, and nothing else', async () => {
    const origin = await startFlaky([7, 43, 44]);
    vi.stubEnv('POST_URL', `${origin.url}/posts/{id}`);
    vi.stubEnv('MAX_ATTEMPTS', '1');
    vi.resetModules();
    const { handler } = await import('../../../src/lambda/fetch.ts');
    const fate: Fate = (_fetchPart, _part, event) => handler(event, contextOf('request', 60_000) as never);
    await run(hundred, fate);
    expect(manifestOf()).toMatchObject({
      errors: { byCode: { HTTP_ERROR: 3 }, retryable: 3 },
      summary: { fulfilled: 97, rejected: 3 },
    });
    origin.recover();
    const before = origin.requests.length;
    const redrives: object[] = [];
    const watched: Fate = (fetchPart, part, event) => {
      if ('redrive' in event) redrives.push(event);
      return fate(fetchPart, part, event);
    };
    await expect(run({ redrive: runId }, watched, 'redrive')).resolves.toMatchObject({
      errors: { total: 0, retryable: 0 },
      summary: { fulfilled: 100, rejected: 0, complete: true },
    });
    expect(origin.requests.slice(before).sort()).toStrictEqual([43, 44, 7]);
    const share = { partsInFlight: 4, learned: null };
    expect(redrives).toStrictEqual([
      { redrive: `${runId}.part-000001`, ...share },
      { redrive: `${runId}.part-000008`, ...share },
    ]);
    const { parts } = manifestOf();
    const redriven = ['part-000001.redrive-1', 'part-000008.redrive-1'].map((name) => `${runId}.${name}`);
    expect(
      parts.map((part: { runId: string }) => part.runId).filter((id: string) => /redrive/.test(id)),
    ).toStrictEqual(redriven);
    expect(idsIn(manifestOf())).toStrictEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    await origin.close();
  });

  test('has each part take its share of the origin, and a redrive that of what the run has learned', async () => {
    const events: object[] = [];
    const fate: Fate = (fetchPart, part, event) => {
      events.push(event);
      if (part === 'part-000007' && events.length < 100) throw failWith('ConfigError');
      return fetchPart();
    };
    await expect(run(hundred, fate)).rejects.toMatchObject({ name: 'PartsFailed' });
    // ORIGIN_CONCURRENCY 200, CONCURRENCY 50.
    expect(events[0]).toStrictEqual({
      part: 0,
      ids: [{ from: 1, to: 5 }],
      runId: `${runId}.part-000000`,
      partsInFlight: 4,
      learned: null,
    });
    const manifest = manifestOf();
    expect(manifest.summary.learned).toStrictEqual({ perSecond: null, inFlight: null, told: null });

    const learned = { perSecond: null, inFlight: 160, told: null };
    const file = join(directory, bucket, `runs/${runId}.manifest.json`);
    const text = read(`runs/${runId}.manifest.json`);
    const { summary } = manifest;
    await writeFile(
      file,
      text.replace(/"summary":.*/, `"summary":${JSON.stringify({ ...summary, learned })}}`),
    );
    events.length = 100;
    await run({ redrive: runId }, fate, 'redrive');
    expect(events.slice(100).every((event) => 'partsInFlight' in event)).toBe(true);
    expect(events.find((event) => 'part' in event && event.part === 7)).toMatchObject({ learned: null });
    expect(events.findLast((event) => 'part' in event && event.part === 7)).toStrictEqual({
      part: 7,
      ids: [{ from: 36, to: 40 }],
      runId: `${runId}.part-000007`,
      partsInFlight: 4,
      learned: { ...learned, at: summary.finishedAt },
    });
    const part = JSON.parse(read(`runs/${runId}.part-000007.json`));
    expect(part.summary.concurrency.min).toBe(20);
  });

  test('does not try a part again whose failure would be the same', async () => {
    const failing = run(hundred, (fetchPart, part) => {
      if (part === 'part-000007') throw failWith('ConfigError');
      return fetchPart();
    });
    await expect(failing).rejects.toMatchObject({ name: 'PartsFailed' });
    expect(invocations.get('part-000007')).toBe(1);
  });

  test('that loses more parts than are tolerated is concluded all the same', async () => {
    const losing = run(hundred, (fetchPart, part) => {
      if (part < 'part-000011') throw failWith('ConfigError');
      return fetchPart();
    });
    await expect(losing).rejects.toMatchObject({
      name: 'PartsFailed',
      message: expect.stringContaining('11 of 20 parts have no document (part-000000, part-000001, '),
    });
    expect(manifestOf().summary).toMatchObject({ requested: 100, fulfilled: 45, failed: 55 });
  });

  test('whose run id names a run of other ids fails before anything is fetched', async () => {
    await run(hundred);
    const before = stub.requests();
    await expect(run({ ids: [1, 2], runId }, undefined, 'another-execution')).rejects.toMatchObject({
      name: 'RunConflictError',
    });
    expect(stub.requests()).toBe(before);
  });

  test.each([
    [{ ids: 'all' }, 'BadInputError'],
    [{ manifest: 's3://lists/none.csv' }, 'BadInputError'],
    [{ manifest: 's3://results/runs/payroll.json' }, 'BadInputError'],
  ])('of the input %j fails with %s', async (input, name) => {
    await expect(run(input)).rejects.toMatchObject({ name });
  });

  test('whose state would pass 256 KB fails as on AWS', async () => {
    await expect(run({ ids: ['x'.repeat(262_144)] })).rejects.toThrow(ExecutionFailedError);
  });
});

describe('the handlers', () => {
  test('of plan takes what the state machine gives it', async () => {
    await expect(planHandler({ ids: [1] }, contextOf('request', 60_000))).rejects.toThrow(
      'Expected `event` to be an object with "input" and "execution", got {"ids":[…]}',
    );
    const plan: Plan = await planHandler(
      { input: { ids: [1] }, execution: runId },
      contextOf('request', 60_000),
    );
    expect(plan).toMatchObject({ runId, parts: 1, partsInFlight: 1 });
  });

  test.each([[null], [{}], [{ input: {} }]])('of plan refuses %j', async (event) => {
    await expect(planHandler(event, contextOf('request', 60_000))).rejects.toThrow(
      'Expected `event` to be an object',
    );
  });

  test.each([[null], ['run'], [{}]])('of conclude refuses %j', async (event) => {
    await expect(concludeHandler(event, contextOf('request', 60_000))).rejects.toThrow(
      'Expected `event` to be an object with "runId"',
    );
  });

  test.each([4_481, 100_000])('refuse what is nested %i deep, and do not show it', async (levels) => {
    const deep = JSON.parse(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`);
    const refusal = (place: string) => `Expected \`${place}\` to be nested at most 64 deep, got more`;
    await expect(
      planHandler({ input: deep, execution: runId }, contextOf('request', 60_000)),
    ).rejects.toThrow(refusal('input'));
    await expect(planHandler(deep, contextOf('request', 60_000))).rejects.toThrow(/ got \{"a":\{…\}\}$/);
    await expect(
      planHandler({ input: { ids: [1] }, execution: deep }, contextOf('request', 60_000)),
    ).rejects.toThrow(/ got \{"a":\{…\}\}$/);
    await expect(concludeHandler({ runId: deep }, contextOf('request', 60_000))).rejects.toThrow(
      refusal('event'),
    );
    await expect(concludeHandler(deep, contextOf('request', 60_000))).rejects.toThrow(refusal('event'));
  });

  test('say in time that their time ran out', async () => {
    const noTime = { ...contextOf('request', 60_000), getRemainingTimeInMillis: () => 250 };
    await expect(planHandler({ input: { ids: [1] }, execution: runId }, noTime)).rejects.toMatchObject({
      code: 'STORE_FAILED',
      message: `The parts of ${runId} could not be written before the function's time ran out`,
    });
    await expect(concludeHandler({ runId }, noTime)).rejects.toMatchObject({
      message: `The manifest of ${runId} could not be written before the function's time ran out`,
    });
  });

  test('of conclude refuses a run that was not planned', async () => {
    await expect(concludeHandler({ runId: 'unplanned' }, contextOf('request', 60_000))).rejects.toThrow(
      'Expected the run unplanned to have been planned',
    );
  });
});
