import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MAX_PARTS, MAX_WRITTEN_BYTES } from '../src/run/parts/parts.ts';
import { MAX_PART_SIZE } from '../src/run/parts/plan.ts';

const docFile = join(import.meta.dirname, '../docs/scale.md');
const readOn = '2026-11-25';

/** Where a number was read: in a copy of its source, in what others quote of it, or nowhere: general knowledge. */
type Read = 'source' | 'quoted' | 'not confirmed';

interface Fact {
  readonly value: number;
  readonly name: string;
  readonly source: string;
  readonly read: Read;
}

function fact(value: number, name: string, source: string, read: Read): Fact {
  return { value, name, source, read };
}

const lambdaPrices = 'https://aws.amazon.com/lambda/pricing/';
const s3Prices = 'https://aws.amazon.com/s3/pricing/';
const logPrices = 'https://aws.amazon.com/cloudwatch/pricing/';
const sfnPrices = 'https://aws.amazon.com/step-functions/pricing/';
const fargatePrices = 'https://aws.amazon.com/fargate/pricing/';
const vpcPrices = 'https://aws.amazon.com/vpc/pricing/';

/** List prices of us-east-1 in US dollars, of the first tier, without free tiers, discounts and taxes. */
export const prices = {
  lambdaGbSecond: fact(0.0000133334, 'a GB-second of Lambda, arm64', lambdaPrices, 'quoted'),
  lambdaRequest: fact(0.2 / 1e6, 'an invocation of Lambda', lambdaPrices, 'quoted'),
  s3Put: fact(0.005 / 1e3, 'a PUT or POST to S3 Standard, those of an upload too', s3Prices, 'quoted'),
  s3Get: fact(0.0004 / 1e3, 'a GET or HEAD of S3 Standard', s3Prices, 'quoted'),
  s3GbMonth: fact(0.023, 'a GB-month of S3 Standard', s3Prices, 'quoted'),
  logsGb: fact(0.5, 'a GB that CloudWatch Logs takes in', logPrices, 'quoted'),
  stateTransition: fact(0.025 / 1e3, 'a state transition of a standard workflow', sfnPrices, 'source'),
  expressRequest: fact(1 / 1e6, 'a request of an express workflow', sfnPrices, 'quoted'),
  expressGbSecond: fact(0.00001667, 'a GB-second of an express workflow', sfnPrices, 'quoted'),
  fargateVcpuHour: fact(0.03238, 'a vCPU-hour of Fargate, arm64', fargatePrices, 'quoted'),
  fargateGbHour: fact(0.00356, 'a GB-hour of Fargate, arm64', fargatePrices, 'quoted'),
  publicIpv4Hour: fact(0.005, 'an hour of a public IPv4 address', vpcPrices, 'not confirmed'),
} as const;

const sfnGuide = 'https://docs.aws.amazon.com/step-functions/latest/dg';
const sfnQuotas = `${sfnGuide}/service-quotas.html`;
const sfnMap = `${sfnGuide}/state-map.html`;
const itemReader = `${sfnGuide}/input-output-itemreader.html`;
const lambdaGuide = 'https://docs.aws.amazon.com/lambda/latest/dg';
const lambdaQuotas = `${lambdaGuide}/gettingstarted-limits.html`;
const lambdaScaling = `${lambdaGuide}/scaling-behavior.html`;
const lambdaMemory = `${lambdaGuide}/configuration-memory.html`;
const s3Guide = 'https://docs.aws.amazon.com/AmazonS3/latest/userguide';
const s3Rates = `${s3Guide}/optimizing-performance.html`;
const s3Uploads = `${s3Guide}/qfacts.html`;

/** What AWS allows in us-east-1, by default. */
export const limits = {
  mapConcurrency: fact(10_000, 'children of a Map at once', sfnQuotas, 'source'),
  standardStarts: fact(100, 'standard children that a Map starts a second', sfnQuotas, 'source'),
  openMapRuns: fact(1_000, 'Map runs of an account at once', sfnQuotas, 'source'),
  transitions: fact(5_000, 'state transitions a second', sfnQuotas, 'source'),
  payloadBytes: fact(262_144, 'bytes of a payload', sfnQuotas, 'source'),
  historyEvents: fact(25_000, 'events of a history', sfnQuotas, 'source'),
  standardDays: fact(365, 'days of a standard execution', sfnQuotas, 'source'),
  expressSeconds: fact(300, 'seconds of an express execution', sfnQuotas, 'source'),
  httpTasks: fact(300, 'HTTP Tasks a second', sfnQuotas, 'source'),
  httpTaskSeconds: fact(60, 'seconds of an HTTP Task', sfnQuotas, 'source'),
  inlineConcurrency: fact(40, 'iterations of an inline Map at once', sfnMap, 'source'),
  itemReaderBytes: fact(10e9, 'bytes of an object that the Map reads', itemReader, 'not confirmed'),
  itemReaderItems: fact(100e6, 'items that the Map reads', itemReader, 'not confirmed'),
  lambdaConcurrency: fact(1_000, 'functions of an account at once', lambdaQuotas, 'source'),
  lambdaStarts: fact(100, 'environments more a second, of a function', lambdaScaling, 'source'),
  lambdaSeconds: fact(900, 'seconds of a function', lambdaQuotas, 'source'),
  lambdaMemoryMb: fact(10_240, 'MB of a function', lambdaQuotas, 'source'),
  vcpuMemoryMb: fact(1_769, 'MB of a function with a whole vCPU', lambdaMemory, 'source'),
  s3Puts: fact(3_500, 'PUTs a second under a prefix', s3Rates, 'quoted'),
  s3Gets: fact(5_500, 'GETs a second under a prefix', s3Rates, 'quoted'),
  s3UploadParts: fact(10_000, 'parts of an upload', s3Uploads, 'source'),
} as const;

/** As serverless.yml, the state machine and the source have it. */
export const deployed = {
  concurrency: 50,
  /** The most that CONCURRENCY may be, of a process. */
  maxConcurrency: 500,
  fetchMemoryMb: 512,
  planMemoryMb: 2_048,
  concludeMemoryMb: 1_024,
  maxIds: 1_000_000_000,
  maxManifestEntries: 10_000_000,
  defaultPartSize: 5_000,
  writeReserveSeconds: 15,
  documentsExpireAfterDays: 30,
  readsInFlight: 32,
  /** What of a document's end is read first; a longer one takes a second GET, for its head. */
  tailBytes: 65_536,
  uploadPartBytes: 5 * 1_024 ** 2,
  /** FetchPart, HasItMoreToFetch, PartFetched. */
  statesPerPart: 3,
  /** Plan, FetchParts, Conclude, HasEveryPartItsDocument, Concluded. */
  statesPerExecution: 5,
  /** Of the task of a part; of plan and conclude. */
  retriesPerPart: 10,
  retriesAround: 10,
} as const;

/** Measured on two x86 cores with Node 24, without TLS: the arm64 cores of Lambda and Fargate differ. */
export const measured = {
  cpuSecondsPerPost: 74e-6,
  /** Of one process, from an origin on the same machine. */
  postsPerSecond: 12_000,
  /** Of an outcome's line, besides the post. */
  lineBytes: 110,
  /** Of a part in the plan, whose ids are a range. */
  planLineBytes: 120,
  logBytesPerPart: 1_800,
  planSecondsPerEntry: 1.2e-6,
  planBaseMb: 85,
  planBytesPerEntry: 33,
  hashedIdsPerSecond: 10e6,
  concludeCpuSecondsPerGet: 1.1e-3,
  concludeBaseMb: 115,
  concludeBytesPerPart: 1_000,
  manifestBytesPerPart: 250,
} as const;

export const assumed = {
  postBytes: 300,
  latencyMs: 50,
  /** Until S3 has answered a GET of some kilobytes. */
  getSeconds: 0.02,
  /** What an express execution is billed as having: 64 MB, of which it may be a multiple. */
  expressGb: 64 / 1_024,
  /** Posts of an express child with HTTP Tasks, where their answers fit into a payload. */
  expressBatch: 400,
  containerVcpu: 1,
  containerGb: 2,
} as const;

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

const vcpuOf = (memoryMb: number): number => memoryMb / limits.vcpuMemoryMb.value;
const gbOf = (memoryMb: number): number => memoryMb / 1_024;
const cpuRateOf = (vcpu: number): number => vcpu / measured.cpuSecondsPerPost;
const documentBytesOf = (posts: number, postBytes: number): number =>
  posts * (postBytes + measured.lineBytes);

/** A PUT; or a request to begin an upload, those with its parts, and one to complete it. */
function requestsToWrite(bytes: number): number {
  return bytes <= deployed.uploadPartBytes ? 1 : Math.ceil(bytes / deployed.uploadPartBytes) + 2;
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

/** What Step Functions would cost were the parts express workflows; undefined where a part outlives one. */
export function expressParts(inputs: ScaleInputs): number | undefined {
  const { parts, partSeconds } = scaleOf(inputs);
  if (partSeconds > limits.expressSeconds.value) return undefined;
  const transitions = deployed.statesPerExecution + parts;
  return transitions * prices.stateTransition.value + parts * expressExecution(partSeconds);
}

function expressExecution(seconds: number): number {
  // Without the error of a sum such as 0.1 + 0.2, which would be a step more.
  const billedSeconds = Math.ceil(Number((seconds * 10).toFixed(6))) / 10;
  return prices.expressRequest.value + billedSeconds * assumed.expressGb * prices.expressGbSecond.value;
}

/** An HTTP Task for each post, in a standard child of one state. */
export function standardHttpTasks({ posts, originRatePerSecond, latencyMs }: ScaleInputs) {
  const rate = Math.min(
    originRatePerSecond,
    limits.httpTasks.value,
    limits.standardStarts.value,
    limits.mapConcurrency.value / (latencyMs / 1_000),
  );
  // The start of each child and its state; the Map itself.
  const transitions = 2 * posts + 1;
  return { seconds: posts / rate, total: transitions * prices.stateTransition.value };
}

/** An HTTP Task for each post, in express children that have an inline Map over some hundreds each. */
export function expressHttpTasks({ posts, originRatePerSecond, latencyMs, postBytes }: ScaleInputs) {
  const batch = Math.min(
    assumed.expressBatch,
    Math.floor(limits.payloadBytes.value / (postBytes + measured.lineBytes)),
  );
  const rate = Math.min(originRatePerSecond, limits.httpTasks.value);
  const children = Math.ceil(posts / batch);
  const childSeconds = Math.max(
    Math.ceil(batch / limits.inlineConcurrency.value) * (latencyMs / 1_000),
    batch / rate,
  );
  const total = (children + 1) * prices.stateTransition.value + children * expressExecution(childSeconds);
  return { children, childSeconds, seconds: posts / rate, total };
}

/** This engine as one process in one Fargate task, which writes the same documents, part by part. */
export function oneContainer(inputs: ScaleInputs) {
  const { posts, latencyMs, originRatePerSecond, originConcurrency } = inputs;
  const rate = Math.min(
    originRatePerSecond,
    Math.min(originConcurrency, deployed.maxConcurrency) / (latencyMs / 1_000),
    measured.postsPerSecond,
    cpuRateOf(assumed.containerVcpu),
  );
  const seconds = posts / rate;
  const hourly =
    assumed.containerVcpu * prices.fargateVcpuHour.value +
    assumed.containerGb * prices.fargateGbHour.value +
    prices.publicIpv4Hour.value;
  const { cost } = scaleOf(inputs);
  return { rate, seconds, total: (seconds / 3_600) * hourly + cost.s3Requests + cost.logs };
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

const common = {
  postBytes: assumed.postBytes,
  latencyMs: assumed.latencyMs,
  concurrency: deployed.concurrency,
};
const scenarios: readonly ScaleInputs[] = [
  { ...common, posts: 1e6, partSize: 5_000, originConcurrency: 50, originRatePerSecond: 1_000 },
  { ...common, posts: 1e6, partSize: 5_000, originConcurrency: 500, originRatePerSecond: 10_000 },
  { ...common, posts: 1e7, partSize: 5_000, originConcurrency: 50, originRatePerSecond: 1_000 },
  { ...common, posts: 1e7, partSize: 5_000, originConcurrency: 500, originRatePerSecond: 1_000 },
  { ...common, posts: 1e7, partSize: 5_000, originConcurrency: 500, originRatePerSecond: 10_000 },
  { ...common, posts: 1e9, partSize: 15_000, originConcurrency: 50, originRatePerSecond: 1_000 },
  { ...common, posts: 1e9, partSize: 15_000, originConcurrency: 500, originRatePerSecond: 10_000 },
  { ...common, posts: 1e9, partSize: 15_000, originConcurrency: 5_000, originRatePerSecond: 100_000 },
];
const partSizesOfABillion = [1_000, 5_000, 10_000, 15_000, mostIdsOfPart(1e9)];

type Column<Row> = readonly [head: string, cell: (row: Row) => string];

const SCENARIO: readonly Column<ScaleInputs>[] = [
  ['posts', ({ posts }) => count(posts)],
  ['origin: posts/s, in flight', (of) => `${count(of.originRatePerSecond)}, ${count(of.originConcurrency)}`],
];

/** The tables of docs/scale.md, by the name of their place in it. */
function tables(): Readonly<Record<string, string>> {
  const runs = scenarios.map((scenario) => ({ ...scenario, ...scaleOf(scenario), scenario }));
  return {
    inputs: table(inputRows(), [
      ['input', ([name]) => name],
      ['value', ([, value]) => value],
      ['from', ([, , from]) => from],
    ]),
    runs: table(runs, [
      ...SCENARIO,
      ['part size', (run) => count(run.partSize)],
      ['parts', (run) => count(run.parts)],
      ['at once', (run) => count(run.partsInFlight)],
      ['one takes', (run) => duration(run.partSeconds)],
      ['all take', (run) => duration(run.fetchSeconds)],
      ['bound by', (run) => run.bound],
      ['S3 PUT', (run) => count(run.puts)],
      ['S3 GET', (run) => count(run.gets)],
      ['documents', (run) => `${amount(run.storedGb)} GB`],
    ]),
    costs: table(runs, [
      ...SCENARIO,
      ['Lambda', ({ cost }) => dollars(cost.lambda)],
      ['Step Functions', ({ cost }) => dollars(cost.stepFunctions)],
      ['S3 requests', ({ cost }) => dollars(cost.s3Requests)],
      ['logs', ({ cost }) => dollars(cost.logs)],
      ['together', ({ total }) => `**${dollars(total)}**`],
      ['a month of S3', ({ storageMonth }) => dollars(storageMonth)],
      ['Step Functions, were parts express', ({ scenario }) => expressText(expressParts(scenario))],
    ]),
    peers: table(runs, [
      ...SCENARIO,
      ['this state machine', (run) => costAndTime(run.total, run.fetchSeconds + run.concludeSeconds)],
      ['an HTTP Task a child, standard', ({ scenario }) => peerText(standardHttpTasks(scenario))],
      ['HTTP Tasks in batches, express', ({ scenario }) => peerText(expressHttpTasks(scenario))],
      ['one container', ({ scenario }) => peerText(oneContainer(scenario))],
    ]),
    limits: table(limitRows(), [
      ['limit', ([limit]) => limit],
      ['where it bites', ([, bites]) => bites],
      ['what to set then', ([, , then = '–']) => then],
    ]),
    conclude: table(partSizesOfABillion, [
      ['part size', count],
      ['parts', (partSize) => count(ofABillion(partSize).parts)],
      ['manifest', (partSize) => `${amount(manifestMb(ofABillion(partSize).parts))} MB`],
      [
        `memory, of ${count(deployed.concludeMemoryMb)} MB`,
        (partSize) => within(ofABillion(partSize).concludeMb, deployed.concludeMemoryMb, 'MB'),
      ],
      ...[deployed.concludeMemoryMb, limits.vcpuMemoryMb.value].map(
        (memoryMb): Column<number> => [
          `time with ${count(memoryMb)} MB, of ${limits.lambdaSeconds.value} s`,
          (partSize) =>
            within(ofABillion(partSize, memoryMb).concludeSeconds, limits.lambdaSeconds.value, 's'),
        ],
      ),
    ]),
    prices: table(Object.values(prices), [
      ['price', ({ name, source }) => `[${name}](${source})`],
      ['US dollars', ({ value }) => value.toFixed(10).replace(/0+$/, '')],
      [`read, ${readOn}`, ({ read }) => read],
    ]),
  };
}

function ofABillion(partSize: number, concludeMemoryMb: number = deployed.concludeMemoryMb) {
  const origin = { originConcurrency: 500, originRatePerSecond: 10_000 };
  return scaleOf({ ...common, ...origin, posts: 1e9, partSize, concludeMemoryMb });
}

function manifestMb(parts: number): number {
  return (parts * measured.manifestBytesPerPart) / 1e6;
}

type InputRow = readonly [name: string, value: string, from: string];

function inputRows(): readonly InputRow[] {
  const vcpu = vcpuOf(deployed.fetchMemoryMb);
  const byLatency = deployed.concurrency / (assumed.latencyMs / 1_000);
  const byCpu = cpuRateOf(vcpu);
  const { cpuSecondsPerPost, concludeCpuSecondsPerGet, hashedIdsPerSecond } = measured;
  return [
    ['a post', `${assumed.postBytes} bytes`, 'assumed'],
    ['its outcome in the document, besides it', `${measured.lineBytes} bytes`, 'measured'],
    ['latency of the origin', `${assumed.latencyMs} ms`, 'assumed'],
    ['`CONCURRENCY`, of a part', String(deployed.concurrency), 'serverless.yml'],
    ['memory of `fetch`', `${deployed.fetchMemoryMb} MB`, 'serverless.yml'],
    ['its share of a vCPU', amount(vcpu), `÷ ${link(limits.vcpuMemoryMb)}`],
    ['CPU of a post', `${amount(cpuSecondsPerPost * 1e6)} µs`, 'measured'],
    ['so a function fetches, by latency', `${count(byLatency)}/s`, 'computed'],
    ['and by CPU', `${count(Math.round(byCpu))}/s`, 'computed'],
    [
      'CPU is the bound below a latency of',
      `${amount((deployed.concurrency / byCpu) * 1e3)} ms`,
      'computed, where the origin takes it',
    ],
    ['one process with a core of its own', `${count(measured.postsPerSecond)}/s`, 'measured'],
    ['`conclude`: CPU of a GET', `${amount(concludeCpuSecondsPerGet * 1e3)} ms`, 'measured'],
    ['`conclude`: ids hashed', `${amount(hashedIdsPerSecond / 1e6)} million/s`, 'measured'],
    ['a GET of some KB from S3', `${assumed.getSeconds * 1e3} ms`, 'assumed'],
  ];
}

type LimitRow = readonly [limit: string, bites: string, then?: string];

function limitRows(): readonly LimitRow[] {
  const { concurrency, maxManifestEntries, planMemoryMb, concludeMemoryMb, defaultPartSize } = deployed;
  const starts = limits.standardStarts.value;
  const events = historyEvents();
  const idBytes = String(1e9).length + 1;
  const billionAt = (rate: number): string => `${duration(1e9 / rate)} at ${count(rate)}/s`;
  const mostPuts = requestsToWrite(documentBytesOf(MAX_PART_SIZE, assumed.postBytes));
  const largestDocument = limits.s3UploadParts.value * deployed.uploadPartBytes;
  const planSeconds = (maxManifestEntries * measured.planSecondsPerEntry) / vcpuOf(planMemoryMb);
  const slowestPart = 15_000 / (limits.lambdaSeconds.value - deployed.writeReserveSeconds);
  const expireSeconds = deployed.documentsExpireAfterDays * 86_400;
  return [
    [
      "the origin's rate",
      `always: a billion posts take ${[1_000, 10_000, 100_000].map(billionAt).join(', ')}`,
      '`originConcurrency` = rate × latency, and no more. Where the rate is known, `RATE_LIMIT` = rate ÷ parts at once',
    ],
    [
      link(limits.mapConcurrency),
      `above an \`originConcurrency\` of ${count(limits.mapConcurrency.value * concurrency)}`,
      'nothing: `plan` sets MaxConcurrency, and no higher',
    ],
    [
      link(limits.standardStarts),
      `where a second takes more parts: at 100,000 posts/s, below a \`partSize\` of ${count(1e5 / starts)}. And ${count(limits.mapConcurrency.value)} at once take ${duration(limits.mapConcurrency.value / starts)} to start`,
      'a larger `partSize`',
    ],
    [link(limits.openMapRuns), 'with as many executions', 'nothing: further ones wait'],
    [
      link(limits.transitions),
      `never: ${starts} parts a second have ${starts * (1 + deployed.statesPerPart)}. Most regions allow 800`,
    ],
    [
      link(limits.payloadBytes),
      `an event that lists ${count(Math.floor(limits.payloadBytes.value / idBytes))} ids of ten digits. Parts are cut to ${count(MAX_WRITTEN_BYTES)} bytes of ids, ${count(mostIdsOfPart(1e9))} of ten digits, as a reply may list all of them`,
      'ranges, or a manifest',
    ],
    [
      link(limits.historyEvents),
      `never: the parent has ${events.parent} at most, and each part ${events.part} in a history of its own`,
    ],
    [
      link(limits.standardDays),
      `a billion posts below ${amount(1e9 / (limits.standardDays.value * 86_400))}/s`,
      'several executions',
    ],
    [
      link(limits.itemReaderBytes),
      `never: ${count(MAX_PARTS)} parts that are ranges take ${amount((MAX_PARTS * measured.planLineBytes) / 1e6)} MB, ${count(maxManifestEntries)} ids in no order ${amount((maxManifestEntries * idBytes) / 1e6)} MB`,
    ],
    [link(limits.itemReaderItems), `never: \`plan\` makes ${count(MAX_PARTS)} parts at most`],
    [
      link(limits.lambdaConcurrency),
      `above an \`originConcurrency\` of ${count(limits.lambdaConcurrency.value * concurrency)}; earlier where other functions run, or the account is new`,
      'a raised quota; or a higher `CONCURRENCY`, for fewer functions. Throttled parts are tried again',
    ],
    [link(limits.lambdaStarts), `never: the Map starts ${starts} parts a second`],
    [
      link(limits.lambdaSeconds),
      `a part of 15,000 that gets less than ${amount(slowestPart)} posts/s`,
      'a smaller `partSize`. What was left is `DEADLINE`, and `{"redrive": …}` fetches it',
    ],
    [
      link(limits.s3Puts),
      `never: ${starts} parts a second, of ${mostPuts} PUTs at most`,
      'nothing: S3 may answer 503 until it has split a prefix, which is tried again',
    ],
    [
      link(limits.s3Gets),
      `never: \`conclude\` makes ${count(deployed.readsInFlight / assumed.getSeconds)}/s at most`,
    ],
    [
      link(limits.s3UploadParts),
      `a part of ${count(MAX_PART_SIZE)} posts that take more than ${amount(largestDocument / MAX_PART_SIZE / 1e3)} KB each`,
      'a smaller `partSize`',
    ],
    [
      `\`plan\`: ${count(MAX_PARTS)} parts`,
      `a billion posts below a \`partSize\` of ${count(1e9 / MAX_PARTS)}`,
      'the `partSize` that its error names',
    ],
    [
      `\`plan\`: ${count(maxManifestEntries)} ids in no order`,
      `as such. They take ${amount(planMb(maxManifestEntries))} of its ${count(planMemoryMb)} MB, and ${amount(planSeconds)} s. A billion would take ${amount(planMb(1e9) / 1e3)} GB, and a function has ${amount(limits.lambdaMemoryMb.value / 1e3)} at most`,
      `**they are refused**: ${count(executionsOf(1e9))} executions for a billion, with a manifest each, one after the other, as each uses all of \`originConcurrency\`. Ranges, and ids one after the other, take no room`,
    ],
    [
      `\`plan\`: ${count(deployed.maxIds)} ids (\`MAX_IDS\`)`,
      'as such',
      'several executions; or a higher `MAX_IDS`, with more memory for `conclude`',
    ],
    [
      `\`conclude\`: ${link(limits.lambdaSeconds)}`,
      `with ${count(concludeMemoryMb)} MB and a \`partSize\` of ${count(defaultPartSize)}, above ${amount(mostPostsToConclude(defaultPartSize, concludeMemoryMb) / 1e6)} million posts; of 15,000, above ${amount(mostPostsToConclude(15_000, concludeMemoryMb) / 1e6)} million`,
      'a larger `partSize`; more memory, with which comes more CPU; several executions',
    ],
    [
      `documents expire after ${deployed.documentsExpireAfterDays} days (365 in prod)`,
      `a billion posts below ${count(Math.ceil(1e9 / expireSeconds))}/s`,
      'a larger `documentsExpireAfterDays`: `conclude` has to find the first part',
    ],
  ];
}

/** The document with its tables made anew. Throws where one has no place in it. */
export function rendered(doc: string): string {
  let text = doc;
  for (const [name, content] of Object.entries(tables())) {
    const place = new RegExp(`(<!-- scale-costs:begin ${name} -->\n)[^]*?(<!-- scale-costs:end -->)`);
    if (!place.test(text)) throw new Error(`Expected docs/scale.md to have a place for the table ${name}`);
    text = text.replace(place, (_, begin, end) => `${begin}${content}\n${end}`);
  }
  return text;
}

function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    line(columns.map(([head]) => head)),
    line(columns.map(() => '---')),
    ...rows.map((row) => line(columns.map(([, cell]) => cell(row)))),
  ].join('\n');
}

function link({ value, name, source, read }: Fact): string {
  return `[${count(value)} ${name}](${source})${read === 'source' ? '' : ` (${read})`}`;
}

function peerText({ total, seconds }: { readonly total: number; readonly seconds: number }): string {
  return costAndTime(total, seconds);
}

function costAndTime(total: number, seconds: number): string {
  return `${dollars(total)}, ${duration(seconds)}`;
}

function expressText(cost: number | undefined): string {
  return cost === undefined ? 'not possible' : dollars(cost);
}

function within(value: number, most: number, unit: string): string {
  return value > most ? `**${amount(value)} ${unit}, too much**` : `${amount(value)} ${unit}`;
}

function count(number: number): string {
  return number.toLocaleString('en');
}

function amount(number: number): string {
  return number >= 100 ? count(Math.round(number)) : String(Number(number.toPrecision(2)));
}

function dollars(sum: number): string {
  if (sum >= 100) return `$${count(Math.round(sum))}`;
  return `$${sum >= 0.1 ? sum.toFixed(2) : Number(sum.toPrecision(1))}`;
}

function duration(seconds: number): string {
  if (seconds < 120) return `${amount(seconds)} s`;
  if (seconds < 7_200) return `${amount(seconds / 60)} min`;
  return seconds < 172_800 ? `${amount(seconds / 3_600)} h` : `${amount(seconds / 86_400)} days`;
}

if (import.meta.main) {
  const doc = readFileSync(docFile, 'utf8');
  const current = rendered(doc);
  if (!process.argv.includes('--check')) writeFileSync(docFile, current);
  else if (doc !== current) {
    console.error(
      'docs/scale.md is not what scripts/scale-costs.ts computes: run node scripts/scale-costs.ts',
    );
    process.exitCode = 1;
  }
  console.log(`docs/scale.md: ${scenarios.length} runs, prices of us-east-1 as of ${readOn}`);
}
