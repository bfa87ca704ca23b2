import { BatchFetcherError } from '../../src/base/errors.ts';
import { parseName } from '../../src/batch/parse-ids.ts';
import { VARIABLES } from '../../src/lambda/config.ts';
import { UsageError } from './command.ts';

/** A run as the user names it. */
export interface RunName {
  readonly runId: string;
  /** Where a location says that the run is; undefined for an id. */
  readonly bucket: string | undefined;
  /** What its keys start with. */
  readonly prefix: string;
}

const LOCATION = /^s3:\/\/(?<bucket>[^/]+)\/(?<key>.+)$/;
/** What the keys of a run's objects end in. */
const ENDING = /(?:\.manifest|\.progress)?\.json$|\.ndjson(?:\.gz)?$|\.html$/;

/** The prefix of the environment. Throws UsageError where that is none. */
export function prefixOfEnvironment(): string {
  const { name, fallback, expected, parse } = VARIABLES.resultsPrefix;
  const text = process.env[name] ?? fallback;
  if (parse(text) === undefined) throw new UsageError(`Expected ${name} to be ${expected}, got ${text}`);
  return text;
}

/**
 * The run that an id names, or the location of its document, its outcomes, its manifest or its page: its keys start with
 * `prefix`, or with the folder that the location is in. Throws UsageError for what is neither.
 */
export function parseRunName(text: string, prefix = prefixOfEnvironment()): RunName {
  const { bucket, key } = LOCATION.exec(text)?.groups ?? {};
  if (bucket === undefined || key === undefined) return { runId: nameOf(text), bucket: undefined, prefix };
  const folder = key.slice(0, key.lastIndexOf('/') + 1);
  // A prefix may go on behind its last slash.
  const own = prefix.startsWith(folder) && key.startsWith(prefix) ? prefix : folder;
  return { runId: nameOf(key.slice(own.length).replace(ENDING, '')), bucket, prefix: own };
}

function nameOf(text: string): string {
  try {
    return parseName(text, 'runId');
  } catch (error) {
    throw error instanceof BatchFetcherError ? new UsageError(error.message) : error;
  }
}
