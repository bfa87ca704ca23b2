import { isUtf8 } from 'node:buffer';
import type { ALBEvent, APIGatewayProxyEvent, APIGatewayProxyEventV2 } from 'aws-lambda';
import {
  BadInputError,
  badInput,
  expectation,
  MethodNotAllowedError,
  TooLargeError,
  UnknownRouteError,
  UnsupportedMediaTypeError,
} from '../../base/errors.ts';
import { isRecord } from '../../base/is-record.ts';
import { type BaseForm, FETCH_KEYS, parseBaseForm } from '../../batch/base-form.ts';
import { parseIdsText, parseRunId } from '../../batch/parse-ids.ts';

/** The HTTP events, by the shape that their replies must have. */
export type ApiDialect = 'http-api' | 'rest-api' | 'alb' | 'alb-multi-value';

/** An HTTP request as API Gateway, a Function URL or an ALB hands it over, in one shape. */
export interface ApiRequest {
  readonly dialect: ApiDialect;
  readonly method: string;
  readonly path: string;
  /** Decoded, in the order that came, duplicates kept. */
  readonly query: readonly (readonly [string, string])[];
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** Text, unless the event was made by hand. */
  readonly body: unknown;
  readonly isBase64Encoded: boolean;
}

/** The most bytes of a request body: Lambda's own limit for an invocation. */
export const MAX_REQUEST_BYTES = 6 * 1024 * 1024;

/** The request that an event is, by the shape of it; undefined for an event that is none. */
export function recognizeRequest(event: Readonly<Record<string, unknown>>): ApiRequest | undefined {
  const { version, httpMethod, requestContext } = event;
  if (!isRecord(requestContext)) return undefined;
  if (version === '2.0' && isRecord(requestContext.http))
    return fromPayloadV2(event as unknown as APIGatewayProxyEventV2);
  if (typeof httpMethod !== 'string') return undefined;
  if (isRecord(requestContext.elb)) return fromAlb(event as unknown as ALBEvent);
  return fromPayloadV1(event as unknown as APIGatewayProxyEvent);
}

/** Payload 2.0: API Gateway HTTP APIs and Lambda Function URLs. */
export function fromPayloadV2(event: APIGatewayProxyEventV2): ApiRequest {
  const { requestContext, pathParameters } = event;
  const routeKey = textOr('$default', event.routeKey);
  const rawPath = textOr('', event.rawPath ?? requestContext.http.path);
  const stagePrefix = `/${requestContext.stage}/`;
  return {
    dialect: 'http-api',
    method: requestContext.http.method,
    path:
      pathOfRoute(routeKey.slice(routeKey.indexOf(' ') + 1), pathParameters) ??
      (rawPath.startsWith(stagePrefix) ? rawPath.slice(stagePrefix.length - 1) : rawPath),
    query: [...new URLSearchParams(textOr('', event.rawQueryString))],
    headers: lowerCased(event.headers),
    body: event.body ?? undefined,
    isBase64Encoded: event.isBase64Encoded,
  };
}

/** Payload 1.0: API Gateway REST APIs. */
export function fromPayloadV1(event: APIGatewayProxyEvent): ApiRequest {
  return {
    ...multiValueFields(event),
    dialect: 'rest-api',
    path: pathOfRoute(textOr('', event.resource), event.pathParameters) ?? event.path,
  };
}

/** Application Load Balancers, with multi-value headers on or off. */
export function fromAlb(event: ALBEvent): ApiRequest {
  const { query, ...fields } = multiValueFields(event);
  return {
    ...fields,
    dialect: event.multiValueHeaders ? 'alb-multi-value' : 'alb',
    path: event.path,
    // Unlike API Gateway, a load balancer hands over the query as it stands in the URL.
    query: [...new URLSearchParams(query.map(([key, value]) => `${key}=${value}`).join('&'))],
  };
}

function multiValueFields(event: APIGatewayProxyEvent | ALBEvent) {
  return {
    method: event.httpMethod,
    query: flatten(event.multiValueQueryStringParameters ?? event.queryStringParameters),
    headers: lowerCased(event.multiValueHeaders ?? event.headers),
    body: event.body ?? undefined,
    isBase64Encoded: event.isBase64Encoded,
  };
}

/**
 * What `POST /batches` (the base form as a JSON body) or `GET /batches?ids=1,2,7-9` asks for.
 * Throws a BadInputError of the kind that its HTTP status needs.
 */
export function parseApiForm(request: ApiRequest, maxIds: number): BaseForm {
  if (request.path !== '/batches')
    throw new UnknownRouteError(`Expected the path /batches, got ${request.path}`);
  if (request.method === 'GET') return parseQuery(request.query, maxIds);
  if (request.method === 'POST') return parseBaseForm(parseJsonBody(request), { place: 'body', maxIds });
  throw new MethodNotAllowedError(`Expected the method GET or POST, got ${request.method}`, 'GET, POST');
}

/** The Idempotency-Key header, with or without the quotes of a structured field. Throws BadInputError. */
export function idempotencyKey(request: ApiRequest): string | undefined {
  const value = request.headers.get('idempotency-key');
  return value === undefined
    ? undefined
    : parseRunId(value.replace(/^"(.*)"$/, '$1'), 'headers.idempotency-key');
}

function parseQuery(query: ApiRequest['query'], maxIds: number): BaseForm {
  const given = new Map<string, string | boolean>();
  for (const [key, value] of query) {
    if (!FETCH_KEYS.includes(key)) throw badInput('query', `no parameters but ${FETCH_KEYS.join(', ')}`, key);
    if (given.has(key)) throw badInput(`query.${key}`, 'given once', `${given.get(key)}, then ${value}`);
    // Any other text than these two is refused for what it is.
    const isMode = key === 'returnExceptions' && (value === 'true' || value === 'false');
    given.set(key, isMode ? value === 'true' : value);
  }
  return parseBaseForm(Object.fromEntries(given), { place: 'query', maxIds, parseIds: parseIdsText });
}

function parseJsonBody(request: ApiRequest): unknown {
  const type = request.headers.get('content-type');
  // A request that does not say what its body is may be looked into (RFC 9110, 8.3).
  if (type !== undefined && !/^application\/([\w.-]+\+)?json\s*(;|$)/i.test(type))
    throw new UnsupportedMediaTypeError(expectation('headers.content-type', 'application/json', type));
  const { body } = request;
  if (typeof body !== 'string' || body === '') throw badInput('body', 'the text of a JSON object', body);
  const bytes = request.isBase64Encoded ? decodeBase64(body) : Buffer.from(body);
  if (bytes.length > MAX_REQUEST_BYTES)
    throw new TooLargeError(
      `Expected \`body\` to have at most ${MAX_REQUEST_BYTES} bytes, got ${bytes.length}`,
    );
  if (!isUtf8(bytes))
    throw new BadInputError('Expected `body` to be JSON in UTF-8, got bytes that are not UTF-8');
  try {
    return JSON.parse(bytes.toString());
  } catch (error) {
    throw new BadInputError(`Expected \`body\` to be JSON: ${(error as SyntaxError).message}`);
  }
}

function decodeBase64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  // Buffer skips what is not base64; RFC 4648 has it rejected.
  if (bytes.toString('base64').replace(/={1,2}$/, '') !== text.replace(/={1,2}$/, ''))
    throw new BadInputError('Expected `body` to be base64, as `isBase64Encoded` says, got something else');
  return bytes;
}

/**
 * The path by the route that API Gateway matched, `/batches` or `/{proxy+}` say: unlike the path of the request,
 * it knows nothing of stages and base path mappings.
 */
function pathOfRoute(route: string, parameters: Fields): string | undefined {
  if (!route.startsWith('/')) return undefined;
  return route.replace(/\{([^{}+]+)\+?\}/g, (_, name: string) => String(parameters?.[name] ?? ''));
}

/** Test tools leave out, or send as null, what AWS always sends. */
function textOr(fallback: string, value: unknown): string {
  return typeof value === 'string' ? value : fallback;
}

type Fields = Readonly<Record<string, string | readonly string[] | null | undefined>> | null | undefined;

function flatten(fields: Fields): (readonly [string, string])[] {
  return Object.entries(fields ?? {}).flatMap(([key, value]) =>
    [value ?? []].flat().map((one) => [key, String(one)] as const),
  );
}

function lowerCased(fields: Fields): Map<string, string> {
  const headers = new Map<string, string>();
  for (const [name, value] of flatten(fields)) {
    const key = name.toLowerCase();
    const earlier = headers.get(key);
    headers.set(key, earlier === undefined ? value : `${earlier}, ${value}`);
  }
  return headers;
}
