import { afterAll, beforeAll, describe, expect, it, test, vi } from 'vitest';
import { findCfnLint } from '../../scripts/template/cfn-lint.ts';
import { everyParameter } from '../../scripts/template/check-template.ts';
import { applyConditions } from '../../scripts/template/conditions.ts';
import type { Template } from '../../scripts/template/template.ts';
import { copyService, type Fault, type ServiceCopy, seeded } from './packaging.ts';

/** Where it cannot be installed, the reason is printed, and what needs it is skipped. */
const lint = await findCfnLint();

test('without Python, cfn-lint is left out and the reason printed, except in CI', async () => {
  const warn = vi.spyOn(console, 'warn').mockReturnValue();
  const env = { PATH: '/nowhere' };
  expect(await findCfnLint(env)).toBeUndefined();
  expect(warn.mock.calls).toStrictEqual([
    ['cfn-lint is left out, as it cannot be installed: spawn python3 ENOENT'],
  ]);
  warn.mockRestore();
  await expect(findCfnLint({ ...env, CI: 'true' })).rejects.toThrow(
    'cfn-lint cannot be installed: spawn python3 ENOENT',
  );
});

const fetch = 'FetchLambdaFunction.Properties';
const variables = `${fetch}.Environment.Variables`;
const bucket = 'ResultsBucket.Properties';
const policy = 'FetchRole.Properties.Policies.0.PolicyDocument';
const policyFound = 'FetchRole.Properties.Policies[0].PolicyDocument';

/** Each at a place of its own, as they are all seeded at once: a run of cfn-lint takes more than a second. */
const faults: readonly (Fault & { readonly rule: string | readonly string[] })[] = [
  {
    fault: 'a resource type that does not exist',
    at: 'Queue',
    put: { Type: 'AWS::SQS::Queues' },
    found: ['Queue.Type'],
    rule: 'E3006',
  },
  { fault: 'a misspelt property', at: `${fetch}.MemorySise`, put: 512, rule: 'E3002' },
  {
    fault: 'a misspelt property deep inside',
    at: `${bucket}.LifecycleConfiguration.Rules.0.Statuss`,
    put: 'Enabled',
    found: [`${bucket}.LifecycleConfiguration.Rules[0].Statuss`],
    rule: 'E3002',
  },
  {
    fault: 'a misspelt attribute of a resource',
    at: 'ResultsBucket.DeletePolicy',
    put: 'Retain',
    rule: 'E3001',
  },
  {
    fault: 'a required property left out',
    at: 'HttpApiRouteGetBatches.Properties.RouteKey',
    put: undefined,
    found: ['HttpApiRouteGetBatches.Properties'],
    rule: 'E3003',
  },
  {
    fault: 'a required property left out deep inside',
    at: `${bucket}.LifecycleConfiguration.Rules.1.Status`,
    put: undefined,
    found: [`${bucket}.LifecycleConfiguration.Rules[1]`],
    rule: 'E3003',
  },
  {
    fault: 'a required property that is AWS::NoValue',
    at: 'ConcludeLambdaFunction.Properties.Role',
    put: { Ref: 'AWS::NoValue' },
    found: ['ConcludeLambdaFunction.Properties'],
    rule: 'E3003',
  },
  { fault: 'a number as text', at: `${fetch}.Timeout`, put: '900', rule: 'E3012' },
  {
    fault: 'a fraction for an integer',
    at: 'ApiLambdaFunction.Properties.Timeout',
    put: 28.5,
    rule: 'E3012',
  },
  { fault: 'a number for text', at: `${fetch}.Description`, put: 50, rule: 'E3012' },
  {
    fault: 'text for a boolean',
    at: 'FailedRuns.Properties.SqsManagedSseEnabled',
    put: 'yes',
    rule: 'E3012',
  },
  {
    fault: 'a single value for a list',
    at: 'FailedRunsAlarm.Properties.AlarmActions',
    put: 'arn:aws:sns:us-east-1:123456789012:x',
    rule: 'E3012',
  },
  {
    fault: 'a list for an object',
    at: 'ApiLambdaFunction.Properties.Environment',
    put: ['A=1'],
    rule: 'E3012',
  },
  {
    fault: 'a reference to a name where an object belongs',
    at: `${bucket}.BucketEncryption`,
    put: { Ref: 'FailedRuns' },
    rule: 'E1020',
  },
  {
    fault: "a value outside of the schema's list",
    at: `${bucket}.OwnershipControls.Rules.0.ObjectOwnership`,
    put: 'BucketOwner',
    found: [`${bucket}.OwnershipControls.Rules[0].ObjectOwnership`],
    rule: 'E3030',
  },
  {
    fault: 'a retention that CloudWatch does not offer',
    at: 'FetchLogGroup.Properties.RetentionInDays',
    put: 15,
    rule: 'E3030',
  },
  { fault: 'a timeout over 900 s', at: 'PlanLambdaFunction.Properties.Timeout', put: 901, rule: 'E3717' },
  {
    fault: 'more retries than Lambda makes',
    at: 'FetchLambdaEvConf.Properties.MaximumRetryAttempts',
    put: 3,
    rule: 'E3034',
  },
  {
    fault: 'a message retention over 14 days',
    at: 'FailedRuns.Properties.MessageRetentionPeriod',
    put: 1_209_601,
    rule: 'E3034',
  },
  {
    fault: 'a schedule that is no schedule',
    at: 'FetchEventsRuleSchedule1.Properties.ScheduleExpression',
    put: 'rate(1 days)',
    rule: 'E3027',
  },
  {
    fault: 'a bucket name in capitals',
    at: 'ServerlessDeploymentBucket.Properties.BucketName',
    put: 'Batch-Fetcher',
    rule: ['E1161', 'E3031'],
  },
  {
    fault: 'a comparison that CloudWatch does not know',
    at: 'FailedRunsAlarm.Properties.ComparisonOperator',
    put: 'Greater',
    rule: 'E3030',
  },
  {
    fault: 'a Ref to nothing',
    at: 'ResultsBucketPolicy.Properties.Bucket',
    put: { Ref: 'Results' },
    found: ['ResultsBucketPolicy.Properties.Bucket.Ref'],
    rule: 'E1020',
  },
  {
    fault: 'a GetAtt of nothing',
    at: `${variables}.GET_ATT`,
    put: { 'Fn::GetAtt': ['Failed', 'Arn'] },
    found: [`${variables}.GET_ATT.Fn::GetAtt[0]`],
    rule: 'E1010',
  },
  {
    fault: 'a GetAtt of an attribute that does not exist',
    at: `${variables}.ATTRIBUTE`,
    put: { 'Fn::GetAtt': ['FailedRuns', 'Url'] },
    found: [`${variables}.ATTRIBUTE.Fn::GetAtt[1]`],
    rule: 'E1010',
  },
  {
    fault: 'a Sub of nothing',
    at: `${variables}.SUB`,
    put: { 'Fn::Sub': `\${Failed}` },
    found: [`${variables}.SUB.Fn::Sub`],
    rule: 'E1019',
  },
  {
    fault: 'a Sub of an attribute that does not exist',
    at: `${variables}.SUB_ATTRIBUTE`,
    put: { 'Fn::Sub': `x \${FailedRuns.Url}` },
    found: [`${variables}.SUB_ATTRIBUTE.Fn::Sub`],
    rule: 'E1019',
  },
  {
    fault: 'a DependsOn of nothing',
    at: 'ApiLambdaFunction.DependsOn',
    put: ['Nothing'],
    found: ['ApiLambdaFunction.DependsOn[0]'],
    rule: 'E3005',
  },
  { fault: 'a condition of nothing', at: 'FailedRunsAlarm.Condition', put: 'IsProd', rule: 'E3015' },
  {
    fault: 'a dashboard of what may not be there',
    at: 'FailedRunsAlarm.Condition',
    put: 'IsProd',
    found: ['Dashboard.Properties.DashboardBody'],
    rule: 'W1001',
  },
  {
    fault: 'a branch on a condition of nothing',
    at: 'FetchRole.Properties.Policies.3.Fn::If.0',
    put: 'HeadersAreSet',
    found: ['FetchRole.Properties.Policies[3].Fn::If[0]'],
    rule: 'E1028',
  },
  {
    fault: 'resources that wait for each other',
    at: 'FetchLogGroup.DependsOn',
    put: 'FetchRole',
    found: ['FetchLogGroup', 'FetchRole'],
    rule: 'E3004',
  },
  {
    fault: 'an effect that IAM does not know',
    at: `${policy}.Statement.0.Effect`,
    put: 'allow',
    found: [`${policyFound}.Statement[0].Effect`],
    rule: 'E3510',
  },
  {
    fault: 'a misspelt key of a statement',
    at: `${policy}.Statement.0.Conditions`,
    put: {},
    found: [`${policyFound}.Statement[0].Conditions`],
    rule: 'E3510',
  },
  {
    fault: 'a policy version that does not exist',
    at: `${policy}.Version`,
    put: '2012-10-07',
    found: [`${policyFound}.Version`],
    rule: 'E3510',
  },
  {
    fault: 'a misspelt key in the policy of a bucket',
    at: 'ResultsBucketPolicy.Properties.PolicyDocument.Statement.0.Conditions',
    put: {},
    found: ['ResultsBucketPolicy.Properties.PolicyDocument.Statement[0].Conditions'],
    rule: 'E3512',
  },
  {
    fault: 'an effect that IAM does not know, of who may take a role',
    at: 'ApiRole.Properties.AssumeRolePolicyDocument.Statement.0.Effect',
    put: 'allow',
    found: ['ApiRole.Properties.AssumeRolePolicyDocument.Statement[0].Effect'],
    rule: 'E3530',
  },
];

const others = {
  Conditions: { IsDev: { 'Fn::Equals': [{ Ref: 'Stage' }, 'dev'] } },
  Outputs: { Queue: { Value: { Ref: 'Failed' } }, Empty: {} },
};
const othersFound = [
  'Conditions.IsDev.Fn::Equals[1].Ref E1020',
  'Outputs.Empty E6002',
  'Outputs.Queue.Value.Ref E6101',
];

function foundOf({ at, found = [at], rule }: (typeof faults)[number]): string[] {
  return found.flatMap((place) => [rule].flat().map((id) => `${place} ${id}`));
}

describe.skipIf(lint === undefined)('cfn-lint', () => {
  let service: ServiceCopy;
  let packaged: readonly (readonly string[])[];
  let found: readonly string[];
  const findingsIn = async (template: Template): Promise<string[]> => {
    const findings = (await lint?.(applyConditions(template))) ?? [];
    return findings.map(({ place, rule }) => `${place} ${rule}`).sort();
  };
  beforeAll(async () => {
    service = await copyService();
    const prod = await service.packaged('prod');
    const dev = await service.packaged('dev');
    const all = await service.packaged('prod', everyParameter, 'every-parameter');
    const faulty = faults.reduce((template, { at, put }) => seeded(template, at, put), prod);
    const Conditions = { ...prod.Conditions, ...others.Conditions };
    packaged = await Promise.all([prod, dev, all].map(findingsIn));
    found = await findingsIn({ ...faulty, ...others, Conditions });
  }, 120_000);
  afterAll(() => service[Symbol.asyncDispose]());

  it('finds nothing in what is packaged, for each stage and with every parameter set', () => {
    expect(packaged).toStrictEqual([[], [], []]);
  });

  it.each(faults)('finds $fault', (seededFault) => {
    expect(found).toStrictEqual(expect.arrayContaining(foundOf(seededFault)));
  });

  it('finds conditions and outputs of nothing, and nothing that is no fault', () => {
    expect(found).toStrictEqual([...faults.flatMap(foundOf), ...othersFound].sort());
  });
});
