import { ConfigError, expectation } from '../base/errors.ts';
import { countIds, type IdList } from '../batch/ids.ts';
import type { ManifestLimits } from '../batch/manifest/read.ts';
import { parseIdsText } from '../batch/parse-ids.ts';
import { parseUrlTemplate } from '../fetch/origin/url-template.ts';
import type { RunSettings } from '../run/fetch-and-store.ts';
import type { PlanSettings } from '../run/parts/plan.ts';
import type { EventSettings } from './events/event.ts';
import type { TelemetrySettings } from './metrics.ts';

/** The environment, checked. `VARIABLES` says what each setting is. */
export interface Config
  extends RunSettings,
    PlanSettings,
    EventSettings,
    Omit<ManifestLimits, 'maxEntries'>,
    TelemetrySettings {
  readonly resultsBucket: string;
  readonly resultsPrefix: string;
  readonly report: 'off' | 'html';
  readonly postHeadersParameter: string;
  readonly asyncFunction: string;
  readonly asyncMaxIds: number;
  readonly stateMachineArn: string;
  readonly asyncTaskFunction: string;
  readonly asyncResultsPrefix: string;
  readonly logLevel: string;
  readonly logSampleRate: string;
  readonly logEvent: string;
  readonly metricsDisabled: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** A setting as it stands in the environment. */
interface Variable<T> {
  readonly name: string;
  /** What an unset variable is read as; '' for none. */
  readonly fallback: string;
  /** What the variable has to be, in the words of the error. */
  readonly expected: string;
  /** The setting that a text stands for; undefined for a text that is none. */
  readonly parse: (text: string) => T | undefined;
}

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
/** The characters that S3 calls safe; a key that starts with a slash has an empty first folder. */
const PREFIX = /^(?!\/)[A-Za-z0-9!_.*'()/-]{0,512}$/;
/** What API Gateway takes for the key of a mapping, with slashes around it or without. */
const BASE_PATH = /^\/?[A-Za-z0-9$_.+!*'()~-]+(?:\/[A-Za-z0-9$_.+!*'()~-]+)*\/?$/;
/** Nothing, or a name, whose parts are set off by slashes. */
const PARAMETER = /^(?:\/?[A-Za-z0-9_.-]+(?:\/[A-Za-z0-9_.-]+)*)?$/;
/** Nothing, or an alias: neither a version nor `$LATEST`, by which everybody invokes a function. */
const FUNCTION_ALIAS =
  /^(?:arn:[a-z-]+:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_-]+:(?!\d+$)[A-Za-z0-9_-]+)?$/;
const STATE_MACHINE = /^(?:arn:[a-z-]+:states:[a-z0-9-]+:\d{12}:stateMachine:[A-Za-z0-9_-]+)?$/;
const BOOLEAN = /^\s*(?:true|false)\s*$/i;
const BOOLEAN_IN_OTHER_WORDS = /^\s*(?:1|y|yes|t|true|on|0|n|no|f|false|off)\s*$/i;
const NUMBER = { test: (text: string): boolean => !Number.isNaN(Number(text)) };
const ANYTHING = /(?:)/;

/** Every variable that the functions read; docs/configuration.md lists them for users. */
export const VARIABLES: { readonly [K in keyof Config]: Variable<Config[K]> } = {
  /** Where documents go. Required. */
  resultsBucket: matching('RESULTS_BUCKET', '', 'the name of an S3 bucket', BUCKET),
  /** What the key of every object starts with. */
  resultsPrefix: matching(
    'RESULTS_PREFIX',
    'runs/',
    'a key prefix of up to 512 characters that are safe in S3',
    PREFIX,
  ),
  /** Where a post is, by its id. */
  postUrl: {
    name: 'POST_URL',
    fallback: 'https://jsonplaceholder.typicode.com/posts/{id}',
    expected: 'an http(s) URL with {id} in its path or query, without credentials and fragment',
    parse: parseUrlTemplate,
  },
  /** The ids of a scheduled run that names none; at most MAX_IDS. */
  postIds: { name: 'POST_IDS', fallback: '1-100', expected: 'ids, as in 1,2,7-9', parse: tryParseIds },
  /** Most posts, and most requests, in flight. */
  concurrency: integer('CONCURRENCY', 50, 1, 500),
  /** Most ids in a batch. */
  maxIds: integer('MAX_IDS', 10_000, 1, 10_000_000_000),
  /** Most bytes of a manifest, decompressed. */
  maxManifestBytes: integer('MAX_MANIFEST_BYTES', 1_073_741_824, 1, 1_099_511_627_776),
  /** Attempts per post, the first included. */
  maxAttempts: integer('MAX_ATTEMPTS', 4, 1, 20),
  /** Time for one attempt, connecting and body included. */
  attemptTimeoutMs: integer('ATTEMPT_TIMEOUT_MS', 5_000, 1, 900_000),
  /** Largest post, decompressed. */
  maxBodyBytes: integer('MAX_BODY_BYTES', 1_048_576, 1, 104_857_600),
  /** Kept back from the function's time for writing. */
  writeReserveMs: integer('WRITE_RESERVE_MS', 3_000, 500, 60_000),
  /** Whether the requests in flight follow what the origin takes. */
  adaptive: oneOf('ADAPTIVE', 'on', { on: true, off: false }),
  /** Most requests a second; Infinity where the variable is empty. */
  ratePerSecond: {
    name: 'RATE_LIMIT',
    fallback: '',
    expected: 'a number of posts a second from 0.001 to 100000, or empty',
    parse: parseRate,
  },
  /** Retries of a run in per cent of its posts. */
  retryBudgetPercent: integer('RETRY_BUDGET', 20, 0, 1_900),
  /** Whether late attempts get a second request, and a third. */
  hedge: oneOf('HEDGE', 'off', { on: true, off: false }),
  /** One document, or outcomes by themselves and a document without them. */
  output: oneOf('OUTPUT', 'json', { json: 'json', ndjson: 'ndjson', 'ndjson.gz': 'ndjson.gz' }),
  /** Whether a page that shows the run is written beside its document. */
  report: oneOf('REPORT', 'off', { off: 'off', html: 'html' }),
  /** Most requests in flight of all parts of a run; at least CONCURRENCY. */
  originConcurrency: integer('ORIGIN_CONCURRENCY', 500, 1, 999_999_999),
  /** The SSM parameter with headers for the origin; '' for none. */
  postHeadersParameter: matching(
    'POST_HEADERS_PARAMETER',
    '',
    'the name of an SSM parameter, or empty',
    PARAMETER,
  ),
  /** What the paths of API requests start with besides the routes, as in `/api/v1`; '' for nothing. */
  apiBasePath: {
    name: 'API_BASE_PATH',
    fallback: '',
    expected: 'a path, as in /api/v1, or empty',
    parse: parseBasePath,
  },
  /** What API runs that go on elsewhere are handed over to; '' for nobody. Through it, nothing else is taken. */
  asyncFunction: matching(
    'ASYNC_FUNCTION',
    '',
    'the Arn of an alias of a function, or empty',
    FUNCTION_ALIAS,
  ),
  /** Most ids of such a run; one of more is done in parts. */
  asyncMaxIds: integer('ASYNC_MAX_IDS', 100_000, 1, 10_000_000_000),
  /** What does API runs in parts; '' for nobody. */
  stateMachineArn: matching('STATE_MACHINE_ARN', '', 'the Arn of a state machine, or empty', STATE_MACHINE),
  /** What that state machine invokes this function as; '' for nothing. */
  asyncTaskFunction: matching(
    'ASYNC_TASK_FUNCTION',
    '',
    'the Arn of an alias of a function, or empty',
    FUNCTION_ALIAS,
  ),
  /** What the keys of API runs start with, as which those count that come through either alias; '' for RESULTS_PREFIX. */
  asyncResultsPrefix: matching(
    'ASYNC_RESULTS_PREFIX',
    '',
    'a key prefix of up to 512 characters that are safe in S3, or empty',
    PREFIX,
  ),
  /** `service` of the lines of the log and of the metrics. */
  serviceName: name('POWERTOOLS_SERVICE_NAME', 'batch-fetcher'),
  /** Namespace of the metrics. */
  metricsNamespace: name('POWERTOOLS_METRICS_NAMESPACE', 'BatchFetcher'),

  // Powertools reads the rest by itself. They are checked here so that one error names every bad variable.
  /** What is logged from this level on. Powertools passes over one that it does not know. */
  logLevel: matching('POWERTOOLS_LOG_LEVEL', 'INFO', 'a level', ANYTHING),
  /** The share of runs that are logged at DEBUG. */
  logSampleRate: matching('POWERTOOLS_LOGGER_SAMPLE_RATE', '0', 'a number', NUMBER),
  /** Without effect: events are not logged. */
  logEvent: matching('POWERTOOLS_LOGGER_LOG_EVENT', 'false', 'true or false', BOOLEAN),
  /** Whether no metrics are written. */
  metricsDisabled: matching('POWERTOOLS_METRICS_DISABLED', 'false', 'true or false', BOOLEAN_IN_OTHER_WORDS),
};

/** Reads and checks the environment. Throws one ConfigError that names every variable that is missing or wrong. */
export function readConfig(env: Environment): Config {
  const mistakes: string[] = [];
  const textOf = ({ name, fallback }: Variable<unknown>): string => env[name] ?? fallback;
  const refuse = (variable: Variable<unknown>, expected = variable.expected): void => {
    // A URL's credentials have no place in logs and replies.
    const got = textOf(variable).replace(/\/\/[^/]*@/, '//…@');
    mistakes.push(expectation(variable.name, expected, got || undefined));
  };
  const settings = Object.entries(VARIABLES).map(([key, variable]) => {
    const value = variable.parse(textOf(variable));
    if (value === undefined) refuse(variable);
    return [key, value];
  });
  // Each value is of its own parser.
  const config = Object.fromEntries(settings) as { readonly [K in keyof Config]: Config[K] | undefined };

  // A variable that is wrong by itself is not held against another.
  const { maxIds = Infinity, postIds = [], concurrency = 0, originConcurrency = Infinity } = config;
  if (countIds(postIds) > maxIds) refuse(VARIABLES.postIds, `at most ${maxIds} ids, as in 1,2,7-9`);
  if (originConcurrency < concurrency)
    refuse(VARIABLES.originConcurrency, `an integer of at least CONCURRENCY, ${concurrency}`);
  const { postUrl, postHeadersParameter } = config;
  if (postUrl && postHeadersParameter && !keepsSecrets(postUrl.origin))
    refuse(VARIABLES.postUrl, 'an https URL, as POST_HEADERS_PARAMETER is set (http to this machine alone)');
  if (mistakes.length > 0) throw new ConfigError(mistakes.join('; '));
  return config as Config;
}

/** Whether what is sent to an origin is encrypted, or stays on this machine. */
function keepsSecrets(origin: string): boolean {
  // The host is normalized: all of 127.0.0.0/8 has four numbers.
  return /^https:|^http:\/\/(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/.test(origin);
}

/** The names of the log and the metrics, which nothing in the environment makes wrong. */
export function readTelemetrySettings(env: Environment): TelemetrySettings {
  const nameIn = ({ name, fallback }: Variable<string>): string => env[name]?.trim() || fallback;
  return {
    serviceName: nameIn(VARIABLES.serviceName),
    metricsNamespace: nameIn(VARIABLES.metricsNamespace),
  };
}

function matching(
  name: string,
  fallback: string,
  expected: string,
  pattern: Pick<RegExp, 'test'>,
): Variable<string> {
  return { name, fallback, expected, parse: (text) => (pattern.test(text) ? text : undefined) };
}

/** A name without white space around it; the fallback where it is empty. */
function name(name: string, fallback: string): Variable<string> {
  return { name, fallback, expected: 'a name', parse: (text) => text.trim() || fallback };
}

function integer(name: string, fallback: number, min: number, max: number): Variable<number> {
  const parse = (text: string): number | undefined => {
    const value = Number(text);
    return /^\d+$/.test(text) && value >= min && value <= max ? value : undefined;
  };
  return { name, fallback: String(fallback), expected: `an integer from ${min} to ${max}`, parse };
}

function oneOf<T>(name: string, fallback: string, settings: Readonly<Record<string, T>>): Variable<T> {
  const parse = (text: string): T | undefined => (Object.hasOwn(settings, text) ? settings[text] : undefined);
  const expected = Object.keys(settings)
    .join(', ')
    .replace(/, (?!.*, )/, ' or ');
  return { name, fallback, expected, parse };
}

function parseRate(text: string): number | undefined {
  if (text === '') return Infinity;
  const rate = Number(text);
  return /^\d+(\.\d+)?$/.test(text) && rate >= 0.001 && rate <= 100_000 ? rate : undefined;
}

/** With a slash before each segment, and none at the end. */
function parseBasePath(text: string): string | undefined {
  if (text === '') return '';
  return BASE_PATH.test(text) ? `/${text.replace(/^\/|\/$/g, '')}` : undefined;
}

/** As many ids as can be told apart. */
function tryParseIds(text: string): IdList | undefined {
  try {
    return parseIdsText(text, 'POST_IDS', Infinity);
  } catch {
    return undefined;
  }
}
