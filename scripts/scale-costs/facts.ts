import { MAX_ENTRIES } from '../../src/batch/manifest/read.ts';
import { DEFAULT_PART_SIZE } from '../../src/lambda/events/plan-input.ts';
import { READS_IN_FLIGHT } from '../../src/run/parts/conclude.ts';
import { FIND_TAIL_BYTES } from '../../src/store/run-store.ts';
import { UPLOAD_PART_BYTES } from '../../src/store/upload.ts';

/** When the facts were read. */
export const readOn = '2026-11-25';

/** Where a number was read: in a copy of its source, in what others quote of it, or nowhere: general knowledge. */
type Read = 'source' | 'quoted' | 'not confirmed';

/** A number of AWS's, and the page that has it. */
export interface Fact {
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
const cloudWatchPrices = 'https://aws.amazon.com/cloudwatch/pricing/';
const apiPrices = 'https://aws.amazon.com/api-gateway/pricing/';
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
  logsGb: fact(0.5, 'a GB that CloudWatch Logs takes in', cloudWatchPrices, 'quoted'),
  metricMonth: fact(0.3, 'a month of a custom metric', cloudWatchPrices, 'quoted'),
  alarmMonth: fact(0.1, 'a month of a metric of an alarm', cloudWatchPrices, 'not confirmed'),
  dashboardMonth: fact(3, 'a month of a dashboard', cloudWatchPrices, 'not confirmed'),
  apiRequest: fact(1 / 1e6, 'a request of an HTTP API', apiPrices, 'not confirmed'),
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
  maxManifestEntries: MAX_ENTRIES,
  defaultPartSize: DEFAULT_PART_SIZE,
  writeReserveSeconds: 15,
  documentsExpireAfterDays: 30,
  readsInFlight: READS_IN_FLIGHT,
  /** What of a document's end is read first; a longer one takes a second GET, for its head. */
  tailBytes: FIND_TAIL_BYTES,
  uploadPartBytes: UPLOAD_PART_BYTES,
  /** A run of its own, and no part, says so often how far it is. */
  claimSeconds: 15,
  /** Of those of deploy/alarms.yml, one has two. */
  alarmMetrics: 21,
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
  logBytesPerPart: 2_400,
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
