import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkTemplate, everyParameter } from '../../scripts/template/check-template.ts';
import { applyConditions } from '../../scripts/template/conditions.ts';
import { asText, type Template } from '../../scripts/template/template.ts';
import { copyService, type Fault, logDeliveries, placesIn, type ServiceCopy, seeded } from './packaging.ts';

let service: ServiceCopy;
let prod: Template;
let dev: Template;
let withHeaders: Template;

const results = `arn:\${AWS::Partition}:s3:::\${ResultsBucket}`;
const lists = `arn:\${AWS::Partition}:s3:::${everyParameter.manifestBucket}`;
const headersArn = `arn:\${AWS::Partition}:ssm:\${AWS::Region}:\${AWS::AccountId}:parameter/batch-fetcher/post-headers`;

beforeAll(async () => {
  service = await copyService();
  prod = await service.packaged('prod');
  dev = await service.packaged('dev');
  const { manifestBucket, tracing, postHeadersParameter, postHeadersKeyArn } = everyParameter;
  const params = { manifestBucket, tracing, postHeadersParameter, postHeadersKeyArn };
  withHeaders = await service.packaged('prod', params, 'with-headers');
}, 120_000);

afterAll(() => service[Symbol.asyncDispose]());

describe('the packaged service', () => {
  it('has no findings in prod and in dev', () => {
    for (const template of [prod, dev]) {
      expect(checkTemplate(template)).toStrictEqual({ findings: [], allowances: logDeliveries });
    }
  });

  it('has none with headers for the origin, manifests from elsewhere and traces, and traces only then', () => {
    const { findings, allowances } = checkTemplate(withHeaders);
    expect(findings).toStrictEqual([]);
    expect(allowances.filter((allowance) => !logDeliveries.includes(allowance))).toStrictEqual([
      ...['FetchAtScaleRole', 'FetchAtScaleForApiRole'].flatMap((role) => [
        `${role}: xray:PutTraceSegments on "*": X-Ray has no resource for traces`,
        `${role}: xray:PutTelemetryRecords on "*": X-Ray has no resource for traces`,
        `${role}: xray:GetSamplingRules on "*": X-Ray has no resource for sampling`,
        `${role}: xray:GetSamplingTargets on "*": X-Ray has no resource for sampling`,
      ]),
    ]);
    for (const machine of ['FetchAtScale', 'FetchAtScaleForApi']) {
      const isTraced = [prod, withHeaders].map(
        ({ Resources }) => Resources[machine]?.Properties?.TracingConfiguration,
      );
      expect(isTraced).toStrictEqual([{ Enabled: false }, { Enabled: true }]);
    }
    for (const role of ['FetchRole', 'ApiRole', 'PlanRole']) {
      const granted = [`s3:GetObject on ${lists}/*`, `s3:ListBucket on ${lists}`];
      expect(grants(role, withHeaders)).toStrictEqual(expect.arrayContaining(granted));
      expect(grants(role, prod)).not.toContain(granted[0]);
    }
    expect(JSON.stringify(withHeaders.Resources.ConcludeRole)).not.toContain(everyParameter.manifestBucket);
  });

  it('runs its schedule in prod only', () => {
    expect(prod.Resources.FetchEventsRuleSchedule1?.Properties?.State).toBe('ENABLED');
    expect(dev.Resources.FetchEventsRuleSchedule1?.Properties?.State).toBe('DISABLED');
  });

  it('lets each role do what its function does, and only that', () => {
    expect(grants('FetchRole', prod)).toStrictEqual([
      `s3:GetObject,s3:PutObject,s3:AbortMultipartUpload on ${results}/runs/*`,
      `s3:ListBucket on ${results}`,
      `logs:CreateLogStream,logs:PutLogEvents on \${FetchLogGroup.Arn}`,
      `sqs:SendMessage on \${FailedRuns.Arn}`,
    ]);
    expect(grants('ApiRole', prod)).toStrictEqual([
      `s3:GetObject,s3:PutObject,s3:AbortMultipartUpload on ${results}/runs/api/*`,
      `s3:ListBucket on ${results}`,
      `lambda:InvokeFunction on \${FetchApiAlias}`,
      `states:StartExecution on \${FetchAtScaleForApi}`,
      `logs:CreateLogStream,logs:PutLogEvents on \${ApiLogGroup.Arn}`,
    ]);
    expect(grants('PlanRole', prod)).toStrictEqual([
      `s3:GetObject,s3:PutObject,s3:AbortMultipartUpload on ${results}/runs/plans/*,${results}/runs/api/plans/*`,
      `s3:GetObject on ${results}/runs/api/handed-over/*`,
      `s3:GetObject,s3:PutObject on ${results}/runs/api/*.progress.json`,
      `s3:GetObject on ${results}/runs/*.manifest.json`,
      `s3:ListBucket on ${results}`,
      `logs:CreateLogStream,logs:PutLogEvents on \${PlanLogGroup.Arn}`,
    ]);
    expect(grants('ConcludeRole', prod)).toStrictEqual([
      `s3:GetObject on ${results}/runs/*`,
      `s3:ListBucket on ${results}`,
      `s3:PutObject,s3:AbortMultipartUpload on ${results}/runs/*.manifest.json,${results}/runs/*.html`,
      `s3:GetObject,s3:PutObject on ${results}/runs/api/*.progress.json`,
      `logs:CreateLogStream,logs:PutLogEvents on \${ConcludeLogGroup.Arn}`,
    ]);
  });

  it('lets the state machine invoke its functions, read plans and write the results of its Map, and only that', () => {
    const functions = ['Plan', 'Fetch', 'Conclude'].map((name) => `\${${name}LambdaFunction.Arn}`);
    const s3Objects = 's3:GetObject,s3:PutObject,s3:ListMultipartUploadParts,s3:AbortMultipartUpload';
    expect(grants('FetchAtScaleRole', prod).filter((grant) => !grant.startsWith('logs:'))).toStrictEqual([
      `lambda:InvokeFunction on ${functions.join(',')}`,
      `s3:GetObject on ${results}/runs/plans/*`,
      `${s3Objects} on ${results}/runs/map-results/*`,
    ]);
  });

  it('lets the state machine for runs of the API do the same with what is theirs, through aliases of the functions', () => {
    const aliases = ['Plan', 'Fetch', 'Conclude'].map((name) => `\${${name}PartsAlias}`);
    const s3Objects = 's3:GetObject,s3:PutObject,s3:ListMultipartUploadParts,s3:AbortMultipartUpload';
    const granted = grants('FetchAtScaleForApiRole', prod).filter((grant) => !grant.startsWith('logs:'));
    expect(granted).toStrictEqual([
      `lambda:InvokeFunction on ${aliases}`,
      `s3:GetObject on ${results}/runs/api/plans/*`,
      `${s3Objects} on ${results}/runs/api/map-results/*`,
    ]);
    const [plain, ofApi] = ['FetchAtScale', 'FetchAtScaleForApi'].map(
      (name) => prod.Resources[name]?.Properties,
    );
    expect(ofApi?.Definition).toStrictEqual(plain?.Definition);
    expect(ofApi?.DefinitionSubstitutions).toStrictEqual({
      Partition: { Ref: 'AWS::Partition' },
      PlanFunctionArn: { Ref: 'PlanPartsAlias' },
      FetchFunctionArn: { Ref: 'FetchPartsAlias' },
      ConcludeFunctionArn: { Ref: 'ConcludePartsAlias' },
    });
  });

  it('lets nobody but api invoke the alias that runs are handed to, or start the state machine for them', () => {
    const roles = Object.keys(prod.Resources).filter((id) => prod.Resources[id]?.Type === 'AWS::IAM::Role');
    const mayDo = (grant: string): string[] => roles.filter((role) => grants(role, prod).includes(grant));
    expect(mayDo(`lambda:InvokeFunction on \${FetchApiAlias}`)).toStrictEqual(['ApiRole']);
    expect(mayDo(`states:StartExecution on \${FetchAtScaleForApi}`)).toStrictEqual(['ApiRole']);
    const permissions = Object.values(prod.Resources).filter(
      ({ Type }) => Type === 'AWS::Lambda::Permission',
    );
    expect(JSON.stringify(permissions)).not.toContain('Alias');
  });

  it('has Lambda try a run that was handed over twice more, and keeps its event where that does not help', () => {
    expect(prod.Resources.FetchApiAliasInvocations?.Properties).toStrictEqual({
      FunctionName: { Ref: 'FetchLambdaFunction' },
      Qualifier: 'api',
      MaximumRetryAttempts: 2,
      MaximumEventAgeInSeconds: 3_600,
      DestinationConfig: { OnFailure: { Destination: { 'Fn::GetAtt': ['FailedRuns', 'Arn'] } } },
    });
  });

  it('lets both roles read the parameter that is set, and use its key for that', () => {
    for (const role of ['FetchRole', 'ApiRole']) {
      const more = grants(role, withHeaders).filter((grant) => !grants(role, prod).includes(grant));
      expect(more.filter((grant) => !grant.startsWith('s3:'))).toStrictEqual([
        `ssm:GetParameter on ${headersArn}`,
        `kms:Decrypt on ${everyParameter.postHeadersKeyArn}`,
      ]);
    }
  });

  it('names the parameter by the same Arn without the slash at its start', () => {
    const { postHeadersParameter: name } = everyParameter;
    const text = JSON.stringify(withHeaders).replaceAll(name, name.slice(1));
    expect(grants('ApiRole', JSON.parse(text))).toStrictEqual(grants('ApiRole', withHeaders));
  });

  it('needs no key where the parameter has that of AWS', () => {
    const text = JSON.stringify(withHeaders).replaceAll(everyParameter.postHeadersKeyArn, '');
    expect(checkTemplate(JSON.parse(text)).findings).toStrictEqual([]);
    expect(grants('ApiRole', JSON.parse(text))).toStrictEqual([
      ...grants('ApiRole', prod),
      `ssm:GetParameter on ${headersArn}`,
      `s3:GetObject on ${lists}/*`,
      `s3:ListBucket on ${lists}`,
    ]);
  });

  it('holds the bundle and nothing else', async () => {
    const zip = await readFile(join(service.dir, 'prod/batch-fetcher.zip'));
    const names = entryNames(zip);
    expect(names.filter((name) => !/^dist\/(chunks|on-demand)\//.test(name))).toStrictEqual([
      'dist/THIRD-PARTY-LICENSES',
      'dist/conclude.js',
      'dist/handler.js',
      'dist/handler.js.LEGAL.txt',
      'dist/package.json',
      'dist/page.html',
      'dist/plan.js',
    ]);
    expect(
      names.filter(
        (name) =>
          !/^dist\/(THIRD-PARTY-LICENSES|page\.html|((chunks|on-demand)\/)?[\w.-]+(\.js|\.js\.LEGAL\.txt|\.json))$/.test(
            name,
          ),
      ),
    ).toEqual([]);
    expect(names).toContain('dist/on-demand/aws-lambda-powertools-parameters-ssm.js');
  });
});

const bucket = 'ResultsBucket.Properties';
const objects = 'FetchRole.Properties.Policies.0.PolicyDocument.Statement.0';
const objectsFound = 'FetchRole.Properties.Policies[0].PolicyDocument.Statement[0]';

const storeFound = 'FetchLambdaFunction.Properties.Environment.Variables.RESULTS_BUCKET';

const faults: readonly Fault[] = [
  {
    fault: 'a required property that is AWS::NoValue',
    at: 'FetchLambdaFunction.Properties.Role',
    put: { Ref: 'AWS::NoValue' },
    found: [
      'FetchLambdaFunction.Properties.Role',
      storeFound,
      'FetchApiAliasInvocations.Properties.DestinationConfig.OnFailure.Destination',
      'FetchLambdaEvConf.Properties.DestinationConfig.OnFailure.Destination',
    ],
  },
  {
    fault: 'a role by name where its Arn belongs',
    at: 'ApiLambdaFunction.Properties.Role',
    put: { Ref: 'ApiRole' },
  },
  {
    fault: 'every resource of an action',
    at: `${objects}.Resource`,
    put: '*',
    found: [storeFound, ...Array(4).fill(`${objectsFound}.Resource`)],
  },
  {
    fault: 'the whole bucket instead of its prefix',
    at: `${objects}.Resource`,
    put: { 'Fn::Sub': `\${ResultsBucket.Arn}/*` },
    found: [storeFound, ...Array(4).fill(`${objectsFound}.Resource`)],
  },
  {
    fault: 'the bucket where its objects belong',
    at: `${objects}.Resource`,
    put: { 'Fn::GetAtt': ['ResultsBucket', 'Arn'] },
    found: [storeFound, ...Array(4).fill(`${objectsFound}.Resource`)],
  },
  {
    fault: 'the resource of another service',
    at: 'FetchRole.Properties.Policies.1.PolicyDocument.Statement.0.Resource',
    put: { 'Fn::GetAtt': ['FailedRuns', 'Arn'] },
    found: Array(2).fill('FetchRole.Properties.Policies[1].PolicyDocument.Statement[0].Resource'),
  },
  {
    fault: 'an action with a wildcard',
    at: `${objects}.Action`,
    put: 's3:*',
    found: [storeFound, `${objectsFound}.Action`],
  },
  {
    fault: 'an action that nobody asked for',
    at: `${objects}.Action`,
    put: 's3:DeleteObject',
    found: [storeFound, `${objectsFound}.Action`],
  },
  {
    fault: 'everything but an action',
    at: `${objects}.NotAction`,
    put: 's3:DeleteBucket',
    found: [`${objectsFound}.NotAction`],
  },
  {
    fault: 'a role for anybody',
    at: 'FetchRole.Properties.AssumeRolePolicyDocument.Statement.0.Principal',
    put: { AWS: '*' },
    found: ['FetchRole.Properties.AssumeRolePolicyDocument.Statement[0].Principal'],
  },
  {
    fault: 'an invoker without a source',
    at: 'ApiLambdaPermissionHttpApi.Properties.SourceArn',
    put: undefined,
  },
  { fault: 'an invoker that is anybody', at: 'ApiLambdaPermissionHttpApi.Properties.Principal', put: '*' },
  {
    fault: 'no failure destination',
    at: 'FetchLambdaEvConf.Properties.DestinationConfig',
    put: undefined,
    found: ['FetchLambdaEvConf.Properties.DestinationConfig.OnFailure.Destination'],
  },
  {
    fault: 'a failure queue that the role may not write to',
    at: 'FetchRole.Properties.Policies.2',
    put: undefined,
    found: [
      'FetchApiAliasInvocations.Properties.DestinationConfig.OnFailure.Destination',
      'FetchLambdaEvConf.Properties.DestinationConfig.OnFailure.Destination',
    ],
  },
  {
    fault: 'no failure destination of what is handed over',
    at: 'FetchApiAliasInvocations.Properties.DestinationConfig',
    put: undefined,
    found: ['FetchApiAliasInvocations.Properties.DestinationConfig.OnFailure.Destination'],
  },
  {
    fault: 'another role that may invoke the alias that runs are handed to',
    at: 'FetchAtScaleRole.Properties.Policies.0.PolicyDocument.Statement.0.Resource.3',
    put: { Ref: 'FetchApiAlias' },
    found: ['FetchApiAlias'],
  },
  {
    fault: 'an alias that nobody may invoke',
    at: 'FetchAtScaleForApiRole.Properties.Policies.0.PolicyDocument.Statement.0.Resource.1',
    put: { 'Fn::GetAtt': ['FetchLambdaFunction', 'Arn'] },
    found: [
      'FetchPartsAlias',
      ...['FetchPart', 'RedrivePart'].map(
        (name) =>
          `FetchAtScaleForApi.Properties.Definition.States.FetchParts.ItemProcessor.States.${name}.Parameters.FunctionName`,
      ),
    ],
  },
  {
    fault: 'a name where the Arn of an alias belongs',
    at: 'ApiRole.Properties.Policies.1.PolicyDocument.Statement.0.Resource',
    put: { Ref: 'FetchLambdaFunction' },
    found: [
      'ApiLambdaFunction.Properties.Environment.Variables.ASYNC_FUNCTION',
      'ApiRole.Properties.Policies[1].PolicyDocument.Statement[0].Resource',
      'FetchApiAlias',
    ],
  },
  {
    fault: 'another role that may start the state machine for runs of the API',
    at: 'FetchRole.Properties.Policies.2.PolicyDocument.Statement.1',
    put: { Effect: 'Allow', Action: 'states:StartExecution', Resource: { Ref: 'FetchAtScaleForApi' } },
    found: ['FetchAtScaleForApi'],
  },
  {
    fault: 'a function that takes the alias of another one for that of the API',
    at: 'FetchLambdaFunction.Properties.Environment.Variables.ASYNC_FUNCTION',
    put: {
      'Fn::Sub': `arn:\${AWS::Partition}:lambda:\${AWS::Region}:\${AWS::AccountId}:function:batch-fetcher-prod-plan:api`,
    },
  },
  {
    fault: 'a function that keeps runs of the API elsewhere',
    at: 'PlanLambdaFunction.Properties.Environment.Variables.ASYNC_RESULTS_PREFIX',
    put: 'runs/',
  },
  {
    fault: 'a bucket open to the public',
    at: `${bucket}.PublicAccessBlockConfiguration.BlockPublicPolicy`,
    put: false,
  },
  { fault: 'a bucket without encryption', at: `${bucket}.BucketEncryption`, put: undefined },
  {
    fault: 'a bucket that answers plain HTTP',
    at: 'ResultsBucketPolicy.Properties.PolicyDocument.Statement.0',
    put: undefined,
    found: ['ResultsBucket'],
  },
  { fault: 'a bucket that goes with its stack', at: 'ResultsBucket.DeletionPolicy', put: 'Delete' },
  { fault: 'a queue without encryption', at: 'FailedRuns.Properties.SqsManagedSseEnabled', put: false },
  { fault: 'logs that are kept for ever', at: 'ApiLogGroup.Properties.RetentionInDays', put: undefined },
  {
    fault: 'a function without a log group',
    at: 'ApiLogGroup.Properties.LogGroupName',
    put: '/aws/lambda/other',
    found: ['ApiLambdaFunction.Properties.FunctionName'],
  },
  { fault: 'another runtime', at: 'ApiLambdaFunction.Properties.Runtime', put: 'nodejs22.x' },
  { fault: 'another architecture', at: 'ApiLambdaFunction.Properties.Architectures', put: ['x86_64'] },
  {
    fault: 'a route that lets anybody in',
    at: 'HttpApiRoutePostBatches.Properties.AuthorizationType',
    put: undefined,
  },
];

const headersPolicy = 'FetchRole.Properties.Policies.3.Fn::If.1.PolicyDocument.Statement';
const keyStatement = `${headersPolicy}.1.Fn::If.1`;
const headersPolicyFound = 'FetchRole.Properties.Policies[3].PolicyDocument.Statement';
const readersFound = 'FetchLambdaFunction.Properties.Environment.Variables.POST_HEADERS_PARAMETER';

const headerFaults: readonly Fault[] = [
  {
    fault: 'every parameter of the account',
    at: `${headersPolicy}.0.Resource`,
    put: { 'Fn::Sub': `arn:\${AWS::Partition}:ssm:\${AWS::Region}:\${AWS::AccountId}:parameter/*` },
    found: [`${headersPolicyFound}[0].Resource`, readersFound],
  },
  {
    fault: 'the parameters below a path',
    at: `${headersPolicy}.0.Resource`,
    put: { 'Fn::Sub': `${headersArn}/*` },
    found: [`${headersPolicyFound}[0].Resource`, readersFound],
  },
  {
    fault: 'a parameter with its slash doubled',
    at: `${headersPolicy}.0.Resource`,
    put: { 'Fn::Sub': headersArn.replace('parameter/', 'parameter//') },
    found: [`${headersPolicyFound}[0].Resource`, readersFound],
  },
  {
    fault: 'every way to read a parameter',
    at: `${headersPolicy}.0.Action`,
    put: 'ssm:GetParameter*',
    found: [`${headersPolicyFound}[0].Action`, readersFound],
  },
  {
    fault: 'another parameter than the function reads',
    at: 'ApiLambdaFunction.Properties.Environment.Variables.POST_HEADERS_PARAMETER',
    put: '/batch-fetcher/others',
  },
  {
    fault: 'a parameter that the role may not read',
    at: 'FetchRole.Properties.Policies.3',
    put: undefined,
    found: [readersFound],
  },
  {
    fault: 'every use of a key',
    at: `${keyStatement}.Action`,
    put: 'kms:*',
    found: [`${headersPolicyFound}[1].Action`],
  },
  {
    fault: 'every key',
    at: `${keyStatement}.Resource`,
    put: '*',
    found: [`${headersPolicyFound}[1].Resource`],
  },
  {
    fault: 'a key for whatever it encrypts',
    at: `${keyStatement}.Condition`,
    put: undefined,
    found: ['kms:EncryptionContext:PARAMETER_ARN', 'kms:ViaService'].map(
      (key) => `${headersPolicyFound}[1].Condition.StringEquals.${key}`,
    ),
  },
  {
    fault: 'a key for every parameter',
    at: `${keyStatement}.Condition.StringEquals.kms:EncryptionContext:PARAMETER_ARN`,
    put: { 'Fn::Sub': headersArn.replace(/[^/]+$/, '*') },
    found: [`${headersPolicyFound}[1].Condition.StringEquals.kms:EncryptionContext:PARAMETER_ARN`],
  },
];

describe('the template check finds', () => {
  it.each(['*', 'my-*', 'my-lists*', 'my-?ists', ''])('manifests from buckets of others: "%s"', (put) => {
    const places = [
      'ApiRole.Properties.Policies[4]',
      'FetchRole.Properties.Policies[4]',
      'PlanRole.Properties.Policies[1]',
    ];
    expect(
      placesIn(
        JSON.parse(
          JSON.stringify(withHeaders).replaceAll(`:::${everyParameter.manifestBucket}`, `:::${put}`),
        ),
      ),
    ).toStrictEqual(
      places.flatMap((at) => [0, 1].map((i) => `${at}.PolicyDocument.Statement[${i}].Resource`)),
    );
  });

  it.each(faults)('$fault', ({ at, put, found = [at] }) => {
    expect(placesIn(seeded(prod, at, put))).toStrictEqual([...found].sort());
  });

  it.each(headerFaults)('$fault, with headers for the origin', ({ at, put, found = [at] }) => {
    expect(placesIn(seeded(withHeaders, at, put))).toStrictEqual([...found].sort());
  });

  it('a permission for no parameter, where its condition is left out', () => {
    const template = {
      ...prod,
      Conditions: {
        ...prod.Conditions,
        PostHeadersAreSet: { 'Fn::Equals': ['', ''] },
      },
    };
    expect(placesIn(template)).toStrictEqual([
      'ApiRole.Properties.Policies[3].PolicyDocument.Statement[0].Resource',
      `${headersPolicyFound}[0].Resource`,
    ]);
  });

  it('a wide permission under a condition that only the deployment decides', () => {
    const template = {
      ...seeded(withHeaders, `${headersPolicy}.0.Resource`, '*'),
      Parameters: { Headers: { Type: 'String' } },
      Conditions: {
        ...withHeaders.Conditions,
        PostHeadersAreSet: { 'Fn::Not': [{ 'Fn::Equals': [{ Ref: 'Headers' }, ''] }] },
      },
    };
    expect(placesIn(template)).toContain(
      'FetchRole.Properties.Policies[3].Fn::If[1].PolicyDocument.Statement[0].Resource',
    );
  });

  it('no fault in an action that AWS cannot narrow, but prints the reason', () => {
    const statement = { Effect: 'Allow', Action: 'xray:PutTraceSegments', Resource: '*' };
    const template = seeded(prod, 'ApiRole.Properties.Policies.2.PolicyDocument.Statement.1', statement);
    expect(checkTemplate(template)).toStrictEqual({
      findings: [],
      allowances: [
        'ApiRole: xray:PutTraceSegments on "*": X-Ray has no resource for traces',
        ...logDeliveries,
      ],
    });
  });
});

interface Policy {
  readonly PolicyDocument: { readonly Statement: readonly { Action: unknown; Resource: unknown }[] };
}

/** What a role may do once it is deployed. */
function grants(roleId: string, template: Template): string[] {
  const policies = applyConditions(template).Resources[roleId]?.Properties?.Policies;
  return (policies as readonly Policy[])
    .flatMap(({ PolicyDocument }) => PolicyDocument.Statement)
    .map(({ Action, Resource }) => `${String(Action)} on ${[Resource].flat().map(asText)}`);
}

/** The names in a zip archive's central directory, whose records start with PK\x01\x02. */
function entryNames(zip: Buffer): string[] {
  const names: string[] = [];
  for (let at = zip.indexOf('PK\x01\x02'); at >= 0; at = zip.indexOf('PK\x01\x02', at + 46)) {
    names.push(zip.toString('utf8', at + 46, at + 46 + zip.readUInt16LE(at + 28)));
  }
  return names;
}
