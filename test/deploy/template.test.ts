import { cp, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildFunction } from '../../scripts/build.ts';
import { checkTemplate, packageStage } from '../../scripts/check-template.ts';
import { logDeliveryActions } from '../../scripts/template/access-policies.ts';
import { withConditionsApplied } from '../../scripts/template/conditions.ts';
import { asText, type Template } from '../../scripts/template/template.ts';

const projectDir = join(import.meta.dirname, '../..');
let dir: string;
let prod: Template;
let dev: Template;
let withHeaders: Template;

const options = {
  manifestBucket: 'my-lists',
  tracing: 'true',
};
const headers = {
  postHeadersParameter: '/batch-fetcher/post-headers',
  postHeadersKeyArn: 'arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab',
};
const lists = `arn:\${AWS::Partition}:s3:::${options.manifestBucket}`;
const headersArn = `arn:\${AWS::Partition}:ssm:\${AWS::Region}:\${AWS::AccountId}:parameter/batch-fetcher/post-headers`;

// A copy of the service, so that the test neither needs nor touches the project's own dist/ and .serverless/.
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'batch-fetcher-deploy-'));
  await buildFunction(join(dir, 'dist'));
  await cp(join(projectDir, 'serverless.yml'), join(dir, 'serverless.yml'));
  for (const name of ['deploy', 'local', 'node_modules', 'package.json']) {
    await symlink(join(projectDir, name), join(dir, name));
  }
  prod = await packageStage('prod', join(dir, 'prod'), dir);
  dev = await packageStage('dev', join(dir, 'dev'), dir);
  withHeaders = await packageStage('prod', join(dir, 'with-headers'), dir, { ...headers, ...options });
}, 60_000);

afterAll(async () => {
  await rm(dir, { recursive: true });
});

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
      'FetchAtScaleRole: xray:PutTraceSegments on "*": X-Ray has no resource for traces',
      'FetchAtScaleRole: xray:PutTelemetryRecords on "*": X-Ray has no resource for traces',
      'FetchAtScaleRole: xray:GetSamplingRules on "*": X-Ray has no resource for sampling',
      'FetchAtScaleRole: xray:GetSamplingTargets on "*": X-Ray has no resource for sampling',
    ]);
    const isTraced = [prod, withHeaders].map(
      ({ Resources }) => Resources.FetchAtScale?.Properties?.TracingConfiguration,
    );
    expect(isTraced).toStrictEqual([{ Enabled: false }, { Enabled: true }]);
    for (const role of ['FetchRole', 'ApiRole', 'PlanRole']) {
      const granted = [`s3:GetObject on ${lists}/*`, `s3:ListBucket on ${lists}`];
      expect(grants(role, withHeaders)).toStrictEqual(expect.arrayContaining(granted));
      expect(grants(role, prod)).not.toContain(granted[0]);
    }
    expect(JSON.stringify(withHeaders.Resources.ConcludeRole)).not.toContain(options.manifestBucket);
  });

  it('runs its schedule in prod only', () => {
    expect(prod.Resources.FetchEventsRuleSchedule1?.Properties?.State).toBe('ENABLED');
    expect(dev.Resources.FetchEventsRuleSchedule1?.Properties?.State).toBe('DISABLED');
  });

  it('lets each role do what its function does, and only that', () => {
    expect(grants('FetchRole', prod)).toStrictEqual([
      `s3:GetObject,s3:PutObject,s3:AbortMultipartUpload on \${ResultsBucket.Arn}/runs/*`,
      `s3:ListBucket on \${ResultsBucket.Arn}`,
      `logs:CreateLogStream,logs:PutLogEvents on \${FetchLogGroup.Arn}`,
      `sqs:SendMessage on \${FailedRuns.Arn}`,
    ]);
    expect(grants('ApiRole', prod)).toStrictEqual([
      `s3:GetObject,s3:PutObject,s3:AbortMultipartUpload on \${ResultsBucket.Arn}/runs/*`,
      `s3:ListBucket on \${ResultsBucket.Arn}`,
      `logs:CreateLogStream,logs:PutLogEvents on \${ApiLogGroup.Arn}`,
    ]);
    expect(grants('PlanRole', prod)).toStrictEqual([
      `s3:GetObject,s3:PutObject,s3:AbortMultipartUpload on \${ResultsBucket.Arn}/runs/plans/*`,
      `s3:ListBucket on \${ResultsBucket.Arn}`,
      `logs:CreateLogStream,logs:PutLogEvents on \${PlanLogGroup.Arn}`,
    ]);
    expect(grants('ConcludeRole', prod)).toStrictEqual([
      `s3:GetObject on \${ResultsBucket.Arn}/runs/*`,
      `s3:ListBucket on \${ResultsBucket.Arn}`,
      `s3:PutObject on \${ResultsBucket.Arn}/runs/*.manifest.json`,
      `logs:CreateLogStream,logs:PutLogEvents on \${ConcludeLogGroup.Arn}`,
    ]);
  });

  it('lets the state machine invoke its functions, read plans and write the results of its Map, and only that', () => {
    const functions = ['Plan', 'Fetch', 'Conclude'].map((name) => `\${${name}LambdaFunction.Arn}`);
    const s3Objects = 's3:GetObject,s3:PutObject,s3:ListMultipartUploadParts,s3:AbortMultipartUpload';
    expect(grants('FetchAtScaleRole', prod).filter((grant) => !grant.startsWith('logs:'))).toStrictEqual([
      `lambda:InvokeFunction on ${functions.join(',')}`,
      `s3:GetObject on \${ResultsBucket.Arn}/runs/plans/*`,
      `${s3Objects} on \${ResultsBucket.Arn}/runs/map-results/*`,
    ]);
  });

  it('lets both roles read the parameter that is set, and use its key for that', () => {
    for (const role of ['FetchRole', 'ApiRole']) {
      const more = grants(role, withHeaders).filter((grant) => !grants(role, prod).includes(grant));
      expect(more.filter((grant) => !grant.startsWith('s3:'))).toStrictEqual([
        `ssm:GetParameter on ${headersArn}`,
        `kms:Decrypt on ${headers.postHeadersKeyArn}`,
      ]);
    }
  });

  it('names the parameter by the same Arn without the slash at its start', () => {
    const { postHeadersParameter: name } = headers;
    const text = JSON.stringify(withHeaders).replaceAll(name, name.slice(1));
    expect(grants('ApiRole', JSON.parse(text))).toStrictEqual(grants('ApiRole', withHeaders));
  });

  it('needs no key where the parameter has that of AWS', () => {
    const text = JSON.stringify(withHeaders).replaceAll(headers.postHeadersKeyArn, '');
    expect(checkTemplate(JSON.parse(text)).findings).toStrictEqual([]);
    expect(grants('ApiRole', JSON.parse(text))).toStrictEqual([
      ...grants('ApiRole', prod),
      `ssm:GetParameter on ${headersArn}`,
      `s3:GetObject on ${lists}/*`,
      `s3:ListBucket on ${lists}`,
    ]);
  });

  it('holds the bundle and nothing else', async () => {
    const zip = await readFile(join(dir, 'prod/batch-fetcher.zip'));
    const names = entryNames(zip);
    expect(names.filter((name) => !/^dist\/(chunks|on-demand)\//.test(name))).toStrictEqual([
      'dist/conclude.js',
      'dist/handler.js',
      'dist/handler.js.LEGAL.txt',
      'dist/package.json',
      'dist/plan.js',
    ]);
    expect(
      names.filter(
        (name) => !/^dist\/((chunks|on-demand)\/)?[\w.-]+(\.js|\.js\.LEGAL\.txt|\.json)$/.test(name),
      ),
    ).toEqual([]);
    expect(names).toContain('dist/on-demand/aws-lambda-powertools-parameters-ssm.js');
  });
});

/** The wide permissions that CloudWatch Logs asks of the role of every state machine with a log. */
const logDeliveries = logDeliveryActions.map(
  (action) => `FetchAtScaleRole: ${action} on "*": CloudWatch Logs has no resource for log deliveries`,
);

interface Fault {
  readonly fault: string;
  /** Where it is seeded, from the template's Resources. */
  readonly at: string;
  /** What is put there; undefined takes away what is there. */
  readonly put: unknown;
  /** Where it is found; by default where it was seeded. */
  readonly found?: readonly string[];
}

const bucket = 'ResultsBucket.Properties';
const objects = 'FetchRole.Properties.Policies.0.PolicyDocument.Statement.0';
const objectsFound = 'FetchRole.Properties.Policies[0].PolicyDocument.Statement[0]';

const faults: readonly Fault[] = [
  {
    fault: 'a resource type that does not exist',
    at: 'FailedRuns.Type',
    put: 'AWS::SQS::Queues',
    found: ['FailedRuns.Type', 'FetchRole.Properties.Policies[2].PolicyDocument.Statement[0].Resource'],
  },
  { fault: 'a misspelt property', at: 'FetchLambdaFunction.Properties.MemorySise', put: 512 },
  {
    fault: 'a misspelt property deep inside',
    at: `${bucket}.LifecycleConfiguration.Rules.0.Statuss`,
    put: 'Enabled',
    found: [`${bucket}.LifecycleConfiguration.Rules[0].Statuss`],
  },
  { fault: 'a misspelt attribute of a resource', at: 'ResultsBucket.DeletePolicy', put: 'Retain' },
  { fault: 'a required property left out', at: 'HttpApiRouteGetBatches.Properties.RouteKey', put: undefined },
  {
    fault: 'a required property left out deep inside',
    at: `${bucket}.LifecycleConfiguration.Rules.0.Status`,
    put: undefined,
    found: [`${bucket}.LifecycleConfiguration.Rules[0].Status`],
  },
  {
    fault: 'a required property that is AWS::NoValue',
    at: 'FetchLambdaFunction.Properties.Role',
    put: { Ref: 'AWS::NoValue' },
    found: [
      'FetchLambdaFunction.Properties.Role',
      'FetchLambdaEvConf.Properties.DestinationConfig.OnFailure.Destination',
    ],
  },
  { fault: 'a number as text', at: 'FetchLambdaFunction.Properties.Timeout', put: '900' },
  { fault: 'a fraction for an integer', at: 'ApiLambdaFunction.Properties.Timeout', put: 28.5 },
  {
    fault: 'text for a boolean',
    at: 'FailedRuns.Properties.SqsManagedSseEnabled',
    put: 'yes',
    found: ['FailedRuns.Properties.SqsManagedSseEnabled', 'FailedRuns.Properties.SqsManagedSseEnabled'],
  },
  {
    fault: 'a number for text',
    at: 'FetchLambdaFunction.Properties.Environment.Variables.CONCURRENCY',
    put: 50,
  },
  {
    fault: 'a single value for a list',
    at: 'FailedRunsAlarm.Properties.AlarmActions',
    put: 'arn:aws:sns:us-east-1:123456789012:x',
  },
  { fault: 'a list for an object', at: 'FetchLambdaFunction.Properties.Environment', put: ['A=1'] },
  {
    fault: 'a reference to a name where an object belongs',
    at: `${bucket}.BucketEncryption`,
    put: { Ref: 'FailedRuns' },
  },
  {
    fault: "a value outside of the schema's list",
    at: `${bucket}.OwnershipControls.Rules.0.ObjectOwnership`,
    put: 'BucketOwner',
    found: [`${bucket}.OwnershipControls.Rules[0].ObjectOwnership`],
  },
  {
    fault: 'a retention that CloudWatch does not offer',
    at: 'FetchLogGroup.Properties.RetentionInDays',
    put: 15,
  },
  { fault: 'a timeout over 900 s', at: 'FetchLambdaFunction.Properties.Timeout', put: 901 },
  {
    fault: 'more retries than Lambda makes',
    at: 'FetchLambdaEvConf.Properties.MaximumRetryAttempts',
    put: 3,
  },
  {
    fault: 'a message retention over 14 days',
    at: 'FailedRuns.Properties.MessageRetentionPeriod',
    put: 1_209_601,
  },
  {
    fault: 'a schedule that is no schedule',
    at: 'FetchEventsRuleSchedule1.Properties.ScheduleExpression',
    put: 'rate(1 days)',
  },
  { fault: 'a bucket name in capitals', at: `${bucket}.BucketName`, put: 'Batch_Fetcher' },
  {
    fault: 'a comparison that CloudWatch does not know',
    at: 'FailedRunsAlarm.Properties.ComparisonOperator',
    put: 'Greater',
  },
  {
    fault: 'a Ref to nothing',
    at: 'ResultsBucketPolicy.Properties.Bucket',
    put: { Ref: 'Results' },
    found: ['ResultsBucketPolicy.Properties.Bucket', 'ResultsBucket'],
  },
  {
    fault: 'a GetAtt of nothing',
    at: 'FetchLambdaFunction.Properties.Environment.Variables.QUEUE',
    put: { 'Fn::GetAtt': ['Failed', 'Arn'] },
  },
  {
    fault: 'a GetAtt of an attribute that does not exist',
    at: 'FetchLambdaFunction.Properties.Environment.Variables.QUEUE',
    put: { 'Fn::GetAtt': ['FailedRuns', 'Url'] },
  },
  {
    fault: 'a Sub of nothing',
    at: 'FetchLambdaFunction.Properties.Environment.Variables.QUEUE',
    put: { 'Fn::Sub': `\${Failed}` },
  },
  {
    fault: 'a Sub of an attribute that does not exist',
    at: 'FetchLambdaFunction.Properties.Environment.Variables.QUEUE',
    put: { 'Fn::Sub': `x \${FailedRuns.Url}` },
  },
  { fault: 'a DependsOn of nothing', at: 'ApiLambdaFunction.DependsOn', put: ['Nothing'] },
  { fault: 'a condition of nothing', at: 'FailedRunsAlarm.Condition', put: 'IsProd' },
  {
    fault: 'resources that wait for each other',
    at: 'FetchLogGroup.DependsOn',
    put: 'FetchRole',
    found: ['FetchLogGroup'],
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
    found: Array(3).fill(`${objectsFound}.Resource`),
  },
  {
    fault: 'the whole bucket instead of its prefix',
    at: `${objects}.Resource`,
    put: { 'Fn::Sub': `\${ResultsBucket.Arn}/*` },
    found: Array(3).fill(`${objectsFound}.Resource`),
  },
  {
    fault: 'the bucket where its objects belong',
    at: `${objects}.Resource`,
    put: { 'Fn::GetAtt': ['ResultsBucket', 'Arn'] },
    found: Array(3).fill(`${objectsFound}.Resource`),
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
    found: [`${objectsFound}.Action`],
  },
  {
    fault: 'an action that nobody asked for',
    at: `${objects}.Action`,
    put: 's3:DeleteObject',
    found: [`${objectsFound}.Action`],
  },
  {
    fault: 'everything but an action',
    at: `${objects}.NotAction`,
    put: 's3:DeleteBucket',
    found: [`${objectsFound}.NotAction`],
  },
  {
    fault: 'an effect that IAM does not know',
    at: `${objects}.Effect`,
    put: 'allow',
    found: [`${objectsFound}.Effect`],
  },
  {
    fault: 'a misspelt key of a statement',
    at: `${objects}.Conditions`,
    put: {},
    found: [`${objectsFound}.Conditions`],
  },
  {
    fault: 'a policy version that does not exist',
    at: 'FetchRole.Properties.Policies.0.PolicyDocument.Version',
    put: '2012-10-07',
    found: ['FetchRole.Properties.Policies[0].PolicyDocument.Version'],
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
    found: ['FetchLambdaEvConf.Properties.DestinationConfig.OnFailure.Destination'],
  },
  {
    fault: 'a bucket open to the public',
    at: `${bucket}.PublicAccessBlockConfiguration.BlockPublicPolicy`,
    put: false,
  },
  { fault: 'a bucket without encryption', at: `${bucket}.BucketEncryption`, put: undefined },
  {
    fault: 'a bucket that answers plain HTTP',
    at: 'ResultsBucketPolicy',
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
  {
    fault: 'a branch on a condition of nothing',
    at: 'FetchRole.Properties.Policies.3.Fn::If.0',
    put: 'HeadersAreSet',
    found: ['FetchRole.Properties.Policies[3]'],
  },
];

const machine = 'FetchAtScale.Properties';
const map = `${machine}.Definition.States.FetchParts`;
const task = `${map}.ItemProcessor.States.FetchPart`;
/** The tasks that invoke the fetch function. */
const fetches = ['FetchPart', 'RedrivePart'].map(
  (name) => `${map}.ItemProcessor.States.${name}.Parameters.FunctionName`,
);
const machineRole = 'FetchAtScaleRole.Properties.Policies';
const asFound = (path: string): string => path.replaceAll(/\.(\d+)/g, '[$1]');

const machineFaults: readonly Fault[] = [
  {
    fault: 'a transition to no state',
    at: `${machine}.Definition.States.Plan.Next`,
    put: 'FetchPart',
    found: [`${machine}.Definition`],
  },
  {
    fault: 'a field that a state does not have',
    at: `${map}.MaxConcurrencyPaths`,
    put: '$.plan.partsInFlight',
    found: [`${machine}.Definition`],
  },
  {
    fault: 'a path that is none',
    at: `${map}.ItemReader.Parameters`,
    put: { 'Bucket.$': '$.plan.bucket', 'Key.$': 'plan.key' },
    found: [`${machine}.Definition`],
  },
  {
    fault: 'a placeholder without its substitution',
    at: `${machine}.DefinitionSubstitutions.FetchFunctionArn`,
    put: undefined,
    found: [`${machine}.DefinitionSubstitutions.FetchFunctionArn`, ...fetches],
  },
  {
    fault: 'a substitution without its placeholder',
    at: `${machine}.DefinitionSubstitutions.ApiFunctionArn`,
    put: { 'Fn::GetAtt': ['ApiLambdaFunction', 'Arn'] },
  },
  {
    fault: 'a function that the state machine may not invoke',
    at: `${machine}.DefinitionSubstitutions.FetchFunctionArn`,
    put: { 'Fn::GetAtt': ['ApiLambdaFunction', 'Arn'] },
    found: fetches,
  },
  {
    fault: 'every function of the account',
    at: `${machineRole}.0.PolicyDocument.Statement.0.Resource`,
    put: '*',
    found: [
      asFound(`${machineRole}.0.PolicyDocument.Statement.0.Resource`),
      `${machine}.Definition.States.Plan.Parameters.FunctionName`,
      `${machine}.Definition.States.Conclude.Parameters.FunctionName`,
      ...fetches,
    ],
  },
  {
    fault: 'a task that gives up before its function does',
    at: `${task}.TimeoutSeconds`,
    put: 900,
  },
  { fault: 'a task that is tried once', at: `${task}.Retry`, put: undefined },
  {
    fault: 'retries that come all at once',
    at: `${task}.Retry.0.JitterStrategy`,
    put: undefined,
    found: [`${task}.Retry`],
  },
  {
    fault: 'a Map without a limit',
    at: `${map}.MaxConcurrencyPath`,
    put: undefined,
  },
  {
    fault: 'a plan that the state machine may not read',
    at: `${machineRole}.1`,
    put: undefined,
    found: [`${map}.ItemReader`],
  },
  {
    fault: 'results that the state machine may not write',
    at: `${machineRole}.2`,
    put: undefined,
    found: [`${map}.ResultWriter`],
  },
  {
    fault: 'a part of what the log needs',
    at: `${machineRole}.3.PolicyDocument.Statement.0.Action.5`,
    put: undefined,
    found: [`${machine}.LoggingConfiguration`],
  },
  {
    fault: 'no log',
    at: `${machine}.LoggingConfiguration.Level`,
    put: 'OFF',
    found: [`${machine}.LoggingConfiguration`],
  },
  {
    fault: 'parts that the state machine may not run',
    at: 'FetchAtScaleRunsParts',
    put: undefined,
    found: [map, map],
  },
  {
    fault: 'every state machine of the account',
    at: 'FetchAtScaleRunsParts.Properties.PolicyDocument.Statement.0.Resource',
    put: '*',
    found: ['FetchAtScaleRunsParts.Properties.PolicyDocument.Statement[0].Resource', map],
  },
  {
    fault: 'the executions of every state machine',
    at: 'FetchAtScaleRunsParts.Properties.PolicyDocument.Statement.1.Resource',
    put: { 'Fn::Sub': `arn:\${AWS::Partition}:states:\${AWS::Region}:\${AWS::AccountId}:execution:*` },
    found: [map, ...Array(2).fill('FetchAtScaleRunsParts.Properties.PolicyDocument.Statement[1].Resource')],
  },
  { fault: 'an execution that may run twice', at: `${machine}.StateMachineType`, put: 'EXPRESS' },
  {
    fault: 'traces that the role may not write',
    at: `${machine}.TracingConfiguration.Enabled`,
    put: true,
    found: [`${machine}.TracingConfiguration`],
  },
  {
    fault: 'failures that nobody hears of',
    at: 'FetchAtScaleAlarm',
    put: undefined,
    found: ['FetchAtScale'],
  },
  {
    fault: 'an alarm on another state machine',
    at: 'FetchAtScaleAlarm.Properties.Dimensions.0.Value',
    put: { 'Fn::GetAtt': ['FailedRuns', 'Arn'] },
    found: ['FetchAtScale'],
  },
  {
    fault: 'an origin that is to see less than one part',
    at: 'PlanLambdaFunction.Properties.Environment.Variables.ORIGIN_CONCURRENCY',
    put: '49',
  },
  {
    fault: 'all of the bucket for manifests',
    at: 'ConcludeRole.Properties.Policies.1.PolicyDocument.Statement.0.Resource',
    put: { 'Fn::Sub': `\${ResultsBucket.Arn}/*.manifest.json` },
    found: ['ConcludeRole.Properties.Policies[1].PolicyDocument.Statement[0].Resource'],
  },
];

describe('the template check finds', () => {
  it.each(machineFaults)('$fault, in the state machine', ({ at, put, found = [at] }) => {
    expect(placesIn(seeded(at, put))).toStrictEqual([...found].sort());
  });

  it.each(['*', 'my-*', 'my-lists*', 'my-?ists', ''])('manifests from buckets of others: "%s"', (put) => {
    const places = [
      'ApiRole.Properties.Policies[3]',
      'FetchRole.Properties.Policies[4]',
      'PlanRole.Properties.Policies[1]',
    ];
    expect(
      placesIn(
        JSON.parse(JSON.stringify(withHeaders).replaceAll(`:::${options.manifestBucket}`, `:::${put}`)),
      ),
    ).toStrictEqual(
      places.flatMap((at) => [0, 1].map((i) => `${at}.PolicyDocument.Statement[${i}].Resource`)),
    );
  });

  it.each(faults)('$fault', ({ at, put, found = [at] }) => {
    expect(placesIn(seeded(at, put))).toStrictEqual([...found].sort());
  });

  it.each(headerFaults)('$fault, with headers for the origin', ({ at, put, found = [at] }) => {
    expect(placesIn(seeded(at, put, withHeaders))).toStrictEqual([...found].sort());
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
      'ApiRole.Properties.Policies[2].PolicyDocument.Statement[0].Resource',
      `${headersPolicyFound}[0].Resource`,
    ]);
  });

  it('a wide permission under a condition that only the deployment decides', () => {
    const template = {
      ...seeded(`${headersPolicy}.0.Resource`, '*', withHeaders),
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

  it('a condition on nothing', () => {
    const Conditions = { ...prod.Conditions, IsProd: { 'Fn::Equals': [{ Ref: 'Stage' }, 'prod'] } };
    expect(placesIn({ ...prod, Conditions })).toStrictEqual(['IsProd.Conditions.Fn::Equals[0]']);
  });

  it('an output of nothing', () => {
    const template = { ...prod, Outputs: { Queue: { Value: { Ref: 'Failed' } }, Empty: {} } };
    expect(checkTemplate(template).findings).toStrictEqual([
      {
        logicalId: 'Queue',
        path: 'Outputs.Value',
        expected: 'a resource of the template for Ref',
        got: 'Failed',
      },
      { logicalId: 'Empty', path: 'Outputs.Value', expected: 'a value', got: '{}' },
    ]);
  });

  it('no fault in an action that AWS cannot narrow, but prints the reason', () => {
    const statement = { Effect: 'Allow', Action: 'xray:PutTraceSegments', Resource: '*' };
    const template = seeded('ApiRole.Properties.Policies.1.PolicyDocument.Statement.1', statement);
    expect(checkTemplate(template)).toStrictEqual({
      findings: [],
      allowances: [
        'ApiRole: xray:PutTraceSegments on "*": X-Ray has no resource for traces',
        ...logDeliveries,
      ],
    });
  });
});

function placesIn(template: Template): string[] {
  return checkTemplate(template)
    .findings.map(({ logicalId, path }) => (path === '' ? logicalId : `${logicalId}.${path}`))
    .sort();
}

function seeded(at: string, put: unknown, sound: Template = prod): Template {
  const template = structuredClone(sound);
  const keys = at.split('.');
  const last = keys.pop() ?? '';
  // The path leads through objects and lists of JSON alone, which a record of strings stands for.
  type Json = Record<string, unknown>;
  const parent = keys.reduce((inner, key) => inner[key] as Json, template.Resources as Json);
  if (put !== undefined) parent[last] = put;
  else if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else delete parent[last];
  return template;
}

interface Policy {
  readonly PolicyDocument: { readonly Statement: readonly { Action: unknown; Resource: unknown }[] };
}

/** What a role may do once it is deployed. */
function grants(roleId: string, template: Template): string[] {
  const policies = withConditionsApplied(template).Resources[roleId]?.Properties?.Policies;
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
