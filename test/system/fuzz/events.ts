import fc from 'fast-check';
import { sampleEvent, sampleNames } from '../../support/sample-events.ts';

/** An invocation of one of the functions, as JSON: what is too deep for an object to be drawn stands in it as text. */
export interface Invocation {
  readonly name: 'fetch' | 'plan' | 'conclude';
  readonly json: string;
}

/** Stands for so many arrays, one in the other. */
const deep = (levels: number): string => `@deep:${levels}`;
/** Stands for so many characters. */
const long = (length: number): string => `@long:${length}`;

/** JSON, with what a text stands for in its place. */
function jsonOf(value: unknown): string {
  return (JSON.stringify(value) ?? 'null')
    .replaceAll(/"@deep:(\d+)"/g, (_, levels: string) => '['.repeat(+levels) + ']'.repeat(+levels))
    .replaceAll(/@long:(\d+)/g, (_, length: string) => '€'.repeat(+length));
}

const texts = fc.oneof(
  fc.constantFrom(
    '',
    '.',
    '..',
    '../../x',
    'a/b',
    'a b',
    '%2e%2e',
    'x?y=1',
    'x#y',
    '//example.com/',
    '@',
    '__proto__',
  ),
  fc.constantFrom(
    'http://169.254.169.254/',
    '\u0000',
    '\n',
    '\ud800',
    '😀',
    '-0',
    '1e3',
    '01',
    '7-9',
    '9-7',
    '1,,2',
  ),
  fc.constantFrom('x'.repeat(128), 'x'.repeat(129), '\u0001'.repeat(200), long(9_000), long(1_000_000)),
  fc.string({ unit: 'binary', maxLength: 40 }),
);
const junk = fc.oneof(
  { weight: 6, arbitrary: texts },
  {
    weight: 6,
    arbitrary: fc.constantFrom<unknown>(null, true, 0, -1, 1.5, 2 ** 53, 1e300, [], {}, [[]], [null], {
      a: 1,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom<unknown>({ toString: 1 }, { valueOf: 1, toString: null }, { length: 9 }),
  },
  { weight: 3, arbitrary: fc.constantFrom(65, 4_481, 20_000).map(deep) },
  { weight: 4, arbitrary: fc.jsonValue({ maxDepth: 4 }) },
);
/** Mostly as it should be. */
const orJunk = <T>(good: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 9, arbitrary: good as fc.Arbitrary<unknown> }, { weight: 1, arbitrary: junk });

const names = fc.stringMatching(/^[A-Za-z0-9._~-]{1,12}$/);
const ranges = fc.record({ from: orJunk(fc.nat(60)), to: orJunk(fc.nat(120)) });
const ids = fc.array(orJunk(fc.oneof(fc.nat(120), names, ranges)), { maxLength: 6 });
const locations = fc.oneof(
  fc.constantFrom(
    's3://manifests/posts.csv',
    's3://manifests/bomb.csv.gz',
    's3://manifests/bad.jsonl',
    's3://x/y.csv',
  ),
  fc.stringMatching(/^s3:\/\/[a-z.-]{3,9}\/[a-z/.]{1,20}\.(json|jsonl|csv)(\.gz)?$/).filter(isElsewhere),
);
const nestedStart = { AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID: orJunk(fc.constant('arn:aws:states:x')) };
const optional = { requiredKeys: [] };
const forms = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record(
      { ids: orJunk(ids), returnExceptions: orJunk(fc.boolean()), runId: orJunk(names), ...nestedStart },
      { requiredKeys: ['ids'] },
    ),
  },
  {
    weight: 2,
    arbitrary: fc.record(
      { manifest: orJunk(locations), runId: orJunk(names), ...nestedStart },
      { requiredKeys: ['manifest'] },
    ),
  },
  {
    weight: 2,
    arbitrary: fc.record({ redrive: orJunk(names), ...nestedStart }, { requiredKeys: ['redrive'] }),
  },
  {
    weight: 1,
    arbitrary: fc.record(
      {
        ids: junk,
        manifest: junk,
        redrive: junk,
        returnExceptions: junk,
        runId: junk,
        extra: junk,
        partSize: junk,
      },
      optional,
    ),
  },
  { weight: 1, arbitrary: fc.dictionary(texts, junk, { maxKeys: 4 }) },
);

/** The JSON of a form in a text, whole or with something wrong about it. */
const formTexts = fc.tuple(forms, fc.nat(9), fc.nat(200)).map(([form, how, at]) => {
  const json = jsonOf(form);
  if (how === 0) return `\ufeff${json}`;
  if (how === 1) return ` ${json}\r\n`;
  if (how === 2) return json.slice(0, at);
  if (how === 3) return json.replace('{', '{"ids":[1],"ids":[2],');
  if (how === 4) return json.replace('{', '{"\\u0069ds":[1],');
  if (how === 5) return `${'{"a":'.repeat(at * 50)}${json}`;
  return json;
});

const times = fc.constantFrom(
  '2026-11-23T06:00:00Z',
  '2026-11-23T06:00:00.5+01:00',
  '2026-02-30T00:00:00Z',
  '1',
  'now',
);
const envelopes = fc.record(
  {
    version: fc.constant('0'),
    id: orJunk(names),
    'detail-type': fc.constantFrom('Scheduled Event', 'Alarm'),
    source: orJunk(fc.constantFrom('aws.events', 'aws.scheduler', 'aws.cloudwatch')),
    time: orJunk(times),
    resources: orJunk(fc.constant([])),
    detail: orJunk(fc.oneof(forms, formTexts, fc.constantFrom('{}', '', 'null'))),
  },
  { requiredKeys: ['detail-type', 'source', 'time', 'id'] },
);

const headers = fc.dictionary(
  fc.constantFrom(
    'content-type',
    'Content-Type',
    'Idempotency-Key',
    'Content-Encoding',
    'Host',
    'x-forwarded-for',
  ),
  orJunk(
    fc.oneof(fc.constantFrom('application/json', 'text/plain', 'gzip', 'identity', '"key"', 'a, b'), texts),
  ),
  { maxKeys: 4 },
);
const queryKeys = fc.constantFrom(
  'ids',
  'manifest',
  'redrive',
  'runId',
  'returnExceptions',
  'limit',
  'after',
  'status',
  'code',
  'extra',
  '__proto__',
);
const queryValues = fc.oneof(
  fc.constantFrom('1,2,7-9', 'true', 'a', '1', '0', 'rejected', 'NOT_FOUND'),
  locations,
  names,
  texts,
);
const query = fc.dictionary(queryKeys, orJunk(queryValues), { maxKeys: 3 });
const queryTexts = fc
  .array(fc.tuple(queryKeys, queryValues), { maxLength: 3 })
  .map((pairs) => new URLSearchParams(pairs).toString());
const many = (fields: fc.Arbitrary<Record<string, unknown>>) =>
  fields.map((map) => Object.fromEntries(Object.entries(map).map(([key, value]) => [key, [value]])));
const paths = orJunk(
  fc.constantFrom(
    '/batches',
    '/batches',
    '/batches',
    '/live/batches',
    '/',
    '/batches/1',
    '/batches/1/outcomes',
    '/batches/run/outcomes',
    '/batches/run',
    '/batches/%2e%2e',
    '/batches/a%2Fb',
    '//batches',
    '/api/batches',
  ),
);
const methods = orJunk(fc.constantFrom('GET', 'GET', 'POST', 'POST', 'PUT', 'OPTIONS'));
const bodies = orJunk(
  fc.oneof(
    formTexts,
    formTexts.map((text) => Buffer.from(text).toString('base64')),
  ),
);
const authorizers = orJunk(
  fc.constantFrom({ iam: { userArn: 'arn:aws:iam::1:user/x' } }, { principalId: 'x' }, null),
);

const requestsV2 = fc.record(
  {
    version: fc.constant('2.0'),
    routeKey: orJunk(
      fc.constantFrom('$default', 'POST /batches', 'GET /batches', 'GET /batches/{proxy}', 'ANY /{proxy+}'),
    ),
    rawPath: paths,
    rawQueryString: orJunk(fc.oneof(queryTexts, texts)),
    queryStringParameters: orJunk(query),
    headers: orJunk(headers),
    pathParameters: orJunk(fc.constantFrom({ proxy: 'batches' }, { proxy: '/batches' }, null)),
    requestContext: fc.record({
      http: fc.record({ method: methods, path: paths }),
      stage: orJunk(fc.constant('live')),
      authorizer: authorizers,
    }),
    body: bodies,
    isBase64Encoded: orJunk(fc.boolean()),
  },
  { requiredKeys: ['version', 'requestContext', 'rawPath', 'body'] },
);
const requestsV1 = fc.record(
  {
    resource: orJunk(fc.constantFrom('/batches', '/{proxy+}', '$default')),
    path: paths,
    httpMethod: methods,
    headers: orJunk(headers),
    multiValueHeaders: orJunk(many(headers)),
    queryStringParameters: orJunk(query),
    multiValueQueryStringParameters: orJunk(many(query)),
    pathParameters: orJunk(fc.constantFrom({ proxy: 'batches' }, null)),
    requestContext: fc.record(
      {
        elb: fc.constant({}),
        stage: orJunk(fc.constant('live')),
        identity: authorizers,
        authorizer: authorizers,
      },
      optional,
    ),
    body: bodies,
    isBase64Encoded: orJunk(fc.boolean()),
  },
  { requiredKeys: ['path', 'httpMethod', 'requestContext', 'body'] },
);

const requests = fc
  .tuple(fc.oneof(requestsV2, requestsV1), fc.nat(29))
  .map(([request, how]) => ({ ...request, ...AUTHORIZER_FIELDS[how] }));
/** What makes of some requests the event of an authorizer. */
const AUTHORIZER_FIELDS: readonly object[] = [
  { type: 'REQUEST' },
  { methodArn: 'arn:x' },
  { routeArn: 'arn:x' },
];

/** A sample event in which some fields, wherever they are, hold something else. */
const mutants = fc
  .tuple(
    fc.constantFrom(...sampleNames(), ...sampleNames('bad').map((name) => `bad/${name}`)),
    fc.array(fc.tuple(fc.nat(1_000), junk, fc.boolean()), { maxLength: 3 }),
  )
  .map(([name, changes]) =>
    changes.reduce<unknown>((event, change) => mutated(event, ...change), sampleEvent(name)),
  );

const invocations: fc.Arbitrary<readonly [name: Invocation['name'], event: unknown]> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constant('fetch' as const), forms) },
  { weight: 4, arbitrary: fc.tuple(fc.constant('fetch' as const), envelopes) },
  { weight: 14, arbitrary: fc.tuple(fc.constant('fetch' as const), requests) },
  { weight: 6, arbitrary: fc.tuple(fc.constant('fetch' as const), mutants) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom('fetch', 'plan', 'conclude'), junk) },
  {
    weight: 3,
    arbitrary: fc.tuple(
      fc.constant('plan' as const),
      fc.record({ input: orJunk(planForms()), execution: orJunk(names) }),
    ),
  },
  { weight: 2, arbitrary: fc.tuple(fc.constant('conclude' as const), fc.record({ runId: orJunk(names) })) },
);

/** Whole events of every kind that there is, and of none, for each of the functions. */
export const anyInvocation: fc.Arbitrary<Invocation> = invocations.map(([name, event]) => ({
  name,
  json: jsonOf(event),
}));

function planForms(): fc.Arbitrary<unknown> {
  return fc
    .tuple(forms, fc.option(orJunk(fc.integer({ min: 1, max: 9 })), { nil: undefined }))
    .map(([{ returnExceptions: _, ...form }, partSize]: [Record<string, unknown>, unknown]) => ({
      ...form,
      ...(partSize !== undefined && { partSize }),
    }));
}

/** The event with another value, or none, in the place that a number stands for. */
function mutated(event: unknown, place: number, value: unknown, isRemoved: boolean): unknown {
  const places = placesIn(event);
  const [object, key] = places[place % Math.max(1, places.length)] ?? [];
  if (object === undefined || key === undefined) return structuredClone(value);
  if (isRemoved) delete object[key];
  // A copy: some values are the same object each time, which would come to hold itself.
  else object[key] = structuredClone(value);
  return event;
}

function placesIn(value: unknown): (readonly [object: Record<string, unknown>, key: string])[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [
    [value as Record<string, unknown>, key] as const,
    ...placesIn(inner),
  ]);
}

/** The bucket of results is for another test. */
function isElsewhere(url: string): boolean {
  return !url.startsWith('s3://results/');
}
