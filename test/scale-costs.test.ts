import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  expressHttpTasks,
  limits,
  measured,
  oneContainer,
  prices,
  rendered,
  runAtScale,
  standardHttpTasks,
} from '../scripts/scale-costs.ts';
import { cutIntoParts, partLine } from '../src/parts.ts';

const doc = readFileSync(join(import.meta.dirname, '../docs/scale.md'), 'utf8');
const million = {
  posts: 1_000_000,
  partSize: 5_000,
  originConcurrency: 500,
  concurrency: 50,
  latencySeconds: 0.05,
  originRate: 10_000,
  postBytes: 300,
};

test('docs/scale.md has the tables that its script computes', () => {
  expect(rendered(doc)).toBe(doc);
});

test('a table that was changed by hand is not what the script computes', () => {
  expect(rendered(doc.replace('| 1,000,000 |', '| 1,000,001 |'))).toBe(doc);
  expect(() => rendered(doc.replace('<!-- costs:end -->', ''))).toThrow('a place for the table costs');
});

test('a million posts from an origin that takes 10,000 a second', () => {
  const run = runAtScale(million);
  // By hand: 200 parts, 10 at a time, each 5,000 posts at 1,000 a second.
  expect(run).toMatchObject({
    parts: 200,
    partsInFlight: 10,
    partSeconds: 5,
    fetchSeconds: 100,
    postsPerSecond: 10_000,
    bound: 'the origin',
    documentBytes: 5_000 * 410,
    puts: 202,
    gets: 604,
    transitions: 1_007,
    maxPartSize: 25_000,
    s3PutsPerSecond: 2,
  });
  // 200 parts of 5 s with half a GB, and conclude.
  expect(run.gbSeconds).toBeCloseTo(500 + run.concludeSeconds, 6);
  expect(run.cost.lambda).toBeCloseTo(run.gbSeconds * 0.0000133334 + 202 * 2e-7, 9);
  expect(run.cost.stepFunctions).toBeCloseTo(0.025175, 9);
  expect(run.cost.s3Requests).toBeCloseTo(202 * 5e-6 + 604 * 4e-7, 9);
  expect(run.storedGb).toBeCloseTo(0.3818, 4);
  expect(run.total).toBeCloseTo(run.cost.lambda + run.cost.stepFunctions + run.cost.s3Requests, 12);
});

test('what bounds a part is its share of the origin, the latency, or the share of a core', () => {
  expect(runAtScale({ ...million, originRate: 1_000 })).toMatchObject({
    bound: 'the origin',
    partSeconds: 50,
  });
  expect(runAtScale({ ...million, latencySeconds: 0.5 })).toMatchObject({
    bound: 'latency',
    partSeconds: 50,
  });
  const fast = runAtScale({ ...million, latencySeconds: 0.001, originRate: 1e6 });
  expect(fast.bound).toBe('CPU');
  expect(5_000 / fast.partSeconds).toBeCloseTo(512 / 1_769 / 74e-6, 6);
});

test('the last wave of parts takes as long as the others', () => {
  expect(runAtScale({ ...million, posts: 1_005_000 }).fetchSeconds).toBe(105);
});

test('a large part is an upload of several requests', () => {
  // 20,000 × 410 bytes are 7.8 MiB: two parts, one request before and one after.
  expect(runAtScale({ ...million, partSize: 20_000 }).putsPerPart).toBe(4);
});

test('ids that are long make parts smaller, as those of plan are', () => {
  const posts = 1_000_000_000;
  const { partSize } = runAtScale({ ...million, posts, partSize: 100_000 });
  expect(partSize).toBe(18_181);
  const [part] = cutIntoParts('run', [{ from: 1_000_000_000, to: 1_000_100_000 }], 100_000);
  expect(JSON.parse(partLine(part as never)).ids).toStrictEqual([{ from: 1_000_000_000, to: 1_000_018_180 }]);
});

test('the other ways, by hand', () => {
  expect(standardHttpTasks(million).total).toBeCloseTo(75, 9);
  // 2,500 children of 400 posts, 40 at a time: half a second each, with 64 MB.
  expect(expressHttpTasks(million)).toMatchObject({ children: 2_500, gbSeconds: 2_500 * 0.5 * 0.0625 });
  expect(expressHttpTasks(million).total).toBeCloseTo(0.0025 + 78.125 * 0.00001667, 9);
  // 300 a second are what an account may do of them, whatever the origin takes.
  for (const tasks of [standardHttpTasks, expressHttpTasks]) {
    expect(tasks(million).seconds).toBeCloseTo(3_333.3, 1);
    expect(tasks({ ...million, originRate: 100 }).seconds).toBe(10_000);
  }
  const container = oneContainer({ ...million, posts: 36_000_000 });
  expect([container.rate, container.hours]).toStrictEqual([10_000, 1]);
  expect(container.total).toBeCloseTo(0.03238 + 2 * 0.00356, 9);
  expect(oneContainer({ ...million, originRate: 1e6, originConcurrency: 5_000 }).rate).toBeCloseTo(
    13_513.5,
    1,
  );
});

test('every price and limit has its source, and is above nothing', () => {
  for (const { dollars, source } of Object.values(prices)) {
    expect(dollars).toBeGreaterThan(0);
    expect(source).toMatch(/^https:\/\/aws\.amazon\.com\//);
  }
  for (const { value, source } of Object.values(limits)) {
    expect(value).toBeGreaterThan(0);
    expect(source).toMatch(/^https:\/\/docs\.aws\.amazon\.com\//);
  }
});

test('what is assumed of the deployment is what serverless.yml says', () => {
  const yml = readFileSync(join(import.meta.dirname, '../serverless.yml'), 'utf8');
  const memory = (name: string) =>
    new RegExp(`\\n  ${name}:\\n(?:    .*\\n)*?    memorySize: (\\d+)\\n`).exec(yml)?.[1];
  expect([memory('fetch'), memory('conclude')].map(Number)).toStrictEqual([
    measured.memoryMb,
    measured.concludeMemoryMb,
  ]);
  expect(yml).toContain(`WRITE_RESERVE_MS: ${measured.writeReserveSeconds * 1_000}\n`);
  const machine = readFileSync(join(import.meta.dirname, '../state-machine/fetch-at-scale.asl.json'), 'utf8');
  const { States } = JSON.parse(machine);
  const part = States.FetchParts.ItemProcessor.States;
  // Of those that exclude each other, a part or an execution passes one.
  expect(Object.keys(part)).toHaveLength(measured.transitionsPerPart - 2 + 1);
  expect(Object.keys(States)).toHaveLength(measured.transitionsPerExecution - 2 + 1);
});
