import { readConfig } from '../../src/lambda/config.ts';

/** A parameter of serverless.yml, as `--param=postUrl=…` sets it. */
type Param = {
  readonly name: string;
} & (
  | {
      /** The variable that its value becomes, in every function or in the ones that are named. */
      readonly variable: string;
      readonly functions?: readonly string[];
    }
  | {
      /** What a value of the deployment has to be, in the words of the error. */
      readonly expected: string;
      readonly test: (value: string, values: Values) => boolean;
    }
);

/** The parameters that have a value, as text. */
export type Values = Readonly<Record<string, string>>;

/** The variables of each function, by its name; an object stands for what CloudFormation fills in. */
export type Environments = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const TOPIC_ARN = /^arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+$/;
const KEY_ARN = /^arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key\/[A-Za-z0-9-]+$/;
const WEB_ORIGIN = /^https?:\/\/[a-z0-9.-]+(:\d+)?$/;
const SCHEDULE = /^(rate\((1 (minute|hour|day)|(1\d+|[2-9]\d*) (minute|hour|day)s)\)|cron\(\S+( \S+){5}\))$/;
/** As many days as CloudWatch keeps a log. */
const RETENTION_DAYS = [
  1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

/** Variables that have no parameter, as only the stack knows their values. */
export const variablesOfTheStack: readonly string[] = [
  'ASYNC_FUNCTION',
  'STATE_MACHINE_ARN',
  'ASYNC_TASK_FUNCTION',
  'ASYNC_RESULTS_PREFIX',
];

/** Every parameter; docs/configuration.md shows them, with their defaults. */
export const PARAMS: readonly Param[] = [
  { name: 'resultsBucket', variable: 'RESULTS_BUCKET' },
  { name: 'resultsPrefix', variable: 'RESULTS_PREFIX' },
  { name: 'postUrl', variable: 'POST_URL' },
  { name: 'postIds', variable: 'POST_IDS', functions: ['fetch'] },
  { name: 'concurrency', variable: 'CONCURRENCY' },
  { name: 'maxIds', variable: 'MAX_IDS', functions: ['fetch'] },
  { name: 'apiMaxIds', variable: 'MAX_IDS', functions: ['api'] },
  { name: 'asyncMaxIds', variable: 'ASYNC_MAX_IDS', functions: ['api'] },
  { name: 'planMaxIds', variable: 'MAX_IDS', functions: ['plan'] },
  { name: 'maxManifestBytes', variable: 'MAX_MANIFEST_BYTES' },
  { name: 'maxAttempts', variable: 'MAX_ATTEMPTS' },
  { name: 'attemptTimeoutMs', variable: 'ATTEMPT_TIMEOUT_MS' },
  { name: 'maxBodyBytes', variable: 'MAX_BODY_BYTES' },
  { name: 'writeReserveMs', variable: 'WRITE_RESERVE_MS', functions: ['fetch'] },
  { name: 'apiWriteReserveMs', variable: 'WRITE_RESERVE_MS', functions: ['api'] },
  { name: 'adaptive', variable: 'ADAPTIVE' },
  { name: 'rateLimit', variable: 'RATE_LIMIT' },
  { name: 'retryBudget', variable: 'RETRY_BUDGET' },
  { name: 'hedge', variable: 'HEDGE' },
  { name: 'output', variable: 'OUTPUT' },
  { name: 'report', variable: 'REPORT' },
  { name: 'originConcurrency', variable: 'ORIGIN_CONCURRENCY', functions: ['plan'] },
  { name: 'postHeadersParameter', variable: 'POST_HEADERS_PARAMETER', functions: ['fetch', 'api'] },
  { name: 'apiBasePath', variable: 'API_BASE_PATH' },
  { name: 'serviceName', variable: 'POWERTOOLS_SERVICE_NAME', ...isMetricName() },
  { name: 'metricsNamespace', variable: 'POWERTOOLS_METRICS_NAMESPACE', ...isMetricName() },
  { name: 'metricsDisabled', variable: 'POWERTOOLS_METRICS_DISABLED' },
  { name: 'logLevel', variable: 'POWERTOOLS_LOG_LEVEL' },
  { name: 'logSampleRate', variable: 'POWERTOOLS_LOGGER_SAMPLE_RATE' },
  { name: 'logEvent', variable: 'POWERTOOLS_LOGGER_LOG_EVENT' },
  { name: 's3Endpoint', variable: 'AWS_ENDPOINT_URL_S3' },
  { name: 's3RequestChecksums', variable: 'AWS_REQUEST_CHECKSUM_CALCULATION', ...isChecksumMode() },
  { name: 's3ResponseChecksums', variable: 'AWS_RESPONSE_CHECKSUM_VALIDATION', ...isChecksumMode() },

  {
    name: 'manifestBucket',
    expected: 'the name of an S3 bucket, and not that of the results',
    test: (value, { resultsBucket }) => BUCKET.test(value) && value !== resultsBucket,
  },
  {
    name: 'postHeadersKeyArn',
    expected: 'the Arn of a KMS key, with postHeadersParameter',
    test: (value, { postHeadersParameter }) => KEY_ARN.test(value) && postHeadersParameter !== undefined,
  },
  {
    name: 'schedule',
    expected: 'rate(…) or cron(…), as EventBridge takes it',
    test: (value) => SCHEDULE.test(value),
  },
  { name: 'scheduleEnabled', ...isBoolean() },
  { name: 'documentsExpireAfterDays', ...isInteger(1, 36_500) },
  {
    name: 'logRetentionDays',
    expected: `one of ${RETENTION_DAYS.join(', ')}`,
    test: (value) => RETENTION_DAYS.map(String).includes(value),
  },
  {
    name: 'alarmTopics',
    expected: 'Arns of SNS topics, with commas between them',
    test: (value) => listOf(value).every((arn) => TOPIC_ARN.test(arn)),
  },
  {
    name: 'alarmRejectedPercent',
    expected: 'a number from 0 to 100',
    test: (value) => /^\d+(\.\d+)?$/.test(value) && Number(value) <= 100,
  },
  { name: 'tracing', ...isBoolean() },
  {
    name: 'apiRateLimit',
    expected: 'a number of requests a second above 0, to 10000',
    test: (value) => /^\d+(\.\d+)?$/.test(value) && Number(value) > 0 && Number(value) <= 10_000,
  },
  { name: 'apiBurstLimit', ...isInteger(1, 5_000) },
  {
    name: 'apiConcurrency',
    expected: 'off, or an integer from 1 to 100000',
    test: (value) => value === 'off' || isInteger(1, 100_000).test(value),
  },
  {
    name: 'fetchConcurrency',
    expected: 'off, or an integer of at least the parts in flight, originConcurrency / concurrency',
    test: (value, { originConcurrency, concurrency }) => {
      const partsInFlight = Math.floor(Number(originConcurrency) / Number(concurrency));
      return value === 'off' || isInteger(Math.max(1, partsInFlight), 100_000).test(value);
    },
  },
  {
    name: 'corsOrigins',
    expected: 'origins as https://app.example.com, with commas between them',
    test: (value) => listOf(value).every((origin) => WEB_ORIGIN.test(origin)),
  },
];

/** The items of a text that has commas between them. */
export function listOf(text: string): string[] {
  return text.split(',').flatMap((item) => item.trim() || []);
}

/** What is wrong with parameters of the deployment, and with the names of all: a sentence each, with the name. */
export function mistakesInValues(values: Values): string[] {
  const unknown = Object.keys(values).filter((name) => !PARAMS.some((param) => param.name === name));
  const names = PARAMS.map(({ name }) => name).join(', ');
  return [
    ...unknown.map((name) => `Expected --param=${name} to be one of ${names}`),
    ...PARAMS.flatMap((param) => {
      const value = values[param.name];
      const isTaken = value === undefined || !('test' in param) || param.test(value, values);
      return isTaken ? [] : `Expected --param=${param.name} to be ${param.expected}, got ${value}`;
    }),
  ];
}

/** What the functions would say of their variables: a sentence each, with the parameter that the variable comes of. */
export function mistakesInEnvironments(environments: Environments): string[] {
  const functionsOf = new Map<string, string[]>();
  for (const [name, environment] of Object.entries(environments)) {
    for (const mistake of mistakesInEnvironment(name, environment))
      functionsOf.set(mistake, [...(functionsOf.get(mistake) ?? []), name]);
  }
  return [...functionsOf].map(([mistake, functions]) => `${mistake} (of ${functions.join(', ')})`);
}

function mistakesInEnvironment(functionName: string, environment: Environments[string]): string[] {
  const texts = Object.entries(environment).flatMap(([variable, value]) => {
    if (typeof value !== 'object') return [[variable, String(value)]];
    // CloudFormation names the bucket; the other names that it gives are the stack's own matter.
    return variable === 'RESULTS_BUCKET' ? [[variable, 'a-bucket-of-the-stack']] : [];
  });
  try {
    readConfig(Object.fromEntries(texts));
    return [];
  } catch (error) {
    // The one kind of error that it has.
    return (error as Error).message.split(/; (?=Expected `)/).map((mistake) =>
      mistake.replace(/`(\w+)`/, (quoted, variable) => {
        const param = PARAMS.find(
          (it) =>
            'variable' in it &&
            it.variable === variable &&
            (it.functions ?? [functionName]).includes(functionName),
        );
        return param ? `--param=${param.name}, ${quoted},` : quoted;
      }),
    );
  }
}

function isBoolean(): { expected: string; test: (value: string) => boolean } {
  return { expected: 'true or false', test: (value) => /^(true|false)$/.test(value) };
}

function isChecksumMode() {
  return {
    expected: 'WHEN_SUPPORTED or WHEN_REQUIRED',
    test: (value: string): boolean => ['WHEN_SUPPORTED', 'WHEN_REQUIRED'].includes(value),
  };
}

/** As alarms and the dashboard name it; CloudWatch takes more of a dimension, and no more of a namespace. */
function isMetricName(): { expected: string; test: (value: string) => boolean } {
  return {
    expected: '1 to 255 characters out of A-Z a-z 0-9 . _ / # : - and blanks between them',
    test: (value) => /^(?!AWS\/)[\w./#:-]+( [\w./#:-]+)*$/.test(value) && value.length <= 255,
  };
}

function isInteger(min: number, max: number): { expected: string; test: (value: string) => boolean } {
  const test = (value: string): boolean =>
    /^\d+$/.test(value) && Number(value) >= min && Number(value) <= max;
  return { expected: `an integer from ${min} to ${max}`, test };
}
