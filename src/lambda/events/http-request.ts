import type { ALBEvent, APIGatewayProxyEvent, APIGatewayProxyEventV2 } from 'aws-lambda';
import { isRecord } from '../../base/is-record.ts';
import { keptText } from '../../base/kept-text.ts';

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
  /** Whom AWS let in, where it says so: an ARN of IAM or a user's id, fit for a line of the log. */
  readonly caller: string | undefined;
}

/** What only the event of an authorizer has, which asks for a policy and otherwise looks like the request. */
const AUTHORIZER_KEYS = ['type', 'methodArn', 'routeArn'];
/** An ARN with the longest names of a role and of a session. */
const MAX_CALLER_CHARS = 256;

/** The request that an event is, by the shape of it; undefined for an event that is none. */
export function recognizeRequest(event: Readonly<Record<string, unknown>>): ApiRequest | undefined {
  const { version, httpMethod, requestContext } = event;
  if (!isRecord(requestContext) || AUTHORIZER_KEYS.some((key) => event[key] !== undefined)) return undefined;
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
  const rawQuery = textOr('', event.rawQueryString);
  return {
    dialect: 'http-api',
    method: textOr('', requestContext.http.method),
    path:
      pathOfRoute(routeKey.slice(routeKey.indexOf(' ') + 1), pathParameters) ??
      withoutStage(rawPath, requestContext.stage),
    query:
      rawQuery === '' ? flatten(event.queryStringParameters, undefined) : [...new URLSearchParams(rawQuery)],
    headers: lowerCased(event.headers, undefined),
    body: event.body ?? undefined,
    isBase64Encoded: event.isBase64Encoded,
    caller: callerOf(requestContext),
  };
}

/** Payload 1.0: API Gateway REST APIs, and HTTP APIs that are told so. */
export function fromPayloadV1(event: APIGatewayProxyEvent): ApiRequest {
  return {
    ...multiValueFields(event),
    dialect: 'rest-api',
    path:
      pathOfRoute(textOr('', event.resource), event.pathParameters) ??
      withoutStage(textOr('', event.path), event.requestContext.stage),
    caller: callerOf(event.requestContext),
  };
}

/** Application Load Balancers, with multi-value headers on or off. */
export function fromAlb(event: ALBEvent): ApiRequest {
  const { query, ...fields } = multiValueFields(event);
  return {
    ...fields,
    dialect: flatten(event.multiValueHeaders, undefined).length > 0 ? 'alb-multi-value' : 'alb',
    path: textOr('', event.path),
    // Unlike API Gateway, a load balancer hands over the query as it stands in the URL.
    query: [...new URLSearchParams(query.map(([key, value]) => `${key}=${value}`).join('&'))],
    caller: undefined,
  };
}

function multiValueFields(event: APIGatewayProxyEvent | ALBEvent) {
  return {
    method: textOr('', event.httpMethod),
    query: flatten(event.multiValueQueryStringParameters, event.queryStringParameters),
    headers: lowerCased(event.multiValueHeaders, event.headers),
    body: event.body ?? undefined,
    isBase64Encoded: event.isBase64Encoded,
  };
}

/**
 * The path by the route that API Gateway matched, `/batches` or `/{proxy+}` say: unlike the path of the request,
 * it knows nothing of stages and base path mappings.
 */
function pathOfRoute(route: string, parameters: unknown): string | undefined {
  if (!route.startsWith('/')) return undefined;
  const values = fieldsOf(parameters);
  return route.replace(/\{([^{}+]+)(\+?)\}/g, (_, name: string, greedy: string) => {
    // SAM's sample event has a greedy parameter with the slash in front of it.
    const value = textOr('', values[name]).replace(/^\//, '');
    // One that is not is a segment, whatever was decoded in it.
    return greedy ? value : value.replaceAll('/', '%2F');
  });
}

/** HTTP APIs put the stage in front of the path, unless that is the stage `$default`. */
function withoutStage(path: string, stage: unknown): string {
  const prefix = `/${textOr('$default', stage)}`;
  return path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : path;
}

/** Whom IAM, or the authorizer of the API, says that the request is from. */
function callerOf(requestContext: unknown): string | undefined {
  const { identity, authorizer } = fieldsOf(requestContext);
  const { userArn, user } = fieldsOf(identity);
  const { iam, jwt, claims, principalId } = fieldsOf(authorizer);
  const names = [
    fieldsOf(iam).userArn,
    userArn,
    fieldsOf(iam).userId,
    user,
    fieldsOf(fieldsOf(jwt).claims).sub,
    fieldsOf(claims).sub,
    principalId,
  ];
  const name = names.map((value) => textOr('', value)).find((text) => text !== '');
  return name && keptText(name, MAX_CALLER_CHARS);
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return isRecord(value) ? value : {};
}

/** Test tools leave out, or send as null, what AWS always sends. */
function textOr(fallback: string, value: unknown): string {
  return typeof value === 'string' ? value : fallback;
}

/**
 * The fields of two maps with the same content, of which the first has all values of a name and the second the last:
 * those of the first, and of the second what the first lacks, as test tools fill either alone.
 */
function flatten(
  multiValue: unknown,
  singleValue: unknown,
  nameOf: (name: string) => string = String,
): (readonly [string, string])[] {
  const fields = eachField(multiValue);
  const known = new Set(fields.map(([name]) => nameOf(name)));
  return [...fields, ...eachField(singleValue).filter(([name]) => !known.has(nameOf(name)))];
}

function eachField(fields: unknown): (readonly [string, string])[] {
  return Object.entries(fieldsOf(fields)).flatMap(([name, values]) =>
    [values].flat().flatMap((value) => (isScalar(value) ? [[name, String(value)] as const] : [])),
  );
}

/** Test tools send numbers, and values that are null. */
function isScalar(value: unknown): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}

function lowerCased(multiValue: unknown, singleValue: unknown): Map<string, string> {
  const headers = new Map<string, string>();
  for (const [name, value] of flatten(multiValue, singleValue, (key) => key.toLowerCase())) {
    const key = name.toLowerCase();
    const earlier = headers.get(key);
    headers.set(key, earlier === undefined ? value : `${earlier}, ${value}`);
  }
  return headers;
}
