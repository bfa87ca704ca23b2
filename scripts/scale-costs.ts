import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MAX_WRITTEN_BYTES } from '../src/parts.ts';
import { MAX_PART_SIZE } from '../src/plan.ts';

const docFile = join(import.meta.dirname, '../docs/scale.md');
const region = 'us-east-1';
const readOn = '2026-11-25';

/** List prices in US dollars, without free tiers, discounts and taxes. */
export const prices = {
  lambdaGbSecond: price(
    0.0000133334,
    'a GB-second of Lambda, arm64',
    'https://aws.amazon.com/lambda/pricing/',
  ),
  lambdaRequest: price(0.2 / 1e6, 'an invocation of Lambda', 'https://aws.amazon.com/lambda/pricing/'),
  s3Put: price(0.005 / 1e3, 'a PUT, COPY, POST or LIST of S3 Standard', 'https://aws.amazon.com/s3/pricing/'),
  s3Get: price(0.0004 / 1e3, 'a GET of S3 Standard', 'https://aws.amazon.com/s3/pricing/'),
  s3GbMonth: price(0.023, 'a GB-month of S3 Standard', 'https://aws.amazon.com/s3/pricing/'),
  stateTransition: price(
    0.025 / 1e3,
    'a state transition of a standard workflow',
    'https://aws.amazon.com/step-functions/pricing/',
  ),
  expressRequest: price(
    1 / 1e6,
    'a request of an express workflow',
    'https://aws.amazon.com/step-functions/pricing/',
  ),
  expressGbSecond: price(
    0.00001667,
    'a GB-second of an express workflow',
    'https://aws.amazon.com/step-functions/pricing/',
  ),
  fargateVcpuHour: price(0.03238, 'a vCPU-hour of Fargate, arm64', 'https://aws.amazon.com/fargate/pricing/'),
  fargateGbHour: price(0.00356, 'a GB-hour of Fargate, arm64', 'https://aws.amazon.com/fargate/pricing/'),
} as const;

const stepFunctionsQuotas = 'https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html';
const lambdaQuotas = 'https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html';

/** What AWS allows, by default. */
export const limits = {
  mapConcurrency: limit(
    10_000,
    'https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html',
  ),
  payloadBytes: limit(262_144, stepFunctionsQuotas),
  historyEvents: limit(25_000, stepFunctionsQuotas),
  s3PutsPerSecond: limit(
    3_500,
    'https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html',
  ),
  s3GetsPerSecond: limit(
    5_500,
    'https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html',
  ),
  /** Of an account in a region: a bucket of as many, refilled at this rate. */
  httpTasksPerSecond: limit(300, stepFunctionsQuotas),
  lambdaConcurrency: limit(1_000, lambdaQuotas),
  lambdaSeconds: limit(900, lambdaQuotas),
} as const;

function price(dollars: number, of: string, source: string) {
  return { dollars, of, source };
}

function limit(value: number, source: string) {
  return { value, source };
}

/** What is fetched, the ids from 1 on, from where, and with which settings of serverless.yml. */
export interface Scale {
  readonly posts: number;
  readonly partSize: number;
  /** Most requests in flight of all parts. */
  readonly originConcurrency: number;
  /** Of each part. */
  readonly concurrency: number;
  /** Seconds that the origin takes to answer. */
  readonly latencySeconds: number;
  /** Posts a second that the origin bears. */
  readonly originRate: number;
  readonly postBytes: number;
}

/** What was measured of the function, and how it is deployed. */
export const measured = {
  /** On a core of the machine that measured it (README, docs/adr/0003); Lambda's differ. */
  cpuSecondsPerPost: 74e-6,
  /** Of an outcome's line, besides the post. */
  lineBytes: 110,
  /** Of the fetch function, as serverless.yml has it; with 1,769 MB comes one vCPU. */
  memoryMb: 512,
  vcpuMemoryMb: 1_769,
  uploadPartBytes: 5 * 1024 ** 2,
  writeReserveSeconds: 15,
  /** FetchPart, HasItMoreToFetch, PartFetched, and the start and the end, which AWS's own examples count. */
  transitionsPerPart: 5,
  /** Plan, FetchParts, Conclude, HasEveryPartItsDocument, Concluded, the start and the end. */
  transitionsPerExecution: 7,
  /** Events that a state of a task adds to a history: entered, scheduled, started, succeeded, exited. */
  eventsPerTask: 5,
  retriesPerPart: 10,
  /** Ids of a part that conclude hashes in a second on one core. */
  hashedIdsPerSecond: 5_000_000,
  /** Of conclude: 1,024 MB, and how many documents it reads at a time, 20 ms each. */
  concludeMemoryMb: 1_024,
  readsInFlight: 32,
  readSeconds: 0.02,
} as const;

/** A share of one of Lambda's cores, by memory. */
const cpuOf = (memoryMb: number): number => memoryMb / measured.vcpuMemoryMb;

/** Counts, durations and costs of a run on the state machine. */
export function runAtScale(scale: Scale) {
  const { posts, originConcurrency, concurrency, latencySeconds, originRate, postBytes } = scale;
  const largestByIds = Math.floor(MAX_WRITTEN_BYTES / (String(posts).length + 1));
  const partSize = Math.min(scale.partSize, largestByIds);
  const parts = Math.ceil(posts / partSize);
  const partsInFlight = Math.min(
    parts,
    Math.floor(originConcurrency / concurrency),
    limits.mapConcurrency.value,
  );
  const byLatency = concurrency / latencySeconds;
  const byCpu = cpuOf(measured.memoryMb) / measured.cpuSecondsPerPost;
  const byOrigin = originRate / partsInFlight;
  const partRate = Math.min(byLatency, byCpu, byOrigin);
  const partSeconds = Math.min(posts, partSize) / partRate;
  const fetchSeconds = Math.ceil(parts / partsInFlight) * partSeconds;
  const concludeSeconds =
    ((parts * 2) / measured.readsInFlight) * measured.readSeconds +
    posts / measured.hashedIdsPerSecond / cpuOf(measured.concludeMemoryMb);

  const documentBytes = Math.min(posts, partSize) * (postBytes + measured.lineBytes);
  const uploadParts = Math.ceil(documentBytes / measured.uploadPartBytes);
  // One PutObject, or the parts between the requests that create and complete an upload.
  const putsPerPart = uploadParts === 1 ? 1 : uploadParts + 2;
  // The plan, the manifest, and what the Map writes of its results: a few objects.
  const puts = parts * putsPerPart + 2;
  // Whether there is a document, and two ends of it to conclude; the plan three times, the manifest once.
  const gets = parts * 3 + 4;
  const transitions = measured.transitionsPerExecution + parts * measured.transitionsPerPart;
  const gbSeconds =
    parts * partSeconds * (measured.memoryMb / 1_024) + concludeSeconds * (measured.concludeMemoryMb / 1_024);
  const storedGb = (posts * (postBytes + measured.lineBytes)) / 1024 ** 3;
  const cost = {
    lambda: gbSeconds * prices.lambdaGbSecond.dollars + (parts + 2) * prices.lambdaRequest.dollars,
    stepFunctions: transitions * prices.stateTransition.dollars,
    s3Requests: puts * prices.s3Put.dollars + gets * prices.s3Get.dollars,
    s3Month: storedGb * prices.s3GbMonth.dollars,
  };
  return {
    partSize,
    parts,
    partsInFlight,
    partSeconds,
    fetchSeconds,
    concludeSeconds,
    postsPerSecond: posts / fetchSeconds,
    bound: partRate === byOrigin ? 'the origin' : partRate === byLatency ? 'latency' : 'CPU',
    documentBytes,
    putsPerPart,
    puts,
    gets,
    transitions,
    gbSeconds,
    storedGb,
    cost,
    total: cost.lambda + cost.stepFunctions + cost.s3Requests,
    /** The largest part: that a function fetches in its time at this rate, and whose ids fit into a payload. */
    maxPartSize: Math.min(
      Math.floor(partRate * (limits.lambdaSeconds.value - measured.writeReserveSeconds)),
      largestByIds,
      MAX_PART_SIZE,
    ),
    s3PutsPerSecond: (partsInFlight / partSeconds) * putsPerPart,
    partEvents: 2 + measured.eventsPerTask * (1 + measured.retriesPerPart) + 4,
  };
}

/** A post for each HTTP Task: the child is a standard workflow with one state. */
export function standardHttpTasks({ posts, originRate }: Scale) {
  const transitions = posts * 3;
  return {
    transitions,
    total: transitions * prices.stateTransition.dollars,
    seconds: posts / Math.min(originRate, limits.httpTasksPerSecond.value),
  };
}

/** Posts of an express child, 40 at a time: its inline Map has no higher concurrency that is promised. */
const EXPRESS_BATCH = 400;
const INLINE_CONCURRENCY = 40;
const EXPRESS_GB = 64 / 1_024;

/** An HTTP Task for each post in an inline Map, whose children are express workflows. */
export function expressHttpTasks({ posts, latencySeconds, originRate }: Scale) {
  const children = Math.ceil(posts / EXPRESS_BATCH);
  const childSeconds = Math.ceil(EXPRESS_BATCH / INLINE_CONCURRENCY) * latencySeconds;
  const gbSeconds = children * childSeconds * EXPRESS_GB;
  return {
    children,
    gbSeconds,
    total: children * prices.expressRequest.dollars + gbSeconds * prices.expressGbSecond.dollars,
    seconds: posts / Math.min(originRate, limits.httpTasksPerSecond.value),
  };
}

const CONTAINER_VCPU = 1;
const CONTAINER_GB = 2;

/** This engine in one container of Fargate, with all of the origin's concurrency for itself. */
export function oneContainer({ posts, originConcurrency, latencySeconds, originRate }: Scale) {
  const rate = Math.min(
    originRate,
    originConcurrency / latencySeconds,
    CONTAINER_VCPU / measured.cpuSecondsPerPost,
  );
  const hours = posts / rate / 3_600;
  const hourly =
    CONTAINER_VCPU * prices.fargateVcpuHour.dollars + CONTAINER_GB * prices.fargateGbHour.dollars;
  return { rate, hours, total: hours * hourly };
}

const common = { concurrency: 50, latencySeconds: 0.05, postBytes: 300 };
const scenarios: readonly Scale[] = [
  { ...common, posts: 1e6, partSize: 5_000, originConcurrency: 50, originRate: 1_000 },
  { ...common, posts: 1e6, partSize: 5_000, originConcurrency: 500, originRate: 10_000 },
  { ...common, posts: 1e7, partSize: 5_000, originConcurrency: 50, originRate: 1_000 },
  { ...common, posts: 1e7, partSize: 5_000, originConcurrency: 500, originRate: 1_000 },
  { ...common, posts: 1e7, partSize: 5_000, originConcurrency: 500, originRate: 10_000 },
  { ...common, posts: 1e9, partSize: 15_000, originConcurrency: 50, originRate: 1_000 },
  { ...common, posts: 1e9, partSize: 15_000, originConcurrency: 500, originRate: 10_000 },
  { ...common, posts: 1e9, partSize: 15_000, originConcurrency: 5_000, originRate: 100_000 },
];

/** The tables of docs/scale.md, by the name of their place in it. */
export function tables(): Readonly<Record<string, string>> {
  const runs = scenarios.map((scale) => ({ scale, run: runAtScale(scale) }));
  return {
    runs: table(
      [
        'posts',
        'origin takes, in flight',
        'part size',
        'parts',
        'at once',
        'a part takes',
        'all take',
        'bound by',
        'S3 PUT',
        'S3 GET',
        'documents',
      ],
      runs.map(({ scale, run }) => [
        count(scale.posts),
        originOf(scale),
        count(run.partSize),
        count(run.parts),
        count(run.partsInFlight),
        duration(run.partSeconds),
        duration(run.fetchSeconds),
        run.bound,
        count(run.puts),
        count(run.gets),
        `${amount(run.storedGb)} GB`,
      ]),
    ),
    costs: table(
      [
        'posts',
        'origin takes, in flight',
        'Lambda',
        'Step Functions',
        'S3 requests',
        'together',
        'a month of S3',
        'HTTP Task, standard',
        'HTTP Task, express',
        'one container',
      ],
      runs.map(({ scale, run }) => [
        count(scale.posts),
        originOf(scale),
        dollars(run.cost.lambda),
        dollars(run.cost.stepFunctions),
        dollars(run.cost.s3Requests),
        `**${dollars(run.total)}**`,
        dollars(run.cost.s3Month),
        `${dollars(standardHttpTasks(scale).total)}, ${duration(standardHttpTasks(scale).seconds)}`,
        `${dollars(expressHttpTasks(scale).total)}, ${duration(expressHttpTasks(scale).seconds)}`,
        `${dollars(oneContainer(scale).total)}, ${duration(oneContainer(scale).hours * 3_600)}`,
      ]),
    ),
    limits: table(
      [
        'posts',
        'origin takes, in flight',
        `parts at once, of ${count(limits.mapConcurrency.value)}; of Lambda's ${count(limits.lambdaConcurrency.value)}`,
        `PUT a second, of ${count(limits.s3PutsPerSecond.value)}`,
        `a part takes, of ${count(limits.lambdaSeconds.value)} s`,
        'largest part',
        `events of a part, at most, of ${count(limits.historyEvents.value)}`,
        `conclude takes, of ${count(limits.lambdaSeconds.value)} s`,
      ],
      runs.map(({ scale, run }) => [
        count(scale.posts),
        originOf(scale),
        count(run.partsInFlight),
        amount(run.s3PutsPerSecond),
        `${amount(run.partSeconds)} s`,
        count(run.maxPartSize),
        count(run.partEvents),
        `${amount(run.concludeSeconds)} s`,
      ]),
    ),
    prices: table(
      ['price', 'US dollars', 'source'],
      Object.values(prices).map(({ of, dollars: each, source }) => [
        of,
        each.toFixed(10).replace(/0+$/, ''),
        source,
      ]),
    ),
  };
}

/** The document with its tables made anew. */
export function rendered(doc: string): string {
  let text = doc;
  for (const [name, content] of Object.entries(tables())) {
    const place = new RegExp(`(<!-- ${name}:begin -->\n)[^]*?(<!-- ${name}:end -->)`);
    if (!place.test(text)) throw new Error(`Expected docs/scale.md to have a place for the table ${name}`);
    text = text.replace(place, (_, begin, end) => `${begin}${content}\n${end}`);
  }
  return text;
}

function originOf({ originRate, originConcurrency }: Scale): string {
  return `${count(originRate)}/s, ${count(originConcurrency)}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
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
    console.error('docs/scale.md is not what scripts/scale-costs.ts computes: node scripts/scale-costs.ts');
    process.exitCode = 1;
  }
  console.log(`docs/scale.md: ${scenarios.length} runs, prices of ${region} as of ${readOn}`);
}
