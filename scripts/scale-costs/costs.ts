import { MAX_PART_SIZE } from '../../src/lambda/events/plan-input.ts';
import { MAX_WRITTEN_BYTES } from '../../src/run/parts/parts.ts';
import { assumed, deployed, limits, measured, prices } from './facts.ts';

/** What is fetched, the ids from 1 on as a range, from where, and with which settings. */
export interface ScaleInputs {
  readonly posts: number;
  readonly partSize: number;
  readonly postBytes: number;
  /** Until the origin has answered. */
  readonly latencyMs: number;
  /** Posts a second that the origin bears. */
  readonly originRatePerSecond: number;
  /** Most requests in flight of all parts. */
  readonly originConcurrency: number;
  /** Of each part. */
  readonly concurrency: number;
  /** Of the function that fetches a part. @default that of serverless.yml */
  readonly memoryMb?: number;
  /** Of the function that concludes. @default that of serverless.yml */
  readonly concludeMemoryMb?: number;
  /** @default the quota of an account */
  readonly lambdaConcurrency?: number;
}

/** Counts, durations in seconds and costs in dollars of a run on the state machine where nothing fails. */
export function scaleOf(inputs: ScaleInputs) {
  const { posts, postBytes, latencyMs, originRatePerSecond, originConcurrency, concurrency } = inputs;
  const {
    memoryMb = deployed.fetchMemoryMb,
    concludeMemoryMb = deployed.concludeMemoryMb,
    lambdaConcurrency = limits.lambdaConcurrency.value,
  } = inputs;
  const largestByIds = mostIdsOfPart(posts);
  const partSize = Math.min(inputs.partSize, largestByIds, MAX_PART_SIZE, posts);
  const parts = Math.ceil(posts / partSize);
  const partsInFlight = Math.min(
    parts,
    Math.floor(originConcurrency / concurrency),
    limits.mapConcurrency.value,
    lambdaConcurrency,
  );
  const byLatency = concurrency / (latencyMs / 1_000);
  const byCpu = cpuRateOf(vcpuOf(memoryMb));
  const byOrigin = originRatePerSecond / partsInFlight;
  const partRate = Math.min(byLatency, byCpu, byOrigin);
  const partSeconds = partSize / partRate;
  const fetchSeconds = Math.max(
    Math.ceil(parts / partsInFlight) * partSeconds,
    parts / limits.standardStarts.value,
  );

  const documentBytes = documentBytesOf(partSize, postBytes);
  const putsPerPart = requestsToWrite(documentBytes);
  const getsToConclude = documentBytes <= deployed.tailBytes ? 1 : 2;
  // Besides the documents: the plan, the manifest, and two files of the Map's.
  const puts = parts * putsPerPart + requestsToWrite(parts * measured.planLineBytes) + 1 + 2;
  // Each document is looked for, and read to conclude; the plan is read twice, and a manifest is looked for.
  const gets = parts * (1 + getsToConclude) + 3;
  const concludeSeconds = Math.max(
    (parts * getsToConclude * assumed.getSeconds) / deployed.readsInFlight,
    (parts * getsToConclude * measured.concludeCpuSecondsPerGet + posts / measured.hashedIdsPerSecond) /
      vcpuOf(concludeMemoryMb),
  );

  // A Map's start of a child is a transition of its own.
  const transitions = deployed.statesPerExecution + parts * (1 + deployed.statesPerPart);
  const gbSeconds = (posts / partRate) * gbOf(memoryMb) + concludeSeconds * gbOf(concludeMemoryMb);
  const storedGb = documentBytesOf(posts, postBytes) / 1_024 ** 3;
  const logGb = (parts * measured.logBytesPerPart) / 1_024 ** 3;
  const cost = {
    lambda: gbSeconds * prices.lambdaGbSecond.value + (parts + 2) * prices.lambdaRequest.value,
    stepFunctions: transitions * prices.stateTransition.value,
    s3Requests: puts * prices.s3Put.value + gets * prices.s3Get.value,
    logs: logGb * prices.logsGb.value,
  };
  return {
    partSize,
    parts,
    partsInFlight,
    partRate,
    partSeconds,
    fetchSeconds,
    bound: partRate === byOrigin ? 'the origin' : partRate === byLatency ? 'latency' : 'CPU',
    putsPerPart,
    getsToConclude,
    puts,
    gets,
    transitions,
    gbSeconds,
    storedGb,
    concludeSeconds,
    concludeMb: measured.concludeBaseMb + (parts * measured.concludeBytesPerPart) / 1e6,
    cost,
    total: cost.lambda + cost.stepFunctions + cost.s3Requests + cost.logs,
    storageMonth: storedGb * prices.s3GbMonth.value,
  };
}

/** Seconds and costs in dollars of a run in the function `fetch` by itself, from an origin that takes what comes. */
export function singleRunOf({
  posts,
  postBytes,
  latencyMs,
}: Pick<ScaleInputs, 'posts' | 'postBytes' | 'latencyMs'>) {
  const byLatency = deployed.concurrency / (latencyMs / 1_000);
  const seconds = posts / Math.min(byLatency, cpuRateOf(vcpuOf(deployed.fetchMemoryMb)));
  const bytes = documentBytesOf(posts, postBytes);
  // The claim, and each time that it is renewed; a document is looked for.
  const puts = requestsToWrite(bytes) + 1 + Math.floor(seconds / deployed.claimSeconds);
  const cost = {
    lambda: seconds * gbOf(deployed.fetchMemoryMb) * prices.lambdaGbSecond.value + prices.lambdaRequest.value,
    s3Requests: puts * prices.s3Put.value + prices.s3Get.value,
    logs: (measured.logBytesPerPart / 1_024 ** 3) * prices.logsGb.value,
  };
  return {
    seconds,
    puts,
    cost,
    total: cost.lambda + cost.s3Requests + cost.logs,
    storageMonth: (bytes / 1_024 ** 3) * prices.s3GbMonth.value,
  };
}

/** The share of a vCPU that a function has. */
export function vcpuOf(memoryMb: number): number {
  return memoryMb / limits.vcpuMemoryMb.value;
}

/** Posts a second that so much of a CPU fetches. */
export function cpuRateOf(vcpu: number): number {
  return vcpu / measured.cpuSecondsPerPost;
}

export function documentBytesOf(posts: number, postBytes: number): number {
  return posts * (postBytes + measured.lineBytes);
}

/** A PUT; or a request to begin an upload, one with each of its parts, and one to complete it. */
export function requestsToWrite(bytes: number): number {
  return bytes <= deployed.uploadPartBytes ? 1 : Math.ceil(bytes / deployed.uploadPartBytes) + 2;
}

function gbOf(memoryMb: number): number {
  return memoryMb / 1_024;
}

/** How many ids as long as the last of so many posts a part may have, as plan cuts it. */
export function mostIdsOfPart(posts: number): number {
  return Math.floor(MAX_WRITTEN_BYTES / (String(posts).length + 1));
}

/** The most posts whose parts conclude reads in its time, where each takes two GETs: its CPU decides. */
export function mostPostsToConclude(partSize: number, concludeMemoryMb: number): number {
  const cpuSeconds = limits.lambdaSeconds.value * vcpuOf(concludeMemoryMb);
  const cpuSecondsPerPost =
    (2 * measured.concludeCpuSecondsPerGet) / partSize + 1 / measured.hashedIdsPerSecond;
  return Math.floor(cpuSeconds / cpuSecondsPerPost);
}

/** The MB that plan takes for a manifest of so many ids in no order. */
export function planMb(ids: number): number {
  return measured.planBaseMb + (ids * measured.planBytesPerEntry) / 1e6;
}

/** Executions for so many ids in no order, which manifests have to list one by one. */
export function executionsOf(ids: number): number {
  return Math.ceil(ids / deployed.maxManifestEntries);
}

/** The most events of a history: 5 of a task and 3 for each retry, 2 of any other state, the start and the end. */
export function historyEvents() {
  const task = (retries: number): number => 5 + 3 * retries;
  return {
    // Two tasks, a choice, and the end.
    part: 2 + 2 * task(deployed.retriesPerPart) + 2 + 2,
    // Two tasks, a Map with its run, a choice, and the end.
    parent: 2 + 2 * task(deployed.retriesAround) + 6 + 2 + 2,
  };
}
