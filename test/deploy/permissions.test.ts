import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { applyConditions } from '../../scripts/template/conditions.ts';
import { asText, isObject, type Properties, type Template } from '../../scripts/template/template.ts';
import { copyService, type Fault, placesIn, type ServiceCopy, seeded } from './packaging.ts';

let service: ServiceCopy;
let prod: Template;
let elsewhere: Template;

beforeAll(async () => {
  service = await copyService();
  prod = await service.packaged('prod');
  elsewhere = await service.packaged('prod', { resultsBucket: 'other-bucket' }, 'elsewhere');
}, 120_000);

afterAll(() => service[Symbol.asyncDispose]());

/** A request to S3, by the action that it needs and by what the conditions of policies ask of it. */
interface S3Request {
  readonly action: string;
  readonly keys: Readonly<Record<string, string | undefined>>;
}

const get: S3Request = { action: 's3:GetObject', keys: {} };
/** PutObject and CompleteMultipartUpload. */
const make = (condition: { ifNoneMatch?: '*'; ifMatch?: string }): S3Request => ({
  action: 's3:PutObject',
  keys: {
    's3:ObjectCreationOperation': 'true',
    's3:if-none-match': condition.ifNoneMatch,
    's3:if-match': condition.ifMatch,
  },
});
const create = make({ ifNoneMatch: '*' });
const replace = make({ ifMatch: '"6805f2cfc46c0f04559748bb039d69ae"' });
const put = make({});
/** CreateMultipartUpload and UploadPart, which take no condition. */
const upload: S3Request = { action: 's3:PutObject', keys: { 's3:ObjectCreationOperation': 'false' } };

/** To list what starts with this, or to be told that an object is missing, which has no prefix. */
const list = (prefix?: string): S3Request => ({ action: 's3:ListBucket', keys: { 's3:prefix': prefix } });

/** Whether IAM and the bucket's policy let a role do this to the object with that key, or to the bucket. */
function isAllowed(roleId: string, { action, keys }: S3Request, key: string, template: Template): boolean {
  const { Resources } = applyConditions(template);
  const arn = `arn:\${AWS::Partition}:s3:::\${ResultsBucket}${key && `/${key}`}`;
  const meets = (statement: Properties): boolean => {
    const isOfAction = [statement.Action].flat().some((it) => matches(it, action));
    const covers = (resources: unknown): boolean => [resources].flat().some((it) => matches(it, arn));
    const isOfObject = 'Resource' in statement ? covers(statement.Resource) : !covers(statement.NotResource);
    return isOfAction && isOfObject && holds(statement.Condition, { 'aws:SecureTransport': 'true', ...keys });
  };
  const policies = (Resources[roleId]?.Properties?.Policies ?? []) as readonly Properties[];
  const isGranted = policies.flatMap(statementsOf).some(meets);
  return isGranted && !statementsOf(Resources.ResultsBucketPolicy?.Properties).some(meets);
}

function statementsOf(policy: Properties | undefined): Properties[] {
  const document = policy?.PolicyDocument;
  return isObject(document) ? [document.Statement].flat().filter(isObject) : [];
}

function matches(pattern: unknown, text: string): boolean {
  const whole = (asText(pattern) ?? '').replace(
    `\${ResultsBucket.Arn}`,
    `arn:\${AWS::Partition}:s3:::\${ResultsBucket}`,
  );
  return new RegExp(`^${whole.split('*').map(RegExp.escape).join('.*')}$`).test(text);
}

function holds(condition: unknown, keys: S3Request['keys']): boolean {
  return Object.entries(isObject(condition) ? condition : {}).every(([operator, wanted]) =>
    Object.entries(isObject(wanted) ? wanted : {}).every(([key, value]) => {
      if (operator === 'Null') return value === (keys[key] === undefined);
      if (operator === 'Bool') return keys[key] === String(value);
      if (operator === 'StringEqualsIfExists') return keys[key] === undefined || keys[key] === value;
      throw new Error(`The test does not know the operator ${operator}`);
    }),
  );
}

const parts = 'runs/night.part-000001.json';

it.each<
  [role: string, can: readonly [string, S3Request, string][], cannot: readonly [string, S3Request, string][]]
>([
  [
    'FetchRole',
    [
      ['read a document', get, 'runs/payroll.json'],
      ['write a document', create, 'runs/payroll.json'],
      ['write that of a part', create, parts],
      ['send a part of an upload', upload, 'runs/payroll.json'],
      ['write outcomes', create, 'runs/payroll.ndjson'],
      ['replace those of a run that has not ended', replace, 'runs/payroll.ndjson'],
      ['write compressed outcomes', create, 'runs/payroll.ndjson.gz'],
      ['replace those of a run that has not ended', replace, 'runs/payroll.ndjson.gz'],
      ['claim a run', create, 'runs/payroll.progress.json'],
      ['renew the claim of a run', replace, 'runs/payroll.progress.json'],
      ['read the claim of a run', get, 'runs/payroll.progress.json'],
      ['write the page of a run', create, 'runs/payroll.html'],
      ['write that of a run of the API that was handed over', create, 'runs/api/payroll.html'],
      ['look for the page of a run', get, 'runs/payroll.html'],
    ],
    [
      ['replace a document', replace, 'runs/payroll.json'],
      ['replace that of the API', replace, 'runs/api/payroll.json'],
      ['write over a document', put, 'runs/payroll.json'],
      ['write over outcomes', put, 'runs/payroll.ndjson'],
      ['write over compressed outcomes', put, 'runs/payroll.ndjson.gz'],
      ['replace what is compressed besides', replace, 'runs/payroll.json.gz'],
      ['write over a run manifest', put, 'runs/payroll.manifest.json'],
      ['write over the page of a run', put, 'runs/payroll.html'],
      ['write over the claim of a run', put, 'runs/payroll.progress.json'],
      ['write beside the runs', create, 'payroll.json'],
      ['read beside the runs', get, 'payroll.json'],
    ],
  ],
  [
    'ApiRole',
    [
      ['list the runs of the API', list('runs/api/'), ''],
      ['be told that an object is missing', list(), ''],
      ['read the plan of a run of parts', get, 'runs/api/plans/night.jsonl'],
      ['read a run manifest of the API', get, 'runs/api/night.manifest.json'],
      ['read a document of the API', get, 'runs/api/payroll.json'],
      ['write one', create, 'runs/api/payroll.json'],
      ['send a part of an upload', upload, 'runs/api/payroll.json'],
      ['replace outcomes of a run that has not ended', replace, 'runs/api/payroll.ndjson'],
      ['replace compressed ones', replace, 'runs/api/payroll.ndjson.gz'],
      ['claim a run', create, 'runs/api/payroll.progress.json'],
      ['renew the claim of a run', replace, 'runs/api/payroll.progress.json'],
      ['write the page of a run', create, 'runs/api/payroll.html'],
      ['read the page of a run, as its URL does', get, 'runs/api/payroll.html'],
      ['write ids that it hands over', create, 'runs/api/handed-over/payroll.0f.json'],
    ],
    [
      ['write over ids that it has handed over', put, 'runs/api/handed-over/payroll.0f.json'],
      ['list the runs of schedules', list('runs/'), ''],
      ['list what is beside the runs', list(''), ''],
      ['read the document of a schedule', get, 'runs/payroll.json'],
      ['read the page of a schedule', get, 'runs/payroll.html'],
      ['write one', create, 'runs/payroll.html'],
      ['write over the page of a run', put, 'runs/api/payroll.html'],
      ['read a run manifest', get, 'runs/payroll.manifest.json'],
      ['read a plan', get, 'runs/plans/payroll.jsonl'],
      ['take the name of a scheduled run', create, 'runs/payroll.json'],
      ['begin to', upload, 'runs/payroll.json'],
      ['replace outcomes of others', replace, 'runs/payroll.ndjson'],
      ['replace compressed ones', replace, 'runs/payroll.ndjson.gz'],
      ['claim a scheduled run', create, 'runs/payroll.progress.json'],
      ['take over a scheduled run', replace, 'runs/payroll.progress.json'],
      ['write over the claim of a run', put, 'runs/api/payroll.progress.json'],
      ['replace a document', replace, 'runs/api/payroll.json'],
      ['write over a document', put, 'runs/api/payroll.json'],
    ],
  ],
  [
    'PlanRole',
    [
      ['write a plan', create, 'runs/plans/night.jsonl'],
      ['send a part of an upload', upload, 'runs/plans/night.jsonl'],
      ['read a plan', get, 'runs/plans/night.jsonl'],
      ['read a run manifest', get, 'runs/night.manifest.json'],
      ['write a plan of the API', create, 'runs/api/plans/night.jsonl'],
      ['read the ids of one', get, 'runs/api/handed-over/night.0f.json'],
      ['end the claim of one', replace, 'runs/api/night.progress.json'],
    ],
    [
      ['end the claim of another run', replace, 'runs/night.progress.json'],
      ['write over the claim of a run of the API', put, 'runs/api/night.progress.json'],
      ['write a document of the API', create, 'runs/api/night.json'],
      ['write a page', create, 'runs/night.html'],
      ['write a run manifest', create, 'runs/night.manifest.json'],
      ['replace a plan', replace, 'runs/plans/night.jsonl'],
      ['write over a plan', put, 'runs/plans/night.jsonl'],
      ['read a document', get, 'runs/night.json'],
      ['write a document', create, 'runs/night.json'],
    ],
  ],
  [
    'ConcludeRole',
    [
      ['read a document', get, parts],
      ['write a run manifest', create, 'runs/night.manifest.json'],
      ['replace one', replace, 'runs/night.manifest.json'],
      ['write one of the API', create, 'runs/api/night.manifest.json'],
      ['end the claim of a run of the API', replace, 'runs/api/night.progress.json'],
      ['write its page', create, 'runs/night.html'],
      ['send a part of its upload', upload, 'runs/night.html'],
      ['replace the page of an earlier run manifest', replace, 'runs/night.html'],
      ['write the page of a run of the API', create, 'runs/api/night.html'],
      ['list the pages of the parts', list('runs/'), ''],
    ],
    [
      ['write over a page', put, 'runs/night.html'],
      ['write over a run manifest', put, 'runs/night.manifest.json'],
      ['write a document', create, 'runs/night.json'],
      ['claim a run', create, 'runs/night.progress.json'],
      ['replace a document', replace, parts],
    ],
  ],
  [
    'FetchAtScaleRole',
    [
      ['read a plan', get, 'runs/plans/night.jsonl'],
      ['write the results of a Map, as Step Functions does', put, 'runs/map-results/night/manifest.json'],
    ],
    [
      ['read a document', get, 'runs/night.json'],
      ['write over a document', put, 'runs/night.json'],
      ['read a plan of the API', get, 'runs/api/plans/night.jsonl'],
      ['write the results of a Map of the API', put, 'runs/api/map-results/night/manifest.json'],
    ],
  ],
  [
    'FetchAtScaleForApiRole',
    [
      ['read a plan of the API', get, 'runs/api/plans/night.jsonl'],
      ['write the results of a Map of the API', put, 'runs/api/map-results/night/manifest.json'],
    ],
    [
      ['read a plan of others', get, 'runs/plans/night.jsonl'],
      ['write the results of a Map of others', put, 'runs/map-results/night/manifest.json'],
      ['write over a document', put, 'runs/api/night.json'],
    ],
  ],
])('%s can do what it has to with the objects of runs, and nothing else', (role, can, cannot) => {
  const done = [...can, ...cannot].map(([what, request, key]) => [what, isAllowed(role, request, key, prod)]);
  expect(done).toStrictEqual([
    ...can.map(([what]) => [what, true]),
    ...cannot.map(([what]) => [what, false]),
  ]);
});

describe('a bucket that exists', () => {
  it('is used by every role as its own would be, and the stack makes none', () => {
    const resourcesOf = (template: Template) =>
      // The key of the zip has the time in it.
      JSON.stringify(applyConditions(template).Resources).replaceAll(/"S3Key":"[^"]*"/g, '"S3Key":""');
    const text = resourcesOf(elsewhere);
    expect(text).not.toContain('ResultsBucket');
    const { ResultsBucket, ResultsBucketPolicy, ...others } = JSON.parse(resourcesOf(prod));
    expect([ResultsBucket.Type, ResultsBucketPolicy.Type]).toStrictEqual([
      'AWS::S3::Bucket',
      'AWS::S3::BucketPolicy',
    ]);
    const moved = JSON.stringify(others).replaceAll('{"Ref":"ResultsBucket"}', '"other-bucket"');
    expect(JSON.parse(text)).toStrictEqual(JSON.parse(moved));
    expect(elsewhere.Outputs?.ResultsBucketName).toStrictEqual({
      Description: 'Where the documents go',
      Value: 'other-bucket',
    });
  });

  it('has no findings', () => {
    expect(placesIn(elsewhere)).toStrictEqual([]);
  });

  it('holds no manifests', () => {
    const statement = {
      Effect: 'Allow',
      Action: 's3:GetObject',
      Resource: { 'Fn::Sub': `arn:\${AWS::Partition}:s3:::other-bucket/*` },
    };
    const at = 'ApiRole.Properties.Policies.0.PolicyDocument.Statement.2';
    expect(placesIn(seeded(elsewhere, at, statement))).toStrictEqual([
      'ApiRole.Properties.Policies[0].PolicyDocument.Statement[2].Resource',
    ]);
  });
});

const statements = 'ResultsBucketPolicy.Properties.PolicyDocument.Statement';
const apiObjects = 'ApiRole.Properties.Policies.0.PolicyDocument.Statement.0';
const objectsOf = (key: string): object => ({
  'Fn::Sub': `arn:\${AWS::Partition}:s3:::\${ResultsBucket}/${key}`,
});

const faults: readonly Fault[] = [
  {
    fault: 'an API that may do with all runs what it may with its own',
    at: `${apiObjects}.Resource`,
    put: objectsOf('runs/*'),
    found: [
      'ApiRole.Properties.Policies[0].PolicyDocument.Statement[0].Resource',
      'ApiLambdaFunction.Properties.Environment.Variables.RESULTS_BUCKET',
    ],
  },
  {
    fault: 'an API that keeps its runs among those of others',
    at: 'ApiLambdaFunction.Properties.Environment.Variables.RESULTS_PREFIX',
    put: 'runs/api-2/',
    found: [
      ...['Fetch', 'Plan', 'Conclude'].map(
        (name) => `${name}LambdaFunction.Properties.Environment.Variables.ASYNC_RESULTS_PREFIX`,
      ),
      'ApiRole.Properties.Policies[0].PolicyDocument.Statement[0].Resource',
      'ApiLambdaFunction.Properties.Environment.Variables.RESULTS_BUCKET',
    ],
  },
  {
    fault: 'a function that reads manifests from the results',
    at: `${apiObjects}.Resource`,
    put: [objectsOf('runs/api/*'), objectsOf('lists/*')],
    found: ['ApiRole.Properties.Policies[0].PolicyDocument.Statement[0].Resource'],
  },
  {
    fault: 'another bucket than the role may write to',
    at: 'ApiLambdaFunction.Properties.Environment.Variables.RESULTS_BUCKET',
    put: 'other-bucket',
    found: [
      'ApiRole.Properties.Policies[0].PolicyDocument.Statement[0].Resource',
      'ApiLambdaFunction.Properties.Environment.Variables.RESULTS_BUCKET',
    ],
  },
  {
    fault: 'a bucket whose documents may be replaced',
    at: `${statements}.1`,
    put: undefined,
    found: ['ResultsBucket'],
  },
  {
    fault: 'a bucket whose run manifests may be written over',
    at: `${statements}.2`,
    put: undefined,
    found: ['ResultsBucket'],
  },
  {
    fault: 'a bucket whose documents are an exception',
    at: `${statements}.1.NotResource.4`,
    put: { 'Fn::Sub': `\${ResultsBucket.Arn}/runs/*.json` },
    found: ['ResultsBucket'],
  },
  {
    fault: 'a bucket whose outcomes may be written over',
    at: `${statements}.2.NotResource`,
    put: { 'Fn::Sub': `\${ResultsBucket.Arn}/runs/*.ndjson` },
    found: ['ResultsBucket'],
  },
  {
    fault: 'a bucket whose compressed outcomes may be written over',
    at: `${statements}.2.NotResource`,
    put: { 'Fn::Sub': `\${ResultsBucket.Arn}/runs/*.ndjson.gz` },
    found: ['ResultsBucket'],
  },
  {
    fault: 'a bucket that has whatever is compressed replaced',
    at: `${statements}.1.NotResource.2`,
    put: { 'Fn::Sub': `\${ResultsBucket.Arn}/runs/*.gz` },
    found: ['ResultsBucket'],
  },
  {
    fault: 'a bucket whose claims may be written over',
    at: `${statements}.2.NotResource`,
    put: { 'Fn::Sub': `\${ResultsBucket.Arn}/runs/*.progress.json` },
    found: ['ResultsBucket'],
  },
  {
    fault: 'a bucket whose pages may be written over',
    at: `${statements}.2.NotResource`,
    put: { 'Fn::Sub': `\${ResultsBucket.Arn}/runs/*.html` },
    found: ['ResultsBucket'],
  },
  {
    fault: 'a bucket that takes no upload in parts',
    at: `${statements}.1.Condition.Bool`,
    put: undefined,
    found: ['ResultsBucket'],
  },
  {
    fault: 'a bucket that one account alone may not write over',
    at: `${statements}.1.Principal`,
    put: { AWS: '123456789012' },
    found: ['ResultsBucket'],
  },
];

describe('the template check finds, in who may do what', () => {
  it.each(faults)('$fault', ({ at, put, found = [at] }) => {
    expect(placesIn(seeded(prod, at, put))).toStrictEqual([...found].sort());
  });
});
