import { MAX_PART_SIZE } from '../../src/lambda/events/plan-input.ts';
import { METRICS } from '../../src/lambda/metrics.ts';
import { MAX_PARTS, MAX_WRITTEN_BYTES } from '../../src/run/parts/parts.ts';
import {
  cpuRateOf,
  documentBytesOf,
  executionsOf,
  historyEvents,
  mostIdsOfPart,
  mostPostsToConclude,
  planMb,
  requestsToWrite,
  type ScaleInputs,
  scaleOf,
  singleRunOf,
  vcpuOf,
} from './costs.ts';
import { assumed, deployed, limits, measured, prices, readOn } from './facts.ts';
import { amount, type Column, count, dollars, duration, link, table, within } from './markdown.ts';
import { expressHttpTasks, expressParts, oneContainer, standardHttpTasks } from './peers.ts';

const common = {
  postBytes: assumed.postBytes,
  latencyMs: assumed.latencyMs,
  concurrency: deployed.concurrency,
};
/** The runs of the tables, one a row. */
export const scenarios: readonly ScaleInputs[] = [
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

const SCENARIO: readonly Column<ScaleInputs>[] = [
  ['posts', ({ posts }) => count(posts)],
  ['origin: posts/s, in flight', (of) => `${count(of.originRatePerSecond)}, ${count(of.originConcurrency)}`],
];

/** The tables of docs/operations.md, by the name of their place in it. */
export function makeOperationsTables(): Readonly<Record<string, string>> {
  const { postBytes, latencyMs } = assumed;
  const runs = [100, 1_000, 10_000, 100_000].map((posts) => ({
    posts,
    ...singleRunOf({ posts, postBytes, latencyMs }),
  }));
  // RequestsRefused is by code alone.
  const metrics = Object.keys(METRICS).length - 1;
  const { metricMonth, alarmMonth, dashboardMonth } = prices;
  const months = [
    ['metrics of a service', metrics, metricMonth.value],
    ['metrics by code, for each that occurs', 1, metricMonth.value],
    ['metrics of alarms', deployed.alarmMetrics, alarmMonth.value],
    ['dashboard', 1, dashboardMonth.value],
  ] as const;
  return {
    single: table(runs, [
      ['posts', ({ posts }) => count(posts)],
      ['a run takes', ({ seconds }) => duration(seconds)],
      ['1,000 runs: Lambda', ({ cost }) => dollars(1_000 * cost.lambda)],
      ['S3 requests', ({ cost }) => dollars(1_000 * cost.s3Requests)],
      ['logs', ({ cost }) => dollars(1_000 * cost.logs)],
      ['together', ({ total }) => `**${dollars(1_000 * total)}**`],
      ['a month of their documents in S3', ({ storageMonth }) => dollars(1_000 * storageMonth)],
    ]),
    months: table(months, [
      ['a month', ([name]) => name],
      ['number', ([, number]) => count(number)],
      ['at', ([, , price]) => `$${price.toFixed(2)}`],
      ['together', ([, number, price]) => `$${(number * price).toFixed(2)}`],
    ]),
  };
}

/** The tables of docs/scale.md, by the name of their place in it. */
export function makeTables(): Readonly<Record<string, string>> {
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
      [
        'this state machine',
        (run) => costAndTime({ ...run, seconds: run.fetchSeconds + run.concludeSeconds }),
      ],
      ['an HTTP Task a child, standard', ({ scenario }) => costAndTime(standardHttpTasks(scenario))],
      ['HTTP Tasks in batches, express', ({ scenario }) => costAndTime(expressHttpTasks(scenario))],
      ['one container', ({ scenario }) => costAndTime(oneContainer(scenario))],
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

function costAndTime({ total, seconds }: { readonly total: number; readonly seconds: number }): string {
  return `${dollars(total)}, ${duration(seconds)}`;
}

function expressText(cost: number | undefined): string {
  return cost === undefined ? 'not possible' : dollars(cost);
}
