import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse } from 'yaml';
import { isRecord } from '../../src/base/is-record.ts';
import { recognizeRequest } from '../../src/lambda/events/http-request.ts';
import { schemaFiles } from './schemas.ts';

type Json = Readonly<Record<string, unknown>>;

/** openapi.yaml, as JSON. */
export const description: Json = parse(
  readFileSync(join(import.meta.dirname, '../../openapi.yaml'), 'utf8'),
  {
    merge: true,
  },
);

const ROOT = 'urn:batch-fetcher:openapi';
const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
ajv.addSchema(atTheirNames({ ...description, $id: ROOT }));
for (const schema of schemaFiles.values()) ajv.addSchema(schema);

/** A reply as Lambda gets it, in whichever dialect. */
interface ApiReply {
  readonly statusCode: number;
  readonly headers?: unknown;
  readonly multiValueHeaders?: unknown;
  readonly body: string;
}

/**
 * What of a reply is not as openapi.yaml describes it, one fault a line: none where all is, or where `event` is no request
 * to the API.
 */
export function apiFaults(event: unknown, reply: unknown): string[] {
  const request = isRecord(event) ? recognizeRequest(event) : undefined;
  if (!request || !isRecord(reply) || !('statusCode' in reply)) return [];
  // What answers a request has the rest as well.
  return replyFaults(request.method, request.path, reply as unknown as ApiReply);
}

/** The same of a reply to a request of this method and path. */
export function replyFaults(method: string, path: string, reply: ApiReply): string[] {
  const at = responseAt(method, path, reply.statusCode);
  if (at === undefined) return [`${method} ${path} has no reply of status ${reply.statusCode}`];
  const response = objectAt(at);
  const headers = headersOf(reply);
  return [...headerFaults(at, response, headers), ...bodyFaults(at, response, headers, reply.body)];
}

/** Of each example of a body in the description: where it is, what it is, and what is wrong with it. */
export function* examplesOf(): Generator<{ place: string; value: unknown; faults: readonly string[] }> {
  for (const [at, media] of mediaTypes()) {
    for (const [name, given] of Object.entries((media.examples ?? {}) as Record<string, Json>)) {
      const { value } = isRecord(given) && typeof given.$ref === 'string' ? objectAt(given.$ref) : given;
      yield { place: `${at}/examples/${name}`, value, faults: faultsBy(`${at}/schema`, value) };
    }
  }
}

/** What may come of a request that is no operation, by status. */
const ELSEWHERE: Readonly<Record<number, string>> = {
  400: 'badInput',
  404: 'unknownRoute',
  405: 'methodNotAllowed',
  500: 'internalError',
  503: 'unavailable',
};

/** Where the response to a request is described. */
function responseAt(method: string, path: string, status: number): string | undefined {
  const operation = `#/paths/${escaped(templateOf(path))}/${method.toLowerCase()}`;
  if (!hasObjectAt(operation)) return ELSEWHERE[status] && `#/components/responses/${ELSEWHERE[status]}`;
  const response = `${operation}/responses/${status}`;
  return hasObjectAt(response) ? followed(response) : undefined;
}

/** What a pointer leads to: it may be a reference. */
function followed(pointer: string): string {
  const { $ref } = objectAt(pointer);
  return typeof $ref === 'string' ? $ref : pointer;
}

/** The path with what stands for the id of a run in it, and without the base path that tests set. */
function templateOf(path: string): string {
  return path.replace(/^\/api(?=\/batches)/, '').replace(/^(\/batches)\/[^/]+/, '$1/{runId}');
}

function headersOf({ headers, multiValueHeaders }: ApiReply): Readonly<Record<string, string>> {
  const fields = Object.entries((headers ?? multiValueHeaders ?? {}) as Json);
  return Object.fromEntries(fields.map(([name, value]) => [name.toLowerCase(), [value].flat().join(', ')]));
}

function headerFaults(
  at: string,
  { headers: described }: Json,
  headers: Readonly<Record<string, string>>,
): string[] {
  const names = Object.keys((described ?? {}) as Json);
  const known = ['content-type', ...names.map((name) => name.toLowerCase())];
  const unknown = Object.keys(headers).filter((name) => !known.includes(name));
  return [
    ...unknown.map((name) => `The header ${name} is not described`),
    ...names.flatMap((name) => {
      const place = followed(`${at}/headers/${escaped(name)}`);
      const value = headers[name.toLowerCase()];
      const { required } = objectAt(place);
      if (value === undefined) return required ? [`The header ${name} is missing`] : [];
      const parsed = /^\d+$/.test(value) ? Number(value) : value;
      return faultsBy(`${place}/schema`, parsed).map((fault) => `${name}: ${fault}`);
    }),
  ];
}

function bodyFaults(
  at: string,
  { content }: Json,
  headers: Readonly<Record<string, string>>,
  body: string,
): string[] {
  const type = headers['content-type']?.split(';')[0];
  if (content === undefined) return body === '' && type === undefined ? [] : ['There is a body'];
  if (type === undefined || !isRecord(content) || !isRecord(content[type]))
    return [`The type ${type} is not described`];
  const value = type.endsWith('json') ? JSON.parse(body) : body;
  return faultsBy(`${at}/content/${escaped(type)}/schema`, value);
}

function* mediaTypes(): Generator<[at: string, media: Json]> {
  const walk = function* (value: unknown, at: string): Generator<[string, Json]> {
    if (!isRecord(value)) return;
    if (isRecord(value.content))
      for (const [type, media] of Object.entries(value.content))
        yield [`${at}/content/${escaped(type)}`, media as Json];
    for (const [key, child] of Object.entries(value)) yield* walk(child, `${at}/${escaped(key)}`);
  };
  yield* walk(
    { paths: description.paths, components: { responses: at(description.components, 'responses') } },
    '#',
  );
}

function faultsBy(place: string, value: unknown): string[] {
  const validate = ajv.getSchema(`${ROOT}${place}`);
  if (!validate) return [`${place} is no schema`];
  if (validate(value)) return [];
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
}

function hasObjectAt(pointer: string): boolean {
  return isRecord(valueAt(pointer));
}

function objectAt(pointer: string): Json {
  const value = valueAt(pointer);
  if (!isRecord(value)) throw new Error(`There is no ${pointer} in openapi.yaml`);
  return value;
}

function valueAt(pointer: string): unknown {
  return pointer
    .slice(2)
    .split('/')
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce<unknown>(at, description);
}

function at(value: unknown, key: string): unknown {
  return isRecord(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

function escaped(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}

/** The same with references to the schemas' own names, where it has those of their files. */
function atTheirNames(value: unknown): Json {
  const text = JSON.stringify(value).replaceAll(
    /"\$ref":"schema\/([\w.-]+)/g,
    (_, file: string) => `"$ref":"${schemaFiles.get(file)?.$id}`,
  );
  return JSON.parse(text);
}
