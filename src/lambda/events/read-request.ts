import { badInput, MethodNotAllowedError } from '../../base/errors.ts';
import { shorten } from '../../base/excerpt.ts';
import { TARGET_KEYS } from '../../batch/base-form.ts';
import { parseEarlierRunId } from '../../batch/parse-ids.ts';
import { REASON_CODES } from '../../fetch/outcome.ts';
import type { RunsRequest } from '../../reading/list-runs.ts';
import { OUTCOME_STATUSES, type OutcomesRequest } from '../../reading/read-outcomes.ts';
import { prefersHtml } from './accept.ts';
import { type ApiSettings, parametersOf, pathOf } from './api-form.ts';
import type { ApiRequest } from './http-request.ts';

/** A request that reads what runs have left. */
export type ReadRequest =
  | {
      readonly kind: 'run';
      readonly runId: string;
      readonly ifNoneMatch: string;
      /** Whether it is for a browser to show. */
      readonly asPage: boolean;
    }
  | ({ readonly kind: 'outcomes' } & OutcomesRequest)
  | ({ readonly kind: 'list' } & RunsRequest);

const MAX_OUTCOMES = 1_000;
const DEFAULT_OUTCOMES = 100;
const MAX_RUNS = 50;

const OF_RUN = /^\/batches\/(?<runId>[^/]+)(?<outcomes>\/outcomes)?$/;
/** A run id, or what is kept of a run under a longer name. */
const PLACE_IN_LIST = /^[A-Za-z0-9._~-]{1,145}$/;

/**
 * What `GET /batches/{runId}`, `GET /batches/{runId}/outcomes` or `GET /batches`, the list, asks for; undefined for a
 * request of another path, or of a batch. Throws BadInputError, or MethodNotAllowedError for a run's path.
 */
export function parseReadRequest(
  request: ApiRequest,
  { apiBasePath }: Pick<ApiSettings, 'apiBasePath'>,
): ReadRequest | undefined {
  const { method, query } = request;
  const path = pathOf(request, apiBasePath);
  if (path === '/batches') return method === 'GET' && isOfList(query) ? parseList(query) : undefined;
  const { runId: segment, outcomes } = OF_RUN.exec(path)?.groups ?? {};
  if (segment === undefined) return undefined;
  if (method !== 'GET')
    throw new MethodNotAllowedError(`Expected the method GET, got ${shorten(method)}`, 'GET');
  const runId = parseEarlierRunId(decode(segment), 'path.runId');
  if (outcomes !== undefined) return { kind: 'outcomes', runId, ...parseOutcomesQuery(query) };
  parametersOf(query, []);
  const { headers } = request;
  return {
    kind: 'run',
    runId,
    ifNoneMatch: headers.get('if-none-match') ?? '',
    asPage: prefersHtml(headers.get('accept')),
  };
}

/** Whether a list of entity tags, as that of If-None-Match, has this one, weak or not, or is `*`. */
export function hasEntityTag(list: string, etag: string): boolean {
  // What stands between quotes may have a comma in it.
  return list.trim() === '*' || [...list.matchAll(/"[^"]*"/g)].some(([tag]) => tag === etag);
}

/** A list names nothing to fetch. */
function isOfList(query: ApiRequest['query']): boolean {
  return !query.some(([key]) => TARGET_KEYS.some((target) => target === key));
}

function parseList(query: ApiRequest['query']): ReadRequest {
  const given = parametersOf(query, ['after', 'limit']);
  const after = given.get('after');
  if (after !== undefined && !PLACE_IN_LIST.test(after))
    throw badInput('query.after', 'the `next` of an earlier page, or a run id', after);
  return { kind: 'list', after, limit: integerIn(given, 'limit', 1, MAX_RUNS) ?? MAX_RUNS };
}

function parseOutcomesQuery(query: ApiRequest['query']): Omit<OutcomesRequest, 'runId'> {
  const given = parametersOf(query, ['status', 'code', 'after', 'limit']);
  return {
    status: oneIn(given, 'status', OUTCOME_STATUSES),
    code: oneIn(given, 'code', REASON_CODES),
    after: integerIn(given, 'after', 0, Number.MAX_SAFE_INTEGER),
    limit: integerIn(given, 'limit', 1, MAX_OUTCOMES) ?? DEFAULT_OUTCOMES,
  };
}

type Parameters = ReadonlyMap<string, string>;

function integerIn(given: Parameters, key: string, min: number, max: number): number | undefined {
  const text = given.get(key);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max)
    throw badInput(`query.${key}`, `an integer from ${min} to ${max}`, text);
  return value;
}

function oneIn<T extends string>(given: Parameters, key: string, values: readonly T[]): T | undefined {
  const text = given.get(key);
  const value = values.find((it) => it === text);
  if (text !== undefined && value === undefined)
    throw badInput(`query.${key}`, `one of ${values.join(', ')}`, text);
  return value;
}

/** A path may come decoded: no name has a percent sign in it. */
function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
