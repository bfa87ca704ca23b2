import { isUtf8 } from 'node:buffer';
import {
  BadInputError,
  badInput,
  expectation,
  MethodNotAllowedError,
  TooLargeError,
  UnknownRouteError,
  UnsupportedMediaTypeError,
} from '../../base/errors.ts';
import { shorten } from '../../base/excerpt.ts';
import { parseJsonText } from '../../base/json-text.ts';
import { type BaseForm, EXECUTION_LINK_KEY, FETCH_KEYS, parseBaseForm } from '../../batch/base-form.ts';
import { parseIdsText, parseRunId } from '../../batch/parse-ids.ts';
import type { ApiRequest } from './http-request.ts';

/** The most bytes of a request body: Lambda's own limit for an invocation. */
export const MAX_REQUEST_BYTES = 6 * 1024 * 1024;

const JSON_TYPE = /^\s*application\/([\w.-]+\+)?json\s*(;|$)/i;

const NO_CODING = /^\s*(identity)?\s*$/i;

export interface ApiSettings {
  /** Most ids in a batch. */
  readonly maxIds: number;
  /** What the paths of requests may start with besides the route, as in `/api/v1`; '' for nothing. */
  readonly apiBasePath: string;
}

/**
 * What `POST /batches` (the base form as a JSON body) or `GET /batches?ids=1,2,7-9` asks for.
 * Throws a BadInputError of the kind that its HTTP status needs.
 */
export function parseApiForm(request: ApiRequest, { maxIds, apiBasePath }: ApiSettings): BaseForm {
  const path = pathOf(request, apiBasePath);
  if (path !== '/batches')
    throw new UnknownRouteError(
      `Expected the path /batches, /batches/{runId} or /batches/{runId}/outcomes, got ${shorten(path)}`,
    );
  if (request.method === 'GET') return parseQuery(request.query, maxIds);
  if (request.method === 'POST') return parseBaseForm(parseJsonBody(request), { place: 'body', maxIds });
  throw new MethodNotAllowedError(
    `Expected the method GET or POST, got ${shorten(request.method)}`,
    'GET, POST',
  );
}

/** The path of a request without what paths start with besides the route. */
export function pathOf({ path }: ApiRequest, apiBasePath: string): string {
  return path.startsWith(`${apiBasePath}/`) ? path.slice(apiBasePath.length) : path;
}

/** The parameters of a query by name. Throws BadInputError for one that is none of `keys`, or is given twice. */
export function parametersOf(query: ApiRequest['query'], keys: readonly string[]): Map<string, string> {
  const given = new Map<string, string>();
  for (const [key, value] of query) {
    if (key === EXECUTION_LINK_KEY) continue;
    if (!keys.includes(key))
      throw badInput('query', keys.length > 0 ? `no parameters but ${keys.join(', ')}` : 'empty', key);
    const earlier = given.get(key);
    if (earlier !== undefined)
      throw badInput(`query.${key}`, 'given once', `${shorten(earlier)}, then ${value}`);
    given.set(key, value);
  }
  return given;
}

/** The Idempotency-Key header, with or without the quotes of a structured field. Throws BadInputError. */
export function idempotencyKey(request: ApiRequest): string | undefined {
  const value = request.headers.get('idempotency-key');
  return value === undefined
    ? undefined
    : parseRunId(value.replace(/^"(.*)"$/, '$1'), 'headers.idempotency-key');
}

function parseQuery(query: ApiRequest['query'], maxIds: number): BaseForm {
  const given = [...parametersOf(query, FETCH_KEYS)].map(([key, value]) => {
    // Any other text than these two is refused for what it is.
    const isMode = key === 'returnExceptions' && (value === 'true' || value === 'false');
    return [key, isMode ? value === 'true' : value] as const;
  });
  return parseBaseForm(Object.fromEntries(given), { place: 'query', maxIds, parseIds: parseIdsText });
}

function parseJsonBody(request: ApiRequest): unknown {
  const type = request.headers.get('content-type');
  // A request that does not say what its body is may be looked into (RFC 9110, 8.3).
  if (type !== undefined && !isJson(type))
    throw new UnsupportedMediaTypeError(expectation('headers.content-type', 'application/json', type));
  const coding = request.headers.get('content-encoding') ?? '';
  if (!coding.split(',').every((one) => NO_CODING.test(one)))
    throw new UnsupportedMediaTypeError(
      expectation('headers.content-encoding', 'left out, as a body is taken as it is', coding),
    );
  const { body } = request;
  if (typeof body !== 'string' || body === '') throw badInput('body', 'the text of a JSON object', body);
  const bytes = request.isBase64Encoded ? decodeBase64(body) : Buffer.from(body);
  if (bytes.length > MAX_REQUEST_BYTES)
    throw new TooLargeError(
      `Expected \`body\` to have at most ${MAX_REQUEST_BYTES} bytes, got ${bytes.length}`,
    );
  if (!isUtf8(bytes))
    throw new BadInputError('Expected `body` to be JSON in UTF-8, got bytes that are not UTF-8');
  return parseJsonText(bytes.toString(), 'body');
}

/** Whether a media type is JSON, also where it came more than once; a comma in quotes is one of a parameter. */
function isJson(type: string): boolean {
  return type
    .replaceAll(/"[^"]*"/g, '')
    .split(',')
    .every((one) => JSON_TYPE.test(one));
}

function decodeBase64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  // Buffer skips what is not base64; RFC 4648 has it rejected.
  if (bytes.toString('base64').replace(/={1,2}$/, '') !== text.replace(/={1,2}$/, ''))
    throw new BadInputError('Expected `body` to be base64, as `isBase64Encoded` says, got something else');
  return bytes;
}
