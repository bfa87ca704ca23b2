import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import {
  executionsOf,
  historyEvents,
  mostIdsOfPart,
  mostPostsToConclude,
  planMb,
  type ScaleInputs,
  scaleOf,
  singleRunOf,
} from '../../scripts/scale-costs/costs.ts';
import { assumed, deployed, limits, measured, prices } from '../../scripts/scale-costs/facts.ts';
import { render } from '../../scripts/scale-costs/main.ts';
import {
  expressHttpTasks,
  expressParts,
  oneContainer,
  standardHttpTasks,
} from '../../scripts/scale-costs/peers.ts';
import { VARIABLES } from '../../src/lambda/config.ts';
import { cutIntoParts, type Part, partLine } from '../../src/run/parts/parts.ts';
import { mostPartsInFlight } from '../../src/run/parts/plan.ts';

const project = join(import.meta.dirname, '../..');
const read = (name: string): string => readFileSync(join(project, name), 'utf8');
const doc = read('docs/scale.md');

const million: ScaleInputs = {
  posts: 1_000_000,
  partSize: 5_000,
  postBytes: 300,
  latencyMs: 50,
  originRatePerSecond: 10_000,
  originConcurrency: 500,
  concurrency: 50,
};
const billion: ScaleInputs = { ...million, posts: 1_000_000_000, partSize: 15_000 };

test('docs/scale.md has the tables that its script computes', () => {
  expect(render(doc)).toBe(doc);
});

test('a table that was changed by hand is made anew, and one without its place is an error', () => {
  const changed = doc.replace('| 1,000,000 |', '| 1,000,001 |');
  expect(changed).not.toBe(doc);
  expect(render(changed)).toBe(doc);
  expect(() => render(doc.replace('scale-costs:begin costs', ''))).toThrow(
    '<!-- scale-costs:begin costs -->',
  );
});

test('a million posts from an origin that takes 10,000 a second', () => {
  // By hand: 200 parts, 10 at a time, each 5,000 posts at 1,000 a second; a document has 2,050,000 bytes.
  expect(scaleOf(million)).toMatchObject({
    partSize: 5_000,
    parts: 200,
    partsInFlight: 10,
    partRate: 1_000,
    partSeconds: 5,
    fetchSeconds: 100,
    bound: 'the origin',
    putsPerPart: 1,
    getsToConclude: 2,
    // 200 documents, the plan, the manifest, two files of the Map's.
    puts: 204,
    // 200 × 3, the plan twice, the manifest.
    gets: 603,
    // 200 × 4, and five states around them.
    transitions: 805,
    concludeMb: 115.2,
  });
});

test('what a million posts cost, by service', () => {
  const run = scaleOf(million);
  // 400 GETs of 1.1 ms and 0.1 s of hashing take 0.54 s of a core, of which 1,024 MB have 0.579.
  expect(run.concludeSeconds).toBeCloseTo(0.54 / (1_024 / 1_769), 9);
  // 200 functions of 5 s and half a GB, and conclude with one GB.
  expect(run.gbSeconds).toBeCloseTo(500 + run.concludeSeconds, 9);
  expect(run.cost.lambda).toBeCloseTo(run.gbSeconds * 0.0000133334 + 202 * 0.0000002, 12);
  expect(run.cost.stepFunctions).toBeCloseTo(0.020125, 12);
  expect(run.cost.s3Requests).toBeCloseTo(0.00102 + 0.0002412, 12);
  expect(run.cost.logs).toBeCloseTo((480_000 / 1_073_741_824) * 0.5, 12);
  expect(run.total).toBeCloseTo(0.028329, 6);
  expect(run.storageMonth).toBeCloseTo((410_000_000 / 1_073_741_824) * 0.023, 12);
});

test('what a run in one function costs', () => {
  const run = singleRunOf({ posts: 100_000, postBytes: 300, latencyMs: 50 });
  // 1,000 posts a second of half a GB; 41 MB are eight parts of an upload, a request before and one after.
  expect(run.seconds).toBe(100);
  expect(run.cost.lambda).toBeCloseTo(50 * 0.0000133334 + 0.0000002, 12);
  // And a claim, renewed six times.
  expect(run.puts).toBe(10 + 1 + 6);
  expect(run.cost.s3Requests).toBeCloseTo(17 * 0.000005 + 0.0000004, 12);
  expect(run.cost.logs).toBeCloseTo((2_400 / 1_073_741_824) * 0.5, 12);
  expect(run.total).toBeCloseTo(0.000753, 6);
  expect(run.storageMonth).toBeCloseTo((41_000_000 / 1_073_741_824) * 0.023, 12);
});

test('what bounds a part is its share of the origin, the latency, or its share of a vCPU', () => {
  expect(scaleOf({ ...million, originRatePerSecond: 1_000 })).toMatchObject({
    bound: 'the origin',
    partSeconds: 50,
  });
  expect(scaleOf({ ...million, latencyMs: 500 })).toMatchObject({ bound: 'latency', partSeconds: 50 });
  const near = { ...million, latencyMs: 1, originRatePerSecond: 1_000_000 };
  expect(scaleOf(near)).toMatchObject({ bound: 'CPU' });
  expect(scaleOf(near).partRate).toBeCloseTo(512 / 1_769 / 74e-6, 6);
  expect(scaleOf({ ...near, memoryMb: 1_769 }).partRate).toBeCloseTo(13_513.5, 1);
});

test('functions that wait for the origin cost as much as those that fetch', () => {
  const slow = { ...million, originRatePerSecond: 1_000 };
  const filled = scaleOf({ ...slow, originConcurrency: 50 });
  expect(scaleOf(slow).fetchSeconds).toBe(filled.fetchSeconds);
  expect(scaleOf(slow).gbSeconds - scaleOf(slow).concludeSeconds).toBeCloseTo(
    10 * (filled.gbSeconds - filled.concludeSeconds),
    6,
  );
});

test('the last parts take as long as the others', () => {
  expect(scaleOf({ ...million, posts: 1_005_000 }).fetchSeconds).toBe(105);
});

test('parts are no faster than a Map starts them', () => {
  // 100,000 parts of ten posts, 100 a second.
  const many = {
    ...million,
    partSize: 10,
    latencyMs: 1,
    originConcurrency: 50_000,
    originRatePerSecond: 1e6,
  };
  expect(scaleOf(many).fetchSeconds).toBe(1_000);
});

test('parts at once are as many as plan allows, and no more than functions of the account', () => {
  const atOnce = (originConcurrency: number, lambdaConcurrency = 20_000): number =>
    scaleOf({ ...billion, originConcurrency, lambdaConcurrency }).partsInFlight;
  for (const originConcurrency of [50, 99, 5_000, 2_000_000])
    expect(atOnce(originConcurrency)).toBe(mostPartsInFlight({ originConcurrency, concurrency: 50 }));
  expect(atOnce(2_000_000, 1_000)).toBe(1_000);
});

test('a document above 5 MiB is an upload of several requests, a short one is read at once', () => {
  // 20,000 × 410 bytes are 7.8 MiB: two parts, one request before and one after.
  expect(scaleOf({ ...million, partSize: 20_000 }).putsPerPart).toBe(4);
  // 100 × 410 bytes are within its last 64 KiB.
  expect(scaleOf({ ...million, partSize: 100 })).toMatchObject({ putsPerPart: 1, getsToConclude: 1 });
});

test('ids that are long make parts smaller, as those of plan are', () => {
  expect(mostIdsOfPart(billion.posts)).toBe(18_181);
  expect(scaleOf({ ...billion, partSize: 100_000 })).toMatchObject({ partSize: 18_181, parts: 55_003 });
  const [part] = cutIntoParts('run', [{ from: 1, to: billion.posts }], 100_000);
  expect(part?.ids).toStrictEqual([{ from: 1, to: 18_181 }]);
});

test('a part of ranges takes no longer a line in the plan than is reckoned', () => {
  const part: Part = {
    part: 66_666,
    runId: 'nightly.part-066666',
    firstIndex: 999_990_000,
    ids: [{ from: 999_990_001, to: 1_000_000_000 }],
  };
  expect(partLine(part).length).toBeLessThanOrEqual(measured.planLineBytes);
});

test('conclude has no time for a billion posts in parts of the default size', () => {
  const partsOf5000 = scaleOf({ ...billion, partSize: 5_000 });
  // 400,000 GETs of 1.1 ms and 100 s of hashing, on 0.579 of a core.
  expect(partsOf5000).toMatchObject({ parts: 200_000, concludeMb: 315 });
  expect(partsOf5000.concludeSeconds).toBeCloseTo(540 / (1_024 / 1_769), 6);
  expect(partsOf5000.concludeSeconds).toBeGreaterThan(limits.lambdaSeconds.value);
  expect(scaleOf({ ...billion, partSize: 5_000, concludeMemoryMb: 1_769 }).concludeSeconds).toBeCloseTo(540);
  expect(scaleOf(billion).concludeSeconds).toBeLessThan(limits.lambdaSeconds.value / 2);
  // With a core of its own, 900 s / (2.2 ms / 5,000 + 0.1 µs).
  expect(mostPostsToConclude(5_000, 1_769)).toBe(Math.floor(900 / 5.4e-7));
  const most = mostPostsToConclude(5_000, 1_024);
  expect(scaleOf({ ...billion, partSize: 5_000, posts: most }).concludeSeconds).toBeCloseTo(900, 1);
});

test('with many cores to it, conclude waits for S3', () => {
  // 133,334 GETs of 20 ms, 32 at a time.
  const { concludeSeconds } = scaleOf({ ...billion, concludeMemoryMb: 1_769_000 });
  expect(concludeSeconds).toBeCloseTo((133_334 * 0.02) / 32, 9);
});

test('ids in no order are executions of ten million, as many as plan has memory for', () => {
  expect([executionsOf(10_000_000), executionsOf(10_000_001), executionsOf(1e9)]).toStrictEqual([1, 2, 100]);
  expect(planMb(10_000_000)).toBe(415);
  expect(planMb(10_000_000)).toBeLessThan(deployed.planMemoryMb);
  expect(planMb(1e9)).toBeGreaterThan(limits.lambdaMemoryMb.value);
});

test('express parts are a transition, a request and their time', () => {
  const perPart = 0.000025 + 0.000001 + 5 * 0.0625 * 0.00001667;
  expect(expressParts(million)).toBeCloseTo(5 * 0.000025 + 200 * perPart, 12);
  expect(expressParts({ ...million, originRatePerSecond: 100 })).toBeUndefined();
});

test('an HTTP Task a child is bounded by how many children a Map starts a second', () => {
  expect(standardHttpTasks(million).seconds).toBe(10_000);
  expect(standardHttpTasks(million).total).toBeCloseTo(50.000025, 9);
  expect(standardHttpTasks({ ...million, originRatePerSecond: 50 }).seconds).toBe(20_000);
});

test('HTTP Tasks in batches are bounded by how many an account may do a second', () => {
  // 2,500 children of 400 posts at 300 a second: 1.33 s each, billed as 1.4.
  const tasks = expressHttpTasks(million);
  expect(tasks).toMatchObject({ children: 2_500, childSeconds: 400 / 300 });
  expect(tasks.seconds).toBeCloseTo(3_333.33, 2);
  const perChild = 0.000025 + 0.000001 + 1.4 * 0.0625 * 0.00001667;
  expect(tasks.total).toBeCloseTo(0.000025 + 2_500 * perChild, 9);
  // Ten rounds of 40, a second each.
  expect(expressHttpTasks({ ...million, latencyMs: 1_000 }).childSeconds).toBe(10);
  // 262,144 bytes hold 25 answers of 10,110.
  expect(expressHttpTasks({ ...million, postBytes: 10_000 }).children).toBe(40_000);
});

test('a container is bounded by the origin, by its concurrency, or by what one process was measured at', () => {
  const hour = { ...million, posts: 36_000_000 };
  expect(oneContainer(hour)).toMatchObject({ rate: 10_000, seconds: 3_600 });
  const { cost } = scaleOf(hour);
  expect(oneContainer(hour).total).toBeCloseTo(
    0.03238 + 2 * 0.00356 + 0.005 + cost.s3Requests + cost.logs,
    9,
  );
  const fast = { ...million, originRatePerSecond: 1e6, originConcurrency: 5_000 };
  expect(oneContainer(fast).rate).toBe(10_000);
  expect(oneContainer({ ...fast, latencyMs: 10 }).rate).toBe(12_000);
});

test('every price and limit is above nothing and has a page of AWS as its source', () => {
  for (const { value, name, source } of [...Object.values(prices), ...Object.values(limits)]) {
    expect(value, name).toBeGreaterThan(0);
    expect(source, name).toMatch(/^https:\/\/(docs\.)?aws\.amazon\.com\/\S+$/);
  }
});

test('what is taken as deployed is what serverless.yml says', () => {
  const { functions, params } = parse(read('serverless.yml').replaceAll(/!\w+/g, ''));
  expect({
    concurrency: params.default.concurrency,
    fetchMemoryMb: functions.fetch.memorySize,
    planMemoryMb: functions.plan.memorySize,
    concludeMemoryMb: functions.conclude.memorySize,
    maxIds: params.default.planMaxIds,
    writeReserveSeconds: params.default.writeReserveMs / 1_000,
    documentsExpireAfterDays: params.default.documentsExpireAfterDays,
  }).toStrictEqual({
    concurrency: deployed.concurrency,
    fetchMemoryMb: deployed.fetchMemoryMb,
    planMemoryMb: deployed.planMemoryMb,
    concludeMemoryMb: deployed.concludeMemoryMb,
    maxIds: deployed.maxIds,
    writeReserveSeconds: deployed.writeReserveSeconds,
    documentsExpireAfterDays: deployed.documentsExpireAfterDays,
  });
  expect(functions.fetch.timeout).toBe(limits.lambdaSeconds.value);
});

test('what is taken from the source is what stands there', () => {
  expect(VARIABLES.concurrency).toMatchObject({
    fallback: String(deployed.concurrency),
    expected: `an integer from 1 to ${deployed.maxConcurrency}`,
  });
  expect(assumed.expressBatch / limits.inlineConcurrency.value).toBeLessThan(limits.httpTaskSeconds.value);
});

test('states, retries and events are those of the state machine', () => {
  interface State {
    readonly Type: string;
    readonly Retry?: readonly { readonly MaxAttempts: number }[];
  }
  const { States } = parse(read('deploy/fetch-at-scale.asl.yml'), { merge: true });
  const around: Readonly<Record<string, State>> = States;
  const part: Readonly<Record<string, State>> = States.FetchParts.ItemProcessor.States;
  const retriesOf = (state: State | undefined): number =>
    state?.Retry?.reduce((sum, { MaxAttempts }) => sum + MaxAttempts, 0) ?? 0;
  expect(States.FetchParts.ItemProcessor.ProcessorConfig.ExecutionType).toBe('STANDARD');
  // A part is not redriven where nothing fails, and an execution ends in one of two states.
  expect(Object.keys(part)).toHaveLength(deployed.statesPerPart + 1);
  expect(Object.keys(around)).toHaveLength(deployed.statesPerExecution + 1);
  expect([part.FetchPart, part.RedrivePart].map(retriesOf)).toStrictEqual([
    deployed.retriesPerPart,
    deployed.retriesPerPart,
  ]);
  expect([around.Plan, around.Conclude].map(retriesOf)).toStrictEqual([
    deployed.retriesAround,
    deployed.retriesAround,
  ]);
  // 2 + 2 × (5 + 3 × 10) + 4, and 2 + 2 × (5 + 3 × 10) + 6 + 4.
  expect(historyEvents()).toStrictEqual({ part: 76, parent: 82 });
});
