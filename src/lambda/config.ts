import { ConfigError, expectation } from '../base/errors.ts';
import type { IdList } from '../batch/ids.ts';
import { parseIdsText } from '../batch/parse-ids.ts';
import type { Output } from '../document/run-head.ts';
import { parseUrlTemplate, type UrlTemplate } from '../fetch/origin/url-template.ts';

/** The environment, checked. What each variable means, and its default, stands in the README. */
export interface Config {
  readonly resultsBucket: string;
  readonly resultsPrefix: string;
  readonly postUrl: UrlTemplate;
  readonly postIds: IdList;
  readonly concurrency: number;
  readonly maxIds: number;
  readonly maxAttempts: number;
  readonly attemptTimeoutMs: number;
  readonly maxBodyBytes: number;
  readonly writeReserveMs: number;
  readonly output: Output;
  readonly adaptive: boolean;
  /** Infinity where there is no such limit. */
  readonly ratePerSecond: number;
  readonly retryBudgetPercent: number;
  readonly hedge: boolean;
  readonly postHeadersParameter: string | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
/** The characters that S3 calls safe; a key that starts with a slash has an empty first folder. */
const PREFIX = /^(?!\/)[A-Za-z0-9!_.*'()/-]{0,512}$/;

/** Nothing, or a name, whose parts are set off by slashes. */
const PARAMETER = /^(?:\/?[A-Za-z0-9_.-]+(?:\/[A-Za-z0-9_.-]+)*)?$/;

/** Reads and checks the environment. Throws one ConfigError that names every variable that is missing or wrong. */
export function readConfig(env: Environment): Config {
  const mistakes: string[] = [];
  const read = <T>(
    name: string,
    fallback: string,
    expected: string,
    parse: (text: string) => T | undefined,
  ): T => {
    const text = env[name] ?? fallback;
    const value = parse(text);
    if (value !== undefined) return value;
    // A URL's credentials have no place in logs and replies.
    const got = text.replace(/\/\/[^/]*@/, '//…@');
    mistakes.push(expectation(name, expected, got === '' ? undefined : got));
    // It ends in the error below; until then, other variables are judged by the default.
    return parse(fallback) as T;
  };
  const integer = (name: string, fallback: number, min: number, max: number): number =>
    read(name, String(fallback), `an integer from ${min} to ${max}`, (text) => {
      const value = Number(text);
      return /^\d+$/.test(text) && value >= min && value <= max ? value : undefined;
    });

  const onOff = (name: string, fallback: 'on' | 'off'): boolean =>
    read(name, fallback, 'on or off', (text) => match(/^(on|off)$/, text)) === 'on';

  const maxIds = integer('MAX_IDS', 10_000, 1, 10_000_000_000);
  const config: Config = {
    resultsBucket: read('RESULTS_BUCKET', '', 'the name of an S3 bucket', (text) => match(BUCKET, text)),
    resultsPrefix: read(
      'RESULTS_PREFIX',
      'runs/',
      'a key prefix of up to 512 characters that are safe in S3',
      (text) => match(PREFIX, text),
    ),
    postUrl: read(
      'POST_URL',
      'https://jsonplaceholder.typicode.com/posts/{id}',
      'an http(s) URL with {id} in its path or query, without credentials and fragment',
      parseUrlTemplate,
    ),
    postIds: read('POST_IDS', '1-100', `at most ${maxIds} ids, as in 1,2,7-9`, (text) =>
      tryParseIds(text, maxIds),
    ),
    concurrency: integer('CONCURRENCY', 50, 1, 500),
    maxIds,
    maxAttempts: integer('MAX_ATTEMPTS', 4, 1, 20),
    attemptTimeoutMs: integer('ATTEMPT_TIMEOUT_MS', 5_000, 1, 900_000),
    maxBodyBytes: integer('MAX_BODY_BYTES', 1_048_576, 1, 104_857_600),
    writeReserveMs: integer('WRITE_RESERVE_MS', 3_000, 500, 60_000),
    output: read('OUTPUT', 'json', 'json or ndjson', parseOutput),
    adaptive: onOff('ADAPTIVE', 'on'),
    ratePerSecond: read(
      'RATE_LIMIT',
      '',
      'a number of posts a second from 0.001 to 100000, or empty',
      parseRate,
    ),
    retryBudgetPercent: integer('RETRY_BUDGET', 20, 0, 1_900),
    hedge: onOff('HEDGE', 'off'),
    postHeadersParameter:
      read('POST_HEADERS_PARAMETER', '', 'the name of an SSM parameter, or empty', (text) =>
        match(PARAMETER, text),
      ) || undefined,
  };
  if (mistakes.length > 0) throw new ConfigError(mistakes.join('; '));
  return config;
}

function parseOutput(text: string): Output | undefined {
  return text === 'json' || text === 'ndjson' ? text : undefined;
}

function parseRate(text: string): number | undefined {
  if (text === '') return Infinity;
  const rate = Number(text);
  return /^\d+(\.\d+)?$/.test(text) && rate >= 0.001 && rate <= 100_000 ? rate : undefined;
}

function match(pattern: RegExp, text: string): string | undefined {
  return pattern.test(text) ? text : undefined;
}

function tryParseIds(text: string, maxIds: number): IdList | undefined {
  try {
    return parseIdsText(text, 'POST_IDS', maxIds);
  } catch {
    return undefined;
  }
}
